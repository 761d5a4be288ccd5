"""What the door shows, and for how long: one phase, one answer, one state for all who look."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from kiosk.model import (
    DeskState,
    LinkState,
    LinkStatus,
    Outcome,
    OutcomeKind,
    Phase,
    SensorState,
    SensorStatus,
)
from kiosk.proof import ClaimTiming

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

    from kiosk.clock import Clock
    from kiosk.model import RosterRow
    from kiosk.proof import Proof
    from kiosk.roll import Roll

    StateListener = Callable[[DeskState], None]
    RowsListener = Callable[[Sequence[RosterRow]], None]


class DeskSettings(msgspec.Struct, frozen=True):
    """How the door behaves; times in seconds."""

    organisation: str = ""
    repeat: float = 60.0
    success_shown: float = 3.0
    refusal_shown: float = 5.0
    offer_shown: float = 10.0
    reading_limit: float = 6.0
    session_check: float = 5.0
    attempts: int = 3
    claim: ClaimTiming = ClaimTiming()


class Face:
    """The state of the screen; the desk alone turns it, on its loop (`attach`)."""

    def __init__(self, settings: DeskSettings, clock: Clock, roll: Roll, proof: Proof) -> None:
        self.phase = Phase.IDLE
        self.outcome: Outcome | None = None
        self.sensor = SensorStatus()
        self.link = LinkStatus()
        self.notices = 0
        self.review: int | None = None
        self.state = DeskState(organisation=settings.organisation)
        self._settings = settings
        self._clock = clock
        self._roll = roll
        self._proof = proof
        self._serial = 0
        self._listeners: list[tuple[StateListener, RowsListener]] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None

    def attach(self, loop: asyncio.AbstractEventLoop | None) -> None:
        """Take this loop's time from now on; with None nothing more changes, and nobody is told."""
        self._loop = loop
        if loop is None:
            self._stop_timer()
            self._listeners.clear()

    def watch(self, on_state: StateListener, on_rows: RowsListener) -> Callable[[], None]:
        """Tell of every new state and of changed rows; call the result to stop."""
        pair = (on_state, on_rows)
        self._listeners.append(pair)
        return lambda: self._listeners.remove(pair)

    def show_rows(self, rows: Sequence[RosterRow]) -> None:
        """Tell of rows that changed."""
        for _, on_rows in list(self._listeners):
            on_rows(rows)

    def turn(self, phase: Phase, outcome: Outcome | None = None) -> None:
        """Show something else, until it is turned again."""
        self._stop_timer()
        self.phase = phase
        self.outcome = outcome
        self.publish()

    def answer(self, kind: OutcomeKind, then: Callable[[], None], **details: Any) -> bool:  # noqa: ANN401  Outcome's fields
        """Show an answer for its time, `then` call that.

        False while the screen is somebody else's, who is to place a finger.
        """
        if self._proof.current is not None:
            return False
        self._serial += 1
        shown = self._shown(kind, offered=details.get("offered", False))
        attempts = self._settings.attempts
        at, sure = self._clock.wall(), self._clock.synced()
        outcome = Outcome(self._serial, kind, at, shown, attempts=attempts, sure=sure, **details)
        self.turn(Phase.OUTCOME, outcome)
        self.after(shown, then)
        return True

    def after(self, seconds: float, then: Callable[[], None]) -> None:
        """Call `then` unless something else is shown before."""
        self._stop_timer()
        if self._loop is not None:
            self._timer = self._loop.call_later(seconds, then)

    def publish(self) -> None:
        """Tell of the state as it is now, if it is another."""
        down = self.sensor.state not in (SensorState.READY, SensorState.STARTING)
        state = DeskState(
            organisation=self._settings.organisation,
            phase=Phase.OUT_OF_ORDER if down and self.phase is Phase.IDLE else self.phase,
            session=self._roll.session,
            outcome=self.outcome,
            claim=self._proof.current,
            sensor=self.sensor,
            link=self._with_notices(int(down)),
            counts=self._roll.counts(),
            choices=self._roll.choices,
            sure=self._clock.synced(),
        )
        if state != self.state:
            self.state = state
            for on_state, _ in list(self._listeners):
                on_state(state)

    def _with_notices(self, down: int) -> LinkStatus:
        """The line's status, with what else needs a human; trouble with the line goes first."""
        link = self.link
        # What the hub keeps apart is among the review items, once those have been counted.
        apart = link.quarantined if self.review is None else self.review
        attention = link.attention + apart + self.notices + down
        calm = (LinkState.ONLINE, LinkState.SYNCING)
        state = LinkState.ATTENTION if attention and link.state in calm else link.state
        return replace(link, attention=attention, state=state)

    def _shown(self, kind: OutcomeKind, *, offered: bool) -> float:
        if offered:
            return self._settings.offer_shown
        success = kind in (OutcomeKind.ACCEPTED, OutcomeKind.ALREADY_IN)
        return self._settings.success_shown if success else self._settings.refusal_shown

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
