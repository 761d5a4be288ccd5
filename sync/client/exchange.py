"""One connection to a hub, from hello to its end, with a lane up and a lane down."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
from typing import TYPE_CHECKING, TypeVar

from websockets.exceptions import ConnectionClosed

from kiosk import hubs
from kiosk.clock import Anchor
from kiosk.devicekey import DeviceKeyError
from kiosk.incarnation import PUT_BACK, told_apart
from kiosk.model import site_room
from kiosk.pruning import Safe
from kiosk.store import StoreError, StoreFullError, StoreWriteError
from kiosk.tasks import spawn, stop
from sync.client import cursors
from sync.client.downloads import Downloads
from sync.client.uploads import Uploads
from sync.protocol import (
    VERSION,
    Ack,
    Error,
    Events,
    FromHub,
    FromKiosk,
    Gap,
    Hello,
    Ping,
    Pong,
    Position,
    ProtocolError,
    Reset,
    Welcome,
    check_version,
    decode_from_hub,
    encode,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from concurrent.futures import Future
    from typing import Any

    from kiosk.clock import Clock
    from kiosk.store import Store
    from sync.client.pacing import Pacing
    from sync.client.wires import Wire
    from sync.protocol import House

T = TypeVar("T")
_LOG = logging.getLogger(__name__)

_LONGEST_ROUND_TRIP = 5_000_000_000  # ns; a slower one says too little about the time
_MOST_ANCHORS = 32
_OF_THE_HUB = ("", "hub")  # the place in `offered` of its own records
_TRIED = "tried"  # a note that says nothing: whether the disk takes writes


class WritableError(ProtocolError):
    """The disk takes again what it refused, so the greeting is to be gone through anew."""

    code = "renewed"


class StrangerError(ProtocolError):
    """The hub's key is not the one that this kiosk knows its hub by."""

    code = "stranger"


class RenewedError(ProtocolError):
    """This kiosk has begun a new incarnation, of which the hub has yet to hear."""

    code = "renewed"


class RestoredError(ProtocolError):
    """The hub was brought back from a backup; greeted anew, it says what it lacks."""

    code = "restored"


EXPECTED = (ConnectionClosed, ProtocolError, StoreError, sqlite3.Error, OSError, TimeoutError)


class Exchange:
    """Talks over one open wire. `refusal` is the hub's last `error`, should it end so."""

    def __init__(
        self,
        socket: Wire,
        store: Store,
        clock: Clock,
        pacing: Pacing,
        heard: Callable[[], None],
        offered: dict[tuple[str, str], int],
        *,
        careful: bool = False,
        token: str = "",
    ) -> None:
        """`heard` is called after every frame from the hub has been acted on.

        `offered` is kept from one exchange to the next: per epoch and incarnation, the kseq above
        which the last exchange had to offer again what the hub had once taken. `token` is what the
        hub was shown: who gives a kiosk another one means another hub.
        """
        self.refusal: Error | None = None
        self.welcomed = False
        self.proven = False
        self._socket = socket
        self._store = store
        self._clock = clock
        self._pacing = pacing
        self._heard = heard
        self._offered = offered
        self._epoch = ""
        self._token = token
        self._house: House | None = None
        self._lost: dict[str, int] = {}
        self._passed_over: dict[str, int] = {}
        self._unwritten = False
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._uploads = Uploads(store, self._say, clock, pacing, careful=careful)
        self._downloads = Downloads(store, self._say, pacing)

    @property
    def lost(self) -> int:
        """How many events of this device the hub misses, and knows that it will never get."""
        return sum(self._lost.values())

    @property
    def set_apart(self) -> int:
        """How many events the hub has quarantined over this connection."""
        return self._uploads.set_apart

    @property
    def gaps_told(self) -> int:
        """Grows when it may be another number of events that the hub no longer keeps."""
        return self._downloads.gaps_told

    def wake(self) -> None:
        """The outbox or the rooms may have grown."""
        self._uploads.wake()
        self._downloads.wake()

    async def run(self, site: str, name: str) -> None:
        """Talk until it ends; always raises, one of `EXPECTED` unless cancelled."""
        await self._greet(site, name)
        lanes = [
            spawn(self._lane(work), f"sync-{title}")
            for title, work in (
                ("reader", self._read()),
                ("uploads", self._uploads.run()),
                ("downloads", self._downloads.run()),
                ("pings", self._ping()),
                ("proof", self._prove()),
                ("greeting", self._greet_anew()),
            )
        ]
        try:
            await self._ended
        finally:
            await stop(*lanes)

    async def _lane(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a lane; however it fails, the exchange ends with it."""
        try:
            await work
        except EXPECTED as error:
            self._end(error)
        except Exception as error:
            self._end(ProtocolError(f"the line failed: {error!r}"))
            raise

    def _end(self, error: Exception) -> None:
        if not self._ended.done():
            self._ended.set_exception(error)

    async def _say(self, message: FromKiosk) -> None:
        await self._socket.send(encode(message), text=True)

    async def _hear(self) -> FromHub:
        return decode_from_hub(await self._socket.recv(decode=False))

    # -- greeting ----------------------------------------------------------------------------------

    async def _greet(self, site: str, name: str) -> None:
        who = self._store.identity
        key = self._public_key(who.incarnation)
        hello = Hello(VERSION, who.org, site, who.device, who.incarnation, name, key=key)
        sent = self._clock.ticks()
        async with asyncio.timeout(self._pacing.greeting):
            await self._say(hello)
            while isinstance(answer := await self._hear(), Error):
                self.refusal = answer  # the close code that follows is raised by the next read
        if not isinstance(answer, Welcome):
            raise ProtocolError("the hub answered something else than welcome")
        check_version(answer.version)
        self._epoch = answer.epoch
        await self._meet(answer.hub)
        if answer.received_kseq.get(who.incarnation, 0) > self._store.last_kseq():
            await self._renew()
        self._uploads.anchor(*self._store.anchors()[-_MOST_ANCHORS:])
        self._uploads.anchor(*self._store.carried_anchors())
        if answer.stable and answer.hub_time:
            self._store.prune(Safe(answer.epoch, answer.stable), answer.hub_time)
        self._anchor(sent, answer.hub_time)
        await self._reoffer(who.incarnation, answer)
        await self._reoffer_records(answer)
        self.welcomed = True
        self._heard()

    def _public_key(self, incarnation: str) -> str:
        try:
            signer = self._store.keys.signer(incarnation)
        except DeviceKeyError as error:
            _LOG.error("%s", error)
            return ""
        return signer.public if signer is not None else ""

    async def _meet(self, house: House | None) -> None:
        """Look whether it is the hub that this kiosk knows; an earlier version does not tell."""
        if house is None:
            return
        note = self._store.note(hubs.NOTE)
        hub = hubs.met(note, house.key, told_apart(self._token))
        if hub is None:
            raise StrangerError(hubs.OTHER)
        if hub == hubs.read(note):
            return
        if hub.key != hubs.read(note).key:
            _LOG.info("this kiosk's hub is the one with the key %s", hub.key[:16])
        await self._written(self._store.meet(hub))

    async def _reoffer_records(self, welcome: Welcome) -> None:
        """Queue what the hub said itself and no longer knows, as one restored from a backup."""
        if (house := welcome.hub) is None:
            return
        self._house = house
        # What it was offered last time and then had all the same need not be offered again.
        mark = hash((welcome.epoch, house.incarnation, frozenset(house.held.items())))
        if self._offered.get(_OF_THE_HUB) == mark:
            return
        lives = hubs.Lives(house.key, welcome.epoch, house.incarnation, house.held)
        if await self._offer_records(lives):
            self._offered[_OF_THE_HUB] = mark

    async def _reoffer_all_records(self, reset: Reset) -> None:
        """The same if the hub's log was put back within its epoch: it has filled places anew."""
        who = self._store.identity
        if self._house is not None and reset.room == site_room(who.org, who.site):
            cursor = cursors.read(self._store.cursor(reset.room))
            if cursor is not None and cursor.epoch == reset.epoch:
                await self._offer_records(hubs.Lives(self._house.key))

    async def _offer_records(self, lives: hubs.Lives) -> bool:
        """Queue them; False if that could not be written just now."""
        count = await self._written(self._store.reoffer_records(lives))
        if count:
            _LOG.warning("the hub lacks %d records of its own; offering them", count)
            self._uploads.look_again()
        return count is not None

    async def _renew(self) -> None:
        """Begin a new incarnation and greet again: of this one the hub holds more, or otherwise."""
        _LOG.error("the hub knows this kiosk otherwise than it does itself: %s", PUT_BACK)
        await asyncio.wrap_future(self._store.renew(PUT_BACK))
        raise RenewedError(PUT_BACK)

    async def _reoffer(self, own: str, welcome: Welcome) -> None:
        """Queue again what the hub lacks of this device, as one restored from a backup does.

        A place that can never be filled, such as that of an event too large to be sent, keeps the
        hub's figure down for ever: if it is the same as when all above it was offered last, that
        is not done again, unless a `reset` shows that the hub lost something.
        """
        for incarnation, held in ({own: 0} | welcome.received_kseq).items():
            key = (welcome.epoch, incarnation)
            if self._offered.get(key) == held:
                self._passed_over[incarnation] = held
            elif await self._offer_again(incarnation, held):
                self._offered[key] = held
            else:
                self._offered.pop(key, None)

    async def _offer_again(self, incarnation: str, held: int) -> int:
        count = await self._written(self._store.reoffer(incarnation, held))
        if count:
            _LOG.warning("the hub lacks %d events that it had; offering them again", count)
            self._uploads.look_again()
        return count or 0

    async def _written(self, write: Future[T]) -> T | None:
        """What a write of the greeting gave; None if the disk refused it.

        What is held must get out all the more then, so that is no reason to end.
        """
        try:
            return await asyncio.wrap_future(write)
        except (StoreFullError, StoreWriteError) as error:
            _LOG.error("the greeting is gone through again once the disk takes it: %s", error)
            self._unwritten = True
            return None

    async def _greet_anew(self) -> None:
        """Once the disk takes again what it refused during the greeting, begin anew."""
        while True:
            await asyncio.sleep(self._pacing.sweep)
            if self._unwritten:
                with contextlib.suppress(StoreFullError, StoreWriteError):
                    await asyncio.wrap_future(self._store.set_note(_TRIED, ""))
                    raise WritableError("the disk takes writes again")

    # -- the lanes ---------------------------------------------------------------------------------

    async def _read(self) -> None:
        while True:
            message = await self._hear()
            self._take(message)
            if self._uploads.forked:
                await self._renew()
            if isinstance(message, Reset):
                await self._reoffer_all_records(message)
                passed_over, self._passed_over = self._passed_over, {}
                for incarnation, held in passed_over.items():
                    await self._offer_again(incarnation, held)
            self._heard()

    def _take(self, message: FromHub) -> None:
        if isinstance(message, Events | Reset | Position) and message.epoch != self._epoch:
            # Over plain HTTP one exchange outlives a hub, and nothing else tells of the next.
            raise RestoredError("the hub was brought back from a backup")
        match message:
            case Ack():
                self._uploads.take(message)
                self.proven = True
            case Events():
                self._downloads.take(message)
            case Reset():
                self._downloads.reset(message)
            case Position():
                self._downloads.position(message)
            case Pong():
                self._anchor(message.echo, message.hub_time)
            case Gap():
                self._lost[message.incarnation] = message.missing
                _LOG.error("this kiosk has lost %d events of its own", message.missing)
            case Error():
                self.refusal = message
                _LOG.warning("the hub says: %s %s", message.code, message.message)
            case Welcome():
                raise ProtocolError("a second welcome")

    async def _ping(self) -> None:
        while True:
            await asyncio.sleep(self._pacing.ping)
            await self._say(Ping(self._clock.ticks()))

    async def _prove(self) -> None:
        await asyncio.sleep(self._pacing.proven)
        self.proven = True
        self._heard()

    def _anchor(self, sent: int, hub_time: int | None) -> None:
        """Learn the true time from a round trip, if the hub dares to tell it."""
        trip = self._clock.ticks() - sent
        if hub_time is None or not 0 <= trip < _LONGEST_ROUND_TRIP:
            return
        since = self._store.since
        anchor = Anchor(self._clock.boot, sent + trip // 2, hub_time, trip, since)
        self._uploads.anchor(anchor)
        self._store.save_anchor(anchor)
