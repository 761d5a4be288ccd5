"""The screen that asks for a finger after a badge or code."""

from __future__ import annotations

import msgspec
import pytest

from kiosk.model import Claim, Phase
from tests.ui import staged
from tests.ui.conftest import until
from ui.asking import Asking
from ui.words import Words

CLAIM = Claim(1, staged.person("Amara Okafor"), shown=10.0)


@pytest.fixture
def asking(qapp, desk):
    asking = Asking(desk, Words("en"))
    desk.watch(asking.show, lambda rows: None)
    yield asking
    desk.stage(phase=Phase.IDLE, claim=None)


def ask(desk, **changes):
    desk.stage(phase=Phase.VERIFYING, claim=msgspec.structs.replace(CLAIM, **changes))


def test_it_says_whose_finger_by_first_name_and_initial(desk, asking):
    assert not asking.shown
    ask(desk)
    assert (asking.shown, asking.name, asking.initial) == (True, "Amara", "O.")
    assert asking.title == "Now your finger,"


async def test_the_time_runs_only_once_the_finger_may_be_placed(desk, asking):
    ask(desk)
    desk.clock.advance(3)
    assert asking.remaining == 1.0
    ask(desk, ready=True)
    assert asking.remaining == 1.0
    desk.clock.advance(4)
    assert asking.remaining == pytest.approx(0.6)
    desk.stage(counts=staged.club().state.counts)
    ask(desk, ready=True)
    assert asking.remaining == pytest.approx(0.6), "the same claim does not start again"
    ask(desk, ready=True, serial=2)
    assert asking.remaining == 1.0, "the next one does"
    ticks = []
    asking.remainingChanged.connect(lambda: ticks.append(1))
    await until(lambda: ticks)


def test_a_finger_on_the_reader_is_acknowledged(desk, asking):
    ask(desk, ready=True)
    assert not asking.reading
    before = asking.title, asking.line
    ask(desk, ready=True, seen=True)
    assert (asking.reading, asking.title) == (True, "Hold still,")
    ask(desk, ready=True)
    assert (asking.title, asking.line) == before


def test_the_name_stays_until_the_answer_is_there(desk, asking):
    ask(desk, ready=True)
    desk.stage(claim=None)
    assert (asking.shown, asking.name) == (True, "Amara")
    desk.stage(phase=Phase.OUTCOME)
    assert not asking.shown


def test_the_way_out_asks_the_desk(desk, asking):
    ask(desk)
    asking.cancel()
    assert desk.calls == [("dismiss",)]
