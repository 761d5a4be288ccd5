"""What staff decided of one row: which overrides hold, which were taken back, which disagree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kiosk.model import Flag, Kind, Status
from sync.merge.entries import rank

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kiosk.model import Entry, Event

    Knew = Callable[[Event, Event], bool]

# What an override may say, from the least destructive to the most.
_MILDNESS = {"present": 4, "late": 3, "excused": 2, "absent": 1}
_OVERRIDE, _RETRACT = Kind.OVERRIDE.value, Kind.RETRACT.value
_ABSENT = Status.ABSENT.value


@dataclass(frozen=True, slots=True)
class Decision:
    """An override as far as it is understood; times in UTC ns."""

    event: Event
    rank: int
    status: str
    arrival: int | None
    departure: int | None


def retracted(live: Sequence[Entry]) -> set[str]:
    """The ids that a valid retract takes out."""
    gone: set[str] = set()
    if not (retracts := [e for e in live if e.event.kind == _RETRACT]):
        return gone
    # A retract may be among the targets: what it took out stays out, for it alone is left out.
    targets = {e.event.id: e for e in live}
    for entry in retracts:
        name = entry.event.data.get("target")
        target = targets.get(name) if isinstance(name, str) else None
        if target is not None and may_retract(entry, target):
            gone.add(target.event.id)
    return gone


def may_retract(entry: Entry, target: Entry) -> bool:
    """Whether the one retract takes the other entry out: by its author, or by rank."""
    one, other = entry.event, target.event
    if 0 < rank(entry) >= rank(target):
        return True
    if one.by.staff is not None or other.by.staff is not None:
        return one.by.staff == other.by.staff
    return one.device == other.device and one.incarnation == other.incarnation


def decision(entry: Entry) -> Decision | None:
    """The override in the entry; None if it is not one or cannot be understood."""
    event = entry.event
    if event.kind != _OVERRIDE:
        return None
    status, *times = (event.data.get(name) for name in ("status", "arrival", "departure"))
    if not isinstance(status, str) or status not in _MILDNESS:
        return None
    if any(time is not None and type(time) is not int for time in times):
        return None
    return Decision(event, rank(entry), status, times[0], times[1])


def heads(decisions: Sequence[Decision], knew: Knew) -> Sequence[Decision]:
    """Those that no other knew; all of them if, forged, each is known by some other."""
    found = [
        d for d in decisions if not any(o is not d and knew(o.event, d.event) for o in decisions)
    ]
    return found or decisions


def weight(one: Decision) -> tuple[int, int, str]:
    """The greatest of several heads wins."""
    return (one.rank, _MILDNESS[one.status], one.event.id)


def disagreements(heads: Sequence[Decision], winner: Decision | None) -> dict[Flag, list[Decision]]:
    """The heads that say otherwise than the winner, by what that means.

    Where some of its own rank do, those of that rank that agree with it are named as well.
    """
    found: dict[Flag, list[Decision]] = {}
    for head in heads:
        if winner is not None and head.status != winner.status:
            flag = Flag.DISAGREE if head.rank == winner.rank else Flag.OUTRANKED
            found.setdefault(flag, []).append(head)
    if winner is not None and Flag.DISAGREE in found:
        peers = [head for head in heads if head.rank == winner.rank and head is not winner]
        found[Flag.DISAGREE] = peers
    return found


def against(
    winner: Decision | None, scans: Sequence[Entry], knew: Knew
) -> tuple[Sequence[Entry], dict[Flag, list[Entry]]]:
    """The check-ins that an absent winner does not refute, and those to be told of, by flag."""
    found: dict[Flag, list[Entry]] = {}
    if winner is None or winner.status != _ABSENT:
        return scans, found
    counted = [e for e in scans if not knew(winner.event, e.event)]
    for entry in counted:
        after = knew(entry.event, winner.event)
        flag = Flag.ARRIVED_AFTER_ABSENT if after else Flag.SCAN_UNSEEN
        found.setdefault(flag, []).append(entry)
    return counted, found
