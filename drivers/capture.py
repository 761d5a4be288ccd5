"""The capture cycle: idle, finger down, result, wait for lift; one step at a time."""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

from drivers.errors import ImageQuality
from drivers.events import (
    CaptureFailed,
    FailedRepeatedly,
    FingerDown,
    FingerStuck,
    GlassDirty,
    Lifted,
    Matched,
    NotMatched,
    Repeated,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from drivers.errors import Quality
    from drivers.events import ReaderEvent
    from drivers.zfm import ZfmSensor

    Confirm = Callable[[ZfmSensor, str, int], bool]


@dataclass(frozen=True, slots=True)
class ReaderTiming:
    """Seconds, but for the counts.

    A finger counts as lifted after `lift_polls` looks without it over at least `lift_seconds`;
    `captures` is how many images of one touch may be bad before it is given up. A slot that
    matched is not reported as matched again for `cooldown`; `failures` fingers in a row, each
    within `failures_within` of the one before, are told of. `heartbeat` and `audit` are how often
    an idle sensor is asked who it is, and given idle work. A sensor that was up for less than
    `stable_after` does not count as recovered: pauses between attempts go on growing from
    `retry_first` to `retry_last` (`retry_missing` for an unplugged one), every `reset_after`th
    attempt begins with a reset, and after `give_up_after` the sensor is out of service, until an
    attempt succeeds.
    """

    poll: float = 0.04
    captures: int = 2
    lift_polls: int = 3
    lift_seconds: float = 0.15
    stuck_after: float = 10.0
    stuck_poll: float = 0.25
    cooldown: float = 0.0
    failures: int = 3
    failures_within: float = 60.0
    heartbeat: float = 30.0
    audit: float = 60.0
    retry_first: float = 0.25
    retry_last: float = 5.0
    retry_missing: float = 0.5
    stable_after: float = 5.0
    reset_after: int = 3
    give_up_after: int = 6


class _State(Enum):
    IDLE = auto()
    FINGER_DOWN = auto()
    WAIT_FOR_LIFT = auto()


class CaptureCycle:
    """Looks at the glass once per `step` and emits what it sees.

    Image, features and search follow each other without anything between, because some modules
    lose the features when asked for another image. A finger that stays is reported once. `confirm`
    says of a matched slot whether it may be told at all.
    """

    def __init__(
        self,
        sensor: ZfmSensor,
        identity: str,
        emit: Callable[[ReaderEvent], None],
        timing: ReaderTiming,
        monotonic: Callable[[], float] = time.monotonic,
        confirm: Confirm = lambda _, __, ___: True,
    ) -> None:
        self._sensor = sensor
        self._identity = identity
        self._emit = emit
        self._timing = timing
        self._confirm = confirm
        self._monotonic = monotonic
        self._state = _State.IDLE
        self._bad = 0
        self._misses = 0
        self._gone_since = 0.0
        self._down_since = 0.0
        self._blind_since: float | None = None
        self._failures = 0
        self._failed_at = 0.0
        self._told: dict[int, float] = {}
        self._stuck = self._silent = self._readable = False

    @property
    def idle(self) -> bool:
        """Whether nothing lies on the glass."""
        return self._state is _State.IDLE

    def step(self) -> float:
        """Look once; how many seconds to wait before the next look. Raises SensorError."""
        try:
            present = self._sensor.readImage()
        except ImageQuality:
            # The module saw something, but got no image of it: neither a finger nor a free glass.
            self._misses = 0
            return self._blind()
        self._blind_since = None
        match self._state:
            case _State.IDLE if present:
                self._touched()
                self._read()
            case _State.FINGER_DOWN:
                self._read() if present else self._failed("lifted")
            case _State.IDLE:
                self._stuck = False
            case _State.WAIT_FOR_LIFT:
                self._still_there() if present else self._missed()
        return self._timing.stuck_poll if self._stuck else self._timing.poll

    def expect_lift(self) -> None:
        """Something else has used the finger: whatever lies there now is not reported."""
        if self._state is _State.FINGER_DOWN:
            self._failed("lifted")
        self._silent = self._silent or self._state is _State.IDLE
        self._state = _State.WAIT_FOR_LIFT
        self._down_since = self._monotonic()
        self._readable = True
        self._misses, self._stuck = 0, False

    def _blind(self) -> float:
        now = self._monotonic()
        if self._blind_since is None:
            self._blind_since = now
        elif not self._stuck and now - self._blind_since >= self._timing.stuck_after:
            self._stuck = True
            self._emit(GlassDirty())
        return self._timing.stuck_poll if self._stuck else self._timing.poll

    def _touched(self) -> None:
        self._state = _State.FINGER_DOWN
        self._down_since = self._monotonic()
        self._bad = 0
        self._silent = self._readable = self._stuck = False
        self._emit(FingerDown())

    def _read(self) -> None:
        try:
            self._sensor.convertImage()
            found = self._sensor.find()
        except ImageQuality as bad:
            self._bad += 1
            if self._bad >= self._timing.captures:
                self._failed(bad.quality)
            return
        self._readable = True
        self._found(found)

    def _found(self, found: tuple[int, int] | None) -> None:
        if found is None:
            self._result(NotMatched())
        elif not self._confirm(self._sensor, self._identity, found[0]):
            self._result(NotMatched(refused=found[0]))
        elif self._told_lately(found[0]):
            self._result(Repeated(self._identity, found[0]))
        else:
            self._result(Matched(self._identity, *found))

    def _told_lately(self, slot: int) -> bool:
        now, cooldown = self._monotonic(), self._timing.cooldown
        if cooldown <= 0:
            return False
        self._told = {slot: at for slot, at in self._told.items() if now - at < cooldown}
        if slot in self._told:
            return True
        self._told[slot] = now
        return False

    def _failed(self, quality: Quality) -> None:
        self._result(CaptureFailed(quality))

    def _result(self, event: Matched | Repeated | NotMatched | CaptureFailed) -> None:
        self._state = _State.WAIT_FOR_LIFT
        self._misses, self._stuck = 0, False
        self._emit(event)
        self._count(well=isinstance(event, Matched | Repeated))

    def _count(self, *, well: bool) -> None:
        now = self._monotonic()
        if well or now - self._failed_at > self._timing.failures_within:
            self._failures = 0
        if well:
            return
        self._failures += 1
        self._failed_at = now
        if self._failures % self._timing.failures == 0:
            self._emit(FailedRepeatedly(self._failures))

    def _still_there(self) -> None:
        self._misses = 0
        if self._stuck and not self._readable:
            self._read_through_dirt()
        elif not self._stuck and (self._monotonic() - self._down_since >= self._timing.stuck_after):
            self._stuck = True
            self._emit(FingerStuck() if self._readable else GlassDirty())

    def _read_through_dirt(self) -> None:
        """A module that always sees something would never see a lift: a good image is a finger."""
        try:
            self._sensor.convertImage()
            found = self._sensor.find()
        except ImageQuality:
            return
        self._touched()
        self._readable = True
        self._found(found)

    def _missed(self) -> None:
        now = self._monotonic()
        if not self._misses:
            self._gone_since = now
        self._misses += 1
        over = now - self._gone_since
        if self._misses < self._timing.lift_polls or over < self._timing.lift_seconds:
            return
        self._state, self._stuck = _State.IDLE, False
        if not self._silent:
            self._emit(Lifted())
