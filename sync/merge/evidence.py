"""What the doors saw of one row: in which order, who is inside, and what cannot be true."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING

from kiosk.model import Kind, Presence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from kiosk.model import Entry, Event

    Interval = tuple[int, int]
    Knew = Callable[[Event, Event], bool]

MINUTE = 60 * 1_000_000_000
_CHECK_OUT = Kind.CHECK_OUT.value
_NONE, _INSIDE, _LEFT = Presence.NONE, Presence.INSIDE, Presence.LEFT
# Beyond so many passages of one person the first ones tell whether two places are too far apart.
_MOST_PASSAGES = 64


@dataclass(frozen=True, slots=True)
class Places:
    """How far apart the kiosks are. `of` is each device's place; minutes between two places.

    `given` holds minutes as devices give them, by (from, to) either way round; `otherwise` counts
    between different places for which there are none. A device without a place is never far.
    """

    of: Mapping[str, str] = field(default_factory=dict)
    given: Mapping[tuple[str, str], int] = field(default_factory=dict)
    otherwise: int = 0

    def __bool__(self) -> bool:
        return bool(self.of) and (self.otherwise > 0 or bool(self.given))

    def apart(self, one: str, other: str) -> int:
        """The least nanoseconds between being at one device and at the other."""
        here, there = self.of.get(one), self.of.get(other)
        if here is None or there is None or here == there:
            return 0
        told = [self.given[way] for way in ((here, there), (there, here)) if way in self.given]
        return min(told, default=self.otherwise) * MINUTE

    @property
    def reach(self) -> int:
        """The most nanoseconds between any two of them; 0 if none are apart."""
        return max(self.otherwise, *self.given.values(), 0) * MINUTE if self else 0


NOWHERE = Places()


def first_of(scans: Sequence[Entry]) -> Interval | None:
    """When the first of several happened: (least of the lows, least of the highs)."""
    return (min(e.low for e in scans), min(e.high for e in scans)) if scans else None


def too_far(moves: Sequence[Entry], places: Places) -> list[Entry]:
    """Those that were at two places with too little time between, whatever the clocks' error."""
    if not places:
        return []
    far: dict[str, Entry] = {}
    for one, other in combinations(moves[:_MOST_PASSAGES], 2):
        if one.event.device == other.event.device:
            continue
        longest = max(one.high - other.low, other.high - one.low)
        if longest < places.apart(one.event.device, other.event.device):
            far |= {one.event.id: one, other.event.id: other}
    return list(far.values())


def too_far_across(moves: Iterable[Entry], places: Places) -> list[Entry]:
    """The same of one person's passages in several sessions; only those of different ones."""
    reach = places.reach
    if not reach:
        return []
    far: dict[str, Entry] = {}
    placed = sorted(moves, key=lambda e: (e.low, e.high, e.event.id))
    for at, one in enumerate(placed):
        for other in placed[at + 1 : at + 1 + _MOST_PASSAGES]:
            if other.low - one.low >= reach:
                break
            apart = places.apart(one.event.device, other.event.device)
            longest = max(one.high - other.low, other.high - one.low)
            if one.event.session != other.event.session and longest < apart:
                far |= {one.event.id: one, other.event.id: other}
    return list(far.values())


def ordered(moves: Iterable[Entry]) -> list[Entry]:
    """By (midpoint, device, incarnation, kseq), no midpoint before one of a lower kseq."""
    reached: dict[tuple[str, str], int] = {}
    placed = []
    for entry in sorted(moves, key=lambda e: (e.event.kseq, e.event.id)):
        place = _place(entry)
        line = place[1:3]
        reached[line] = middle = max(place[0], reached.get(line, place[0]))
        placed.append(((middle, *place[1:]), entry))
    placed.sort(key=lambda pair: pair[0])
    return [entry for _, entry in placed]


def earliest(moves: Iterable[Entry]) -> Entry:
    """The first of `ordered(moves)`, which must not be empty: the earliest line's first."""
    firsts: dict[tuple[str, str], Entry] = {}
    for entry in moves:
        event = entry.event
        line = (event.device, event.incarnation)
        held = firsts.get(line)
        if held is None or (event.kseq, event.id) < (held.event.kseq, held.event.id):
            firsts[line] = entry
    return min(firsts.values(), key=_place)


def presence(moves: Iterable[Entry], knew: Knew) -> tuple[Presence, Interval | None]:
    """Where the ordered check-ins and check-outs put a person, and when they left if they did."""
    entered: list[Entry] = []
    leaving: list[Entry] = []
    for entry in moves:
        data, goes_in = entry.event.data, entry.event.kind != _CHECK_OUT
        if data.get("direction") == "auto":
            goes_in = bool(leaving) or not entered
        if goes_in:
            entered.append(entry)
            leaving.clear()
        else:
            leaving.append(entry)
    if not leaving:
        return (_INSIDE if entered else _NONE), None
    if not any(all(_before(i, o, knew) for i in entered) for o in reversed(leaving)):
        return _INSIDE, None
    return _LEFT, (max(o.low for o in leaving), max(o.high for o in leaving))


def _place(entry: Entry) -> tuple[int, str, str, int, str]:
    event = entry.event
    return (entry.low + entry.high, event.device, event.incarnation, event.kseq, event.id)


def _before(entry: Entry, leaving: Entry, knew: Knew) -> bool:
    """Whether `entry` surely happened first."""
    if knew(entry.event, leaving.event):
        return False
    return entry.high < leaving.low or knew(leaving.event, entry.event)
