"""Who knew what, and what must never be shown: worked out a second time.

So a fault in the fold is not its own judge.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kiosk.model import ROW_KINDS, Attendance, Entry, Event, Kind, Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from kiosk.model import Session

Key = tuple[str, str]
_MILDEST_FIRST = ("present", "late", "excused", "absent")
_TURNS = (Kind.SESSION_CLOSED, Kind.SESSION_REOPENED)


def breaches(
    rows: Mapping[Key, Attendance],
    entries: Iterable[Entry],
    aliases: Mapping[str, str],
    sessions: Mapping[str, Session],
) -> list[str]:
    """What these rows show against the laws; `entries` are all that they were folded from."""
    by_row: dict[Key, list[Entry]] = {}
    for entry in entries:
        event = entry.event
        if event.kind in ROW_KINDS and event.session and event.person:
            person = aliases.get(event.person, event.person)
            by_row.setdefault((event.session, person), []).append(entry)
    found = []
    for key, row in rows.items():
        one = sessions.get(key[0])
        late = one.late_at if one is not None else None
        found += [f"{key}: {what}" for what in _of_row(row, by_row.get(key, []), late)]
    return found


def is_closed(session: str, entries: Iterable[Entry]) -> bool:
    """Whether all that nobody overruled says that a session is closed."""
    turns = [e.event for e in entries if e.event.kind in _TURNS and e.event.session == session]
    heads = [t for t in turns if not any(t.id in _known(turns, o) for o in turns if o is not t)]
    return bool(heads) and all(head.kind == Kind.SESSION_CLOSED for head in heads)


def _of_row(row: Attendance, entries: list[Entry], late_at: int | None) -> Iterator[str]:
    """What a row shows against the laws."""
    gone = _taken_back(entries)
    live = [entry for entry in entries if entry.event.id not in gone]
    events = [entry.event for entry in entries]
    winner = next((event for event in events if event.id == row.winner), None)
    scans = [entry for entry in live if entry.event.kind == Kind.CHECK_IN]
    if winner is not None and winner.id in gone:
        yield f"the decision {winner.id} was taken back, and stands"
    if row.status == Status.ABSENT:
        known = _known(events, winner)
        for scan in scans:
            if scan.event.id not in known:
                yield f"absent, but the check-in {scan.event.id} was never seen"
    if scans and row.status == Status.EXPECTED:
        yield "checked in, and still expected"
    if winner is None and scans:
        yield from _timed(row, scans, late_at)
    for entry in live:
        other = entry.event
        if other.kind == Kind.OVERRIDE and winner is not other:
            yield from _overruled(other, winner, [one.event for one in live], events)


def _taken_back(entries: list[Entry]) -> set[str]:
    """What a retract takes out that its author might make: of their own, or of no higher rank."""
    by_id = {entry.event.id: entry for entry in entries}
    gone = set()
    for entry in entries:
        one = entry.event
        target = by_id.get(str(one.data.get("target"))) if one.kind == Kind.RETRACT else None
        if target is None:
            continue
        other = target.event
        if one.by.staff is not None or other.by.staff is not None:
            own = one.by.staff == other.by.staff
        else:
            own = (one.device, one.incarnation) == (other.device, other.incarnation)
        if own or 0 < one.by.rank >= other.by.rank:
            gone.add(other.id)
    return gone


def _timed(row: Attendance, scans: list[Entry], late_at: int | None) -> Iterator[str]:
    """Whether nobody's word but the evidence tells when somebody came, and so if they were late."""
    arrival = min(scan.low for scan in scans), min(scan.high for scan in scans)
    if row.arrival != arrival:
        yield f"came at {arrival}, and not at {row.arrival}"
    late = late_at is not None and arrival[0] > late_at
    if row.status not in ((Status.LATE,) if late else (Status.PRESENT,)):
        yield f"came at {arrival}, late from {late_at}, and is {row.status}"


def _overruled(
    other: Event, winner: Event | None, live: list[Event], events: list[Event]
) -> Iterator[str]:
    """Why a decision should not have lost: it knew the winner, or weighs more, unknown to all."""
    if winner is None:
        yield f"the decision {other.id} is passed over"
    elif winner.id in _known(events, other):
        yield f"the decision {other.id} knew the winner {winner.id}"
    elif _weight(other) > _weight(winner) and not any(
        other.id in _known(events, event) for event in live if event.kind == Kind.OVERRIDE
    ):
        yield f"the decision {other.id} weighs more than the winner {winner.id}"


def _weight(decision: Event) -> tuple[int, int]:
    """By rank, then the milder."""
    return decision.by.rank, -_MILDEST_FIRST.index(str(decision.data["status"]))


def _known(events: list[Event], start: Event | None) -> set[str]:
    """All that the author of an event knew of its row, by what it saw and by its own chain."""
    known: set[str] = set()
    if start is None:
        return known
    by_id = {event.id: event for event in events}
    ahead = [*start.saw]
    while ahead:
        if (name := ahead.pop()) not in known:
            known.add(name)
            ahead += by_id[name].saw if name in by_id else ()
    line = (start.device, start.incarnation)
    known |= {e.id for e in events if (e.device, e.incarnation) == line and e.kseq < start.kseq}
    return known
