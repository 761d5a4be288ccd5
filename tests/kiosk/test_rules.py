from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiosk import rules
from kiosk.clock import NS
from kiosk.model import Attendance, OutcomeKind, Person, Presence, Reason, Session, Status

ANN = Person("ann", "Ann", "Lee")
LONDON = "Europe/London"
EVENING = rules.Schedule("eve", "Evening", "18:00", "19:30", late_after=10)
SITE = rules.Site("club", "hall", LONDON, (EVENING,))


def at(text, zone=LONDON):
    return int(dt.datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()) * NS


def row(status=Status.PRESENT, presence=Presence.INSIDE):
    return Attendance("s", "ann", status, presence)


@pytest.mark.parametrize(
    ("person", "attendance", "since", "expected"),
    [
        (ANN, None, None, (rules.Verdict.RECORD, OutcomeKind.ACCEPTED)),
        (ANN, row(presence=Presence.NONE), None, (rules.Verdict.RECORD, OutcomeKind.ACCEPTED)),
        (ANN, row(), 5.0, (rules.Verdict.IGNORE, OutcomeKind.ALREADY_IN)),
        (ANN, row(), 61.0, (rules.Verdict.REPEAT, OutcomeKind.ALREADY_IN)),
        (ANN, row(), None, (rules.Verdict.REPEAT, OutcomeKind.ALREADY_IN)),
        (ANN, row(Status.LATE), None, (rules.Verdict.REPEAT, OutcomeKind.ALREADY_IN)),
        (ANN, row(Status.EXCUSED), None, (rules.Verdict.REPEAT, OutcomeKind.ALREADY_IN)),
        (ANN, row(Status.ABSENT), 1.0, (rules.Verdict.RECORD, OutcomeKind.ACCEPTED)),
        (ANN, row(presence=Presence.LEFT), 1.0, (rules.Verdict.RECORD, OutcomeKind.ACCEPTED)),
        (None, None, None, (rules.Verdict.REFUSE, OutcomeKind.REFUSED)),
        (Person("x", "X", active=False), None, None, (rules.Verdict.REFUSE, OutcomeKind.REFUSED)),
    ],
)
def test_decide(person, attendance, since, expected):
    decision = rules.decide(person, attendance, since, repeat=60)
    assert (decision.verdict, decision.outcome) == expected


def test_a_refusal_says_why():
    assert rules.decide(None, None, None, 60).reason is Reason.UNKNOWN_FINGER
    assert rules.decide(Person("x", "X", active=False), None, None, 60).reason is Reason.NOT_ACTIVE


@pytest.mark.parametrize(
    ("now", "title"),
    [
        ("2025-11-21T17:29:59", "Open today"),
        ("2025-11-21T17:30:00", "Evening"),
        ("2025-11-21T19:29:59", "Evening"),
        ("2025-11-21T19:30:00", "Open today"),
    ],
)
def test_the_open_session_by_the_clock(now, title):
    assert rules.open_session(SITE, (), at(now)).title == title


def test_two_kiosks_make_the_same_session_without_talking():
    first = rules.open_session(SITE, (), at("2025-11-21T18:05"))
    second = rules.open_session(SITE, (), at("2025-11-21T18:55"))
    other_day = rules.open_session(SITE, (), at("2025-11-22T18:05"))
    assert first == second
    assert first.id != other_day.id


def test_what_the_hub_says_of_a_session_goes_before_the_schedule():
    scheduled = rules.open_session(SITE, (), at("2025-11-21T18:05"))
    moved = Session(scheduled.id, "Moved", LONDON, scheduled.starts, scheduled.ends)
    assert rules.open_session(SITE, [moved], at("2025-11-21T18:05")) == moved


def test_the_latest_started_session_is_open_and_a_started_one_goes_before_an_early_one():
    first = Session("a", "First", LONDON, at("2025-11-21T10:00"), at("2025-11-21T12:00"))
    second = Session("b", "Second", LONDON, at("2025-11-21T11:00"), at("2025-11-21T12:30"))
    known = [first, second]
    assert rules.open_session(SITE, known, at("2025-11-21T10:45")) == first
    assert rules.open_session(SITE, known, at("2025-11-21T11:00")) == second


def test_late_is_judged_by_the_wall_clock_of_the_zone_across_daylight_saving():
    summer = rules.on_date(SITE, EVENING, dt.date(2025, 7, 1))
    winter = rules.on_date(SITE, EVENING, dt.date(2025, 12, 1))
    assert summer.late_at == at("2025-07-01T18:10")
    assert winter.late_at == at("2025-12-01T18:10")
    assert dt.datetime.fromtimestamp(summer.starts / NS, dt.UTC).hour == 17
    assert dt.datetime.fromtimestamp(winter.starts / NS, dt.UTC).hour == 18


def test_a_session_over_midnight_belongs_to_the_day_it_began():
    night = rules.Schedule("night", "Night watch", "22:00", "02:00")
    site = rules.Site("club", "hall", LONDON, (night,))
    before = rules.open_session(site, (), at("2025-11-21T23:00"))
    after = rules.open_session(site, (), at("2025-11-22T01:00"))
    assert before == after
    assert before.ends == at("2025-11-22T02:00")


def test_days_that_a_schedule_does_not_name_have_no_session():
    monday = rules.Site("c", "h", LONDON, (rules.Schedule("m", "M", "09:00", "10:00", ("mon",)),))
    assert rules.open_session(monday, (), at("2025-11-21T09:30")).all_day
    assert rules.open_session(monday, (), at("2025-11-24T09:30")).title == "M"


def test_the_day_the_clocks_change_is_still_one_day():
    day = rules.all_day(SITE, at("2025-10-26T12:00"))
    assert day.ends - day.starts == 25 * 3600 * NS
    assert day.roster == ()


@given(st.integers(min_value=0, max_value=4_000_000_000))
def test_some_session_is_always_open_and_holds_now(seconds):
    now = seconds * NS
    session = rules.open_session(SITE, (), now)
    assert session.starts - 30 * 60 * NS <= now < session.ends
