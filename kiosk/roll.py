"""The roll of the open session: who is known, who is expected at it, and who came."""

from __future__ import annotations

import logging
import sqlite3
from typing import TYPE_CHECKING

from kiosk import rules
from kiosk.model import Attendance, Counts, Person, RosterRow, Status
from kiosk.store import StoreError
from kiosk.unsure import Asking, Placing

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from kiosk.clock import Clock
    from kiosk.model import Change, Session
    from kiosk.store import Store

_LOG = logging.getLogger(__name__)


class Roll:
    """People, sessions and rows as this kiosk knows them; `load` before use, `take` each change."""

    def __init__(self, store: Store, site: rules.Site, clock: Clock) -> None:
        self.session: Session = rules.open_session(site, (), clock.wall())
        self.people: dict[str, Person] = {}
        self._store = store
        self._site = site
        self._clock = clock
        self._known: dict[str, Session] = {}
        self._rows: dict[str, Attendance] = {}
        self._merged: dict[str, str] = {}
        self._open_still = True
        self._asking = Asking(store, site, clock)
        self._placing = Placing(store, site, clock)

    @property
    def choices(self) -> tuple[Session, ...]:
        """The sessions it may be, while the time is not known and nobody has said which."""
        return self._asking.choices

    def choose(self, session: str) -> bool:
        """Somebody says which it is, "" for none of them; whether that opened another one."""
        self._asking.choose(session)
        return self.reconsider()

    def place(self) -> None:
        """Bring what was written while the time was not known to its sessions, once it is."""
        try:
            self._placing.look(self._known)
        except (StoreError, sqlite3.Error) as error:
            _LOG.error("check-ins cannot be brought to their sessions yet: %s", error)

    def load(self) -> None:
        """Read the directory and open the session that is due."""
        self.people = {person.id: person for person in self._store.people()}
        self._known = {session.id: session for session in self._store.sessions()}
        self._merged = self._store.merged()
        self._asking.load()
        self._open(self._due())

    def reconsider(self) -> bool:
        """Open the session that is due now; whether it is another, or was described anew."""
        due = self._due()
        return due != self.session and self._open(due)

    def take(self, change: Change) -> tuple[list[RosterRow], bool]:
        """Take over what was committed: the rows it touched, and whether the session changed."""
        self.people.update({person.id: person for person in change.people})
        self._known.update({session.id: session for session in change.sessions})
        moved = self._merge_anew() if change.merged else []
        for state in change.states:
            if state.session == self.session.id:
                self._open_still = state.is_open
        mine = [row for row in change.rows if row.session == self.session.id]
        self._rows.update({row.person: row for row in mine if row.person not in self._merged})
        described = [*moved, *(person.id for person in change.people)]
        opened = bool(change.sessions) and self.reconsider()
        there = self._everybody() if described else self._rows
        touched = dict.fromkeys([*(row.person for row in mine), *described])
        return [self._line(one) if one in there else self._gone(one) for one in touched], opened

    def announced(self, session: Session) -> bool:
        """Whether other kiosks have heard of this session."""
        return session.id in self._known

    def row(self, person: str) -> Attendance | None:
        """Somebody's row of the open session, if they have one."""
        return self._rows.get(self._merged.get(person, person))

    def with_code(self, code: str) -> Person | None:
        """The one person who has this code."""
        found = [person for person in self.people.values() if person.code and person.code == code]
        return found[0] if len(found) == 1 else None

    def with_badge(self, kept: Collection[str]) -> Person | None:
        """The one person who has a badge with one of these keyed hashes."""
        wanted = frozenset(kept)
        found = [p for p in self.people.values() if not wanted.isdisjoint(p.badges)]
        return found[0] if len(found) == 1 else None

    def expected(self) -> Sequence[str]:
        """Ids of those who are expected, by the session's roster or else all who are active.

        Of merged persons both the former ids, by which readers know them, and the present ones.
        """
        wanted = self.session.roster if self.session.roster is not None else self.active()
        return [*wanted, *(self._merged[one] for one in wanted if one in self._merged)]

    def active(self) -> list[str]:
        """Ids of all who may come in at all."""
        return [person.id for person in self.people.values() if person.active]

    def lines(self) -> tuple[RosterRow, ...]:
        """Who is expected and who came, in no order."""
        return tuple(self._line(person) for person in self._everybody())

    def counts(self) -> Counts:
        """How many of them came, and how many are in which other status."""
        tally = dict.fromkeys(Status, 0)
        for person in self._everybody():
            row = self._rows.get(person)
            tally[row.status if row else self._otherwise()] += 1
        return Counts(
            present=tally[Status.PRESENT] + tally[Status.LATE],
            late=tally[Status.LATE],
            excused=tally[Status.EXCUSED],
            absent=tally[Status.ABSENT],
            expected=tally[Status.EXPECTED],
        )

    def _everybody(self) -> dict[str, None]:
        everybody = (*self.expected(), *self._rows)
        return dict.fromkeys(person for person in everybody if person not in self._merged)

    def _merge_anew(self) -> list[str]:
        """Read who is who now; those whose lines that alters."""
        before, self._merged = self._merged, self._store.merged()
        after = self._merged
        moved = [p for p in before.keys() | after.keys() if before.get(p, p) != after.get(p, p)]
        for person in moved:
            self._rows.pop(person, None)
        homes = [map_.get(person, person) for person in moved for map_ in (before, after)]
        return sorted({*moved, *homes})

    def _line(self, person: str) -> RosterRow:
        known = self.people.get(person) or Person(person, "?")
        row = self._rows.get(person)
        return RosterRow(known, row or Attendance(self.session.id, person, self._otherwise()))

    def _gone(self, person: str) -> RosterRow:
        """That there is no line of this person; but of whom, if they are somebody else now."""
        known = self.people.get(person) or Person(person, "?")
        return RosterRow(known, Attendance(self.session.id, self._merged.get(person, "")))

    def _otherwise(self) -> Status:
        """What is shown of somebody of whom there is nothing."""
        return Status.EXPECTED if self._open_still else Status.ABSENT

    def _due(self) -> Session:
        said = self._asking.session(self._known)
        if said is not None:
            return said
        return rules.open_session(self._site, self._known.values(), self._clock.wall())

    def _open(self, session: Session) -> bool:
        try:
            rows = self._store.attendance(session.id)
            still = self._store.session_state(session.id).is_open
        except (StoreError, sqlite3.Error) as error:
            _LOG.error("the session that is due cannot be opened yet: %s", error)
            return False
        self.session, self._open_still = session, still
        self._rows = {row.person: row for row in rows}
        return True
