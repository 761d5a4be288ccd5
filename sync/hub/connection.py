"""One kiosk's or viewer's WebSocket: hello, then pushes, subscriptions and pings until it ends."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Protocol

from aiohttp import WebSocketError, WSMsgType

from kiosk.tasks import spawn, stop
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
    from collections.abc import Coroutine, Mapping, Sequence

    from kiosk.clock import Anchor
    from sync.hub.access import Who
    from sync.hub.core import Core
    from sync.hub.sockets import Socket

_LOG = logging.getLogger(__name__)

_HELLO_WITHIN = 10.0  # seconds
_FAREWELL = 2.0  # seconds a peer gets to take the close frame before it is cut off
_PUSHES_AT_ONCE = 8  # unanswered pushes of one connection; its socket is not read beyond that
_FRAMES_A_SECOND = 200.0  # on average, pings and pongs too; its socket is read no faster
_FRAMES_AT_ONCE = 1000
_BYTES_A_SECOND = 64.0 * 1024 * 1024  # of messages, deflated or not: many times what a drain brings
_LARGE = 16 * 1024  # bytes; smaller messages are few enough


class Asking(Protocol):
    """What is looked at of the request that became a WebSocket."""

    @property
    def remote(self) -> str | None:
        """Where it came from."""

    @property
    def headers(self) -> Mapping[str, str]:
        """What it said of itself."""


class Connection:
    """The conversation with one peer; also its `Line` to the rooms."""

    __slots__ = (
        "_anchors",
        "_attending",
        "_caller",
        "_core",
        "_deflates",
        "_greeted_by",
        "_held",
        "_member",
        "_pace",
        "_shown",
        "_slots",
        "_socket",
        "_transport",
        "_volume",
        "_who",
    )

    transport = "websocket"

    def __init__(
        self,
        core: Core,
        request: Asking,
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
        self._volume: Pace | None = None
        self._anchors: Sequence[Anchor] = ()
        self._member = Member(self, core.rooms)
        self._who: Who | None = None
        self._greeted_by = asyncio.get_running_loop().time() + _HELLO_WITHIN
        self._attending: asyncio.Task[None] | None = None
        self._held: Parcel | None = None

    async def run(self) -> None:
        """Talk until either side ends it; never raises but for cancellation."""
        await self._talk(self._converse())

    def begin(self) -> None:
        """Talk whenever the socket stirs: nothing is kept running for a peer that says nothing."""
        self._socket.owner = self
        try:
            self._admit()
        except DeniedError as denied:
            self._refuse(denied)
            self._leave()
            return
        self._core.talks.add(self)
        if self._socket.unread:
            self.stir()

    def stir(self) -> None:
        if self._attending is None:
            self._attending = spawn(self._attend(), "hub-socket")

    def tick(self, now: float) -> None:
        """Look after a connection that may say nothing."""
        self._socket.tick(now)
        if self._who is None and self._attending is None and now > self._greeted_by:
            self._fail(ProtocolError("no hello came"))
            self._leave()

    async def cut_off(self) -> None:
        """End at once, whatever is under way."""
        self._transport.abort()
        await stop(self._attending)
        self._leave()

    # -- the line to the rooms ---------------------------------------------------------------------

    def write(self, parcel: Parcel) -> None:
        if self._transport.is_closing():
            return
        frame = parcel.deflated if self._deflates else parcel.framed
        if self._held is None:
            self._transport.write(frame)
        else:
            held, self._held = self._held, None
            self._transport.writelines((held.framed, frame))

    def buffered(self) -> int:
        return self._transport.get_write_buffer_size()

    async def drained(self) -> None:
        await self._socket.drain()

    def close(self, code: Close, reason: str) -> None:
        if not self._socket.closed:
            spawn(self._end(code, reason), "hub-close")

    # -- the conversation --------------------------------------------------------------------------

    async def _attend(self) -> None:
        try:
            await self._talk(self._catch_up())
        finally:
            self._attending = None

    async def _talk(self, work: Coroutine[Any, Any, bool]) -> None:
        """Do `work`, which tells whether the peer has ended; say what it raises to the peer."""
        over = True
        try:
            over = await work
        except DeniedError as denied:
            self._refuse(denied)
        except ProtocolError as error:
            self._fail(error)
        except Exception:
            self._transport.abort()  # or the peer would wait for what nobody does any more
            raise
        finally:
            if over:
                self._leave()

    async def _converse(self) -> bool:
        self._admit()
        try:
            async with asyncio.timeout(_HELLO_WITHIN):
                message = await self._next()
        except TimeoutError:
            raise ProtocolError("no hello came") from None
        while message is not None:
            await self._take(message)
            message = await self._next()
        return True

    async def _catch_up(self) -> bool:
        while self._socket.unread:
            message = await self._next()
            if message is None:
                return True
            held = self._held
            await self._take(message)
            if held is not None:
                self._flush()
        return False

    def _admit(self) -> None:
        if self._shown is not None:
            self._core.access.admit(self._shown, self._caller)

    async def _next(self) -> FromKiosk | None:
        """The peer's next message, no sooner than it may be read; None once there are no more."""
        now = asyncio.get_running_loop().time
        while True:
            if wait := self._pace.take(now()):
                await asyncio.sleep(wait)
            message = await self._socket.receive()
            match message.type:
                case WSMsgType.TEXT | WSMsgType.BINARY:
                    await self._weigh(len(message.data))
                    return decode_from_kiosk(message.data)
                case WSMsgType.PING | WSMsgType.PONG:
                    continue
                case WSMsgType.ERROR if isinstance(message.data, WebSocketError):
                    self._core.metrics.bad_message()
                    _LOG.warning("a broken frame ended a connection: %s", message.data)
            return None

    async def _weigh(self, size: int) -> None:
        """Wait if so many bytes more are too many: deflated, they may have cost next to nothing."""
        if size > _LARGE:
            volume = self._volume = self._volume or Pace(_BYTES_A_SECOND, _BYTES_A_SECOND)
            if wait := volume.take(asyncio.get_running_loop().time(), size):
                await asyncio.sleep(wait)

    async def _take(self, message: FromKiosk) -> None:
        who = self._who
        if who is None:
            await self._greet(message)
            return
        match message:
            case Push():
                await self._push(message, who)
            case Subscribe():
                await self._subscribe(message, who)
            case Unsubscribe():
                self._member.leave(message.room)
            case Ping():
                self._say(Pong(message.sent, self._core.time()))
            case Hello():
                raise ProtocolError("a second hello")
            case _:
                raise ProtocolError("nothing that is said over a WebSocket")

    async def _greet(self, hello: FromKiosk) -> None:
        if not isinstance(hello, Hello):
            raise ProtocolError("the first message was not a hello")
        self._who = self._member.who = self._core.greet(hello, self._shown, self._caller)
        self._shown = None  # long, and of no more use
        self._core.enter(self, self._who)
        welcome = Parcel(await self._core.welcome(self._who))
        if self._who.viewer and self._socket.unread:
            self._held = welcome  # what is asked for already goes in the same packet
        else:
            self.write(welcome)

    async def _subscribe(self, wish: Subscribe, who: Who) -> None:
        if who.may_follow(wish.room):
            await self._member.subscribe(wish)
        else:
            self._say(Error("room", f"{wish.room} is not for this site"))

    async def _push(self, push: Push, who: Who) -> None:
        if who.viewer:
            self._say(Error("viewer", "a viewer pushes nothing"))
            return
        self._core.access.demand(who.grant.may_push(), "push events")
        slots = self._slots = self._slots or asyncio.Semaphore(_PUSHES_AT_ONCE)
        await slots.acquire()

        def answer(receipt: Receipt) -> None:
            slots.release()
            self._say(receipt)

        self._anchors = united(self._anchors, push.anchors)
        submit(
            self._core,
            push,
            who,
            answer,
            anchors=self._anchors,
            origin=self._member,
        )

    def _say(self, message: Message) -> None:
        self.write(Parcel(message))
        self._member.check()

    def _flush(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            self.write(held)

    def _refuse(self, denied: DeniedError) -> None:
        error = self._core.access.noted(denied, self._caller)
        self._say(Error(error.code, str(error), error.after))
        self.close(error.close, str(error))

    def _fail(self, error: ProtocolError) -> None:
        self._core.metrics.bad_message()
        _LOG.warning("a bad message ended a connection: %s", error)
        self._say(Error(error.code, str(error)))
        self.close(Close.BAD_MESSAGE, error.code)

    def _leave(self) -> None:
        """The conversation is over, whatever the socket still has to send."""
        self._socket.owner = None
        self._core.talks.discard(self)
        self._core.leave(self)
        self._member.gone()
        if self.buffered():
            asyncio.get_running_loop().call_later(_FAREWELL, self._transport.abort)

    async def _end(self, code: Close, reason: str) -> None:
        self._flush()
        # A peer that takes nothing would hold the transport open for ever.
        asyncio.get_running_loop().call_later(_FAREWELL, self._transport.abort)
        await self._socket.close(code=code, message=reason.encode()[:120], drain=False)
