"""Letting go of the templates of people who have not come for a long time."""

from __future__ import annotations

import logging
import sqlite3
from typing import TYPE_CHECKING

from kiosk.clock import EARLIEST, NS, HubClock
from kiosk.errors import KioskError
from kiosk.glance import glance
from kiosk.revocation import ordered

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from kiosk.clock import Clock
    from kiosk.store import Draft, Store

_LOG = logging.getLogger(__name__)
_DAY = 86_400
# What came in elsewhere while this kiosk was off must have been heard of first.
_SETTLED = 3600.0


class Retention:
    """Asks once a day whose templates nobody has needed for `days`; 0 days for never.

    Only where the hub was heard within the last day of this boot: its time is believed, the
    machine's is not, and whoever comes in elsewhere is known here. The first look is an hour after
    the start.
    """

    def __init__(self, path: Path, store: Store, clock: Clock, days: int) -> None:
        """`path` is the kiosk's database, which is looked at through a connection of its own."""
        self._path = path
        self._store = store
        self._clock = clock
        self._days = days
        self._next = clock.monotonic() + _SETTLED

    def orders(self, held: Collection[str]) -> list[Draft]:
        """What to record so that the overdue of `held` (ids) are destroyed everywhere.

        Reads the disk when a look is due. What goes wrong is logged, and tried the next day.
        """
        if not self._days or self._clock.monotonic() < self._next:
            return []
        self._next = self._clock.monotonic() + _DAY
        try:
            people = self._overdue(held)
        except (KioskError, sqlite3.Error) as error:
            _LOG.warning("who has not come for long cannot be told: %s", error)
            return []
        if people:
            _LOG.info("%d people have not come for %d days", len(people), self._days)
        return [ordered(person, reason="retention") for person in people]

    def _overdue(self, held: Collection[str]) -> list[str]:
        if (now := self._now()) is None:
            return []
        with glance(self._path) as records:
            seen = records.last_heard_of()
        before = now - self._days * _DAY * NS
        # Of whom nothing is known but by a clock that was wrong, nothing is known.
        return [person for person in sorted(held) if EARLIEST <= seen.get(person, 0) < before]

    def _now(self) -> int | None:
        anchors = self._store.anchors()
        since = self._clock.ticks() - _DAY * NS
        if not any(a.boot == self._clock.boot and a.ticks >= since for a in anchors):
            return None
        clock = HubClock(self._clock)
        clock.learn(anchors)
        return clock.wall()
