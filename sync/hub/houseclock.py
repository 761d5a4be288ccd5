"""The hub's own time: the kernel's while that is synchronised, else what staff confirmed.

A hub, too, may be a machine without a battery clock. Its word is what all kiosks are set right by,
so it gives none that nobody stands behind.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import msgspec

from kiosk.clock import Anchor
from kiosk.model import UNREADABLE

if TYPE_CHECKING:
    from kiosk.clock import Clock

_LOG = logging.getLogger(__name__)


class HouseClock:
    """A machine's clocks, of which staff may have said what time it is. Safe for any thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._said: Anchor | None = None
        self.boot = clock.boot

    def confirm(self, wall: int) -> str:
        """Staff say that it is `wall` (UTC ns) now; a note for `learn`."""
        self._said = Anchor(self.boot, self._clock.ticks(), wall, 0)
        return msgspec.json.encode(self._said).decode()

    def learn(self, note: str) -> None:
        """Take up what was confirmed before, if that was in this boot: no other can be trusted."""
        try:
            said = msgspec.json.decode(note, type=Anchor) if note else None
        except (*UNREADABLE, TypeError):
            _LOG.warning("what was kept of a confirmed time cannot be read")
            return
        if said is not None and said.boot == self.boot:
            self._said = said

    def wall(self) -> int:
        said = self._said
        if said is None or self._clock.synced():
            return self._clock.wall()
        return said.hub + self._clock.ticks() - said.ticks

    def synced(self) -> bool:
        return self._said is not None or self._clock.synced()

    def ticks(self) -> int:
        return self._clock.ticks()

    def monotonic(self) -> float:
        return self._clock.monotonic()
