"""What one peer may cost the hub, however it goes about it; beside it a healthy pair is served."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
import zlib
from urllib.parse import urlencode

import pytest

from kiosk.model import session_room
from sync import protocol as p
from sync.hub.auth.limits import Limits, Rate
from tests.flow.test_pairing import certificate
from tests.sync.auth.rig import stage
from tests.sync.auth.test_transports import query
from tests.sync.fuzz import UPGRADE, frame
from tests.sync.rig import ORG, Author, hello, hub, joined, until
from tests.sync.test_hub_hostile import raw, request, served
from tests.sync.test_hub_http import WHO

MIB = 2**20


@pytest.fixture
def path(tmp_path):
    return tmp_path / "hub.db"


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr("sync.hub.sockets._ANSWERED_WITHIN", 0.1)


@contextlib.asynccontextmanager
async def upgraded(server, **headers):
    """A WebSocket by hand that has greeted; its reader and writer."""
    head = request("GET", p.PATH, **{n.replace("-", "_"): v for n, v in UPGRADE.items()}, **headers)
    async with raw(server, head) as (reader, writer):
        assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
        writer.write(frame(1, p.encode(hello("rogue"))))
        _, size = await reader.readexactly(2)
        await reader.readexactly(
            int.from_bytes(await reader.readexactly(2)) if size > 125 else size
        )
        yield reader, writer


def rogue(server):
    return server._core.connections["rogue", "inc-1"]


async def ending(reader):
    """The rest of what is said, to the end of the connection."""
    return await asyncio.wait_for(reader.read(), 10)


# -- WebSockets ----------------------------------------------------------------------------------


async def test_pings_of_somebody_who_takes_no_pongs_fill_no_memory(path, monkeypatch):
    monkeypatch.setattr("sync.hub.connection._FRAMES_AT_ONCE", 1e9)
    async with (
        hub(path) as server,
        joined(server.url) as peer,
        upgraded(server) as (reader, writer),
    ):
        await peer.follow()
        reader._transport.pause_reading()
        ping, most = frame(9, bytes(125)) * 2_000, 0
        socket = rogue(server)
        for _ in range(60):  # 15 MB: far more than the kernel takes for either side
            writer.write(ping)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(writer.drain(), 0.05)
            most = max(most, socket.buffered())
        assert 0 < most <= 64 * 1024 + 200
        assert await served(peer, Author()) < 1


async def test_pings_are_read_no_faster_than_other_frames(path, monkeypatch):
    monkeypatch.setattr("sync.hub.connection._FRAMES_AT_ONCE", 50)
    monkeypatch.setattr("sync.hub.connection._FRAMES_A_SECOND", 100.0)
    async with hub(path) as server, upgraded(server) as (reader, writer):
        began = time.monotonic()
        writer.write(frame(9, b"") * 130)
        await reader.readexactly(130 * 2)
        assert time.monotonic() - began > 0.7


@pytest.mark.parametrize("part", [b"", b"x" * 100])
async def test_a_message_that_never_ends_ends_its_connection(path, monkeypatch, part):
    monkeypatch.setattr("sync.hub.sockets._UNFINISHED", 50_000)
    async with (
        hub(path) as server,
        joined(server.url) as peer,
        upgraded(server) as (reader, writer),
    ):
        await peer.follow()
        writer.write(frame(1, b"{", fin=False))
        with contextlib.suppress(OSError):
            for _ in range(200):
                writer.write(frame(0, part, fin=False) * 100)
                await writer.drain()
        assert int(p.Close.BAD_MESSAGE).to_bytes(2, "big") + b"oversized" in await ending(reader)
        assert server._core.metrics.malformed == 1
        assert await served(peer, Author()) < 1


def deflated(payload):
    """One text frame of permessage-deflate (RFC 7692, 7.2.1)."""
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = deflater.compress(payload) + deflater.flush(zlib.Z_SYNC_FLUSH)
    return frame(1, data.removesuffix(b"\x00\x00\xff\xff"), reserved=4)


async def test_what_inflates_beyond_a_message_is_not_inflated(path):
    async with hub(path) as server, joined(server.url) as peer:
        await peer.follow()
        offer = {"Sec_WebSocket_Extensions": "permessage-deflate"}
        async with upgraded(server, **offer) as (reader, writer):
            writer.write(deflated(bytes(64 * MIB)))
            assert b"oversized" in await ending(reader)
        assert await served(peer, Author()) < 1


async def test_long_messages_that_cost_their_sender_nothing_are_read_at_a_bound(path, monkeypatch):
    monkeypatch.setattr("sync.hub.connection._BYTES_A_SECOND", 4.0 * MIB)
    offer = {"Sec_WebSocket_Extensions": "permessage-deflate"}
    async with hub(path) as server, joined(server.url) as peer:
        await peer.follow()
        async with upgraded(server, **offer) as (reader, writer):
            bomb = deflated(p.encode(p.Ping(7)) + b" " * (MIB - 100))
            assert len(bomb) < 2_000
            began = time.monotonic()
            writer.write(bomb * 7)
            assert await served(peer, Author()) < 1
            for _ in range(7):
                await asyncio.wait_for(reader.readuntil(b'"echo":7'), 10)
            assert time.monotonic() - began > 0.6


async def test_a_viewer_of_five_hundred_rooms_disturbs_nobody_and_has_no_more(path):
    async with (
        hub(path, position_every=0.05) as server,
        joined(server.url) as peer,
        joined(server.url, hello("rogue")) as greedy,
    ):
        await peer.follow()
        rooms = server._core.rooms
        before = len(rooms._rooms)
        for number in range(500):
            await greedy.say(p.Subscribe(session_room(ORG, f"x{number}"), presence=True))
        await until(lambda: sum(rooms.counts().values()) == 501)
        author = Author()
        for _ in range(5):
            assert await served(peer, author) < 1
        await greedy.say(p.Subscribe(session_room(ORG, "x0")))  # anew, and it is no more of them
        await greedy.say(p.Subscribe(session_room(ORG, "one-more")))
        assert await greedy.closed() == p.Close.TRY_LATER
        (refusal,) = [m for m in greedy.aside if isinstance(m, p.Error)]
        assert (refusal.code, refusal.after > 0) == ("busy", True)
        # Rooms that nobody follows any more, and that hold nothing, are not kept.
        await until(lambda: len(rooms._rooms) <= before)
        assert await served(peer, author) < 1


async def test_a_room_that_was_let_go_of_goes_on_where_it_ended(path):
    author = Author()
    async with hub(path, position_every=0.05) as server:
        async with joined(server.url) as peer:
            await peer.follow()
            await peer.push(*author.bodies(3))
            epoch = peer.welcome.epoch
        await until(lambda: not server._core.rooms._rooms)
        async with joined(server.url) as peer:
            items = await peer.follow(cursor=p.Cursor(epoch, 1))
            assert [item.envelope.offset for item in items] == [2, 3]
            await peer.push(author.body())
            assert (await peer.get(p.Events)).items[0].envelope.offset == 4


async def test_nobody_keeps_a_socket_without_a_hello(path, monkeypatch):
    monkeypatch.setattr("sync.hub.connection._HELLO_WITHIN", 0.2)
    monkeypatch.setattr("sync.hub.server._TICK", 0.05)
    head = request("GET", p.PATH, **{n.replace("-", "_"): v for n, v in UPGRADE.items()})
    async with hub(path) as server:
        for begun in (b"", frame(1, b"{", fin=False), frame(1, b"{}" * 500)[:300]):
            async with raw(server, head + begun) as (reader, _):
                assert b"no hello came" in await ending(reader)
        assert len(server._core.talks) == 0


# -- HTTP ----------------------------------------------------------------------------------------


async def test_a_body_that_trickles_is_refused_wherever_one_is_taken(path, monkeypatch):
    monkeypatch.setattr("sync.hub.asking._BODY_WITHIN", 0.3)
    monkeypatch.setattr("sync.hub.asking._LEAST_SPEED", 2**30)
    params = urlencode(WHO | {"device": "d", "incarnation": "i", "stream": "s"})
    async with (
        hub(path) as server,
        joined(server.url) as peer,
        contextlib.AsyncExitStack() as stack,
    ):
        await peer.follow()
        resources = server._runner.app.router.routes()
        wanted = [
            (r.method, r.resource.canonical) for r in resources if r.method in ("POST", "PUT")
        ]
        assert len(wanted) > 10
        slow = []
        for method, where in wanted:
            head = request(method, f"{where.replace('{id}', 'x1')}?{params}", Content_Length=500)
            slow.append((await stack.enter_async_context(raw(server, head + b"{")))[0])
        assert await served(peer, Author()) < 1
        lines = [await asyncio.wait_for(reader.readline(), 5) for reader in slow]
        told = {where: line.split()[1] for (_, where), line in zip(wanted, lines, strict=True)}
        # Who may not do a thing is told so unheard: this device is not among the paired ones.
        unheard = {"/v1/pairings/{id}/name": b"404", "/v1/pairings/{id}/revoke": b"404"}
        assert told == dict.fromkeys(told, b"408") | unheard


async def test_requests_that_pile_up_behind_one_another_wait_outside(path):
    async with hub(path) as server, joined(server.url) as peer:
        await peer.follow()
        async with raw(server) as (reader, writer):
            writer.write(request("GET", "/health") * 300)
            for _ in range(300):
                head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
                size = int(head.partition(b"Content-Length: ")[2].split()[0])
                await reader.readexactly(size)
        async with raw(server) as (reader, writer):
            reader._transport.pause_reading()
            with pytest.raises(TimeoutError):  # the hub reads no further than it can answer
                await asyncio.wait_for(
                    _for_ever(writer, request("GET", "/openapi.json") * 500), 1.5
                )
            (served_,) = server._runner.server.connections
            assert len(served_._messages) <= 100
            assert await served(peer, Author()) < 1


async def _for_ever(writer, data):
    while True:
        writer.write(data)
        await writer.drain()


@pytest.mark.parametrize("route", ["/v1/sse", "/v1/poll"])
async def test_no_address_names_more_rooms_than_one_may_follow(path, route):
    rooms = "&".join(f"room=org/{ORG}/session/{n}" for n in range(501))
    long = "&".join(f"room=org/{ORG}/session/{n}" for n in range(5000))
    async with hub(path) as server, joined(server.url) as peer:
        await peer.follow()
        for names in (rooms, long, "x=" + "y" * 100_000):
            async with raw(server, request("GET", f"{route}?{urlencode(WHO)}&{names}")) as (
                reader,
                _,
            ):
                assert b" 400 " in await asyncio.wait_for(reader.readline(), 5)
        assert await served(peer, Author()) < 1


async def test_a_request_counts_by_the_rooms_it_names(tmp_path):
    rooms = [session_room(ORG, str(number)) for number in range(200)]
    body = p.encode(p.Poll([p.Subscribe(room) for room in rooms]))
    async with stage(tmp_path, limits=Limits(requests=Rate(40, 0.01))) as hub_:
        token, other = (await hub_.paired())["token"], (await hub_.paired("kiosk-2"))["token"]
        found = [await hub_.post("/v1/poll?" + query(), body, token) for _ in range(4)]
        assert [status for status, _ in found] == [200, 200, 429, 429]
        assert found[-1][1]["after"] > 0
        few = p.encode(p.Poll([p.Subscribe(rooms[0])]))
        for _ in range(4):
            assert (await hub_.post("/v1/poll?" + query("kiosk-2"), few, other))[0] == 200


# -- connections ---------------------------------------------------------------------------------


async def test_who_says_nothing_is_hung_up_on_and_a_crowd_of_them_is_not_let_in(path, monkeypatch):
    monkeypatch.setattr("sync.hub.server._TICK", 0.05)
    monkeypatch.setattr("sync.hub.server._MOST_ARRIVALS", 20)
    async with hub(path, headers_within=0.6) as server, joined(server.url) as peer:
        await peer.follow()
        async with contextlib.AsyncExitStack() as stack:
            silent = [(await stack.enter_async_context(raw(server)))[0] for _ in range(40)]
            ended = await asyncio.gather(*(_ended(reader, 0.2) for reader in silent))
            assert sum(ended) == 20, "but for as many as there may be"
            assert await served(peer, Author()) < 1
            await asyncio.wait_for(asyncio.gather(*(reader.read() for reader in silent)), 5)
        async with joined(server.url, hello("later")):
            assert not server._arrivals.silent


async def _ended(reader, seconds):
    with contextlib.suppress(TimeoutError, OSError):
        return not await asyncio.wait_for(reader.read(1), seconds)
    return False


async def test_handshakes_of_tls_that_go_no_further_end_in_time(path, tmp_path):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    chain, key = certificate(tmp_path)
    context.load_cert_chain(chain, key)
    trust = {"ssl": ssl.create_default_context(cafile=str(chain)), "server_hostname": "localhost"}
    async with hub(path, tls=context, headers_within=1.0) as server:
        async with contextlib.AsyncExitStack() as stack:
            hello_ = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"  # of a ClientHello, its start
            half = [await stack.enter_async_context(raw(server, hello_)) for _ in range(150)]
            began = time.monotonic()
            async with joined(server.url, **trust) as peer:
                await peer.follow()
                assert await served(peer, Author()) < 1
            assert time.monotonic() - began < 1
            ends = (asyncio.wait_for(reader.read(), 5) for reader, _ in half)
            await asyncio.gather(*ends, return_exceptions=True)
            assert time.monotonic() - began < 4
        await until(lambda: server._sockets() == 0)
