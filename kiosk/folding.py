"""The folded rows on the writer's connection, and all that they are judged by.

A row depends on more than its own events: on closings and reopenings of its session, on the late
limit, on policy and places, and on who was merged with whom. That is kept here, read from the
database once, so that a check-in costs no more than its own row; when it changes, every row that
it touches is folded again in the same transaction.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeVar

import msgspec

from kiosk import pruning
from kiosk.entries import SPOILT, by_session, decisions_of, entries_of, readable
from kiosk.model import (
    EVIDENCE,
    ROW_KINDS,
    Attendance,
    Change,
    Kind,
    Person,
    Policy,
    Session,
    SessionState,
    Status,
)
from kiosk.record_kinds import ATTENDANCE, MERGED, PERSON, POLICY, SESSION
from kiosk.stamps import fit
from kiosk.storefile import StoreDamagedError
from sync import merge
from sync.merge import directory
from sync.merge import terms as limits
from sync.merge.sessions import Settled, close_state

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Mapping

    from kiosk.model import Entry, ReviewItem
    from kiosk.records import Draft
    from sync.merge import Terms

_JSON = msgspec.json.Encoder(order="deterministic")
T = TypeVar("T")
_SLICE = 50  # rows between two pauses: other threads must have their turn
_PAUSE = 0.001  # seconds
_CLOSINGS = frozenset({Kind.SESSION_CLOSED, Kind.SESSION_REOPENED})
# Rows that were seen at several kiosks; only those can be at two places.
_TRAVELLED = """
SELECT session, person FROM event
WHERE person IS NOT NULL AND session IS NOT NULL AND kind IN ('check_in', 'check_out', 'visitor')
GROUP BY session, person HAVING count(DISTINCT device) > 1
"""


@dataclass(slots=True)
class Touched:
    """What a transaction altered so far; becomes a `Change` once it is committed."""

    keys: dict[tuple[str, str], None] = field(default_factory=dict)
    rows: list[Attendance] = field(default_factory=list)
    people: list[Person] = field(default_factory=list)
    sessions: dict[str, Session] = field(default_factory=dict)
    decided: dict[str, None] = field(default_factory=dict)
    records: set[str] = field(default_factory=set)
    states: dict[str, SessionState] = field(default_factory=dict)
    review: bool = False

    def note(self, kind: str, session: str | None, person: str | None) -> None:
        """Such an event was taken in, or something was said of it: what has to be told anew."""
        self.review |= kind in (Kind.RESOLVE, Kind.RETRACT)
        if session is None:
            return
        if person is not None and kind in ROW_KINDS:
            self.keys[session, person] = None
        if kind in _CLOSINGS or kind == Kind.RETRACT:
            self.decided[session] = None

    def change(self) -> Change:
        return Change(
            tuple(self.rows),
            tuple(self.people),
            tuple(self.sessions.values()),
            states=tuple(self.states.values()),
            review=self.review or bool(self.people or self.sessions or self.states),
            merged="merged" in self.records,
        )

    def add(self, part: Touched) -> None:
        """Take over what a part of the transaction altered and has folded already."""
        self.rows += part.rows
        self.people += part.people
        self.sessions |= part.sessions
        self.states |= part.states
        self.records |= part.records
        self.review |= part.review


class Book:
    """The directory, as far as rows are judged by it, read from the database."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        found = db.execute("SELECT id, value FROM directory WHERE record = 'session'")
        try:
            self.sessions: dict[str, Session] = {id_: SESSION.decode(value) for id_, value in found}
        except SPOILT as error:
            # Its people would be judged by no limit.
            raise StoreDamagedError(f"the database is damaged: a session: {error}") from error
        self.policies: dict[str, Policy] = {}
        self.places = directory.places({}, Policy())
        self.aliases: Mapping[str, str] = MappingProxyType({})
        self.read({"policy", "merged"})

    def known(self) -> set[str]:
        """The ids of everybody in the directory, and of those they are now."""
        rows = self._db.execute("SELECT id FROM directory WHERE record = 'person'")
        return {self.aliases.get(row[0], row[0]) for row in rows}

    def read(self, records: set[str]) -> None:
        """Read these kinds of records anew."""
        if "merged" in records:
            merged = {p: into for p, into in _records(self._db, "merged", MERGED) if into}
            self.aliases = directory.canonical(merged)
        if "policy" in records:
            self.policies = dict(_records(self._db, "policy", POLICY))
        if records & {"policy", "device"}:
            devices = dict(_records(self._db, "device", msgspec.json.Decoder()))
            site = directory.policy_for("", self.policies)
            self.places = directory.places(devices, site)

    def policy(self, session: str) -> Policy:
        return directory.policy_for(session, self.policies)

    def state(self, session: str, settled: Settled) -> SessionState:
        return limits.state_of(session, self.sessions.get(session), settled, self.policy(session))

    def entries(self, session: str, person: str) -> list[Entry]:
        """What a row is folded from; a merged person's is that of who they are now."""
        who = self.aliases.get(person, person)
        return entries_of(self._db, session, [who], self.aliases)[who]

    def missing(self, session: str) -> list[str]:
        """Those who are expected at the session and have no row in it; none if it is unknown."""
        known = self.sessions.get(session)
        if known is None:
            return []
        expected: Iterable[str] = known.roster if known.roster is not None else self._everybody()
        query = "SELECT person FROM attendance WHERE session = ?"
        there = {row[0] for row in self._db.execute(query, (session,))}
        wanted = dict.fromkeys(self.aliases.get(person, person) for person in expected)
        return [person for person in wanted if person not in there]

    def _everybody(self) -> Iterator[str]:
        for id_, person in _records(self._db, "person", PERSON):
            if person.active and person.kind != "visitor":
                yield id_


class Folding:
    """Rows of attendance and what is to be said of them; `refold` ends every transaction."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._changed = self._stale = False
        self._pruned = bool(db.execute("SELECT EXISTS (SELECT 1 FROM pruned)").fetchone()[0])
        self._read()

    @property
    def sessions(self) -> Mapping[str, Session]:
        return MappingProxyType(self._book.sessions)

    def renew(self) -> None:
        """Read anew what a rollback may have left behind the times."""
        if self._stale:
            self._read()
            self._stale = False

    def committed(self) -> None:
        """What was changed stands."""
        self._changed = False

    def rolled_back(self) -> None:
        """What was changed since the last commit may not stand: `renew` before the next use."""
        self._stale = self._changed

    def pruned(self) -> None:
        """From now on there are rows whose events were let go."""
        self._pruned = True

    def row(self, session: str, person: str) -> Attendance | None:
        """The row as it is kept; a merged person's too."""
        found = self._db.execute(
            "SELECT body FROM attendance WHERE session = ? AND person = ?",
            (session, self._book.aliases.get(person, person)),
        ).fetchone()
        # One that a card has spoilt is folded anew from the log by whatever comes next.
        rows = readable([found], ATTENDANCE) if found else []
        return rows[0] if rows else None

    def saw(self, draft: Draft) -> tuple[str, ...]:
        """The ids of what this kiosk shows of the matter: see `Draft.saw`."""
        session, person = draft.session, draft.person
        if session is None:
            return ()
        if draft.kind in _CLOSINGS or (draft.kind is Kind.RETRACT and person is None):
            return self._settled.get(session, Settled()).decisions
        if person is None or draft.kind not in ROW_KINDS:
            return ()
        if draft.kind in EVIDENCE:
            settled = self._settled.get(session)
            heads = settled.heads if settled is not None and settled.closing is not None else ()
            return merge.saw_for_scan(self.row(session, person), [e.event.id for e in heads])
        here = self._book.entries(session, person)
        gone = pruning.ids_of(self._db, session, person)
        return tuple(dict.fromkeys((*gone, *merge.saw_for_decision(here))))

    def refold(self, touched: Touched) -> None:
        """Judge anew what was decided or described anew, and fold every row that it touches."""
        if touched.people:
            self._changed = True
            self._people.update(person.id for person in touched.people)
        if touched.decided or touched.records or touched.sessions:
            self._judge_anew(touched)
        keys: Iterable[tuple[str, str]] = touched.keys
        if aliases := self._book.aliases:
            self._thaw(touched)
            keys = dict.fromkeys((session, aliases.get(who, who)) for session, who in keys)
        many = len(touched.keys) > _SLICE
        for session, people in by_session(keys).items():
            for start in range(0, len(people), _SLICE):
                if many:
                    time.sleep(_PAUSE)
                self._fold(session, people[start : start + _SLICE], touched)

    def _thaw(self, touched: Touched) -> None:
        """Take away merged people's rows that had to stay until what was let go of came back."""
        for session, person in [key for key in touched.keys if key[1] in self._book.aliases]:
            if self._pruned and not pruning.frozen(self._db, session, [person]):
                self._drop(session, person, touched)

    def _read(self) -> None:
        self._book = Book(self._db)
        decided: dict[str, list[Entry]] = {}
        for entry in decisions_of(self._db):
            if entry.event.session is not None:
                decided.setdefault(entry.event.session, []).append(entry)
        found = {name: close_state(entries) for name, entries in decided.items()}
        self._settled = {name: settled for name, settled in found.items() if settled.decisions}
        self._terms: dict[str, Terms] = {}
        self._people = self._book.known()
        rows = self._db.execute("SELECT session, person FROM review")
        self._noted = {(session, person) for session, person in rows}

    # -- what rows are judged by -------------------------------------------------------------------

    def _judge_anew(self, touched: Touched) -> None:
        # The undo of a check-in touches no session of which nothing was ever decided.
        for name in [name for name in touched.decided if name not in self._settled]:
            if not close_state(decisions_of(self._db, name)).decisions:
                del touched.decided[name]
        names = dict.fromkeys((*touched.decided, *touched.sessions))
        if touched.records & {"policy", "device"}:
            names = dict.fromkeys((*names, *self._book.sessions, *self._settled))
        before = {name: self._terms_of(name) for name in names}
        far = self._book.places
        self._changed = True
        for name in touched.decided:
            self._settled[name] = close_state(decisions_of(self._db, name))
        self._book.sessions.update(touched.sessions)
        self._book.read(touched.records - {"merged"})
        self._terms.clear()
        if self._book.places != far:
            rows = self._db.execute(_TRAVELLED)
            touched.keys.update(dict.fromkeys((row[0], row[1]) for row in rows))
        for name, terms in before.items():
            self._compare(name, terms, touched)
        if "merged" in touched.records:
            self._merge_anew(touched)

    def _compare(self, name: str, before: Terms, touched: Touched) -> None:
        terms = self._terms_of(name)
        if (terms.late_at, terms.closing) != (before.late_at, before.closing):
            rows = self._db.execute("SELECT person FROM attendance WHERE session = ?", (name,))
            touched.keys.update(dict.fromkeys((name, row[0]) for row in rows))
        touched.states[name] = self._book.state(name, self._settled.get(name, Settled()))
        if terms.closing is not None or before.closing is not None:
            status = Status.EXPECTED if terms.closing is None else Status.ABSENT
            missing = self._book.missing(name)
            touched.rows += [Attendance(name, person, status) for person in missing]

    def _merge_anew(self, touched: Touched) -> None:
        before = self._book.aliases
        self._book.read({"merged"})
        after = self._book.aliases
        moved = {p for p in before.keys() | after.keys() if before.get(p, p) != after.get(p, p)}
        homes = moved | {before.get(p, p) for p in moved} | {after.get(p, p) for p in moved}
        found = self._db.execute(
            "SELECT session, person FROM attendance WHERE person IN (SELECT value FROM"
            " json_each(?))",
            (_JSON.encode(sorted(homes)).decode(),),
        ).fetchall()
        for session, person in found:
            held = entries_of(self._db, session, sorted(homes))
            touched.keys.update(
                dict.fromkeys((session, p) for p, entries in held.items() if entries)
            )
            # What was let go of cannot be folded into another row.
            if person in after and not pruning.frozen(self._db, session, [person]):
                self._drop(session, person, touched)
            elif person in homes and not held.get(person):
                touched.keys[session, person] = None

    def _drop(self, session: str, person: str, touched: Touched) -> None:
        """Take away the row of somebody who is another now."""
        for table in ("attendance", "review"):
            drop = f"DELETE FROM {table} WHERE session = ? AND person = ?"  # noqa: S608  two names of our own
            self._db.execute(drop, (session, person))
        self._noted.discard((session, person))
        touched.rows.append(Attendance(session, person))

    def _terms_of(self, session: str) -> Terms:
        terms = self._terms.get(session)
        if terms is None:
            settled = self._settled.get(session)
            terms = self._terms[session] = merge.Terms(
                directory.late_limit(self._book.sessions.get(session), self._book.policy(session)),
                settled.closing if settled is not None else None,
                self._book.places,
            )
        return terms

    # -- the rows ----------------------------------------------------------------------------------

    def _fold(self, session: str, people: list[str], touched: Touched) -> None:
        if self._pruned:
            still = pruning.frozen(self._db, session, people)
            people = [person for person in people if person not in still]
        known, terms = self._book.sessions.get(session), self._terms_of(session)
        # Strangers and crowds are review items that no row has by itself.
        touched.review |= known is None or self._book.policy(session).capacity is not None
        touched.review |= not self._people.issuperset(people) or bool(terms.places)
        folded = []
        for person, entries in entries_of(self._db, session, people, self._book.aliases).items():
            row, notes = merge.fold_noted(known, person, entries, session, terms)
            if notes or (session, person) in self._noted:
                self._note((session, person), notes, touched)
            touched.rows.append(row)
            body = _JSON.encode(row)
            times = _kept(row.arrival), _kept(row.departure)
            folded.append((session, person, row.status, row.presence, *times, body))
        put = "INSERT OR REPLACE INTO attendance VALUES (?, ?, ?, ?, ?, ?, ?)"
        self._db.executemany(put, folded)

    def _note(self, key: tuple[str, str], notes: tuple[ReviewItem, ...], touched: Touched) -> None:
        self._changed = touched.review = True
        if notes:
            self._noted.add(key)
            put = "INSERT OR REPLACE INTO review VALUES (?, ?, ?)"
            self._db.execute(put, (*key, _JSON.encode(notes)))
        else:
            self._noted.discard(key)
            self._db.execute("DELETE FROM review WHERE session = ? AND person = ?", key)


def state_of(db: sqlite3.Connection, session: str) -> SessionState:
    """Whether the session is open, as the database has it."""
    return Book(db).state(session, close_state(decisions_of(db, session)))


def rows_of(db: sqlite3.Connection, session: str) -> list[Attendance]:
    """The kept rows of a session; if it is closed, with those who were expected and never came."""
    found = db.execute("SELECT body FROM attendance WHERE session = ?", (session,)).fetchall()
    rows, book = readable(found, ATTENDANCE), Book(db)
    if book.state(session, close_state(decisions_of(db, session))).is_open:
        return rows
    absent = book.missing(session)
    return rows + [Attendance(session, person, Status.ABSENT) for person in absent]


def slices(change: Change) -> Iterator[Change]:
    """The change in parts that a screen can take in one by one without a stop."""
    yield msgspec.structs.replace(change, rows=change.rows[:_SLICE])
    for start in range(_SLICE, len(change.rows), _SLICE):
        time.sleep(_PAUSE)
        yield Change(rows=change.rows[start : start + _SLICE])


def _records(
    db: sqlite3.Connection, record: str, decoder: msgspec.json.Decoder[T]
) -> Iterator[tuple[str, T]]:
    """Records of one kind by id; what an earlier version kept unread is passed over."""
    for id_, value in db.execute("SELECT id, value FROM directory WHERE record = ?", (record,)):
        with contextlib.suppress(*SPOILT):
            yield id_, decoder.decode(value)


def _kept(interval: tuple[int, int] | None) -> int | None:
    """Its beginning, if a column can hold it: a decision's times are whatever its author sent."""
    return interval[0] if interval and fit(interval[0]) else None
