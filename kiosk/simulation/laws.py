"""Who knew what, and what must never be shown: worked out a second time.

So a fault in the fold is not its own judge.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kiosk.model import ROW_KINDS, Attendance, Event, Kind, Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

Key = tuple[str, str]


def breaches(
    rows: Mapping[Key, Attendance], events: Iterable[Event], aliases: Mapping[str, str]
) -> list[str]:
    """What these rows show against the laws."""
    by_row: dict[Key, list[Event]] = {}
    for event in events:
        if event.kind in ROW_KINDS and event.session and event.person:
            person = aliases.get(event.person, event.person)
            by_row.setdefault((event.session, person), []).append(event)
    return [
        f"{key}: {what}" for key, row in rows.items() for what in _of_row(row, by_row.get(key, []))
    ]


def _of_row(row: Attendance, events: list[Event]) -> Iterator[str]:
    """What a row shows against the laws; of events that somebody retracts nothing is asked."""
    retracted = {event.data.get("target") for event in events if event.kind == Kind.RETRACT}
    live = [event for event in events if event.id not in retracted]
    winner = next((event for event in events if event.id == row.winner), None)
    scans = [event for event in live if event.kind == Kind.CHECK_IN]
    if row.status == Status.ABSENT:
        known = _known(events, winner)
        for scan in scans:
            if scan.id not in known:
                yield f"absent, but the check-in {scan.id} was never seen"
    if scans and row.status == Status.EXPECTED:
        yield "checked in, and still expected"
    for other in live:
        if other.kind == Kind.OVERRIDE and winner is not other:
            yield from _overruled(other, winner, events)


def _overruled(other: Event, winner: Event | None, events: list[Event]) -> Iterator[str]:
    """Why a decision should not have lost: it knew the winner, or was of higher rank, unknown."""
    if winner is None:
        yield f"the decision {other.id} is passed over"
    elif winner.id in _known(events, other):
        yield f"the decision {other.id} knew the winner {winner.id}"
    elif other.by.rank > winner.by.rank and not any(
        other.id in _known(events, event) for event in events if event.kind == Kind.OVERRIDE
    ):
        yield f"the decision {other.id} outranks the winner {winner.id}"


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
