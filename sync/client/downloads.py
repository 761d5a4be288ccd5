"""The lane down: every room this kiosk follows, applied in slices, each with its cursor."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kiosk.model import site_room
from kiosk.store import StoreError
from sync.protocol import Cursor, Subscribe

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from kiosk.model import Envelope
    from kiosk.store import Store
    from sync.client.pacing import Pacing
    from sync.protocol import Events, Position, Reset

_LOG = logging.getLogger(__name__)

_PAGES = 8  # pages of a catch-up that may come before it is asked on
_BACKLOG = 4000  # events that wait to be applied; what comes beyond is fetched again later
_AT_ONCE = 32  # rooms that catch up side by side
_PATIENCE = 10.0  # seconds after which a room that does not answer no longer holds up others


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
    epoch: str
    items: list[tuple[bytes, Envelope]]
    offset: int


class Downloads:
    """Follows `store.rooms()`, also those that come to be known later."""

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
        # Cursors that moved past nothing but own events: saved a little later, many in one.
        self._moved: dict[str, _Page] = {}

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
        if room is not None and room.live and position.head > room.taken:
            _LOG.warning("%s: %d of %d came", position.room, room.taken, position.head)
            room.lost()
            self._called.set()

    def _queue(self, room: _Room, events: Events) -> None:
        room.asked, room.live, room.heard = False, events.live, self._loop.time()
        room.taken = max(room.taken, events.offset)
        if not events.live:
            room.pages -= 1
        items = [(bytes(item.event), item.envelope) for item in events.items]
        page = _Page(events.room, events.epoch, items, events.offset)
        if items:
            self._waiting += len(items)
            self._pages.append(page)
            self._moved.pop(events.room, None)
        else:
            self._moved[events.room] = page

    # -- asking and applying -----------------------------------------------------------------------

    def _find_rooms(self) -> None:
        if self._look:
            self._look = False
            for name in self._store.rooms():
                if name not in self._rooms:
                    saved = self._store.cursor(name)
                    cursor = Cursor(*saved) if saved else None
                    self._rooms[name] = _Room(cursor, cursor.offset if cursor else 0)

    async def _ask(self) -> None:
        now = self._loop.time()
        busy = sum(not (r.live or r.stale) and now - r.heard < _PATIENCE for r in self._followed())
        for name, room in self._rooms.items():
            if busy >= _AT_ONCE or self._waiting >= _BACKLOG // 2:
                return
            if room.stale and not any(page.room == name for page in self._pages):
                room.stale, room.asked, room.pages, room.heard = False, True, _PAGES, now
                room.taken = room.applied.offset if room.applied else 0
                busy += 1
                await self._say(Subscribe(name, room.applied, echo=False, pages=_PAGES))

    def _followed(self) -> list[_Room]:
        return list(self._rooms.values())

    async def _apply(self, page: _Page) -> None:
        room = self._rooms[page.room]
        self._waiting -= len(page.items)
        step = self._pacing.slice
        for start in range(0, len(page.items), step):
            part = page.items[start : start + step]
            last = start + step >= len(page.items)
            offset = page.offset if last else min(part[-1][1].offset, page.offset)
            if not await self._write(room, page, part, offset):
                return
            await asyncio.sleep(self._pacing.pause)
        if room.pages <= 0 and not room.live:
            room.stale = True
        self._look |= page.room == self._site

    async def _write(
        self, room: _Room, page: _Page, part: list[tuple[bytes, Envelope]], offset: int
    ) -> bool:
        try:
            await asyncio.wrap_future(self._store.apply_remote(page.room, page.epoch, part, offset))
        except StoreError as error:
            _LOG.error("remote events cannot be written, they are fetched anew: %s", error)
            self._drop(page.room)
            room.lost()
            await asyncio.sleep(self._pacing.sweep)
            return False
        room.applied = Cursor(page.epoch, offset)
        return True

    def _drop(self, name: str) -> None:
        """Forget a room's waiting pages: applied behind a hole, they would hide it."""
        dropped = [page for page in self._pages if page.room == name]
        self._pages = deque(page for page in self._pages if page.room != name)
        self._waiting -= sum(len(page.items) for page in dropped)
        self._moved.pop(name, None)

    async def _wait(self) -> None:
        stale = any(room.stale for room in self._followed())
        wait = self._pacing.cursor if self._moved else self._pacing.sweep if stale else None
        try:
            async with asyncio.timeout(wait):
                await self._called.wait()
        except TimeoutError:
            moved, self._moved = self._moved, {}
            for page in moved.values():
                await self._write(self._rooms[page.room], page, [], page.offset)
