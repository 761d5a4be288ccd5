"""How long the line waits for what, and how it spreads its tries over time."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sync.protocol import MAX_BATCH

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Pacing:
    """Seconds, unless said otherwise."""

    first_retry: float = 0.5  # the longest first wait before trying again
    last_retry: float = 60.0  # the longest wait ever
    refused_retry: float = 30.0  # the shortest wait where only a human can help
    proven: float = 30.0  # a connection that lived so long starts the waits anew
    connect: float = 10.0
    greeting: float = 10.0
    ack: float = 30.0  # a hub that answers no push for so long is given up
    ping: float = 20.0
    sweep: float = 5.0  # how often a filled outbox is looked at even if nobody calls
    batch: int = MAX_BATCH  # events in one push
    answer: float = (
        10.0  # a page that is owed for so long holds up no other room; it is asked again
    )
    pages: int = 8  # of a catch-up that may come before it is asked on
    slice: int = 50  # remote events applied at once
    pause: float = 0.002  # between two slices, so that the screen gets its turn
    silence: float = 25.0  # of an event stream, whose hub gives a sign of life every 10
    poll_wait: float = 20.0  # how long the hub may wait with its answer to a poll
    poll_pause: float = 0.2  # between two polls
    climb: float = 5.0  # before a better transport is tried again, doubled each time
    last_climb: float = 600.0
    cursor: float = 2.0  # how long a cursor that moved without events may wait to be saved


class Backoff:
    """Full jitter: each wait is drawn from nothing up to a ceiling that doubles each time."""

    def __init__(
        self, pacing: Pacing, draw: Callable[[float, float], float] = random.uniform
    ) -> None:
        self._pacing = pacing
        self.draw = draw
        self.attempt = 0

    def reset(self) -> None:
        """The connection has proven itself."""
        self.attempt = 0

    def wait(self, at_least: float = 0.0) -> float:
        """Seconds until the next try, counted as one more; never less than `at_least`."""
        # The exponent is capped, or a month offline would overflow a float.
        ceiling = self._pacing.first_retry * 2.0 ** min(self.attempt, 32)
        self.attempt += 1
        return at_least + self.draw(0.0, min(ceiling, self._pacing.last_retry))
