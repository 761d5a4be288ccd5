"""Clocks as cheap machines have them: drifting, jumping, waking up in 1970."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kiosk.clock import NS

if TYPE_CHECKING:
    from kiosk.simulation.loop import VirtualLoop

EPOCH = 1_772_438_400 * NS  # true time at virtual second 0: 2026-03-02 08:00 UTC


class SimulatedClock:
    """All of `kiosk.clock.Clock`; what it says may be wrong, `truth` is not."""

    def __init__(self, loop: VirtualLoop, boot: str) -> None:
        self._loop = loop
        self._drift = 0.0
        self._offset = 0
        self.trusted = True
        self.boot = boot
        self._booted = loop.time()

    def truth(self) -> int:
        """What time it really is (UTC ns)."""
        return EPOCH + int(self._loop.time() * NS)

    def restart(self, boot: str, drift: float) -> None:
        """A new boot of the machine, whose oscillator is off by `drift` (1e-6 is 1 ppm)."""
        self.boot, self._drift, self._booted = boot, drift, self._loop.time()

    def jump(self, to: int) -> None:
        """Set the wall clock (UTC ns)."""
        self._offset += to - self.wall()

    def wall(self) -> int:
        return self.truth() + self._offset

    def ticks(self) -> int:
        since = self._loop.time() - self._booted
        return int(since * (1.0 + self._drift) * NS)

    def monotonic(self) -> float:
        return self._loop.time()

    def synced(self) -> bool:
        return self.trusted
