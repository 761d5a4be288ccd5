"""The state file: what survives the process, and what becomes of a damaged file."""

from __future__ import annotations

import contextlib
import json
import logging

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drivers.emulator import Emulator, StateFileError, state
from drivers.emulator.memory import Flash
from drivers.profiles import PROFILES, R307
from tests.drivers.conftest import wait_until
from tests.drivers.emulated import Host, ack, command

_FLASHES = st.builds(
    Flash,
    address=st.integers(0, 0xFFFFFFFF),
    password=st.integers(0, 0xFFFFFFFF),
    security_level=st.integers(1, 5),
    packet_code=st.integers(0, 3),
    baud_code=st.integers(1, 12),
    serial=st.integers(0, 99_999_999).map(lambda number: b"%08d" % number),
    library=st.dictionaries(st.integers(0, 999), st.binary(min_size=512, max_size=512), max_size=3),
    notepad=st.dictionaries(st.integers(0, 15), st.binary(min_size=32, max_size=32), max_size=3),
)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "flash.json"


def start(tmp_path, file, profile="r307"):
    return Emulator(profile, tmp_path / "port", state=file)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(st.dictionaries(st.integers(0, 9), _FLASHES, max_size=3), st.integers(0, 9))
def test_what_is_saved_is_loaded(file, modules, plugged):
    state.save(file, R307, modules, plugged)
    assert state.load(file, R307) == (modules, plugged)


def test_flash_outlives_the_process_and_ram_does_not(tmp_path, file):
    with start(tmp_path, file) as emulator, Host(emulator.port) as host:
        emulator.enrol("ann", 3)
        for frame in (
            command(0x18, 2, *range(32)),
            command(0x0E, 5, 5),
            command(0x15, 1, 2, 3, 4),
        ):
            host.send(frame)
            assert len(host.hear(12)) == 12
        emulator.set_password(0xCAFE)
        emulator.swap(4)
        emulator.enrol("bob", 8)
        shown = emulator.look()
    with start(tmp_path, file) as emulator, Host(emulator.port) as host:
        assert emulator.look() == shown
        assert emulator.slots == {8}
        emulator.swap(0)
        assert emulator.slots == {3}
        host.send(command(0x01, address=0x01020304))
        assert host.hear(12) == ack(0x21, address=0x01020304)
        host.send(command(0x13, 0, 0, 0xCA, 0xFE, address=0x01020304))
        assert host.hear(12) == ack(0, address=0x01020304)
        host.send(command(0x19, 2, address=0x01020304))
        assert host.hear(44) == ack(0, *range(32), address=0x01020304)
        host.send(command(0x0F, address=0x01020304))
        assert host.hear(28)[17] == 5


def test_what_was_acknowledged_is_in_the_file_already(tmp_path, file):
    with start(tmp_path, file) as emulator, Host(emulator.port) as host:
        emulator.place("ann")
        for frame in (command(0x01), command(0x02, 1)):
            host.send(frame)
            assert host.hear(12) == ack(0)
        assert not file.exists(), "nothing was written yet"
        host.send(command(0x06, 1, 0, 7))
        assert host.hear(12) == ack(0)
        modules, _ = state.load(file, R307)
        assert set(modules[0].library) == {7}
    assert list(tmp_path.glob(".flash*")) == []


def test_a_parameter_that_changes_after_its_acknowledgement_is_kept_too(tmp_path, file):
    with start(tmp_path, file) as emulator, Host(emulator.port) as host:
        host.send(command(0x0E, 5, 1))
        assert host.hear(12) == ack(0)
        wait_until(file.exists)
        assert state.load(file, R307)[0][0].security_level == 1


GOOD = json.dumps(
    {
        "emulator": 1,
        "profile": "r307",
        "plugged": 0,
        "modules": {
            "0": {
                "address": 1,
                "password": 0,
                "security_level": 3,
                "packet_code": 2,
                "baud_code": 6,
                "serial": "00000000",
                "library": {},
                "notepad": {"0": "A" * 42 + "A="},
            }
        },
    }
)


def test_the_example_that_is_damaged_below_is_whole(file):
    file.write_text(GOOD)
    assert state.load(file, R307)[0][0].notepad == {0: bytes(32)}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "not json",
        "[]",
        "null",
        "{}",
        "[" * 100_000,
        GOOD[:-40],
        GOOD.replace('"emulator": 1', '"emulator": 2'),
        GOOD.replace("r307", "r503"),
        GOOD.replace('"plugged": 0', '"plugged": "x"'),
        GOOD.replace('"plugged": 0', '"plugged": -1'),
        GOOD.replace('"modules": {', '"modules": 3, "was": {'),
        GOOD.replace('{"0": {"address', '{"x": {"address'),
        GOOD.replace('"address": 1', '"address": true'),
        GOOD.replace('"address": 1, ', ""),
        GOOD.replace('"baud_code": 6', '"baud_code": 0'),
        GOOD.replace('"baud_code": 6', '"baud_code": 13'),
        GOOD.replace('"serial": "00000000"', '"serial": "0"'),
        GOOD.replace('"serial": "00000000"', '"serial": "é0000000"'),
        GOOD.replace('"library": {}', '"library": {"1000": ""}'),
        GOOD.replace('"library": {}', '"library": {"1": "AAAA"}'),
        GOOD.replace('"library": {}', '"library": {"1": 5}'),
        GOOD.replace('"library": {}', '"library": []'),
        GOOD.replace("A=", "!!"),
        GOOD.replace('"notepad": {"0"', '"notepad": {"16"'),
    ],
)
def test_a_damaged_file_is_an_error_that_names_it_and_is_left_alone(tmp_path, file, content):
    file.write_text(content)
    with pytest.raises(StateFileError, match=r"flash\.json is no state of a r307"):
        start(tmp_path, file)
    assert file.read_text() == content


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
@given(st.binary(max_size=80), st.integers(0, len(GOOD)), st.sampled_from(sorted(PROFILES)))
def test_any_damage_is_that_error_or_none(file, noise, at, profile):
    file.write_bytes(GOOD.encode()[:at] + noise + GOOD.encode()[at + len(noise) :])
    with contextlib.suppress(StateFileError):
        modules, plugged = state.load(file, PROFILES[profile])
        state.save(file, PROFILES[profile], modules, plugged)
        assert state.load(file, PROFILES[profile]) == (modules, plugged)


def test_a_disk_that_is_gone_is_logged_and_the_sensor_goes_on(tmp_path, caplog):
    folder = tmp_path / "gone"
    folder.mkdir()
    with Emulator("r307", tmp_path / "port", state=folder / "flash.json") as emulator:
        folder.rmdir()
        with caplog.at_level(logging.ERROR):
            emulator.enrol("ann", 1)
        assert "could not be kept" in caplog.text
        folder.mkdir()
        emulator.enrol("bob", 2)
        assert set(state.load(folder / "flash.json", R307)[0][0].library) == {1, 2}
