"""Enrolment behind a desk that goes on: consent, duplicates, two fingers, and kind refusals."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from drivers import errors
from drivers.emulator import Emulator
from drivers.enrolment import EnrolmentTiming, Step
from drivers.events import Matched
from drivers.profiles import GEN_IMAGE, R307, REG_MODEL
from drivers.reconcile import reconcile
from drivers.slots import SlotState
from drivers.zfm import open_zfm
from kiosk.enrolment import FailureToEnrolError, KnownFingerError, NoConsentError, Whose, enrol
from kiosk.model import Kind, Person
from kiosk.store import Draft, StoreError
from kiosk.vault import VaultError
from tests.kiosk.keeping import PATIENCE
from tests.kiosk.library import keep, know, put_in, revocations
from tests.waiting import wait_for

QUICK = EnrolmentTiming(poll=0.002, patience=5.0, lift_polls=2, lift_seconds=0.005, tries=2)
ANN, BOB = Person("ann", "Ann"), Person("bob", "Bob")
PLACING = {Step.PLACE, Step.PLACE_AGAIN, Step.VERIFY}


class Finger:
    """Does what it is told; `other` goes on the glass the second time."""

    def __init__(self, emulator, name, other=None, quality="good"):
        self._emulator, self._name, self._quality = emulator, name, quality
        self._other = other or name
        self.steps = []

    def __call__(self, step):
        self.steps.append(step)
        if step in PLACING:
            name = self._other if step is Step.PLACE_AGAIN else self._name
            self._emulator.place(name, self._quality)
        else:
            self._emulator.lift()


@pytest.fixture
def enrolling(store, clock, emulator, sensor, templates):
    know(store, "ann", "bob")

    def enrol_(person, finger, kept=None, **how):
        prompt = Finger(emulator, finger, **how)
        return enrol(store, clock, sensor, person, prompt, QUICK, kept)

    return enrol_


def test_two_fingers_are_advised_and_each_is_kept(enrolling, emulator, store, templates):
    first = enrolling(ANN, "ann right", templates)
    assert (first.fingers, first.slot) == (1, 0)
    assert "other hand" in first.advice
    second = enrolling(ANN, "ann left", templates)
    assert (second.fingers, second.advice) == (2, "")
    assert emulator.slots == {0, 1}
    assert len(templates.of("ann")) == 2
    assert len(store.personal_events("ann", Kind.ENROLLED)) == 2


def test_with_an_open_key_nothing_is_captured(enrolling, emulator, templates, tmp_path):
    enrolling(ANN, "ann right", templates)
    looks = emulator.history.count(GEN_IMAGE)
    (key,) = tmp_path.rglob("vault.key")
    key.chmod(0o644)
    with pytest.raises(VaultError, match="chmod 600"):
        enrolling(BOB, "bob", templates)
    assert emulator.history.count(GEN_IMAGE) == looks
    assert emulator.slots == {0}


def test_a_finger_whose_copy_cannot_be_kept_is_enrolled_and_said_so(
    enrolling, emulator, store, templates, monkeypatch
):
    def full(*_args, **_how):
        raise StoreError("the disk is full")

    monkeypatch.setattr(templates, "put", full)
    done = enrolling(ANN, "ann", templates)
    assert "the disk is full" in done.advice
    assert "kiosk sensor backup" in done.advice
    assert emulator.slots == {0}
    assert len(store.personal_events("ann", Kind.ENROLLED)) == 1


def test_without_a_standing_consent_nothing_is_captured(enrolling, emulator, store):
    no = {"text": "1", "language": "en", "answer": "no"}
    store.record(Draft(Kind.CONSENT, person="ann", data=no)).result()
    looks = emulator.history.count(GEN_IMAGE)
    for person in (ANN, Person("stranger", "S")):
        with pytest.raises(NoConsentError):
            enrolling(person, "ann")
    assert emulator.history.count(GEN_IMAGE) == looks


def test_a_known_finger_is_told_without_a_name(enrolling, emulator, sensor, slots):
    enrolling(BOB, "bob")
    emulator.enrol("ghost", 7)
    reconcile(sensor, slots)
    said = {}
    for person, finger in ((BOB, "bob"), (ANN, "bob"), (ANN, "ghost")):
        with pytest.raises(KnownFingerError) as told:
            enrolling(person, finger)
        said[told.value.whose] = (told.value.slot, str(told.value))
        emulator.lift()
    assert {whose: slot for whose, (slot, _) in said.items()} == {
        Whose.OWN: 0,
        Whose.OTHER: 0,
        Whose.NOBODY: 7,
    }
    assert not any("bob" in text.lower() for _, text in said.values())
    assert "kiosk sensor clear 7" in said[Whose.NOBODY][1]
    assert emulator.slots == {0, 7}


@pytest.mark.parametrize("how", [{"quality": "dry"}, {"other": "thumb"}])
def test_a_finger_that_cannot_be_enrolled_leads_to_another_way_in(enrolling, emulator, how, slots):
    with pytest.raises(FailureToEnrolError, match=r"nobody's fault.* badge or a code") as told:
        enrolling(ANN, "ann", **how)
    assert isinstance(told.value.cause, errors.ImageQuality | errors.EnrolMismatch)
    assert emulator.slots == frozenset()
    assert not slots.entries(slots.binding().sensor)


@pytest.fixture
def full(tmp_path, store, slots, templates):
    """A module with room for two, Bob and Zoe in it; only Zoe is kept."""
    know(store, "ann", "bob", "zoe")
    with (
        Emulator(replace(R307, capacity=2), tmp_path / "full", seed=5) as running,
        open_zfm(running.port) as sensor,
    ):
        reconcile(sensor, slots)
        put_in(sensor, slots, "bob"), put_in(sensor, slots, "zoe")
        keep(sensor, templates, "zoe")
        yield running, sensor


def test_into_a_full_sensor_whoever_can_come_back_makes_room(full, store, clock, slots, templates):
    emulator, sensor = full
    placed = enrol(store, clock, sensor, ANN, Finger(emulator, "ann"), QUICK, templates)
    assert placed.slot == 1
    assert {e.owner for e in slots.entries(placed.sensor).values()} == {"ann", "bob"}
    assert {kept.person for kept in templates.kept()} == {"ann", "zoe"}


def test_where_nothing_is_kept_a_full_sensor_is_full(full, store, clock):
    emulator, sensor = full
    with pytest.raises(errors.LibraryFull):
        enrol(store, clock, sensor, ANN, Finger(emulator, "ann"), QUICK)
    assert emulator.slots == {0, 1}


# -- on a kiosk that runs --------------------------------------------------------------------------


@pytest.fixture
def running(store, sensor, templates, keepers):
    """A keeper with nobody in the sensor; ann and bob are known and consent."""
    know(store, "ann", "bob")
    sensor.close()
    templates.close()
    return keepers


def test_a_running_kiosk_enrols_and_knows_the_finger_at_once(running, emulator, heard, store):
    told = []
    keeper = running(lambda: told.append([slot.person for slot in store.slots()]))
    done = keeper.enrol(ANN, Finger(emulator, "ann")).result(PATIENCE)
    assert (done.slot, done.fingers) == (0, 1)
    assert told == [["ann"]]
    emulator.lift()
    looks = emulator.history.count(GEN_IMAGE)
    wait_for(lambda: emulator.history.count(GEN_IMAGE) > looks + 8, "the lift to be seen")
    emulator.place("ann")
    assert heard.until(Matched).slot == 0
    emulator.lift()


def test_a_running_kiosk_refuses_without_consent(running, emulator):
    keeper = running()
    with pytest.raises(NoConsentError):
        keeper.enrol(Person("zoe", "Zoe"), Finger(emulator, "zoe")).result(PATIENCE)
    assert emulator.slots == frozenset()


@pytest.mark.parametrize("at", [Step.PLACE, Step.PLACE_AGAIN, Step.VERIFY])
def test_an_enrolment_that_is_given_up_leaves_nothing(running, emulator, heard, store, at):
    keeper, finger, waits = running(), Finger(emulator, "ann"), threading.Event()

    def prompt(step):
        if step is at:
            waits.set()  # and nobody places a finger
        else:
            finger(step)

    future = keeper.enrol(ANN, prompt)
    assert waits.wait(PATIENCE)
    keeper.cancel_enrolment()
    with pytest.raises(errors.Cancelled):
        future.result(PATIENCE)
    assert (REG_MODEL in emulator.history) == (at is Step.VERIFY)
    wait_for(lambda: emulator.slots == frozenset(), "the slot to be free")
    assert store.slots() == []
    keeper.cancel_enrolment()
    assert keeper.enrol(ANN, finger).result(PATIENCE).slot == 0


def test_a_withdrawal_on_a_running_kiosk_is_carried_out_at_once(running, emulator, store):
    told = []
    keeper = running(lambda: told.append([slot.status for slot in store.slots()]))
    keeper.enrol(ANN, Finger(emulator, "ann")).result(PATIENCE)
    emulator.lift()
    no, order = keeper.withdraw("ann").result(PATIENCE)
    assert (no.data["answer"], order.data["state"]) == ("no", "ordered")
    wait_for(lambda: len(revocations(store, "ann")) == 2, "the confirmation")
    assert emulator.slots == frozenset()
    assert told == [[SlotState.ACTIVE], []]
    with pytest.raises(NoConsentError):
        keeper.enrol(ANN, Finger(emulator, "ann")).result(PATIENCE)
