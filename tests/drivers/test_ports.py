"""Ports by USB ids, and modules that nobody remembers the settings of."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from drivers import errors, ports
from drivers.detect import Detected, detect
from drivers.emulator import Emulator
from drivers.ports import resolve_port
from drivers.profiles import PROFILES
from drivers.reader import Reader, SensorDown, SensorUp, open_zfm
from tests.drivers.conftest import Events


@dataclass
class Adapter:
    device: str
    vid: int | None = None
    pid: int | None = None
    serial_number: str | None = None


PLUGGED = [
    Adapter("/dev/ttyS0"),
    Adapter("/dev/ttyUSB1", 0x1A86, 0x7523),
    Adapter("/dev/ttyUSB0", 0x1A86, 0x7523),
    Adapter("/dev/ttyUSB2", 0x0403, 0x6001, "A50285BI"),
    Adapter("/dev/ttyUSB3", 0x0403, 0x6001, "B:7"),
]


def test_a_path_is_itself():
    assert resolve_port("/dev/serial/by-id/x", list) == "/dev/serial/by-id/x"


@pytest.mark.parametrize(
    ("name", "device"),
    [
        ("usb:1a86:7523", "/dev/ttyUSB0"),
        ("USB:1A86:7523", "/dev/ttyUSB0"),
        ("usb:0403:6001:A50285BI", "/dev/ttyUSB2"),
        ("usb:0403:6001:B:7", "/dev/ttyUSB3"),
    ],
)
def test_an_adapter_is_found_by_its_ids(name, device):
    assert resolve_port(name, lambda: PLUGGED) == device


def test_several_of_one_kind_are_warned_of(caplog):
    resolve_port("usb:1a86:7523", lambda: PLUGGED)
    assert "2 adapters" in caplog.text


@pytest.mark.parametrize("name", ["usb:0000:0001", "usb:0403:6001:other"])
def test_an_adapter_that_is_not_there_is_a_port_that_is_missing(name):
    with pytest.raises(errors.PortMissing):
        resolve_port(name, lambda: PLUGGED)


@pytest.mark.parametrize("name", ["usb:", "usb:1a86", "usb:zzzz:0001", "usb:1a86:75234"])
def test_a_name_that_is_none_is_refused(name):
    with pytest.raises(ValueError, match="usb:VID:PID"):
        resolve_port(name, lambda: PLUGGED)


def test_this_machines_ports_can_be_listed():
    with pytest.raises(errors.PortMissing):
        resolve_port("usb:ffff:fffe:none")


def test_a_reader_follows_its_adapter_to_another_port(tmp_path, monkeypatch):
    events, plugged = Events(), []
    monkeypatch.setattr(ports.list_ports, "comports", lambda: plugged)
    reader = Reader(lambda: open_zfm("usb:1a86:7523"), events)
    reader.start()
    try:
        assert isinstance(events.next(SensorDown).cause, errors.PortMissing)
        with Emulator("r307", tmp_path / "tty0") as emulator:
            plugged.append(Adapter(emulator.port, 0x1A86, 0x7523))
            uuid = events.skip_to(SensorUp).sensor
            emulator.unplug()
            moved = str(tmp_path / "tty7")
            plugged[0] = Adapter(moved, 0x1A86, 0x7523)
            emulator.replug()
            Path(moved).symlink_to(emulator.port)
            assert events.skip_to(SensorUp, 10).sensor == uuid
            reader.stop()
    finally:
        reader.stop()


@pytest.mark.parametrize("profile", sorted(PROFILES))
def test_every_model_is_known_at_its_factory_settings(tmp_path, profile):
    with Emulator(profile, tmp_path / "sensor") as emulator:
        expected = PROFILES[profile]
        assert detect(emulator.port) == Detected(57_600, 0xFFFFFFFF, expected.name)


@pytest.mark.parametrize("baudrate", [9_600, 38_400, 115_200])
def test_another_baud_rate_is_found_in_time(emulator, baudrate):
    emulator.set_baudrate(baudrate)
    started = time.monotonic()
    assert detect(emulator.port).baudrate == baudrate
    assert time.monotonic() - started < 6.0


def test_a_changed_address_is_found_among_those_given(emulator):
    emulator.set_address(0x01020304)
    found = detect(emulator.port, [0xFFFFFFFF, 0x01020304])
    assert found == Detected(57_600, 0x01020304, "r307")
    with open_zfm(emulator.port, found.baudrate, found.address) as sensor:
        assert sensor.readImage() is False


def test_a_module_with_a_password_is_found_but_not_named(emulator):
    emulator.set_password(0xCAFE)
    emulator.restart()
    assert detect(emulator.port) == Detected(57_600, 0xFFFFFFFF, locked=True)


def test_nothing_there_is_told(emulator):
    emulator.silence(times=100)
    with pytest.raises(errors.ResponseTimeout):
        detect(emulator.port, baudrates=[57_600, 115_200])
    emulator.unplug()
    with pytest.raises(errors.PortMissing):
        detect(emulator.port)
