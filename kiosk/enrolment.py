"""Enrolling a finger: consent on record first, the slot table around the sensor's work."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from drivers import changes
from drivers.changes import Placed
from drivers.enrolment import EnrolmentTiming, Step
from drivers.errors import (
    AlreadyEnrolled,
    EnrolmentUnverified,
    EnrolMismatch,
    ImageQuality,
    LibraryFull,
    SensorError,
)
from drivers.library import free_slot, used_slots
from drivers.reconcile import reconcile
from drivers.slots import SlotState
from kiosk.cache import Shelf, last_seen, make_room
from kiosk.consent import (
    NoConsentError,
    has_consent,
    record_consent,
)
from kiosk.errors import KioskError
from kiosk.model import Author, Kind, Person
from kiosk.provision import back_up
from kiosk.slots import StoredSlots
from kiosk.store import Draft, Store, StoreError
from kiosk.vault import VaultError

if TYPE_CHECKING:
    from collections.abc import Callable

    from drivers.slots import SlotTable
    from drivers.zfm import ZfmSensor
    from kiosk.clock import Clock
    from kiosk.templates import TemplateStore

__all__ = [
    "SENTENCES",
    "EnrolledFinger",
    "FailureToEnrolError",
    "KnownFingerError",
    "NoConsentError",
    "Whose",
    "enrol",
    "has_consent",
    "record_consent",
]

_LOG = logging.getLogger(__name__)
SENTENCES = {
    Step.PLACE: "Place the finger on the reader.",
    Step.LIFT: "Lift the finger.",
    Step.PLACE_AGAIN: "Place the same finger again.",
    Step.VERIFY: "Once more, to be sure that it is found.",
    Step.DRY: "Too dry: rub the fingertip on the palm and place it again.",
    Step.WET: "Too wet: dry the finger and place it again.",
    Step.SMUDGED: "Not clear: wipe the reader and place the finger again.",
    Step.PARTIAL: "Only a part was seen: place the finger flat and in the middle.",
    Step.LIFTED: "Lifted too soon: leave the finger on until told.",
}
_KIOSK = Author("kiosk")
# Two, of different hands: a cut or a plaster then locks nobody out.
ADVISED = 2
_SECOND = "Enrol a finger of the other hand as well: a cut or a plaster then locks nobody out."

_COPY = 'No copy of it could be kept ({}); once that is mended, use "kiosk sensor backup".'


class Whose(StrEnum):
    """Whose finger it is that is in the reader already."""

    OWN = "own"
    OTHER = "other"
    NOBODY = "nobody"


_KNOWN = {
    Whose.OWN: "this finger is enrolled for this person already; nothing was changed."
    " Use a finger of the other hand for a second one",
    Whose.OTHER: "this finger is enrolled for somebody else. If that is wrong, revoke it there"
    ' ("kiosk sensor list" shows whose slot {slot} is), then enrol it here',
    Whose.NOBODY: "the reader knows this finger from before, in slot {slot}, which is nobody's on"
    ' record and names nobody. Clear it with "kiosk sensor clear {slot}", then enrol the finger',
}


class KnownFingerError(KioskError):
    """The finger is in the reader already, in `slot`; says whether it is theirs, and no name."""

    def __init__(self, slot: int, whose: Whose) -> None:
        self.slot = slot
        self.whose = whose
        super().__init__(_KNOWN[whose].format(slot=slot))


class FailureToEnrolError(KioskError):
    """No template could be made of this finger (ISO/IEC 2382-37: failure to enrol).

    `cause` is what the reader said last. The person needs another finger or another way in.
    """

    def __init__(self, cause: SensorError) -> None:
        self.cause = cause
        super().__init__(
            f"{cause.sentence} {cause.advice} Some fingers cannot be read well, and that is"
            " nobody's fault: try another one, or use a badge or a code, which count just the same."
        )


@dataclass(frozen=True, slots=True)
class EnrolledFinger(Placed):
    """A finger that is stored, found again and on record; `fingers` of the person's now are.

    `uncopied` says why no copy of it could be kept, where one was to be.
    """

    fingers: int = 1
    uncopied: str = ""

    @property
    def advice(self) -> str:
        """What to do next, in words; "" if the person has fingers enough, and all is kept."""
        copy = _COPY.format(self.uncopied) if self.uncopied else ""
        return " ".join(filter(None, (copy, _SECOND if self.fingers < ADVISED else "")))


def enrol(
    store: Store,
    clock: Clock,
    sensor: ZfmSensor,
    person: Person,
    prompt: Callable[[Step], None],
    timing: EnrolmentTiming | None = None,
    templates: TemplateStore | None = None,
    *,
    by: Author = _KIOSK,
) -> EnrolledFinger:
    """Two placements, store, and a third that must find that slot; consent must be on record.

    `templates` are the kept ones, if backup is switched on: the new one is copied to them, and in
    a full sensor the one of the kept who came in least recently makes room. The sensor's
    library is held against the records first. A crash at any point leaves a slot that never names
    anybody and is settled at the next start. `prompt` may raise to give up. Raises
    `NoConsentError`, `KnownFingerError`, `FailureToEnrolError`, a SensorError, a `StoreError`, or
    before anything is captured a `VaultError`.
    """
    if not has_consent(store, person.id):
        raise NoConsentError(f"no consent of {person.id} is on record; nothing was captured")
    table = StoredSlots(store, clock)
    reconcile(sensor, table)
    if templates is not None:
        templates.check()
        _see_to_room(store, clock, sensor, templates)
    placed = _place(sensor, table, person.id, prompt, timing)
    data = {"sensor": placed.sensor, "slot": placed.slot}
    store.record(Draft(Kind.ENROLLED, person=person.id, by=by, data=data)).result()
    uncopied = _copied(sensor, table, templates, placed.slot) if templates is not None else ""
    fingers = sum(
        (entry.owner, entry.state) == (person.id, SlotState.ACTIVE)
        for entry in table.entries(placed.sensor).values()
    )
    return EnrolledFinger(
        placed.sensor, placed.slot, placed.digest, placed.score, fingers, uncopied
    )


def _copied(sensor: ZfmSensor, table: SlotTable, templates: TemplateStore, slot: int) -> str:
    """Why the template could not be copied; "" if it was. The finger is enrolled all the same."""
    try:
        back_up(sensor, table, templates, slot)
    except (VaultError, StoreError) as error:
        _LOG.error("an enrolled template could not be copied: %s", error)
        return str(error)
    return ""


def _place(
    sensor: ZfmSensor,
    table: SlotTable,
    person: str,
    prompt: Callable[[Step], None],
    timing: EnrolmentTiming | None,
) -> Placed:
    try:
        return changes.enrol(sensor, table, person, prompt, timing)
    except AlreadyEnrolled as known:
        raise KnownFingerError(known.slot, _whose(table, known.slot, person)) from known
    except (ImageQuality, EnrolMismatch, EnrolmentUnverified) as failure:
        raise FailureToEnrolError(failure) from failure


def _whose(table: SlotTable, slot: int, person: str) -> Whose:
    bound = table.binding()
    entry = table.entries(bound.sensor).get(slot) if bound is not None else None
    if entry is None or entry.state is not SlotState.ACTIVE:
        return Whose.NOBODY
    return Whose.OWN if entry.owner == person else Whose.OTHER


def _see_to_room(store: Store, clock: Clock, sensor: ZfmSensor, templates: TemplateStore) -> None:
    table = StoredSlots(store, clock)
    bound = table.binding()
    entries = table.entries(bound.sensor) if bound is not None else {}
    try:
        free_slot(used_slots(sensor), entries, sensor.capacity)
    except LibraryFull:
        if not make_room(sensor, table, Shelf(templates), last_seen(store, clock.wall())):
            raise
