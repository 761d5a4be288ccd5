"""The live state machine at the door: sole owner of what the screen shows.

Everything here runs on one asyncio loop, the screen's. Fingers come in as reader events, commits
as changes, the line as its status; out goes one frozen `DeskState` and the roster's changed rows.
Nobody is told "welcome" before the store has committed.
"""

from __future__ import annotations

import logging
import sqlite3
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import msgspec

from drivers import errors, events
from kiosk import rules
from kiosk.badges import BadgeKey
from kiosk.model import (
    Attendance,
    Counts,
    DeskState,
    Event,
    Kind,
    LinkState,
    LinkStatus,
    Outcome,
    OutcomeKind,
    Person,
    Phase,
    Reason,
    RosterRow,
    SensorState,
    SensorStatus,
    Session,
    Status,
)
from kiosk.store import Draft, Store, StoreError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future

    from kiosk.clock import Clock
    from kiosk.model import Change

    StateListener = Callable[[DeskState], None]
    RowsListener = Callable[[Sequence[RosterRow]], None]

_LOG = logging.getLogger(__name__)
_QUALITY = {
    "dry": Reason.DRY,
    "wet": Reason.WET,
    "smudged": Reason.SMUDGED,
    "partial": Reason.PARTIAL,
    "lifted": Reason.LIFTED,
}


@dataclass(frozen=True, slots=True)
class DeskSettings:
    """How the door behaves; times in seconds."""

    organisation: str = ""
    repeat: float = 60.0
    success_shown: float = 3.0
    refusal_shown: float = 5.0
    reading_limit: float = 6.0
    session_check: float = 5.0
    attempts: int = 3


class Desk:
    """The door: call `start` on the running loop, then feed it; `stop` ends its timers."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        site: rules.Site,
        settings: DeskSettings,
        kick: Callable[[], None] = lambda: None,
        badge_key: BadgeKey | None = None,
    ) -> None:
        self.clock = clock
        self._badge_key = badge_key or BadgeKey(site.org)
        self._store = store
        self._site = site
        self._settings = settings
        self._kick = kick
        self._phase = Phase.IDLE
        self._outcome: Outcome | None = None
        self._undo: Event | None = None
        self._session = rules.open_session(site, (), clock.wall())
        self._sensor = SensorStatus()
        self._link = LinkStatus()
        self._notices = 0
        self._people: dict[str, Person] = {}
        self._known: dict[str, Session] = {}
        self._rows: dict[str, Attendance] = {}
        self._slots: dict[tuple[str, int], str] = {}
        self._writing: set[str] = set()
        self._recorded_at: dict[tuple[str, str], float] = {}
        self._serial = 0
        self._attempt = 0
        self._listeners: list[tuple[StateListener, RowsListener]] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._ticker: asyncio.TimerHandle | None = None
        self.state = DeskState(organisation=settings.organisation)

    # -- for the screen ----------------------------------------------------------------------------

    def roster(self) -> tuple[RosterRow, ...]:
        """Every row of the open session: who is expected and who came, in no order."""
        ids = dict.fromkeys([*self._expected(), *self._rows])
        return tuple(self._roster_row(person) for person in ids)

    def watch(self, on_state: StateListener, on_rows: RowsListener) -> Callable[[], None]:
        """Be told of every new state and of changed roster rows; call the result to stop.

        When the state names another session, read `roster` anew.
        """
        pair = (on_state, on_rows)
        self._listeners.append(pair)
        return lambda: self._listeners.remove(pair)

    def enter_code(self, code: str) -> None:
        """Check in by personal code; the answer is the next outcome."""
        found = [p for p in self._people.values() if p.code and p.code == code.strip()]
        if len(found) == 1:
            self._identified(found[0], {"method": "code"})
        else:
            self._refuse(Reason.UNKNOWN_CODE)

    def badge(self, token: str) -> None:
        """Check in by badge; each is recorded, however fast they follow one another."""
        kept = self._badge_key.hash(token)
        found = [person for person in self._people.values() if kept in person.badges]
        if len(found) == 1:
            self._identified(found[0], {"method": "badge"})
        else:
            self._refuse(Reason.UNKNOWN_BADGE)

    def not_you(self) -> None:
        """The person shown says it is not them: undo the check-in, or call staff."""
        outcome, event = self._outcome, self._undo
        if outcome is None:
            return
        self.dismiss()
        if event is not None:
            if event.session and event.person:
                self._recorded_at.pop((event.session, event.person), None)
            data = {"target": event.id}
            retract = Draft(Kind.RETRACT, event.session, event.person, data=data)
            self._keep(retract, or_else=lambda: self._not_saved(outcome.person))
        elif outcome.person is not None:
            data = {"reason": "not_you"}
            self._keep(Draft(Kind.HELP, self._session.id, outcome.person.id, data=data))

    def dismiss(self) -> None:
        """Back to idle; whoever comes next starts with no bad reads."""
        self._attempt = 0
        self._to(Phase.IDLE)

    def try_now(self) -> None:
        """Try the line to the hub at once."""
        self._kick()

    # -- life --------------------------------------------------------------------------------------

    def start(self, loop: asyncio.AbstractEventLoop, notices: int = 0) -> None:
        """Load what is known and begin to listen; `notices` are matters staff must see to."""
        self._loop = loop
        self._notices = notices
        self._people = {person.id: person for person in self._store.people()}
        self._known = {session.id: session for session in self._store.sessions()}
        self._open(rules.open_session(self._site, self._known.values(), self.clock.wall()))
        self._store.on_commit(self._on_commit)
        self._tick()

    def stop(self) -> None:
        """End the timers; what comes from other threads afterwards is ignored."""
        for timer in (self._timer, self._ticker):
            if timer is not None:
                timer.cancel()
        self._timer = self._ticker = self._loop = None
        self._listeners.clear()

    # -- what comes in -----------------------------------------------------------------------------

    def link_changed(self, status: LinkStatus) -> None:
        """Take the line's truth, as the sync client tells it."""
        self._link = status
        self._publish()

    def sensor_event(self, event: events.ReaderEvent) -> None:
        """Take what the reader tells, on the desk's own loop."""
        match event:
            case events.SensorUp():
                self._sensor_up(event)
            case events.SensorDown(cause, retry_in):
                self._sensor_down(cause, retry_in)
            case events.FingerDown():
                self._to(Phase.READING)
                self._after(self._settings.reading_limit, self.dismiss)
            case events.Matched(sensor, slot, score):
                found = self._people.get(self._slots.get((sensor, slot), ""))
                data = {"method": "finger", "sensor": sensor, "slot": slot, "score": score}
                self._identified(found, data)
            case events.Repeated(sensor, slot):
                found = self._people.get(self._slots.get((sensor, slot), ""))
                self._identified(found, {"method": "finger", "sensor": sensor, "slot": slot})
            case events.NotMatched():
                self._refuse(Reason.UNKNOWN_FINGER)
            case events.CaptureFailed(quality):
                self._try_again(_QUALITY.get(quality, Reason.SMUDGED))
            case events.FingerStuck():
                self._try_again(Reason.STUCK)
            case events.Lifted() | events.FailedRepeatedly():
                pass  # bad reads are counted here, with the answers they led to

    def _sensor_up(self, event: events.SensorUp) -> None:
        self._slots = {
            (slot.sensor, slot.slot): slot.person
            for slot in self._store.slots()
            if slot.status == "active"
        }
        self._sensor = SensorStatus(
            SensorState.READY, event.sensor, event.capacity, event.used, self.clock.wall()
        )
        self._publish()

    def _sensor_down(self, cause: errors.SensorError, retry_in: float) -> None:
        state = _state_of(cause)
        since = self._sensor.since if self._sensor.state is state else self.clock.wall()
        retry_at = self.clock.monotonic() + retry_in
        self._sensor = SensorStatus(state, since=since, retry_at=retry_at, detail=cause.sentence)
        if self._phase is Phase.READING:
            self._phase = Phase.IDLE
        self._publish()

    # -- answers -----------------------------------------------------------------------------------

    def _identified(self, person: Person | None, data: dict[str, Any]) -> None:
        if person is not None and person.id in self._writing:
            return  # the same person again before the first answer: it is on its way
        self._reconsider()
        row = self._rows.get(person.id) if person else None
        last = self._recorded_at.get((self._session.id, person.id)) if person else None
        since_last = None if last is None else self.clock.monotonic() - last
        decision = rules.decide(person, row, since_last, self._settings.repeat)
        if person is None or decision.verdict is rules.Verdict.REFUSE:
            self._refuse(decision.reason, person)
        elif decision.verdict is rules.Verdict.IGNORE:
            self._already_in(person)
        else:
            self._check_in(person, data, decision.outcome)

    def _check_in(self, person: Person, data: dict[str, Any], outcome: OutcomeKind) -> None:
        session = self._session
        drafts = [Draft(Kind.CHECK_IN, session.id, person.id, data=data)]
        if session.id not in self._known:
            # Other kiosks learn of a session from the first who comes to it.
            opened = Draft(Kind.SESSION_OPENED, session.id, data=msgspec.to_builtins(session))
            drafts.insert(0, opened)
        try:
            future = self._store.record_many(drafts)
        except StoreError:
            self._not_saved(person)
            return
        self._writing.add(person.id)
        loop = self._loop

        def done(result: Future[list[Event]]) -> None:
            if loop is not None and not loop.is_closed():
                loop.call_soon_threadsafe(self._recorded, person, outcome, result)

        future.add_done_callback(done)

    def _recorded(self, person: Person, outcome: OutcomeKind, result: Future[list[Event]]) -> None:
        self._writing.discard(person.id)
        error = result.exception()
        if error is not None:
            _LOG.error("a check-in could not be saved: %s", error)
            self._not_saved(person)
            return
        event = result.result()[-1]
        self._recorded_at[event.session or "", person.id] = self.clock.monotonic()
        if outcome is OutcomeKind.ALREADY_IN:
            self._already_in(person)
            return
        row = self._rows.get(person.id)
        late = row is not None and row.status is Status.LATE
        self._attempt = 0
        self._answer(OutcomeKind.ACCEPTED, person=person, late=late, undoable=True)
        self._undo = event

    def _already_in(self, person: Person) -> None:
        row = self._rows.get(person.id)
        since = row.arrival[0] if row and row.arrival else None
        self._attempt = 0
        self._answer(OutcomeKind.ALREADY_IN, person=person, since=since)

    def _refuse(self, reason: Reason, person: Person | None = None) -> None:
        who = person.id if person else None
        self._keep(Draft(Kind.REFUSED, self._session.id, who, data={"reason": reason.value}))
        self._answer(OutcomeKind.REFUSED, reason=reason, person=person)

    def _not_saved(self, person: Person | None) -> None:
        self._answer(OutcomeKind.REFUSED, reason=Reason.NOT_SAVED, person=person)

    def _try_again(self, reason: Reason) -> None:
        self._attempt = self._attempt % self._settings.attempts + 1
        self._answer(OutcomeKind.TRY_AGAIN, reason=reason, attempt=self._attempt)

    def _answer(self, kind: OutcomeKind, **details: Any) -> None:  # noqa: ANN401  Outcome's fields
        self._serial += 1
        success = kind in (OutcomeKind.ACCEPTED, OutcomeKind.ALREADY_IN)
        shown = self._settings.success_shown if success else self._settings.refusal_shown
        attempts = self._settings.attempts
        outcome = Outcome(
            self._serial, kind, self.clock.wall(), shown, attempts=attempts, **details
        )
        self._to(Phase.OUTCOME, outcome)
        self._after(shown, self.dismiss)

    def _keep(self, draft: Draft, or_else: Callable[[], None] | None = None) -> None:
        """Record what the answer does not wait for; a failure is logged, and shown by `or_else`."""
        loop = self._loop

        def done(result: Future[Event]) -> None:
            if error := result.exception():
                _LOG.error("a %s event could not be saved: %s", draft.kind.value, error)
                if or_else is not None and loop is not None and not loop.is_closed():
                    loop.call_soon_threadsafe(or_else)

        try:
            self._store.record(draft).add_done_callback(done)
        except StoreError as error:
            _LOG.error("a %s event could not be saved: %s", draft.kind.value, error)
            if or_else is not None:
                or_else()

    # -- state -------------------------------------------------------------------------------------

    def _to(self, phase: Phase, outcome: Outcome | None = None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._phase = phase
        self._outcome = outcome
        self._undo = None
        self._publish()

    def _after(self, seconds: float, then: Callable[[], None]) -> None:
        if self._loop is not None:
            self._timer = self._loop.call_later(seconds, then)

    def _publish(self) -> None:
        down = self._sensor.state not in (SensorState.READY, SensorState.STARTING)
        phase = Phase.OUT_OF_ORDER if down and self._phase is Phase.IDLE else self._phase
        state = DeskState(
            organisation=self._settings.organisation,
            phase=phase,
            session=self._session,
            outcome=self._outcome,
            sensor=self._sensor,
            link=self._with_notices(int(down)),
            counts=self._counts(),
        )
        if state != self.state:
            self.state = state
            for on_state, _ in list(self._listeners):
                on_state(state)

    def _with_notices(self, down: int) -> LinkStatus:
        """The line's status, with what else needs a human; trouble with the line goes first."""
        link = self._link
        attention = link.attention + link.quarantined + self._notices + down
        calm = (LinkState.ONLINE, LinkState.SYNCING)
        state = LinkState.ATTENTION if attention and link.state in calm else link.state
        return replace(link, attention=attention, state=state)

    def _counts(self) -> Counts:
        tally = dict.fromkeys(Status, 0)
        for person in dict.fromkeys([*self._expected(), *self._rows]):
            row = self._rows.get(person)
            tally[row.status if row else Status.EXPECTED] += 1
        return Counts(
            present=tally[Status.PRESENT] + tally[Status.LATE],
            late=tally[Status.LATE],
            excused=tally[Status.EXCUSED],
            absent=tally[Status.ABSENT],
            expected=tally[Status.EXPECTED],
        )

    def _expected(self) -> Sequence[str]:
        if self._session.roster is not None:
            return self._session.roster
        return [person.id for person in self._people.values() if person.active]

    def _roster_row(self, person: str) -> RosterRow:
        known = self._people.get(person) or Person(person, "?")
        return RosterRow(known, self._rows.get(person) or Attendance(self._session.id, person))

    # -- the store and the clock -------------------------------------------------------------------

    def _on_commit(self, change: Change) -> None:
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._changed, change)

    def _changed(self, change: Change) -> None:
        if self._loop is None:
            return
        self._people.update({person.id: person for person in change.people})
        self._known.update({session.id: session for session in change.sessions})
        mine = [row for row in change.rows if row.session == self._session.id]
        self._rows.update({row.person: row for row in mine})
        touched = [row.person for row in mine] + [person.id for person in change.people]
        if change.sessions:
            self._reconsider()
        if touched:
            rows = [self._roster_row(person) for person in dict.fromkeys(touched)]
            for _, on_rows in list(self._listeners):
                on_rows(rows)
        self._publish()

    def _tick(self) -> None:
        # Armed first: whatever goes wrong now, tomorrow's session must open.
        if self._loop is not None:
            self._ticker = self._loop.call_later(self._settings.session_check, self._tick)
        self._reconsider()

    def _reconsider(self) -> None:
        """Open the session that is due now, if it is another or has been described anew."""
        due = rules.open_session(self._site, self._known.values(), self.clock.wall())
        if due != self._session:
            self._open(due)

    def _open(self, session: Session) -> None:
        try:
            rows = self._store.attendance(session.id)
        except (StoreError, sqlite3.Error) as error:
            _LOG.error("the session that is due cannot be opened yet: %s", error)
            return
        self._session = session
        self._rows = {row.person: row for row in rows}
        self._publish()


def _state_of(cause: errors.SensorError) -> SensorState:
    match cause:
        case errors.PortBusy():
            return SensorState.BUSY
        case errors.PortMissing() | errors.Disconnected():
            return SensorState.MISSING
        case errors.WrongPassword() | errors.PasswordRequired() | errors.BindingError():
            return SensorState.REFUSED
        case _:
            return SensorState.SILENT
