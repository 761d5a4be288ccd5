"""The rows of one session as the hub shows them, folded from the session's room and its site's.

The fold is `sync.merge.SiteFold` over what both rooms hold. This file only asks it what a batch
altered: a plain check-in or decision of a person of whom there is nothing to be said alters one
row; whatever else may alter any is compared row by row.
"""

from __future__ import annotations

from collections import defaultdict
from sys import intern
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from msgspec import structs

from kiosk.model import Attendance, Entry, Envelope, Event, Kind, Presence
from sync.merge import SiteFold
from sync.merge.items import UNKNOWN_SESSION
from sync.protocol import Row, Sitting, Tally

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from kiosk.model import Person
    from sync.merge import State

_PLAIN = frozenset({Kind.CHECK_IN, Kind.CHECK_OUT, Kind.OVERRIDE})
# Kinds that no row is folded from and that describe nobody, unless one of them was set apart.
_QUIET = frozenset(
    {Kind.HELP, Kind.REFUSED, Kind.CONSENT, Kind.ENROLLED, Kind.TEMPLATE_REVOKED, Kind.STAFF}
)
_MOST_ITEMS = 20
_LONGEST = 200  # characters of a name or title that are shown
_STATUSES = ("expected", "present", "late", "excused", "absent")
_ACCEPTED = "accepted"


class _Event(Event, frozen=True, omit_defaults=True, gc=False):
    """An event that the garbage collector need not look at: it leads nowhere."""


class _Envelope(Envelope, frozen=True, omit_defaults=True, gc=False):
    """The same of an envelope."""


class _Entry(Entry, frozen=True, gc=False):
    """The same of both."""


_EVENT = msgspec.json.Decoder(_Event)
_ENVELOPE = msgspec.json.Decoder(_Envelope)


class Line(NamedTuple):
    """A row as whoever may not, and whoever may, read full names is shown it."""

    public: Row
    full: Row


class Delta(NamedTuple):
    """What a batch altered; `session` is None if it stayed as it was, `counts` are of all rows."""

    rows: dict[str, Line]
    gone: list[str]
    session: Sitting | None
    counts: Tally


class _Source(NamedTuple):
    """All that a row is made of."""

    attendance: Attendance
    person: Person | None
    items: tuple[str, ...]


class Sheet:
    """The rows of `session`; for one thread at a time."""

    def __init__(self, session: str) -> None:
        self._session = session
        self._fold = SiteFold()
        self._sources: dict[str, _Source] = {}
        self._items: Mapping[str, tuple[str, ...]] = {}
        self._sitting = Sitting()
        self._tally = dict.fromkeys((*_STATUSES, "inside"), 0)
        self._touched: dict[str, None] = {}
        self._whole = True  # nothing was looked at yet

    def apply(self, entries: Iterable[Entry]) -> None:
        """Take in what the two rooms hold, in the order of the log."""
        for entry in entries:
            if not self._whole:
                self._note(entry)
            self._fold.apply(entry)

    @property
    def plain(self) -> bool:
        """Whether a look takes no longer than the rows that it is at."""
        return not self._whole

    def look(self) -> Delta:
        """What all that was taken in since the last look altered."""
        alone, session = self._fold.alone, self._session
        whole = self._whole or self._fold.doubled
        whole = whole or not all(alone(session, person) for person in self._touched)
        delta = self._all() if whole else self._some()
        self._touched, self._whole = {}, False
        return delta

    # -- inside ------------------------------------------------------------------------------------

    def _note(self, entry: Entry) -> None:
        """What may alter with this entry, which the fold has not got yet."""
        event = entry.event
        if event.kind in _PLAIN and event.person is not None:
            if event.session != self._session:
                self._whole = self._doubtful(entry)
            elif self._fold.alone(self._session, event.person):
                self._touched[event.person] = None
            else:
                self._whole = True
        else:
            self._whole = event.kind not in _QUIET or self._doubtful(entry)

    def _doubtful(self, entry: Entry) -> bool:
        """Whether an event that is none of ours may still tell of a disk's double."""
        stamp = entry.envelope
        return stamp is None or stamp.verdict != _ACCEPTED or bool(stamp.code)

    def _some(self) -> Delta:
        rows: dict[str, Line] = {}
        for name in self._touched:
            attendance = self._fold.row(self._session, name)
            if attendance is not None:
                one = attendance.person
                person = self._fold.people.get(one)
                self._put(_Source(attendance, person, self._items.get(one, ())), rows)
        return Delta(rows, [], None, Tally(**self._tally))

    def _all(self) -> Delta:
        state = self._fold.state
        self._items = self._items_of(state)
        sources = self._sources_of(state)
        rows: dict[str, Line] = {}
        gone = [name for name in self._sources if name not in sources]
        for name in gone:
            self._count(self._sources.pop(name).attendance, -1)
        for source in sources.values():
            self._put(source, rows)
        sitting = self._sitting_of(state)
        changed = sitting if sitting != self._sitting else None
        self._sitting = sitting
        return Delta(rows, gone, changed, Tally(**self._tally))

    def _put(self, source: _Source, rows: dict[str, Line]) -> None:
        name = source.attendance.person
        held = self._sources.get(name)
        if held == source:
            return
        if held is not None:
            self._count(held.attendance, -1)
        self._count(source.attendance, 1)
        self._sources[name] = source
        line = _line(source)
        if held is None or line != _line(held):  # not all that a row is made of is shown
            rows[name] = line

    def _count(self, attendance: Attendance, by: int) -> None:
        self._tally[attendance.status.value] += by
        if attendance.presence is Presence.INSIDE:
            self._tally["inside"] += by

    def _sources_of(self, state: State) -> dict[str, _Source]:
        session, people, items = self._session, state.people, self._items
        found = {
            person: _Source(row, people.get(person), items.get(person, ()))
            for (name, person), row in state.rows.items()
            if name == session
        }
        for person in sorted(self._fold.expected(session)):
            if person not in found:
                row = Attendance(session, person)
                found[person] = _Source(row, people.get(person), items.get(person, ()))
        return found

    def _items_of(self, state: State) -> Mapping[str, tuple[str, ...]]:
        """Ids of what waits for staff, by person; under "" what is about the session."""
        found: defaultdict[str, list[str]] = defaultdict(list)
        for item in state.waiting:
            if item.session == self._session:
                about = item.people if item.kind != UNKNOWN_SESSION else ()
                for person in about or ("",):
                    found[person].append(item.id)
        return {person: tuple(ids[:_MOST_ITEMS]) for person, ids in found.items()}

    def _sitting_of(self, state: State) -> Sitting:
        one, how = self._fold.described(self._session), state.sessions.get(self._session)
        found = Sitting(items=self._items.get("", ()), closed=how.closed if how else None)
        if one is None:
            return found
        return structs.replace(
            found,
            title=one.title[:_LONGEST],
            zone=one.zone[:_LONGEST],
            starts=one.starts,
            ends=one.ends,
            place=one.place[:_LONGEST],
            late_at=how.late_at if how else None,
            capacity=how.capacity if how else None,
        )


def entry_of(body: bytes, stamp: bytes) -> Entry:
    """What is encoded, but for what no fold asks for; what is the same in many is held once."""
    event, envelope = _EVENT.decode(body), _ENVELOPE.decode(stamp)
    event = structs.replace(
        event,
        device=intern(event.device),
        incarnation=intern(event.incarnation),
        kind=intern(event.kind),
        session=None if event.session is None else intern(event.session),
        org="",
        room="",
        zone="",
        boot="",
        prev="",
        hash="",
    )
    envelope = structs.replace(envelope, epoch=intern(envelope.epoch))
    return _Entry(event, envelope.low, envelope.high, envelope)


def public_name(person: Person) -> str:
    """First name and initial; a name that was given as one is parted, a visitor's as anybody's."""
    if person.last_name:
        return person.public_name[:_LONGEST]
    first, *others = person.first_name.split() or [""]
    return f"{first} {others[-1][:1]}."[:_LONGEST] if others else first[:_LONGEST]


def _line(source: _Source) -> Line:
    one, person = source.attendance, source.person
    full = Row(
        person=one.person,
        status=one.status,
        presence=one.presence,
        name=person.full_name[:_LONGEST] if person is not None else "",
        arrival=one.arrival,
        departure=one.departure,
        flags=one.flags,
        items=source.items,
    )
    name = public_name(person) if person is not None else ""
    return Line(full if name == full.name else structs.replace(full, name=name), full)
