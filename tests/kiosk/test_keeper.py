"""The keeper of a running kiosk: verifications and changes of the library, on a real pty."""

from __future__ import annotations

import threading

import pytest

from drivers import errors
from drivers.events import Matched, SensorDown, SensorUp
from drivers.profiles import GEN_IMAGE, MATCH
from kiosk.model import Author, Kind
from kiosk.store import Draft
from kiosk.templates import NoTemplateError
from kiosk.verification import Verdict
from tests.kiosk.keeping import PATIENCE
from tests.kiosk.library import keep, know, put_in
from tests.waiting import wait_for


@pytest.fixture
def library(store, sensor, slots, templates):
    """Ann is in the sensor and kept, Zoe is kept only, Bob is in the sensor only."""
    know(store, "ann", "bob", "zoe")
    put_in(sensor, slots, "ann"), put_in(sensor, slots, "bob")
    keep(sensor, templates, "ann"), keep(sensor, templates, "zoe")
    sensor.close()
    templates.close()


@pytest.fixture
def keeping(library, keepers):
    """Starts a keeper with these settings for templates; it is up when this returns."""
    return keepers


NAMES = ("ann", "bob", "zoe", "eve")


def verifiable(keeper):
    return {name for name in NAMES if keeper.can_verify(name)}


def test_whoever_is_kept_and_not_in_the_sensor_can_be_verified(keeping, emulator):
    keeper = keeping()
    assert verifiable(keeper) == {"zoe"}
    asked = threading.Event()
    glass = []
    future = keeper.verify("zoe", asked.set, glass.append)
    assert asked.wait(PATIENCE)
    assert glass == []
    emulator.place("zoe", "smudged")
    wait_for(lambda: glass == [True], "the finger to be seen")
    emulator.lift()
    wait_for(lambda: glass == [True, False], "its lift to be seen")
    emulator.place("zoe")
    seen = future.result(PATIENCE)
    assert seen.verdict is Verdict.MATCHED
    assert glass == [True, False, True], "each is told once"
    emulator.lift()


def test_somebody_elses_finger_is_not_hers_and_no_event_tells_of_it(keeping, emulator, heard):
    keeper = keeping()
    future = keeper.verify("zoe", lambda: emulator.place("ann"))
    assert future.result(PATIENCE).verdict is Verdict.NOT_MATCHED
    emulator.lift()
    looks = emulator.history.count(GEN_IMAGE)
    wait_for(lambda: emulator.history.count(GEN_IMAGE) > looks + 8, "the lift to be seen")
    emulator.place("ann")
    assert heard.until(Matched).slot == 0
    assert heard.events.empty(), "one finger, one event"


@pytest.mark.parametrize("how", [{"claim": "never"}, {"backup": False}])
def test_nobody_is_verified_where_the_settings_say_so(keeping, how):
    keeper = keeping(**how)
    assert verifiable(keeper) == set()
    with pytest.raises(NoTemplateError):
        keeper.verify("zoe").result(PATIENCE)


def test_without_its_sensor_nobody_can_be_verified(keeping, emulator, heard):
    keeper = keeping()
    emulator.unplug()
    heard.until(SensorDown)
    assert verifiable(keeper) == set()
    with pytest.raises(errors.SensorError):
        keeper.verify("zoe").result(PATIENCE)
    emulator.replug()
    heard.until(SensorUp)
    assert verifiable(keeper) == {"zoe"}


def test_a_sensor_swapped_behind_its_port_verifies_nobody(keeping, emulator):
    keeper = keeping()
    emulator.swap(1)
    with pytest.raises(errors.SensorError):
        keeper.verify("zoe", lambda: emulator.place("zoe")).result(PATIENCE)
    assert MATCH not in emulator.history


def test_a_verification_that_waits_is_given_up_at_once_and_fingers_go_on(keeping, emulator, heard):
    keeper = keeping()
    asked = threading.Event()
    first, second = keeper.verify("zoe", asked.set), keeper.verify("zoe")
    assert asked.wait(PATIENCE)
    keeper.cancel()
    for future in (first, second):
        with pytest.raises(errors.Cancelled):
            future.result(PATIENCE)
    emulator.place("bob")
    assert heard.until(Matched).slot == 1


def test_to_give_up_with_nothing_waiting_disturbs_nothing(keeping, emulator, heard):
    keeper = keeping()
    begun, go_on = threading.Event(), threading.Event()

    def other(sensor):
        begun.set()
        assert go_on.wait(PATIENCE)
        return sensor.getTemplateCount()

    work = keeper.reader.run(other)
    assert begun.wait(PATIENCE)
    keeper.cancel()
    go_on.set()
    assert work.result(PATIENCE) == 2
    emulator.place("ann")
    assert heard.until(Matched).slot == 0


def test_the_library_is_told_of_before_the_next_finger(keeping, emulator, heard, store):
    order = {"state": "ordered"}
    by = Author("staff", "s")
    store.record(Draft(Kind.TEMPLATE_REVOKED, person="ann", by=by, data=order)).result()
    told = []
    keeper = keeping(lambda: told.append({s.person for s in store.slots()}))
    assert told == [{"bob"}], "the order was carried out before the sensor was up"
    assert verifiable(keeper) == {"zoe"}
    emulator.place("ann")
    assert heard.until(object) is not None
    assert told == [{"bob"}], "what does not change is not told"


def test_a_listener_that_fails_does_no_other_harm(keeping, emulator, heard):
    def fail():
        raise RuntimeError("a screen that is gone")

    keeping(fail)
    emulator.place("bob")
    assert heard.until(Matched).slot == 1
