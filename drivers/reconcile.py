"""The sensor's library held against the records: what is whose, and when to close the door.

At start and after every reconnect nothing is taken on trust. The stamp says which sensor this is
and how often its library has changed; index and count say which slots are used; the table says
whose they are. What does not fit is quarantined, reported missing, or closes identification.
"""

from __future__ import annotations

import logging
import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from drivers import codes
from drivers.errors import FlashError, LibraryMismatch, SensorIdentityMismatch
from drivers.library import Stamp, clear_stamp, fresh_stamp, look_at, used_slots, write_stamp
from drivers.slots import UNFINISHED, Binding, Entry, SlotState
from drivers.templates import has_digest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from drivers.errors import Mismatch
    from drivers.slots import SlotTable
    from drivers.zfm import ZfmSensor

_LOG = logging.getLogger(__name__)
# How many templates a sensor without a stamp must show to be believed.
_SAMPLES = 3


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What a library holds, by slot; `trusted` if its count and its index agree."""

    stamp: Stamp
    capacity: int
    active: frozenset[int]
    quarantined: frozenset[int]
    missing: frozenset[int]
    unfinished: frozenset[int]
    trusted: bool

    @property
    def used(self) -> int:
        """Slots that hold a template."""
        return len(self.active) + len(self.quarantined)

    @property
    def free(self) -> int:
        """Slots that can still be enrolled into."""
        return max(0, self.capacity - self.used - len(self.missing) - len(self.unfinished))

    @property
    def fill(self) -> float:
        """0 for an empty library to 1 for a full one."""
        return 1 - self.free / self.capacity


def reconcile(sensor: ZfmSensor, table: SlotTable) -> Reconciled:
    """Settle what a crash left unfinished and hold index, count and stamp against the table.

    A table bound to no sensor is bound to this one, unless it holds templates under a stranger's
    stamp. Raises SensorIdentityMismatch if this is not the sensor, or not the state of it, that
    the table speaks of (nothing is changed then), LibraryMismatch for a stamp that cannot be read,
    or a transport or protocol error.
    """
    stamp, used = look_at(sensor), used_slots(sensor)
    bound = table.binding()
    if bound is None:
        bound = _bind_first(sensor, table, stamp, bool(used))
    else:
        check_identity(stamp, bound, unfinished=_any_unfinished(table, bound))
    if bound.weak:
        _check_weak(sensor, table.entries(bound.sensor), used)
    if settle(sensor, table) or stamp is None:
        return _compare(sensor, table)
    return _compare(sensor, table, stamp, used)


def check_identity(stamp: Stamp | None, bound: Binding, *, unfinished: bool) -> None:
    """Raise SensorIdentityMismatch unless the stamp is the bound sensor's, of this generation.

    One generation ahead is what a crash between sensor and table leaves, if a change is unfinished.
    """
    if stamp is None:
        raise _mismatch("blank", bound, "")
    if stamp.sensor != bound.sensor:
        raise _mismatch("foreign", bound, stamp.sensor)
    if stamp.weak:
        return
    ahead = stamp.generation - bound.generation
    if ahead < 0:
        raise _mismatch("behind", bound, stamp.sensor)
    if ahead > int(unfinished):
        raise _mismatch("ahead", bound, stamp.sensor)


def settle(sensor: ZfmSensor, table: SlotTable) -> bool:
    """Finish every deletion and take back every enrolment that was begun; whether there was any.

    Only for the bound sensor: look at its stamp before. What the sensor does not let go of stays
    unfinished, and so never names anybody.
    """
    bound = table.binding()
    if bound is None:
        return False
    entries = table.entries(bound.sensor).values()
    left = [entry for entry in entries if entry.state in UNFINISHED]
    gone = [entry for entry in left if _remove(sensor, entry, weak=bound.weak)]
    for entry in left:
        if entry not in gone and bound.weak:
            table.put(bound.sensor, Entry(entry.slot, SlotState.QUARANTINED))
    if not gone:
        return bool(left)
    generation = advance(sensor, bound)
    for entry in gone:
        if entry.state is SlotState.PENDING and entry.digest:
            table.put(bound.sensor, replace(entry, state=SlotState.MISSING), generation)
        else:
            table.drop(bound.sensor, entry.slot, generation)
    return True


def advance(sensor: ZfmSensor, bound: Binding) -> int:
    """Stamp the sensor with the generation after the table's, unless it has it; that number."""
    generation = bound.generation + 1
    if not bound.weak and look_at(sensor) != Stamp(bound.sensor, generation):
        write_stamp(sensor, Stamp(bound.sensor, generation))
    return generation


def adopt(
    sensor: ZfmSensor, table: SlotTable, progress: Callable[[int, int], None] = lambda _, __: None
) -> Reconciled:
    """Bind this sensor as it is: an administrator's answer to a mismatch.

    Slots whose template has the digest on record for this very sensor keep their owners, all
    others are quarantined. Reads one template per recorded slot; `progress` gets (done, of).
    """
    try:
        stamp = look_at(sensor) or fresh_stamp()
    except LibraryMismatch:
        stamp = fresh_stamp()
    used, entries = used_slots(sensor), dict(table.entries(stamp.sensor))
    for done, slot in enumerate(sorted(used)):
        entry = entries.get(slot)
        if entry is not None and entry.state is not SlotState.QUARANTINED:
            _judge(sensor, table, stamp.sensor, entry)
        progress(done + 1, len(used))
    bound = table.binding()
    known = bound.generation if bound is not None and bound.sensor == stamp.sensor else 0
    generation = max(stamp.generation, known) + 1
    if not stamp.weak:
        write_stamp(sensor, replace(stamp, generation=generation))
    table.bind(Binding(stamp.sensor, generation, stamp.weak))
    settle(sensor, table)
    return _compare(sensor, table)


def wipe(sensor: ZfmSensor, table: SlotTable) -> Reconciled:
    """Empty this sensor and bind it: an administrator's other answer to a mismatch.

    The bound sensor keeps its identity, and its people become `MISSING`; any other sensor gets a
    new one. Raises FlashError if templates are left.
    """
    bound = table.binding()
    try:
        stamp = look_at(sensor)
    except LibraryMismatch:
        stamp = None
    ours = stamp is not None and (stamp.weak or (bound and bound.sensor == stamp.sensor))
    if stamp is not None and ours:
        for entry in table.entries(stamp.sensor).values():
            if entry.state is SlotState.ACTIVE:
                table.put(stamp.sensor, replace(entry, state=SlotState.MISSING))
    _empty(sensor)
    if not ours:
        write_stamp(sensor, fresh_stamp())
    return adopt(sensor, table)


def decommission(sensor: ZfmSensor) -> None:
    """Empty the library, verify that it is empty, and clear the stamp; raises FlashError."""
    _empty(sensor)
    stamp = look_at(sensor)
    if stamp is None or not stamp.weak:
        clear_stamp(sensor)


# -- the parts -------------------------------------------------------------------------------------


def _bind_first(sensor: ZfmSensor, table: SlotTable, stamp: Stamp | None, used: bool) -> Binding:  # noqa: FBT001 - one of four plain facts
    if stamp is None:
        stamp = fresh_stamp()
        write_stamp(sensor, stamp)
    elif used and not table.entries(stamp.sensor):
        raise _mismatch("foreign", Binding(""), stamp.sensor)
    bound = Binding(stamp.sensor, stamp.generation, stamp.weak)
    table.bind(bound)
    return bound


def _any_unfinished(table: SlotTable, bound: Binding) -> bool:
    return any(entry.state in UNFINISHED for entry in table.entries(bound.sensor).values())


def _check_weak(sensor: ZfmSensor, entries: Mapping[int, Entry], used: frozenset[int]) -> None:
    """Without a stamp the library must be the one on record: its index, and some templates."""
    certain = {SlotState.ACTIVE, SlotState.QUARANTINED}
    expected = {slot for slot, entry in entries.items() if entry.state in certain}
    either = entries.keys() - expected
    if used - either != expected:
        raise SensorIdentityMismatch("weak", "the sensor's used slots are not those on record")
    known = [entry for slot, entry in entries.items() if slot in expected and entry.digest]
    for entry in random.sample(known, min(_SAMPLES, len(known))):
        if not has_digest(sensor, entry.slot, entry.digest):
            raise SensorIdentityMismatch("weak", f"slot {entry.slot} holds another template")


def _compare(
    sensor: ZfmSensor,
    table: SlotTable,
    stamp: Stamp | None = None,
    used: frozenset[int] | None = None,
) -> Reconciled:
    """Bring the entries in line with the index; the table is bound to this sensor."""
    stamp = stamp or look_at(sensor)
    if stamp is None:
        raise LibraryMismatch("the sensor has lost its stamp")
    used, trusted = _index_and_count(sensor, used)
    entries = table.entries(stamp.sensor)
    for slot in used - entries.keys():
        _LOG.warning("slot %d holds a template that is nobody's: quarantined", slot)
        table.put(stamp.sensor, Entry(slot, SlotState.QUARANTINED))
    for slot, entry in dict(entries).items():
        if slot in used:
            if entry.state is SlotState.MISSING:
                _judge(sensor, table, stamp.sensor, entry)
        elif entry.state is SlotState.ACTIVE:
            _LOG.warning("slot %d has lost its template", slot)
            table.put(stamp.sensor, replace(entry, state=SlotState.MISSING))
        elif entry.state is SlotState.QUARANTINED:
            table.drop(stamp.sensor, slot)
    return _summary(sensor, table, stamp, trusted)


def _summary(sensor: ZfmSensor, table: SlotTable, stamp: Stamp, trusted: bool) -> Reconciled:  # noqa: FBT001 - a fact, not a switch
    entries = table.entries(stamp.sensor).values()

    def slots(*states: SlotState) -> frozenset[int]:
        return frozenset(entry.slot for entry in entries if entry.state in states)

    return Reconciled(
        stamp,
        sensor.capacity,
        active=slots(SlotState.ACTIVE),
        quarantined=slots(SlotState.QUARANTINED),
        missing=slots(SlotState.MISSING),
        unfinished=slots(*UNFINISHED),
        trusted=trusted,
    )


def _index_and_count(sensor: ZfmSensor, used: frozenset[int] | None) -> tuple[frozenset[int], bool]:
    used = used_slots(sensor) if used is None else used
    if (count := sensor.getTemplateCount()) == len(used):
        return used, True
    _LOG.warning("the sensor counts %d templates and shows %d", count, len(used))
    used = used_slots(sensor)
    return used, sensor.getTemplateCount() == len(used)


def _judge(sensor: ZfmSensor, table: SlotTable, uuid: str, entry: Entry) -> None:
    """Believe a used slot's entry only if the template has the digest on record."""
    if not entry.digest or not has_digest(sensor, entry.slot, entry.digest):
        _LOG.warning("slot %d does not hold the template on record: quarantined", entry.slot)
        table.put(uuid, Entry(entry.slot, SlotState.QUARANTINED))
    elif entry.state is SlotState.MISSING:
        table.put(uuid, replace(entry, state=SlotState.ACTIVE))


def _remove(sensor: ZfmSensor, entry: Entry, *, weak: bool) -> bool:
    """Empty an unfinished entry's slot; whether it is empty. On a weak sensor only what is ours."""
    if not sensor.holds(entry.slot):
        return True
    if weak and not (entry.digest and has_digest(sensor, entry.slot, entry.digest)):
        return False
    sensor.deleteTemplate(entry.slot)
    return not sensor.holds(entry.slot)


def _empty(sensor: ZfmSensor) -> None:
    if not sensor.clearDatabase() or used_slots(sensor) or sensor.getTemplateCount():
        raise FlashError(codes.CLEAR_FAILED, "templates are left after Empty")


def _mismatch(why: Mismatch, bound: Binding, found: str) -> SensorIdentityMismatch:
    said = {
        "blank": "the sensor bears no stamp",
        "foreign": f"the sensor is {found}",
        "behind": "the sensor's library is older than the records",
        "ahead": "the sensor's library is newer than the records",
    }
    return SensorIdentityMismatch(
        why, f"{said[why]}; bound is {bound.sensor or 'none'}", found, bound.sensor
    )
