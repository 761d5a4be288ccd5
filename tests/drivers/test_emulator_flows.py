"""What a module does by itself: AutoEnroll, AutoIdentify, Cancel, GR_Enroll, GR_Identify."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from drivers import errors
from drivers.emulator import Emulator, Mishap
from drivers.emulator.fingers import Finger, Quality
from drivers.emulator.memory import Part
from drivers.emulator.module import Module
from drivers.profiles import AS608, R503, Timing
from drivers.templates import read_template, verify_one
from drivers.zfm import open_zfm, reset_zfm
from tests.drivers.conftest import wait_until
from tests.drivers.emulated import OK, Host, ack, ask, command, touch

ENROL = b"\x31\x05\x00\x00\x01\x01"  # slot 5: not over another, no known finger, told, lifted
IDENTIFY = b"\x32\x03\x00\xc8\x01\x01"  # level 3, slots 0 to 199, told, one error
QUIET = replace(R503, boot_byte=None)
HASTY = replace(QUIET, timing=Timing(patience=0.2))


class Running:
    """A flow on a module, with a clock that only the test moves."""

    def __init__(self, start, profile=R503, enrolled=None):
        self.module = Module(profile, seed=2)
        for slot, name in (enrolled or {}).items():
            self.module.enrol(name, slot)
        self.now = 100.0
        self.said = []
        assert ask(self.module, start) == []

    @property
    def running(self):
        return self.module.ram.flow is not None

    def go(self, seconds=0.2):
        """All that is said in the next `seconds`."""
        said, end = [], self.now + seconds
        while self.now < end and self.running:
            self.now += 0.02
            if (reply := self.module.advance(self.now)) is not None:
                said += [packet.content for packet in reply.packets]
        return said

    def place(self, name, quality=Quality.GOOD):
        self.module.glass.finger = Finger(name, quality)
        return self.go()

    def lift(self):
        self.module.glass.finger = None
        return self.go()


def enrol_all(running, name="ann"):
    said = []
    for _ in range(6):
        said += running.place(name)
        said += running.lift()
    return said


def test_six_fingers_become_a_template_step_by_step():
    running = Running(ENROL)
    assert running.go(9.0) == []
    steps = [bytes((0, step, 0)) for step in range(1, 0x0F)]
    assert enrol_all(running) == [*steps, b"\x00\x0f\x05"]
    assert not running.running
    assert set(running.module.flash.library) == {5}
    touch(running.module, "ann")
    assert ask(running.module, b"\4\1\0\0\0\xc8")[0][:3] == b"\x00\x00\x05"


def test_each_image_wants_a_finger_that_was_lifted():
    running = Running(ENROL)
    assert running.place("ann") == [b"\x00\x01\x00", b"\x00\x02\x00"]
    assert running.go(5.0) == []
    assert running.lift() == []
    assert running.place("ann") == [b"\x00\x03\x00", b"\x00\x04\x00"]


def test_a_finger_that_may_stay_is_taken_six_times():
    running = Running(ENROL[:5] + b"\x00")
    said = running.place("ann") + running.go(1.0)
    assert [content[1] for content in said] == list(range(1, 0x10))
    assert set(running.module.flash.library) == {5}


def test_untold_steps_leave_the_last_word_alone():
    running = Running(ENROL[:4] + b"\x00\x01")
    assert enrol_all(running) == [b"\x00\x0f\x05"]


@pytest.mark.parametrize(
    ("start", "enrolled", "said"),
    [
        (ENROL, {5: "bob"}, b"\x22\x00\x00"),
        (b"\x31\xc8\x00\x00\x01\x01", dict.fromkeys(range(200), "bob"), b"\x1f\x00\x00"),
        (IDENTIFY, {}, b"\x24\x00" + bytes(4)),
        (b"\x32\x03\xc8\x01\x01\x01", {5: "bob"}, b"\x0b\x00" + bytes(4)),
        (b"\x32\x03\x07\x01\x01\x01", {5: "bob"}, b"\x22\x00" + bytes(4)),
        (b"\x32\x00\x00\xc8\x01\x01", {5: "bob"}, b"\x01\x00" + bytes(4)),
    ],
    ids=["place taken", "full", "library empty", "out of range", "slot empty", "no such level"],
)
def test_what_cannot_be_begun_ends_at_once(start, enrolled, said):
    running = Running(start, enrolled=enrolled)
    assert running.go() == [said]
    assert not running.running
    assert set(running.module.flash.library) == set(enrolled)


def test_a_place_beyond_a_small_library_is_out_of_range():
    assert Running(ENROL, replace(R503, capacity=5)).go() == [b"\x0b\x00\x00"]


def test_a_place_may_be_covered_and_a_free_one_found():
    running = Running(b"\x31\x05\x01\x00\x01\x01", enrolled={5: "bob"})
    assert enrol_all(running)[-1] == b"\x00\x0f\x05"
    running = Running(b"\x31\xff\x00\x00\x01\x01", enrolled={0: "bob", 1: "eve"})
    assert enrol_all(running)[-1] == b"\x00\x0f\x02"


def test_a_known_finger_is_refused_unless_it_may_be_there_twice():
    assert enrol_all(Running(ENROL, enrolled={1: "ann"}))[-1] == b"\x27\x0d\x00"
    running = Running(b"\x31\x05\x00\x01\x01\x01", enrolled={1: "ann"})
    assert enrol_all(running)[-1] == b"\x00\x0f\x05"


@pytest.mark.parametrize(("careless", "last"), [(False, b"\x0a\x0e\x00"), (True, b"\x00\x0f\x05")])
def test_two_fingers_do_not_merge_but_by_habit(careless, last):
    running = Running(ENROL, replace(R503, merges_strangers=careless))
    said = []
    for name in ("ann", "ann", "ann", "bob", "bob", "bob"):
        said += running.place(name) + running.lift()
    assert said[-1] == last
    assert len(running.module.flash.library) == careless


def test_a_smudge_ends_an_enrolment_and_so_does_broken_flash():
    assert Running(ENROL).place("ann", Quality.SMUDGED) == [b"\x00\x01\x00", b"\x07\x02\x00"]
    running = Running(ENROL)
    running.module.broken.add(Part.FLASH)
    assert enrol_all(running)[-1] == b"\x01\x0f\x00"
    assert running.module.flash.library == {}
    running = Running(ENROL)
    running.module.broken.add(Part.SENSOR)
    assert running.place("ann") == [b"\x01\x01\x00"]


def test_nobody_for_ten_seconds_ends_it():
    running = Running(ENROL)
    assert running.go(9.9) == []
    assert running.go(0.5) == [b"\x26\x01\x00"]
    running = Running(ENROL)
    running.place("ann")
    assert running.go(10.5) == [b"\x26\x03\x00"], "it was never lifted"
    assert Running(IDENTIFY, enrolled={1: "ann"}).go(10.5) == [b"\x26\x01" + bytes(4)]


def test_a_known_finger_is_identified():
    running = Running(IDENTIFY, enrolled={3: "bob", 7: "ann"})
    image, features, found = running.place("ann")
    assert (image, features) == (b"\x00\x01" + bytes(4), b"\x00\x02" + bytes(4))
    assert found[:4] == b"\x00\x03\x00\x07"
    assert R503.scores[0] <= int.from_bytes(found[4:], "big") <= R503.scores[1]
    assert not running.running
    assert Running(IDENTIFY[:4] + b"\x00\x01", enrolled={7: "ann"}).place("ann")[0][1] == 3


def test_errors_are_told_and_forgiven_as_often_as_asked():
    twice = Running(IDENTIFY[:5] + b"\x02", enrolled={7: "ann"})
    assert twice.place("eve")[-1][:2] == b"\x09\x03"
    assert twice.running
    assert twice.go(5.0) == [], "it is still the same finger"
    twice.lift()
    assert twice.place("eve", Quality.PARTIAL)[-1][:2] == b"\x07\x02"
    assert not twice.running
    ever = Running(IDENTIFY[:5] + b"\xff", enrolled={7: "ann"})
    for _ in range(20):
        ever.place("eve")
        ever.lift()
    assert ever.place("ann")[-1][:4] == b"\x00\x03\x00\x07"
    once = Running(IDENTIFY[:5] + b"\x00", enrolled={7: "ann"})
    once.place("eve")
    assert not once.running


def test_only_cancel_is_heard_and_it_ends_the_flow():
    running = Running(ENROL)
    running.place("ann")
    for other in (b"\x01", b"\x13\0\0\0\0", IDENTIFY, b"\x0d"):
        assert ask(running.module, other) is None
    assert running.running
    assert ask(running.module, b"\x30") == [OK]
    assert running.go(20.0) == []
    assert ask(running.module, b"\x30") == [OK]
    assert ask(running.module, b"\x1d") == [b"\0\0\0"]


def test_a_power_cycle_ends_it_too():
    running = Running(ENROL)
    running.module.power_on()
    assert running.place("ann") == []


def test_the_light_goes_by_the_step():
    running = Running(ENROL)
    seen = [running.module.ram.light.colour]
    for step in range(6):
        running.place("ann") if step < 5 else enrol_all(running)
        seen.append(running.module.ram.light.colour)
        running.lift()
        seen.append(running.module.ram.light.colour)
    assert running.module.ram.light.colour == 4, "green: it is stored"
    assert {2, 7} <= set(seen), "blue for a finger, white for a lift"
    failed = Running(ENROL, enrolled={5: "bob"})
    failed.go()
    assert failed.module.ram.light.colour == 1, "red"


def test_one_look_enrols_and_identifies_on_an_as608():
    module = Module(AS608, seed=1)
    module.enrol("bob", 0)
    assert ask(module, b"\x11") == [b"\x02" + bytes(4)]
    assert ask(module, b"\x10") == [b"\x1e\0\0"]
    module.glass.finger = Finger("ann", Quality.DRY)
    assert ask(module, b"\x11") == [b"\x04" + bytes(4)]
    module.glass.finger = Finger("ann")
    assert ask(module, b"\x11") == [b"\x09" + bytes(4)]
    assert ask(module, b"\x10") == [b"\x00\x00\x01"]
    assert ask(module, b"\x11")[0][:3] == b"\x00\x00\x01"
    module.broken.add(Part.FLASH)
    assert ask(module, b"\x10") == [b"\x1e\0\0"]
    for slot in range(162):
        module.enrol("bob", slot)
    assert ask(module, b"\x10") == [b"\x1f\0\0"]


# -- over the line ---------------------------------------------------------------------------------


def test_a_flow_over_the_wire_with_its_mishaps(tmp_path):
    with Emulator(HASTY, tmp_path / "port", state=tmp_path / "flash") as emulator:
        with Host(emulator.port) as host:
            emulator.place("ann")
            emulator.lose(0x31)
            host.send(command(*ENROL[:5], 0))
            wait_until(lambda: emulator.look()["mishaps"] == 0)
            emulator.inject(Mishap(0x31, bad_checksum=True))
            host.send(command(*ENROL[:5], 0))
            spoilt = host.hear(14)
            assert spoilt[:-1] == ack(0, 1, 0)[:-1]
            assert spoilt[-1] == ack(0, 1, 0)[-1] ^ 1
            rest = b"".join(ack(0, step, 5 if step == 0x0F else 0) for step in range(2, 0x10))
            assert host.hear(len(rest)) == rest
            host.send(command(0x1D))
            assert host.hear(14) == ack(0, 0, 1)
        assert emulator.slots == {5}
    with Emulator(HASTY, tmp_path / "port", state=tmp_path / "flash") as emulator:
        assert emulator.slots == {5}, "what a flow has stored is kept"


def test_cancel_is_heard_over_the_wire_while_it_waits(tmp_path):
    with Emulator(QUIET, tmp_path / "port") as emulator, Host(emulator.port) as host:
        emulator.enrol("ann", 1)
        host.send(command(*IDENTIFY))
        wait_until(lambda: 0x32 in emulator.history)
        host.send(command(0x01))
        host.send(command(0x30))
        assert host.hear(12) == ack(0)
        host.send(command(0x01))
        assert host.hear(12) == ack(2)


def test_a_driver_that_meets_a_flow_of_somebody_else_gets_in_once_it_is_over(tmp_path):
    with Emulator(HASTY, tmp_path / "port") as emulator:
        emulator.enrol("ann", 1)
        with Host(emulator.port) as host:
            host.send(command(*IDENTIFY))
            wait_until(lambda: 0x32 in emulator.history)
        # It does not hear the driver until its patience has ended.
        with open_zfm(emulator.port) as sensor:
            assert sensor.getTemplateCount() == 1
            assert sensor.readImage() is False


def test_a_reset_ends_a_flow_of_somebody_else_at_once(tmp_path):
    with Emulator(QUIET, tmp_path / "port") as emulator:
        emulator.enrol("ann", 1)
        with Host(emulator.port) as host:
            host.send(command(*IDENTIFY))
            wait_until(lambda: 0x32 in emulator.history)
        began = time.monotonic()
        reset_zfm(emulator.port)
        with open_zfm(emulator.port) as sensor:
            assert sensor.getTemplateCount() == 1
        assert time.monotonic() - began < R503.timing.patience / 2


# -- a Match that refuses --------------------------------------------------------------------------


def test_a_module_may_refuse_in_match_what_its_search_accepts(tmp_path):
    stubborn = replace(R503, match_refuses=True)
    for profile, matched in ((R503, True), (stubborn, False)):
        with Emulator(profile, tmp_path / profile.name) as emulator, open_zfm(emulator.port) as one:
            emulator.enrol("ann", 1)
            template = read_template(one, 1)
            emulator.place("ann")
            assert one.readImage()
            assert one.convertImage()
            assert one.find()[0] == 1
            assert (verify_one(one, template) is not None) is matched
            assert verify_one(one, template, scratch=7) >= R503.scores[0]
            assert emulator.slots == {1}


def test_an_empty_slot_and_an_empty_library_are_nothing_found(tmp_path):
    with Emulator("r503", tmp_path / "port") as emulator, open_zfm(emulator.port) as sensor:
        emulator.refuse(0x24, 0x04)
        assert sensor.find() is None
        emulator.refuse(0x22, 0x04)
        with pytest.raises(errors.TemplateNotFound):
            sensor.find()
