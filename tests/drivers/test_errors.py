"""The tree of errors: complete in its docstring, plain in its words, right for every code."""

from __future__ import annotations

import re

import pytest

from drivers import commands, errors, exchange
from drivers import profiles as p


def tree(kind):
    yield kind
    for child in kind.__subclasses__():
        yield from tree(child)


# Other tests make kinds of their own.
KINDS = [kind for kind in tree(errors.SensorError) if kind.__module__ == errors.__name__]


def test_the_docstring_names_every_error_and_no_other():
    named = set(re.findall(r"\b[A-Z][a-z]+(?:[A-Z][a-z]+)+\b", errors.__doc__))
    named |= {"Disconnected", "Cancelled", "Refused"} & set(re.findall(r"\w+", errors.__doc__))
    assert named == {kind.__name__ for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_error_has_words_for_a_volunteer(kind):
    for words in (kind.sentence, kind.advice):
        assert re.fullmatch(r"[A-Z].{8,90}\.", words), words
        assert not re.search(r"0x|checksum|packet|frame|timeout|ack\b|code \d|slot|UART", words), (
            words
        )
    assert kind.sentence != kind.advice


# What each confirmation code is, in answer to any instruction where none is named.
CODES = [
    (0x01, errors.Refused),
    (0x02, errors.NoFinger),
    (0x03, errors.ImageQuality),
    (0x04, errors.TooDry),
    (0x05, errors.TooWet),
    (0x06, errors.TooMessy),
    (0x07, errors.TooFewFeatures),
    (0x09, errors.TemplateNotFound),
    (0x0A, errors.EnrolMismatch),
    (0x0B, errors.SlotOutOfRange),
    (0x0C, errors.TemplateNotFound),
    (0x11, errors.FlashError),
    (0x13, errors.WrongPassword),
    (0x15, errors.ImageQuality),
    (0x17, errors.TooMessy),
    (0x18, errors.FlashError),
    (0x1A, errors.Refused),
    (0x1C, errors.Refused),
    (0x1F, errors.LibraryFull),
    (0x20, errors.Refused),
    (0x21, errors.PasswordRequired),
    (0x22, errors.TemplateNotFound),
    (0x23, errors.TemplateNotFound),
    (0x24, errors.TemplateNotFound),
    (0x29, errors.SensorFaulty),
    (0xFC, errors.Refused),
    (0xFD, errors.SensorFaulty),
    (0xFE, errors.Refused),
    (0x77, errors.Refused),
]


@pytest.mark.parametrize(("code", "kind"), CODES)
def test_each_code_is_its_own_error(code, kind):
    error = errors.confirmation_error(code, p.LOAD_CHAR)
    assert type(error) is kind
    assert error.code == code
    assert f"{code:#04x}" in str(error)


@pytest.mark.parametrize("instruction", [p.GEN_IMAGE, p.IMAGE_TO_TEMPLATE])
@pytest.mark.parametrize("code", [0x17, 0x22])
def test_a_print_left_on_the_glass_is_dirt_and_no_broken_sensor(code, instruction):
    assert type(errors.confirmation_error(code, instruction)) is errors.TooMessy


@pytest.mark.parametrize(
    ("instructions", "capacity", "seconds"),
    [
        ((p.VERIFY_PASSWORD, p.READ_SYS_PARA, p.SET_SYS_PARA, p.TEMPLATE_COUNT), 200, 1.0),
        ((p.READ_INDEX, p.GET_RANDOM, p.SET_PASSWORD, p.SET_ADDRESS, p.HANDSHAKE), 200, 1.0),
        ((p.MATCH, p.REG_MODEL, p.LOAD_CHAR, p.UP_CHAR, p.DOWN_CHAR), 200, 1.0),
        ((p.GEN_IMAGE, p.IMAGE_TO_TEMPLATE), 200, 2.0),
        ((p.STORE, p.DELETE_CHAR, p.WRITE_NOTEPAD, p.READ_NOTEPAD), 200, 2.0),
        ((p.EMPTY,), 200, 5.0),
        ((p.SEARCH, p.HI_SPEED_SEARCH), 0, 3.0),
        ((p.SEARCH, p.HI_SPEED_SEARCH), 200, 3.0),
        ((p.SEARCH, p.HI_SPEED_SEARCH), 1000, 10.0),
    ],
)
def test_each_command_has_the_deadline_that_its_work_needs(instructions, capacity, seconds):
    for instruction in instructions:
        assert commands.deadline_of(instruction, capacity) == seconds


def test_a_stream_may_take_its_wire_time_and_a_second():
    assert commands.stream_seconds(p.UP_CHAR, 57_600) == pytest.approx(1 + 4096 / 5760)
    assert commands.stream_seconds(p.UP_IMAGE, 9_600) == pytest.approx(1 + 98_304 / 960)
    largest = max(one.image[0] * one.image[1] // 2 for one in p.PROFILES.values())
    assert commands.STREAMS[p.UP_IMAGE] >= 2 * largest
    assert commands.STREAMS[p.UP_CHAR] >= 2 * max(one.template_size for one in p.PROFILES.values())
    assert exchange._BOOT_WAIT == 1.0
