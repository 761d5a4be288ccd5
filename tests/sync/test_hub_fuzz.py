"""A hub process under random and spoilt input on every transport, beside honest kiosks and viewers.

FUZZ_SECONDS (4) says for how long, FUZZ_SEED which input; a failure names its seed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sync import protocol as p
from sync.hub.tokens import VARIABLE
from tests.flow.scene import viewing
from tests.sync.fuzz import UPGRADE, Fuzz, frame
from tests.sync.kiosks import held_by
from tests.sync.rig import ROOM, TOKEN, Author, hello, joined, until

COMMAND = (sys.executable, "-m", "kiosk", "hub", "serve")
HONEST = ROOM + "-honest"
SECONDS = float(os.environ.get("FUZZ_SECONDS", "4"))
GROWTH = 48 * 1024 * 1024  # bytes that the hub may be larger than after its first second
WITHIN = 5.0  # seconds an honest event may take to its viewers, on a busy machine
REFUSALS = {p.Close.BAD_MESSAGE, p.Close.TOKEN, p.Close.REVOKED, p.Close.SUPERSEDED}
REFUSALS |= {p.Close.TRY_LATER}
_LONGEST = 0.4  # seconds to wait for an answer that may never come


class Tried:
    """What was sent and what came of it."""

    def __init__(self, url):
        self.host, port = url.removeprefix("http://").split(":")
        self.port = int(port)
        self.sockets, self.requests, self.raws, self.honest = 0, 0, 0, 0
        self.statuses, self.closes = {}, {}
        self.wrong = []

    @contextlib.asynccontextmanager
    async def connected(self, data):
        reader, writer = await asyncio.open_connection(self.host, self.port, limit=2**22)
        try:
            with contextlib.suppress(OSError):
                writer.write(data)
                await writer.drain()
                yield reader, writer
        finally:
            writer.transport.abort()


async def websocket(fuzz, tried):
    """Upgrade, then frames; a close must say that the message was bad."""
    headers = UPGRADE | {"Host": "hub", "Authorization": f"Bearer {TOKEN}"}
    lines = [f"GET {p.PATH} HTTP/1.1", *(f"{k}: {v}" for k, v in headers.items()), "", ""]
    data, closes = fuzz.frames()
    async with tried.connected("\r\n".join(lines).encode()) as (reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        assert b" 101 " in head.splitlines()[0], head
        writer.write(data + frame(1, p.encode(p.Ping(4711))))
        code = await closed(reader)
        tried.closes[code] = tried.closes.get(code, 0) + 1
        if code is not None and not closes and code not in REFUSALS:
            tried.wrong.append(("websocket", code, data[:500]))
    tried.sockets += 1


async def closed(reader):
    """Read frames until the last ping is answered or the end; the close code if one came."""
    with contextlib.suppress(asyncio.IncompleteReadError, TimeoutError, OSError):
        async with asyncio.timeout(_LONGEST):
            while True:
                first, second = await reader.readexactly(2)
                length = second & 127
                if length > 125:
                    length = int.from_bytes(await reader.readexactly(2 if length == 126 else 8))
                payload = await reader.readexactly(length)
                if first & 15 == 8:
                    return int.from_bytes(payload[:2]) if payload else None
                if b'"echo":4711' in payload:
                    return None
    return None


async def request(fuzz, tried):
    """One request; its answer, if it has one, is no failure of the hub's."""
    data = fuzz.request()
    async with tried.connected(data) as (reader, _):
        status = await answered(reader)
        tried.statuses[status] = tried.statuses.get(status, 0) + 1
        if status is not None and status >= 500:
            tried.wrong.append(("request", status, data[:500]))
    tried.requests += 1


async def raw(fuzz, tried):
    """Bytes; whatever is answered, if anything."""
    data = fuzz.bytes()
    async with tried.connected(data) as (reader, writer):
        if fuzz.flip(0.3):
            writer.write_eof()
        status = await answered(reader)
        if status is not None and status >= 500:
            tried.wrong.append(("bytes", status, data[:500]))
    tried.raws += 1


async def answered(reader):
    with contextlib.suppress(TimeoutError, OSError):
        line = await asyncio.wait_for(reader.readline(), _LONGEST)
        while line.split()[1:2] == [b"100"]:  # go on, says this one; the answer comes after it
            await asyncio.wait_for(reader.readline(), _LONGEST)
            line = await asyncio.wait_for(reader.readline(), _LONGEST)
        words = line.split()
        return int(words[1]) if len(words) > 1 and words[1].isdigit() else None
    return None


async def attack(fuzz, tried, until_):
    """One hostile client, which never tires."""
    while time.monotonic() < until_:
        work = fuzz.random.choice([websocket, websocket, request, request, request, raw])
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await work(fuzz, tried)


async def honest(server, tried, until_):
    """Push, and see each event arrive at a viewer of every kind."""
    author = Author("honest")
    async with (
        joined(server.url, hello("honest")) as peer,
        viewing("websocket", server, HONEST) as one,
        viewing("sse", server, HONEST) as two,
        viewing("polling", server, HONEST) as three,
    ):
        while time.monotonic() < until_:
            body = author.body(room=HONEST, session="honest")
            assert [v.verdict for v in await peer.push(body)] == ["ok"]
            async with asyncio.timeout(WITHIN):
                for viewer in (one, two, three):
                    (item,) = await viewer.items(1)
                    assert bytes(item.event) == body
            tried.honest += 1
            await asyncio.sleep(0.05)  # the pace of a busy door


def resident(pid):
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def descriptors(pid):
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


class Running:
    def __init__(self, url, process):
        self.url, self.process = url, process


@pytest.fixture
def server(tmp_path):
    """A hub process of its own, with what it says in a file."""
    log = tmp_path / "hub.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*COMMAND, "--db", tmp_path / "hub.db", "--port", "0"],
            stdout=subprocess.PIPE,
            stderr=out,
            env=os.environ | {VARIABLE: TOKEN},
        )
    yield Running(process.stdout.readline().decode().split()[1], process)
    process.kill()
    process.wait()
    process.stdout.close()


async def test_no_input_ends_the_hub_fills_its_memory_or_disturbs_honest_peers(server, tmp_path):
    seed = int(os.environ.get("FUZZ_SEED", random.randrange(2**32)))
    pid, tried = server.process.pid, Tried(server.url)
    before = descriptors(pid)
    warm = time.monotonic() + 1.0
    await attack(Fuzz(seed), tried, warm)
    size, end = resident(pid), time.monotonic() + SECONDS
    async with asyncio.TaskGroup() as group:
        group.create_task(honest(server, tried, end))
        for n in range(1, 5):
            group.create_task(attack(Fuzz(seed + n), tried, end))
    found = f"FUZZ_SEED={seed}: {vars(tried) | {'wrong': tried.wrong[:3]}}"
    grown = resident(pid) - size
    print(found, f"{size / 2**20:.1f} MiB, grown by {grown / 2**20:.1f} MiB")
    assert not tried.wrong, found
    assert min(tried.honest, tried.sockets, tried.requests, tried.raws) >= 10, found
    assert tried.closes.get(p.Close.BAD_MESSAGE), found
    assert tried.statuses.get(400), found
    assert grown < GROWTH, found
    await until(lambda: descriptors(pid) <= before + 8, 15)
    assert server.process.poll() is None, found
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(20) == 0, found
    said = (tmp_path / "hub.log").read_text(errors="replace")
    assert "Traceback" not in said, found + said
    ids = held_by(tmp_path / "hub.db")
    assert len(ids) == len(set(ids)) >= tried.honest, found
