"""One peer as the rooms see it: which of them it follows, and how it gets what it missed."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from kiosk.tasks import spawn
from sync.hub.auth.denied import DeniedError
from sync.hub.frames import Mark, Parcel
from sync.hub.rowframes import Place
from sync.protocol import Close, Error, Reset, Subscribe, Unsubscribed

if TYPE_CHECKING:
    from sync.hub.access import Who
    from sync.hub.pages import Row
    from sync.hub.rooms import Room, Rooms
    from sync.protocol import Cursor

_LOG = logging.getLogger(__name__)

LAGGING = 256 * 1024  # bytes unsent above which a member is passed over
HOPELESS = 1024 * 1024  # bytes unsent above which it is let go
PATIENCE = 10.0  # seconds a member may lag
MOST_ROOMS = 500  # followed by one member
_ROWS_RETRY = 30.0  # seconds
_FEWER_AFTER = 1.0  # seconds


class Line(Protocol):
    """What a member's connection must be able to do; never blocks but for `drained`."""

    def write(self, parcel: Parcel) -> None:
        """Hand over one message; does nothing on a connection that is gone."""

    def buffered(self) -> int:
        """Bytes that the peer has not taken yet."""

    async def drained(self) -> None:
        """Return once the peer has taken most of them."""

    def close(self, code: Close, reason: str) -> None:
        """End it, soon, without waiting."""


@dataclass(slots=True, eq=False)
class Seat:
    """A member's place in a room: `sent` is the offset up to which it was given everything.

    `kinds` are the only kinds of event it wants, if any are named; `until` (the loop's time) is
    when its subscription ends. A seat that is `paused` has had the pages it asked for. `rows` tells
    how far it is with these, if it gets them in place of events.
    """

    sent: int
    echo: bool
    pages: int | None
    kinds: frozenset[str] | None = None
    until: float | None = None
    presence: bool = False
    live: bool = False
    paused: bool = False
    rows: Place | None = None


class Member:
    """One connection, as the rooms see it."""

    __slots__ = ("_catching_up", "_rooms", "line", "lingers", "seats", "who")

    def __init__(
        self, line: Line, rooms: Rooms, who: Who | None = None, lingers: float = 0.0
    ) -> None:
        """`who` is counted as present where it follows, if it is a kiosk.

        It `lingers` there for so many seconds, if it comes anew all the time.
        """
        self.line = line
        self.who = who
        self.lingers = lingers
        self.seats: dict[str, Seat] = {}
        self._rooms = rooms
        self._catching_up: asyncio.Task[None] | None = None

    async def subscribe(self, wish: Subscribe) -> None:
        """Follow a room from the cursor; what was missed begins to flow at once.

        Raises `DeniedError` if that is one too many: a kiosk that comes back asks for fewer.
        """
        if wish.room not in self.seats and len(self.seats) >= MOST_ROOMS:
            words = f"more than {MOST_ROOMS} rooms"
            raise DeniedError("busy", words, Close.TRY_LATER, _FEWER_AFTER)
        if wish.rows:
            self._subscribe_rows(wish)
            return
        rooms, cursor = self._rooms, wish.cursor
        sent = cursor.offset if cursor else 0
        head = rooms.room(wish.room).committed
        if cursor and sent > head:
            head = await rooms.pages.head(wish.room)  # a page may have been read ahead of us
        if cursor and not await self._means_something(wish.room, cursor, head):
            mark = Mark(wish.room, rooms.epoch, 0)
            self.line.write(Parcel(Reset(wish.room, rooms.epoch, head), mark))
            sent = 0
        self._sit(rooms.room(wish.room), wish, sent)  # it may have been let go of meanwhile
        self.catch_up()

    def leave(self, name: str) -> None:
        """Stop following a room."""
        if self.seats.pop(name, None) is not None:
            self._rooms.left(self._rooms.room(name), self)

    def gone(self) -> None:
        """The connection has ended."""
        for name in list(self.seats):
            self.leave(name)
        if self._catching_up is not None:
            self._catching_up.cancel()

    async def caught_up(self) -> None:
        """Return once everything that was missed is handed over, or nothing more will be."""
        if self._catching_up is not None:
            await asyncio.wait([self._catching_up])

    def expire(self, now: float) -> None:
        """End the subscriptions whose time is over, and say so."""
        for name, seat in list(self.seats.items()):
            if seat.until is not None and seat.until <= now:
                self.leave(name)
                self.line.write(Parcel(Unsubscribed(name, self._rooms.epoch, seat.sent)))

    def send(self, seat: Seat, parcel: Parcel, upto: int) -> None:
        """Hand over a live message that takes the member up to an offset."""
        self.line.write(parcel)
        seat.sent = upto
        self.check()

    def check(self) -> None:
        """Pass the member over from now on if too much is unsent, or let it go altogether."""
        unsent = self.line.buffered()
        if unsent > HOPELESS:
            self._rooms.slow(self)
        elif unsent > LAGGING:
            if any(seat.live for seat in self.seats.values()):
                self._rooms.lagged += 1
            for seat in self.seats.values():
                seat.live = False
            self.catch_up()

    def catch_up(self) -> None:
        """Begin to hand over what is lacking, unless that is under way."""
        if self._catching_up is not None and not self._catching_up.done():
            return
        self._give_at_once()
        if self._behind() is not None:
            self._catching_up = spawn(self._recover(), "hub-catch-up")

    # -- inside ------------------------------------------------------------------------------------

    def _subscribe_rows(self, wish: Subscribe) -> None:
        who, rooms = self.who, self._rooms
        if who is None or not wish.room.startswith(f"org/{who.org}/session/"):
            self.line.write(Parcel(Error("rows", "only a session's room has rows")))
            return
        roster = rooms.rosters.roster(who, wish.room)
        if roster is None:
            words = "too much is followed by rows just now"
            self.line.write(Parcel(Error("busy", words, _ROWS_RETRY)))
            return
        full = who.grant.reads_names() and wish.names == "full"
        place = Place.at(roster, wish.cursor, full=full)
        self._sit(rooms.room(wish.room), wish, wish.cursor.offset if wish.cursor else 0, place)
        self.catch_up()

    def _sit(self, room: Room, wish: Subscribe, sent: int, rows: Place | None = None) -> None:
        now = asyncio.get_running_loop().time()
        if (former := self.seats.get(wish.room)) is not None and former.rows is not None:
            former.rows.roster.left(self)
        self.seats[wish.room] = seat = Seat(
            sent,
            wish.echo,
            wish.pages or None,
            frozenset(wish.kinds) or None,
            now + wish.ttl if wish.ttl is not None else None,
            wish.presence,
            rows=rows,
        )
        self._rooms.joined(room, self, seat)

    async def _means_something(self, room: str, cursor: Cursor, head: int) -> bool:
        rooms = self._rooms
        if cursor.epoch != rooms.epoch or cursor.offset > head:
            return False
        try:
            return await rooms.recent.holds(room, cursor)
        except sqlite3.Error as error:
            _LOG.error("a cursor of %s cannot be looked up: %s", room, error)
            return True  # the page that is read next meets the same, and ends the connection

    def _give_at_once(self) -> None:
        """Hand over one page that needs no waiting: for a crowd that comes back, it is all."""
        behind = self._behind()
        if behind is None or self.line.buffered():
            return
        name, seat = behind
        if seat.rows is not None:
            if seat.rows.roster.ready:
                self.line.write(seat.rows.roster.page(seat, seat.rows))
            return
        room = self._rooms.room(name)
        caught_up = seat.sent >= room.committed
        rows = [] if caught_up else self._rooms.recent.known(name, seat.sent)
        if rows is not None:
            self._give_page(room, seat, rows)

    async def _recover(self) -> None:
        while (behind := self._behind()) is not None:
            name, seat = behind
            try:
                async with asyncio.timeout(PATIENCE):
                    await self.line.drained()
            except TimeoutError:
                self._rooms.slow(self)
                return
            given = self._give_events if seat.rows is None else self._give_rows
            if not await given(name, seat):
                return

    async def _give_events(self, name: str, seat: Seat) -> bool:
        """Hand over a page of the log; False if there is none to be had."""
        room = self._rooms.room(name)
        rows: list[Row] = []
        try:
            if seat.sent < room.committed:
                rows = await self._rooms.recent.page(name, seat.sent)
                if not rows:
                    raise sqlite3.DatabaseError(f"nothing above {seat.sent} is in it")
        except sqlite3.Error as error:
            _LOG.error("a page of %s cannot be read: %s", name, error)
            self.line.close(Close.TRY_LATER, "the log cannot be read")
            return False
        if self.seats.get(name) is seat:
            self._give_page(room, seat, rows)
        return True

    async def _give_rows(self, name: str, seat: Seat) -> bool:
        """Hand over some rows; False if there are none to be had."""
        place = seat.rows
        if place is None or not await place.roster.settled():
            self.line.close(Close.TRY_LATER, "the rows cannot be folded")
            return False
        if self.seats.get(name) is seat:
            self.line.write(place.roster.page(seat, place))
        return True

    def _behind(self) -> tuple[str, Seat] | None:
        """A seat that lacks something; one whose rows are not there yet waits for all others."""
        found = None
        for name, seat in self.seats.items():
            if not (seat.live or seat.paused):
                if seat.rows is None or seat.rows.roster.ready:
                    return name, seat
                found = found or (name, seat)
        return found

    def _give_page(self, room: Room, seat: Seat, rows: list[Row]) -> None:
        after, seat.sent = seat.sent, rows[-1][0] if rows else seat.sent
        # Told and set in one go: nothing can be committed to the room's members in between.
        seat.live = seat.sent >= room.committed
        self.line.write(self._rooms.missed(room, after, seat, rows))
        if seat.pages is not None and not seat.live:
            seat.pages -= 1
            # It stays a follower, so that nobody takes it for gone in a long catch-up.
            seat.paused = seat.pages == 0
