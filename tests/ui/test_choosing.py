"""The question which session it is, while the time is not known."""

from __future__ import annotations

import msgspec
import pytest

from kiosk.clock import EARLIEST, LATEST
from kiosk.model import Outcome, OutcomeKind, Phase
from tests.ui import staged
from tests.ui.conftest import item
from tests.ui.test_screens import click
from ui.choosing import Choosing
from ui.door import Door
from ui.greeting import greeting
from ui.words import LANGUAGES, Words

EVENING = staged.session()
ALL_DAY = msgspec.structs.replace(EVENING, id="a", title="Open today", all_day=True)
UNDATED = msgspec.structs.replace(ALL_DAY, id="u", starts=EARLIEST, ends=LATEST)
CHOICES = (EVENING, ALL_DAY, UNDATED)


@pytest.fixture
def page(qapp, desk):
    page = Choosing(desk, Words("en"))
    desk.watch(page.show, lambda rows: None)
    return page


def test_it_is_asked_only_while_there_is_something_to_choose_and_nobody_is_answered(desk, page):
    assert not page.shown
    desk.stage(choices=CHOICES)
    assert page.shown
    desk.stage(phase=Phase.OUTCOME)
    assert not page.shown
    desk.stage(phase=Phase.OUT_OF_ORDER)
    assert page.shown
    desk.stage(choices=())
    assert not page.shown


def test_each_choice_has_its_day_and_the_last_is_the_way_on(desk, page):
    desk.stage(choices=CHOICES)
    assert page.titles == ["Evening training", "Open today", "Open today", "None of these"]
    assert page.details == [
        "Fri 21 Nov · 18:00 to 19:30",
        "Fri 21 Nov · Open all day",
        "The day is not known",
        "Go on without, staff sort it out later",
    ]


@pytest.mark.parametrize(("touched", "said"), [(0, EVENING.id), (2, "u"), (3, ""), (99, "")])
def test_a_touch_says_which(desk, page, touched, said):
    desk.stage(choices=CHOICES)
    page.choose(touched)
    assert desk.calls == [("choose_session", said)]


def test_on_the_glass(qapp, shell, desk):
    desk.stage(choices=CHOICES)
    shell.window.grabWindow()
    assert item(shell, "choice3").isVisible()
    click(shell, "choice1")
    assert desk.calls == [("choose_session", "a")]


def test_no_time_of_day_is_shown_that_nobody_knows(qapp, desk):
    door = Door(desk, Words("en"))
    desk.watch(door.show, lambda rows: None)
    assert door.clock == "18:04"
    desk.stage(sure=False, session=UNDATED)
    assert (door.clock, door.dateLong, door.sessionLine) == (
        "–",
        "The day is not known",
        "The day is not known",
    )


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", [OutcomeKind.ACCEPTED, OutcomeKind.ALREADY_IN])
def test_a_greeting_makes_up_no_time_either(qapp, desk, language, kind):
    outcome = Outcome(1, kind, staged.at("18:04"), 3.0, person=staged.person("Ann Lee"), sure=False)
    said = greeting(outcome, UNDATED, Words(language))
    assert said.line
    assert not any(sign.isdigit() for sign in said.line)
