from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import time
from urllib.parse import urlencode

import pytest

from sync import protocol as p
from tests.sync.fuzz import UPGRADE
from tests.sync.rig import ROOM, TOKEN, Author, hello, hub, joined, until
from tests.sync.test_hub_http import WHO, asked


@pytest.fixture
def path(tmp_path):
    return tmp_path / "hub.db"


@contextlib.asynccontextmanager
async def raw(server, text=b""):
    port = int(server.url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**20)
    writer.write(text)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


def request(method, path, **headers):
    lines = [f"{method} {path} HTTP/1.1", "Host: hub", f"Authorization: Bearer {TOKEN}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()


async def served(peer, author):
    """A healthy pair still gets through, and how fast."""
    began = time.monotonic()
    await peer.push(author.body())
    await peer.get(p.Events)
    return time.monotonic() - began


async def test_headers_that_trickle_end_with_the_connection(path):
    async with hub(path, headers_within=0.4) as server, joined(server.url) as peer:
        await peer.follow()
        async with raw(server, b"GET /health HTTP/1.1\r\n") as (reader, writer):
            began = time.monotonic()
            with contextlib.suppress(OSError):
                while not reader.at_eof() and time.monotonic() - began < 5:
                    writer.write(b"X-A: b\r\n")
                    await asyncio.sleep(0.05)
            assert 0.2 < time.monotonic() - began < 3
        async with raw(server) as (reader, _):  # nothing at all
            assert await asyncio.wait_for(reader.read(), 3) == b""
        assert await served(peer, Author()) < 1


async def test_a_body_that_trickles_is_refused(path, monkeypatch):
    monkeypatch.setattr("sync.hub.asking._BODY_WITHIN", 0.2)
    monkeypatch.setattr("sync.hub.asking._LEAST_SPEED", 2**30)
    where = "/v1/push?" + urlencode(WHO | {"device": "d", "incarnation": "i"})
    slow = request("POST", where, Content_Length=500) + b"{"
    async with hub(path) as server, raw(server, slow) as (reader, _):
        assert b" 408 " in await asyncio.wait_for(reader.readline(), 3)


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_that_is_too_long_is_refused_unread(path, chunked):
    where = "/v1/push?" + urlencode(WHO | {"device": "d", "incarnation": "i"})
    async with hub(path) as server:
        size = {"Transfer_Encoding": "chunked"} if chunked else {"Content_Length": 10**9}
        async with raw(server, request("POST", where, **size)) as (reader, writer):
            if chunked:
                writer.write(b"200000\r\n" + b"x" * 0x200000 + b"\r\n")
            assert b" 413 " in await asyncio.wait_for(reader.readline(), 5)


@pytest.mark.parametrize(
    "text",
    [
        b"\x16\x03\x01 not http at all\r\n\r\n",
        b"GET " + b"/" * 40_000 + b" HTTP/1.1\r\n\r\n",
        b"GET /health HTTP/1.1\r\n" + b"A: b\r\n" * 5000 + b"\r\n",
        b"POST /v1/push HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
    ],
)
async def test_what_is_no_request_costs_its_own_connection_only(path, text):
    async with hub(path) as server, joined(server.url) as peer:
        await peer.follow()
        async with raw(server, text) as (reader, _):
            answer = await asyncio.wait_for(reader.read(), 5)
            assert answer == b"" or b" 400 " in answer.splitlines()[0]
        assert await served(peer, Author()) < 1


@pytest.mark.parametrize("body", [b"", b"[", b"null", b'{"type":"poll"}', b"[" * 60_000, b"\xff"])
@pytest.mark.parametrize(
    "where", ["/v1/hello", "/v1/push", "/v1/ping", "/v1/poll", "/v1/directory"]
)
async def test_junk_on_every_request_is_a_400(path, where, body):
    async with asked(path) as web:
        params = WHO | {"device": "d", "incarnation": "i"}
        assert (await web.ask("POST", where, body, params))[0] == 400


async def test_a_stream_that_nobody_reads_is_ended_and_harms_nobody(path, monkeypatch):
    monkeypatch.setattr("sync.hub.members.PATIENCE", 0.3)
    monkeypatch.setattr("sync.hub.streams._FAREWELL", 0.2)
    author = Author()
    filler = {"data": {"note": "x" * 4000}}
    where = "/v1/sse?" + urlencode({**WHO, "room": ROOM})
    async with hub(path) as server, joined(server.url) as peer:
        await peer.follow()
        async with raw(server, request("GET", where)) as (reader, _):
            await reader.readuntil(b": open")
            reader._transport.pause_reading()
            slowest = 0.0
            rooms = server._core.rooms
            for _ in range(400):
                began = time.monotonic()
                await peer.push(*(author.body(**filler) for _ in range(20)))
                await peer.get(p.Events)
                slowest = max(slowest, time.monotonic() - began)
                if rooms.slowed:
                    break
            assert rooms.lagged == 1
            await until(lambda: server._core.transports()["sse"] == 0)
            assert rooms.slowed == 1
            assert slowest < 1


async def test_a_flood_of_frames_is_read_no_faster_than_it_may_be(path, monkeypatch):
    monkeypatch.setattr("sync.hub.connection._FRAMES_AT_ONCE", 50)
    monkeypatch.setattr("sync.hub.connection._FRAMES_A_SECOND", 100.0)
    async with (
        hub(path) as server,
        joined(server.url) as flood,
        joined(server.url, hello("other")) as peer,
    ):
        await peer.follow()
        began = time.monotonic()
        for number in range(150):
            await flood.say(p.Ping(number))
        assert await served(peer, Author("other")) < 0.5
        for number in range(150):
            assert (await flood.get(p.Pong)).echo == number
        assert time.monotonic() - began > 0.8


async def test_too_many_connections_are_told_to_come_back(path, monkeypatch):
    monkeypatch.setattr("sync.hub.core.MOST_CONNECTIONS", 1)
    async with asked(path) as web, joined(web.url):
        status, answer = await web.ask("GET", "/v1/sse")
        assert (status, answer["code"]) == (429, "busy")
        assert answer["after"] > 0


async def test_a_crowd_that_missed_the_same_reads_it_once(path):
    author = Author()
    async with hub(path) as server:
        async with joined(server.url) as peer:
            await peer.push(*author.bodies(120))
            epoch = peer.welcome.epoch
        reads = server._core.rooms.recent.reads
        async with contextlib.AsyncExitStack() as stack:
            crowd = [
                await stack.enter_async_context(joined(server.url, hello(f"v{n}")))
                for n in range(30)
            ]
            found = await asyncio.gather(
                *(one.follow(cursor=p.Cursor(epoch, n)) for n, one in enumerate(crowd))
            )
        for n, items in enumerate(found):
            assert [i.envelope.offset for i in items] == list(range(n + 1, 121))
        assert server._core.rooms.recent.reads - reads == 1


@pytest.mark.parametrize("ending", ["fin", "rst"])
@pytest.mark.parametrize("upgrade", [{}, UPGRADE])
async def test_whoever_asks_whether_to_go_on_and_has_gone_costs_one_line(
    path, caplog, ending, upgrade
):
    routes = [("POST", "/v1/push"), ("POST", "/v1/pair"), ("GET", "/health"), ("GET", "/v1/ws")]
    routes += [("GET", "/v1/sse"), ("GET", "/nowhere"), ("PUT", "/v1/people/x1")]
    headers = {name.replace("-", "_"): value for name, value in upgrade.items()}
    asks = {"Expect": "100-continue", "Content_Length": 5}
    async with hub(path) as server, joined(server.url) as peer:
        await peer.follow()
        port = int(server.url.rpartition(":")[2])
        before = len(server._runner.server.connections)
        for method, where in routes * 3:
            with socket.create_connection(("127.0.0.1", port)) as gone:
                gone.sendall(request(method, where, **asks, **headers))
                if ending == "rst":
                    gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            # All of it was there, and its end, before the hub had looked at the first byte.
        await until(lambda: not server._arrivals.silent)
        await until(lambda: len(server._runner.server.connections) <= before)
        assert await served(peer, Author()) < 1
    assert [r for r in caplog.records if r.exc_info or "Traceback" in r.getMessage()] == []
    broken = [r for r in caplog.records if "request is broken" in r.getMessage()]
    assert 0 < len(broken) <= len(routes) * 3


async def test_a_failure_of_the_hubs_own_keeps_its_traceback(path, caplog, monkeypatch):
    async with hub(path) as server:
        monkeypatch.setattr(server._core.access, "origin", lambda *_: 1 // 0)
        async with raw(server, request("GET", "/health", Expect="100-continue")) as (reader, _):
            assert b" 100 " in await reader.readline()
            await reader.readline()
            assert b" 500 " in await asyncio.wait_for(reader.readline(), 5)
    (record,) = [r for r in caplog.records if r.exc_info]
    assert record.exc_info[0] is ZeroDivisionError
