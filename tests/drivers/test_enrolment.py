"""Enrolment with an emulated person, who does what the prompts say or something else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from drivers import commands, errors
from drivers.emulator import Emulator, Mishap
from drivers.enrolment import Step, enrol_finger
from drivers.profiles import GEN_IMAGE, R307, STORE
from drivers.zfm import open_zfm
from tests.drivers.person import ASKED, QUICK, Person, same

TIMING = QUICK


def test_three_placements_enrol_a_finger_that_is_found_afterwards(emulator, sensor):
    person = Person(emulator, "ann", "ann", "ann")
    enrolled = enrol_finger(sensor, 12, person, TIMING)
    assert enrolled.slot == 12
    assert R307.scores[0] <= enrolled.score <= R307.scores[1]
    assert person.prompts == ASKED
    assert emulator.slots == {12}


def test_a_finger_known_already_is_not_enrolled_twice(emulator, sensor):
    emulator.enrol("ann", 3)
    with pytest.raises(errors.AlreadyEnrolled) as caught:
        enrol_finger(sensor, 12, Person(emulator, "ann"), TIMING)
    assert caught.value.slot == 3
    assert emulator.slots == {3}


def test_two_fingers_do_not_make_one(emulator, sensor):
    with pytest.raises(errors.EnrolMismatch):
        enrol_finger(sensor, 12, Person(emulator, "ann", "bob"), TIMING)
    assert emulator.slots == set()


def test_a_module_that_merges_strangers_is_caught_by_the_third_placement(tmp_path):
    careless = replace(R307, merges_strangers=True)
    with Emulator(careless, tmp_path / "sensor") as emulator, open_zfm(emulator.port) as sensor:
        with pytest.raises(errors.EnrolmentUnverified):
            enrol_finger(sensor, 12, Person(emulator, "ann", "bob", "ann"), TIMING)
        assert emulator.slots == set()


def test_another_finger_at_the_third_placement_undoes_the_enrolment(emulator, sensor):
    emulator.enrol("bob", 3)
    with pytest.raises(errors.EnrolmentUnverified, match="in slot 3"):
        enrol_finger(sensor, 12, Person(emulator, "ann", "ann", "bob"), TIMING)
    assert emulator.slots == {3}


def test_bad_images_are_asked_for_again(emulator, sensor):
    person = Person(emulator, ("ann", "dry"), ("ann", "smudged"), "ann", "ann", "ann")
    assert enrol_finger(sensor, 0, person, TIMING).slot == 0
    assert person.prompts[:5] == [Step.PLACE, Step.DRY, Step.PLACE, Step.SMUDGED, Step.PLACE]


def test_three_bad_images_end_it(emulator, sensor):
    person = Person(emulator, "ann", *[("ann", "partial")] * 3)
    with pytest.raises(errors.TooFewFeatures):
        enrol_finger(sensor, 0, person, TIMING)
    assert person.prompts.count(Step.PLACE_AGAIN) == 3
    assert emulator.slots == set()


def test_bad_images_at_the_end_leave_nothing_behind(emulator, sensor):
    person = Person(emulator, "ann", "ann", *[("ann", "wet")] * 3)
    with pytest.raises(errors.TooWet):
        enrol_finger(sensor, 0, person, TIMING)
    assert emulator.slots == set()


def test_a_slot_in_use_or_out_of_range_is_left_alone(emulator, sensor):
    emulator.enrol("bob", 12)
    person = Person(emulator)
    with pytest.raises(errors.SlotInUse):
        enrol_finger(sensor, 12, person, TIMING)
    with pytest.raises(errors.SlotOutOfRange):
        enrol_finger(sensor, 1000, person, TIMING)
    assert emulator.slots == {12}
    assert person.prompts == []


def test_a_store_that_fails_leaves_nothing_behind(emulator, sensor):
    emulator.inject(Mishap(STORE, code=0x18))
    with pytest.raises(errors.FlashError):
        enrol_finger(sensor, 12, Person(emulator, "ann", "ann"), TIMING)
    assert emulator.slots == set()


def test_a_store_whose_answer_is_lost_is_looked_at_and_the_enrolment_goes_on(emulator, sensor):
    emulator.inject(Mishap(STORE, cut=4))
    enrolled = enrol_finger(sensor, 12, Person(emulator, "ann", "ann", "ann"), TIMING)
    assert enrolled.slot == 12
    assert emulator.history.count(STORE) == 1


def test_one_lost_look_does_not_cost_the_enrolment_and_two_in_a_row_do(
    emulator, sensor, monkeypatch
):
    monkeypatch.setitem(commands.DEADLINES, GEN_IMAGE, 0.1)
    emulator.inject(Mishap(GEN_IMAGE, bad_checksum=True))
    assert enrol_finger(sensor, 12, same(emulator, "ann"), TIMING).slot == 12
    emulator.lift()
    emulator.inject(*[Mishap(GEN_IMAGE, silent=True)] * 2)
    with pytest.raises(errors.ResponseTimeout):
        enrol_finger(sensor, 13, same(emulator, "bob"), TIMING)
    assert emulator.slots == {12}


def test_nobody_comes(emulator, sensor):
    with pytest.raises(errors.EnrolmentTimeout):
        enrol_finger(sensor, 0, lambda _: None, replace(TIMING, patience=0.05))


def test_staff_give_up_half_way_and_the_slot_is_free_again(emulator, sensor):
    person = Person(emulator, "ann", "ann")

    def prompt(step):
        if step is Step.VERIFY:
            sensor.cancel()
        else:
            person(step)

    with pytest.raises(errors.Cancelled):
        enrol_finger(sensor, 12, prompt, TIMING)
    assert emulator.slots == set()
    assert sensor.getTemplateCount() == 0
