"""The rules of one row of attendance; a pure function of its events and of the `Terms`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kiosk.model import EVIDENCE, ROW_KINDS, Attendance, Flag, Human, Kind, Presence, Status
from sync.causality import Causality
from sync.merge import decisions, evidence, items
from sync.merge.entries import NO_FORKS, QUARANTINED, Log, forked, quarantined

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from kiosk.model import Entry, ReviewItem, Session
    from sync.merge.decisions import Decision, Knew
    from sync.merge.entries import Forks
    from sync.merge.evidence import Interval
    from sync.merge.sessions import Closing

    Key = tuple[str, str]

# Held by name: reaching a member through its enumeration costs more than all the rest of a test.
_CHECK_IN, _CHECK_OUT = Kind.CHECK_IN.value, Kind.CHECK_OUT.value
_VISITOR = Kind.VISITOR.value
_ABSENT_SAID = Status.ABSENT.value
_EXPECTED, _PRESENT, _LATE, _ABSENT = Status.EXPECTED, Status.PRESENT, Status.LATE, Status.ABSENT
_INSIDE = Presence.INSIDE
_FLAGS = tuple(Flag)


@dataclass(frozen=True, slots=True)
class Terms:
    """What a row is judged by besides its own events.

    `late_at` is the late limit (UTC ns, None: nobody is late), `closing` the session's if it is
    closed, `places` how far apart kiosks are, `forks` from which `kseq` on a device had a double.
    """

    late_at: int | None = None
    closing: Closing | None = None
    places: evidence.Places = evidence.NOWHERE
    forks: Forks = field(default_factory=lambda: NO_FORKS)


NO_TERMS = Terms()


def fold_row(
    session: Session | None,
    person: str,
    entries: Iterable[Entry],
    session_id: str | None = None,
    terms: Terms | None = None,
) -> Attendance:
    """The row of `person` in `session`: the first half of what `fold_noted` gives."""
    return fold_noted(session, person, entries, session_id, terms)[0]


def fold_noted(
    session: Session | None,
    person: str,
    entries: Iterable[Entry],
    session_id: str | None = None,
    terms: Terms | None = None,
) -> tuple[Attendance, tuple[ReviewItem, ...]]:
    """The row of `person` in `session`, folded from that row's entries in any order.

    With it, all that is to be said of it, not batched.

    `session` gives the late limit unless `terms` are given; None is a session not known here, in
    which nobody is late, and whose id is then `session_id`. Entries of other kinds are passed over.
    An id that comes more than once counts once: an entry with an envelope replaces one without, of
    two without the last is taken, and several envelopes (a hub was restored) intersect their
    intervals; if they have nothing in common the hull is taken and flagged `time_uncertain`, and
    the verdict and rank received last hold.
    """
    log = Log()
    for entry in entries:
        if entry.event.kind in ROW_KINDS:
            log.add(entry)
    if terms is None:
        terms = Terms(session.late_at) if session else NO_TERMS
    key = (session.id if session else session_id or "", person)
    held = log.entries.values()
    row = None if log.doubtful else usual(key, terms, held)
    return judged(key, terms, held, log.doubtful) if row is None else (row, ())


def passages(entries: Collection[Entry], forks: Forks = NO_FORKS) -> list[Entry]:
    """The check-ins and check-outs of a row that count, in no order."""
    live = _parted(entries, forks)[0]
    gone = decisions.retracted(live)
    return [e for e in live if e.event.kind in EVIDENCE and e.event.id not in gone]


def saw_for_decision(entries: Iterable[Entry]) -> tuple[str, ...]:
    """What a decision made in sight of these entries, all of its row, must carry as `saw`."""
    return tuple(sorted({entry.event.id for entry in entries}))


def saw_for_scan(attendance: Attendance | None, closed_by: Iterable[str] = ()) -> tuple[str, ...]:
    """What a check-in or check-out must carry as `saw`.

    That is the decision held as winning, if any, and the closings of its session that are known
    (`SessionState.heads` of a closed one).
    """
    won = (attendance.winner,) if attendance is not None and attendance.winner else ()
    return (*won, *closed_by)


def usual(key: Key, terms: Terms, entries: Collection[Entry]) -> Attendance | None:
    """The short way for a row of nothing but plain check-ins; None if it is not one."""
    arrival = None
    for entry in entries:
        event, stamp = entry.event, entry.envelope
        if event.kind != _CHECK_IN or "direction" in event.data:
            return None
        if stamp is not None and (stamp.verdict == QUARANTINED or stamp.code):
            return None
        if arrival is None:
            arrival = (entry.low, entry.high)
        else:
            arrival = (min(arrival[0], entry.low), min(arrival[1], entry.high))
    if arrival is None or terms.forks or (len(entries) > 1 and terms.places):
        return None
    if len(entries) > 1:
        entry = evidence.earliest(entries)
    closing = terms.closing
    status, uncertain = _by_time(arrival, terms.late_at)
    if uncertain or (closing is not None and not closing.leaves(entry)):
        return None
    session, person = key
    method, device = _method(entry), entry.event.device
    return Attendance(session, person, status, _INSIDE, arrival, None, None, method, device)


def judged(
    key: Key, terms: Terms, entries: Collection[Entry], doubtful: Collection[str]
) -> tuple[Attendance, tuple[ReviewItem, ...]]:
    """The row of any events by the whole of the rules, and all that is to be said of it."""
    live, apart, clean = _parted(entries, terms.forks)
    knew = Causality([e.event for e in live], terms.forks).knew
    if gone := decisions.retracted(live):
        live = [e for e in live if e.event.id not in gone]
    moves = evidence.ordered([e for e in live if e.event.kind in EVIDENCE])
    made = [d for e in live if (d := decisions.decision(e)) is not None]
    heads = decisions.heads(made, knew) if made else ()
    winner = max(heads, key=decisions.weight, default=None)

    told = items.Told(key)
    scans = [e for e in moves if e.event.kind != _CHECK_OUT]
    counted = _counted(winner, scans, knew, told)
    for flag, others in decisions.disagreements(heads, winner).items():
        told.decisions(flag, winner, others)
    presence, departure = evidence.presence(moves, knew)
    arrival = evidence.first_of(counted)
    if winner is None or (winner.status == _ABSENT_SAID and counted):
        status = _without_decision(counted, terms, told)
    else:
        status = Status(winner.status)
        arrival, departure = _times(winner, arrival, departure)
    if status is _ABSENT:
        arrival = departure = None
    if doubtful:
        told.doubtful([e for e in moves if e.event.id in doubtful])
    if terms.places is not evidence.NOWHERE:
        told.two_places(evidence.too_far(moves, terms.places))
    if not clean:
        told.forked([e for e in moves if forked(e, terms.forks)])

    first = evidence.earliest(counted or scans) if scans else None
    row = Attendance(
        session=key[0],
        person=key[1],
        status=status,
        presence=presence,
        arrival=arrival,
        departure=departure,
        winner=winner.event.id if winner else None,
        method=_method(first) if first else "staff" if winner else "",
        device=first.event.device if first else "",
        flags=tuple([flag for flag in _FLAGS if flag in told.flags]) if told.flags else (),
    )
    return row, told.items(row, apart) if told.flags or apart else ()


def _parted(entries: Collection[Entry], forks: Forks) -> tuple[list[Entry], list[Entry], bool]:
    """What counts, what is set apart, and whether all is so plain that nothing more is asked."""
    live = [
        e
        for e in entries
        if e.envelope is None or (e.envelope.verdict != QUARANTINED and not e.envelope.code)
    ]
    if not forks and len(live) == len(entries):
        return live, [], True
    apart = [e for e in entries if _set_apart(e, forks)]
    return [e for e in entries if not _set_apart(e, forks)], apart, False


def _set_apart(entry: Entry, forks: Forks) -> bool:
    if quarantined(entry):
        return True
    return entry.event.kind not in EVIDENCE and forked(entry, forks)


def _method(entry: Entry) -> str:
    otherwise = _VISITOR if entry.event.kind == _VISITOR else ""
    method = entry.event.data.get("method", otherwise)
    return method if isinstance(method, str) else otherwise


def _counted(
    winner: Decision | None, scans: Sequence[Entry], knew: Knew, told: items.Told
) -> Sequence[Entry]:
    counted, found = decisions.against(winner, scans, knew)
    for flag, entries in found.items():
        told.absent(flag, winner, entries)
    return counted


def _without_decision(counted: Sequence[Entry], terms: Terms, told: items.Told) -> Status:
    """The status that evidence gives, where no decision stands against it."""
    closing = terms.closing
    if not counted:
        return _EXPECTED if closing is None else _ABSENT
    if closing is not None and not any(closing.leaves(e) for e in counted):
        aware = all(closing.known_to(e.event) for e in counted)
        told.after_close(counted, Human.INFORMED if aware else Human.BATCH)
    arrival = evidence.first_of(counted)
    status, uncertain = _by_time(arrival, terms.late_at)
    if uncertain and terms.late_at is not None:
        told.uncertain([e for e in counted if e.low <= terms.late_at], terms.late_at)
    return status


def _by_time(arrival: Interval | None, late_at: int | None) -> tuple[Status, bool]:
    """The status that evidence alone gives, and whether the late limit lies inside the interval."""
    if arrival is None:
        return _EXPECTED, False
    if late_at is None or arrival[1] <= late_at:
        return _PRESENT, False
    return (_LATE, False) if arrival[0] > late_at else (_PRESENT, True)


def _times(
    winner: Decision, arrival: Interval | None, departure: Interval | None
) -> tuple[Interval | None, Interval | None]:
    """Arrival and departure under a winner that stands: what it gives, else the evidence."""
    if winner.arrival is not None:
        arrival = (winner.arrival, winner.arrival)
    if winner.departure is not None:
        departure = (winner.departure, winner.departure)
    return arrival, departure
