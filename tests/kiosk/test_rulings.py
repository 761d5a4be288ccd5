"""What staff put right without a screen, in words and in the log."""

from __future__ import annotations

import re
import threading

import pytest

from kiosk import rulings
from kiosk.attention import Attention, waiting
from kiosk.clock import NS, Anchor
from kiosk.control import Request, ruled
from kiosk.model import Human, Kind, Status
from kiosk.store import Draft, Settled
from tests.fakes import FakeClock

NOW = 50
SESSION = {"id": "s", "title": "Yoga", "zone": "UTC", "starts": 0, "ends": 90, "roster": ["ann"]}
ANN = {"record": "person", "id": "ann", "rev": 1, "value": {"id": "ann", "first_name": "Ann"}}


@pytest.fixture
def club(store):
    store.record(Draft(Kind.SESSION_OPENED, "s", data=SESSION)).result()
    store.record(Draft(Kind.DIRECTORY, data=ANN)).result()
    return store


def status(store, person="ann"):
    return {row.person: row.status for row in store.attendance("s")}.get(person)


def test_a_session_is_closed_and_reopened_once_each(club):
    assert ruled(club, Request("close"), NOW) == ["Yoga (s) is closed; 1 absent."]
    assert status(club) is Status.ABSENT
    with pytest.raises(rulings.RulingError, match="closed already"):
        ruled(club, Request("close", session="s"), NOW)
    assert ruled(club, Request("reopen", session="s"), NOW) == ["Yoga (s) is open again."]
    assert status(club) is None
    with pytest.raises(rulings.RulingError, match="is open"):
        ruled(club, Request("reopen"), NOW)


def test_a_decision_outweighs_what_readers_saw_and_knows_it(club):
    came = club.record(Draft(Kind.CHECK_IN, "s", "ann")).result()
    asked = Request("override", "ann", status="absent", reason="left at once", staff="ines")
    assert ruled(club, asked, NOW) == ["ann is absent in Yoga (s)."]
    made = club.row_events("s", "ann")[-1]
    assert (made.by.staff, made.by.rank, made.saw) == ("ines", 2, (came.id,))
    assert made.data == {"status": "absent", "reason": "left at once"}


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        (Request("override", "bob", status="absent"), "nobody has the id"),
        (Request("override", "ann", status="moon"), "none of present"),
        (Request("close", session="nowhere"), "no session has the id"),
        (Request("resolve", item=""), "no open item"),
    ],
)
def test_what_cannot_be_done_is_said_and_nothing_recorded(club, asked, why):
    before = club.last_kseq()
    with pytest.raises(rulings.RulingError, match=why):
        ruled(club, asked, NOW)
    assert club.last_kseq() == before


def test_an_item_is_listed_shown_and_acknowledged(club):
    assert ruled(club, Request("review"), NOW) == ["Nothing waits to be reviewed."]
    club.record(Draft(Kind.CHECK_IN, "s", "zed")).result()
    (line,) = ruled(club, Request("review"), NOW)
    short = line.split()[0]
    assert "zed came to Yoga and is not in the directory" in line
    assert "Session: Yoga." in ruled(club, Request("review", item=short), NOW)
    assert waiting(club) == 1
    assert ruled(club, Request("resolve", item=short), NOW)[0].startswith("Acknowledged: Somebody")
    assert club.review_items() == []
    assert waiting(club) == 0


def test_the_entries_of_an_item_are_told_by_who_what_when_and_where(club):
    event = club.record(Draft(Kind.CHECK_IN, "s", "ann", data={"method": "finger"})).result()
    (held,) = [one for one in club.pending() if one.id == event.id]
    club.settle([Settled(held.seq, event.id, "quarantined", "fork")]).result()
    item = next(one for one in club.review_items() if event.id in one.ids)
    lines = ruled(club, Request("review", item=item.id), NOW)
    (entry,) = [line for line in lines if line.startswith(f"Entry {event.id}: ")]
    who, what, when, where = entry.removeprefix(f"Entry {event.id}: ").split(", ")
    assert (who.split()[0], what, where) == ("Ann", "check in (finger)", "at this kiosk")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d [\d:]{8}", when)


def test_those_of_which_staff_are_only_informed_do_not_count(club):
    ruled(club, Request("close"), NOW)
    club.record(Draft(Kind.CHECK_IN, "s", "ann")).result()
    (item,) = club.review_items()
    assert item.human is Human.INFORMED
    assert waiting(club) == 0


def test_the_number_is_told_at_the_start_and_when_it_may_have_changed(club):
    heard, told = [], threading.Condition()

    def changed(number):
        with told:
            heard.append(number)
            told.notify()

    counted = Attention(club, changed)
    counted.start()
    try:
        with told:
            assert told.wait_for(lambda: heard == [0], 10)
            club.record(Draft(Kind.CHECK_IN, "s", "zed")).result()
            assert told.wait_for(lambda: heard[-1] == 1, 10)
    finally:
        counted.stop()


STAFF = {
    "tom": {"id": "tom", "name": "Tom", "rank": 1, "active": True},
    "ines": {"id": "ines", "name": "Ines", "rank": 2, "active": True},
    "chief": {"id": "chief", "name": "Chief", "rank": 3, "active": True},
    "gone": {"id": "gone", "name": "Gone", "rank": 3, "active": False},
    "odd": {"id": "odd", "rank": "high"},
}


@pytest.fixture
def staffed(club):
    for rev, (name, value) in enumerate(STAFF.items(), 1):
        data = {"record": "staff", "id": name, "rev": rev, "value": value}
        club.record(Draft(Kind.DIRECTORY, data=data)).result()
    return club


@pytest.mark.parametrize(("name", "rank"), [("ines", 2), ("chief", 3), ("owner", 2)])
def test_whoever_is_on_the_staff_decides_by_their_own_rank(staffed, name, rank):
    ruled(staffed, Request("override", "ann", status="excused", staff=name), NOW)
    made = staffed.row_events("s", "ann")[-1]
    assert (made.by.staff, made.by.rank) == (name, rank)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("tom", "tom takes attendance only"),
        ("gone", "no longer on the staff"),
        ("odd", "takes attendance only"),
        ("nobody", 'nobody on the staff is called "nobody"'),
    ],
)
@pytest.mark.parametrize("do", ["override", "close", "reopen", "resolve"])
def test_whoever_may_not_decide_is_told_why_and_nothing_is_written(staffed, do, name, why):
    before = staffed.last_kseq()
    with pytest.raises(rulings.RulingError, match=why):
        ruled(staffed, Request(do, "ann", status="absent", staff=name), NOW)
    assert staffed.last_kseq() == before


def test_the_session_that_is_on_is_told_by_the_hubs_time(club, clock):
    past = FakeClock(wall=7, boot=clock.boot)
    assert rulings.moment(club, past) == 7
    club.save_anchor(Anchor(past.boot, past.ticks() - NS, 1_800_000_000 * NS, 0)).result()
    assert rulings.moment(club, past) == 1_800_000_001 * NS
