"""Enrolling a finger: consent on record first, the slot table around the sensor's work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from drivers.enrolment import EnrolmentTiming, Step, enrol_finger
from drivers.errors import TransportError
from drivers.library import free_slot, identify_sensor, slot_in_use, used_slots
from kiosk.errors import KioskError
from kiosk.model import Author, Kind, Person
from kiosk.store import Draft, Slot, Store

if TYPE_CHECKING:
    from collections.abc import Callable

    from drivers.zfm import ZfmSensor
    from kiosk.clock import Clock

CONSENT_VERSION = "1"
CONSENT_QUESTION = (
    "May this kiosk keep a template of {name}'s fingerprint, on the reader only,"
    " to check {name} in? It is deleted on request, and a code works just as well."
)


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


class NoConsentError(KioskError):
    """The person said no; nothing was captured."""


@dataclass(frozen=True, slots=True)
class Enrolment:
    """Where the template went and how well the third placement matched it."""

    sensor: str
    slot: int
    score: int


def record_consent(store: Store, person: Person, language: str, *, given: bool) -> None:
    """Keep the answer as an event; raises `NoConsentError` after a no, `StoreError` if unsaved."""
    data = {
        "text": CONSENT_VERSION,
        "language": language,
        "answer": "yes" if given else "no",
    }
    by = Author("kiosk")
    store.record(Draft(Kind.CONSENT, person=person.id, by=by, data=data)).result()
    if not given:
        raise NoConsentError(f"no consent from {person.id}; nothing was captured")


def enrol(
    store: Store,
    clock: Clock,
    sensor: ZfmSensor,
    person: Person,
    prompt: Callable[[Step], None],
    timing: EnrolmentTiming | None = None,
) -> Enrolment:
    """Two placements, store, and a third that must find that slot; consent must be on record.

    The slot is `pending` in the table before the sensor stores anything and `active` only after
    the third placement, so that a kiosk killed in between never names anybody by it; the next
    enrolment then frees it. Raises a `SensorError` or a `StoreError`.
    """
    stamp = identify_sensor(sensor)
    _settle_pending(store, sensor, stamp.sensor)
    mine = {slot.slot for slot in store.slots() if slot.sensor == stamp.sensor}
    number = free_slot(used_slots(sensor), mine, sensor.capacity)
    store.set_slot(Slot(stamp.sensor, number, person.id, "pending", clock.wall())).result()
    try:
        done = enrol_finger(sensor, number, prompt, timing or EnrolmentTiming())
    except TransportError:
        raise  # what the sensor holds is unknown now: the slot stays pending until it is looked at
    except BaseException:
        store.clear_slot(stamp.sensor, number).result()
        raise
    by = Author("kiosk")
    data = {"sensor": stamp.sensor, "slot": number}
    store.set_slot(Slot(stamp.sensor, number, person.id, "active", clock.wall())).result()
    store.record(Draft(Kind.ENROLLED, person=person.id, by=by, data=data)).result()
    return Enrolment(stamp.sensor, number, done.score)


def _settle_pending(store: Store, sensor: ZfmSensor, uuid: str) -> None:
    """Free the slots that an enrolment cut short left behind, in the sensor and then here."""
    for slot in store.slots():
        if slot.sensor == uuid and slot.status == "pending":
            if slot_in_use(sensor, slot.slot):
                sensor.deleteTemplate(slot.slot)
            store.clear_slot(uuid, slot.slot).result()
