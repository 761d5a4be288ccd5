"""Server-sent events (WHATWG HTML, 9.2): what a WebSocket brings, for whoever can only listen."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiohttp import web

from sync.hub.frames import Mark, Parcel
from sync.hub.members import Member
from sync.protocol import Close, Error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sync.hub.access import Who
    from sync.hub.core import Core
    from sync.protocol import Subscribe

_HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # what nginx looks at
}
_OPENING = b"retry: 2000\n: open\n\n"  # ms until a browser tries again
_BEAT = b": beat\n\n"
_BEAT_EVERY = 10.0  # seconds of silence
_FAREWELL = 2.0  # seconds a peer gets to take its last words


class Stream:
    """One listener; also its `Line` to the rooms.

    The id of an event is `epoch:offset`; with several rooms in the request, `epoch:a,b,..` with
    their offsets in the request's order, so that a `Last-Event-ID` resumes all of them. Of a room
    that is followed by rows it is `offset.received`.
    """

    transport = "sse"

    def __init__(self, core: Core, who: Who, name: str, wishes: Sequence[Subscribe]) -> None:
        """`name` is the listener's own for it, to add rooms by; "" if it has none."""
        self.who = who
        self.member = Member(self, core.rooms, who)
        self._core = core
        self._name = name
        self._wishes = wishes
        self._offsets = {wish.room: _begins(wish) for wish in wishes}
        self._ended = asyncio.Event()
        self._spoke = 0.0
        self._chunked = True
        self._farewell: asyncio.TimerHandle | None = None
        self._wire: asyncio.Transport

    async def run(self, request: web.Request) -> web.StreamResponse:
        """Serve the request until either side ends it. Raises `DeniedError` if there is no room."""
        core = self._core
        core.enter(self, self.who)
        try:
            response = web.StreamResponse(headers=_HEADERS)
            writer = await response.prepare(request)
            if request.transport is None or writer is None:
                return response
            self._wire, self._drain = request.transport, writer.drain
            self._chunked = "chunked" in response.headers.get("Transfer-Encoding", "")
            if self._name:
                core.streams[self._name] = self
            self._send(_OPENING)
            for wish in self._wishes:
                await self.member.subscribe(wish)
            await self._ended.wait()
        finally:
            self._forget()
        return response

    def tick(self, now: float) -> None:
        """Find out that the listener has gone, or show it that the hub has not."""
        if self._wire.is_closing():
            self._ended.set()
        elif now - self._spoke >= _BEAT_EVERY:
            self._send(_BEAT)
            self.member.check()

    # -- the line to the rooms ---------------------------------------------------------------------

    def write(self, parcel: Parcel) -> None:
        event = parcel.sse
        if parcel.mark is not None and parcel.mark.room in self._offsets:
            self._offsets[parcel.mark.room] = parcel.mark.text
            offsets = ",".join(self._offsets.values())
            event = f"id: {parcel.mark.epoch}:{offsets}\n".encode() + event
        self._send(event + b"\n")

    def buffered(self) -> int:
        return self._wire.get_write_buffer_size()

    async def drained(self) -> None:
        await self._drain()

    def close(self, code: Close, reason: str) -> None:
        if self._ended.is_set():
            return
        self.write(Parcel(Error(code.name.lower(), reason)))
        self._send(f": closed {code.value} {reason}\n\n".encode())
        self._ended.set()
        # One that takes nothing would hold the transport open for ever.
        loop = asyncio.get_running_loop()
        self._farewell = loop.call_later(_FAREWELL, self._wire.abort)

    # -- inside ------------------------------------------------------------------------------------

    def _send(self, data: bytes) -> None:
        if self._ended.is_set() or self._wire.is_closing():
            return
        self._spoke = asyncio.get_running_loop().time()
        self._wire.write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)

    def _forget(self) -> None:
        self._core.leave(self)
        self.member.gone()
        if self._core.streams.get(self._name) is self:
            del self._core.streams[self._name]


def _begins(wish: Subscribe) -> str:
    at = wish.cursor
    if at is None:
        return "0"
    return Mark(wish.room, at.epoch, at.offset, at.received if wish.rows else 0).text
