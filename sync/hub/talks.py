"""The conversations of a hub that are open, each on a WebSocket of its own."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from sync.protocol import Close

if TYPE_CHECKING:
    from sync.hub.connection import Connection


class Talks:
    """Those that have begun and not ended, whether or not it is known yet whose they are."""

    def __init__(self) -> None:
        self._open: dict[Connection, None] = {}
        self._none = asyncio.Event()

    def __len__(self) -> int:
        return len(self._open)

    def add(self, one: Connection) -> None:
        """One more has begun."""
        self._open[one] = None
        self._none.clear()

    def discard(self, one: Connection) -> None:
        """It has ended."""
        self._open.pop(one, None)
        if not self._open:
            self._none.set()

    def tick(self, now: float) -> None:
        """Look after those that say nothing; for each second, the loop's."""
        for one in list(self._open):
            one.tick(now)

    async def hang_up(self, seconds: float) -> None:
        """End all of them; those that have not ended so many seconds later are cut off."""
        for one in list(self._open):
            one.close(Close.GOING_AWAY, "the hub is stopping")
        if self._open:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._none.wait(), seconds)
        for one in list(self._open):
            await one.cut_off()
