"""The alarm for events that a connected device should have brought long ago.

A device counts its events without a gap, and brings them in order. One that has been connected for
ten minutes and still leaves a place empty has lost what was there.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from sync.hub.frames import Parcel

if TYPE_CHECKING:
    from sync.hub.core import Core
    from sync.protocol import Gap

_LOG = logging.getLogger(__name__)

PATIENCE = 600.0  # seconds of connection


class Holes:
    """Looks now and then; what is missing now is in `core.missing`."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._since: dict[object, float] = {}
        self._told: dict[object, set[Gap]] = {}

    async def look(self, now: float) -> None:
        """Compare what the connected devices brought; a device is told once of each hole.

        Raises `sqlite3.Error`.
        """
        here = self._core.devices()
        self._since = {key: self._since.get(key, now) for key in here}
        self._told = {key: self._told.get(key, set()) for key in here}
        due = {key[0]: key for key in here if now - self._since[key] >= PATIENCE}
        missing = 0
        for device, gap in await self._core.pages.holes() if due else ():
            key = due.get(device)
            if key is None:
                continue
            missing += gap.missing
            if gap not in self._told[key]:
                self._told[key].add(gap)
                _LOG.warning(
                    "device %s never brought %d events behind %d", device, gap.missing, gap.after
                )
                here[key].write(Parcel(gap))
        self._core.missing = missing
