"""The fold: from a set of events to rows of attendance, the same on every kiosk and hub.

A row is a pure function of the set of its own events (`kiosk.model.ROW_KINDS` of one session and
person) and of the session's late limit. Order, repetition and the way they came do not matter.

Settled here, because many hands must agree on it:

* Nothing raises on what an event holds. An override whose status is none of present, late, excused
  and absent, or whose arrival or departure is no integer, and a retract without a target that is an
  event of the row, are not understood and decide nothing; what they saw still counts as seen. A
  check-in is never lost to its data: a direction that is not "auto" is that of its kind.
* A quarantined event decides nothing, proves nothing, and passes on no knowledge. Knowledge is
  followed through the row's own events only, for a decision names all it saw of its row.
* A rank speaks only for staff: a retract by nobody of rank undoes its own author's event alone.
  Author means the same member of staff or, when neither event is by staff, the same incarnation of
  the same device.
* Ties between winners go to the greatest id. If forged events know each other in a ring, so that
  no head is left, all live overrides are heads.
* What an `absent` winner knew is refuted: arrival, and late or not, come from the other check-ins.
  A row that stays absent has neither arrival nor departure; its presence is folded all the same.
* A person has left only if a check-out surely followed every check-in: by intervals that do not
  touch, or because it knew them. All else is inside.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from kiosk.model import EVIDENCE, ROW_KINDS, Attendance, Entry, Flag, Kind, Presence, Status
from sync.causality import Causality

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from kiosk.model import Event, Session

    Key = tuple[str, str]
    Interval = tuple[int, int]

# What an override may say, from the least destructive to the most.
_MILDNESS = {"present": 4, "late": 3, "excused": 2, "absent": 1}
# Held by name: reaching a member through its enumeration costs more than all the rest of a test.
_CHECK_IN, _OVERRIDE, _RETRACT = Kind.CHECK_IN.value, Kind.OVERRIDE.value, Kind.RETRACT.value
_QUARANTINED = "quarantined"
_ABSENT = Status.ABSENT.value
_EXPECTED, _PRESENT, _LATE = Status.EXPECTED, Status.PRESENT, Status.LATE
_NONE, _INSIDE, _LEFT = Presence.NONE, Presence.INSIDE, Presence.LEFT
_FLAGS = tuple(Flag)


def fold_row(
    session: Session | None,
    person: str,
    entries: Iterable[Entry],
    session_id: str | None = None,
) -> Attendance:
    """The row of `person` in `session`, folded from that row's entries in any order.

    `session` gives the late limit; None is a session not known here, in which nobody is late, and
    whose id is then `session_id`. Entries of other kinds are passed over. An id that comes more
    than once counts once: an entry with an envelope replaces one without, of two without the last
    is taken, and several envelopes (a hub was restored) intersect their intervals; if they have
    nothing in common the hull is taken and flagged `time_uncertain`, and the verdict and rank
    received last hold.
    """
    log = _Log()
    for entry in entries:
        if entry.event.kind in ROW_KINDS:
            log.add(entry)
    key = (session.id if session else session_id or "", person)
    return _folded(key, session.late_at if session else None, log.entries.values(), log.doubtful)


def saw_for_decision(entries: Iterable[Entry]) -> tuple[str, ...]:
    """What a decision made in sight of these entries, all of its row, must carry as `saw`."""
    return tuple(sorted({entry.event.id for entry in entries}))


def saw_for_scan(attendance: Attendance | None) -> tuple[str, ...]:
    """What a check-in or check-out must carry as `saw`: the decision held as winning, if any."""
    return (attendance.winner,) if attendance is not None and attendance.winner else ()


class Fold:
    """Many rows, kept up to date entry by entry; at any moment equal to `fold_row` of each.

    A row is worked out when it is asked for, once after each change. Not thread-safe.
    """

    def __init__(self, sessions: Mapping[str, Session] | None = None) -> None:
        self._sessions = dict(sessions or {})
        # Most rows hold one entry for ever, and a log is dear by the hundred thousand.
        self._logs: dict[Key, Entry | _Log] = {}
        self._rows: dict[Key, Attendance] = {}
        # In the order of arrival, which is nearly that of memory: twice as fast as a set to walk.
        self._stale: dict[Key, None] = {}

    @property
    def sessions(self) -> Mapping[str, Session]:
        """The sessions by id, for their late limits; assign a new mapping to change them."""
        return MappingProxyType(self._sessions)

    @sessions.setter
    def sessions(self, sessions: Mapping[str, Session]) -> None:
        before, self._sessions = self._sessions, dict(sessions)
        changed = (key for key in self._logs if before.get(key[0]) != sessions.get(key[0]))
        self._stale.update(dict.fromkeys(changed))

    @property
    def rows(self) -> Mapping[Key, Attendance]:
        """Every row that has an event, by (session id, person id); ask again after an apply."""
        for key in self._stale:
            self._rows[key] = self._fold(key)
        self._stale.clear()
        return MappingProxyType(self._rows)

    def row(self, session: str, person: str) -> Attendance | None:
        """The row of these two ids; None if no event of it was applied."""
        key = (session, person)
        if key in self._stale:
            self._rows[key] = self._fold(key)
            del self._stale[key]
        return self._rows.get(key)

    def apply(self, entry: Entry) -> Key | None:
        """Take an entry in; the key of its row, or None if it told nothing new or has no row."""
        event = entry.event
        session, person = event.session, event.person
        if session is None or person is None or event.kind not in ROW_KINDS:
            return None
        key = (session, person)
        log = self._logs.get(key)
        if log is None:
            self._logs[key] = entry
        else:
            if isinstance(log, Entry):
                log = self._logs[key] = _Log(log)
            if not log.add(entry):
                return None
        self._stale[key] = None
        return key

    def _fold(self, key: Key) -> Attendance:
        session = self._sessions.get(key[0])
        late_at = session.late_at if session else None
        log = self._logs[key]
        if isinstance(log, Entry):
            return _folded(key, late_at, (log,), ())
        return _folded(key, late_at, log.entries.values(), log.doubtful)


class _Log:
    """The events of one row, each once, as they are to be folded.

    `doubtful` holds the ids whose envelopes contradict each other about the time.
    """

    __slots__ = ("_stamped", "doubtful", "entries")

    def __init__(self, *entries: Entry) -> None:
        self.entries = {entry.event.id: entry for entry in entries}
        self.doubtful: tuple[str, ...] = ()
        # Every form of the few events that have several envelopes.
        self._stamped: dict[str, tuple[Entry, ...]] | None = None

    def add(self, entry: Entry) -> bool:
        """Take the entry in; whether it told anything new."""
        name = entry.event.id
        held = self.entries.get(name)
        if held is None:
            self.entries[name] = entry
            return True
        if held.envelope is not None and entry.envelope is not None:
            return self._restamp(name, held, entry)
        if held.envelope is not None or held == entry:
            return False
        self.entries[name] = entry
        return True

    def _restamp(self, name: str, held: Entry, entry: Entry) -> bool:
        if self._stamped is None:
            self._stamped = {}
        several = self._stamped.get(name, (held,))
        if entry in several:
            return False
        self._stamped[name] = several = (*several, entry)
        low, high = max(e.low for e in several), min(e.high for e in several)
        if low > high:
            low, high = min(e.low for e in several), max(e.high for e in several)
            self.doubtful += (name,)
        last = max(several, key=_received)
        self.entries[name] = Entry(last.event, low, high, last.envelope)
        return True


def _received(entry: Entry) -> tuple[Any, ...]:
    stamp = entry.envelope
    if stamp is None:
        return ()
    place = (stamp.received, stamp.epoch, stamp.offset)
    return (*place, stamp.verdict, stamp.code, stamp.rank, entry.event.hash)


# -- one row ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Decision:
    """An override as far as it is understood; times in UTC ns."""

    event: Event
    rank: int
    status: str
    arrival: int | None
    departure: int | None


def _folded(
    key: Key, late_at: int | None, entries: Collection[Entry], doubtful: Collection[str]
) -> Attendance:
    if not doubtful and (row := _usual(key, late_at, entries)) is not None:
        return row
    return _judged(key, late_at, entries, doubtful)


def _usual(key: Key, late_at: int | None, entries: Collection[Entry]) -> Attendance | None:
    """The short way for a row of nothing but plain check-ins; None if it is not one."""
    arrival = None
    for entry in entries:
        event, stamp = entry.event, entry.envelope
        if event.kind != _CHECK_IN or "direction" in event.data:
            return None
        if stamp is not None and stamp.verdict == _QUARANTINED:
            return None
        if arrival is None:
            arrival = (entry.low, entry.high)
        else:
            arrival = (min(arrival[0], entry.low), min(arrival[1], entry.high))
    if arrival is None:
        return None
    if len(entries) > 1:
        entry = _earliest(entries)
    status, uncertain = _by_time(arrival, late_at)
    flags = (Flag.TIME_UNCERTAIN,) if uncertain else ()
    session, person = key
    method, device = _method(entry), entry.event.device
    return Attendance(session, person, status, _INSIDE, arrival, None, None, method, device, flags)


def _judged(
    key: Key, late_at: int | None, entries: Collection[Entry], doubtful: Collection[str]
) -> Attendance:
    """The whole of the rules, for a row of any events."""
    live = [e for e in entries if not _quarantined(e)]
    knew = Causality([e.event for e in live]).knew
    if gone := _retracted(live):
        live = [e for e in live if e.event.id not in gone]
    moves = [e for e in live if e.event.kind in EVIDENCE]
    heads = _heads([d for e in live if (d := _decision(e)) is not None], knew)
    winner = max(heads, key=_weight, default=None)

    scans = [e for e in moves if e.event.kind == _CHECK_IN]
    counted, flags = _against(winner, scans, knew)
    flags |= _disagreements(heads, winner)
    presence, departure = _presence(_ordered(moves), knew)
    arrival = _arrival(counted)
    if winner is None or (winner.status == _ABSENT and counted):
        status, uncertain = _by_time(arrival, late_at)
    else:
        status, uncertain = Status(winner.status), False
        arrival, departure = _times(winner, arrival, departure)
    if uncertain or (doubtful and any(e.event.id in doubtful for e in moves)):
        flags.add(Flag.TIME_UNCERTAIN)

    first = _earliest(counted or scans) if scans else None
    return Attendance(
        session=key[0],
        person=key[1],
        status=status,
        presence=presence,
        arrival=arrival,
        departure=departure,
        winner=winner.event.id if winner else None,
        method=_method(first) if first else "staff" if winner else "",
        device=first.event.device if first else "",
        flags=tuple([flag for flag in _FLAGS if flag in flags]) if flags else (),
    )


def _quarantined(entry: Entry) -> bool:
    return entry.envelope is not None and entry.envelope.verdict == _QUARANTINED


def _rank(entry: Entry) -> int:
    return entry.envelope.rank if entry.envelope is not None else entry.event.by.rank


def _method(entry: Entry) -> str:
    method = entry.event.data.get("method")
    return method if isinstance(method, str) else ""


# -- decisions -------------------------------------------------------------------------------------


def _retracted(live: Sequence[Entry]) -> set[str]:
    """The ids that a valid retract takes out."""
    gone: set[str] = set()
    if not (retracts := [e for e in live if e.event.kind == _RETRACT]):
        return gone
    # A retract may be among the targets: what it took out stays out, for it alone is left out.
    targets = {e.event.id: e for e in live}
    for entry in retracts:
        name = entry.event.data.get("target")
        target = targets.get(name) if isinstance(name, str) else None
        if target is not None and _may_retract(entry, target):
            gone.add(target.event.id)
    return gone


def _may_retract(entry: Entry, target: Entry) -> bool:
    one, other = entry.event, target.event
    if 0 < _rank(entry) >= _rank(target):
        return True
    if one.by.staff is not None or other.by.staff is not None:
        return one.by.staff == other.by.staff
    return one.device == other.device and one.incarnation == other.incarnation


def _decision(entry: Entry) -> _Decision | None:
    event = entry.event
    if event.kind != _OVERRIDE:
        return None
    status, *times = (event.data.get(name) for name in ("status", "arrival", "departure"))
    if not isinstance(status, str) or status not in _MILDNESS:
        return None
    if any(time is not None and type(time) is not int for time in times):
        return None
    return _Decision(event, _rank(entry), status, times[0], times[1])


def _heads(
    decisions: Sequence[_Decision], knew: Callable[[Event, Event], bool]
) -> Sequence[_Decision]:
    heads = [
        d for d in decisions if not any(o is not d and knew(o.event, d.event) for o in decisions)
    ]
    return heads or decisions


def _weight(decision: _Decision) -> tuple[int, int, str]:
    return (decision.rank, _MILDNESS[decision.status], decision.event.id)


def _disagreements(heads: Iterable[_Decision], winner: _Decision | None) -> set[Flag]:
    return {
        Flag.DISAGREE if head.rank == winner.rank else Flag.OUTRANKED
        for head in heads
        if winner is not None and head.status != winner.status
    }


def _against(
    winner: _Decision | None, scans: Sequence[Entry], knew: Callable[[Event, Event], bool]
) -> tuple[Sequence[Entry], set[Flag]]:
    """The check-ins that an absent winner does not refute, and what is to be said of them."""
    if winner is None or winner.status != _ABSENT:
        return scans, set()
    counted = [e for e in scans if not knew(winner.event, e.event)]
    after = [knew(e.event, winner.event) for e in counted]
    return counted, {Flag.ARRIVED_AFTER_ABSENT if a else Flag.SCAN_UNSEEN for a in after}


def _times(
    winner: _Decision, arrival: Interval | None, departure: Interval | None
) -> tuple[Interval | None, Interval | None]:
    """Arrival and departure under a winner that stands: what it gives, else the evidence."""
    if winner.status == _ABSENT:
        return None, None
    if winner.arrival is not None:
        arrival = (winner.arrival, winner.arrival)
    if winner.departure is not None:
        departure = (winner.departure, winner.departure)
    return arrival, departure


# -- evidence --------------------------------------------------------------------------------------


def _arrival(scans: Sequence[Entry]) -> Interval | None:
    return (min(e.low for e in scans), min(e.high for e in scans)) if scans else None


def _by_time(arrival: Interval | None, late_at: int | None) -> tuple[Status, bool]:
    """The status that evidence alone gives, and whether the late limit lies inside the interval."""
    if arrival is None:
        return _EXPECTED, False
    if late_at is None or arrival[1] <= late_at:
        return _PRESENT, False
    return (_LATE, False) if arrival[0] > late_at else (_PRESENT, True)


def _place(entry: Entry) -> tuple[int, str, str, int, str]:
    event = entry.event
    return (entry.low + entry.high, event.device, event.incarnation, event.kseq, event.id)


def _ordered(moves: Iterable[Entry]) -> list[Entry]:
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


def _earliest(moves: Iterable[Entry]) -> Entry:
    """The first of `_ordered(moves)`, which must not be empty: the earliest line's first."""
    firsts: dict[tuple[str, str], Entry] = {}
    for entry in moves:
        event = entry.event
        line = (event.device, event.incarnation)
        held = firsts.get(line)
        if held is None or (event.kseq, event.id) < (held.event.kseq, held.event.id):
            firsts[line] = entry
    return min(firsts.values(), key=_place)


def _presence(
    moves: Iterable[Entry], knew: Callable[[Event, Event], bool]
) -> tuple[Presence, Interval | None]:
    """Where the ordered check-ins and check-outs put a person, and when they left if they did."""
    entered: list[Entry] = []
    leaving: list[Entry] = []
    for entry in moves:
        data, goes_in = entry.event.data, entry.event.kind == _CHECK_IN
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


def _before(entry: Entry, leaving: Entry, knew: Callable[[Event, Event], bool]) -> bool:
    """Whether `entry` surely happened first."""
    if knew(entry.event, leaving.event):
        return False
    return entry.high < leaving.low or knew(leaving.event, entry.event)
