"""Who follows which room, and how each of them gets everything, in order, at its own pace.

A member that keeps up gets each commit as one frame, encoded once for all. One that does not
(over `LAGGING` bytes unsent) is passed over and recovers from the log by offset, like one that has
just subscribed. Nobody ever waits for a member: frames are handed to its transport and that is all.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from dataclasses import dataclass, field
from itertools import islice
from operator import length_hint
from typing import TYPE_CHECKING, Protocol

from kiosk.model import decode_envelope
from kiosk.tasks import spawn
from sync.hub.frames import framed
from sync.protocol import MAX_BATCH_BYTES, Close, Page, Position, Reset, Subscribe, encode, kept

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sync.hub.log import Accepted
    from sync.hub.pages import Pages, Row
    from sync.protocol import Cursor

_LOG = logging.getLogger(__name__)

LAGGING = 256 * 1024  # bytes unsent above which a member is passed over
HOPELESS = 1024 * 1024  # bytes unsent above which it is let go
PATIENCE = 10.0  # seconds a member may lag
COALESCE = 0.010  # seconds between two frames of one room, under load
_TURN = 500  # members written to before others get the loop


class Line(Protocol):
    """What a member's connection must be able to do; never blocks but for `drained`."""

    def write(self, frame: bytes) -> None:
        """Hand over one framed message; does nothing on a connection that is gone."""

    def buffered(self) -> int:
        """Bytes that the peer has not taken yet."""

    async def drained(self) -> None:
        """Return once the peer has taken most of them."""

    def close(self, code: Close, reason: str) -> None:
        """End it, soon, without waiting."""


@dataclass(slots=True, eq=False)
class Seat:
    """A member's place in a room: `sent` is the offset up to which it was given everything."""

    sent: int
    echo: bool
    pages: int | None
    live: bool = False


@dataclass(slots=True)
class _Serving:
    """One batch on its way to the members of a room."""

    room: Room
    after: int
    batch: list[Accepted]
    authors: set[object]
    rest: Iterator[tuple[Member, Seat]]
    frame: bytes | None = None  # for all who need the whole batch, made for the first of them


@dataclass(slots=True, eq=False)
class Room:
    """`head` is the offset up to which live members were served; `waiting` lies above it."""

    name: str
    head: int
    members: dict[Member, Seat] = field(default_factory=dict)
    waiting: list[Accepted] = field(default_factory=list)
    serving: bool = False
    timer: asyncio.TimerHandle | None = None
    served: float = 0.0

    @property
    def committed(self) -> int:
        return self.waiting[-1].offset if self.waiting else self.head


class Member:
    """One connection, as the rooms see it."""

    def __init__(self, line: Line, rooms: Rooms) -> None:
        self.line = line
        self.seats: dict[str, Seat] = {}
        self._rooms = rooms
        self._catching_up: asyncio.Task[None] | None = None

    async def subscribe(self, wish: Subscribe) -> None:
        """Follow a room from the cursor; what was missed begins to flow at once."""
        rooms, cursor = self._rooms, wish.cursor
        room = rooms.room(wish.room)
        sent = cursor.offset if cursor else 0
        head = room.committed
        if cursor and sent > head:
            head = await rooms.pages.head(wish.room)  # a page may have been read ahead of us
        if cursor and not await self._means_something(wish.room, cursor, head):
            self.line.write(framed(encode(Reset(wish.room, rooms.epoch, head))))
            sent = 0
        self.leave(wish.room)
        seat = self.seats[wish.room] = Seat(sent, wish.echo, wish.pages or None)
        room.members[self] = seat
        self._catch_up()

    async def _means_something(self, room: str, cursor: Cursor, head: int) -> bool:
        rooms = self._rooms
        if cursor.epoch != rooms.epoch or cursor.offset > head:
            return False
        try:
            return await rooms.pages.holds(room, cursor)
        except sqlite3.Error as error:
            _LOG.error("a cursor of %s cannot be looked up: %s", room, error)
            return True  # the page that is read next meets the same, and ends the connection

    def leave(self, name: str) -> None:
        """Stop following a room."""
        if self.seats.pop(name, None) is not None:
            self._rooms.room(name).members.pop(self, None)

    def gone(self) -> None:
        """The connection has ended."""
        for name in list(self.seats):
            self.leave(name)
        if self._catching_up is not None:
            self._catching_up.cancel()

    def send(self, seat: Seat, frame: bytes, upto: int) -> None:
        """Give a frame that ends at offset `upto`, and see whether the member keeps up."""
        self.line.write(frame)
        seat.sent = upto
        self.check()

    def check(self) -> None:
        """Pass the member over from now on if too much is unsent, or let it go altogether."""
        unsent = self.line.buffered()
        if unsent > HOPELESS:
            self.line.close(Close.SLOW, "too slow")
        elif unsent > LAGGING:
            for seat in self.seats.values():
                seat.live = False
            self._catch_up()

    def _catch_up(self) -> None:
        if self._catching_up is None or self._catching_up.done():
            self._catching_up = spawn(self._recover(), "hub-catch-up")

    async def _recover(self) -> None:
        while (behind := self._behind()) is not None:
            name, seat = behind
            try:
                async with asyncio.timeout(PATIENCE):
                    await self.line.drained()
            except TimeoutError:
                self.line.close(Close.SLOW, "too slow")
                return
            try:
                rows = await self._rooms.pages.page(name, seat.sent)
            except sqlite3.Error as error:
                _LOG.error("a page of %s cannot be read: %s", name, error)
                self.line.close(Close.TRY_LATER, "the log cannot be read")
                return
            if self.seats.get(name) is seat:
                self._give_page(self._rooms.room(name), seat, rows)

    def _behind(self) -> tuple[str, Seat] | None:
        return next(((name, seat) for name, seat in self.seats.items() if not seat.live), None)

    def _give_page(self, room: Room, seat: Seat, rows: list[Row]) -> None:
        after, seat.sent = seat.sent, rows[-1][0] if rows else seat.sent
        # Told and set in one go: nothing can be committed to the room's members in between.
        seat.live = seat.sent >= room.committed
        items = [(event, envelope) for _, event, envelope in rows]
        self.line.write(self._rooms.frame(room, after, seat.sent, items, live=seat.live))
        if seat.pages is not None and not seat.live:
            seat.pages -= 1
            if seat.pages == 0:
                self.leave(room.name)


class Rooms:
    """Every room with somebody in it, and the heads of all."""

    def __init__(self, epoch: str, heads: dict[str, int], pages: Pages) -> None:
        self.epoch = epoch
        self.pages = pages
        self._heads = heads
        self._rooms: dict[str, Room] = {}
        self._loop = asyncio.get_running_loop()

    def room(self, name: str) -> Room:
        """The room, known from now on."""
        room = self._rooms.get(name)
        if room is None:
            room = self._rooms[name] = Room(name, self._heads.get(name, 0))
        return room

    def publish(self, accepted: list[Accepted]) -> None:
        """Serve what was just committed to whoever follows its rooms."""
        touched: dict[str, Room] = {}
        for one in accepted:
            room = touched.get(one.room) or touched.setdefault(one.room, self.room(one.room))
            room.waiting.append(one)
        for room in touched.values():
            self._serve_soon(room)

    def frame(
        self,
        room: Room,
        after: int,
        offset: int,
        items: Sequence[tuple[bytes, bytes]],
        *,
        live: bool,
        received: int = 0,
    ) -> bytes:
        """A framed `events` message."""
        head = max(room.committed, offset)
        page = Page(room.name, self.epoch, after, offset, head, live, kept(items), received)
        return framed(encode(page))

    def positions(self) -> None:
        """Tell every live member where its rooms end."""
        for room in self._rooms.values():
            if room.members and not room.serving:
                frame = framed(encode(Position(room.name, self.epoch, room.head)))
                for member, seat in list(room.members.items()):
                    if seat.live:
                        member.line.write(frame)
                        member.check()

    def close(self) -> None:
        """Drop what still waits to be served; the members recover it by offset."""
        for room in self._rooms.values():
            if room.timer is not None:
                room.timer.cancel()

    def _serve_soon(self, room: Room) -> None:
        if room.serving or room.timer is not None:
            return
        wait = room.served + COALESCE - self._loop.time()
        if wait <= 0:
            self._serve(room)
        else:
            room.timer = self._loop.call_later(wait, self._serve, room)

    def _serve(self, room: Room) -> None:
        room.timer = None
        room.served = self._loop.time()
        # A frame with all that a drain brought could exceed what a member may have unsent.
        size = _fitting(room.waiting) if room.members else len(room.waiting)
        batch, room.waiting = room.waiting[:size], room.waiting[size:]
        after, room.head = room.head, batch[-1].offset
        if room.members:
            room.serving = True
            authors = {one.origin for one in batch}
            rest = iter(list(room.members.items()))
            self._turn(_Serving(room, after, batch, authors, rest))

    def _turn(self, now: _Serving) -> None:
        """Serve some of the members, then let others have the loop."""
        for member, seat in islice(now.rest, _TURN):
            if seat.live and seat.sent < now.batch[-1].offset:
                whole = seat.sent == now.after and (seat.echo or member not in now.authors)
                frame = self._whole(now) if whole else self._frame_for(member, seat, now)
                member.send(seat, frame, now.batch[-1].offset)
        if length_hint(now.rest):
            self._loop.call_soon(self._turn, now)
            return
        now.room.serving = False
        if now.room.waiting:
            self._serve_soon(now.room)

    def _whole(self, now: _Serving) -> bytes:
        if now.frame is None:
            now.frame = self._frame_of(now.room, now.after, now.batch)
        return now.frame

    def _frame_for(self, member: Member, seat: Seat, now: _Serving) -> bytes:
        """The part of the batch that this member lacks."""
        rest = [
            one
            for one in now.batch
            if one.offset > seat.sent and (seat.echo or one.origin is not member)
        ]
        last = now.batch[-1]
        told = bool(rest) and rest[-1] is last
        received = 0 if told else decode_envelope(last.envelope).received
        return self._frame_of(now.room, seat.sent, rest, received)

    def _frame_of(self, room: Room, after: int, batch: list[Accepted], received: int = 0) -> bytes:
        items = [(one.event, one.envelope) for one in batch]
        return self.frame(room, after, room.head, items, live=True, received=received)


def _fitting(batch: list[Accepted]) -> int:
    """How many of them, at least one, fit into a frame of `MAX_BATCH_BYTES`."""
    left = MAX_BATCH_BYTES
    for count, one in enumerate(batch):
        left -= len(one.event) + len(one.envelope)
        if left < 0:
            return max(count, 1)
    return len(batch)
