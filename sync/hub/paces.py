"""How fast a peer may speak: a bucket of tokens that fills by itself; pure."""

from __future__ import annotations


class Pace:
    """`most` at once, `rate` a second on average; times are seconds of any steady clock."""

    __slots__ = ("_left", "_most", "_rate", "_seen")

    def __init__(self, rate: float, most: float) -> None:
        self._rate = rate
        self._most = most
        self._left = most
        self._seen = 0.0

    def take(self, now: float, cost: float = 1.0) -> float:
        """Take so many tokens; the seconds to wait before acting on them, 0.0 if none."""
        self._left = min(self._most, self._left + (now - self._seen) * self._rate)
        self._seen = now
        self._left -= cost
        return -self._left / self._rate if self._left < 0 else 0.0
