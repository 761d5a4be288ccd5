"""Whose finger is in which slot of which sensor, as it was last read from the records."""

from __future__ import annotations

import logging
import sqlite3
from typing import TYPE_CHECKING

from kiosk.store import StoreError

if TYPE_CHECKING:
    from kiosk.store import Store

_LOG = logging.getLogger(__name__)


class Owners:
    """Names for slots; only active ones have one. `reload` it before any finger found since."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._slots: dict[tuple[str, int], str] = {}
        self.stale = False  # whether the last `reload` failed

    def reload(self) -> None:
        """Read anew who is where; if that fails nobody is named until it succeeds."""
        try:
            slots = self._store.slots()
            self._slots = {(s.sensor, s.slot): s.person for s in slots if s.status == "active"}
            self.stale = False
        except (StoreError, sqlite3.Error) as error:
            # What was true before may name somebody else by now.
            _LOG.error("whose finger is in which slot cannot be read yet: %s", error)
            self._slots, self.stale = {}, True

    def of(self, sensor: str, slot: int) -> str:
        """The person's id, empty for a slot that is nobody's."""
        return self._slots.get((sensor, slot), "")
