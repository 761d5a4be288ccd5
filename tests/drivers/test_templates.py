"""Templates between sensors of one model, and 1:1 without a slot."""

from __future__ import annotations

from dataclasses import replace

import pytest

from drivers import errors
from drivers.emulator import Emulator
from drivers.profiles import DOWN_CHAR, EMPTY, LOAD_CHAR, R307, STORE
from drivers.templates import (
    Template,
    digest_of,
    has_digest,
    read_template,
    verify_one,
    write_template,
)
from drivers.zfm import open_zfm


@pytest.fixture
def other(tmp_path):
    with Emulator("r307", tmp_path / "other", seed=11) as running, open_zfm(running.port) as sensor:
        yield running, sensor


def probe(emulator, sensor, name):
    emulator.place(name)
    assert sensor.readImage()
    assert sensor.convertImage()


def test_a_template_taken_from_one_sensor_is_found_by_another(emulator, sensor, other):
    emulator.enrol("ann", 3)
    template = read_template(sensor, 3)
    assert template.format == "zfm-0009-1000/512"
    assert len(template.data) == 512
    second, there = other
    write_template(there, 8, template)
    assert read_template(there, 8) == template
    probe(second, there, "ann")
    assert there.find()[0] == 8


def test_bytes_never_show_in_a_repr(emulator, sensor):
    emulator.enrol("ann", 3)
    template = read_template(sensor, 3)
    assert "ARTIFICIAL" in template.data.decode("latin1")
    assert "ARTIFICIAL" not in repr(template)


@pytest.mark.parametrize("code", [0, 1, 2, 3])
def test_every_packet_size_carries_a_template_and_256_is_lowered(emulator, sensor, code):
    emulator.enrol("ann", 3)
    template = read_template(sensor, 3)
    sensor.setSystemParameter(6, code)
    write_template(sensor, 4, template)
    assert read_template(sensor, 4) == template
    assert sensor.getMaxPacketSize() == min(128, 32 << code)


@pytest.mark.parametrize(
    "template",
    [
        Template("zfm-0009-1000/768", bytes(768)),
        Template("r503/512", bytes(512)),
        Template("zfm-0009-1000/512", bytes(511)),
        Template("", bytes(512)),
    ],
    ids=lambda t: t.format,
)
def test_another_format_is_refused_before_anything_is_sent(emulator, tmp_path, template):
    with open_zfm(emulator.port, profile=replace(R307, name="zfm-0009-1000")) as sensor:
        for send in (write_template, lambda s, _, t: verify_one(s, t)):
            with pytest.raises(errors.TemplateFormatMismatch) as caught:
                send(sensor, 4, template)
            assert caught.value.given == template.format
            assert caught.value.expected == "zfm-0009-1000/512"
    assert DOWN_CHAR not in emulator.history


def test_a_slot_in_use_is_not_overwritten(emulator, sensor):
    emulator.enrol("ann", 3)
    emulator.enrol("bob", 4)
    template = read_template(sensor, 3)
    before = digest_of(sensor, 4)
    with pytest.raises(errors.SlotInUse):
        write_template(sensor, 4, template)
    with pytest.raises(errors.SlotInUse):
        verify_one(sensor, template, scratch=4)
    assert digest_of(sensor, 4) == before


def test_what_was_not_kept_is_taken_out_again(emulator, sensor, monkeypatch):
    emulator.enrol("ann", 3)
    template = read_template(sensor, 3)
    send = sensor.send_template
    monkeypatch.setattr(
        sensor, "send_template", lambda buffer, data: send(buffer, data[:-1] + b"\x99")
    )
    with pytest.raises(errors.TemplateNotKept):
        write_template(sensor, 4, template)
    assert emulator.slots == {3}


@pytest.mark.parametrize("scratch", [None, 999])
def test_one_to_one_accepts_the_person_and_nobody_else(emulator, sensor, scratch):
    emulator.enrol("ann", 3)
    template = read_template(sensor, 3)
    sensor.clearDatabase()
    probe(emulator, sensor, "ann")
    score = verify_one(sensor, template, scratch)
    assert R307.scores[0] <= score <= R307.scores[1]
    probe(emulator, sensor, "eve")
    assert verify_one(sensor, template, scratch) is None
    assert emulator.slots == set()


def test_one_to_one_stores_nothing_without_a_scratch_slot(emulator, sensor):
    emulator.enrol("ann", 3)
    template = read_template(sensor, 3)
    probe(emulator, sensor, "ann")
    before = len(emulator.history)
    verify_one(sensor, template)
    assert not {STORE, LOAD_CHAR, EMPTY} & set(emulator.history[before:])


def test_digests_tell_templates_apart_and_are_not_learnt_from_what_changes(
    emulator, sensor, monkeypatch
):
    emulator.enrol("ann", 3)
    emulator.enrol("bob", 4)
    digest = digest_of(sensor, 3)
    assert has_digest(sensor, 3, digest)
    assert not has_digest(sensor, 4, digest)
    assert not has_digest(sensor, 5, digest)
    assert digest_of(sensor, 5) == ""
    turns = iter(range(9))
    monkeypatch.setattr(sensor, "downloadCharacteristics", lambda _: [next(turns)] * 512)
    assert digest_of(sensor, 3) == ""


def test_an_empty_slot_has_no_template(sensor):
    with pytest.raises(errors.TemplateNotFound):
        read_template(sensor, 3)
