"""The keypad."""

from __future__ import annotations

import pytest

from kiosk.model import Outcome, OutcomeKind, Phase
from tests.ui.conftest import until
from ui.other_ways import IDLE_RETURN, IDLE_WARNING, MAX_DIGITS, OtherWays
from ui.words import Words


@pytest.fixture
def keypad(qapp, desk):
    keypad = OtherWays(desk, Words("en"))
    desk.watch(keypad.show, lambda rows: None)
    yield keypad
    keypad.leave()


def test_digits_are_typed_erased_and_sent(desk, keypad):
    keypad.enterPage()
    for digit in "20417":
        keypad.press(digit)
    keypad.erase()
    assert (keypad.digits, keypad.spoken) == ("2041", "4 digits entered")
    keypad.confirm()
    assert desk.calls == [("dismiss",), ("enter_code", "2041")]
    assert keypad.digits == ""


def test_no_code_is_no_check_in(desk, keypad):
    keypad.enterPage()
    keypad.confirm()
    assert ("enter_code", "") not in desk.calls


def test_boxes_grow_with_a_long_code_and_end(keypad):
    keypad.enterPage()
    assert keypad.boxes == 5
    for _ in range(20):
        keypad.press("9")
    assert keypad.digits == "9" * MAX_DIGITS
    assert keypad.boxes == MAX_DIGITS


def test_the_answer_takes_the_screen(desk, keypad):
    keypad.enterPage()
    desk.stage(phase=Phase.READING)
    assert keypad.shown
    outcome = Outcome(1, OutcomeKind.REFUSED, desk.clock.wall(), 5)
    desk.stage(phase=Phase.OUTCOME, outcome=outcome)
    assert not keypad.shown
    keypad.enterPage()
    desk.stage(phase=Phase.VERIFYING, outcome=None)
    assert not keypad.shown, "a finger is asked for"


async def test_an_idle_keypad_warns_and_goes_back(desk, keypad):
    keypad._quiet.setInterval(1)
    keypad.enterPage()
    keypad.press("1")
    assert keypad.remaining == 1.0
    await until(lambda: keypad._warning.left > 0)
    desk.clock.advance(IDLE_WARNING / 2)
    assert keypad.remaining == pytest.approx(0.5)
    keypad.press("2")
    assert keypad.remaining == 1.0
    await until(lambda: keypad._warning.left > 0)
    desk.clock.advance(IDLE_WARNING)
    await until(lambda: not keypad.shown)
    assert keypad.digits == ""


def test_the_times_are_those_of_the_accessibility_rules():
    assert IDLE_RETURN == 30
    assert IDLE_WARNING == 20
