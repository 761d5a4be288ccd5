"""The driver over a real pseudo-terminal: every fault ends in time, and the next command works."""

from __future__ import annotations

import importlib.metadata
import threading
import time
from dataclasses import replace

import pytest
from pyfingerprint.pyfingerprint import PyFingerprint

from drivers import commands, errors, exchange
from drivers.emulator import Emulator, Mishap
from drivers.profiles import GEN_IMAGE, R307, READ_SYS_PARA, STORE, UP_CHAR, ZFM20
from drivers.templates import read_template, write_template
from drivers.zfm import ZfmSensor, open_zfm
from tests.drivers.conftest import wait_until

DEADLINE = 0.4


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setitem(commands.DEADLINES, GEN_IMAGE, DEADLINE)


def test_the_methods_we_replace_exist_in_the_release_we_pin():
    assert importlib.metadata.version("pyfingerprint") == "1.5"
    for name in ("_PyFingerprint__writePacket", "_PyFingerprint__readPacket"):
        assert name in PyFingerprint.__dict__
        assert getattr(ZfmSensor, name) is not getattr(PyFingerprint, name)


def test_identify_finds_the_enrolled_finger_and_no_other(emulator, sensor):
    emulator.enrol("ann", 7)
    emulator.enrol("bob", 3)
    assert sensor.readImage() is False
    scores = set()
    for _ in range(5):
        emulator.place("ann")
        assert sensor.readImage() is True
        assert sensor.convertImage() is True
        slot, score = sensor.find()
        assert slot == 7
        scores.add(score)
    assert len(scores) > 1, "a real finger's score varies"
    assert all(R307.scores[0] <= score <= R307.scores[1] for score in scores)
    emulator.place("eve")
    sensor.readImage()
    sensor.convertImage()
    assert sensor.find() is None
    assert sensor.captures == 6


def test_identify_costs_three_commands(emulator, sensor):
    emulator.place("ann")
    before = len(emulator.history)
    sensor.readImage(), sensor.convertImage(), sensor.find()
    assert emulator.history[before:] == [0x01, 0x02, 0x04]


@pytest.mark.parametrize(
    ("mishap", "error", "limit"),
    [
        (Mishap(silent=True), errors.ResponseTimeout, DEADLINE),
        (Mishap(cut=1), errors.ResponseTimeout, 0.25),
        (Mishap(cut=5), errors.ResponseTimeout, 0.25),
        (Mishap(cut=11), errors.ResponseTimeout, 0.25),
        (Mishap(bad_checksum=True), errors.ChecksumError, 0.0),
        (Mishap(address=0x12345678), errors.UnexpectedReply, 0.25),
        (Mishap(silent=True, noise=bytes.fromhex("EF01FFFFFFFF07FFFF")), errors.FrameError, 0.25),
        (Mishap(silent=True, noise=bytes.fromhex("EF01FFFFFFFF090003")), errors.FrameError, 0.25),
        (Mishap(delay=0.6), errors.ResponseTimeout, DEADLINE),
        (Mishap(code=0x21), errors.PasswordRequired, 0.0),
        (Mishap(code=0x18), errors.FlashError, 0.0),
        (Mishap(code=0x77), errors.Refused, 0.0),
    ],
    ids=str,
)
def test_a_fault_ends_in_time_with_its_own_error_and_the_next_command_works(
    emulator, sensor, quick, mishap, error, limit
):
    emulator.inject(mishap)
    started = time.monotonic()
    with pytest.raises(errors.SensorError) as caught:
        sensor.readImage()
    assert type(caught.value) is error
    assert time.monotonic() - started < limit + 0.2
    emulator.place("ann")
    assert sensor.readImage() is True
    assert sensor.convertImage() is True


@pytest.mark.parametrize(
    "noise", [b"\x55", b"\0\xff\xefabc", bytes.fromhex("EF01FFFFFFFF07FFFF"), b"\xef\x01\x02" * 9]
)
def test_noise_before_a_reply_is_skipped(emulator, sensor, noise):
    emulator.inject(Mishap(noise=noise))
    assert sensor.readImage() is False
    assert sensor.getTemplateCount() == 0


def test_a_stale_acknowledgement_is_not_taken_for_the_answer(emulator, sensor):
    emulator.send(bytes.fromhex("EF01FFFFFFFF0700030000 0A".replace(" ", "")))
    assert sensor.readImage() is False


def test_a_late_reply_is_not_taken_for_the_next_commands_answer(emulator, sensor, quick):
    emulator.place("ann")
    emulator.inject(Mishap(delay=0.5))
    with pytest.raises(errors.ResponseTimeout):
        sensor.readImage()
    emulator.lift()
    before = len(emulator.history)
    assert sensor.readImage() is False
    assert emulator.history[before:][-2:] == [READ_SYS_PARA, GEN_IMAGE]


def test_a_store_that_got_no_answer_is_not_sent_twice_but_read_back(emulator, sensor, monkeypatch):
    monkeypatch.setitem(commands.DEADLINES, STORE, 0.2)
    emulator.enrol("eve", 4)
    emulator.place("ann")
    sensor.readImage(), sensor.convertImage()
    emulator.inject(Mishap(instruction=STORE, silent=True))
    assert sensor.storeTemplate(4) == 4
    assert emulator.history.count(STORE) == 1
    sensor.readImage(), sensor.convertImage()
    assert sensor.find()[0] == 4


def test_data_cut_short_fails_and_the_next_transfer_is_whole(emulator, sensor):
    emulator.place("ann")
    sensor.readImage(), sensor.convertImage()
    whole = sensor.downloadCharacteristics()
    assert len(whole) == R307.template_size
    emulator.inject(Mishap(instruction=UP_CHAR, cut=80))
    started = time.monotonic()
    with pytest.raises(errors.ResponseTimeout):
        sensor.downloadCharacteristics()
    assert time.monotonic() - started < 0.6
    assert sensor.downloadCharacteristics() == whole


def test_templates_travel_to_another_module_and_match_there(emulator, sensor, tmp_path):
    emulator.place("ann")
    sensor.readImage(), sensor.convertImage()
    template = sensor.downloadCharacteristics()
    with Emulator("r307", tmp_path / "other") as other, open_zfm(other.port) as second:
        other.place("ann")
        assert second.uploadCharacteristics(1, template) is True
        second.storeTemplate(9)
        second.readImage(), second.convertImage()
        assert second.find()[0] == 9


@pytest.mark.parametrize(
    ("quality", "error"),
    [
        ("dry", errors.TooDry),
        ("wet", errors.TooWet),
        ("smudged", errors.TooMessy),
        ("partial", errors.TooFewFeatures),
    ],
)
def test_a_bad_image_says_how_it_is_bad(emulator, sensor, quality, error):
    emulator.place("ann", quality)
    assert sensor.readImage() is True
    with pytest.raises(error) as caught:
        sensor.convertImage()
    assert caught.value.quality == quality
    assert caught.value.advice


def test_the_password_gate(tmp_path):
    with Emulator("r307", tmp_path / "sensor") as emulator:
        with open_zfm(emulator.port) as sensor:
            assert sensor.setPassword(0xCAFE) is True
        emulator.unplug()
        emulator.replug()
        with pytest.raises(errors.WrongPassword):
            open_zfm(emulator.port)
        with (
            ZfmSensor(emulator.port) as sensor,
            pytest.raises(errors.PasswordRequired),
        ):
            sensor.readImage()
        with open_zfm(emulator.port, password=0xCAFE) as sensor:
            assert sensor.readImage() is False


@pytest.fixture
def booted(monkeypatch):
    """Nobody waits for a module to boot that has booted."""
    monkeypatch.setattr(exchange, "_BOOT_TRY", 0.1)
    monkeypatch.setattr(exchange, "_BOOT_WAIT", 0.2)


def test_a_new_address_is_followed_and_survives_power(emulator, sensor, booted):
    assert sensor.setAddress(0x01020304) is True
    assert sensor.readImage() is False
    assert sensor.getSystemParameters()[4] == 0x01020304
    sensor.close()
    emulator.unplug()
    emulator.replug()
    with pytest.raises(errors.ResponseTimeout):
        open_zfm(emulator.port)
    with open_zfm(emulator.port, address=0x01020304) as again:
        assert again.readImage() is False


def test_a_new_baud_rate_is_followed_and_a_wrong_one_hears_nothing(emulator, sensor, booted):
    sensor.setBaudRate(115_200)
    assert sensor.readImage() is False
    assert sensor.getBaudRate() == 115_200
    sensor.close()
    with pytest.raises(errors.SensorError):
        open_zfm(emulator.port, 57_600)
    with open_zfm(emulator.port, 115_200) as again:
        assert again.readImage() is False


def test_a_full_library_says_so(tmp_path):
    profile = replace(ZFM20, capacity=3)
    with Emulator(profile, tmp_path / "sensor") as emulator, open_zfm(emulator.port) as sensor:
        for slot, name in enumerate(("ann", "bob", "eve")):
            emulator.enrol(name, slot)
        emulator.place("zoe")
        sensor.readImage(), sensor.convertImage()
        with pytest.raises(errors.LibraryFull):
            sensor.storeTemplate()
        with pytest.raises(errors.SlotOutOfRange):
            sensor.storeTemplate(3)
        assert sensor.deleteTemplate(1) is True
        assert sensor.storeTemplate() == 1


def test_a_module_without_system_parameters_needs_its_profile(tmp_path, monkeypatch):
    monkeypatch.setitem(commands.DEADLINES, GEN_IMAGE, 0.2)
    monkeypatch.setattr(exchange, "SYNC_TRY", 0.1)
    bare = replace(R307, instructions=R307.instructions - {READ_SYS_PARA})
    with Emulator(bare, tmp_path / "sensor") as emulator:
        with pytest.raises(errors.ModelUnknown, match="ReadSysPara") as caught:
            open_zfm(emulator.port)
        assert "model" in caught.value.advice
        with open_zfm(emulator.port, profile=bare) as sensor:
            assert sensor.capacity == R307.capacity
            emulator.inject(Mishap(silent=True))
            with pytest.raises(errors.ResponseTimeout):
                sensor.readImage()
            assert sensor.readImage() is False


def test_a_caller_may_name_the_model_of_an_r308(tmp_path):
    with Emulator("r308", tmp_path / "sensor") as emulator:
        emulator.enrol("ann", 499)
        emulator.place("ann")
        with open_zfm(emulator.port, profile="r308") as sensor:
            assert (sensor.model, sensor.capacity) == ("r308", 500)
            assert sensor.readImage()
            assert sensor.convertImage()
            assert sensor.find()[0] == 499
            template = read_template(sensor, 499)
            assert template.format == "r308/512"
            write_template(sensor, 0, template)
        assert READ_SYS_PARA not in emulator.history


def test_a_module_that_tells_its_model_needs_no_name(emulator):
    for nothing in ("", None):
        with open_zfm(emulator.port, profile=nothing) as sensor:
            assert sensor.capacity == R307.capacity
    with pytest.raises(ValueError, match=r"r999.*r307, r308"):
        open_zfm(emulator.port, profile="r999")


def test_cancel_ends_a_wait_at_once_and_the_next_command_works(emulator, sensor):
    emulator.inject(Mishap(instruction=GEN_IMAGE, silent=True))
    seen = []

    def wait():
        with pytest.raises(errors.Cancelled):
            sensor.readImage()
        seen.append(time.monotonic())

    thread = threading.Thread(target=wait)
    thread.start()
    wait_until(lambda: GEN_IMAGE in emulator.history)
    cancelled = time.monotonic()
    sensor.cancel()
    thread.join()
    assert seen[0] - cancelled < 0.1
    assert sensor.readImage() is False


def test_unplugged_in_the_middle_of_a_wait(emulator, sensor):
    emulator.inject(Mishap(instruction=GEN_IMAGE, silent=True))
    errors_seen = []

    def wait():
        with pytest.raises(errors.SensorError) as caught:
            sensor.readImage()
        errors_seen.append(caught.value)

    thread = threading.Thread(target=wait)
    thread.start()
    wait_until(lambda: GEN_IMAGE in emulator.history)
    emulator.unplug()
    thread.join(1.0)
    assert [type(error) for error in errors_seen] == [errors.Disconnected]
    with pytest.raises(errors.Disconnected):
        sensor.readImage()
    with pytest.raises(errors.PortMissing):
        open_zfm(emulator.port)
    emulator.replug()
    with open_zfm(emulator.port) as again:
        assert again.readImage() is False


def test_a_second_opener_is_told_that_the_port_is_busy(emulator, sensor):
    with pytest.raises(errors.PortBusy):
        open_zfm(emulator.port)
    assert sensor.readImage() is False


def test_a_port_that_is_busy_for_a_moment_only_is_waited_for(emulator, sensor, monkeypatch):
    tried = []

    def nap(seconds):
        tried.append(seconds)
        sensor.close()

    monkeypatch.setattr("drivers.zfm.time.sleep", nap)
    with open_zfm(emulator.port) as second:
        assert second.readImage() is False
    assert len(tried) == 1


def test_a_closed_sensor_is_disconnected(sensor):
    sensor.close()
    sensor.close()
    sensor.cancel()
    with pytest.raises(errors.Disconnected):
        sensor.readImage()
