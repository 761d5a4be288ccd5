from __future__ import annotations

import asyncio
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time

import pytest

from kiosk.model import decode_event, session_room
from sync import protocol as p
from sync.hub.connection import Connection
from sync.hub.members import HOPELESS
from sync.hub.writer import Job
from tests.sync.rig import ORG, ROOM, TOKEN, Author, hello, hub, joined, one_by_one, until

_NARROW = 64 * 1024  # bytes


@pytest.fixture
def path(tmp_path):
    return tmp_path / "hub.db"


def offsets(items):
    return [item.envelope.offset for item in items]


def push(batch, bodies):
    return p.Push(batch, [p.msgspec.Raw(body) for body in bodies], [], one_by_one(bodies))


def ids(items):
    return [decode_event(item.event).id for item in items]


async def test_replay_is_paged_and_complete_from_any_cursor(path):
    bodies = Author().bodies(1200)
    async with hub(path) as server, joined(server.url) as peer:
        for start in range(0, 1200, 400):
            await peer.push(*bodies[start : start + 400])
        everything = await peer.follow()
        assert [bytes(i.event) for i in everything] == bodies
        epoch = peer.welcome.epoch
        for after in (0, 1, 249, 250, 1199, 1200):
            items = await peer.follow(cursor=p.Cursor(epoch, after))
            assert offsets(items) == list(range(after + 1, 1201))


async def test_pages_join_without_gap_and_end_at_the_head(path):
    async with hub(path) as server, joined(server.url) as peer:
        await peer.push(*Author().bodies(500))
        await peer.push(*Author("b").bodies(200))
        await peer.say(p.Subscribe(ROOM))
        pages = [await peer.get(p.Events)]
        while not pages[-1].live:
            pages.append(await peer.get(p.Events))
        assert len(pages) > 2
        assert [page.after for page in pages] == [0, *(page.offset for page in pages[:-1])]
        assert {page.head for page in pages} == {700}
        assert pages[-1].offset == 700


async def test_a_catch_up_on_credit_waits_for_the_next_subscribe(path):
    async with hub(path) as server, joined(server.url) as peer:
        await peer.push(*Author().bodies(500))
        await peer.push(*Author("b").bodies(500))
        await peer.say(p.Subscribe(ROOM, pages=2))
        first, second = await peer.get(p.Events), await peer.get(p.Events)
        assert not second.live
        await peer.say(p.Ping(1))
        await peer.get(p.Pong)
        assert not peer.aside  # nothing more came before the answer to a later question
        rest = await peer.follow(cursor=p.Cursor(first.epoch, second.offset))
        assert offsets(first.items + second.items + rest) == list(range(1, 1001))


@pytest.mark.parametrize("cursor", [p.Cursor("another-epoch", 2), p.Cursor("", 9)])
async def test_a_cursor_that_means_nothing_gets_a_reset_and_everything(path, cursor):
    async with hub(path) as server, joined(server.url) as peer:
        await peer.push(*Author().bodies(3))
        cursor = p.Cursor(cursor.epoch or peer.welcome.epoch, cursor.offset)
        items = await peer.follow(cursor=cursor)
        assert await peer.get(p.Reset) == p.Reset(ROOM, peer.welcome.epoch, 3)
        assert offsets(items) == [1, 2, 3]


async def test_a_cursor_whose_offset_holds_another_event_gets_a_reset(path):
    async with hub(path) as server, joined(server.url) as peer:
        verdicts = await peer.push(*Author().bodies(3))
        epoch, received = peer.welcome.epoch, verdicts[1].envelope.received
        assert offsets(await peer.follow(cursor=p.Cursor(epoch, 2, received))) == [3]
        assert offsets(await peer.follow(cursor=p.Cursor(epoch, 2, 0))) == [3]
        assert not any(isinstance(message, p.Reset) for message in peer.aside)
        items = await peer.follow(cursor=p.Cursor(epoch, 2, received + 1))
        assert await peer.get(p.Reset) == p.Reset(ROOM, epoch, 3)
        assert offsets(items) == [1, 2, 3]


async def test_live_events_reach_every_member_and_come_back_to_their_author(path):
    author = Author()
    async with (
        hub(path) as server,
        joined(server.url) as peer,
        joined(server.url, hello("kiosk-2")) as other,
    ):
        assert await peer.follow() == []
        assert await other.follow() == []
        bodies = author.bodies(3)
        verdicts = await peer.push(*bodies)
        for one in (peer, other):
            page = await one.get(p.Events)
            assert [bytes(item.event) for item in page.items] == bodies
            assert [i.envelope for i in page.items] == [v.envelope for v in verdicts]
            assert (page.after, page.offset, page.live) == (0, 3, True)


async def test_without_echo_an_author_gets_the_offset_only_after_its_ack(path):
    async with hub(path) as server, joined(server.url) as peer:
        async with joined(server.url, hello("kiosk-2")) as other:
            await peer.follow(echo=False)
            verdicts = await peer.push(*Author().bodies(3))
            page = await peer.get(p.Events)
            assert (page.after, page.offset, page.items) == (0, 3, [])
            assert page.received == verdicts[-1].envelope.received
            await other.push(*Author("kiosk-2").bodies(2))
            assert offsets((await peer.get(p.Events)).items) == [4, 5]
        # A replay holds them all: the ack may never have come.
        assert offsets(await peer.follow(echo=False)) == [1, 2, 3, 4, 5]


async def test_rooms_of_others_are_not_for_this_site(path):
    async with hub(path) as server, joined(server.url) as peer:
        for room in (session_room("other", "s1"), f"org/{ORG}/site/south", "x"):
            await peer.say(p.Subscribe(room))
            assert (await peer.get(p.Error)).code == "room"
        assert await peer.follow() == []


async def test_positions_are_told_on_a_silent_room(path):
    async with hub(path, position_every=0.05) as server, joined(server.url) as peer:
        await peer.push(*Author().bodies(2))
        await peer.follow()
        assert await peer.get(p.Position) == p.Position(ROOM, peer.welcome.epoch, 2)


async def test_what_is_committed_during_a_replay_arrives_once_and_in_order(path):
    author = Author()
    async with hub(path) as server, joined(server.url) as peer:
        for _ in range(4):
            await peer.push(*author.bodies(500))
        async with joined(server.url, hello("viewer")) as viewer:

            async def keep_pushing():
                for _ in range(40):
                    await peer.push(*author.bodies(20))

            pushing = asyncio.ensure_future(keep_pushing())  # noqa: TID251  awaited below
            await viewer.say(p.Subscribe(ROOM))
            seen = []
            while len(seen) < 2800:
                page = await viewer.get(p.Events)
                assert page.after == (seen[-1] if seen else 0)
                seen += offsets(page.items)
            await pushing
            assert seen == list(range(1, 2801))


# -- slow readers ----------------------------------------------------------------------------------


async def stalled_socket(url, device):
    """A member that follows the room and never reads again."""
    host, port = url.removeprefix("http://").split(":")
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(raw, (host, int(port)))
    await loop.sock_sendall(
        raw,
        f"GET {p.PATH} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nAuthorization: Bearer {TOKEN}\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode(),
    )
    for message in (hello(device), p.Subscribe(ROOM)):
        payload = p.encode(message)
        await loop.sock_sendall(raw, bytes([0x81, 0xFE, 0, len(payload), 0, 0, 0, 0]) + payload)
    return raw


def narrow_socket(url):
    """A connected socket whose kernel holds little: it would else take megabytes on its own."""
    host, port = url.removeprefix("http://").split(":")
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _NARROW)
    raw.connect((host, int(port)))
    raw.setblocking(False)
    return raw


async def test_a_stalled_member_delays_nobody_and_is_passed_over(path):
    author = Author()
    filler = {"data": {"note": "x" * 4000}}
    async with (
        hub(path) as server,
        joined(server.url) as peer,
        joined(server.url, hello("viewer")) as viewer,
    ):
        raw = await stalled_socket(server.url, "stalled")
        try:
            await until(lambda: len(server._core.connections) == 3)
            stalled = server._core.connections["stalled", "inc-1"]
            await viewer.follow()
            seen, unsent = [], 0
            for _ in range(100):
                await peer.push(*(author.body(**filler) for _ in range(50)))
                while len(seen) < author.kseq:
                    seen += offsets((await viewer.get(p.Events)).items)
                unsent = max(unsent, stalled.buffered())
            assert seen == list(range(1, 5001))
            assert 0 < unsent < HOPELESS
            assert not stalled._member.seats[ROOM].live
        finally:
            raw.close()


async def test_what_comes_in_one_commit_goes_out_in_frames_that_nobody_chokes_on(path):
    author, gate = Author(), threading.Event()
    filler = {"data": {"note": "x" * 4000}}
    async with (
        hub(path) as server,
        joined(server.url) as peer,
        joined(server.url, hello("viewer")) as viewer,
    ):
        await viewer.follow()
        writer = server._core.writer
        writer.put(Job(lambda log: gate.wait(10), lambda _: None))
        await until(writer._jobs.empty)
        for batch in range(8):
            bodies = [author.body(**filler) for _ in range(60)]
            await peer.say(push(batch, bodies))
        await until(lambda: writer._jobs.qsize() == 8)
        gate.set()
        seen, longest = [], 0
        while len(seen) < 480:
            page = await viewer.get(p.Events)
            assert page.after == (seen[-1] if seen else 0)
            seen += offsets(page.items)
            longest = max(longest, sum(len(bytes(i.event)) for i in page.items))
        assert seen == list(range(1, 481))
        assert 100_000 < longest <= p.MAX_BATCH_BYTES


async def test_a_member_that_lags_too_long_is_closed_with_4408(path, monkeypatch):
    monkeypatch.setattr("sync.hub.members.PATIENCE", 0.2)
    monkeypatch.setattr("sync.hub.connection._FAREWELL", 0.2)
    closed = []
    author = Author()
    filler = {"data": {"note": "x" * 4000}}
    end = Connection.close
    monkeypatch.setattr(
        Connection, "close", lambda one, code, why: (closed.append(code), end(one, code, why))
    )
    async with hub(path) as server, joined(server.url) as peer:
        raw = await stalled_socket(server.url, "stalled")
        try:
            await until(lambda: len(server._core.connections) == 2)
            stalled = server._core.connections["stalled", "inc-1"]
            for _ in range(100):
                await peer.push(*(author.body(**filler) for _ in range(50)))
            await until(lambda: len(server._core.connections) == 1)
            assert closed == [p.Close.SLOW]
            await until(stalled._transport.is_closing)
        finally:
            raw.close()


async def test_a_slow_member_recovers_everything_by_offset(path):
    author = Author()
    filler = {"data": {"note": "x" * 4000}}
    async with (
        hub(path) as server,
        joined(server.url) as peer,
        # It takes nothing from the socket while its small queue is full.
        joined(server.url, hello("slow"), max_queue=1, sock=narrow_socket(server.url)) as slow,
    ):
        await slow.follow()
        connection = server._core.connections["slow", "inc-1"]
        served = connection._transport.get_extra_info("socket")
        served.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _NARROW)
        for _ in range(60):
            await peer.push(*(author.body(**filler) for _ in range(50)))
        assert not connection._member.seats[ROOM].live
        seen = []
        while len(seen) < 3000:
            page = await slow.get(p.Events)
            assert page.after == (seen[-1] if seen else 0)
            seen += offsets(page.items)
        assert seen == list(range(1, 3001))
        await peer.push(author.body())
        assert offsets((await slow.get(p.Events)).items) == [3001]


# -- a hub that dies -------------------------------------------------------------------------------

_SERVE = (
    "import sys, pathlib; from sync.hub.serve import serve;"
    "sys.exit(serve(pathlib.Path(sys.argv[1]), '127.0.0.1', int(sys.argv[2]), sys.argv[3],"
    " child='child' in sys.argv, insecure_lan=False))"
)


def start_hub(path, *more, port=0, **given):
    return subprocess.Popen(
        [sys.executable, "-c", _SERVE, str(path), str(port), TOKEN, *more],
        stdout=subprocess.PIPE,
        text=True,
        **given,
    )


def ready(process):
    line = process.stdout.readline()
    assert line.startswith("ready http://127.0.0.1:"), line
    return line.split()[1]


def end(process):
    process.kill()
    process.wait(10)
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


@pytest.mark.parametrize("acks_before_kill", [1, 4, 15])
async def test_nothing_acked_is_lost_when_the_hub_is_killed_in_a_burst(path, acks_before_kill):
    process = start_hub(path)
    acked = {}
    try:
        async with joined(ready(process)) as peer:
            author = Author()
            for batch in range(40):
                await peer.say(push(batch, author.bodies(100)))
            while len(acked) < acks_before_kill * 100:
                for verdict in (await peer.get(p.Ack)).verdicts:
                    assert verdict.verdict == "ok"
                    acked[verdict.id] = verdict.envelope.offset
            os.kill(process.pid, signal.SIGKILL)
            await peer.closed()
            for ack in peer.aside:
                acked |= {v.id: v.envelope.offset for v in ack.verdicts}
    finally:
        end(process)
    with sqlite3.connect(path) as db:
        held = dict(db.execute("SELECT id, offset FROM entry"))
    db.close()
    assert acked.items() <= held.items()
    assert sorted(held.values()) == list(range(1, len(held) + 1))
    async with hub(path) as server, joined(server.url) as peer:
        assert peer.welcome.received_kseq["inc-1"] == len(held)
        assert len(await peer.follow()) == len(held)


def test_a_child_ends_with_its_parents_pipe_and_frees_port_and_database(path):
    process = start_hub(path, "child", stdin=subprocess.PIPE)
    try:
        ready(process)
        process.stdin.close()
        assert process.wait(10) == 0
    finally:
        end(process)
    again = start_hub(path)
    try:
        ready(again)
        again.send_signal(signal.SIGTERM)
        assert again.wait(10) == 0
    finally:
        end(again)


def test_a_hub_that_cannot_start_says_why_in_one_line(path):
    first = start_hub(path)
    try:
        url = ready(first)
        for db, port in ((path, 0), (path.with_name("b.db"), int(url.rpartition(":")[2]))):
            second = start_hub(db, port=port, stderr=subprocess.PIPE)
            try:
                assert second.wait(10) == 1
                said = second.stderr.read()
                assert said.startswith("kiosk hub: ")
                assert said.count("\n") == 1
            finally:
                end(second)
    finally:
        end(first)


async def test_a_stopping_hub_ends_its_connections_at_once(path):
    started = time.monotonic()
    async with hub(path) as server:
        peers = [joined(server.url, hello(f"k{n}")) for n in range(3)]
        entered = [await peer.__aenter__() for peer in peers]
        stopping = asyncio.ensure_future(server.stop())  # noqa: TID251  awaited below
        codes = [await peer.closed() for peer in entered]
        await stopping
        for peer in peers:
            await peer.__aexit__(None, None, None)
        server.stop = lambda: asyncio.sleep(0)
    assert codes == [p.Close.GOING_AWAY] * 3
    assert time.monotonic() - started < 5
