"""Doubts about a library that is in use: after a match, and one template at a time while idle."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from drivers.errors import SensorIdentityMismatch
from drivers.library import look_at
from drivers.reconcile import check_identity
from drivers.slots import Entry, SlotState
from drivers.templates import has_digest

if TYPE_CHECKING:
    from collections.abc import Callable

    from drivers.slots import SlotTable
    from drivers.zfm import ZfmSensor

_LOG = logging.getLogger(__name__)


class Policy(StrEnum):
    """What a template that is not the recorded one leads to; some modules alter them themselves."""

    OFF = "off"
    WARN = "warn"
    STRICT = "strict"  # it is quarantined


@dataclass(frozen=True, slots=True)
class Altered:
    """The template in `slot` is not the one on record for `owner`."""

    sensor: str
    slot: int
    owner: str


def same_sensor(sensor: ZfmSensor, identity: str, slot: int) -> bool:  # noqa: ARG001 - a Reader's `confirm`
    """Whether the stamp is still `identity`'s: the module may have been swapped behind its port.

    True or SensorIdentityMismatch; one notepad page on the wire (10 ms at 57,600 baud).
    """
    stamp = look_at(sensor)
    if stamp is None or stamp.sensor != identity:
        found = stamp.sensor if stamp else ""
        detail = "the sensor was exchanged while it was in use"
        raise SensorIdentityMismatch("foreign" if found else "blank", detail, found, identity)
    return True


class Guard:
    """A Reader's `confirm`, with the table: the slot is active on this very sensor and generation.

    Every `every`th match (0: none, 1: all) the matched template is also read and held against its
    digest; a weak sensor's always; with `once`, each slot's first match since `renew`. May be
    called from one thread only.
    """

    def __init__(self, table: SlotTable, every: int = 0, *, once: bool = False) -> None:
        self._table = table
        self._every = every
        self._once = once
        self._matches = 0
        self._held: set[int] = set()

    def renew(self) -> None:
        """Trust no slot any longer: the sensor was out of sight."""
        self._held.clear()

    def __call__(self, sensor: ZfmSensor, identity: str, slot: int) -> bool:
        """Raises SensorIdentityMismatch if this is not the bound sensor, or any SensorError."""
        bound = self._table.binding()
        if bound is None or bound.sensor != identity:
            raise SensorIdentityMismatch("foreign", "another sensor is bound now", identity)
        check_identity(look_at(sensor), bound, unfinished=False)
        entry = self._table.entries(identity).get(slot)
        if entry is None or entry.state is not SlotState.ACTIVE:
            _LOG.warning("a finger matched slot %d, which names nobody", slot)
            return False
        self._matches += 1
        due = bound.weak or (self._every > 0 and self._matches % self._every == 0)
        due = due or (self._once and slot not in self._held)
        if due and entry.digest and not has_digest(sensor, slot, entry.digest):
            _LOG.warning("a finger matched slot %d, whose template is not the one on record", slot)
            return False
        self._held.add(slot)
        return True


class Audit:
    """A Reader's idle work: one recorded template per call, round and round.

    `found` is told of each that differs twice; under `STRICT` it is quarantined as well.
    """

    def __init__(
        self,
        table: SlotTable,
        policy: Policy = Policy.WARN,
        found: Callable[[Altered], None] = lambda _: None,
    ) -> None:
        self._table = table
        self._policy = policy
        self._found = found
        self._last = -1

    def __call__(self, sensor: ZfmSensor) -> None:
        """Look at the next slot (about 0.1 s for 512 bytes at 57,600 baud); raises SensorError."""
        bound = self._table.binding()
        if self._policy is Policy.OFF or bound is None:
            return
        entries = self._table.entries(bound.sensor)
        known = sorted(
            slot for slot, e in entries.items() if e.digest and e.state is SlotState.ACTIVE
        )
        if not known:
            return
        self._last = next((slot for slot in known if slot > self._last), known[0])
        entry = entries[self._last]
        if not has_digest(sensor, entry.slot, entry.digest):
            self._report(bound.sensor, entry)

    def _report(self, uuid: str, entry: Entry) -> None:
        _LOG.warning("the template in slot %d is not the one on record", entry.slot)
        if self._policy is Policy.STRICT:
            self._table.put(uuid, Entry(entry.slot, SlotState.QUARANTINED))
        self._found(Altered(uuid, entry.slot, entry.owner))
