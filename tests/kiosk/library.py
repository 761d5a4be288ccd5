"""Fingers in a sensor and on record, without going through an enrolment's placements."""

from __future__ import annotations

from drivers.emulator import fingers
from drivers.profiles import PROFILES
from drivers.templates import Template
from kiosk.model import Author, Kind, Person
from kiosk.provision import bring, format_for
from kiosk.store import Draft
from tests.kiosk.test_desk import directory


def template_of(name, sensor=None, impression=1, format_=None):
    """A named finger's template, as this sensor would have made it."""
    if format_ is None:
        model = format_for(sensor).rpartition("/")[0]
        size = PROFILES["r503"].template_size if model.startswith("r503") else 512
        format_ = f"{model}/{size}"
    size = int(format_.rpartition("/")[2])
    return Template(format_, fingers.template(fingers.Finger(name).identity, impression, size))


def put_in(sensor, slots, name, impression=1, person=None):
    """The finger, in a slot of its own, active for the person of that name."""
    return bring(sensor, slots, person or name, template_of(name, sensor, impression))


def keep(sensor, templates, name, impression=1):
    return templates.put(name, template_of(name, sensor, impression), sensor="s", generation=0)


def touch(emulator, sensor, name, quality="good"):
    """The finger's features in CharBuffer1."""
    emulator.place(name, quality)
    assert sensor.readImage()
    assert sensor.convertImage()


def found(emulator, sensor, slots, name):
    """Whom the sensor names when that finger is placed: only active slots name anybody."""
    touch(emulator, sensor, name)
    match = sensor.find()
    entry = match and slots.entries(slots.binding().sensor).get(match[0])
    return entry.owner if entry and entry.state == "active" else None


def know(store, *names, consent=True):
    """These people are in the directory, and have said yes."""
    people = [Person(name, name.title()) for name in names]
    store.apply_remote("site", "e", list(directory(people)), len(people)).result()
    for name in names if consent else ():
        data = {"text": "1", "language": "en", "answer": "yes"}
        store.record(Draft(Kind.CONSENT, person=name, by=Author("kiosk"), data=data)).result()


def revocations(store, person):
    """What the log says of a person's templates, without ids."""
    kept = ("state", "slots", "templates", "reason")
    events = store.personal_events(person, Kind.TEMPLATE_REVOKED)
    return [{k: v for k, v in e.data.items() if k in kept} for e in events]
