"""A clock that tests own, and a store to go with it."""

from __future__ import annotations

from kiosk.clock import NS

NOON = 1_763_726_400 * NS  # 2025-11-21 12:00:00 UTC


class FakeClock:
    """All of kiosk.clock.Clock, standing still until told to move."""

    def __init__(self, wall: int = NOON, boot: str = "boot-a") -> None:
        self.boot = boot
        self._wall = wall
        self._ticks = 1_000 * NS
        self.is_synced = True

    def wall(self) -> int:
        return self._wall

    def ticks(self) -> int:
        return self._ticks

    def monotonic(self) -> float:
        return self._ticks / NS

    def synced(self) -> bool:
        return self.is_synced

    def advance(self, seconds: float) -> None:
        self._wall += int(seconds * NS)
        self._ticks += int(seconds * NS)

    def set_wall(self, wall: int) -> None:
        self._wall = wall
