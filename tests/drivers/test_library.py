"""The identity stamp and the index table, on the emulated sensor."""

from __future__ import annotations

import uuid
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.emulator import Emulator
from drivers.errors import LibraryFull, LibraryMismatch, Refused
from drivers.library import (
    Stamp,
    clear_stamp,
    free_slot,
    identify_sensor,
    read_stamp,
    slot_in_use,
    used_slots,
    write_stamp,
)
from drivers.profiles import R307
from drivers.zfm import open_zfm


def test_a_blank_module_is_stamped_once_and_known_after_a_power_cycle(emulator, sensor):
    assert read_stamp(sensor) is None
    stamp = identify_sensor(sensor)
    assert stamp == Stamp(str(uuid.UUID(stamp.sensor)), 0)
    assert identify_sensor(sensor) == stamp
    sensor.close()
    emulator.unplug()
    emulator.replug()
    with open_zfm(emulator.port) as again:
        assert identify_sensor(again) == stamp


def test_two_blank_modules_get_two_identities(sensor, tmp_path):
    with Emulator("r307", tmp_path / "other", seed=7) as other, open_zfm(other.port) as second:
        assert identify_sensor(sensor) != identify_sensor(second)


def test_the_stamp_is_laid_out_as_described(sensor):
    sensor_id = uuid.uuid4()
    write_stamp(sensor, Stamp(str(sensor_id), 0x01020304))
    page = sensor.read_notepad(0)
    assert page[:4] == b"WHRL"
    assert page[4:20] == sensor_id.bytes
    assert page[20:24] == b"\x01\x02\x03\x04"
    assert page[28:] == bytes(4)
    assert read_stamp(sensor) == Stamp(str(sensor_id), 0x01020304)


def test_a_page_of_erased_flash_is_blank(sensor):
    sensor.write_notepad(0, b"\xff" * 32)
    assert read_stamp(sensor) is None


@pytest.mark.parametrize("at", [4, 19, 23, 27])
def test_a_damaged_stamp_is_never_overwritten_by_itself(sensor, at):
    identify_sensor(sensor)
    page = bytearray(sensor.read_notepad(0))
    page[at] ^= 0x10
    for number in (0, 1):
        sensor.write_notepad(number, bytes(page))
    with pytest.raises(LibraryMismatch, match="damaged"):
        identify_sensor(sensor)
    assert sensor.read_notepad(0) == sensor.read_notepad(1) == bytes(page)


@pytest.mark.parametrize("torn", [b"", b"\xff" * 32, b"WHRL" + b"\x07" * 28], ids=str)
def test_a_page_torn_by_a_power_cut_leaves_its_copy(sensor, torn):
    stamp = identify_sensor(sensor)
    sensor.write_notepad(0, torn)
    assert read_stamp(sensor) == stamp
    write_stamp(sensor, Stamp(stamp.sensor, 5))
    sensor.write_notepad(1, torn)
    assert identify_sensor(sensor) == Stamp(stamp.sensor, 5)


def test_a_module_with_one_page_keeps_one_stamp(tmp_path):
    small = replace(R307, notepad_pages=1)
    with Emulator(small, tmp_path / "sensor") as emulator, open_zfm(emulator.port) as sensor:
        assert identify_sensor(sensor) == identify_sensor(sensor)


def test_clearing_the_stamp_makes_the_module_blank(sensor):
    first = identify_sensor(sensor)
    clear_stamp(sensor)
    assert read_stamp(sensor) is None
    assert identify_sensor(sensor) != first


def test_another_programs_page_is_left_alone(sensor):
    sensor.write_notepad(0, b"someone else's notes")
    with pytest.raises(LibraryMismatch, match="another program"):
        identify_sensor(sensor)


def test_a_stamp_that_does_not_hold_is_noticed(sensor, monkeypatch):
    monkeypatch.setattr(sensor, "write_notepad", lambda page, data: None)
    with pytest.raises(LibraryMismatch, match="did not keep"):
        identify_sensor(sensor)


def test_a_module_without_a_notepad_has_a_weak_identity_that_lasts(tmp_path):
    with Emulator("zfm20", tmp_path / "sensor") as emulator, open_zfm(emulator.port) as sensor:
        with pytest.raises(Refused):
            read_stamp(sensor)
        stamp = identify_sensor(sensor)
        assert stamp.weak
        assert identify_sensor(sensor) == stamp


@pytest.mark.parametrize("capacity", [162, 200, 1000])
def test_used_slots_reads_every_page_and_no_bit_amiss(tmp_path, capacity):
    slots = {slot for slot in (0, 1, 7, 8, 161, 199, 255, 256, 511, 999) if slot < capacity}
    profile = replace(R307, capacity=capacity)
    with Emulator(profile, tmp_path / "sensor") as emulator, open_zfm(emulator.port) as sensor:
        for slot in slots:
            emulator.enrol(f"finger {slot}", slot)
        assert used_slots(sensor) == slots
        assert slot_in_use(sensor, min(slots))
        assert not slot_in_use(sensor, 100)


@given(st.sets(st.integers(0, 20)), st.sets(st.integers(0, 20)), st.integers(0, 20))
def test_a_free_slot_is_free_on_both_sides_and_the_lowest(in_sensor, in_table, capacity):
    taken = in_sensor | in_table
    open_slots = [slot for slot in range(capacity) if slot not in taken]
    if open_slots:
        assert free_slot(in_sensor, in_table, capacity) == open_slots[0]
    else:
        with pytest.raises(LibraryFull):
            free_slot(in_sensor, in_table, capacity)
