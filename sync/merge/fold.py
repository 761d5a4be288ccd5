"""Many rows, kept up to date entry by entry."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from kiosk.model import ROW_KINDS, Entry
from sync.merge.entries import Log
from sync.merge.rows import NO_TERMS, Terms, judged, usual

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from kiosk.model import Attendance, ReviewItem, Session
    from sync.merge.rows import Key


class Fold:
    """Rows by (session, person); at any moment each equals `fold_row` of its entries.

    A row is worked out when it is asked for, once after each change. Not thread-safe.
    """

    def __init__(self, sessions: Mapping[str, Session] | None = None) -> None:
        self._sessions = dict(sessions or {})
        self._terms = {name: Terms(one.late_at) for name, one in self._sessions.items()}
        self._otherwise = NO_TERMS
        self._aliases: dict[str, str] = {}
        # Most rows hold one entry for ever, and a log is dear by the hundred thousand.
        self._logs: dict[Key, Entry | Log] = {}
        self._rows: dict[Key, Attendance] = {}
        self._notes: dict[Key, tuple[ReviewItem, ...]] = {}
        # In the order of arrival, which is nearly that of memory: twice as fast as a set to walk.
        self._stale: dict[Key, None] = {}

    @property
    def sessions(self) -> Mapping[str, Session]:
        """The sessions by id, for their late limits; assign a new mapping to change them."""
        return MappingProxyType(self._sessions)

    @sessions.setter
    def sessions(self, sessions: Mapping[str, Session]) -> None:
        self._sessions = dict(sessions)
        self.judge_by({name: Terms(one.late_at) for name, one in sessions.items()}, NO_TERMS)

    def judge_by(self, terms: Mapping[str, Terms], otherwise: Terms) -> None:
        """Judge the rows of each session by its terms from now on, those of others by the last."""
        before, was = self._terms, self._otherwise
        self._terms, self._otherwise = dict(terms), otherwise
        names = before.keys() | terms.keys()
        if was != otherwise:
            names |= {key[0] for key in self._logs}
        changed = {n for n in names if before.get(n, was) != terms.get(n, otherwise)}
        if changed:
            self._stale.update(dict.fromkeys(key for key in self._logs if key[0] in changed))

    @property
    def aliases(self) -> Mapping[str, str]:
        """Who each merged person now is; assign a new mapping to change it, also for the past."""
        return MappingProxyType(self._aliases)

    @aliases.setter
    def aliases(self, aliases: Mapping[str, str]) -> None:
        before, self._aliases = self._aliases, dict(aliases)
        people = before.keys() | aliases.keys()
        moved = {p for p in people if before.get(p, p) != aliases.get(p, p)}
        if not moved:
            return
        homes = {before.get(person, person) for person in moved}
        for key in [key for key in self._logs if key[1] in homes]:
            log = self._logs.pop(key)
            self._rows.pop(key, None)
            self._notes.pop(key, None)
            self._stale.pop(key, None)
            for entry in [log] if isinstance(log, Entry) else list(log.forms()):
                self.apply(entry)

    @property
    def rows(self) -> Mapping[Key, Attendance]:
        """Every row that has an event, by (session id, person id); ask again after an apply."""
        self.refresh()
        return MappingProxyType(self._rows)

    @property
    def notes(self) -> Mapping[Key, tuple[ReviewItem, ...]]:
        """What is to be said of those rows of which there is something; not batched."""
        self.refresh()
        return MappingProxyType(self._notes)

    def refresh(self) -> None:
        """Work out all rows that changed since they were last asked for."""
        for key in self._stale:
            self._put(key)
        self._stale.clear()

    def row(self, session: str, person: str) -> Attendance | None:
        """The row of these two ids; None if no event of it was applied."""
        key = (session, person)
        if key in self._stale:
            self._put(key)
            del self._stale[key]
        return self._rows.get(key)

    def entries(self, session: str, person: str) -> Iterable[Entry]:
        """What the row is folded from."""
        log = self._logs.get((session, person))
        if log is None:
            return ()
        return (log,) if isinstance(log, Entry) else tuple(log.entries.values())

    def keys(self) -> Iterator[Key]:
        """Of every row that has an event."""
        return iter(self._logs)

    def apply(self, entry: Entry) -> Key | None:
        """Take an entry in; the key of its row, or None if it told nothing new or has no row."""
        event = entry.event
        session, person = event.session, event.person
        if session is None or person is None or event.kind not in ROW_KINDS:
            return None
        if self._aliases:
            person = self._aliases.get(person, person)
        key = (session, person)
        log = self._logs.get(key)
        if log is None:
            self._logs[key] = entry
        else:
            if isinstance(log, Entry):
                log = self._logs[key] = Log(log)
            if not log.add(entry):
                return None
        self._stale[key] = None
        return key

    def _put(self, key: Key) -> None:
        terms = self._terms.get(key[0], self._otherwise)
        log = self._logs[key]
        if self._notes:
            self._notes.pop(key, None)
        if isinstance(log, Entry):
            row = usual(key, terms, (log,))
        else:
            row = None if log.doubtful else usual(key, terms, log.entries.values())
        if row is None:
            several = Log(log) if isinstance(log, Entry) else log
            row, notes = judged(key, terms, several.entries.values(), several.doubtful)
            if notes:
                self._notes[key] = notes
        self._rows[key] = row
