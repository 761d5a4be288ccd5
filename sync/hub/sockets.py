"""A WebSocket with its TCP connection to itself: what an upgraded request leaves behind.

aiohttp keeps the request, its parser, two tasks and two timers for as long as a WebSocket lasts.
That is dear for thousands that hardly ever speak, so the connection is taken over from it, if it
ever had it: the frames (RFC 6455) are still read by its code, all else is here.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, NamedTuple, Protocol

from aiohttp import EofStream, WebSocketError, WSMsgType, web
from aiohttp.http_websocket import (
    WS_CLOSED_MESSAGE,
    WS_CLOSING_MESSAGE,
    WebSocketReader,
    WSMessage,
    WSMessageTextBytes,
)

# Which of its two makes, in C or in Python, is for aiohttp to say.
from aiohttp._websocket.reader import WebSocketDataQueue  # isort: skip

from sync.hub.frames import Parcel, framed
from sync.hub.upgrades import answer
from sync.protocol import MAX_MESSAGE, Close, Error

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sync.hub.upgrades import Upgrade

WINDOW = 15  # bits of a deflated frame's window: what a peer allows unless it says otherwise

_CLOSE, _PING, _PONG = 0x88, 0x89, 0x8A  # FIN and the opcode
_UNREAD = 64 * 1024  # bytes of messages; twice that, and the socket is read no further
_UNFINISHED = MAX_MESSAGE + 64 * 1024  # bytes that may come without a message being whole
_UNSENT = 64 * 1024  # bytes beyond which pings are answered by none (RFC 6455, 5.5.3)
_SILENT = 30.0  # seconds without a sign of life before a peer is asked for one
_GONE = 45.0  # seconds without one before it is given up
_ANSWERED_WITHIN = 1.0  # seconds a peer gets to close, too
_BROKEN_FRAME = {1002: "malformed", 1003: "malformed", 1007: "malformed", 1009: "oversized"}


class Upgraded(NamedTuple):
    """The socket, whether its peer deflates, and what the request's handler must return."""

    socket: Socket
    deflates: bool
    response: web.StreamResponse


def upgraded(request: web.Request) -> Upgraded:
    """Accept an upgrade and take the connection over.

    Raises `HTTPBadRequest` for what is none, `ConnectionResetError` if the peer has gone already.
    """
    shaken = web.WebSocketResponse(compress=True)._handshake(request)  # noqa: SLF001  all of 4.2
    headers, window = shaken[0], shaken[2]
    http, transport = request.protocol, request.transport
    if transport is None or transport.is_closing():
        raise ConnectionResetError("gone before the upgrade")
    transport.write(_accepted(headers))
    socket = Socket(transport, compressed=bool(window))
    http.set_parser(socket)  # type: ignore[arg-type]  # it hands over what came behind the request
    transport.set_protocol(socket)
    http.transport = None  # so that it lets go of the connection without ending it
    http.connection_lost(None)
    return Upgraded(socket, window == WINDOW, _Taken())


class Plain(NamedTuple):
    """What is left of an upgrade that never was a request."""

    remote: str | None
    headers: Mapping[str, str]

    @classmethod
    def of(cls, transport: asyncio.Transport, upgrade: Upgrade) -> Plain:
        """Who asked for it."""
        peer = transport.get_extra_info("peername")
        return cls(peer[0] if peer else None, upgrade.headers)


def taken(transport: asyncio.Transport, upgrade: Upgrade) -> tuple[Socket, bool]:
    """Accept an upgrade and take the connection over; and whether its peer deflates."""
    accepted, window = answer(upgrade)
    transport.write(accepted)
    socket = Socket(transport, compressed=bool(window))
    transport.set_protocol(socket)
    if upgrade.rest:
        socket.data_received(upgrade.rest)
    return socket, window == WINDOW


class Owner(Protocol):
    """Whose socket it is."""

    def stir(self) -> None:
        """Something can be received, perhaps the end."""


class Socket(asyncio.Protocol):
    """Reads messages, answers pings and closes; whoever writes uses the transport."""

    __slots__ = (
        "_closing",
        "_flowing",
        "_heard",
        "_loop",
        "_pinged",
        "_queue",
        "_reader",
        "_reading_paused",
        "_timer",
        "_unfinished",
        "closed",
        "owner",
        "transport",
    )

    closed: bool
    """Whether the hub has said its last word, or the peer is gone."""

    owner: Owner | None
    """Told whenever there is something to receive."""

    def __init__(self, transport: asyncio.Transport, *, compressed: bool) -> None:
        self.transport = transport
        self.closed = False
        self._loop = asyncio.get_running_loop()
        self._queue = WebSocketDataQueue(self, _UNREAD, loop=self._loop)  # type: ignore[arg-type]  # of a BaseProtocol it asks no more than is here
        self._reader = WebSocketReader(self._queue, MAX_MESSAGE, compressed, decode_text=False)
        self._closing = False
        self._reading_paused = False
        self._flowing: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._heard = self._loop.time()
        self._pinged = False
        self._unfinished = 0
        self.owner = None

    @property
    def unread(self) -> bool:
        """Whether `receive` has something to return at once."""
        return bool(self._queue._buffer) or self._queue.is_eof()  # noqa: SLF001  nothing else says so

    async def receive(self) -> WSMessage | WSMessageTextBytes:
        """The peer's next message, or its ping or pong, which need no answer any more.

        One of another type once there are no more.
        """
        if self._closing:
            return WS_CLOSED_MESSAGE
        try:
            message = await self._queue.read()
        except EofStream:
            return WS_CLOSED_MESSAGE
        except Exception as error:  # noqa: BLE001  whatever its bytes did to the parser
            return self._broken(error)
        if message.type is WSMsgType.PING:
            if self.transport.get_write_buffer_size() < _UNSENT:
                self._send(_PONG, message.data)
        elif message.type is WSMsgType.CLOSE:
            self._say_close(message.data or 1000, b"")
            self.transport.close()
        return message

    async def close(self, *, code: int = 1000, message: bytes = b"", drain: bool = True) -> bool:
        """Say a close frame; the connection ends once the peer has said its own, or soon."""
        del drain  # nothing here waits
        if self.closed:
            return False
        self._say_close(code, message)
        self._queue.feed_data(WS_CLOSING_MESSAGE, 0)  # for who waits for a message
        self._stir()
        return True

    async def drain(self) -> None:
        """Return once the peer has taken most of what was written."""
        if self._flowing is not None:
            await asyncio.shield(self._flowing)

    def tick(self, now: float) -> None:
        """Ask a silent peer for a sign of life, give up one that gave none."""
        silent = now - self._heard
        if silent > _GONE:
            self.transport.abort()
        elif silent > _SILENT and not self._pinged:
            self._pinged = True
            self._send(_PING, b"")

    # -- asyncio.Protocol --------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        self._heard = self._loop.time()
        self._pinged = False
        self._reader.feed_data(data)
        if self._closing:
            self._discard()
        elif self.unread:
            self._unfinished = 0
            self._stir()
        else:
            self._unfinished += len(data)
            if self._unfinished > _UNFINISHED:  # fragments without end, perhaps of nothing
                self._queue.set_exception(WebSocketError(1009, "a message without end"))
                self._stir()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self.closed = True
        if self._timer is not None:
            self._timer.cancel()
        self._queue.feed_eof()
        self.resume_writing()
        self._stir()

    def pause_writing(self) -> None:
        self._flowing = self._loop.create_future()

    def resume_writing(self) -> None:
        flowing, self._flowing = self._flowing, None
        if flowing is not None and not flowing.done():
            flowing.set_result(None)

    # -- what aiohttp's code asks for --------------------------------------------------------------

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """Take what came right behind the request."""
        self.data_received(data)
        return False, b""

    def feed_eof(self) -> None:
        """The HTTP server lets go, which is no end."""

    def pause_reading(self) -> None:
        """Too much is unread."""
        self._reading_paused = True
        with contextlib.suppress(RuntimeError):  # closing already
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        """What was unread has been read."""
        self._reading_paused = False
        with contextlib.suppress(RuntimeError):
            self.transport.resume_reading()

    # -- inside ------------------------------------------------------------------------------------

    def _stir(self) -> None:
        if self.owner is not None:
            self.owner.stir()

    def _broken(self, error: Exception) -> WSMessage:
        code = error.code if isinstance(error, WebSocketError) else 1002
        kind = _BROKEN_FRAME.get(code, "malformed")
        if not self.closed:
            words = Parcel(Error(kind, "the frame breaks RFC 6455 or is too long"))
            self._write(words.framed)
            self._say_close(Close.BAD_MESSAGE, kind.encode())
        return WSMessage(WSMsgType.ERROR, error, None)

    def _say_close(self, code: int, reason: bytes) -> None:
        if not self.closed:
            self._closing = self.closed = True
            self._send(_CLOSE, code.to_bytes(2, "big") + reason)
            self._timer = self._loop.call_later(_ANSWERED_WITHIN, self.transport.close)

    def _discard(self) -> None:
        """Nobody reads any more; only the peer's own close matters."""
        buffer = self._queue._buffer  # noqa: SLF001  it has no other way to be emptied at once
        while buffer:
            if buffer.popleft()[0].type is WSMsgType.CLOSE:
                self.transport.close()

    def _send(self, first: int, payload: bytes) -> None:
        self._write(framed(payload, first))

    def _write(self, data: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(data)


class _Taken(web.StreamResponse):
    """Stands for the answer to a request whose connection has been taken over."""

    async def prepare(self, request: web.BaseRequest) -> None:
        del request

    async def write_eof(self, data: bytes = b"") -> None:
        del data


def _accepted(headers: Mapping[str, str]) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 101 Switching Protocols\r\n{lines}\r\n".encode()
