"""Sensor against records: what is quarantined, missing, settled, and what closes the door."""

from __future__ import annotations

from dataclasses import replace

import pytest

from drivers import errors
from drivers.changes import delete, enrol, provision
from drivers.emulator import Emulator
from drivers.library import Stamp, identify_sensor, read_stamp, used_slots, write_stamp
from drivers.profiles import R307
from drivers.reconcile import adopt, decommission, reconcile, wipe
from drivers.slots import Binding, Entry, SlotState
from drivers.templates import digest_of, read_template
from drivers.zfm import open_zfm
from tests.drivers.person import QUICK, same
from tests.drivers.table import MemoryTable


@pytest.fixture
def table():
    return MemoryTable()


def enrolled(emulator, sensor, table, *names):
    if table.bound is None:
        reconcile(sensor, table)
    return [enrol(sensor, table, name, same(emulator, name), QUICK).slot for name in names]


def test_a_blank_sensor_is_stamped_and_bound(sensor, table):
    seen = reconcile(sensor, table)
    assert table.bound == Binding(seen.stamp.sensor, 0)
    assert read_stamp(sensor) == seen.stamp
    assert (seen.used, seen.free, seen.fill, seen.trusted) == (0, 1000, 0.0, True)


def test_everybody_enrolled_is_active_and_the_generation_counts_changes(emulator, sensor, table):
    assert enrolled(emulator, sensor, table, "ann", "bob") == [0, 1]
    seen = reconcile(sensor, table)
    assert seen.active == {0, 1}
    assert seen.stamp.generation == table.bound.generation == 2
    delete(sensor, table, 0)
    assert used_slots(sensor) == {1}
    assert reconcile(sensor, table).stamp.generation == table.bound.generation == 3
    assert table.states() == {1: SlotState.ACTIVE}


def test_a_template_nobody_put_there_is_quarantined_and_can_be_deleted(emulator, sensor, table):
    enrolled(emulator, sensor, table, "ann")
    emulator.enrol("mallory", 7)
    seen = reconcile(sensor, table)
    assert (seen.active, seen.quarantined) == ({0}, {7})
    assert table.owner_of(seen.stamp.sensor, 7) is None
    delete(sensor, table, 7)
    assert reconcile(sensor, table).quarantined == set()
    emulator.enrol("mallory", 7)
    reconcile(sensor, table)
    sensor.deleteTemplate(7)
    assert reconcile(sensor, table).quarantined == set()


def test_a_cleared_sensor_names_nobody_and_people_come_back_from_their_templates(
    emulator, sensor, table
):
    slot = enrolled(emulator, sensor, table, "ann")[0]
    template = read_template(sensor, slot)
    sensor.clearDatabase()
    seen = reconcile(sensor, table)
    assert (seen.missing, seen.active, seen.free) == ({0}, set(), 999)
    placed = provision(sensor, table, "ann", template, slot)
    assert (placed.slot, placed.digest) == (slot, template.digest)
    emulator.place("ann")
    sensor.readImage(), sensor.convertImage()
    assert sensor.find()[0] == slot
    assert table.owner_of(placed.sensor, slot) == "ann"
    assert reconcile(sensor, table).active == {slot}


def test_a_slot_that_comes_back_is_believed_by_its_digest_only(emulator, sensor, table):
    uuid = reconcile(sensor, table).stamp.sensor
    emulator.enrol("ann", 3)
    emulator.enrol("eve", 4)
    table.put(uuid, Entry(3, SlotState.MISSING, "ann", digest_of(sensor, 3)))
    table.put(uuid, Entry(4, SlotState.MISSING, "bob", "0" * 64))
    seen = reconcile(sensor, table)
    assert (seen.active, seen.quarantined) == ({3}, {4})


@pytest.mark.parametrize(
    ("generation", "why"), [(1, "behind"), (4, "ahead"), (3, "ahead"), (2, None)]
)
def test_another_generation_closes_the_door(emulator, sensor, table, generation, why):
    enrolled(emulator, sensor, table, "ann", "bob")
    uuid = table.bound.sensor
    write_stamp(sensor, Stamp(uuid, generation))
    if why is None:
        assert reconcile(sensor, table).active == {0, 1}
        return
    before = dict(table.rows)
    with pytest.raises(errors.SensorIdentityMismatch) as caught:
        reconcile(sensor, table)
    assert (caught.value.why, caught.value.found) == (why, uuid)
    assert table.rows == before


def test_an_old_backup_of_the_table_never_names_who_came_later(emulator, sensor, table):
    enrolled(emulator, sensor, table, "ann")
    backup, bound = dict(table.rows), table.bound
    delete(sensor, table, 0)
    enrolled(emulator, sensor, table, "bob")
    table.rows, table.bound = backup, bound
    with pytest.raises(errors.SensorIdentityMismatch) as caught:
        reconcile(sensor, table)
    assert caught.value.why == "ahead"
    seen = adopt(sensor, table)
    assert (seen.active, seen.quarantined) == (set(), {0})
    assert reconcile(sensor, table) == seen


def test_a_swapped_or_blank_sensor_closes_the_door_and_nothing_is_changed(
    emulator, sensor, table, tmp_path
):
    enrolled(emulator, sensor, table, "ann")
    before, bound = dict(table.rows), table.bound
    with Emulator("r307", tmp_path / "other", seed=9) as other, open_zfm(other.port) as second:
        other.enrol("eve", 0)
        with pytest.raises(errors.SensorIdentityMismatch) as caught:
            reconcile(second, table)
        assert caught.value.why == "blank"
        assert read_stamp(second) is None
        identify_sensor(second)
        with pytest.raises(errors.SensorIdentityMismatch) as caught:
            reconcile(second, table)
        assert (caught.value.why, caught.value.expected) == ("foreign", bound.sensor)
        for change in (
            lambda: enrol(second, table, "zoe", same(other, "zoe"), QUICK),
            lambda: delete(second, table, 0),
        ):
            with pytest.raises(errors.SensorIdentityMismatch):
                change()
        assert (table.rows, table.bound) == (before, bound)
        assert other.slots == {0}
        seen = adopt(second, table)
        assert (seen.active, seen.quarantined) == (set(), {0})
        with pytest.raises(errors.SensorIdentityMismatch):
            reconcile(sensor, table)
        assert adopt(sensor, table).active == {0}, "the first one's owners are proved by digest"


def test_a_stamp_on_another_kiosks_library_is_not_taken_over_unasked(emulator, sensor, table):
    other = MemoryTable()
    enrolled(emulator, sensor, other, "ann")
    with pytest.raises(errors.SensorIdentityMismatch) as caught:
        reconcile(sensor, table)
    assert caught.value.why == "foreign"
    assert table.bound is None
    with pytest.raises(errors.SensorIdentityMismatch):
        enrol(sensor, table, "bob", same(emulator, "bob"), QUICK)


def test_a_damaged_stamp_waits_for_an_administrator(emulator, sensor, table):
    enrolled(emulator, sensor, table, "ann")
    for page in (0, 1):
        sensor.write_notepad(page, b"WHRL" + bytes(28))
    with pytest.raises(errors.LibraryMismatch):
        reconcile(sensor, table)
    seen = adopt(sensor, table)
    assert seen.quarantined == {0}


def test_wiping_the_bound_sensor_keeps_its_identity_and_the_people_as_missing(
    emulator, sensor, table
):
    enrolled(emulator, sensor, table, "ann")
    uuid = table.bound.sensor
    seen = wipe(sensor, table)
    assert (seen.stamp.sensor, seen.missing, seen.used) == (uuid, {0}, 0)
    assert emulator.slots == set()


def test_wiping_a_strange_sensor_gives_it_a_new_identity(emulator, sensor, table, tmp_path):
    enrolled(emulator, sensor, table, "ann")
    with Emulator("r307", tmp_path / "other") as other, open_zfm(other.port) as second:
        stamp = identify_sensor(second)
        other.enrol("eve", 5)
        seen = wipe(second, table)
        assert seen.stamp.sensor not in {stamp.sensor, identify_sensor(sensor).sensor}
        assert other.slots == set()
        assert reconcile(second, table) == seen


def test_decommissioning_leaves_nothing(emulator, sensor, table):
    enrolled(emulator, sensor, table, "ann")
    decommission(sensor)
    assert emulator.slots == set()
    assert read_stamp(sensor) is None


def test_a_count_that_is_not_the_indexs_is_distrusted(emulator, sensor, table, monkeypatch):
    enrolled(emulator, sensor, table, "ann")
    assert reconcile(sensor, table).trusted
    monkeypatch.setattr(sensor, "getTemplateCount", lambda: 3)
    assert not reconcile(sensor, table).trusted


@pytest.fixture
def weak(tmp_path):
    with Emulator("zfm20", tmp_path / "weak", seed=1) as emulator:
        yield emulator


def test_a_weak_sensor_is_known_by_its_index_and_its_templates(weak, table, tmp_path):
    with open_zfm(weak.port) as sensor:
        enrolled(weak, sensor, table, "ann", "bob")
        seen = reconcile(sensor, table)
        assert (seen.stamp.weak, seen.active) == (True, {0, 1})
        assert reconcile(sensor, table) == seen
    with Emulator("zfm20", tmp_path / "twin", seed=2) as twin, open_zfm(twin.port) as second:
        for names in (("eve", 0),), (("mallory", 1),):
            with pytest.raises(errors.SensorIdentityMismatch) as caught:
                reconcile(second, table)
            assert caught.value.why == "weak"
            for name, slot in names:
                twin.enrol(name, slot)
        assert twin.slots == {0, 1}
        with pytest.raises(errors.SensorIdentityMismatch, match="another template"):
            reconcile(second, table)
        assert adopt(second, table).quarantined == {0, 1}


@pytest.mark.parametrize("change", ["one more", "one less", "none"])
def test_a_weak_sensor_whose_slots_are_not_those_on_record_is_a_stranger(weak, table, change):
    with open_zfm(weak.port) as sensor:
        enrolled(weak, sensor, table, "ann", "bob")
        if change == "one more":
            weak.enrol("eve", 5)
        elif change == "one less":
            sensor.deleteTemplate(1)
        else:
            weak.clear_library()
        with pytest.raises(errors.SensorIdentityMismatch, match="used slots") as caught:
            reconcile(sensor, table)
        assert caught.value.why == "weak"


def test_what_a_weak_sensor_may_hold_by_accident_is_not_deleted(weak, table):
    with open_zfm(weak.port) as sensor:
        enrolled(weak, sensor, table, "ann")
        weak.enrol("eve", 1)
        table.put(table.bound.sensor, Entry(1, SlotState.PENDING, "bob"))
        seen = reconcile(sensor, table)
        assert (seen.active, seen.quarantined) == ({0}, {1})
        delete(sensor, table, 0)
        delete(sensor, table, 1)
        assert reconcile(sensor, table).used == 0
        assert weak.slots == set()


def test_a_slot_that_will_not_be_emptied_stays_refused(emulator, sensor, table, monkeypatch):
    enrolled(emulator, sensor, table, "ann")
    with monkeypatch.context() as patch:
        patch.setattr(sensor, "deleteTemplate", lambda *_: False)
        with pytest.raises(errors.FlashError):
            delete(sensor, table, 0)
        assert reconcile(sensor, table).unfinished == {0}
        assert table.owner_of(table.bound.sensor, 0) is None
    assert reconcile(sensor, table).used == 0


def test_the_gauge_of_a_small_library(tmp_path, table):
    small = replace(R307, capacity=4)
    with Emulator(small, tmp_path / "small") as emulator, open_zfm(emulator.port) as sensor:
        enrolled(emulator, sensor, table, "ann", "bob", "eve", "zoe")
        seen = reconcile(sensor, table)
        assert (seen.used, seen.free, seen.fill) == (4, 0, 1.0)
        with pytest.raises(errors.LibraryFull):
            enrol(sensor, table, "joe", same(emulator, "joe"), QUICK)
        assert table.states() == dict.fromkeys(range(4), SlotState.ACTIVE)
