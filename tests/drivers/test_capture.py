"""The capture cycle as a pure machine: a scripted sensor, a clock that tests own."""

from __future__ import annotations

from dataclasses import replace

import pytest

from drivers.capture import CaptureCycle, ReaderTiming
from drivers.errors import ImageQuality, TooDry, TooFewFeatures
from drivers.events import (
    CaptureFailed,
    FailedRepeatedly,
    FingerDown,
    FingerStuck,
    GlassDirty,
    Lifted,
    Matched,
    NotMatched,
    Repeated,
)

TIMING = ReaderTiming(poll=0.0625, lift_seconds=0.1875, stuck_after=1.0)  # exact in binary


class Sensor:
    """Answers as told; `glass` is True, False or an exception."""

    def __init__(self):
        self.glass = False
        self.image = None
        self.found = (3, 120)
        self.calls = []

    def readImage(self):  # noqa: N802 - the sensor's name
        self.calls.append("image")
        if isinstance(self.glass, Exception):
            raise self.glass
        return self.glass

    def convertImage(self):  # noqa: N802 - the sensor's name
        self.calls.append("convert")
        if self.image is not None:
            raise self.image

    def find(self):
        self.calls.append("find")
        return self.found


class Rig:
    def __init__(self, timing=TIMING):
        self.sensor = Sensor()
        self.events = []
        self.now = 0.0
        self.owned = {3, 4}
        self.cycle = CaptureCycle(
            self.sensor, "uuid", self.events.append, timing, lambda: self.now, self.confirm
        )

    def confirm(self, sensor, identity, slot):
        assert (sensor, identity) == (self.sensor, "uuid")
        sensor.calls.append("confirm")
        return slot in self.owned

    def look(self, times=1, glass=None):
        if glass is not None:
            self.sensor.glass = glass
        for _ in range(times):
            self.now += self.cycle.step()
        taken, self.events[:] = list(self.events), []
        return taken

    def touch(self):
        """A finger for a moment; what was said of it."""
        return self.look(3, glass=True) + self.look(5, glass=False)


@pytest.fixture
def rig():
    return Rig()


def test_a_finger_is_reported_once_and_again_only_after_a_lift(rig):
    assert rig.look(3, glass=False) == []
    assert rig.look(8, glass=True) == [FingerDown(), Matched("uuid", 3, 120)]
    assert rig.look(3, glass=False) == []
    assert rig.look(1) == [Lifted()]
    assert rig.look(1, glass=True) == [FingerDown(), Matched("uuid", 3, 120)]


def test_nothing_comes_between_image_features_and_search(rig):
    rig.look(1, glass=True)
    assert rig.sensor.calls == ["image", "convert", "find", "confirm"]


def test_a_flicker_is_no_lift(rig):
    rig.look(1, glass=True)
    for _ in range(4):
        assert rig.look(2, glass=False) == []
        assert rig.look(1, glass=True) == []


def test_three_misses_in_no_time_are_no_lift(rig):
    rig.look(1, glass=True)
    rig.sensor.glass = False
    for _ in range(5):
        rig.cycle.step()
    assert Lifted() not in rig.events


def test_a_strange_finger(rig):
    rig.sensor.found = None
    assert rig.look(2, glass=True) == [FingerDown(), NotMatched()]


def test_a_first_bad_image_gets_a_second_chance_within_the_touch(rig):
    rig.sensor.image = TooFewFeatures(7)
    assert rig.look(1, glass=True) == [FingerDown()]
    rig.sensor.image = None
    assert rig.look(1) == [Matched("uuid", 3, 120)]


def test_bad_images_end_the_touch_with_how_they_were_bad(rig):
    rig.sensor.image = TooDry(4)
    assert rig.look(6, glass=True) == [FingerDown(), CaptureFailed("dry")]
    assert rig.look(4, glass=False) == [Lifted()]


def test_a_finger_lifted_before_it_could_be_read(rig):
    rig.sensor.image = ImageQuality(0x15)
    assert rig.look(1, glass=True) == [FingerDown()]
    assert rig.look(1, glass=False) == [CaptureFailed("lifted")]
    assert rig.look(4) == [Lifted()]


def test_a_finger_that_stays_is_stuck_once_and_looked_at_less_often(rig):
    assert rig.look(1, glass=True)
    assert rig.look(24) == [FingerStuck()]
    assert rig.cycle.step() == TIMING.stuck_poll
    assert rig.look(6, glass=False) == [Lifted()]
    assert rig.cycle.step() == TIMING.poll


def test_a_module_that_gets_no_image_says_nothing_about_the_finger(rig):
    assert rig.look(4, glass=ImageQuality(3)) == []
    rig.look(1, glass=True)
    assert rig.look(9, glass=ImageQuality(3)) == []
    assert rig.look(4, glass=False) == [Lifted()]


def test_a_finger_used_for_something_else_is_not_reported(rig):
    rig.cycle.expect_lift()
    assert rig.look(5, glass=True) == []
    assert rig.look(4, glass=False) == [], "nor is its lift"
    assert rig.look(1, glass=True) == [FingerDown(), Matched("uuid", 3, 120)]


def test_a_result_that_was_announced_still_comes_when_the_finger_is_used_otherwise(rig):
    rig.sensor.image = TooDry(4)
    assert rig.look(1, glass=True) == [FingerDown()]
    rig.cycle.expect_lift()
    assert rig.look(4, glass=False) == [CaptureFailed("lifted"), Lifted()]


def test_a_slot_that_is_nobodys_is_no_match(rig):
    rig.sensor.found = (9, 250)
    assert rig.touch() == [FingerDown(), NotMatched(refused=9), Lifted()]


def test_a_person_within_the_cooldown_is_repeated_and_others_are_not():
    rig = Rig(replace(TIMING, cooldown=5.0))
    assert rig.touch() == [FingerDown(), Matched("uuid", 3, 120), Lifted()]
    assert rig.touch() == [FingerDown(), Repeated("uuid", 3), Lifted()]
    rig.sensor.found = (4, 99)
    assert rig.touch() == [FingerDown(), Matched("uuid", 4, 99), Lifted()]
    rig.sensor.found = (3, 120)
    rig.now += 5.0
    assert rig.touch() == [FingerDown(), Matched("uuid", 3, 120), Lifted()]


def test_a_repeat_does_not_prolong_the_cooldown():
    rig = Rig(replace(TIMING, cooldown=4.0))
    seen = [event for _ in range(12) for event in rig.touch()]
    assert seen.count(Matched("uuid", 3, 120)) >= 2
    assert seen.count(Repeated("uuid", 3)) >= 2


def test_every_third_failure_in_a_row_is_told_and_a_success_begins_anew(rig):
    rig.sensor.image = TooDry(4)
    assert rig.touch() == [FingerDown(), CaptureFailed("dry"), Lifted()]
    rig.sensor.image, rig.sensor.found = None, None
    assert rig.touch() == [FingerDown(), NotMatched(), Lifted()]
    assert rig.touch() == [FingerDown(), NotMatched(), FailedRepeatedly(3), Lifted()]
    assert FailedRepeatedly(6) in rig.touch() + rig.touch() + rig.touch()
    rig.sensor.found = (3, 120)
    rig.touch()
    rig.sensor.found = None
    assert [FailedRepeatedly(3) in rig.touch() for _ in range(3)] == [False, False, True]


def test_failures_of_long_ago_are_forgotten(rig):
    rig.sensor.found = None
    for _ in range(6):
        assert rig.touch() == [FingerDown(), NotMatched(), Lifted()]
        rig.now += TIMING.failures_within


def test_what_was_never_read_and_stays_is_dirt_and_a_finger_on_it_still_counts(rig):
    rig.sensor.image = TooFewFeatures(7)
    assert rig.look(24, glass=True) == [FingerDown(), CaptureFailed("partial"), GlassDirty()]
    assert rig.look(5) == [], "it is told once"
    assert rig.cycle.step() == TIMING.stuck_poll
    rig.sensor.image = None
    assert rig.look(1) == [FingerDown(), Matched("uuid", 3, 120)]
    assert rig.look(5) == [], "and so is she"
    rig.sensor.image = TooFewFeatures(7)
    assert rig.look(20) == [FingerStuck()]
    assert rig.look(6, glass=False) == [Lifted()]


def test_idle_is_a_free_glass(rig):
    assert rig.cycle.idle
    rig.look(1, glass=True)
    assert not rig.cycle.idle
    rig.look(5, glass=False)
    assert rig.cycle.idle


def test_a_module_that_gets_no_image_for_long_is_dirty_once_and_recovers(rig):
    assert rig.look(40, glass=ImageQuality(3)) == [GlassDirty()]
    assert rig.cycle.step() == TIMING.stuck_poll
    assert rig.look(1, glass=False) == []
    assert rig.cycle.step() == TIMING.poll
    assert rig.look(8, glass=ImageQuality(3)) == []
    assert rig.look(1, glass=True) == [FingerDown(), Matched("uuid", 3, 120)]
