"""The roster loader: brings the open session's people into the sensor while nobody is at it."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from drivers.errors import SensorError
from drivers.events import FingerDown, FingerStuck, Lifted, SensorDown, SensorUp
from kiosk.cache import CachePlan, Shelf, begin_cache, cache_state, last_seen, plan_cache
from kiosk.consent import has_consent
from kiosk.errors import KioskError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from drivers.events import ReaderEvent
    from drivers.zfm import ZfmSensor
    from kiosk.clock import Clock
    from kiosk.slots import StoredSlots
    from kiosk.store import Store
    from kiosk.templates import TemplateStore

_LOG = logging.getLogger(__name__)
QUIET = 1.0


class RosterLoader:
    """A thread that asks for one change after the other, each when the door has been quiet.

    `change` makes one for the people it is given, and says whether there may be more to do. It
    waits for its turn on the sensor's thread, so that the glass is looked at between any two.
    """

    def __init__(self, change: Callable[[Collection[str]], bool], quiet: float = QUIET) -> None:
        self._change = change
        self._quiet = quiet
        self._wake = threading.Condition()
        self._roster: Callable[[], Collection[str]] = tuple
        self._due = self._finger = self._stopping = False
        self._heard_at = 0.0
        self._thread = threading.Thread(target=self._run, name="roster", daemon=True)

    def start(self) -> None:
        """Begin; nothing is done before `load`."""
        self._thread.start()

    def end(self) -> None:
        """Ask for no further change; `join` after the sensor was stopped."""
        with self._wake:
            self._stopping = True
            self._wake.notify_all()

    def join(self) -> None:
        """Wait for the change in hand; safe to call twice, and without `start`."""
        if self._thread.ident is not None:
            self._thread.join()

    def load(self, roster: Callable[[], Collection[str]]) -> None:
        """Have these people in the sensor; `roster` is called on this thread whenever it is due."""
        with self._wake:
            self._roster = roster
        self.look_again()

    def look_again(self) -> None:
        """Something may have changed: plan anew."""
        with self._wake:
            self._due = True
            self._wake.notify_all()

    def heard(self, event: ReaderEvent) -> None:
        """Every event of the reader, to know when somebody is at the door; from its thread."""
        with self._wake:
            self._heard_at = time.monotonic()
            match event:
                case FingerDown():
                    self._finger = True
                case Lifted() | SensorUp() | SensorDown() | FingerStuck():
                    self._finger = False
            self._wake.notify_all()
        if isinstance(event, SensorUp):
            self.look_again()

    def _run(self) -> None:
        while self._wait_until_due():
            try:
                self._drive()
            except (SensorError, KioskError) as error:
                _LOG.warning("the roster is not in the sensor yet: %s", error)
            except Exception:  # noqa: BLE001 - the door works without; the next call tries again
                _LOG.exception("the roster loader stumbled")

    def _wait_until_due(self) -> bool:
        with self._wake:
            self._wake.wait_for(lambda: self._due or self._stopping)
            self._due = False
            return not self._stopping

    def _drive(self) -> None:
        with self._wake:
            roster = self._roster
        people = roster()
        while self._wait_until_quiet() and self._change(people):
            pass

    def _wait_until_quiet(self) -> bool:
        """Whether to go on: False when there is a newer roster, or an end."""
        with self._wake:
            while not (self._stopping or self._due):
                left = self._heard_at + self._quiet - time.monotonic()
                if left <= 0 and not self._finger:
                    return True
                self._wake.wait(left if left > 0 else None)
            return False


class SensorCache:
    """The sensor's library as a cache of the kept templates, changed one step at a time."""

    def __init__(
        self, store: Store, clock: Clock, table: StoredSlots, templates: TemplateStore
    ) -> None:
        self._store = store
        self._clock = clock
        self._table = table
        self._shelf = Shelf(templates)
        self._used: dict[str, int] = {}
        self._left: set[str] = set()

    def loadable(self, people: Collection[str]) -> frozenset[str]:
        """Those who are known here and agree to their template's being kept; begins a new plan."""
        self._left.clear()
        self._used = last_seen(self._store, self._clock.wall())
        known = {person.id for person in self._store.people() if person.active}
        return frozenset(p for p in people if p in known and has_consent(self._store, p))

    def change(self, sensor: ZfmSensor, people: Collection[str]) -> bool:
        """Bring the sensor one change nearer to holding `people`; False if nothing is left to do.

        Whoever could not be moved, for a reason that is logged, is left out until the next plan.
        Raises SensorError, `VaultError` or `StoreError`.
        """
        state = cache_state(sensor, self._table, self._shelf, self._used)
        enrolled = {p: holder for p, holder in state.enrolled.items() if p not in self._left}
        plan = plan_cache(people, enrolled, state.capacity, state.in_sensor)
        done = begin_cache(plan, sensor, self._table, self._shelf)
        self._left.update(done.left)
        return plan != CachePlan()
