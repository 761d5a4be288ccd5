"""A door that does not know the time: it asks, guesses nothing, and puts right what it can."""

from __future__ import annotations

import asyncio

import pytest

from kiosk import rules
from kiosk.clock import EARLIEST, LATEST, NS, Anchor, HubClock
from kiosk.desk import Desk, DeskSettings
from kiosk.model import Author, Flag, Kind, OutcomeKind, Presence, Status
from kiosk.store import Draft, Slot
from tests.fakes import NOON, FakeClock
from tests.kiosk.test_desk import PEOPLE, SITE, directory
from tests.sync.rig import until

MINUTE = 60 * NS
WRONG = {"1970": 7 * NS, "2038": (2**31 - 1) * NS, "likely": NOON}
QUICK = DeskSettings("Club", session_check=0.01)


class Unsure:
    """A desk on a clock that nobody keeps, which may hear of the time later."""

    def __init__(self, open_store, wall):
        self.clock = FakeClock(wall)
        self.clock.is_synced = False
        self.open_store = open_store
        self.store = open_store(clock=self.clock)
        self.store.apply_remote("site", "e", list(directory(PEOPLE)), len(PEOPLE)).result()
        for number, person in enumerate(PEOPLE):
            self.store.set_slot(Slot("sensor", number, person.id, "active", NOON)).result()
        self.sit()

    def sit(self):
        self.hub_clock = HubClock(self.clock)
        self.hub_clock.learn(self.store.anchors())
        self.desk = Desk(self.store, self.hub_clock, SITE, QUICK)
        self.desk.start(asyncio.get_running_loop())

    def restart(self):
        self.desk.stop()
        self.store.close()
        self.store = self.open_store(clock=self.clock)
        self.sit()

    def hear(self, now):
        """A hub tells the time."""
        self.store.save_anchor(Anchor(self.clock.boot, self.clock.ticks(), now, 0)).result()
        self.hub_clock.learn(self.store.anchors())

    async def until(self, condition):
        await until(condition, 5)

    async def code(self, code):
        before = self.desk.state.outcome
        self.desk.enter_code(code)
        await self.until(lambda: self.desk.state.outcome not in (None, before))
        return self.desk.state.outcome

    def status(self, person, session=None):
        rows = self.store.attendance(session or self.desk.state.session.id)
        return next(((r.status, r.presence) for r in rows if r.person == person), None)


@pytest.fixture
async def unsure(open_store, request):
    door = Unsure(open_store, getattr(request, "param", NOON))
    yield door
    door.desk.stop()


def wrong(*names):
    values = [WRONG[name] for name in names]
    return pytest.mark.parametrize("unsure", values, ids=names, indirect=True)


@wrong(*WRONG)
async def test_it_asks_and_whoever_comes_meanwhile_is_in_without_a_guess(unsure):
    state = unsure.desk.state
    assert state.choices
    assert not state.sure
    assert not state.session.dated
    outcome = await unsure.code("1001")
    assert (outcome.kind, outcome.late, outcome.sure) == (OutcomeKind.ACCEPTED, False, False)
    assert unsure.status("ann") == (Status.PRESENT, Presence.INSIDE)
    (row,) = unsure.store.attendance(unsure.desk.state.session.id)
    assert (row.arrival[1], row.flags) == (LATEST, ())
    assert unsure.desk.state.choices  # still asked
    assert (await unsure.code("1001")).kind is OutcomeKind.ALREADY_IN


@wrong("1970")
async def test_in_1970_the_schedules_are_offered_without_a_day(unsure):
    (choice,) = unsure.desk.state.choices
    assert (choice.title, choice.dated, choice.late_at) == ("Lunch", False, None)
    unsure.desk.choose_session(choice.id)
    assert unsure.desk.state.session == choice
    assert unsure.desk.state.choices == ()


@wrong("likely")
async def test_by_a_likely_clock_each_choice_has_its_day_and_the_chosen_one_its_rules(unsure):
    choices = unsure.desk.state.choices
    assert [one.title for one in choices].count("Lunch") == 3
    lunch = rules.on_date(SITE, SITE.schedules[0], rules.local_date(NOON, "UTC"))
    assert lunch in choices
    unsure.desk.choose_session(lunch.id)
    assert unsure.desk.state.session == lunch
    unsure.clock.advance(15 * 60)  # by this clock, late
    outcome = await unsure.code("1001")
    assert (outcome.kind, outcome.late) == (OutcomeKind.ACCEPTED, False)
    (row,) = unsure.store.attendance(lunch.id)
    assert (row.status, row.flags) == (Status.PRESENT, (Flag.TIME_UNCERTAIN,))


@wrong("likely")
async def test_what_was_said_holds_over_a_restart_and_for_as_long_as_the_session_lasts(unsure):
    lunch = next(one for one in unsure.desk.state.choices if one.title == "Lunch")
    unsure.desk.choose_session(lunch.id)
    unsure.restart()
    assert unsure.desk.state.session.id == lunch.id
    unsure.clock.advance((lunch.ends - lunch.starts) / NS + 1)
    await unsure.until(lambda: unsure.desk.state.choices)
    assert not unsure.desk.state.session.dated
    unsure.desk.choose_session("")
    assert unsure.desk.state.choices == ()
    assert not unsure.desk.state.session.dated
    # The next boot knows nothing of it.
    unsure.clock = FakeClock(NOON, boot="boot-b")
    unsure.clock.is_synced = False
    unsure.restart()
    assert unsure.desk.state.choices


@wrong("1970", "2038")
async def test_once_a_hub_tells_the_time_the_early_are_brought_to_their_session(unsure):
    undated = unsure.desk.state.session
    await unsure.code("1001")
    first = unsure.store.row_events(undated.id, "ann")[0]
    unsure.clock.advance(25 * 60)
    await unsure.code("1002")
    unsure.clock.advance(60)
    lunch = rules.on_date(SITE, SITE.schedules[0], rules.local_date(NOON, "UTC"))
    unsure.hear(NOON + 26 * MINUTE)
    await unsure.until(lambda: unsure.status("bob", lunch.id) is not None)
    state = unsure.desk.state
    assert (state.session, state.choices, state.sure) == (lunch, (), True)
    rows = {row.person: row for row in unsure.store.attendance(lunch.id)}
    assert {who: row.status for who, row in rows.items()} == {
        "ann": Status.PRESENT,
        "bob": Status.LATE,  # at 12:25 of a lunch that is late from 12:10 on
    }
    assert rows["ann"].arrival[0] <= NOON <= rows["ann"].arrival[1] <= NOON + NS
    assert {unsure.status(who, undated.id)[1] for who in ("ann", "bob")} == {Presence.NONE}
    placed = unsure.store.row_events(lunch.id, "ann")
    assert [(e.ticks, e.data["placed"]) for e in placed] == [(first.ticks, first.id)]
    # Nothing more is written, now or after a restart.
    before = unsure.store.last_kseq()
    unsure.restart()
    await unsure.until(lambda: not unsure.desk._roll._placing._due)
    assert unsure.store.last_kseq() == before
    assert (await unsure.code("1001")).kind is OutcomeKind.ALREADY_IN


@wrong("1970")
async def test_what_was_undone_or_decided_by_staff_stays_where_it_is(unsure):
    undated = unsure.desk.state.session
    await unsure.code("1001")
    unsure.desk.not_you()
    await unsure.code("1002")
    by, said = Author("staff", "ines", 2), {"status": "excused"}
    unsure.store.record(Draft(Kind.OVERRIDE, undated.id, "bob", by, said)).result()
    unsure.hear(NOON)
    await unsure.until(lambda: unsure.desk.state.sure and not unsure.desk._roll._placing._due)
    lunch = rules.on_date(SITE, SITE.schedules[0], rules.local_date(NOON, "UTC"))
    assert unsure.store.attendance(lunch.id) == []
    assert unsure.status("bob", undated.id) == (Status.EXCUSED, Presence.INSIDE)


def test_choices_are_few_distinct_and_in_order():
    many = rules.Site(
        "club",
        "hall",
        "UTC",
        tuple(rules.Schedule(f"s{n}", f"S{n}", f"{n:02}:00", f"{n:02}:50") for n in range(24)),
    )
    found = rules.choices(many, (), NOON, "b")
    assert len({one.id for one in found}) == len(found) == 5
    assert found == sorted(found, key=lambda one: (one.starts, one.id))
    assert any(one.starts <= NOON < one.ends and not one.all_day for one in found)
    assert rules.choices(SITE, (), EARLIEST - 1, "b") == [
        rules.undated(SITE, "b", SITE.schedules[0])
    ]
    assert rules.undated(SITE, "b").id != rules.undated(SITE, "c").id
