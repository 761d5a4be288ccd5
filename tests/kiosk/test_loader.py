"""The session's people in a sensor that is too small for all, while the kiosk runs."""

from __future__ import annotations

import contextlib
import itertools
from dataclasses import replace

import msgspec
import pytest

from drivers.emulator import Emulator
from drivers.events import FingerDown, Lifted, Matched
from drivers.profiles import GEN_IMAGE, R307, STORE, ZFM20
from drivers.reconcile import reconcile
from drivers.slots import SlotState
from drivers.zfm import ZfmSensor, open_zfm
from kiosk.cache import last_seen
from kiosk.clock import NS
from kiosk.keeper import Keeper
from kiosk.loader import RosterLoader
from kiosk.model import Kind, Session
from kiosk.slots import StoredSlots
from kiosk.store import Draft
from kiosk.verification import Verdict
from tests.fakes import NOON
from tests.killed import killed_at_call
from tests.kiosk.keeping import PATIENCE, QUIET, Heard, settings
from tests.kiosk.library import keep, know, put_in
from tests.kiosk.test_cache import _kept
from tests.waiting import wait_for

MONDAY = ("ann", "bob", "cat")
TUESDAY = ("dan", "eve", "fay")
EVERYBODY = {*MONDAY, *TUESDAY}


@pytest.fixture
def small(tmp_path, request):
    """A module with room for three."""
    profile = replace(getattr(request, "param", R307), capacity=3)
    with Emulator(profile, tmp_path / "sensor", seed=5) as running:
        yield running


@pytest.fixture
def kept(small, store, slots, templates):
    """Six people are known, consent, and are kept; nobody is in the sensor."""
    know(store, *sorted(EVERYBODY))
    with open_zfm(small.port) as sensor:
        reconcile(sensor, slots)
        for name in sorted(EVERYBODY):
            keep(sensor, templates, name)
    templates.close()


def inside(store):
    """Who is active in the sensor, by the records."""
    return {slot.person for slot in store.slots() if slot.status == SlotState.ACTIVE}


def is_inside(store, people):
    wait_for(lambda: inside(store) == set(people), f"{people} to be in the sensor")


@pytest.mark.usefixtures("kept")
def test_each_sessions_people_are_in_the_sensor_and_nobody_is_lost(keepers, small, store, heard):
    told = []
    keeper = keepers(lambda: told.append(inside(store)))
    for roster in (MONDAY, TUESDAY, MONDAY):
        keeper.roster(roster)
        is_inside(store, roster)
        wait_for(lambda: told[-1] == inside(store), "the change to be told")
        assert len(small.slots) == 3
        assert {name for name in EVERYBODY if keeper.can_verify(name)} == EVERYBODY - set(roster)
    small.place("cat")
    assert heard.until(Matched)
    small.lift()
    heard.until(Lifted)
    future = keeper.verify("eve", lambda: small.place("eve"))
    assert future.result(PATIENCE).verdict is Verdict.MATCHED
    small.lift()


@pytest.mark.usefixtures("kept")
def test_between_any_two_changes_the_glass_is_looked_at(keepers, small, store):
    keepers().roster(MONDAY)
    is_inside(store, MONDAY)
    history = small.history
    stores = [at for at, command in enumerate(history) if command == STORE]
    assert len(stores) == 3
    for first, second in itertools.pairwise(stores):
        assert GEN_IMAGE in history[first:second]


@pytest.mark.usefixtures("kept")
def test_nobody_is_moved_while_a_finger_is_on_the_glass(keepers, small, store, heard):
    keeper = keepers()
    small.place("stranger")
    heard.until(FingerDown)
    keeper.roster(MONDAY)
    looks = small.history.count(GEN_IMAGE)
    wait_for(lambda: small.history.count(GEN_IMAGE) > looks + 12, "the glass to be looked at")
    assert STORE not in small.history
    small.lift()
    is_inside(store, MONDAY)


@pytest.mark.usefixtures("kept")
def test_who_does_not_consent_is_not_brought_in(keepers, small, store):
    no = {"text": "1", "language": "en", "answer": "no"}
    store.record(Draft(Kind.CONSENT, person="bob", data=no)).result()
    keepers().roster(MONDAY)
    is_inside(store, ("ann", "cat"))


@pytest.mark.parametrize("how", [{"roster_cache": False}, {"backup": False}])
@pytest.mark.usefixtures("kept")
def test_nothing_is_moved_where_the_settings_say_so(keepers, small, how):
    keeper = keepers(**how)
    keeper.roster(MONDAY)
    looks = small.history.count(GEN_IMAGE)
    wait_for(lambda: small.history.count(GEN_IMAGE) > looks + 12, "the glass to be looked at")
    assert STORE not in small.history


@pytest.mark.usefixtures("kept")
def test_who_is_in_the_sensor_only_is_never_evicted(keepers, small, store, slots):
    with open_zfm(small.port) as sensor:
        know(store, "zoe")
        put_in(sensor, slots, "zoe")
    keepers().roster(MONDAY)
    wait_for(lambda: len(inside(store)) == 3, "a full sensor")
    assert "zoe" in inside(store)


@pytest.mark.usefixtures("kept")
def test_a_sensor_that_comes_back_is_gone_on_with(keepers, small, store):
    keeper = keepers()
    small.unplug()
    keeper.roster(TUESDAY)
    small.replug()
    is_inside(store, TUESDAY)


@pytest.mark.parametrize(("small", "call"), [(R307, 1), (ZFM20, 8)], indirect=["small"])
def test_killed_in_the_middle_the_next_start_gets_there(tmp_path, small, open_store, clock, call):
    store = open_store()
    know(store, *sorted(EVERYBODY))
    kept = _kept(tmp_path, clock)
    with open_zfm(small.port) as sensor:
        slots = StoredSlots(store, clock)
        reconcile(sensor, slots)
        for name in MONDAY:
            put_in(sensor, slots, name)
        for name in sorted(EVERYBODY):
            keep(sensor, kept, name)
    kept.close()
    store.close()

    def change_over(step):
        step(StoredSlots, "put", "drop")
        step(ZfmSensor, "storeTemplate", "deleteTemplate", "write_notepad")
        with _running(open_store(), clock, tmp_path) as again:
            is_inside(again, TUESDAY)

    assert not killed_at_call(change_over, call)
    with _running(open_store(), clock, tmp_path) as again:
        is_inside(again, TUESDAY)
        assert len(small.slots) == 3
        assert {slot.status for slot in again.slots()} == {SlotState.ACTIVE}


@contextlib.contextmanager
def _running(store, clock, folder):
    keeper = Keeper(settings(folder), store, clock, Heard(), QUIET)
    keeper.start()
    keeper.roster(TUESDAY)
    try:
        yield store
    finally:
        keeper.stop()


def test_who_came_last_is_known_from_the_sessions(store):
    evening = Session("evening", "Evening", "UTC", NOON - 3600 * NS, NOON + 3600 * NS)
    opened = Draft(Kind.SESSION_OPENED, "evening", data=msgspec.to_builtins(evening))
    store.record(opened).result()
    store.record(Draft(Kind.CHECK_IN, "evening", "ann", data={"method": "finger"})).result()
    seen = last_seen(store, NOON)
    assert seen.keys() == {"ann"}
    assert abs(seen["ann"] - NOON) < 3600 * NS
    assert last_seen(store, NOON - 7200 * NS) == {}, "that session has not begun"


def test_a_loader_that_stumbles_goes_on_at_the_next_call():
    tries = []

    def change(people):
        tries.append(people)
        if len(tries) == 1:
            raise RuntimeError("a bad day")
        return False

    loader = RosterLoader(change, quiet=0.0)
    loader.start()
    loader.load(lambda: {"ann"})
    wait_for(lambda: len(tries) == 1, "the first try")
    loader.look_again()
    wait_for(lambda: len(tries) == 2, "the second")
    loader.end()
    loader.join()
    assert tries == [{"ann"}, {"ann"}]
