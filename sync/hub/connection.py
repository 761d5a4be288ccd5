"""One kiosk's or viewer's WebSocket: hello, then pushes, subscriptions and pings until it ends."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from aiohttp import WebSocketError, WSMsgType

from kiosk.tasks import spawn
from sync.hub.access import DeniedError
from sync.hub.auth.gate import Caller
from sync.hub.frames import Parcel
from sync.hub.intake import submit, united
from sync.hub.members import Member
from sync.hub.paces import Pace
from sync.hub.tokens import bearer
from sync.protocol import (
    PATH,
    Close,
    Error,
    FromKiosk,
    Hello,
    Message,
    Ping,
    Pong,
    ProtocolError,
    Push,
    Receipt,
    Subscribe,
    Unsubscribe,
    decode_from_kiosk,
)

if TYPE_CHECKING:
    from aiohttp import web

    from kiosk.clock import Anchor
    from sync.hub.access import Who
    from sync.hub.core import Core
    from sync.hub.sockets import Socket

_LOG = logging.getLogger(__name__)

_HELLO_WITHIN = 10.0  # seconds
_FAREWELL = 2.0  # seconds a peer gets to take the close frame before it is cut off
_PUSHES_AT_ONCE = 8  # unanswered pushes of one connection; its socket is not read beyond that
_FRAMES_A_SECOND = 200.0  # on average; its socket is read no faster
_FRAMES_AT_ONCE = 1000


class Connection:
    """The conversation with one peer; also its `Line` to the rooms."""

    transport = "websocket"

    def __init__(
        self,
        core: Core,
        request: web.Request,
        socket: Socket,
        caller: Caller | None = None,
        *,
        deflates: bool = False,
    ) -> None:
        """`deflates`: the peer negotiated permessage-deflate, with a window of `WINDOW` bits."""
        self._core = core
        self._caller = caller or Caller(request.remote or "", f"GET {PATH}")
        self._shown = bearer(request.headers.get("Authorization"))
        self._socket = socket
        self._transport = socket.transport
        self._deflates = deflates
        self._slots: asyncio.Semaphore | None = None  # most never push
        self._pace = Pace(_FRAMES_A_SECOND, _FRAMES_AT_ONCE)
        self._anchors: list[Anchor] = []
        self._member = Member(self, core.rooms)
        self._who: Who

    async def run(self) -> None:
        """Talk until either side ends it; never raises but for cancellation."""
        try:
            await self._greet()
            while (message := await self._next()) is not None:
                await self._take(message)
        except DeniedError as denied:
            error = self._core.access.noted(denied, self._caller)
            self._say(Error(error.code, str(error), error.after))
            await self._end(error.close, str(error))
        except ProtocolError as error:
            self._core.metrics.bad_message()
            _LOG.warning("a bad message ended a connection: %s", error)
            self._say(Error(error.code, str(error)))
            await self._end(Close.BAD_MESSAGE, error.code)
        finally:
            self._core.leave(self)
            self._member.gone()

    # -- the line to the rooms ---------------------------------------------------------------------

    def write(self, parcel: Parcel) -> None:
        if not self._transport.is_closing():
            self._transport.write(parcel.deflated if self._deflates else parcel.framed)

    def buffered(self) -> int:
        return self._transport.get_write_buffer_size()

    async def drained(self) -> None:
        await self._socket.drain()

    def close(self, code: Close, reason: str) -> None:
        if not self._socket.closed:
            spawn(self._end(code, reason), "hub-close")

    # -- the conversation --------------------------------------------------------------------------

    async def _greet(self) -> None:
        if self._shown is not None:
            self._core.access.admit(self._shown, self._caller)
        try:
            async with asyncio.timeout(_HELLO_WITHIN):
                hello = await self._next()
        except TimeoutError:
            raise ProtocolError("no hello came") from None
        if not isinstance(hello, Hello):
            raise ProtocolError("the first message was not a hello")
        self._who = self._member.who = self._core.greet(hello, self._shown, self._caller)
        self._shown = None  # long, and of no more use
        self._core.enter(self, self._who)
        self._say(await self._core.welcome(self._who))

    async def _next(self) -> FromKiosk | None:
        if wait := self._pace.take(asyncio.get_running_loop().time()):
            await asyncio.sleep(wait)
        message = await self._socket.receive()
        if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
            return decode_from_kiosk(message.data)
        if message.type is WSMsgType.ERROR and isinstance(message.data, WebSocketError):
            self._core.metrics.bad_message()
            _LOG.warning("a broken frame ended a connection: %s", message.data)
        return None

    async def _take(self, message: FromKiosk) -> None:
        match message:
            case Push():
                await self._push(message)
            case Subscribe():
                await self._subscribe(message)
            case Unsubscribe():
                self._member.leave(message.room)
            case Ping():
                self._say(Pong(message.sent, self._core.time()))
            case Hello():
                raise ProtocolError("a second hello")
            case _:
                raise ProtocolError("nothing that is said over a WebSocket")

    async def _subscribe(self, wish: Subscribe) -> None:
        if self._who.may_follow(wish.room):
            await self._member.subscribe(wish)
        else:
            self._say(Error("room", f"{wish.room} is not for this site"))

    async def _push(self, push: Push) -> None:
        if self._who.viewer:
            self._say(Error("viewer", "a viewer pushes nothing"))
            return
        self._core.access.demand(self._who.grant.may_push(), "push events")
        slots = self._slots = self._slots or asyncio.Semaphore(_PUSHES_AT_ONCE)
        await slots.acquire()

        def answer(receipt: Receipt) -> None:
            slots.release()
            self._say(receipt)

        self._anchors = united(self._anchors, push.anchors)
        submit(
            self._core,
            push,
            self._who,
            answer,
            anchors=self._anchors,
            origin=self._member,
        )

    def _say(self, message: Message) -> None:
        self.write(Parcel(message))
        self._member.check()

    async def _end(self, code: Close, reason: str) -> None:
        # A peer that takes nothing would hold the transport open for ever.
        asyncio.get_running_loop().call_later(_FAREWELL, self._transport.abort)
        await self._socket.close(code=code, message=reason.encode()[:120], drain=False)
