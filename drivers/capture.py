"""The capture cycle: idle, finger down, result, wait for lift; one step at a time."""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

from drivers.errors import ImageQuality
from drivers.events import CaptureFailed, FingerDown, FingerStuck, Lifted, Matched, NotMatched

if TYPE_CHECKING:
    from collections.abc import Callable

    from drivers.errors import Quality
    from drivers.events import ReaderEvent
    from drivers.zfm import ZfmSensor


@dataclass(frozen=True, slots=True)
class ReaderTiming:
    """Seconds, but for the counts.

    A finger counts as lifted after `lift_polls` looks without it over at least `lift_seconds`;
    `captures` is how many images of one touch may be bad before it is given up.
    """

    poll: float = 0.04
    captures: int = 2
    lift_polls: int = 3
    lift_seconds: float = 0.15
    stuck_after: float = 10.0
    stuck_poll: float = 0.25
    retry_first: float = 0.25
    retry_last: float = 5.0


class _State(Enum):
    IDLE = auto()
    FINGER_DOWN = auto()
    WAIT_FOR_LIFT = auto()


class CaptureCycle:
    """Looks at the glass once per `step` and emits what it sees.

    Image, features and search follow each other without anything between, because some modules
    lose the features when asked for another image. A finger that stays is reported once.
    """

    def __init__(
        self,
        sensor: ZfmSensor,
        identity: str,
        emit: Callable[[ReaderEvent], None],
        timing: ReaderTiming,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sensor = sensor
        self._identity = identity
        self._emit = emit
        self._timing = timing
        self._monotonic = monotonic
        self._state = _State.IDLE
        self._bad = 0
        self._misses = 0
        self._gone_since = 0.0
        self._down_since = 0.0
        self._stuck = self._silent = False

    def step(self) -> float:
        """Look once; how many seconds to wait before the next look. Raises SensorError."""
        try:
            present = self._sensor.readImage()
        except ImageQuality:
            # The module saw something, but got no image of it: neither a finger nor a free glass.
            self._misses = 0
            return self._timing.poll
        match self._state:
            case _State.IDLE if present:
                self._touched()
                self._read()
            case _State.FINGER_DOWN:
                self._read() if present else self._failed("lifted")
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
        self._misses, self._stuck = 0, False

    def _touched(self) -> None:
        self._state = _State.FINGER_DOWN
        self._down_since = self._monotonic()
        self._bad = 0
        self._silent = False
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
        self._result(Matched(self._identity, *found) if found else NotMatched())

    def _failed(self, quality: Quality) -> None:
        self._result(CaptureFailed(quality))

    def _result(self, event: ReaderEvent) -> None:
        self._state = _State.WAIT_FOR_LIFT
        self._misses, self._stuck = 0, False
        self._emit(event)

    def _still_there(self) -> None:
        self._misses = 0
        if not self._stuck and self._monotonic() - self._down_since >= self._timing.stuck_after:
            self._stuck = True
            self._emit(FingerStuck())

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
