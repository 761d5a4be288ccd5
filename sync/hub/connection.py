"""One kiosk's or viewer's WebSocket: hello, then pushes, subscriptions and pings until it ends."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from aiohttp import WebSocketError, WSMsgType, web

from kiosk.model import site_room
from kiosk.tasks import spawn
from sync.hub.frames import framed
from sync.hub.judge import belongs, trace
from sync.hub.log import Submission
from sync.hub.rooms import Member
from sync.hub.tokens import bearer, same
from sync.hub.writer import Job, NotWrittenError
from sync.protocol import (
    VERSION,
    Close,
    Error,
    FromKiosk,
    Hello,
    Judged,
    Message,
    Ping,
    Pong,
    ProtocolError,
    Push,
    Receipt,
    Subscribe,
    Welcome,
    check_version,
    decode_from_kiosk,
    encode,
)

if TYPE_CHECKING:
    from aiohttp.abc import AbstractStreamWriter

    from kiosk.clock import Anchor
    from sync.hub.core import Core
    from sync.hub.log import Log

_LOG = logging.getLogger(__name__)

_HELLO_WITHIN = 10.0  # seconds
_FAREWELL = 2.0  # seconds a peer gets to take the close frame before it is cut off
_PUSHES_AT_ONCE = 8  # unanswered pushes of one connection; its socket is not read beyond that
_RETRY_AFTER = 5.0  # seconds, when the disk refuses
_BUSY_FOR = 30.0  # seconds, when there are too many connections
_MOST_ANCHORS = 64
_SANE = 1 << 62  # ns; an anchor beyond is nobody's time
_BROKEN_FRAME = {1002: "malformed", 1003: "malformed", 1007: "malformed", 1009: "oversized"}


class RefusedError(ProtocolError):
    """The peer may not go on; `close` says why."""

    def __init__(self, close: Close, message: str, after: float | None = None) -> None:
        super().__init__(message)
        self.close = close
        self.after = after


class Socket(web.WebSocketResponse[Any]):
    """aiohttp's WebSocket, but a frame that breaks its rules ends it as any bad message does."""

    async def close(self, *, code: int = 1000, message: bytes = b"", drain: bool = True) -> bool:
        if (kind := _BROKEN_FRAME.get(code)) and not self.closed:
            await self.send_str(
                encode(Error(kind, "the frame breaks RFC 6455 or is too long")).decode()
            )
            code, message = Close.BAD_MESSAGE, kind.encode()
        return await super().close(code=code, message=message, drain=drain)


class Connection:
    """The conversation with one peer; also its `Line` to the rooms."""

    def __init__(
        self, core: Core, request: web.Request, socket: Socket, writer: AbstractStreamWriter
    ) -> None:
        assert request.transport is not None  # noqa: S101  it has just been upgraded
        self._core = core
        self._shown = bearer(request.headers.get("Authorization"))
        self._socket = socket
        self._drain = writer.drain
        self._transport = request.transport
        self._slots = asyncio.Semaphore(_PUSHES_AT_ONCE)
        self._anchors: list[Anchor] = []
        self._member = Member(self, core.rooms)
        self._hello: Hello

    async def run(self) -> None:
        """Talk until either side ends it; never raises but for cancellation."""
        try:
            self._hello = await self._greet()
            while (message := await self._next()) is not None:
                await self._take(message)
        except RefusedError as error:
            self._say(Error(error.close.name.lower(), str(error), error.after))
            await self._end(error.close, str(error))
        except ProtocolError as error:
            self._core.malformed += 1
            _LOG.warning("a bad message ended a connection: %s", error)
            self._say(Error(error.code, str(error)))
            await self._end(Close.BAD_MESSAGE, error.code)
        finally:
            self._core.leave(self)
            self._member.gone()

    # -- the line to the rooms ---------------------------------------------------------------------

    def write(self, frame: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(frame)

    def buffered(self) -> int:
        return self._transport.get_write_buffer_size()

    async def drained(self) -> None:
        await self._drain()

    def close(self, code: Close, reason: str) -> None:
        if not self._socket.closed:
            spawn(self._end(code, reason), "hub-close")

    # -- the conversation --------------------------------------------------------------------------

    async def _greet(self) -> Hello:
        core = self._core
        if self._shown is not None and not same(self._shown, core.token):
            raise RefusedError(Close.TOKEN, "the token is not this hub's")
        try:
            async with asyncio.timeout(_HELLO_WITHIN):
                hello = await self._next()
        except TimeoutError:
            raise ProtocolError("no hello came") from None
        if not isinstance(hello, Hello):
            raise ProtocolError("the first message was not a hello")
        if not same(self._shown or hello.token, core.token):
            raise RefusedError(Close.TOKEN, "the token is missing or not this hub's")
        check_version(hello.version)
        if hello.key:
            await self._introduce(hello)
        if not core.enter(self, hello):
            raise RefusedError(Close.TRY_LATER, "too many connections", _BUSY_FOR)
        received = await core.pages.received(hello.device)
        self._say(Welcome(VERSION, core.rooms.epoch, core.time(), received))
        return hello

    async def _introduce(self, hello: Hello) -> None:
        """Have the device's key pinned, or compared with the one that is."""
        future: asyncio.Future[bool | NotWrittenError] = asyncio.get_running_loop().create_future()

        def done(result: bool | NotWrittenError) -> None:  # noqa: FBT001  what the job returns
            if not future.done():
                future.set_result(result)

        who = (hello.org, hello.device, hello.incarnation, hello.key)
        self._core.writer.put(Job(lambda log: log.introduce(*who), done))
        result = await future
        if isinstance(result, NotWrittenError):
            raise RefusedError(Close.TRY_LATER, str(result), _RETRY_AFTER)
        if not result:
            raise RefusedError(Close.TOKEN, "another key is known of this device; pair it anew")

    async def _next(self) -> FromKiosk | None:
        message = await self._socket.receive()
        if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
            return decode_from_kiosk(message.data)
        if message.type is WSMsgType.ERROR and isinstance(message.data, WebSocketError):
            self._core.malformed += 1
            _LOG.warning("a broken frame ended a connection: %s", message.data)
        return None

    async def _take(self, message: FromKiosk) -> None:
        match message:
            case Push():
                await self._push(message)
            case Subscribe():
                await self._subscribe(message)
            case Ping():
                self._say(Pong(message.sent, self._core.time()))
            case Hello():
                raise ProtocolError("a second hello")

    async def _subscribe(self, wish: Subscribe) -> None:
        own = site_room(self._hello.org, self._hello.site)
        sessions = f"org/{self._hello.org}/session/"
        if wish.room == own or (
            wish.room.startswith(sessions) and belongs(wish.room, self._hello.org)
        ):
            await self._member.subscribe(wish)
        else:
            self._say(Error("room", f"{wish.room} is not for this site"))

    async def _push(self, push: Push) -> None:
        await self._slots.acquire()
        self._note_anchors(push.anchors)
        submission = Submission(
            self._hello.org,
            self._hello.device,
            [bytes(raw) for raw in push.events],
            tuple(self._anchors),
            self._member,
            push.signed,
        )

        def work(log: Log) -> list[Judged]:
            return log.submit(submission)

        def done(result: list[Judged] | NotWrittenError) -> None:
            self._slots.release()
            if isinstance(result, NotWrittenError):
                result = _again_later(submission)
            self._say(Receipt(push.batch, result))

        self._core.writer.put(Job(work, done, len(submission.bodies)))

    def _note_anchors(self, anchors: list[Anchor]) -> None:
        sane = [a for a in anchors if max(abs(a.ticks), abs(a.hub), abs(a.round_trip)) < _SANE]
        if sane:
            fresh = {(a.boot, a.ticks): a for a in (*self._anchors, *sane)}
            self._anchors = list(fresh.values())[-_MOST_ANCHORS:]

    def _say(self, message: Message) -> None:
        self.write(framed(encode(message)))
        self._member.check()

    async def _end(self, code: Close, reason: str) -> None:
        # A peer that takes nothing would hold the transport open for ever.
        asyncio.get_running_loop().call_later(_FAREWELL, self._transport.abort)
        await self._socket.close(code=code, message=reason.encode()[:120], drain=False)


def _again_later(submission: Submission) -> list[Judged]:
    ids = (trace(body).id for body in submission.bodies)
    return [Judged(id_, "retry", code="disk", after=_RETRY_AFTER) for id_ in ids]
