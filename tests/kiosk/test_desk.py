"""The desk on a real store and a real loop; only the reader and the line are spoken for here."""

from __future__ import annotations

import asyncio
import sqlite3

import pytest

from drivers import errors
from drivers.events import (
    CaptureFailed,
    FingerDown,
    FingerStuck,
    Matched,
    NotMatched,
    SensorDown,
    SensorUp,
)
from kiosk import rules
from kiosk.badges import BadgeKey
from kiosk.clock import NS
from kiosk.desk import Desk, DeskSettings
from kiosk.model import (
    Kind,
    LinkState,
    LinkStatus,
    OutcomeKind,
    Person,
    Phase,
    Presence,
    Reason,
    SensorState,
    Session,
    Status,
)
from kiosk.store import Slot
from tests.fakes import NOON
from tests.kiosk.test_store import check_in, encode_event, envelope, foreign, told

KEY = BadgeKey("club")
SHARED = KEY.hash("shared")
PEOPLE = [
    Person("ann", "Ann", "Lee", code="1001", badges=(KEY.hash("B-1001"), SHARED)),
    Person("bob", "Bob", "Ray", code="1002", badges=(SHARED, KEY.hash("B-1002"))),
    Person("old", "Old", "Member", code="1003", active=False, badges=(KEY.hash("B-1003"),)),
]
SITE = rules.Site(
    "club", "hall", "UTC", (rules.Schedule("lunch", "Lunch", "11:50", "14:00", late_after=20),)
)


def directory(people, first=1):
    for rev, person in enumerate(people, first):
        value = {"id": person.id, "first_name": person.first_name, "last_name": person.last_name}
        value |= {"code": person.code, "active": person.active}
        value |= {"badges": person.badges}
        data = {"record": "person", "id": person.id, "rev": rev, "value": value}
        event = foreign(f"dir-{person.id}-{rev}", rev, Kind.DIRECTORY, None, None, data=data)
        yield encode_event(event), envelope(rev)


class Door:
    """A desk with a log of what it showed, and ways to wait for it."""

    def __init__(self, store, clock, badge_key=None, **settings):
        self.store, self.clock = store, clock
        self.kicks = []
        self.states, self.rows = [], []
        store.apply_remote("site", "e", list(directory(PEOPLE)), len(PEOPLE)).result()
        for number, person in enumerate(PEOPLE):
            store.set_slot(Slot("sensor", number, person.id, "active", NOON)).result()
        store.set_slot(Slot("sensor", 9, "ann", "pending", NOON)).result()
        self.desk = Desk(
            store,
            clock,
            SITE,
            DeskSettings("Club", **settings),
            lambda: self.kicks.append(1),
            badge_key,
        )
        self.moved = asyncio.Event()
        self.desk.watch(self._state, self._rows)
        self.desk.start(asyncio.get_running_loop())
        self.desk.sensor_event(SensorUp("sensor", 1000, 3))

    def _state(self, state):
        self.states.append(state)
        self.moved.set()

    def _rows(self, rows):
        self.rows.extend(rows)
        self.moved.set()

    async def until(self, condition, *, moves=True):
        """Wait for something that the desk announces, or (not `moves`) that only its timers do."""
        async with asyncio.timeout(5):
            while not condition():
                self.moved.clear()
                await (self.moved.wait() if moves else asyncio.sleep(0))

    async def finger(self, slot, sensor="sensor"):
        serial = self.serial
        self.desk.sensor_event(FingerDown())
        self.desk.sensor_event(Matched(sensor, slot, 120))
        await self.until(lambda: self.serial > serial)
        return self.desk.state.outcome

    @property
    def serial(self):
        return max((s.outcome.serial for s in self.states if s.outcome), default=0)

    def row(self, person):
        return next(row.row for row in self.desk.roster() if row.person.id == person)

    def kinds(self):
        self.store._submit(1, lambda _: None).result()
        return [
            row[0]
            for row in self.store._read(
                "SELECT kind FROM event WHERE device != 'other' ORDER BY seq"
            )
        ]


@pytest.fixture
async def door(store, clock):
    door = Door(store, clock)
    yield door
    door.desk.stop()


def test_what_is_known_can_be_shown_before_there_is_a_loop(store, clock):
    store.apply_remote("site", "e", list(directory(PEOPLE)), len(PEOPLE)).result()
    desk = Desk(store, clock, SITE, DeskSettings("Club"))
    desk.load(notices=2)
    assert desk.state.session.title == "Lunch"
    assert {row.person.id for row in desk.roster()} == {"ann", "bob"}
    assert (desk.state.counts.expected, desk.state.link.attention) == (2, 2)
    assert (desk.state.phase, desk.state.sensor.state) == (Phase.IDLE, SensorState.STARTING)


async def test_a_known_finger_is_welcomed_after_the_commit(door):
    outcome = await door.finger(0)
    assert (outcome.kind, outcome.person.id, outcome.late) == (OutcomeKind.ACCEPTED, "ann", False)
    assert door.desk.state.phase is Phase.OUTCOME
    assert door.row("ann").status is Status.PRESENT
    assert door.kinds() == [Kind.SESSION_OPENED, Kind.CHECK_IN]
    phases = [state.phase for state in door.states]
    assert phases.index(Phase.READING) < phases.index(Phase.OUTCOME)


async def test_the_roster_and_counts_follow(door):
    counts = door.desk.state.counts
    assert (counts.present, counts.expected, counts.total) == (0, 2, 2)
    await door.finger(0)
    counts = door.desk.state.counts
    assert (counts.present, counts.expected) == (1, 1)
    assert {row.person.id for row in door.desk.roster()} == {"ann", "bob"}
    assert [row.person.id for row in door.rows][-1] == "ann"


async def test_late_is_by_the_sessions_clock(door):
    door.clock.advance(11 * 60)
    outcome = await door.finger(0)
    assert outcome.late
    assert door.row("ann").status is Status.LATE
    assert door.desk.state.counts.late == 1


async def test_a_second_scan_is_answered_but_only_recorded_when_it_says_something(door):
    await door.finger(0)
    again = await door.finger(0)
    assert (again.kind, again.since) == (OutcomeKind.ALREADY_IN, NOON)
    assert door.kinds().count(Kind.CHECK_IN) == 1
    door.clock.advance(61)
    later = await door.finger(0)
    assert later.kind is OutcomeKind.ALREADY_IN
    assert door.kinds().count(Kind.CHECK_IN) == 2
    assert door.row("ann").arrival == (NOON, NOON)


async def test_not_you_undoes_and_the_right_person_can_check_in(door):
    await door.finger(0)
    door.desk.not_you()
    await door.until(lambda: door.row("ann").status is Status.EXPECTED)
    assert door.desk.state.phase is Phase.IDLE
    assert door.kinds()[-1] == Kind.RETRACT
    assert (await door.finger(0)).kind is OutcomeKind.ACCEPTED


async def test_not_you_on_already_in_calls_staff_and_undoes_nothing(door):
    await door.finger(0)
    await door.finger(0)
    door.desk.not_you()
    assert door.kinds()[-1] == Kind.HELP
    assert door.row("ann").status is Status.PRESENT


async def test_an_unknown_finger_is_refused_and_recorded_without_a_name(door):
    door.desk.sensor_event(NotMatched())
    outcome = door.desk.state.outcome
    assert (outcome.kind, outcome.reason, outcome.person) == (
        OutcomeKind.REFUSED, Reason.UNKNOWN_FINGER, None)  # fmt: skip
    assert door.kinds() == [Kind.REFUSED]


@pytest.mark.parametrize(("sensor", "slot"), [("sensor", 500), ("stranger", 0), ("sensor", 9)])
async def test_a_slot_that_is_not_ours_and_active_never_yields_a_name(door, sensor, slot):
    outcome = await door.finger(slot, sensor)
    assert (outcome.kind, outcome.person) == (OutcomeKind.REFUSED, None)


async def test_somebody_who_left_the_club_is_refused(door):
    outcome = await door.finger(2)
    assert (outcome.kind, outcome.reason) == (OutcomeKind.REFUSED, Reason.NOT_ACTIVE)
    assert Kind.CHECK_IN not in door.kinds()


async def test_bad_reads_are_counted_and_a_good_one_starts_anew(door):
    for attempt in (1, 2, 3):
        door.desk.sensor_event(CaptureFailed("dry"))
        outcome = door.desk.state.outcome
        assert (outcome.kind, outcome.reason, outcome.attempt) == (
            OutcomeKind.TRY_AGAIN, Reason.DRY, attempt)  # fmt: skip
    await door.finger(0)
    door.desk.sensor_event(FingerStuck())
    assert (door.desk.state.outcome.reason, door.desk.state.outcome.attempt) == (Reason.STUCK, 1)


async def test_a_code_is_another_way_in(door):
    door.desk.enter_code(" 1002 ")
    await door.until(lambda: door.desk.state.outcome is not None)
    assert door.desk.state.outcome.person.id == "bob"
    assert door.row("bob").method == "code"
    door.desk.enter_code("9999")
    assert door.desk.state.outcome.reason is Reason.UNKNOWN_CODE


async def test_what_cannot_be_saved_is_never_welcomed(door):
    pages = door.store._submit(
        0, lambda _: door.store._db.execute("PRAGMA page_count").fetchone()[0]
    )
    limit = f"PRAGMA max_page_count = {pages.result()}"
    door.store._submit(0, lambda _: door.store._db.execute(limit)).result()
    outcomes = [await door.finger(n % 2) for n in range(60)]
    refused = [o for o in outcomes if o.reason is Reason.NOT_SAVED]
    welcomed = {o.person.id for o in outcomes if o.kind is OutcomeKind.ACCEPTED}
    assert refused or welcomed == {"ann", "bob"}
    saved = {row.person for row in door.store.attendance(door.desk.state.session.id)}
    assert welcomed <= saved


async def test_a_closed_store_refuses_instead_of_greeting(door):
    door.store.close()
    outcome = await door.finger(0)
    assert (outcome.kind, outcome.reason) == (OutcomeKind.REFUSED, Reason.NOT_SAVED)


async def test_outcomes_go_by_themselves_and_the_next_finger_interrupts(store, clock):
    door = Door(store, clock, success_shown=0.05, refusal_shown=0.05)
    await door.finger(0)
    await door.until(lambda: door.desk.state.phase is Phase.IDLE)
    await door.finger(1)
    door.desk.sensor_event(FingerDown())
    assert (door.desk.state.phase, door.desk.state.outcome) == (Phase.READING, None)
    door.desk.stop()


async def test_a_reading_that_never_ends_goes_back_to_idle(store, clock):
    door = Door(store, clock, reading_limit=0.05)
    door.desk.sensor_event(FingerDown())
    await door.until(lambda: door.desk.state.phase is Phase.IDLE)
    door.desk.stop()


@pytest.mark.parametrize(
    ("cause", "state"),
    [
        (errors.PortMissing(), SensorState.MISSING),
        (errors.Disconnected(), SensorState.MISSING),
        (errors.PortBusy(), SensorState.BUSY),
        (errors.ResponseTimeout(), SensorState.SILENT),
        (errors.FrameError(), SensorState.SILENT),
        (errors.WrongPassword(0x13), SensorState.REFUSED),
        (errors.SensorIdentityMismatch("ahead", "newer"), SensorState.STRANGER),
        (errors.LibraryMismatch("damaged stamp"), SensorState.STRANGER),
    ],
)
async def test_a_dead_sensor_is_told_and_codes_still_work(door, cause, state):
    door.desk.sensor_event(SensorDown(cause, 5.0))
    shown = door.desk.state
    assert (shown.phase, shown.sensor.state) == (Phase.OUT_OF_ORDER, state)
    assert shown.sensor.detail == cause.sentence
    door.desk.enter_code("1001")
    await door.until(lambda: door.desk.state.outcome is not None)
    assert door.desk.state.outcome.kind is OutcomeKind.ACCEPTED
    door.desk.dismiss()
    assert door.desk.state.phase is Phase.OUT_OF_ORDER
    door.desk.sensor_event(SensorUp("sensor", 1000, 3))
    assert door.desk.state.phase is Phase.IDLE


@pytest.mark.parametrize(
    ("cause", "mismatch"),
    [
        (errors.SensorIdentityMismatch("foreign", "another"), "foreign"),
        (errors.SensorIdentityMismatch("blank", "no stamp"), "blank"),
        (errors.LibraryMismatch("damaged stamp"), "damaged"),
        (errors.Disconnected(), ""),
    ],
)
async def test_a_stranger_is_told_with_how_it_differs(door, cause, mismatch):
    door.desk.sensor_event(SensorDown(cause, 5.0))
    assert door.desk.state.sensor.mismatch == mismatch
    door.desk.sensor_event(SensorUp("sensor", 1000, 3))
    assert door.desk.state.sensor.mismatch == ""


async def test_a_dead_sensor_keeps_the_time_it_died(door):
    door.desk.sensor_event(SensorDown(errors.Disconnected(), 1.0))
    since = door.desk.state.sensor.since
    door.clock.advance(30)
    door.desk.sensor_event(SensorDown(errors.PortMissing(), 5.0))
    assert door.desk.state.sensor.since == since


async def test_attention_is_shown_only_while_the_line_is_calm(door):
    door.desk.link_changed(LinkStatus(LinkState.ONLINE))
    assert door.desk.state.link.state is LinkState.ONLINE
    door.desk.link_changed(LinkStatus(LinkState.ONLINE, quarantined=2))
    assert (door.desk.state.link.state, door.desk.state.link.attention) == (LinkState.ATTENTION, 2)
    door.desk.link_changed(LinkStatus(LinkState.OFFLINE, held=3, quarantined=2))
    assert door.desk.state.link.state is LinkState.OFFLINE


async def test_try_now_reaches_the_line(door):
    door.desk.try_now()
    assert door.kicks == [1]


async def test_another_kiosks_check_in_joins_the_roster(door):
    session = door.desk.state.session.id
    event = foreign("far", 7, person="bob", session=session)
    door.store.apply_remote("room", "e", [(encode_event(event), envelope(7))], 7).result()
    await door.until(lambda: door.row("bob").presence is Presence.INSIDE)
    assert (await door.finger(1)).kind is OutcomeKind.ALREADY_IN


async def test_a_quarantined_own_event_takes_the_row_back(door):
    await door.finger(0)
    event = door.store.row_events(door.desk.state.session.id, "ann")[0]
    apart = envelope(verdict="quarantined", code="revoked")
    door.store.settle([told(door.store, event, "quarantined", "revoked", apart)]).result()
    await door.until(lambda: door.row("ann").status is Status.EXPECTED)


async def test_a_person_who_joins_the_directory_joins_the_roster(door):
    door.store.apply_remote("s", "e", list(directory([Person("new", "New", "Person")])), 9).result()
    await door.until(lambda: any(row.person.id == "new" for row in door.desk.roster()))
    assert door.desk.state.counts.expected == 3


async def test_the_session_changes_with_the_clock_and_with_the_directory(store, clock):
    door = Door(store, clock, session_check=0.01)
    assert door.desk.state.session.title == "Lunch"
    clock.advance(3 * 3600)
    await door.until(lambda: door.desk.state.session.all_day)
    now = clock.wall()
    special = Session("special", "Special", "UTC", now - NS, now + 3600 * NS, roster=("bob",))
    value = {"id": "special", "title": "Special", "zone": "UTC", "starts": special.starts}
    value |= {"ends": special.ends, "roster": ["bob"]}
    data = {"record": "session", "id": "special", "rev": 1, "value": value}
    event = foreign("ses", 50, Kind.DIRECTORY, None, None, data=data)
    store.apply_remote("site", "e", [(encode_event(event), envelope(50))], 50).result()
    await door.until(lambda: door.desk.state.session.id == "special")
    assert [row.person.id for row in door.desk.roster()] == ["bob"]
    door.desk.stop()


async def test_what_was_recorded_before_a_restart_is_shown_after_it(store, clock):
    session = rules.open_session(SITE, (), clock.wall())
    store.record(check_in("ann", session.id)).result()
    door = Door(store, clock)
    assert door.row("ann").presence is Presence.INSIDE
    assert (await door.finger(0)).kind is OutcomeKind.ALREADY_IN
    door.desk.stop()


async def test_an_undo_that_cannot_be_saved_is_told(door):
    await door.finger(0)
    door.store.close()
    door.desk.not_you()
    await door.until(lambda: door.desk.state.outcome is not None)
    outcome = door.desk.state.outcome
    assert (outcome.kind, outcome.reason) == (OutcomeKind.REFUSED, Reason.NOT_SAVED)


async def test_bad_reads_of_one_person_are_not_counted_against_the_next(door):
    door.desk.sensor_event(CaptureFailed("dry"))
    door.desk.dismiss()
    door.desk.sensor_event(CaptureFailed("wet"))
    assert door.desk.state.outcome.attempt == 1


async def test_the_same_person_five_times_before_the_first_answer_is_one_check_in(door):
    for _ in range(5):
        door.desk.enter_code("1001")
    await door.until(lambda: door.desk.state.outcome is not None)
    assert door.kinds().count(Kind.CHECK_IN) == 1


async def test_a_session_that_cannot_be_opened_now_is_opened_later(store, clock, monkeypatch):
    door = Door(store, clock, session_check=0.01)
    failing = True

    def attendance(session, real=store.attendance):
        if failing:
            raise sqlite3.OperationalError("disk I/O error")
        return real(session)

    monkeypatch.setattr(store, "attendance", attendance)
    clock.advance(3 * 3600)
    ticks = door.desk._ticker
    await door.until(lambda: door.desk._ticker is not ticks, moves=False)
    assert door.desk.state.session.title == "Lunch"
    failing = False
    await door.until(lambda: door.desk.state.session.all_day)
    door.desk.stop()


async def test_the_session_is_the_one_of_the_moment_of_the_scan(store, clock):
    door = Door(store, clock, session_check=3600)
    clock.advance(3 * 3600)
    await door.finger(0)
    assert door.desk.state.session.all_day
    assert store.attendance(door.desk.state.session.id)[0].person == "ann"
    door.desk.stop()


async def test_who_may_come_is_awaited_by_name_or_else_everybody_active(store, clock):
    """On a day that is open to all nobody is expected, and the sensor should know them all."""
    door = Door(store, clock, session_check=0.01)
    assert door.desk.awaited() == door.desk.expected() == {"ann", "bob"}
    clock.advance(12 * 3600)
    await door.until(lambda: door.desk.state.session.all_day, moves=False)
    assert door.desk.expected() == frozenset()
    assert door.desk.awaited() == {"ann", "bob"}
    door.desk.stop()
