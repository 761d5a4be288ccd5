"""A reader that keeps its sensor: identity, repairs, heartbeat, escalation and a way back."""

from __future__ import annotations

import threading
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from drivers import commands, errors, exchange
from drivers.audit import Altered, Audit, Guard, Policy
from drivers.changes import enrol
from drivers.emulator import Emulator, Mishap
from drivers.extras import Colour, Effect, Light
from drivers.library import clear_stamp, identify_sensor, write_stamp
from drivers.profiles import (
    AURA_LED,
    GEN_IMAGE,
    IMAGE_TO_TEMPLATE,
    LED_ON,
    SEARCH,
    UP_CHAR,
    VERIFY_PASSWORD,
)
from drivers.reader import (
    FingerDown,
    GlassDirty,
    Lifted,
    Matched,
    NotMatched,
    Reader,
    ReaderTiming,
    SensorDown,
    SensorUp,
    Stage,
    open_zfm,
)
from drivers.reconcile import adopt, reconcile, wipe
from drivers.slots import SlotState
from drivers.zfm import reset_zfm
from tests.drivers.conftest import Events, wait_until
from tests.drivers.person import QUICK, same
from tests.drivers.table import MemoryTable

TIMING = ReaderTiming(
    poll=0.005, lift_seconds=0.02, retry_first=0.02, retry_last=0.05, heartbeat=0.05, audit=0.02
)


@pytest.fixture
def table():
    return MemoryTable()


@pytest.fixture
def made(emulator, events):
    """Readers with the given options, stopped at the end."""
    readers = []

    def make(timing=TIMING, port=emulator.port, **options):
        reader = Reader(lambda: open_zfm(port), events, timing, **options)
        readers.append(reader)
        reader.start()
        return reader

    yield make
    for reader in readers:
        reader.stop()


def keeping(table, **guard):
    return {
        "prepare": lambda sensor: reconcile(sensor, table).stamp,
        "confirm": Guard(table, **guard),
    }


def put_ann(emulator, table):
    with open_zfm(emulator.port) as sensor:
        reconcile(sensor, table)
        enrol(sensor, table, "ann", same(emulator, "ann"), QUICK)
    emulator.lift()


def open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


def touch(emulator, events, name):
    emulator.place(name)
    events.skip_to(FingerDown)
    answer = events.next((Matched, NotMatched))
    emulator.lift()
    events.skip_to(Lifted)
    return answer


def test_only_slots_of_the_table_name_anybody(emulator, events, made, table):
    put_ann(emulator, table)
    emulator.enrol("mallory", 6)
    made(**keeping(table))
    events.next(SensorUp)
    assert touch(emulator, events, "ann").slot == 0
    assert touch(emulator, events, "mallory") == NotMatched(refused=6)
    assert table.states()[6] is SlotState.QUARANTINED
    emulator.enrol("eve", 7)
    assert touch(emulator, events, "eve") == NotMatched(refused=7)


def test_a_template_exchanged_behind_the_kiosks_back_is_caught_by_its_digest(
    emulator, events, made, table
):
    put_ann(emulator, table)
    made(**keeping(table, every=1))
    events.next(SensorUp)
    assert touch(emulator, events, "ann").slot == 0
    emulator.enrol("mallory", 0)
    assert touch(emulator, events, "mallory") == NotMatched(refused=0)


def test_each_template_is_looked_at_once_per_connection(emulator, events, made, table):
    put_ann(emulator, table)
    guard = Guard(table, once=True)

    def reads():
        return emulator.history.count(UP_CHAR)

    with open_zfm(emulator.port) as sensor:
        before, stamp = reads(), table.binding().sensor
        assert guard(sensor, stamp, 0)
        once = reads()
        assert once > before
        assert guard(sensor, stamp, 0)
        assert reads() == once
        emulator.enrol("mallory", 0)
        guard.renew()
        assert not guard(sensor, stamp, 0)
        assert not guard(sensor, stamp, 0)


def test_a_stranger_is_closed_until_it_is_adopted(emulator, events, made, table, tmp_path):
    put_ann(emulator, table)
    with Emulator("r307", tmp_path / "other", seed=5) as other:
        with open_zfm(other.port) as sensor:
            identify_sensor(sensor)
        other.enrol("eve", 0)
        reader = made(port=other.port, **keeping(table))
        down = events.next(SensorDown)
        assert (type(down.cause), down.stage) == (errors.SensorIdentityMismatch, Stage.CLOSED)
        other.place("eve")
        assert isinstance(events.next(SensorDown).cause, errors.SensorIdentityMismatch)
        with pytest.raises(errors.SensorIdentityMismatch):
            reader.run(lambda sensor: sensor.capacity).result(2)
        assert GEN_IMAGE not in other.history
        other.lift()
        seen = reader.repair(partial(adopt, table=table)).result(2)
        assert seen.quarantined == {0}
        assert events.skip_to(SensorUp).sensor == seen.stamp.sensor
        assert touch(other, events, "eve") == NotMatched(refused=0)
        assert reader.repair(partial(wipe, table=table)).result(2).used == 0
        assert events.skip_to(SensorUp).used == 0
        assert other.slots == set()


def test_a_closed_sensor_is_free_for_a_tool_and_comes_back_by_itself(emulator, events, made, table):
    put_ann(emulator, table)
    emulator.swap(1)
    timing = replace(TIMING, retry_last=0.2, retry_first=0.2)
    reader = made(timing, **keeping(table))
    assert events.next(SensorDown).stage is Stage.CLOSED
    with open_zfm(emulator.port) as tool:
        # Longer than the reader waits: it comes, finds the port taken, and says that.
        assert isinstance(events.skip_to(SensorDown).cause, errors.PortBusy)
        with pytest.raises(errors.PortBusy):
            reader.repair(lambda sensor: sensor.capacity).result(2)
        assert adopt(tool, table).used == 0
    assert events.skip_to(SensorUp).sensor == table.binding().sensor
    emulator.place("ann")
    assert events.skip_to((NotMatched, Matched)) == NotMatched()


def test_work_handed_in_early_is_not_done_on_a_stranger_but_a_repair_is(emulator, events, table):
    put_ann(emulator, table)
    emulator.swap(1)
    reader = Reader(lambda: open_zfm(emulator.port), events, TIMING, **keeping(table))
    done = []
    early = reader.run(lambda sensor: done.append("work"))
    repair = reader.repair(lambda sensor: done.append("repair"))
    reader.start()
    try:
        with pytest.raises(errors.SensorIdentityMismatch):
            early.result(2)
        assert repair.result(2) is None
        assert done == ["repair"]
    finally:
        reader.stop()


def test_a_repair_that_does_not_help_leaves_a_stranger_closed_and_its_port_free(
    emulator, events, made, table
):
    put_ann(emulator, table)
    emulator.swap(1)
    reader = made(replace(TIMING, retry_last=60.0), **keeping(table))
    assert events.next(SensorDown).stage is Stage.CLOSED
    assert reader.repair(lambda sensor: sensor.capacity).result(2) == 1000
    assert events.next(SensorDown).stage is Stage.CLOSED
    with open_zfm(emulator.port) as tool:
        assert tool.readImage() is False
    with pytest.raises(ZeroDivisionError):
        reader.repair(lambda _: 1 // 0).result(2)
    assert events.next(SensorDown).stage is Stage.CLOSED
    with open_zfm(emulator.port) as tool:
        assert tool.readImage() is False


def test_a_module_swapped_behind_its_port_never_names_anybody(emulator, events, made, table):
    put_ann(emulator, table)
    emulator.swap(1)
    emulator.enrol("mallory", 0)
    with open_zfm(emulator.port) as sensor:
        identify_sensor(sensor)
    emulator.swap(0)
    made(replace(TIMING, heartbeat=60.0), **keeping(table))
    events.next(SensorUp)
    emulator.swap(1)
    emulator.place("mallory")
    events.next(FingerDown)
    down = events.next(SensorDown)
    assert isinstance(down.cause, errors.SensorIdentityMismatch)
    assert events.next(SensorDown).stage is Stage.CLOSED
    emulator.swap(0)
    emulator.place("ann")
    events.skip_to(SensorUp)
    events.next(FingerDown)
    assert events.next(Matched).slot == 0


@pytest.mark.parametrize("paused", [False, True])
def test_the_heartbeat_notices_an_exchanged_module_while_nobody_comes(
    emulator, events, made, paused
):
    reader = made()
    up = events.next(SensorUp)
    if paused:
        reader.pause()
    emulator.swap(1)
    down = events.next(SensorDown)
    assert isinstance(down.cause, errors.SensorIdentityMismatch)
    assert events.skip_to(SensorUp).sensor != up.sensor


def test_a_broken_sensor_says_so_and_is_kept_down_until_it_is_mended(tmp_path, events):
    with Emulator("r503", tmp_path / "ring") as emulator:
        reader = Reader(lambda: open_zfm(emulator.port), events, TIMING)
        reader.start()
        try:
            events.next(SensorUp)
            emulator.break_part("sensor")
            assert isinstance(events.skip_to(SensorDown).cause, errors.SensorFaulty)
            assert isinstance(events.next(SensorDown).cause, errors.SensorFaulty)
            emulator.heal()
            events.skip_to(SensorUp)
        finally:
            reader.stop()


def test_a_ghost_on_the_glass_is_dirt_and_a_real_finger_still_gets_in(emulator, events, made):
    emulator.enrol("ann", 2)
    made(replace(TIMING, stuck_after=0.05, stuck_poll=0.01))
    events.next(SensorUp)
    emulator.haunt()
    events.skip_to(GlassDirty)
    emulator.place("ann")
    assert events.skip_to(Matched).slot == 2
    emulator.lift()
    emulator.wipe()
    events.skip_to(Lifted)


def test_idle_work_audits_one_template_after_the_other(emulator, events, made, table):
    put_ann(emulator, table)
    with open_zfm(emulator.port) as sensor:
        enrol(sensor, table, "bob", same(emulator, "bob"), QUICK)
    emulator.lift()
    found = Events()
    made(**keeping(table), idle=Audit(table, Policy.STRICT, found))
    uuid = events.next(SensorUp).sensor
    found.none_for(0.1)
    emulator.enrol("mallory", 1)
    assert found.next(Altered) == Altered(uuid, 1, "bob")
    assert table.states() == {0: SlotState.ACTIVE, 1: SlotState.QUARANTINED}


def test_an_audit_that_only_warns_changes_nothing_and_off_is_silent(emulator, sensor, table):
    reconcile(sensor, table)
    enrol(sensor, table, "ann", same(emulator, "ann"), QUICK)
    emulator.enrol("mallory", 0)
    found = []
    before = dict(table.rows)
    Audit(table, Policy.WARN, found.append)(sensor)
    assert [altered.owner for altered in found] == ["ann"]
    before_off = len(emulator.history)
    Audit(table, Policy.OFF, found.append)(sensor)
    assert len(emulator.history) == before_off
    assert table.rows == before


def test_a_silent_sensor_goes_from_reopening_to_reset_to_out_of_service_and_back(
    emulator, events, made, monkeypatch
):
    monkeypatch.setitem(commands.DEADLINES, GEN_IMAGE, 0.03)
    monkeypatch.setattr(exchange, "SYNC_TRY", 0.02)
    monkeypatch.setattr(exchange, "_BOOT_TRY", 0.02)
    monkeypatch.setattr(exchange, "_BOOT_WAIT", 0.02)
    resets = []
    timing = replace(TIMING, reset_after=2, give_up_after=4)
    made(timing, reset=lambda: resets.append(1))
    events.next(SensorUp)
    emulator.inject(*[Mishap(silent=True)] * 1000)
    stages = [events.skip_to(SensorDown).stage]
    while stages[-1] is not Stage.OUT_OF_SERVICE:
        stages.append(events.next(SensorDown, 10).stage)
    assert stages == [Stage.REOPENING, Stage.RESETTING, Stage.RESETTING, Stage.OUT_OF_SERVICE]
    assert len(resets) >= 1
    down = events.next(SensorDown, 10)
    assert (down.stage, type(down.cause)) == (Stage.OUT_OF_SERVICE, errors.ResponseTimeout)
    emulator.heal()
    events.skip_to(SensorUp, 10)
    emulator.place("ann")
    events.next(FingerDown)


def test_a_reset_that_blows_up_does_no_harm(emulator, events):
    def reset():
        raise ZeroDivisionError

    timing = replace(TIMING, reset_after=1, give_up_after=2)
    failing = iter([errors.ResponseTimeout()] * 3)
    reader = Reader(
        lambda: (next(failing, None) and fail()) or open_zfm(emulator.port),
        events,
        timing,
        reset=reset,
    )
    reader.start()
    try:
        events.skip_to(SensorUp)
    finally:
        reader.stop()


def fail():
    raise errors.ResponseTimeout


def test_a_port_that_is_missing_is_never_reset(events, tmp_path):
    resets = []
    timing = replace(TIMING, reset_after=1, give_up_after=3)
    reader = Reader(
        lambda: open_zfm(str(tmp_path / "none")), events, timing, reset=lambda: resets.append(1)
    )
    reader.start()
    stages = [events.next(SensorDown).stage for _ in range(4)]
    reader.stop()
    assert stages == [Stage.REOPENING] * 2 + [Stage.OUT_OF_SERVICE] * 2
    assert resets == []


def test_a_flapping_sensor_does_not_count_as_recovered(emulator, events, made):
    made(replace(TIMING, retry_first=0.01, retry_last=0.2, stable_after=60.0))
    pauses = []
    for _ in range(6):
        events.skip_to(SensorUp)
        emulator.inject(Mishap(instruction=GEN_IMAGE, code=0x21))
        pauses.append(events.skip_to(SensorDown).retry_in)
    assert pauses[-1] > pauses[0] * 4


def test_a_soft_reset_reaches_an_r503_and_it_comes_back(tmp_path):
    with Emulator("r503", tmp_path / "ring") as emulator:
        with open_zfm(emulator.port) as sensor:
            assert sensor.check_sensor()
            assert sensor.soft_reset()
            assert sensor.readImage() is False
        reset_zfm(emulator.port)
        with open_zfm(emulator.port) as sensor:
            assert sensor.readImage() is False


def test_lights_follow_what_happens_and_never_come_between_image_and_search(tmp_path, events):
    green = Light(Effect.FLASH, Colour.BLUE, count=2)
    lights = {SensorUp: Light(Effect.BREATHE), FingerDown: Light(), Matched: green}
    with Emulator("r503", tmp_path / "ring") as emulator:
        emulator.enrol("ann", 3)
        reader = Reader(lambda: open_zfm(emulator.port), events, TIMING, lights=lights)
        reader.start()
        try:
            events.next(SensorUp)
            emulator.place("ann")
            events.skip_to(Matched)
            wait_until(lambda: AURA_LED in emulator.history)
            history = emulator.history
        finally:
            reader.stop()
        at = history.index(SEARCH)
        assert history[at - 2 : at + 1] == [GEN_IMAGE, IMAGE_TO_TEMPLATE, SEARCH]


def test_a_module_without_lights_is_asked_twice_at_most(emulator, sensor):
    assert sensor.show(Light()) is True, "an R307 has a backlight"
    assert emulator.history[-1] == LED_ON


def test_no_light_at_all_is_no_error(tmp_path):
    with Emulator("zfm20", tmp_path / "dark") as emulator, open_zfm(emulator.port) as sensor:
        assert sensor.show(Light()) is False
        before = len(emulator.history)
        assert sensor.show(Light(Effect.OFF)) in {True, False}
        assert sensor.show(Light()) is False
        assert AURA_LED not in emulator.history[before:]
        assert LED_ON not in emulator.history[before:]


def test_an_idle_reader_sleeps(emulator, events, made):
    """It polls by sleeping: no more than a few commands for each poll interval."""
    made(ReaderTiming(poll=0.04))
    events.next(SensorUp)
    before = len(emulator.history)
    threading.Event().wait(0.4)
    polls = emulator.history[before:].count(GEN_IMAGE)
    assert 2 <= polls <= 11


def test_no_descriptor_or_thread_is_left_by_a_hundred_reconnects(emulator, events, made):
    made(replace(TIMING, retry_first=0.001, retry_last=0.002))
    events.next(SensorUp)
    wait_until(lambda: GEN_IMAGE in emulator.history)
    descriptors, threads = open_files(), threading.active_count()
    for _ in range(100):
        emulator.inject(Mishap(instruction=GEN_IMAGE, code=0x21))
        events.skip_to(SensorDown)
        events.skip_to(SensorUp)
    wait_until(lambda: open_files() <= descriptors)
    assert threading.active_count() == threads


def test_the_password_is_shown_again_after_a_restart(emulator, sensor):
    emulator.inject(Mishap(instruction=GEN_IMAGE, code=0x21))
    with pytest.raises(errors.PasswordRequired):
        sensor.readImage()
    before = len(emulator.history)
    assert sensor.readImage() is False
    assert VERIFY_PASSWORD in emulator.history[before:]


def test_a_stamp_lost_in_use_is_an_identity_lost(emulator, sensor):
    stamp = identify_sensor(sensor)
    guard = Guard(MemoryTable())
    with pytest.raises(errors.SensorIdentityMismatch):
        guard(sensor, stamp.sensor, 0)
    clear_stamp(sensor)
    write_stamp(sensor, stamp)
    assert identify_sensor(sensor) == stamp
