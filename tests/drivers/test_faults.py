"""Every fault against every command: an end in time, the right error, and the next one works."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from drivers import commands, errors, exchange
from drivers import profiles as p
from drivers.emulator import Emulator, Mishap, ridges
from drivers.emulator.fingers import Finger, Quality
from drivers.extras import Light
from drivers.link import LinkTiming
from drivers.packets import Packet, PacketKind, encode
from drivers.profiles import PROFILES
from drivers.zfm import ZfmSensor

DEADLINE, SYNC = 0.12, 0.1
# The emulator makes 288 packets of an image before it says a word.
IMAGE_DEADLINE = 0.4
TIMING = LinkTiming(gap=0.03, quiet=0.02, settle=0.2)
# A change whose answer is lost is read back under both settings, each after a quiet line.
READ_BACK = 1.5
HEADER = bytes.fromhex("EF01FFFFFFFF")
IMAGE = "/nonexistent/finger.bmp"  # only a whole image is written
BAD_LENGTH, BAD_KIND = HEADER + b"\x07\xff\xff", HEADER + b"\x09\x00\x03"
# Sound packets, but not what any of the commands is answered with.
OTHER_KIND = encode(Packet(PacketKind.COMMAND, b"\x00"))
OTHER_SHAPE = encode(Packet(PacketKind.ACK, bytes(60)))


@pytest.fixture(autouse=True)
def hurry(monkeypatch):
    for instruction in list(commands.DEADLINES):
        monkeypatch.setitem(commands.DEADLINES, instruction, DEADLINE)
    monkeypatch.setitem(commands.DEADLINES, p.UP_IMAGE, IMAGE_DEADLINE)
    monkeypatch.setattr(commands, "DEADLINE", DEADLINE)
    monkeypatch.setattr(commands, "SEARCH_FLOOR", DEADLINE)
    monkeypatch.setattr(commands, "SEARCH_EACH", 0.0)
    monkeypatch.setattr(exchange, "SYNC_TRY", SYNC)
    monkeypatch.setattr(exchange, "_STREAM_GAP", 0.2)
    monkeypatch.setattr(exchange, "_BOOT_WAIT", 0.3)
    monkeypatch.setattr("drivers.zfm.SYNC_TRY", SYNC)


def refresh(sensor):
    sensor._parameters = None
    return sensor.getSystemParameters()


COMMANDS = {
    "GenImg": (p.GEN_IMAGE, lambda s: s.readImage()),
    "Img2Tz": (p.IMAGE_TO_TEMPLATE, lambda s: s.convertImage()),
    "Match": (p.MATCH, lambda s: s.compareCharacteristics()),
    "Search": (p.SEARCH, lambda s: s.find()),
    "HiSpeedSearch": (p.HI_SPEED_SEARCH, lambda s: s.find(fast=True)),
    "RegModel": (p.REG_MODEL, lambda s: s.createTemplate()),
    "Store": (p.STORE, lambda s: s.storeTemplate(9)),
    "LoadChar": (p.LOAD_CHAR, lambda s: s.loadTemplate(3)),
    "UpChar": (p.UP_CHAR, lambda s: s.downloadCharacteristics()),
    "UpImage": (p.UP_IMAGE, lambda s: s.downloadImage(IMAGE)),
    "DownChar": (p.DOWN_CHAR, lambda s: s.send_template(2, bytes(512))),
    "DeletChar": (p.DELETE_CHAR, lambda s: s.deleteTemplate(3)),
    "Empty": (p.EMPTY, lambda s: s.clearDatabase()),
    "SetSecurity": (p.SET_SYS_PARA, lambda s: s.setSystemParameter(5, 4)),
    "SetBaud": (p.SET_SYS_PARA, lambda s: s.setBaudRate(115_200)),
    "ReadSysPara": (p.READ_SYS_PARA, refresh),
    "SetPwd": (p.SET_PASSWORD, lambda s: s.setPassword(0xCAFE)),
    "VfyPwd": (p.VERIFY_PASSWORD, lambda s: s.verifyPassword()),
    "GetRandomCode": (p.GET_RANDOM, lambda s: s.generateRandomNumber()),
    "SetAdder": (p.SET_ADDRESS, lambda s: s.setAddress(0x01020304)),
    "WriteNotepad": (p.WRITE_NOTEPAD, lambda s: s.write_notepad(3, b"x")),
    "ReadNotepad": (p.READ_NOTEPAD, lambda s: s.read_notepad(3)),
    "TempleteNum": (p.TEMPLATE_COUNT, lambda s: s.getTemplateCount()),
    "ReadIndexTable": (p.READ_INDEX, lambda s: s.getTemplateIndex(0)),
    "HandShake": (p.HANDSHAKE, lambda s: s.ping()),
    "CheckSensor": (p.CHECK_SENSOR, lambda s: s.check_sensor()),
    "ReadProdInfo": (p.PRODUCT_INFO, lambda s: s.product_info()),
    "SoftRst": (p.SOFT_RESET, lambda s: s.soft_reset()),
    "AuraLedConfig": (p.AURA_LED, lambda s: s.show(Light())),
}
# Whose lost answers are made good by reading back, and those that are asked for at will only.
READ_BACKS = {
    "Store", "DeletChar", "Empty", "SetSecurity", "SetBaud", "SetPwd", "SetAdder", "WriteNotepad",
}  # fmt: skip
OPTIONAL = {"HandShake", "CheckSensor", "ReadProdInfo", "SoftRst", "HiSpeedSearch", "AuraLedConfig"}

FAULTS = {
    "silent": (Mishap(silent=True), errors.ResponseTimeout),
    "unheard": (Mishap(unheard=True), errors.ResponseTimeout),
    "cut 1": (Mishap(cut=1), errors.ResponseTimeout),
    "cut 9": (Mishap(cut=9), errors.ResponseTimeout),
    "cut 11": (Mishap(cut=11), errors.ResponseTimeout),
    "late": (Mishap(delay=1.0), errors.ResponseTimeout),
    "checksum": (Mishap(bad_checksum=True), errors.ChecksumError),
    "address": (Mishap(address=0x12345678), errors.UnexpectedReply),
    "length": (Mishap(silent=True, noise=BAD_LENGTH), errors.FrameError),
    "identifier": (Mishap(silent=True, noise=BAD_KIND), errors.FrameError),
    "kind": (Mishap(silent=True, noise=OTHER_KIND), errors.UnexpectedReply),
    "shape": (Mishap(silent=True, noise=OTHER_SHAPE), errors.UnexpectedReply),
    "noise": (Mishap(silent=True, noise=b"\x55\x00\xff" * 40), errors.ResponseTimeout),
    "restarted": (Mishap(code=0x21), errors.PasswordRequired),
    "flash": (Mishap(code=0x18), errors.FlashError),
    "damaged": (Mishap(code=0x01), errors.Refused),
    "unknown": (Mishap(code=0x77), errors.Refused),
}


@pytest.fixture(autouse=True, scope="module")
def drawn():
    """Images are made once for each finger; the making takes longer than the deadline here."""
    for size in {profile.image for profile in PROFILES.values()}:
        ridges.image(Finger("ann").identity, Quality.GOOD, size)


def opened(emulator):
    sensor = ZfmSensor(emulator.port, timing=TIMING)
    sensor.handshake()
    emulator.enrol("ann", 3)
    emulator.place("ann")
    for buffer in (1, 2):
        sensor.readImage(), sensor.convertImage(buffer)
    return sensor


def supports(profile, name):
    wanted = COMMANDS[name][0]
    return wanted in PROFILES[profile].instructions


CASES = [
    pytest.param(profile, name, fault, id=f"{profile}-{name}-{fault}")
    for name in COMMANDS
    for fault in FAULTS
    for profile in ("r307", "r503")
    # Each command once, on the R307 if that has it.
    if supports(profile, name) and (profile == "r307" or not supports("r307", name))
]


@pytest.mark.parametrize(("profile", "name", "fault"), CASES)
def test_it_ends_in_time_with_its_own_error_and_the_next_command_works(
    tmp_path, profile, name, fault
):
    instruction, command = COMMANDS[name]
    mishap, expected = FAULTS[fault]
    with Emulator(profile, tmp_path / "sensor", seed=3) as emulator, opened(emulator) as sensor:
        sent = emulator.history.count(instruction)
        delay = mishap.delay and commands.deadline_of(instruction, 0) + 0.03
        emulator.inject(replace(mishap, instruction=instruction, delay=delay))
        started = time.monotonic()
        raised = outcome(command, sensor)
        took = time.monotonic() - started
        assert raised is None or type(raised) is expected
        assert raised is not None or forgiven(name, fault), "the fault went unnoticed"
        assert took < DEADLINE + READ_BACK
        if name in READ_BACKS:
            assert emulator.history.count(instruction) - sent <= 1, "it was sent twice"
        emulator.heal()
        emulator.place("ann")
        assert sensor.readImage() is True
        assert sensor.convertImage() is True
        assert sensor.getTemplateCount() == len(emulator.slots)


EACH = [
    pytest.param(profile, name, id=f"{profile}-{name}")
    for name in COMMANDS
    for profile in ("r307", "r503")
    if supports(profile, name) and (profile == "r307" or not supports("r307", name))
]


@pytest.mark.parametrize(("profile", "name"), EACH)
def test_unplugged_in_mid_reply_it_says_so_at_once_and_the_next_sensor_works(
    tmp_path, profile, name
):
    instruction, command = COMMANDS[name]
    with Emulator(profile, tmp_path / "sensor", seed=3) as emulator:
        with opened(emulator) as sensor:
            emulator.unplug_mid_reply(5, instruction)
            started = time.monotonic()
            assert type(outcome(command, sensor)) is errors.Disconnected
            assert time.monotonic() - started < commands.deadline_of(instruction, 0) + 0.4
            assert type(outcome(lambda s: s.readImage(), sensor)) is errors.Disconnected
        emulator.replug()
        told = {"SetBaud": {"baudRate": 115_200}, "SetAdder": {"address": 0x01020304}}
        password = 0xCAFE if name == "SetPwd" else 0
        with ZfmSensor(
            emulator.port, password=password, timing=TIMING, **told.get(name, {})
        ) as again:
            again.handshake()
            assert again.getTemplateCount() == len(emulator.slots)


@pytest.mark.parametrize(("profile", "name"), EACH)
def test_a_stale_answer_of_the_right_shape_is_not_taken_for_the_commands_own(
    tmp_path, profile, name
):
    instruction, command = COMMANDS[name]
    with Emulator(profile, tmp_path / "sensor", seed=3) as emulator, opened(emulator) as sensor:
        emulator.stale(bytes(commands.SHAPES.get(instruction, 1)))
        emulator.lose(instruction, times=2)
        heard = emulator.history.count(instruction)
        raised = outcome(command, sensor)
        if name in OPTIONAL:
            assert raised is None
            assert instruction in sensor._lacks or name == "HandShake"
        else:
            assert type(raised) is errors.ResponseTimeout
        if name not in {"ReadSysPara", "VfyPwd"}:  # asked for in getting into step again
            assert emulator.history.count(instruction) == heard


@pytest.mark.parametrize(
    "name", ["Match", "Search", "ReadSysPara", "GetRandomCode", "TempleteNum", "ReadIndexTable"]
)
def test_an_acknowledgement_without_its_data_is_none(tmp_path, name):
    instruction, command = COMMANDS[name]
    with Emulator("r307", tmp_path / "sensor", seed=3) as emulator, opened(emulator) as sensor:
        emulator.refuse(0x00, instruction)
        if name == "ReadSysPara":
            emulator.refuse(0x00, instruction, times=9)
        assert type(outcome(command, sensor)) is errors.UnexpectedReply
        emulator.heal()
        assert sensor.getTemplateCount() == 1


@pytest.mark.parametrize("name", ["UpChar", "UpImage"])
@pytest.mark.parametrize("count", [12, 70, 151, 500])
def test_data_cut_short_ends_in_time_and_is_no_data(tmp_path, name, count):
    instruction, command = COMMANDS[name]
    with Emulator("r307", tmp_path / "sensor", seed=3) as emulator, opened(emulator) as sensor:
        emulator.cut(count, instruction)
        started = time.monotonic()
        assert type(outcome(command, sensor)) is errors.ResponseTimeout
        assert time.monotonic() - started < exchange._STREAM_GAP + 0.5
        assert sensor.readImage() is True


def forgiven(name, fault):
    """Whether a fault may end without an error: read back as done, asked again, or optional."""
    if name in OPTIONAL:
        return True
    said_no = FAULTS[fault][1] in {errors.PasswordRequired, errors.FlashError, errors.Refused}
    return name in READ_BACKS and (name.startswith("Set") or not said_no)


def outcome(command, sensor):
    try:
        command(sensor)
    except errors.SensorError as error:
        return error
    return None


@pytest.mark.parametrize("name", sorted(READ_BACKS))
def test_a_change_that_was_obeyed_counts_although_its_answer_is_lost(tmp_path, name):
    instruction, command = COMMANDS[name]
    with Emulator("r307", tmp_path / "sensor", seed=3) as emulator, opened(emulator) as sensor:
        emulator.silence(instruction)
        assert command(sensor) is not False
        assert emulator.history.count(instruction) == 1
        refresh(sensor)
        assert sensor.getTemplateCount() == len(emulator.slots)


@pytest.mark.parametrize("name", sorted(READ_BACKS))
def test_a_change_that_was_never_heard_is_told_and_the_old_setting_still_works(tmp_path, name):
    instruction, command = COMMANDS[name]
    with Emulator("r307", tmp_path / "sensor", seed=3) as emulator, opened(emulator) as sensor:
        before = refresh(sensor)[1:]
        emulator.lose(instruction)
        with pytest.raises(errors.ResponseTimeout):
            command(sensor)
        assert instruction not in emulator.history
        assert refresh(sensor)[1:] == before
        assert emulator.slots == {3}


def test_data_that_never_ends_is_cut_off(tmp_path, monkeypatch):
    monkeypatch.setitem(commands.STREAMS, p.UP_CHAR, 100)
    with Emulator("r307", tmp_path / "sensor") as emulator, opened(emulator) as sensor:
        with pytest.raises(errors.UnexpectedReply, match="more than 100"):
            sensor.downloadCharacteristics()
        assert sensor.readImage() is True
