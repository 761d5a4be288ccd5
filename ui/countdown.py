"""Time left, as a share from 1 to 0, told ten times a second while it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QTimer, Signal

if TYPE_CHECKING:
    from kiosk.clock import Clock

_STEP_MS = 100


class Countdown(QObject):
    """Runs from 1 to 0 over some seconds of monotonic time, then says so once."""

    changed = Signal()
    ended = Signal()

    def __init__(self, clock: Clock, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._clock = clock
        self._started = 0.0
        self._seconds = 0.0
        self._timer = QTimer(self, interval=_STEP_MS)
        self._timer.timeout.connect(self._step)

    @property
    def left(self) -> float:
        """Share of the time that is left; 0 when nothing runs."""
        if not self._timer.isActive():
            return 0.0
        gone = self._clock.monotonic() - self._started
        return min(1.0, max(0.0, 1.0 - gone / self._seconds))

    def start(self, seconds: float) -> None:
        """Begin anew; ends after `seconds`, which must be more than 0."""
        self._started, self._seconds = self._clock.monotonic(), seconds
        self._timer.start()
        self.changed.emit()

    def stop(self) -> None:
        self._timer.stop()
        self.changed.emit()

    def _step(self) -> None:
        if self.left > 0.0:
            self.changed.emit()
            return
        self.stop()
        self.ended.emit()
