"""The rows of a session as its readers know them, and the messages that bring them."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sync.hub.frames import Mark, Parcel
from sync.protocol import Rows, Sitting, Tally

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from sync.hub.roster import Roster
    from sync.hub.rows import Delta, Line
    from sync.protocol import Cursor

PAGE_ROWS = 500  # in one message
PAGE_BYTES = 128 * 1024  # about; a single row may be longer
_STEPS = 4096  # changes that are remembered, for those who missed some
_CHANGED = 20_000  # rows in them
_PINS = 4  # snapshots that somebody who comes in steps finds again
_PARCELS = 32  # messages kept as they were sent, for the next who lacks the same
_NOTHING = -1  # what is known of a log before its beginning


@dataclass(slots=True, eq=False)
class Place:
    """How far a reader of rows is: what it knows is true at `received`.

    `full`: it is told full names. `pin` is the snapshot it is being given, of which it has `part`
    rows; with a `part` and no `pin` it comes back for the rest of one.
    """

    roster: Roster
    full: bool
    received: int = _NOTHING
    part: int = 0
    pin: Pin | None = None

    @classmethod
    def at(cls, roster: Roster, cursor: Cursor | None, *, full: bool) -> Place:
        """Where a reader is who comes with a cursor."""
        if cursor is None or cursor.epoch != roster.known.epoch:
            return cls(roster, full)
        return cls(roster, full, cursor.received, cursor.part)


@dataclass(frozen=True, slots=True, eq=False)
class Pin:
    """All rows at one moment."""

    offset: int
    received: int
    lines: list[Line]
    session: Sitting
    counts: Tally

    def cut(self, begin: int) -> list[Line]:
        """As many from there as fit into a message, at least one if there is any."""
        found: list[Line] = []
        size = 0
        for line in self.lines[begin : begin + PAGE_ROWS]:
            size += weight(line)
            if found and size > PAGE_BYTES:
                break
            found.append(line)
        return found


class Shelf:
    """Messages that were just made, by whatever they depend on."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[Any, ...], Parcel] = OrderedDict()

    def get(self, key: tuple[Any, ...]) -> Parcel | None:
        """The message, if it is still there."""
        return self._kept.get(key)

    def put(self, key: tuple[Any, ...], parcel: Parcel) -> Parcel:
        """Keep it for a while."""
        self._kept[key] = parcel
        if len(self._kept) > _PARCELS:
            self._kept.popitem(last=False)
        return parcel


class Known:
    """All rows, and which of them changed since when.

    Nothing is known of what came before `begin`.
    """

    def __init__(self, room: str, epoch: str, shelf: Shelf) -> None:
        self.room = room
        self.epoch = epoch
        self.offset = 0
        self.received = 0
        self._lines: dict[str, Line] = {}
        self._session = Sitting()
        self._counts = Tally()
        self._missing = 0
        # What each state was followed by: `received` of it, and the rows that then changed.
        self._steps: OrderedDict[int, set[str]] = OrderedDict()
        self._changed = 0
        self._pins: OrderedDict[int, Pin] = OrderedDict()
        self._shelf = shelf
        self._mine = object()  # the shelf is shared, and other sites may see the same session

    def begin(self, delta: Delta, offset: int, received: int, missing: int) -> None:
        """The first state, with how many events of the room were let go before."""
        self._take(delta)
        self.offset, self.received, self._missing = offset, received, missing
        self._steps[received] = set()

    def advance(self, delta: Delta, offset: int | None, received: int) -> bool:
        """The next state, `offset` None if the room has not grown; whether there is any news."""
        changed = {*delta.rows, *delta.gone}
        if not changed and delta.session is None and offset is None:
            return False
        self._take(delta)
        self._steps[self.received] = changed
        self._changed += len(changed)
        self._steps[received] = set()
        while len(self._steps) > _STEPS or (self._changed > _CHANGED and len(self._steps) > 1):
            self._changed -= len(self._steps.popitem(last=False)[1])
        self.offset, self.received = self.offset if offset is None else offset, received
        return True

    def fits(self, delta: Delta) -> bool:
        """Whether that is short enough for one message."""
        return len(delta.rows) + len(delta.gone) <= PAGE_ROWS and _light(
            delta.rows.values(), delta.gone
        )

    def live(self, since: int, delta: Delta, head: int, *, full: bool) -> Parcel:
        """What just changed, for all who knew the state before it."""
        rows = [line[full] for line in delta.rows.values()]
        message = self._message(
            head, since=since, live=True, rows=rows, gone=delta.gone, session=delta.session
        )
        return Parcel(message, self._mark())

    def page(self, place: Place, head: int) -> tuple[Parcel, bool]:
        """What brings a reader on, its place moved accordingly, and whether it is live then."""
        if place.pin is None and place.part:
            place.pin = self._pins.get(_meant(place.received, self._pins))
            if place.pin is None or place.part >= len(place.pin.lines):
                place.pin, place.received, place.part = None, _NOTHING, 0
        if place.pin is None:
            place.received = _meant(place.received, self._steps)
            changed = self._since(place.received)
            if changed is not None:
                return self._changes(place, changed, head), True
            place.pin, place.part = self._pinned(), 0
        return self._piece(place, place.pin, head)

    # -- inside ------------------------------------------------------------------------------------

    def _take(self, delta: Delta) -> None:
        self._lines.update(delta.rows)
        for person in delta.gone:
            del self._lines[person]
        if delta.session is not None:
            self._session = delta.session
        self._counts = delta.counts

    def _since(self, received: int) -> set[str] | None:
        """The rows that changed since then; None if that is not known, or too much to be told."""
        if received not in self._steps:
            return None
        found: set[str] = set()
        for state, changed in reversed(self._steps.items()):
            found |= changed
            if len(found) > PAGE_ROWS:
                return None
            if state == received:
                break
        lines = [self._lines[person] for person in found if person in self._lines]
        return found if _light(lines, found) else None

    def _changes(self, place: Place, changed: set[str], head: int) -> Parcel:
        since, place.received = place.received, self.received
        key = (self._mine, self.received, since, place.full, head)
        if (known := self._shelf.get(key)) is not None:
            return known
        lines = [self._lines[person] for person in sorted(changed) if person in self._lines]
        message = self._message(
            head,
            since=since,
            live=True,
            rows=[line[place.full] for line in lines],
            gone=sorted(person for person in changed if person not in self._lines),
            session=self._session,
        )
        parcel = Parcel(message, self._mark(), news=since != self.received)
        return self._shelf.put(key, parcel)

    def _pinned(self) -> Pin:
        """A snapshot: the last one, if little has changed since, or else one of now."""
        if self._pins:
            last = next(reversed(self._pins.values()))
            if self._since(last.received) is not None:
                return last
        lines = list(self._lines.values())
        pin = Pin(self.offset, self.received, lines, self._session, self._counts)
        self._pins[self.received] = pin
        if len(self._pins) > _PINS:
            self._pins.popitem(last=False)
        return pin

    def _piece(self, place: Place, pin: Pin, head: int) -> tuple[Parcel, bool]:
        begin, lines = place.part, pin.cut(place.part)
        end = begin + len(lines)
        whole = end == len(pin.lines)
        live = whole and pin.received == self.received
        place.received = pin.received
        place.pin, place.part = (None, 0) if whole else (pin, end)
        key = (self._mine, pin.received, begin, place.full, live, head)
        if (known := self._shelf.get(key)) is not None:
            return known, live
        message = Rows(
            self.room,
            self.epoch,
            pin.offset,
            head,
            pin.received,
            since=pin.received if begin else 0,
            snapshot=not begin,
            part=0 if whole else end,
            live=live,
            rows=[line[place.full] for line in lines],
            session=None if begin else pin.session,
            counts=pin.counts if whole else None,
            missing=self._missing,
        )
        mark = Mark(self.room, self.epoch, pin.offset, pin.received) if whole else None
        return self._shelf.put(key, Parcel(message, mark)), live

    def _message(self, head: int, **given: Any) -> Rows:  # noqa: ANN401  fields of a message
        offset, missing = self.offset, self._missing
        return Rows(
            self.room,
            self.epoch,
            offset,
            max(head, offset),
            self.received,
            counts=self._counts,
            missing=missing,
            **given,
        )

    def _mark(self) -> Mark:
        return Mark(self.room, self.epoch, self.offset, self.received)


def weight(line: Line) -> int:
    """About how many bytes a row is on the wire."""
    row = line.full
    return 200 + 2 * len(row.person) + 2 * len(row.name) + 36 * len(row.items)


def _meant(received: int, known: Collection[int]) -> int:
    """Which of these somebody says who may have no more than 53 bits for it, as browsers."""
    if received in known or int(float(received)) != received:
        return received
    near = [one for one in known if float(one) == float(received)]
    return near[0] if len(near) == 1 else received


def _light(lines: Iterable[Line], names: Iterable[str]) -> bool:
    size = sum(map(weight, lines)) + sum(map(len, names))
    return size <= 2 * PAGE_BYTES
