"""The rows of one session, kept true, and told to whoever follows them.

The fold works in a thread, in small slices, and is fed by the rooms in commit order, so what was
received last says exactly what went into it: that is the cursor of its readers.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections import deque
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from kiosk.tasks import spawn
from sync.hub.frames import Parcel
from sync.hub.rowframes import Known
from sync.hub.rows import Sheet, entry_of
from sync.hub.sources import page
from sync.protocol import Close, Position

if TYPE_CHECKING:
    from kiosk.model import Entry
    from sync.hub.members import Member, Seat
    from sync.hub.rosters import Rosters
    from sync.hub.rowframes import Place
    from sync.hub.rows import Delta
    from sync.hub.transaction import Accepted

_LOG = logging.getLogger(__name__)

LINGER = 60.0  # seconds that a fold outlives its last follower
_COALESCE = 0.010  # seconds between two frames of one session, under load
_SLICE = 250  # events folded in one go
_FEW = 20  # that are folded at once: a millisecond, and no thread need be woken for it
_TURN = 500  # members written to before others get the loop


class Roster:
    """The rows of one session as one site sees it, and who follows them."""

    def __init__(self, rosters: Rosters, site: str, room: str, session: str) -> None:
        """`site` and the session's `room` are folded; both are read up to where they end."""
        rooms = rosters.rooms
        self.site = site
        self.room = room
        self.members: dict[Member, Seat] = {}
        self.known = Known(room, rooms.epoch, rosters.shelf)
        self.failed = False
        self._rosters = rosters
        self._pages = rooms.pages
        self.source = rosters.source(site)
        self._begins = {name: rooms.room(name).committed for name in (site, room)}
        self._ends = dict(self._begins)
        self._sheet = Sheet(session)
        self._waiting: deque[Accepted] = deque()
        self._taken = self._folded = 0  # since it was begun
        self._news = asyncio.Event()
        self._stepped = asyncio.Event()
        self._settled = asyncio.Event()
        self._ending: asyncio.TimerHandle | None = None
        self._task = spawn(self._run(), "hub-rows")

    @property
    def cost(self) -> int:
        """In events; the entries of the site are not its own, but what it makes of them is."""
        return self._ends[self.room] + self._ends[self.site] // 2

    @property
    def ready(self) -> bool:
        """Whether there are rows to be had, with all in them that was committed."""
        return self._settled.is_set() and not self.failed and self._folded == self._taken

    async def settled(self) -> bool:
        """Wait for the rows, with all in them that was committed by now; False if none will be."""
        await self._settled.wait()
        wanted = self._taken
        while self._folded < wanted and not self.failed:
            await self._stepped.wait()
        return not self.failed

    def joined(self, member: Member, seat: Seat) -> None:
        """Seat a follower, anew if it sits there already."""
        self.members[member] = seat
        if self._ending is not None:
            self._ending.cancel()
            self._ending = None

    def left(self, member: Member) -> None:
        """It follows no longer; after the last, the fold goes too, in a while."""
        self.members.pop(member, None)
        if not self.members and self._ending is None:
            loop = asyncio.get_running_loop()
            self._ending = loop.call_later(LINGER, self._rosters.drop, self)

    def page(self, seat: Seat, place: Place) -> Parcel:
        """The next message for one who lacks something, as if it were taken in."""
        parcel, seat.live = self.known.page(place, self._head())
        seat.sent = self.known.offset
        return parcel

    def position(self, place: Place) -> Parcel | None:
        """Where the rows are; None while this follower is just being told."""
        known = self.known
        if place.received != known.received:
            return None
        return Parcel(Position(self.room, known.epoch, known.offset, known.received), news=False)

    def take(self, one: Accepted) -> None:
        """Something was committed to one of the two rooms."""
        if one.offset > self._ends[one.room]:
            self._ends[one.room] = one.offset
            self._waiting.append(one)
            self._taken += 1
            self._news.set()

    def end(self) -> None:
        """Fold no more."""
        if self._ending is not None:
            self._ending.cancel()
        if not self.failed:
            self._task.cancel()

    # -- the fold ----------------------------------------------------------------------------------

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            await self._build()
            self._settled.set()
            while True:
                await self._news.wait()
                again = loop.time() + _COALESCE
                await self._step()
                await asyncio.sleep(again - loop.time())
        except sqlite3.Error as error:
            _LOG.error("the rows of %s cannot be read: %s", self.room, error)
        except Exception:  # noqa: BLE001  whatever it is, nobody may go on with rows that are not true
            _LOG.exception("the rows of %s cannot be folded", self.room)
        self._fail()

    async def _build(self) -> None:
        begins, room = self._begins[self.site], self.room
        await self.source.read(self._pages, begins)
        received = 0
        for first in range(0, begins, _SLICE):
            entries = self.source.entries[first : min(first + _SLICE, begins)]
            await self._pages.work(partial(self._sheet.apply, entries))
            received = _received(entries)
        end, after, count = self._begins[room], 0, 0
        while after < end:
            rows = await page(self._pages, room, after)
            after = rows[-1][0]
            pairs = [(body, stamp) for offset, body, stamp in rows if offset <= end]
            count += len(pairs)
            entries = await self._pages.work(partial(self._decoded, pairs))
            received = max(received, _received(entries))
        delta = await self._pages.work(self._sheet.look)
        self.known.begin(delta, end, received, end - count)

    def _decoded(self, pairs: list[tuple[bytes, bytes]]) -> list[Entry]:
        entries = [entry_of(*pair) for pair in pairs]
        self._sheet.apply(entries)
        return entries

    async def _step(self) -> None:
        batch = [self._waiting.popleft() for _ in range(min(_SLICE, len(self._waiting)))]
        if not self._waiting:
            self._news.clear()
        entries, delta = await self._fold(batch)
        offset = max((one.offset for one in batch if one.room == self.room), default=None)
        since = self.known.received
        told = self.known.advance(delta, offset, _received(entries))
        self._folded += len(batch)
        self._wake()
        if told:
            await self._serve(since, delta)

    async def _fold(self, batch: list[Accepted]) -> tuple[list[Entry], Delta]:
        apply = partial(self._applied, batch)
        entries = apply() if len(batch) <= _FEW else await self._pages.work(apply)
        look = self._sheet.look
        return entries, look() if self._sheet.plain else await self._pages.work(look)

    def _applied(self, batch: list[Accepted]) -> list[Entry]:
        entries = [
            self.source.taken(one) if one.room == self.site else entry_of(one.event, one.envelope)
            for one in batch
        ]
        self._sheet.apply(entries)
        return entries

    async def _serve(self, since: int, delta: Delta) -> None:
        known, frames, head = self.known, {}, self._head()
        fits = known.fits(delta)
        rest = iter(list(self.members.items()))
        while turn := list(islice(rest, _TURN)):
            for member, seat in turn:
                place = seat.rows
                if not seat.live or place is None or place.received != since:
                    continue
                if not fits:
                    seat.live = False
                    member.catch_up()
                    continue
                if place.full not in frames:
                    frames[place.full] = known.live(since, delta, head, full=place.full)
                place.received = known.received
                member.send(seat, frames[place.full], known.offset)
            await asyncio.sleep(0)

    def _wake(self) -> None:
        """Tell whoever waits for this step."""
        self._stepped.set()
        self._stepped = asyncio.Event()

    def _head(self) -> int:
        return self._rosters.rooms.room(self.room).committed

    def _fail(self) -> None:
        self.failed = True
        self._settled.set()
        self._wake()
        self._rosters.drop(self)
        for member, seat in list(self.members.items()):
            if seat.live:  # all others find out by themselves
                member.line.close(Close.TRY_LATER, "the rows cannot be folded")


def _received(entries: list[Entry]) -> int:
    """When the hub received the last of them."""
    stamp = entries[-1].envelope if entries else None
    return stamp.received if stamp is not None else 0
