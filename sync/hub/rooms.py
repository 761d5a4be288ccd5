"""Who follows which room, and how each commit reaches all of them.

A member that keeps up gets each commit as one message, encoded and framed once for all. One that
does not (over `LAGGING` bytes unsent) is passed over and recovers from the log by offset, like one
that has just subscribed. Nobody ever waits for a member: messages are handed to its transport and
that is all.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field
from itertools import groupby, islice
from operator import attrgetter, length_hint
from typing import TYPE_CHECKING, Any

import msgspec

from kiosk.model import decode_envelope
from sync.hub.frames import Mark, Parcel
from sync.hub.presence import Presences
from sync.hub.recent import Recent
from sync.hub.rosters import Rosters
from sync.protocol import MAX_BATCH_BYTES, Close, Page, Position, kept

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sync.hub.members import Member, Seat
    from sync.hub.pages import Pages, Row
    from sync.hub.transaction import Accepted

COALESCE = 0.010  # seconds between two frames of one room, under load
_TURN = 500  # members written to before others get the loop
_PARCELS = 32  # pages kept as they were sent, for the next who lacks the same


_ROOM = attrgetter("room")


class _Kinded(msgspec.Struct):
    kind: str


_KIND = msgspec.json.Decoder(_Kinded)


@dataclass(slots=True)
class _Serving:
    """One batch on its way to the members of a room."""

    room: Room
    after: int
    batch: list[Accepted]
    authors: set[object]
    rest: Iterator[tuple[Member, Seat]]
    # For all who need the whole batch, by the kinds they want, each made for the first of them.
    parcels: dict[frozenset[str] | None, Parcel] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Room:
    """`head` is the offset up to which live members were served; `waiting` lies above it."""

    name: str
    head: int
    members: dict[Member, Seat] = field(default_factory=dict)
    waiting: list[Accepted] = field(default_factory=list)
    presences: Presences = field(init=False)
    serving: bool = False
    timer: asyncio.TimerHandle | None = None
    served: float = 0.0

    def __post_init__(self) -> None:
        self.presences = Presences(self.name)

    @property
    def committed(self) -> int:
        return self.waiting[-1].offset if self.waiting else self.head

    @property
    def idle(self) -> bool:
        """Whether nothing would be lost with it but where it ends."""
        busy = self.members or self.waiting or self.serving or self.timer
        return not busy and self.presences.empty


class Rooms:
    """Every room with somebody in it, and the heads of all.

    `lagged` counts members that were passed over, `slowed` those that were let go for it.
    """

    def __init__(self, epoch: str, heads: dict[str, int], pages: Pages) -> None:
        self.epoch = epoch
        self.pages = pages
        self.recent = Recent(pages)
        self.rosters = Rosters(self)
        self.lagged = 0
        self.slowed = 0
        self.frames = 0
        self._heads = heads
        self._rooms: dict[str, Room] = {}
        self._parcels: OrderedDict[tuple[Any, ...], Parcel] = OrderedDict()
        self._loop = asyncio.get_running_loop()

    def room(self, name: str) -> Room:
        """The room, known from now on."""
        room = self._rooms.get(name)
        if room is None:
            room = self._rooms[name] = Room(name, self._heads.get(name, 0))
        return room

    def counts(self) -> dict[str, int]:
        """How many follow each room that anybody follows."""
        return {room.name: len(room.members) for room in self._rooms.values() if room.members}

    # -- members -----------------------------------------------------------------------------------

    def joined(self, room: Room, member: Member, seat: Seat) -> None:
        """Seat a member, anew if it sits there already."""
        known = member in room.members
        room.members[member] = seat
        room.presences.came(member, known=known, watches=seat.presence)
        if seat.rows is not None:
            seat.rows.roster.joined(member, seat)

    def left(self, room: Room, member: Member) -> None:
        """A member follows the room no longer."""
        seat = room.members.pop(member, None)
        if seat is not None:
            room.presences.went(member)
            if seat.rows is not None:
                seat.rows.roster.left(member)

    def slow(self, member: Member) -> None:
        """Let a member go that does not take what it is sent."""
        self.slowed += 1
        member.line.close(Close.SLOW, "too slow")

    async def positions(self) -> None:
        """Tell every live member where its rooms end, and end what is over; others get turns."""
        told = 0
        for room in list(self._rooms.values()):
            if room.idle:
                self._let_go(room)
            elif room.members and not room.serving:
                parcel = Parcel(Position(room.name, self.epoch, room.head), news=False)
                for member in list(room.members):
                    self._position(room, member, parcel)
                    told += 1
                    if not told % _TURN:
                        await asyncio.sleep(0)

    def _position(self, room: Room, member: Member, parcel: Parcel) -> None:
        member.expire(self._loop.time())
        seat = room.members.get(member)
        if seat is not None and seat.live:
            said = parcel if seat.rows is None else seat.rows.roster.position(seat.rows)
            if said is not None:
                member.line.write(said)
                member.check()

    def _let_go(self, room: Room) -> None:
        """Nobody follows it, and anybody may have named it: keep only where it ends."""
        del self._rooms[room.name]
        if room.head:
            self._heads[room.name] = room.head

    # -- what was missed ---------------------------------------------------------------------------

    def missed(self, room: Room, after: int, seat: Seat, rows: list[Row]) -> Parcel:
        """A page up to `seat.sent`, for a seat that lacked it since `after`."""
        key = (room.name, after, seat.sent, seat.live, room.committed, seat.kinds)
        parcel = self._parcels.get(key)
        if parcel is None:
            if seat.kinds is None:
                items = [(event, envelope) for _, event, envelope in rows]
            else:
                items = [(e, v) for _, e, v in rows if _KIND.decode(e).kind in seat.kinds]
            told = not rows or bool(items and items[-1][1] is rows[-1][2])
            received = 0 if told else decode_envelope(rows[-1][2]).received
            missing = seat.sent - after - len(rows)  # offsets have no holes but those
            parcel = self._page(
                room, after, seat.sent, items, live=seat.live, received=received, missing=missing
            )
            self._parcels[key] = parcel
            if len(self._parcels) > _PARCELS:
                self._parcels.popitem(last=False)
        return parcel

    def _page(
        self,
        room: Room,
        after: int,
        offset: int,
        items: Sequence[tuple[bytes, bytes]],
        *,
        live: bool,
        received: int,
        missing: int = 0,
    ) -> Parcel:
        head = max(room.committed, offset)
        page = Page(
            room.name, self.epoch, after, offset, head, live, kept(items), received, missing
        )
        return Parcel(page, Mark(room.name, self.epoch, offset), news=offset > after)

    # -- what is new -------------------------------------------------------------------------------

    def publish(self, accepted: list[Accepted]) -> None:
        """Serve what was just committed to whoever follows its rooms."""
        touched: dict[str, None] = {}
        for name, some in groupby(accepted, _ROOM):
            touched[name] = None
            self.room(name).waiting.extend(some)
        self.rosters.publish(accepted)
        for name in touched:
            self._serve_soon(self.room(name))

    def close(self) -> None:
        """Drop what still waits to be served; the members recover it by offset."""
        self.rosters.close()
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
            self.frames += 1
            authors = {one.origin for one in batch}
            rest = iter(list(room.members.items()))
            self._turn(_Serving(room, after, batch, authors, rest))

    def _turn(self, now: _Serving) -> None:
        """Serve some of the members, then let others have the loop."""
        for member, seat in islice(now.rest, _TURN):
            if seat.live and seat.rows is None and seat.sent < now.batch[-1].offset:
                whole = seat.sent == now.after and (seat.echo or member not in now.authors)
                parcel = self._whole(now, seat) if whole else self._part(now, member, seat)
                member.send(seat, parcel, now.batch[-1].offset)
        if length_hint(now.rest):
            self._loop.call_soon(self._turn, now)
            return
        now.room.serving = False
        if now.room.waiting:
            self._serve_soon(now.room)

    def _whole(self, now: _Serving, seat: Seat) -> Parcel:
        parcel = now.parcels.get(seat.kinds)
        if parcel is None:
            parcel = now.parcels[seat.kinds] = self._live(now, now.after, now.batch, seat.kinds)
        return parcel

    def _part(self, now: _Serving, member: Member, seat: Seat) -> Parcel:
        """The part of the batch that this member lacks."""
        rest = [
            one
            for one in now.batch
            if one.offset > seat.sent and (seat.echo or one.origin is not member)
        ]
        return self._live(now, seat.sent, rest, seat.kinds)

    def _live(
        self, now: _Serving, after: int, batch: list[Accepted], kinds: frozenset[str] | None
    ) -> Parcel:
        if kinds is not None:
            batch = [one for one in batch if _KIND.decode(one.event).kind in kinds]
        last = now.batch[-1]
        told = bool(batch) and batch[-1] is last
        received = 0 if told else decode_envelope(last.envelope).received
        items = [(one.event, one.envelope) for one in batch]
        return self._page(now.room, after, now.room.head, items, live=True, received=received)


def _fitting(batch: list[Accepted]) -> int:
    """How many of them, at least one, fit into a frame of `MAX_BATCH_BYTES`."""
    left = MAX_BATCH_BYTES
    for count, one in enumerate(batch):
        left -= len(one.event) + len(one.envelope)
        if left < 0:
            return max(count, 1)
    return len(batch)
