"""The live state machine at the door: sole owner of what the screen shows.

Everything here runs on one asyncio loop, the screen's. Fingers come in as reader events, commits
as changes, the line as its status; out goes one frozen `DeskState` and the roster's changed rows.
Nobody is told "welcome" before the store has committed.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from drivers import events
from kiosk import rules
from kiosk.badges import BadgeKey
from kiosk.doorlog import DoorLog
from kiosk.face import DeskSettings, Face
from kiosk.model import (
    Event,
    Kind,
    OutcomeKind,
    Person,
    Phase,
    Reason,
    RosterRow,
    SensorState,
    SensorStatus,
    Status,
)
from kiosk.owners import Owners
from kiosk.proof import Finding, Proof
from kiosk.roll import Roll
from kiosk.store import Draft

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from drivers.errors import SensorError
    from kiosk.clock import Clock
    from kiosk.face import RowsListener, StateListener
    from kiosk.model import Change, DeskState, LinkStatus
    from kiosk.proof import Pending, Verifier
    from kiosk.store import Store

__all__ = ["Desk", "DeskSettings"]

_LOG = logging.getLogger(__name__)
_QUALITY = {
    "dry": Reason.DRY,
    "wet": Reason.WET,
    "smudged": Reason.SMUDGED,
    "partial": Reason.PARTIAL,
    "lifted": Reason.LIFTED,
}


class Desk:
    """The door: `load`, call `start` on the running loop, then feed it; `stop` ends its timers."""

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
        self._settings = settings
        self._kick = kick
        self._roll = Roll(store, site, clock)
        self._owners = Owners(store)
        self._log = DoorLog(store, clock)
        self._proof = Proof(settings.claim, self._claim_moved, self._claim_ended)
        self._face = Face(settings, clock, self._roll, self._proof)
        self._undo: Event | None = None
        self._attempt = 0
        self._loaded = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ticker: asyncio.TimerHandle | None = None

    # -- for the screen ----------------------------------------------------------------------------

    @property
    def state(self) -> DeskState:
        """What the door shows now; a new value each time it changes."""
        return self._face.state

    def roster(self) -> tuple[RosterRow, ...]:
        """Every row of the open session: who is expected and who came, in no order."""
        return self._roll.lines()

    def expected(self) -> frozenset[str]:
        """Ids of those who are expected at the open session."""
        return frozenset(self._roll.expected())

    def awaited(self) -> frozenset[str]:
        """Ids of those who may come and should be known by a finger alone.

        Those expected; where nobody is by name, as on a day that is open to all, everybody active.
        """
        return self.expected() or frozenset(self._roll.active())

    def watch(self, on_state: StateListener, on_rows: RowsListener) -> Callable[[], None]:
        """Be told of every new state and of changed roster rows; call the result to stop.

        When the state names another session, read `roster` anew.
        """
        return self._face.watch(on_state, on_rows)

    def enter_code(self, code: str) -> None:
        """Check in by personal code; the answer is a claim or the next outcome."""
        self._claimed(self._roll.with_code(code.strip()), "code", Reason.UNKNOWN_CODE)

    def badge(self, token: str) -> None:
        """Check in by badge; each is recorded, however fast they follow one another."""
        kept = self._badge_key.hashes(token)
        self._claimed(self._roll.with_badge(kept), "badge", Reason.UNKNOWN_BADGE)

    def not_you(self) -> None:
        """The person shown says it is not them: undo the check-in, or call staff."""
        outcome, event = self._face.outcome, self._undo
        if outcome is None:
            return
        self.dismiss()
        if event is not None:
            self._log.retract(event, or_else=lambda: self._not_saved(outcome.person))
        elif outcome.person is not None:
            data = {"reason": "not_you"}
            self._log.keep(Draft(Kind.HELP, self._roll.session.id, outcome.person.id, data=data))

    def dismiss(self) -> None:
        """Back to idle, without what was claimed; whoever comes next starts with no bad reads."""
        self._proof.drop()
        self._attempt = 0
        self._turn(Phase.IDLE)

    def choose_session(self, session: str) -> None:
        """Somebody says which of the `choices` is on, "" for none of them."""
        self._roll.choose(session)
        self._face.publish()

    def try_now(self) -> None:
        """Try the line to the hub at once."""
        self._kick()

    # -- life --------------------------------------------------------------------------------------

    def load(self, notices: int = 0) -> None:
        """Read what is known, for the first picture; `notices` are matters staff must see to.

        Needs no loop yet. Nothing may be written before `start`, for nobody would hear of it.
        """
        self._face.notices = notices
        self._roll.load()
        self._face.publish()
        self._loaded = True

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to listen, once what is known is loaded."""
        if not self._loaded:
            self.load()
        self._loop = loop
        for part in (self._log, self._proof, self._face):
            part.attach(loop)
        self._store.on_commit(self._on_commit)
        self._tick()

    def stop(self) -> None:
        """End the timers; what comes from other threads afterwards is ignored."""
        if self._ticker is not None:
            self._ticker.cancel()
        self._ticker = self._loop = None
        for part in (self._proof, self._face, self._log):
            part.attach(None)

    # -- what comes in -----------------------------------------------------------------------------

    def verify_with(self, verifier: Verifier | None) -> None:
        """From now on bear claims out by a finger, where `verifier` can; None takes it away."""
        self._proof.use(verifier)

    def library_changed(self) -> None:
        """Slots of the sensor have other owners: to be told before any finger found since."""
        self._owners.reload()

    def link_changed(self, status: LinkStatus) -> None:
        """Take the line's truth, as the sync client tells it."""
        self._face.link = status
        self._face.publish()

    def review_changed(self, waiting: int) -> None:
        """Take how many review items wait for somebody, those that the hub keeps apart included."""
        if waiting != self._face.review:
            self._face.review = waiting
            self._face.publish()

    def sensor_event(self, event: events.ReaderEvent) -> None:
        """Take what the reader tells, on the desk's own loop."""
        match event:
            case events.SensorUp():
                self._sensor_up(event)
            case events.SensorDown(cause, retry_in):
                self._sensor_down(cause, retry_in)
            case events.Matched(sensor, slot, score):
                self._found(sensor, slot, {"score": score})
            case events.Repeated(sensor, slot):
                self._found(sensor, slot, {})
            case _ if self._proof.current is None:
                self._read(event)
            # Anything else is of a finger from before the claim, and says nothing about it.

    def _read(self, event: events.ReaderEvent) -> None:
        match event:
            case events.FingerDown():
                self._turn(Phase.READING)
                self._face.after(self._settings.reading_limit, self.dismiss)
            case events.NotMatched():
                self._refuse(Reason.UNKNOWN_FINGER)
            case events.CaptureFailed(quality):
                self._try_again(_QUALITY.get(quality, Reason.SMUDGED))
            case events.FingerStuck():
                self._try_again(Reason.STUCK)
            case events.FailedRepeatedly():
                self._offer()

    def _sensor_up(self, event: events.SensorUp) -> None:
        self._owners.reload()
        self._face.sensor = SensorStatus(
            SensorState.READY, event.sensor, event.capacity, event.used, self.clock.wall()
        )
        self._face.publish()

    def _sensor_down(self, cause: SensorError, retry_in: float) -> None:
        from kiosk.sensor_status import status_of  # noqa: PLC0415  the first frame needs no reader

        status, before = status_of(cause), self._face.sensor
        since = before.since if before.state is status.state else self.clock.wall()
        retry_at = self.clock.monotonic() + retry_in
        self._face.sensor = replace(status, since=since, retry_at=retry_at)
        if self._face.phase is Phase.READING:
            self._face.phase = Phase.IDLE
        self._face.publish()

    def _found(self, sensor: str, slot: int, score: dict[str, int]) -> None:
        person = self._roll.people.get(self._owners.of(sensor, slot))
        self._identified(person, {"method": "finger", "sensor": sensor, "slot": slot} | score)

    # -- claims ------------------------------------------------------------------------------------

    def _claimed(self, person: Person | None, method: str, unknown: Reason) -> None:
        """Somebody says who they are; where one is kept, a finger is asked for to bear it out."""
        if self._is_claimed(person):
            return
        before = self._take_over()
        if person is None:
            self._refuse(unknown)
            return
        data = {"method": method}
        # Only for a first check-in: of somebody who is in already it would tell nothing new.
        first = self._decide(person).verdict is rules.Verdict.RECORD
        if first and not self._log.writing(person.id) and self._proof.possible(person):
            self._proof.begin(person, data, before)
        else:
            self._identified(person, data)

    def _is_claimed(self, person: Person | None) -> bool:
        claim = self._proof.current
        return claim is not None and person is not None and claim.person.id == person.id

    def _take_over(self) -> tuple[str, ...]:
        """The next one is here: whose claim was being looked into comes in by the claim alone.

        Those whose fingers may be on the glass still.
        """
        if (pending := self._proof.drop()) is None:
            return ()
        self._claim_ended(pending, Finding.INTERRUPTED)
        return (*pending.before, pending.claim.person.id)

    def _claim_moved(self) -> None:
        if self._face.phase is Phase.VERIFYING:
            self._face.publish()
        else:
            self._turn(Phase.VERIFYING)

    def _claim_ended(self, pending: Pending, finding: Finding, score: int | None = None) -> None:
        person = pending.claim.person
        if finding is Finding.NOBODY:
            self.dismiss()
        elif finding is Finding.OTHER_FINGER:
            self._refuse(Reason.OTHER_FINGER, person)
        else:
            if finding is not Finding.FINGER:
                _LOG.warning("let in by %s without a finger: %s", pending.data["method"], finding)
            scored = {} if score is None else {"score": score}
            # As they are known now: meanwhile they may have left.
            known = self._roll.people.get(person.id, person)
            self._identified(known, pending.data | {"verified": finding.value} | scored)

    # -- answers -----------------------------------------------------------------------------------

    def _decide(self, person: Person | None) -> rules.Decision:
        if self._roll.reconsider():
            self._face.publish()
        if person is None:
            return rules.decide(None, None, None, self._settings.repeat)
        since = self._log.since_last(self._roll.session.id, person.id)
        return rules.decide(person, self._roll.row(person.id), since, self._settings.repeat)

    def _identified(self, person: Person | None, data: dict[str, Any]) -> None:
        if person is not None and self._log.writing(person.id):
            return  # the same person again before the first answer: it is on its way
        if self._is_claimed(person):
            self._proof.drop()
        decision = self._decide(person)
        if person is None or decision.verdict is rules.Verdict.REFUSE:
            self._refuse(decision.reason, person)
        elif decision.verdict is rules.Verdict.IGNORE:
            self._already_in(person)
        else:
            self._check_in(person, data, decision.outcome)

    def _check_in(self, person: Person, data: dict[str, Any], outcome: OutcomeKind) -> None:
        session = self._roll.session
        self._log.check_in(
            session,
            person.id,
            data,
            lambda event: self._recorded(person, outcome, event),
            announce=not self._roll.announced(session),
        )

    def _recorded(self, person: Person, outcome: OutcomeKind, event: Event | None) -> None:
        if event is None:
            self._not_saved(person)
            return
        if outcome is OutcomeKind.ALREADY_IN:
            self._already_in(person)
            return
        row = self._roll.row(person.id)
        late = row is not None and row.status is Status.LATE
        self._attempt = 0
        if self._answer(OutcomeKind.ACCEPTED, person=person, late=late, undoable=True):
            self._undo = event

    def _already_in(self, person: Person) -> None:
        row = self._roll.row(person.id)
        since = row.arrival[0] if row and row.arrival else None
        self._attempt = 0
        self._answer(OutcomeKind.ALREADY_IN, person=person, since=since)

    def _refuse(self, reason: Reason, person: Person | None = None) -> None:
        who = person.id if person else None
        data = {"reason": reason.value}
        self._log.keep(Draft(Kind.REFUSED, self._roll.session.id, who, data=data))
        self._answer(OutcomeKind.REFUSED, reason=reason, person=person)

    def _not_saved(self, person: Person | None) -> None:
        self._answer(OutcomeKind.REFUSED, reason=Reason.NOT_SAVED, person=person)

    def _try_again(self, reason: Reason) -> None:
        self._attempt = self._attempt % self._settings.attempts + 1
        offered = self._attempt == self._settings.attempts
        self._answer(OutcomeKind.TRY_AGAIN, reason=reason, attempt=self._attempt, offered=offered)

    def _offer(self) -> None:
        """The reader has counted so many bad fingers: whatever is answered, offer another way."""
        said = self._face.outcome
        failed = (OutcomeKind.TRY_AGAIN, OutcomeKind.REFUSED)
        if said is not None and said.kind in failed and not said.offered:
            self._answer(said.kind, reason=said.reason, attempt=said.attempt, offered=True)

    def _answer(self, kind: OutcomeKind, **details: Any) -> bool:  # noqa: ANN401  Outcome's fields
        self._undo = None
        return self._face.answer(kind, self.dismiss, **details)

    def _turn(self, phase: Phase) -> None:
        self._undo = None
        self._face.turn(phase)

    # -- the store and the clock -------------------------------------------------------------------

    def _on_commit(self, change: Change) -> None:
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._changed, change)

    def _changed(self, change: Change) -> None:
        if self._loop is None:
            return
        rows, opened = self._roll.take(change)
        if opened:
            self._face.publish()
        if rows:
            self._face.show_rows(rows)
        self._face.publish()

    def _tick(self) -> None:
        # Armed first: whatever goes wrong now, tomorrow's session must open.
        if self._loop is not None:
            self._ticker = self._loop.call_later(self._settings.session_check, self._tick)
        if self._owners.stale:
            self._owners.reload()
        self._roll.place()
        self._roll.reconsider()
        self._face.publish()
