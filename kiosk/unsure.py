"""Which session is on while nobody keeps the clock and no hub was heard: asked, never guessed."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import msgspec

from kiosk import rules
from kiosk.model import UNREADABLE, Kind, Session
from kiosk.store import Draft, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from concurrent.futures import Future

    from kiosk.clock import Clock
    from kiosk.model import Event
    from kiosk.store import Store

_LOG = logging.getLogger(__name__)
_NOTE = "chosen"
_DOORS = (Kind.CHECK_IN, Kind.RETRACT)


class _Chosen(msgspec.Struct, frozen=True):
    """What somebody said in a boot, when its ticks stood there."""

    boot: str
    ticks: int
    session: Session


_CHOSEN = msgspec.json.Decoder(_Chosen)


class Asking:
    """The question and its answer, which holds for as long as the session lasts; `load` first.

    `choices` are what to ask; none while the time is known, or somebody has said which it is.
    """

    def __init__(self, store: Store, site: rules.Site, clock: Clock) -> None:
        self.choices: tuple[Session, ...] = ()
        self._store = store
        self._site = site
        self._clock = clock
        self._chosen: _Chosen | None = None

    def load(self) -> None:
        """Take up what was said before a restart in this boot."""
        note = self._store.note(_NOTE)
        try:
            said = _CHOSEN.decode(note) if note else None
        except UNREADABLE:
            said = None
        self._chosen = said if said is not None and said.boot == self._clock.boot else None

    def session(self, known: Mapping[str, Session]) -> Session | None:
        """What is on by what was said, or one of no known day; None if the clock can tell."""
        if self._clock.synced():
            self.choices = ()
            return None
        said = self._chosen
        if said is not None and self._clock.ticks() - said.ticks < _length(said.session):
            self.choices = ()
            return known.get(said.session.id, said.session)
        boot, wall = self._clock.boot, self._clock.wall()
        self.choices = tuple(rules.choices(self._site, known.values(), wall, boot))
        return rules.undated(self._site, boot)

    def choose(self, session: str) -> None:
        """Somebody says which of the choices it is; anything else for none of them."""
        none = rules.undated(self._site, self._clock.boot)
        chosen = next((one for one in self.choices if one.id == session), none)
        self._chosen = _Chosen(self._clock.boot, self._clock.ticks(), chosen)
        try:
            self._store.set_note(_NOTE, msgspec.json.encode(self._chosen).decode())
        except StoreError as error:
            _LOG.error("which session was chosen is not kept: %s", error)


class Placing:
    """Brings check-ins of a day that nobody knew to their sessions, once the time is known.

    Each is written anew with its true time, and the one before taken back, in one transaction; what
    staff have decided something about is left to them.
    """

    def __init__(self, store: Store, site: rules.Site, clock: Clock) -> None:
        self._store = store
        self._site = site
        self._clock = clock
        self._due = True
        self._writing: Future[list[Event]] | None = None

    def look(self, known: Mapping[str, Session]) -> None:
        """Do so if there is something to do; to be called now and then."""
        if not self._clock.synced():
            self._due = True
        elif self._due and (self._writing is None or self._writing.done()):
            drafts = [draft for event in self._strays() for draft in self._moved(event, known)]
            if drafts:
                self._writing = self._store.record_many(drafts)
                _LOG.info("the time is known: check-ins are brought to their sessions")
            self._due = bool(drafts)

    def _strays(self) -> Iterator[Event]:
        boot, who = self._clock.boot, self._store.identity
        for schedule in (None, *self._site.schedules):
            session = rules.undated(self._site, boot, schedule).id
            for row in self._store.attendance(session):
                events = self._store.row_events(session, row.person)
                gone = {e.data.get("target") for e in events if e.kind == Kind.RETRACT}
                ours = all(e.incarnation == who.incarnation and e.boot == boot for e in events)
                if ours and all(event.kind in _DOORS for event in events):
                    yield from (e for e in events if e.kind == Kind.CHECK_IN and e.id not in gone)

    def _moved(self, event: Event, known: Mapping[str, Session]) -> Iterator[Draft]:
        when = self._clock.wall() - (self._clock.ticks() - event.ticks)
        session = rules.open_session(self._site, known.values(), when)
        if session.id not in known:
            yield Draft(Kind.SESSION_OPENED, session.id, data=msgspec.to_builtins(session))
        data = event.data | {"placed": event.id}
        yield Draft(
            Kind.CHECK_IN, session.id, event.person, data=data, wall=when, ticks=event.ticks
        )
        target = {"target": event.id}
        yield Draft(Kind.RETRACT, event.session, event.person, data=target)


def _length(session: Session) -> int:
    return session.ends - session.starts
