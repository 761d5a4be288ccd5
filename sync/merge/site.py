"""The fold of everything that a site's kiosks wrote: rows, sessions, people and review items."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import msgspec

from kiosk.model import Attendance, Entry, Kind, Presence, Status
from sync.merge import items
from sync.merge.decisions import may_retract
from sync.merge.directory import (
    SITE_POLICY,
    Records,
    canonical,
    late_limit,
    places,
    policy_for,
)
from sync.merge.entries import DECISIONS, FORK, Log, forked, quarantined
from sync.merge.evidence import NOWHERE, too_far_across
from sync.merge.fold import Fold
from sync.merge.rows import Terms, passages
from sync.merge.sessions import CLOSED, REOPENED, Settled, settle
from sync.merge.terms import state_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from kiosk.model import Person, Policy, ReviewItem, Session, SessionState
    from sync.merge.entries import Forks, Line
    from sync.merge.rows import Key

_RETRACT, _RESOLVE, _VISITOR = Kind.RETRACT.value, Kind.RESOLVE.value, Kind.VISITOR.value
_RECORDS = frozenset({Kind.DIRECTORY, Kind.MERGED, Kind.SESSION_OPENED, Kind.VISITOR})
_PLAIN = frozenset({Kind.CHECK_IN, Kind.CHECK_OUT, Kind.OVERRIDE})


@dataclass(frozen=True, slots=True)
class State:
    """All that a set of events comes to.

    `rows` holds every row with an event, and one for each expected person of a closed session;
    `sessions` every session that was opened, closed or has a row; `items` the review items by id,
    batched, also those acknowledged; `notes` what is to be said of each row, not batched;
    `aliases` who each merged person now is.
    """

    rows: Mapping[Key, Attendance]
    sessions: Mapping[str, SessionState]
    items: Mapping[str, ReviewItem]
    notes: Mapping[Key, tuple[ReviewItem, ...]]
    people: Mapping[str, Person]
    aliases: Mapping[str, str]

    @property
    def waiting(self) -> list[ReviewItem]:
        """The items that staff have not acknowledged, in order of id."""
        return [self.items[name] for name in sorted(self.items) if self.items[name].waits]


def fold(entries: Iterable[Entry]) -> State:
    """What the entries, events with their envelopes in any order, come to."""
    site = SiteFold()
    for entry in entries:
        site.apply(entry)
    return site.state


class SiteFold:
    """A site's state, kept up to date entry by entry; at any moment equal to `fold` of all.

    Reading one row after an entry costs no more than that row; `state` costs the whole site's
    review items. Not thread-safe.
    """

    def __init__(self) -> None:
        self._rows = Fold()
        self._records = Records()
        self._closings: dict[str, Log] = {}
        self._retracts: dict[str, Log] = {}
        self._resolves: dict[str, Log] = {}
        self._others = Log()
        self._lines = _Lines()
        self._settled: dict[str, Settled] = {}
        self._sessions: dict[str, Session] = {}
        self._people: dict[str, Person] = {}
        self._everybody: frozenset[str] | None = None
        self._policies: dict[str, Policy] = {}
        self._far = NOWHERE
        self._stale = False
        self._state: State | None = None

    def apply(self, entry: Entry) -> bool:
        """Take an entry in; whether it told anything new."""
        kind = entry.event.kind
        new = self._lines.apply(entry)
        if kind in _PLAIN:
            new = self._rows.apply(entry) is not None or self._lost(entry) or new
        else:
            new = self._special(kind, entry) or new
        if new:
            self._state = None
        return new

    def row(self, session: str, person: str) -> Attendance | None:
        """The row of these two ids (a merged one is found too); None if it has no event."""
        self._judge_anew()
        return self._rows.row(session, self._rows.aliases.get(person, person))

    def entries(self, session: str, person: str) -> Iterable[Entry]:
        """What that row is folded from, for `saw_for_decision`."""
        self._judge_anew()
        return self._rows.entries(session, self._rows.aliases.get(person, person))

    def alone(self, session: str, person: str) -> bool:
        """Whether nothing but that row alters with another plain check-in or decision in it,
        among the events of one session.

        So it is where nothing is to be said of the row, its person and session are in the
        directory, nobody counts who is inside, and no device has a double. Costs no more than the
        row, once the directory was read.
        """
        self._judge_anew()
        one = self._rows.aliases.get(person, person)
        return (
            not self.doubled
            and session in self._sessions
            and policy_for(session, self._policies).capacity is None
            and (session, one) not in self._rows.notes
            and one in self._known()
        )

    @property
    def doubled(self) -> bool:
        """Whether any device has a double, whose decisions count for nothing."""
        self._judge_anew()  # first, for it is told only once that the forks are others
        return bool(self._lines.forks())

    @property
    def people(self) -> Mapping[str, Person]:
        """Everybody in the directory by id, also under ids that were merged since."""
        self._judge_anew()
        return MappingProxyType(self._people)

    def described(self, session: str) -> Session | None:
        """The session as the directory has it."""
        self._judge_anew()
        return self._sessions.get(session)

    def expected(self, session: str) -> set[str]:
        """Whom the session expects by name, as who they now are; nobody if it is not described."""
        one = self.described(session)
        aliases = self._rows.aliases
        return set() if one is None else {aliases.get(p, p) for p in self._expected(one)}

    @property
    def state(self) -> State:
        """Everything; worked out once after each change."""
        if self._state is None:
            self._judge_anew()
            self._state = self._folded()
        return self._state

    def _special(self, kind: str, entry: Entry) -> bool:
        event = entry.event
        new = False
        if kind in _RECORDS:
            new = self._records.apply(entry)
            self._stale |= new
        if kind == _VISITOR:
            return (self._rows.apply(entry) is not None) | self._lost(entry) | new
        if kind == _RETRACT:
            self._stale = True
            new = (self._rows.apply(entry) is not None) | self._lost(entry)
            return _keep(self._retracts, event.data.get("target"), entry) | new
        if kind == _RESOLVE:
            return _keep(self._resolves, event.data.get("item"), entry) | self._others.add(entry)
        if kind in (CLOSED, REOPENED):
            self._stale = True
            return _keep(self._closings, event.session, entry) | self._others.add(entry)
        return self._others.add(entry) or new

    def _lost(self, entry: Entry) -> bool:
        """Keep what ought to be of a row and is of none, in case a hub set it apart."""
        event = entry.event
        if event.session is not None and event.person is not None:
            return False
        return self._others.add(entry)

    # -- what rows are judged by -------------------------------------------------------------------

    def _judge_anew(self) -> None:
        if not self._stale and not self._lines.changed:
            return
        self._stale = False
        forks = self._lines.forks()
        self._rows.aliases = canonical(self._records.of("merged"))
        self._sessions, self._people = self._records.of("session"), self._records.of("person")
        self._everybody = None
        policies = self._records.of("policy")
        site = policies.get(SITE_POLICY) or policy_for("", policies)
        far = self._far = places(self._records.of("device"), site)
        self._settled = {name: self._settle(log, forks) for name, log in self._closings.items()}
        self._policies = policies
        terms = {
            name: Terms(
                late_limit(self._sessions.get(name), policy_for(name, policies)),
                self._settled[name].closing if name in self._settled else None,
                far,
                forks,
            )
            for name in self._sessions.keys() | self._settled.keys()
        }
        self._rows.judge_by(terms, Terms(places=far, forks=forks))

    def _settle(self, log: Log, forks: Forks) -> Settled:
        live = [entry for entry in log.live() if not forked(entry, forks)]
        gone = {entry.event.id for entry in live if self._is_retracted(entry, forks)}
        return settle(live, gone, forks)

    def _is_retracted(self, target: Entry, forks: Forks) -> bool:
        log = self._retracts.get(target.event.id)
        return log is not None and any(
            not forked(retract, forks)
            and retract.event.session == target.event.session
            and may_retract(retract, target)
            for retract in log.live()
        )

    # -- the whole ---------------------------------------------------------------------------------

    def _folded(self) -> State:
        rows = dict(self._rows.rows)
        by_session: defaultdict[str, list[Attendance]] = defaultdict(list)
        for (session, _), row in rows.items():
            by_session[session].append(row)
        names = self._sessions.keys() | self._settled.keys() | by_session.keys()
        sessions = {name: self._session(name) for name in names}
        for key in self._missing(sessions, rows):
            rows[key] = Attendance(*key, status=Status.ABSENT)
        resolved = self._resolved()
        found = (
            msgspec.structs.replace(item, resolved=resolved[item.id])
            if item.id in resolved
            else item
            for item in self._items(sessions, by_session)
        )
        return State(
            MappingProxyType(rows),
            MappingProxyType(sessions),
            MappingProxyType({item.id: item for item in found}),
            MappingProxyType(dict(self._rows.notes)),
            MappingProxyType(dict(self._people)),
            MappingProxyType(dict(self._rows.aliases)),
        )

    def _session(self, name: str) -> SessionState:
        settled = self._settled.get(name, Settled())
        return state_of(name, self._sessions.get(name), settled, policy_for(name, self._policies))

    def _missing(
        self, sessions: Mapping[str, SessionState], rows: Mapping[Key, Attendance]
    ) -> Iterator[Key]:
        """Those whom a closed session expected and of whom there is no event in it."""
        aliases = self._rows.aliases
        for name, state in sessions.items():
            session = self._sessions.get(name)
            if session is None or state.is_open:
                continue
            for person in self._expected(session):
                key = (name, aliases.get(person, person))
                if key not in rows:
                    yield key

    def _expected(self, session: Session) -> Iterable[str]:
        if session.roster is not None:
            return session.roster
        people = self._people.items()
        return [name for name, one in people if one.active and one.kind != "visitor"]

    def _items(
        self, sessions: Mapping[str, SessionState], rows: Mapping[str, list[Attendance]]
    ) -> Iterator[ReviewItem]:
        notes = self._rows.notes
        yield from items.batched(note for several in notes.values() for note in several)
        yield from self._across()
        forks = self._lines.forks()
        for entry in self._others.entries.values():
            decided = entry.event.kind in DECISIONS
            if quarantined(entry) or (decided and forked(entry, forks)):
                yield items.set_apart(entry)
        for line, kseq in forks.items():
            yield items.forked_line(line, kseq, self._lines.at(line, kseq))
        for name, settled in self._settled.items():
            if settled.disputed:
                yield items.close_reopened(name, settled)
        known = self._known()
        for name, several in rows.items():
            came = [row.person for row in several if _tells(row)]
            if came and name not in self._sessions:
                yield items.unknown_session(name, came)
            for person in came:
                if person not in known:
                    yield items.unknown_person((name, person))
            yield from _crowded(sessions[name], several)

    def _known(self) -> frozenset[str]:
        """The ids of everybody in the directory, as who they now are."""
        if self._everybody is None:
            aliases = self._rows.aliases
            self._everybody = frozenset(aliases.get(person, person) for person in self._people)
        return self._everybody

    def _across(self) -> Iterator[ReviewItem]:
        """Those who were at two places in two sessions with too little time between."""
        if not self._far.reach:
            return
        forks = self._lines.forks()
        sessions: defaultdict[str, list[str]] = defaultdict(list)
        for session, person in self._rows.keys():  # noqa: SIM118  a method of its own
            sessions[person].append(session)
        for person, several in sessions.items():
            if len(several) > 1:
                rows = [tuple(self._rows.entries(session, person)) for session in several]
                moves = [move for entries in rows for move in passages(entries, forks)]
                if far := too_far_across(moves, self._far):
                    yield items.two_places_across(person, far)

    def _resolved(self) -> dict[str, tuple[str, ...]]:
        forks = self._lines.forks()
        found: dict[str, tuple[str, ...]] = {}
        for item, log in self._resolves.items():
            held = [
                entry.event.id
                for entry in log.live()
                if not forked(entry, forks) and not self._is_retracted(entry, forks)
            ]
            if held:
                found[item] = tuple(sorted(held))
        return found


class _Lines:
    """Which `kseq`s of each device's database were written twice."""

    def __init__(self) -> None:
        self.changed = False
        self._lines: dict[Line, dict[int, Entry | Log]] = {}
        self._twice: set[tuple[Line, int]] = set()
        self._forks: dict[Line, int] = {}

    def apply(self, entry: Entry) -> bool:
        """Note the entry's place; whether the forks may be others now."""
        event = entry.event
        line = (event.device, event.incarnation)
        places = self._lines.get(line)
        if places is None:
            places = self._lines[line] = {}
        held = places.setdefault(event.kseq, entry)
        if held is entry:
            return False
        return self._again(line, places, held, entry)

    def forks(self) -> Forks:
        """From which `kseq` on a line had a double."""
        if self.changed:
            found: dict[Line, int] = {}
            for line, kseq in self._twice:
                if len(self.at(line, kseq)) > 1:
                    found[line] = min(kseq, found.get(line, kseq))
            self._forks, self.changed = found, False
        return self._forks

    def at(self, line: Line, kseq: int) -> list[str]:
        """The ids of what was written there, but for what may be another's forgery."""
        log = self._lines[line][kseq]
        held = [log] if isinstance(log, Entry) else log.entries.values()
        return [entry.event.id for entry in held if not quarantined(entry) or _is_fork(entry)]

    def _again(
        self, line: Line, places: dict[int, Entry | Log], held: Entry | Log, entry: Entry
    ) -> bool:
        kseq = entry.event.kseq
        if isinstance(held, Entry):
            if held == entry:
                return False
            held = places[kseq] = Log(held)
        if not held.add(entry) or len(held.entries) < 2:
            return False
        self._twice.add((line, kseq))
        self.changed = True
        return True


def _keep(logs: dict[str, Log], name: object, entry: Entry) -> bool:
    if not isinstance(name, str):
        return False
    return logs.setdefault(name, Log()).add(entry)


def _tells(row: Attendance) -> bool:
    """Whether anything that counts has been written of the person."""
    return row.presence is not Presence.NONE or row.winner is not None


def _crowded(state: SessionState, rows: Iterable[Attendance]) -> Iterator[ReviewItem]:
    if state.capacity is not None:
        inside = sum(row.presence is Presence.INSIDE for row in rows)
        if inside > state.capacity:
            yield items.over_capacity(state, inside)


def _is_fork(entry: Entry) -> bool:
    return entry.envelope is not None and entry.envelope.code == FORK
