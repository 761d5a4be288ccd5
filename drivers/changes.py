"""Changes of the library that no crash leaves half done: enrol, delete, provision.

Sensor and table cannot commit together, so the table is told first what is going to happen, then
the sensor does it and gets the next generation, and only then does the table call it done.
Whatever is cut short in between is taken back, or finished, by `drivers.reconcile.settle`.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from drivers import codes
from drivers.enrolment import EnrolmentTiming, enrol_finger
from drivers.errors import (
    FlashError,
    SensorError,
    SensorIdentityMismatch,
    SlotInUse,
    TemplateNotFound,
)
from drivers.library import free_slot, look_at, used_slots
from drivers.reconcile import advance, check_identity, settle
from drivers.slots import Binding, Entry, SlotState
from drivers.templates import check_format, digest_of, write_template

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from drivers.enrolment import Step
    from drivers.slots import SlotTable
    from drivers.templates import Template
    from drivers.zfm import ZfmSensor


@dataclass(frozen=True, slots=True)
class Placed:
    """A template that is stored, found again and on record; `score` is None if none was taken."""

    sensor: str
    slot: int
    digest: str
    score: int | None = None


def enrol(
    sensor: ZfmSensor,
    table: SlotTable,
    owner: str,
    prompt: Callable[[Step], None],
    timing: EnrolmentTiming | None = None,
) -> Placed:
    """`enrol_finger` into a slot that sensor and table have free, on record for `owner`.

    Raises what `enrol_finger` does, LibraryFull, SensorIdentityMismatch, or what the table raises.
    Afterwards the finger is not enrolled, or what was begun is `PENDING` and taken back at the
    next start.
    """
    bound = _owned(sensor, table)
    slot = free_slot(used_slots(sensor), table.entries(bound.sensor), sensor.capacity)
    table.put(bound.sensor, Entry(slot, SlotState.PENDING, owner))
    with _taken_back(sensor, table):
        done = enrol_finger(sensor, slot, prompt, timing or EnrolmentTiming())
        digest = digest_of(sensor, slot)
        generation = advance(sensor, bound)
    table.put(bound.sensor, Entry(slot, SlotState.ACTIVE, owner, digest), generation)
    return Placed(bound.sensor, slot, digest, done.score)


def delete(sensor: ZfmSensor, table: SlotTable, slot: int) -> None:
    """Remove a template, from the sensor first; from the first step on it names nobody.

    Raises TemplateNotFound for a slot the table does not know, FlashError if the sensor does not
    let go of it (the entry stays `PENDING_DELETE`), SensorIdentityMismatch or another SensorError.
    """
    bound = _owned(sensor, table)
    entry = table.entries(bound.sensor).get(slot)
    if entry is None:
        raise TemplateNotFound(codes.TEMPLATE_INVALID, f"slot {slot} is nobody's")
    table.put(bound.sensor, replace(entry, state=SlotState.PENDING_DELETE))
    sensor.deleteTemplate(slot)
    settle(sensor, table)
    if slot in table.entries(bound.sensor):
        raise FlashError(codes.DELETE_FAILED, f"slot {slot} still holds its template")


def provision(
    sensor: ZfmSensor, table: SlotTable, owner: str, template: Template, slot: int | None = None
) -> Placed:
    """Store a template that was read from another sensor of this model, on record for `owner`.

    `slot` may name a `MISSING` one; else a free one is taken. Cut short, the entry is `MISSING`.
    Raises TemplateFormatMismatch, TemplateNotKept, SlotInUse, LibraryFull, SensorIdentityMismatch
    or another SensorError.
    """
    bound = _owned(sensor, table)
    check_format(sensor, template)
    entries = table.entries(bound.sensor)
    if slot is None:
        slot = free_slot(used_slots(sensor), entries, sensor.capacity)
    elif slot in entries and entries[slot].state is not SlotState.MISSING:
        raise SlotInUse(slot)
    table.put(bound.sensor, Entry(slot, SlotState.PENDING, owner, template.digest))
    with _taken_back(sensor, table):
        write_template(sensor, slot, template)
        generation = advance(sensor, bound)
    table.put(bound.sensor, Entry(slot, SlotState.ACTIVE, owner, template.digest), generation)
    return Placed(bound.sensor, slot, template.digest)


def _owned(sensor: ZfmSensor, table: SlotTable) -> Binding:
    """The binding, if it is of this very sensor and nothing is left unfinished."""
    if (bound := table.binding()) is None:
        raise SensorIdentityMismatch("foreign", "no sensor is bound")
    check_identity(look_at(sensor), bound, unfinished=True)
    settle(sensor, table)
    return table.binding() or bound


@contextlib.contextmanager
def _taken_back(sensor: ZfmSensor, table: SlotTable) -> Iterator[None]:
    try:
        yield
    except BaseException:
        # If the sensor is lost the entry stays unfinished, and the next start settles it.
        with contextlib.suppress(SensorError):
            settle(sensor, table)
        raise
