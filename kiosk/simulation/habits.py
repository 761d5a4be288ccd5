"""What is special about a day: how kiosks sign in, how large pages are, what is let go of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sync.hub.pages import PAGE_EVENTS
from sync.protocol import MAX_BATCH

if TYPE_CHECKING:
    from random import Random


@dataclass(frozen=True, slots=True)
class Habits:
    """The ways of one day, which differ from day to day.

    `papers`: each kiosk was paired and has a token of its own, good for `token_life` seconds; else
    they share the hub's. `machines`: a kiosk tells its machine from others. `batch`, `page` and
    `pages` are how much travels at once, `slice` how much is applied at once: with few, so small a
    day has catch-ups of many pages.
    `keep` (seconds) is how long kiosks keep the events of a session that is over; None for longer
    than any day. `sessions` is how many there are an hour.
    """

    papers: bool
    machines: bool
    token_life: int
    batch: int
    page: int
    pages: int
    slice: int
    keep: float | None
    sessions: int

    @classmethod
    def drawn(cls, chance: Random) -> Habits:
        """Those of some day."""
        few = chance.random() < 0.4
        prunes = chance.random() < 0.25
        papers = chance.random() < 0.4
        return cls(
            papers=papers,
            # With a shared token, a disk that came from elsewhere waits for one of its own.
            machines=papers and chance.random() < 0.8,
            token_life=chance.choice((300, 900, 90 * 86_400)),
            batch=chance.choice((1, 2, 3)) if few else MAX_BATCH,
            page=chance.choice((1, 2, 3)) if few else PAGE_EVENTS,
            pages=chance.choice((1, 2)) if few else 8,
            slice=chance.choice((1, 2)) if few else 50,
            keep=chance.choice((30.0, 300.0)) if prunes else None,
            sessions=chance.choice((2, 3)) if prunes else chance.choice((1, 1, 2)),
        )
