"""A TCP proxy for tests: it delays, cuts after N bytes, goes half-open, or spoils the upgrade."""

from __future__ import annotations

import asyncio
import contextlib
from urllib.parse import urlsplit

from kiosk.tasks import spawn, stop

_UPGRADE = b"upgrade: websocket"


class Proxy:
    """Forwards to a hub; every attribute may be changed while it runs.

    `delay` is in seconds and each way; `cut_after` ends a connection after so many bytes of both
    ways, each time; `cut_path` limits that to requests with these bytes in their head. `refuse` is
    the status that upgrades are answered with, `swallow` lets the handshake through and nothing
    after it. `silent`: connections stay open and nothing passes (half-open). `buffer`: answers to
    event streams are held back, as some middleboxes do. `count` is how many connections there were.
    """

    def __init__(self, target):
        parts = urlsplit(target)
        self._target = parts.hostname, parts.port
        self.delay = 0.0
        self.cut_after = None
        self.cut_path = b""
        self.refuse = None
        self.swallow = False
        self.silent = False
        self.buffer = False
        self.count = 0
        self._over = False
        self._pairs = set()
        self._tasks = set()

    async def start(self):
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"

    async def stop(self):
        self._server.close()
        self._over = True
        self.cut()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def cut(self):
        """Break every connection, as a cable that is pulled and put back."""
        for writer in list(self._pairs):
            writer.transport.abort()

    async def _accepted(self, reader, writer):
        self.count += 1
        task = asyncio.current_task()
        self._tasks.add(task)
        self._pairs.add(writer)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await self._serve(reader, writer)
        finally:
            writer.transport.abort()
            self._pairs.discard(writer)
            self._tasks.discard(task)

    async def _serve(self, reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        upgrade = _UPGRADE in head.lower()
        if upgrade and self.refuse:
            writer.write(f"HTTP/1.1 {self.refuse} No\r\nContent-Length: 0\r\n\r\n".encode())
            await writer.drain()
            return
        back, forth = await asyncio.open_connection(*self._target)
        self._pairs.add(forth)
        way = _Way(upgrade)
        self._look(way, head)
        forth.write(head)
        ways = (
            spawn(self._pump(reader, forth, way, up=True), "proxy-up"),
            spawn(self._pump(back, writer, way, up=False), "proxy-down"),
        )
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await stop(*ways)
            forth.transport.abort()
            self._pairs.discard(forth)

    def _look(self, way, data):
        """A connection is used for one request after another: what is this one?"""
        if self.buffer and b"GET /v1/sse" in data:
            way.held = True
        if self.cut_after is not None and self.cut_path in data and way.left is None:
            way.left = self.cut_after

    def _stuck(self, way, first, up):
        swallowed = way.upgrade and self.swallow and not first
        return not self._over and (self.silent or swallowed or (way.held and not up))

    async def _pump(self, reader, writer, way, *, up):
        first = True
        with contextlib.suppress(OSError):
            while data := await reader.read(64 * 1024):
                if up:
                    self._look(way, data)
                if self.delay:
                    await asyncio.sleep(self.delay)
                while self._stuck(way, first, up):  # noqa: ASYNC110  set by plain attributes
                    await asyncio.sleep(0.02)
                if way.left is not None:
                    data = data[: way.left]
                    way.left -= len(data)
                writer.write(data)
                await writer.drain()
                first = False
                if way.left == 0:
                    return


class _Way:
    """One connection: `left` are the bytes it may still carry, `held` keeps answers back."""

    def __init__(self, upgrade):
        self.upgrade = upgrade
        self.left = None
        self.held = False


@contextlib.asynccontextmanager
async def proxied(target, **given):
    """A running proxy to a hub's address."""
    proxy = Proxy(target)
    for name, value in given.items():
        setattr(proxy, name, value)
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.stop()
