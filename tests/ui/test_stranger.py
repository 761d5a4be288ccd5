"""The page about a reader that is not the one on record."""

from __future__ import annotations

from typing import get_args

import pytest

from drivers.errors import Mismatch
from kiosk.model import Phase, SensorState, SensorStatus
from tests.ui import staged
from tests.ui.conftest import until
from ui.stranger import Stranger
from ui.words import LANGUAGES, Words


@pytest.fixture
def page(qapp, desk):
    page = Stranger(desk, Words("en"))
    desk.watch(page.show, lambda rows: None)
    return page


def come(desk, mismatch="foreign"):
    sensor = SensorStatus(SensorState.STRANGER, since=staged.at("17:42"), mismatch=mismatch)
    desk.stage(phase=Phase.OUT_OF_ORDER, sensor=sensor)


def test_only_a_stranger_needs_a_decision(desk, page):
    desk.stage(phase=Phase.OUT_OF_ORDER, sensor=SensorStatus(SensorState.MISSING))
    assert not page.there
    come(desk)
    assert page.there
    assert page.title == "Another reader is plugged in"


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("mismatch", [*get_args(Mismatch), "damaged", ""])
def test_every_mismatch_has_words_and_three_choices(desk, language, mismatch):
    come(desk, mismatch)
    page = Stranger(desk, Words(language))
    assert page.title
    assert len(set(page.choices)) == len(set(page.reasons)) == len(set(page.commands)) == 3


def test_it_leaves_when_the_right_reader_is_back_or_somebody_comes(desk, page):
    for phase, sensor in ((Phase.IDLE, staged.READY), (Phase.OUTCOME, staged.READY)):
        come(desk)
        page.open()
        assert page.shown
        desk.stage(phase=phase, sensor=sensor)
        assert not page.shown


async def test_a_page_that_is_left_open_closes_by_itself(desk, page):
    page._closing.setInterval(10)
    come(desk)
    page.open()
    await until(lambda: not page.shown)
    page.open()
    page.close()
    assert not page.shown
