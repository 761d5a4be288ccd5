"""A crowd of viewers in one process, and what they are connected to: a hub, or next to nothing.

The viewers are as cheap as Python allows and the same for both, so what differs is the server.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import itertools
import os
import resource
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop

from kiosk.model import session_room
from sync import protocol as p
from sync.hub.frames import framed
from sync.hub.serve import serve as serve_hub
from tests.sync.rig import ORG, ROOM, SITE, Author, hello, one_by_one

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKEN = "bench"  # noqa: S105  of no real hub
_KEY = base64.b64encode(bytes(16)).decode()
_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
_EVENTS = b'{"type":"events"'
_PING, _PONG = 0x89, bytes([0x8A, 0x80, 0, 0, 0, 0])
_UNKNOWN = 1 << 62
_AT_ONCE = 100  # handshakes under way


def upgrade(token: str = TOKEN) -> bytes:
    """The request of a WebSocket."""
    return (
        f"GET {p.PATH} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {_KEY}\r\n"
        f"Authorization: Bearer {token}\r\n\r\n"
    ).encode()


def masked(message: p.Message) -> bytes:
    """A frame from a client; a mask of zeroes leaves the payload as it is."""
    frame = framed(p.encode(message))
    size = len(p.encode(message))
    header = 2 if size < 126 else 4 if size < 1 << 16 else 10
    return frame[:1] + bytes([frame[1] | 0x80]) + frame[2:header] + bytes(4) + frame[header:]


def greeting(cursor: p.Cursor | None = None, *more: str) -> bytes:
    """What a viewer says of itself, and that it follows the room, then `more`."""
    hello_ = p.Hello(p.VERSION, ORG, SITE, "screen", "v", viewer=True)
    wishes = [p.Subscribe(ROOM, cursor), *(p.Subscribe(room) for room in more)]
    return b"".join(map(masked, (hello_, *wishes)))


class Goal:
    """Done once so many viewers have what they wait for; `when` is the moment of the last."""

    def __init__(self) -> None:
        self._left = 0
        self._reached = asyncio.Event()
        self.when = 0.0

    def set(self, count: int) -> None:
        self._left = count
        self._reached.clear()

    def one(self) -> None:
        self._left -= 1
        if self._left == 0:
            self.when = time.perf_counter()
            self._reached.set()

    async def reached(self, seconds: float = 30.0) -> float:
        async with asyncio.timeout(seconds):
            await self._reached.wait()
        return self.when


class Viewer(asyncio.Protocol):
    """Counts towards its goal: its kind of live frames, or the one that makes it live."""

    def __init__(
        self, goal: Goal, says: bytes, upgrade_: bytes, kind: bytes, *, stalls: bool
    ) -> None:
        """One that `stalls` reads nothing of what it asked for; frames begin with their `kind`."""
        self._stalls = stalls
        self._kind = kind
        self._goal = goal
        self._says = says
        self._upgrade = upgrade_
        self._rest = b""
        self._open = not upgrade_
        self.live = False
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        transport.write(self._upgrade or self._says)

    def data_received(self, data: bytes) -> None:
        data = self._rest + data
        if not self._open:
            head, end, data = data.partition(b"\r\n\r\n")
            if not end:
                self._rest = head
                return
            assert head.startswith(b"HTTP/1.1 101"), head[:200]
            self._open = True
            if self._says:
                self.transport.write(self._says)
                if self._stalls:
                    self.transport.pause_reading()
                    return
            else:
                self._goal.one()
        at = 0
        while at + (size := _size(data, at)) <= len(data):
            self._take(data, at)
            at += size
        self._rest = data[at:]

    def _take(self, data: bytes, at: int) -> None:
        if data[at] == _PING:
            self.transport.write(_PONG)
        start = data.find(b"{", at, at + 12)
        if not data.startswith(self._kind, start):
            return
        if not self.live:
            # "live" comes before the items, which may be many.
            self.live = data.find(b'"live":true', start, start + 300) >= 0
            if not self.live:
                return
        self._goal.one()


def _size(data: bytes | bytearray, at: int) -> int:
    """The length of the frame that begins there, beyond all bounds while that is not known."""
    if len(data) < at + 2:
        return _UNKNOWN
    size = data[at + 1]
    if size < 126:
        return 2 + size
    long = 2 if size == 126 else 8
    if len(data) < at + 2 + long:
        return _UNKNOWN
    return 2 + long + int.from_bytes(data[at + 2 : at + 2 + long], "big")


class Crowd:
    """Viewers of one server."""

    def __init__(self, address: tuple[str, int], *upgrades: bytes, kind: bytes = _EVENTS) -> None:
        """Each viewer in turn asks in one of these ways; without any, in none."""
        self.goal = Goal()
        self.viewers: list[Viewer] = []
        self._address = address
        self._upgrades = itertools.cycle(upgrades or (b"",))
        self._kind = kind

    async def grow(self, count: int, says: bytes = b"", at_once: int = _AT_ONCE) -> float:
        """Connect until there are so many, all live; the seconds from the first to the last."""
        more = count - len(self.viewers)
        began = time.perf_counter()
        self.goal.set(more)
        await self.connect(more, says, at_once)
        return await self.goal.reached() - began

    async def connect(
        self, count: int, says: bytes, at_once: int = _AT_ONCE, window: int = 0
    ) -> None:
        """Connect so many more; those with a `window` (bytes the kernel may keep) stall."""
        slots = asyncio.Semaphore(at_once)
        await asyncio.gather(*(self._add(slots, says, window) for _ in range(count)))

    async def _add(self, slots: asyncio.Semaphore, says: bytes, window: int) -> None:
        loop = asyncio.get_running_loop()
        async with slots:
            sock = socket.socket()
            sock.setblocking(False)
            if window:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
            await loop.sock_connect(sock, self._address)
            viewer = Viewer(self.goal, says, next(self._upgrades), self._kind, stalls=bool(window))
            await loop.create_connection(lambda: viewer, sock=sock)
        self.viewers.append(viewer)

    async def leave(self, count: int = 0) -> None:
        """End all connections but the first `count`."""
        gone, self.viewers = self.viewers[count:], self.viewers[:count]
        for viewer in gone:
            viewer.transport.abort()
        await asyncio.sleep(0)


class Publisher(asyncio.Protocol):
    """A kiosk that pushes one event after another; made beforehand, so that only sending counts."""

    def __init__(self, device: str = "kiosk-1") -> None:
        self._author = Author(device)
        self._device = device
        self._batch = 0
        self.transport: asyncio.Transport

    async def connect(self, address: tuple[str, int]) -> None:
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: self, *address)
        self.transport.write(upgrade())
        await asyncio.sleep(0.1)
        self.transport.write(masked(hello(self._device)))
        await asyncio.sleep(0.1)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def pushes(
        self, count: int, events: int = 1, padding: int = 0, session: str = "s1"
    ) -> list[bytes]:
        """Frames that push so many events each."""
        place = {"room": session_room(ORG, session), "session": session}
        made = []
        data = {"method": "finger", "slot": 7, "score": 120, "more": "x" * padding}
        for _ in range(count):
            bodies = [self._author.body(data=data, **place) for _ in range(events)]
            self._batch += 1
            signed = one_by_one(bodies)
            made.append(masked(p.Push(self._batch, [p.msgspec.Raw(b) for b in bodies], [], signed)))
        return made


# -- the servers -----------------------------------------------------------------------------------


class Bare(asyncio.Protocol):
    """The floor: hands what it is told by one to all, as it came, or answers a handshake."""

    everybody: set[asyncio.Transport] = set()  # noqa: RUF012  one server in a process

    def __init__(self) -> None:
        self._rest = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        self.everybody.discard(self.transport)

    def data_received(self, data: bytes) -> None:
        if data.startswith(b"GET "):
            self.everybody.add(self.transport)
            self.transport.write(_answered(data))
            return
        self._rest += data
        size = _size(self._rest, 0)
        if len(self._rest) >= size:
            frame = bytes(self._rest[:size])
            del self._rest[:size]
            for one in self.everybody:
                one.write(frame)


def _answered(request: bytes) -> bytes:
    key = request.partition(b"Sec-WebSocket-Key: ")[2].partition(b"\r\n")[0]
    accept = base64.b64encode(hashlib.sha1(key + _MAGIC).digest())  # noqa: S324  RFC 6455
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )


async def _bare() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Bare, "127.0.0.1", 0, backlog=4096)
    print(f"ready http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


class Server:
    """Another process, on the first processor."""

    def __init__(self, process: subprocess.Popen[str], url: str, db: Path) -> None:
        self.url = url
        self.db = db
        host, _, port = url.rpartition("/")[2].rpartition(":")
        self.address = (host, int(port))
        self._pid = process.pid

    def memory(self) -> int:
        """Bytes of its memory that are in use and its own."""
        for line in Path(f"/proc/{self._pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Rss:"):
                return int(line.split()[1]) * 1024
        raise RuntimeError("no Rss")

    def counter(self, name: str) -> float:
        """One of the hub's own counters."""
        request = urllib.request.Request(  # noqa: S310  our own server
            self.url + "/metrics", headers={"Authorization": f"Bearer {TOKEN}"}
        )
        with urllib.request.urlopen(request) as answer:  # noqa: S310  the same
            for line in answer.read().decode().splitlines():
                if line.startswith(name + " "):
                    return float(line.split()[1])
        raise RuntimeError(f"no {name}")


@contextlib.contextmanager
def server(*arguments: str) -> Iterator[Server]:
    """`hub PATH` or `bare`; killed at the end."""
    command = [sys.executable, "-m", "tests.bench.crowd", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().removeprefix("ready ").strip()
            yield Server(process, url, Path(arguments[-1]))
        finally:
            process.kill()


def settle(cpu: int) -> None:
    """Stay on one processor, where there is more than one, and allow many connections."""
    if hasattr(os, "sched_setaffinity") and len(os.sched_getaffinity(0)) > cpu:
        os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[cpu]})
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def main(kind: str, *path: str) -> None:
    settle(0)
    if kind == "hub":
        serve_hub(Path(path[0]), "127.0.0.1", 0, TOKEN, child=False, insecure_lan=False)
        return
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_bare())


if __name__ == "__main__":
    main(*sys.argv[1:])
