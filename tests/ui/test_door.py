"""The door's facade: clock, counts, prompts, countdown."""

from __future__ import annotations

import msgspec
import pytest
from PySide6.QtTest import QSignalSpy

from kiosk.model import Counts, Outcome, OutcomeKind, Phase, SensorState, SensorStatus
from tests.ui import staged
from tests.ui.conftest import until
from ui.door import Door
from ui.words import Words


@pytest.fixture
def words(qapp):
    return Words("en")


@pytest.fixture
def door(desk, words):
    door = Door(desk, words)
    desk.watch(door.show, lambda rows: None)
    yield door
    desk.stage(outcome=None)


def test_header_clock_and_counts(door):
    assert door.organisation == "Northgate Boxing Club"
    assert (door.sessionTitle, door.sessionLine) == (
        "Evening training",
        "18:00 to 19:30 · Main hall",
    )
    assert (door.clock, door.dateLong, door.dateShort) == (
        "18:04",
        "Friday 21 November",
        "Fri 21 Nov",
    )
    assert (door.present, door.presentText, door.restText) == (18, "of 32 present", "14 expected")
    assert door.onTimeShare == pytest.approx(18 / 32)


def test_times_are_those_of_the_zone_of_the_session(desk, words):
    session = msgspec.structs.replace(staged.session(), zone="Asia/Kathmandu")
    desk.stage(session=session)
    door = Door(desk, words)
    assert door.clock == "23:49"
    assert door.sessionLine.startswith("23:45 to 01:15")


def test_an_unknown_zone_still_shows_a_clock(desk, words):
    desk.stage(session=msgspec.structs.replace(staged.session(), zone="Mars/Olympus"))
    assert len(Door(desk, words).clock) == 5


def test_without_a_session_the_door_says_welcome(desk, door):
    desk.stage(session=None, counts=Counts())
    assert (door.sessionTitle, door.sessionLine) == ("Welcome", "")
    assert door.presentText == "present"
    assert door.restText == ""


def test_dates_follow_the_language(door, words):
    words.choose("es")
    assert door.dateLong == "viernes 21 de noviembre"
    words.choose("de")
    assert door.dateLong == "Freitag, 21. November"


def test_reading_says_so(desk, door):
    assert (door.phase, door.prompt) == ("idle", "Place your finger")
    desk.stage(phase=Phase.READING)
    assert (door.phase, door.prompt, door.promptDetail) == (
        "reading",
        "Hold still",
        "Reading your finger",
    )


async def test_touching_the_ring_tells_where_the_reader_is(door):
    pointed = QSignalSpy(door.pointed)
    door._pointing.setInterval(30)
    door.pointAtReader()
    assert pointed.count() == 1
    assert door.promptDetail == "The reader is below"
    await until(lambda: door.promptDetail == "on the reader below the screen")


async def test_the_countdown_runs_from_one_to_nothing(desk, door):
    outcome = Outcome(1, OutcomeKind.TRY_AGAIN, desk.clock.wall(), 5)
    desk.stage(phase=Phase.OUTCOME, outcome=outcome)
    assert door.remaining == 1.0
    desk.clock.advance(2)
    assert door.remaining == pytest.approx(0.6)
    ticks = QSignalSpy(door.remainingChanged)
    await until(lambda: ticks.count() >= 1)
    desk.stage(phase=Phase.OUTCOME, outcome=outcome)
    assert door.remaining == pytest.approx(0.6), "the same outcome does not start again"
    desk.stage(outcome=Outcome(2, OutcomeKind.TRY_AGAIN, desk.clock.wall(), 5))
    assert door.remaining == 1.0, "the next finger does"


async def test_the_clock_goes_on_by_itself(desk, words):
    desk.clock.advance(59.98)
    door = Door(desk, words)
    spy = QSignalSpy(door.clockChanged)
    desk.clock.advance(0.02)
    await until(lambda: spy.count() >= 1)
    assert door.clock == "18:05"
    door._minute.stop()


def test_a_starting_reader_is_not_called_broken(desk, door):
    desk.stage(phase=Phase.OUT_OF_ORDER, sensor=SensorStatus(SensorState.STARTING))
    assert door.troubleTitle == "The reader is starting"
    desk.stage(sensor=SensorStatus(SensorState.SILENT, since=staged.at("17:42")))
    assert door.troubleTitle == "The reader is out of order"
    assert door.troubleStaff == "Staff can see this. Reader silent since 17:42."


async def test_the_seconds_to_the_next_try_run_while_the_reader_is_away(desk, door):
    door._second.setInterval(10)
    away = SensorStatus(SensorState.MISSING, retry_at=desk.clock.monotonic() + 20)
    desk.stage(phase=Phase.OUT_OF_ORDER, sensor=away)
    told = QSignalSpy(door.troubleChanged)
    desk.clock.advance(3)
    await until(lambda: told.count() >= 2)
    assert door.troubleStaff == "Staff can see this. Next try in 17 s."
    desk.stage(phase=Phase.IDLE, sensor=staged.READY)
    assert not door._second.isActive()


def test_not_you_and_dismiss_ask_the_desk(desk, door):
    door.notYou()
    door.dismiss()
    assert desk.calls == [("not_you",), ("dismiss",)]
