"""The lane down: every room this kiosk follows, applied in slices, each with its cursor."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec.structs import replace

from kiosk import gaps
from kiosk.model import site_room
from kiosk.store import StoreDamagedError, StoreFullError, StoreWriteError
from sync.client import cursors
from sync.client.proofs import proven
from sync.protocol import Cursor, Subscribe

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from kiosk.model import Envelope
    from kiosk.store import Store
    from sync.client.pacing import Pacing
    from sync.protocol import Events, Position, Reset

_LOG = logging.getLogger(__name__)

_BACKLOG = 4000  # events that wait to be applied; what comes beyond is fetched again later
_NOT_THE_ITEMS = (StoreDamagedError, StoreFullError, StoreWriteError)
_AT_ONCE = 32  # rooms that catch up side by side


@dataclass(slots=True)
class _Room:
    """`applied` is what the store has; `taken` the offset up to which all is applied or queued.

    `asked`: a subscription is under way. `stale`: it must be asked (again), from `applied`.
    `heard` is when it was last asked or answered (the loop's time).
    """

    applied: Cursor | None
    taken: int
    stale: bool = True
    asked: bool = False
    live: bool = False
    pages: int = 0
    heard: float = 0.0

    def lost(self) -> None:
        """Something is missing that will not come by itself."""
        self.stale, self.asked, self.live = True, False, False


@dataclass(frozen=True, slots=True)
class _Page:
    room: str
    items: list[tuple[bytes, Envelope]]
    upto: Cursor
    after: int
    missing: int


class Downloads:
    """Follows `store.rooms()`, also those that come to be known later.

    `passed_over` counts the events that the store could not take in for what they hold; the hub
    keeps them. `gaps_told` grows when it may be another number that the hub no longer keeps.
    """

    def __init__(
        self, store: Store, say: Callable[[Subscribe], Awaitable[None]], pacing: Pacing
    ) -> None:
        self._store = store
        self._say = say
        self._pacing = pacing
        self._site = site_room(store.identity.org, store.identity.site)
        self._loop = asyncio.get_running_loop()
        self._called = asyncio.Event()
        self._rooms: dict[str, _Room] = {}
        self._pages: deque[_Page] = deque()
        self._waiting = 0
        self._look = True
        self._blind = False  # the rooms could not be read when last looked for
        # Cursors that moved past nothing but own events: saved a little later, many in one.
        self._moved: dict[str, _Page] = {}
        self.passed_over = 0
        self._gaps = gaps.read(store.note(gaps.NOTE))
        self.gaps_told = 0

    def wake(self) -> None:
        """There may be new rooms."""
        self._look = True
        self._called.set()

    async def run(self) -> None:
        """Follow for ever; raises whatever sending raises."""
        while True:
            self._called.clear()
            self._find_rooms()
            await self._ask()
            if self._pages:
                await self._apply(self._pages.popleft())
            elif not self._called.is_set():
                await self._wait()

    # -- what the hub says -------------------------------------------------------------------------

    def take(self, events: Events) -> None:
        """Queue a page, if it joins what is here; else the room is asked again."""
        room = self._rooms.get(events.room)
        if room is None or room.stale:
            return
        if events.after > room.taken:
            # While an answer is awaited, older frames may still be under way.
            if not room.asked:
                room.lost()
        elif self._waiting >= _BACKLOG:
            room.lost()
        else:
            if events.missing:
                _LOG.warning(
                    "%s: the hub has let go of %d older events", events.room, events.missing
                )
            self._queue(room, events)
        self._called.set()

    def reset(self, reset: Reset) -> None:
        """The cursor meant nothing: the room comes from its beginning, and is united."""
        room = self._rooms.get(reset.room)
        if room is not None:
            _LOG.info("%s starts anew in epoch %s", reset.room, reset.epoch)
            room.applied = Cursor(reset.epoch, 0)
            room.taken = 0

    def position(self, position: Position) -> None:
        """Compare where the hub says a room ends; a silent gap is asked for."""
        room = self._rooms.get(position.room)
        if room is None or position.head <= room.taken:
            return
        # Positions are told to whoever is up to date: so what is awaited was lost, too.
        if room.live or self._loop.time() - room.heard > self._pacing.answer:
            _LOG.warning("%s: %d of %d came", position.room, room.taken, position.head)
            room.lost()
            self._called.set()

    def _queue(self, room: _Room, events: Events) -> None:
        room.asked, room.live, room.heard = False, events.live, self._loop.time()
        room.taken = max(room.taken, events.offset)
        if not events.live:
            room.pages -= 1
        items = [(bytes(item.event), item.envelope) for item in events.items]
        page = _Page(events.room, items, _end(events), events.after, events.missing)
        if items or page.missing:
            self._waiting += len(items)
            self._pages.append(page)
            self._moved.pop(events.room, None)
        else:
            self._moved[events.room] = page

    # -- asking and applying -----------------------------------------------------------------------

    def _find_rooms(self) -> None:
        if not self._look:
            return
        for name in self._known_rooms():
            if name not in self._rooms:
                cursor = cursors.read(self._store.cursor(name))
                self._rooms[name] = _Room(cursor, cursor.offset if cursor else 0)

    def _known_rooms(self) -> list[str]:
        """The rooms to follow; while the store cannot tell them, at least the site's."""
        self._look = False
        try:
            rooms = self._store.rooms()
        except Exception as error:  # noqa: BLE001  a record that cannot be read must not cut the line
            self._look = True
            if not self._blind:
                _LOG.error("the rooms cannot be read, they are looked up again: %r", error)
            self._blind = True
            return [self._site]
        self._blind = False
        return rooms

    async def _ask(self) -> None:
        now = self._loop.time()
        for room in self._awaited():
            if now - room.heard >= self._pacing.answer:
                room.lost()
        busy = sum(
            not (r.live or r.stale) and now - r.heard < self._pacing.answer
            for r in self._followed()
        )
        for name, room in self._rooms.items():
            if busy >= _AT_ONCE or self._waiting >= _BACKLOG // 2:
                return
            if room.stale and not any(page.room == name for page in self._pages):
                pages = self._pacing.pages
                room.stale, room.asked, room.pages, room.heard = False, True, pages, now
                room.taken = room.applied.offset if room.applied else 0
                busy += 1
                await self._say(Subscribe(name, room.applied, echo=False, pages=pages))

    def _followed(self) -> list[_Room]:
        return list(self._rooms.values())

    def _awaited(self) -> list[_Room]:
        """Rooms of which the hub owes a page, and none waits to be applied."""
        queued = {page.room for page in self._pages}
        return [
            room
            for name, room in self._rooms.items()
            if not (room.live or room.stale or name in queued)
        ]

    async def _apply(self, page: _Page) -> None:
        room = self._rooms[page.room]
        self._waiting -= len(page.items)
        told = gaps.noted(self._gaps, page.room, page.after, page.missing)
        if told != self._gaps and not await self._keep_gaps(room, page, told):
            return
        if not page.items:
            self._moved[page.room] = page
        step = self._pacing.slice
        for start in range(0, len(page.items), step):
            part = page.items[start : start + step]
            last = start + step >= len(page.items)
            if not await self._write(room, page, part, page.upto if last else _at(page, part[-1])):
                return
            await asyncio.sleep(self._pacing.pause)
        self.gaps_told += page.room in told
        if room.pages <= 0 and not room.live:
            room.stale = True
        self._look |= page.room == self._site

    async def _write(
        self, room: _Room, page: _Page, part: list[tuple[bytes, Envelope]], upto: Cursor
    ) -> bool:
        before = room.applied
        if before is not None and (before.epoch, before.offset) == (upto.epoch, upto.offset):
            upto = replace(upto, received=upto.received or before.received)
        try:
            await self._put(before, page, part, upto)
        except Exception as error:  # noqa: BLE001  a store that refuses must not cut the line
            await self._refused(room, page, error)
            return False
        room.applied = upto
        return True

    async def _keep_gaps(self, room: _Room, page: _Page, told: gaps.Gaps) -> bool:
        """Keep what the hub has let go of, before what is left looks like all there ever was."""
        try:
            await asyncio.wrap_future(self._store.set_note(gaps.NOTE, gaps.written(told)))
        except Exception as error:  # noqa: BLE001  as above
            await self._refused(room, page, error)
            return False
        self._gaps = told
        return True

    async def _refused(self, room: _Room, page: _Page, error: Exception) -> None:
        _LOG.error("remote events cannot be written, they are fetched anew: %s", error)
        self._drop(page.room)
        room.lost()
        await asyncio.sleep(self._pacing.sweep)

    async def _put(
        self,
        before: Cursor | None,
        page: _Page,
        part: list[tuple[bytes, Envelope]],
        upto: Cursor,
    ) -> None:
        """Hand a slice to the store; raises if that is not for what a single item holds."""
        try:
            await self._stored(page, part, upto)
        except _NOT_THE_ITEMS:
            raise
        except Exception:  # noqa: BLE001  it comes again below, or is some item's fault
            # The cursor stays in front of them until all are through.
            joins = before is not None and before.epoch == upto.epoch
            start = before if before and joins else Cursor(upto.epoch, 0)
            await self._stored(page, [], start)  # raises if it is no item's fault
            for item in part:
                await self._put_one(page, item, start)
            await self._stored(page, [], upto)

    async def _put_one(self, page: _Page, item: tuple[bytes, Envelope], start: Cursor) -> None:
        try:
            await self._stored(page, [item], start)
        except _NOT_THE_ITEMS:
            raise
        except Exception as error:  # noqa: BLE001  one bad item must not stop those behind it
            self.passed_over += 1
            offset = item[1].offset
            _LOG.error("the event in %s at %d is passed over: %r", page.room, offset, error)

    async def _stored(self, page: _Page, part: list[tuple[bytes, Envelope]], upto: Cursor) -> None:
        epoch, offset = cursors.kept(upto)
        items = proven(part)
        await asyncio.wrap_future(self._store.apply_remote(page.room, epoch, items, offset))

    def _drop(self, name: str) -> None:
        """Forget a room's waiting pages: applied behind a hole, they would hide it."""
        dropped = [page for page in self._pages if page.room == name]
        self._pages = deque(page for page in self._pages if page.room != name)
        self._waiting -= sum(len(page.items) for page in dropped)
        self._moved.pop(name, None)

    async def _wait(self) -> None:
        stale = self._look or any(room.stale for room in self._followed())
        wait = self._pacing.cursor if self._moved else self._pacing.sweep if stale else None
        owed = None
        if wait is None and (awaited := self._awaited()):
            # A hub tells positions only to whom it owes nothing: nobody else would speak up.
            owed = min(awaited, key=lambda room: room.heard)
            wait = max(owed.heard + self._pacing.answer - self._loop.time(), 0)
        try:
            async with asyncio.timeout(wait):
                await self._called.wait()
        except TimeoutError:
            # Not left to the clock to say again that it is time: a wait may round to nothing.
            if owed is not None and not (owed.live or owed.stale):
                owed.lost()
            moved, self._moved = self._moved, {}
            for page in moved.values():
                await self._write(self._rooms[page.room], page, [], page.upto)


def _end(events: Events) -> Cursor:
    """Where a page ends."""
    last = events.items[-1].envelope if events.items else None
    told = last is not None and last.offset == events.offset
    received = last.received if last is not None and told else events.received
    return Cursor(events.epoch, events.offset, _sane(received))


def _at(page: _Page, item: tuple[bytes, Envelope]) -> Cursor:
    """Behind an item in the midst of a page."""
    envelope = item[1]
    if envelope.offset > page.upto.offset:
        return page.upto
    return Cursor(page.upto.epoch, envelope.offset, _sane(envelope.received))


def _sane(received: int) -> int:
    return received if 0 < received < 2**63 else 0
