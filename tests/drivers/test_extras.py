"""What only some models have, on every model that is emulated."""

from __future__ import annotations

import pytest
from PIL import Image

from drivers import commands, errors
from drivers.changes import delete, enrol
from drivers.emulator import Emulator, ridges
from drivers.emulator.fingers import Finger, Quality
from drivers.extras import DARK, Colour, Effect, Light, ProductInfo
from drivers.library import identify_sensor
from drivers.profiles import HI_SPEED_SEARCH, PRODUCT_INFO, PROFILES, R307, R503, SEARCH
from drivers.reconcile import reconcile
from drivers.templates import read_template, verify_one
from drivers.zfm import ZfmSensor
from tests.drivers.person import QUICK, same
from tests.drivers.table import MemoryTable


@pytest.fixture(params=sorted(PROFILES))
def model(request, tmp_path):
    profile = PROFILES[request.param]
    with (
        Emulator(profile, tmp_path / "sensor", seed=2) as emulator,
        ZfmSensor(emulator.port, profile=profile) as sensor,
    ):
        sensor.handshake()
        yield emulator, sensor


@pytest.fixture
def ring(tmp_path):
    with (
        Emulator("r503", tmp_path / "ring", seed=2) as emulator,
        ZfmSensor(emulator.port) as sensor,
    ):
        sensor.handshake()
        yield emulator, sensor


def test_a_life_on_every_model(model):
    emulator, sensor = model
    table = MemoryTable()
    sensor.ping()
    assert reconcile(sensor, table).used == 0
    placed = enrol(sensor, table, "ann", same(emulator, "ann"), QUICK)
    emulator.place("ann")
    sensor.readImage(), sensor.convertImage()
    assert sensor.find()[0] == placed.slot
    assert sensor.find(fast=True)[0] == placed.slot
    assert sensor.find(placed.slot + 1) is None
    template = read_template(sensor, placed.slot)
    assert template.format == f"{sensor.profile.name}/{sensor.profile.template_size}"
    assert template.digest == placed.digest
    sensor.readImage(), sensor.convertImage()
    assert verify_one(sensor, template) or verify_one(sensor, template, scratch=50)
    delete(sensor, table, placed.slot)
    assert reconcile(sensor, table).used == 0
    assert emulator.slots == set()


def test_fast_search_is_asked_for_once_where_it_is_not(ring):
    emulator, sensor = ring
    emulator.place("ann")
    sensor.readImage(), sensor.convertImage()
    before = len(emulator.history)
    for _ in range(3):
        assert sensor.find(fast=True) is None
    history = emulator.history[before:]
    assert history.count(SEARCH) == 3
    assert history.count(HI_SPEED_SEARCH) <= 1


def test_a_missed_search_with_a_page_number_is_no_slot(ring):
    emulator, sensor = ring
    emulator.place("eve")
    sensor.readImage(), sensor.convertImage()
    assert R503.page_when_missed != 0
    assert sensor.find() is None
    assert sensor.searchTemplate() == (-1, -1)


def test_product_information(ring, sensor):
    _, there = ring
    info = there.product_info()
    assert (info.capacity, info.template_size, info.image) == (200, 1536, (192, 192))
    assert there.model == info.model.lower()
    assert sensor.product_info() is None
    assert sensor.model == "zfm-0009-1000"


def test_product_information_is_taken_apart_as_the_manual_says():
    data = b"R503".ljust(16, b"\0") + b"2201" + bytes(range(8)) + b"\x01\x02" + b"FPC1021\0"
    data += bytes.fromhex("00C0 00C0 0600 00C8".replace(" ", ""))
    info = ProductInfo.parse(data)
    assert info == ProductInfo(
        "R503", "2201", "01020304050607", (1, 2), "FPC1021", (192, 192), 1536, 200
    )


def test_the_ring_is_lit_and_put_out(ring):
    emulator, sensor = ring
    assert sensor.show(Light(Effect.BREATHE, Colour.PURPLE, speed=0x80, count=5))
    light = emulator.light
    assert (light.control, light.speed, light.colour, light.count) == (1, 0x80, 3, 5)
    assert light.lit
    assert sensor.show(DARK)
    assert not emulator.light.lit


def test_a_lost_answer_to_a_light_is_no_error_and_not_asked_for_again(ring):
    emulator, sensor = ring
    emulator.silence(0x35)
    sensor.show(Light())
    before = emulator.history.count(0x35)
    sensor.show(Light())
    assert emulator.history.count(0x35) == before
    assert sensor.readImage() is False


@pytest.mark.parametrize("spoil", ["silence", "lose", "wrong_checksum"])
def test_one_lost_answer_does_not_make_another_model_of_it(ring, spoil, monkeypatch):
    monkeypatch.setattr(commands, "DEADLINE", 0.1)
    emulator, sensor = ring
    getattr(emulator, spoil)(PRODUCT_INFO)
    if spoil == "wrong_checksum":
        with pytest.raises(errors.ChecksumError):
            sensor.product_info()
    assert sensor.model == "r503"
    emulator.enrol("ann", 1)
    assert read_template(sensor, 1).format == "r503/1536"


def test_what_stays_silent_twice_is_not_there_and_not_asked_for_again(ring, monkeypatch):
    monkeypatch.setattr(commands, "DEADLINE", 0.05)
    emulator, sensor = ring
    emulator.lose(PRODUCT_INFO, times=2)
    assert sensor.product_info() is None
    assert sensor.product_info() is None
    assert PRODUCT_INFO not in emulator.history


def test_the_image_is_that_of_the_finger_whatever_the_models_size(model, tmp_path):
    emulator, sensor = model
    emulator.place("ann")
    sensor.readImage()
    sensor.downloadImage(str(tmp_path / "ann.png"))
    with Image.open(tmp_path / "ann.png") as saved:
        assert saved.size == sensor.profile.image
        levels = list(saved.tobytes())
    packed = bytes(high // 17 << 4 | low // 17 for high, low in batched(levels))
    assert packed == ridges.image(Finger("ann").identity, Quality.GOOD, sensor.profile.image)
    assert sensor.readImage() is True


def batched(levels):
    return zip(levels[::2], levels[1::2], strict=True)


def test_an_image_of_no_known_size_is_refused_and_none_is_taken_for_none(ring, tmp_path):
    emulator, sensor = ring
    with pytest.raises(errors.Refused):
        sensor.downloadImage(str(tmp_path / "none.png"))
    emulator.place("ann")
    sensor.readImage()
    sensor.profile = R307
    with pytest.raises(errors.UnexpectedReply, match="18432 bytes"):
        sensor.downloadImage(str(tmp_path / "none.png"))
    assert not (tmp_path / "none.png").exists()
    assert sensor.readImage() is True


def test_two_models_are_two_formats(ring, emulator, sensor):
    other, there = ring
    other.enrol("ann", 1)
    emulator.enrol("ann", 1)
    mine, theirs = read_template(sensor, 1), read_template(there, 1)
    for target, template in ((sensor, theirs), (there, mine)):
        target.readImage()
        with pytest.raises(errors.TemplateFormatMismatch):
            verify_one(target, template)


def test_identity_outlives_a_soft_reset(ring):
    _, sensor = ring
    stamp = identify_sensor(sensor)
    assert sensor.soft_reset()
    assert identify_sensor(sensor) == stamp


def test_a_reset_that_is_unknown_changes_nothing(emulator, sensor):
    assert sensor.soft_reset() is False
    assert sensor.readImage() is False
