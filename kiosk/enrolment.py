"""Enrolling a finger: consent on record first, the slot table around the sensor's work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drivers import changes
from drivers.enrolment import EnrolmentTiming, Step
from drivers.reconcile import reconcile
from kiosk.errors import KioskError
from kiosk.model import Author, Kind, Person
from kiosk.provision import back_up
from kiosk.slots import StoredSlots
from kiosk.store import Draft, Store

if TYPE_CHECKING:
    from collections.abc import Callable

    from drivers.changes import Placed
    from drivers.zfm import ZfmSensor
    from kiosk.clock import Clock
    from kiosk.templates import TemplateStore

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
    templates: TemplateStore | None = None,
) -> Placed:
    """Two placements, store, and a third that must find that slot; consent must be on record.

    `templates` are the kept ones, if backup is switched on: the new one is copied to them. The
    sensor's library is held against the records first. A crash at any point leaves a slot
    that never names anybody and is settled at the next start. Raises `NoConsentError`, a
    `SensorError` or a `StoreError`.
    """
    if not has_consent(store, person):
        raise NoConsentError(f"no consent of {person.id} is on record; nothing was captured")
    table = StoredSlots(store, clock)
    reconcile(sensor, table)
    placed = changes.enrol(sensor, table, person.id, prompt, timing)
    data = {"sensor": placed.sensor, "slot": placed.slot}
    store.record(Draft(Kind.ENROLLED, person=person.id, by=Author("kiosk"), data=data)).result()
    if templates is not None:
        back_up(sensor, table, templates)
    return placed


def has_consent(store: Store, person: Person) -> bool:
    """Whether the last answer to the consent question, as far as this kiosk knows, was yes."""
    answers = [event.data.get("answer") for event in store.personal_events(person.id, Kind.CONSENT)]
    return bool(answers) and answers[-1] == "yes"
