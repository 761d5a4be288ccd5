"""The capture cycle as a pure machine: a scripted sensor, a clock that tests own."""

from __future__ import annotations

import pytest

from drivers.capture import CaptureCycle, ReaderTiming
from drivers.errors import ImageQuality, TooDry, TooFewFeatures
from drivers.events import CaptureFailed, FingerDown, FingerStuck, Lifted, Matched, NotMatched

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
    def __init__(self):
        self.sensor = Sensor()
        self.events = []
        self.now = 0.0
        self.cycle = CaptureCycle(self.sensor, "uuid", self.events.append, TIMING, lambda: self.now)

    def look(self, times=1, glass=None):
        if glass is not None:
            self.sensor.glass = glass
        for _ in range(times):
            self.now += self.cycle.step()
        taken, self.events[:] = list(self.events), []
        return taken


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
    assert rig.sensor.calls == ["image", "convert", "find"]


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
