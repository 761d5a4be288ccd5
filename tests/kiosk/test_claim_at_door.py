"""Claims at the door: the desk, the store and the loop are real, the verdicts are spoken here."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from concurrent.futures import Future

import pytest

from drivers.errors import Cancelled, Disconnected
from drivers.events import (
    CaptureFailed,
    FailedRepeatedly,
    FingerDown,
    FingerStuck,
    Lifted,
    Matched,
    NotMatched,
    SensorDown,
    SensorUp,
)
from kiosk.model import Kind, OutcomeKind, Person, Phase, Reason, decode_event
from kiosk.proof import ClaimTiming
from kiosk.store import Slot
from kiosk.templates import NoTemplateError
from kiosk.vault import VaultError
from kiosk.verification import Verdict, VerificationTiming, Verified
from tests.fakes import NOON
from tests.kiosk.test_desk import KEY, Door, directory


class Oracle:
    """A verifier whose verdicts a test gives, each to the claim it was asked for."""

    def __init__(self, *people):
        self.people = set(people)
        self.asked = []
        self.cancelled = 0
        self.fails = None

    def can_verify(self, person):
        return person in self.people

    def verify(self, person, ready, seen, before):
        if self.fails is not None:
            raise self.fails
        future = Future()
        future.set_running_or_notify_cancel()
        self.asked.append((person, ready, future, seen))
        self.before = before
        return future

    def cancel(self):
        self.cancelled += 1

    def ready(self, number=-1):
        self.asked[number][1]()

    def tell(self, verdict, number=-1, **more):
        future = self.asked[number][2]
        if isinstance(verdict, Exception):
            future.set_exception(verdict)
        else:
            future.set_result(Verified(verdict, **more))


@pytest.fixture
def oracle():
    return Oracle("ann", "bob")


@pytest.fixture
async def door(store, clock, oracle):
    door = Door(store, clock)
    door.desk.verify_with(oracle)
    yield door
    door.desk.stop()


async def claimed(door, oracle, badge="B-1001"):
    """Somebody's badge is held up, and the reader is ready for their finger."""
    asked = len(oracle.asked)
    door.desk.badge(badge)
    assert len(oracle.asked) == asked + 1
    oracle.ready()
    await door.until(lambda: door.desk.state.claim and door.desk.state.claim.ready)


async def answer(door, person=None):
    """The answer on the screen; with `person` that one's, for another's may come just before."""

    def told():
        outcome = door.desk.state.outcome
        return outcome is not None and person in (None, outcome.person and outcome.person.id)

    await door.until(told)
    return door.desk.state.outcome


def recorded(door, kind):
    """(person, data) of each own event of that kind, oldest first."""
    door.store._submit(1, lambda _: None).result()
    rows = door.store._read("SELECT body FROM event WHERE device != 'other' ORDER BY seq")
    events = [decode_event(body) for (body,) in rows]
    return [(event.person, event.data) for event in events if event.kind == kind]


async def test_a_finger_that_lies_there_is_acknowledged_until_it_goes(door, oracle):
    await claimed(door, oracle)
    for there in (True, False, True):
        oracle.asked[-1][3](there)
        await door.until(lambda there=there: door.desk.state.claim.seen is there)
        assert door.desk.state.phase is Phase.VERIFYING
    late = oracle.asked[-1][3]
    oracle.tell(Verdict.MATCHED, score=87)
    await answer(door)
    late(False)
    await door.until(lambda: door.desk.state.phase is Phase.OUTCOME)
    assert door.desk.state.claim is None


# -- verdicts --------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["badge", "code"])
async def test_whose_finger_it_is_comes_in_verified(door, oracle, method):
    door.desk.badge("B-1001") if method == "badge" else door.desk.enter_code("1001")
    state = door.desk.state
    assert (state.phase, state.claim.person.public_name) == (Phase.VERIFYING, "Ann L.")
    assert not state.claim.ready
    oracle.ready()
    await door.until(lambda: door.desk.state.claim.ready)
    assert recorded(door, Kind.CHECK_IN) == []
    oracle.tell(Verdict.MATCHED, score=87)
    outcome = await answer(door)
    assert (outcome.kind, outcome.person.id) == (OutcomeKind.ACCEPTED, "ann")
    data = {"method": method, "verified": "finger", "score": 87}
    assert recorded(door, Kind.CHECK_IN) == [("ann", data)]
    assert door.row("ann").method == method
    assert door.desk.state.claim is None


async def test_another_persons_finger_is_refused_and_recorded_with_the_claim(door, oracle):
    await claimed(door, oracle)
    oracle.tell(Verdict.NOT_MATCHED)
    outcome = await answer(door)
    assert (outcome.kind, outcome.reason) == (OutcomeKind.REFUSED, Reason.OTHER_FINGER)
    assert recorded(door, Kind.REFUSED) == [("ann", {"reason": "other_finger"})]
    assert recorded(door, Kind.CHECK_IN) == []


@pytest.mark.parametrize(
    ("verdict", "verified"),
    [
        (Verdict.UNREADABLE, "unreadable"),
        (NoTemplateError("none"), "unavailable"),
        (VaultError("no key"), "unavailable"),
        (Disconnected(), "unavailable"),
        (OSError("anything"), "unavailable"),
    ],
)
async def test_neither_a_worn_finger_nor_a_dead_reader_keeps_anybody_out(
    door, oracle, verdict, verified
):
    await claimed(door, oracle)
    oracle.tell(verdict)
    assert (await answer(door)).kind is OutcomeKind.ACCEPTED
    assert recorded(door, Kind.CHECK_IN) == [("ann", {"method": "badge", "verified": verified})]


async def test_a_reader_that_cannot_even_be_asked_keeps_nobody_out(door, oracle):
    oracle.fails = RuntimeError("no such luck")
    door.desk.badge("B-1001")
    assert (await answer(door)).kind is OutcomeKind.ACCEPTED
    assert recorded(door, Kind.CHECK_IN)[0][1]["verified"] == "unavailable"


@pytest.mark.parametrize("ready", [False, True])
async def test_a_reader_that_does_not_come_to_it_is_not_waited_for(store, clock, oracle, ready):
    door = Door(store, clock, claim=ClaimTiming(start=0.02, finger=0.01, comparison=0.01))
    door.desk.verify_with(oracle)
    door.desk.badge("B-1001")
    if ready:
        oracle.ready()
    assert (await answer(door)).kind is OutcomeKind.ACCEPTED
    assert recorded(door, Kind.CHECK_IN)[0][1]["verified"] == "unavailable"
    assert oracle.cancelled == 1
    door.desk.stop()


async def test_whoever_walks_away_leaves_no_trace(door, oracle):
    await claimed(door, oracle)
    oracle.tell(Verdict.NO_FINGER)
    await door.until(lambda: door.desk.state.phase is Phase.IDLE)
    assert (door.desk.state.claim, door.desk.state.outcome) == (None, None)
    assert door.kinds() == []


async def test_who_cancels_leaves_no_trace_whatever_the_reader_says_afterwards(door, oracle):
    await claimed(door, oracle)
    door.desk.dismiss()
    assert (door.desk.state.phase, door.desk.state.claim) == (Phase.IDLE, None)
    assert oracle.cancelled == 1
    oracle.tell(Verdict.MATCHED, score=99)
    await claimed(door, oracle, "B-1002")
    assert door.kinds() == []
    assert door.desk.state.claim.person.id == "bob", "the late verdict was about nobody any more"
    oracle.tell(Verdict.MATCHED, score=50)
    assert (await answer(door)).person.id == "bob"


async def test_a_claim_that_is_over_asks_for_no_finger(door, oracle):
    door.desk.badge("B-1001")
    door.desk.dismiss()
    with pytest.raises(Cancelled):
        oracle.ready()
    assert door.desk.state.phase is Phase.IDLE


async def test_a_cancellation_that_was_meant_for_another_is_asked_again_once(door, oracle):
    await claimed(door, oracle)
    oracle.tell(Cancelled())
    await door.until(lambda: len(oracle.asked) == 2, moves=False)
    assert door.desk.state.phase is Phase.VERIFYING
    oracle.tell(Cancelled())
    assert (await answer(door)).kind is OutcomeKind.ACCEPTED
    assert recorded(door, Kind.CHECK_IN)[0][1]["verified"] == "unavailable"


async def test_the_verdict_and_the_readiness_may_come_from_any_thread(door, oracle):
    door.desk.badge("B-1001")

    def sensor():
        oracle.ready()
        oracle.tell(Verdict.MATCHED, score=60)

    thread = threading.Thread(target=sensor)
    thread.start()
    assert (await answer(door)).person.id == "ann"
    thread.join()
    claims = [state.claim.ready for state in door.states if state.claim]
    assert claims == [False, True]


def test_the_screen_counts_down_what_the_reader_waits():
    assert ClaimTiming().finger == VerificationTiming().patience


# -- whose turn it is ------------------------------------------------------------------------------


async def test_without_a_kept_finger_the_claim_alone_is_enough(door, oracle):
    oracle.people.clear()
    door.desk.badge("B-1001")
    assert (await answer(door)).kind is OutcomeKind.ACCEPTED
    assert recorded(door, Kind.CHECK_IN) == [("ann", {"method": "badge"})]


async def test_who_is_in_already_or_may_not_come_in_is_asked_for_nothing(door, oracle):
    oracle.people.add("old")
    door.desk.badge("B-1003")
    assert door.desk.state.outcome.reason is Reason.NOT_ACTIVE
    await door.finger(0)
    door.desk.badge("B-1001")
    assert door.desk.state.outcome.kind is OutcomeKind.ALREADY_IN
    assert oracle.asked == []


async def test_the_same_badge_again_is_the_same_claim(door, oracle):
    await claimed(door, oracle)
    door.desk.badge("B-1001")
    door.desk.enter_code("1001")
    assert (len(oracle.asked), oracle.cancelled) == (1, 0)
    oracle.tell(Verdict.MATCHED, score=70)
    await answer(door)
    assert len(recorded(door, Kind.CHECK_IN)) == 1


async def test_the_next_badge_takes_over_and_nobodys_is_lost(door, oracle):
    await claimed(door, oracle)
    await claimed(door, oracle, "B-1002")
    assert oracle.cancelled == 1
    oracle.tell(Verdict.NOT_MATCHED, number=0)
    await door.until(lambda: door.row("ann").method == "badge")
    assert door.desk.state.phase is Phase.VERIFYING, "the screen stays with whose turn it is"
    assert door.desk.state.claim.person.id == "bob"
    oracle.tell(Verdict.MATCHED, score=66)
    assert (await answer(door, "bob")).kind is OutcomeKind.ACCEPTED
    assert recorded(door, Kind.CHECK_IN) == [
        ("ann", {"method": "badge", "verified": "interrupted"}),
        ("bob", {"method": "badge", "verified": "finger", "score": 66}),
    ]
    assert recorded(door, Kind.REFUSED) == []


async def test_the_finger_of_who_was_overtaken_is_not_held_against_the_next(store, clock, oracle):
    door = Door(store, clock, claim=ClaimTiming(lift=0.01))
    door.desk.verify_with(oracle)
    await claimed(door, oracle)
    assert oracle.before == ()
    await claimed(door, oracle, "B-1002")
    assert oracle.before == ("ann",)
    for looks in (3, 4, 5):
        oracle.tell(Verdict.OF_BEFORE)  # Ann's finger, still on the glass
        await door.until(lambda looks=looks: len(oracle.asked) == looks, moves=False)
        assert (oracle.asked[-1][0], door.desk.state.claim.person.id) == ("bob", "bob")
        oracle.ready()
    oracle.tell(Verdict.NOT_MATCHED)  # a third one's
    assert (await answer(door, "bob")).reason is Reason.OTHER_FINGER
    assert recorded(door, Kind.REFUSED) == [("bob", {"reason": "other_finger"})]
    door.desk.stop()


async def test_a_stranger_is_refused_at_once_also_behind_somebody_who_was_overtaken(door, oracle):
    await claimed(door, oracle)
    await claimed(door, oracle, "B-1002")
    oracle.tell(Verdict.NOT_MATCHED)
    assert (await answer(door, "bob")).reason is Reason.OTHER_FINGER
    assert len(oracle.asked) == 2


async def test_a_finger_that_stays_there_keeps_the_next_one_out_of_nothing(store, clock, oracle):
    timing = ClaimTiming(finger=0.15, comparison=0.0, lift=0.01)
    door = Door(store, clock, claim=timing)
    door.desk.verify_with(oracle)
    await claimed(door, oracle)
    await claimed(door, oracle, "B-1002")
    looked = 2
    while door.desk.state.claim is not None:
        oracle.tell(Verdict.OF_BEFORE)
        await door.until(
            lambda looked=looked: len(oracle.asked) > looked or door.desk.state.claim is None,
            moves=False,
        )
        with contextlib.suppress(Cancelled):  # its time may be over by now
            looked += 1
            oracle.ready()
    assert (await answer(door, "bob")).kind is OutcomeKind.ACCEPTED
    assert recorded(door, Kind.CHECK_IN)[1] == (
        "bob",
        {"method": "badge", "verified": "unavailable"},
    )
    door.desk.stop()


async def test_an_unknown_badge_is_answered_and_loses_nobodys_claim(door, oracle):
    await claimed(door, oracle)
    door.desk.badge("nonsense")
    assert door.desk.state.outcome.reason is Reason.UNKNOWN_BADGE
    await door.until(lambda: door.row("ann").method == "badge")


async def test_badges_faster_than_any_finger_are_all_recorded(store, clock, oracle):
    door = Door(store, clock)
    crowd = [Person(f"p{n}", f"P{n}", badges=(KEY.hash(f"crowd-{n}"),)) for n in range(40)]
    store.apply_remote("site", "e", list(directory(crowd)), 50).result()
    await door.until(lambda: len(door.desk.roster()) == 42)
    oracle.people = {person.id for person in crowd}
    door.desk.verify_with(oracle)
    for number in range(40):
        door.desk.badge(f"crowd-{number}")
    oracle.tell(Verdict.MATCHED, score=50)
    await door.until(lambda: door.serial and door.desk.state.outcome.person.id == "p39")
    session = door.desk.state.session.id
    await door.until(lambda: len(store.attendance(session)) == 40)
    assert door.kinds().count(Kind.CHECK_IN) == 40
    door.desk.stop()


@pytest.mark.parametrize(
    "event",
    [
        FingerDown(),
        NotMatched(),
        CaptureFailed("dry"),
        FingerStuck(),
        Lifted(),
        FailedRepeatedly(3),
    ],
)
async def test_a_finger_from_before_the_claim_says_nothing_about_it(door, oracle, event):
    await claimed(door, oracle)
    door.desk.sensor_event(event)
    assert (door.desk.state.phase, door.desk.state.outcome) == (Phase.VERIFYING, None)
    assert door.kinds() == []


async def test_somebody_elses_finger_from_before_the_claim_comes_in_beside_it(door, oracle):
    await claimed(door, oracle)
    door.desk.sensor_event(Matched("sensor", 1, 90))
    await door.until(lambda: door.row("bob").method == "finger")
    assert (door.desk.state.phase, door.desk.state.claim.person.id) == (Phase.VERIFYING, "ann")


async def test_who_is_found_by_finger_after_all_needs_no_verdict(door, oracle):
    await claimed(door, oracle)
    door.desk.sensor_event(Matched("sensor", 0, 90))
    assert (await answer(door)).person.id == "ann"
    assert oracle.cancelled == 1
    assert recorded(door, Kind.CHECK_IN)[0][1]["method"] == "finger"


async def test_a_reader_that_dies_takes_the_claim_along_and_not_the_person(door, oracle):
    await claimed(door, oracle)
    door.desk.sensor_event(SensorDown(Disconnected(), 1.0))
    assert door.desk.state.phase is Phase.VERIFYING
    oracle.tell(Disconnected())
    assert (await answer(door)).kind is OutcomeKind.ACCEPTED
    door.desk.dismiss()
    assert door.desk.state.phase is Phase.OUT_OF_ORDER


async def test_a_stopped_desk_hears_no_verdict(door, oracle):
    await claimed(door, oracle)
    door.desk.stop()
    oracle.tell(Verdict.MATCHED, score=80)
    assert oracle.cancelled == 1
    assert door.kinds() == []


# -- slots that change hands -----------------------------------------------------------------------


async def test_a_slot_that_was_given_to_somebody_else_names_them_at_once(door):
    door.store.set_slot(Slot("sensor", 0, "bob", "active", NOON)).result()
    door.desk.library_changed()
    assert (await door.finger(0)).person.id == "bob"


async def test_while_nobody_knows_whose_slots_they_are_nobody_is_named(
    store, clock, oracle, monkeypatch
):
    door = Door(store, clock, session_check=0.01)
    monkeypatch.setattr(store, "slots", _broken)
    door.desk.library_changed()
    outcome = await door.finger(0)
    assert (outcome.kind, outcome.person) == (OutcomeKind.REFUSED, None)
    monkeypatch.undo()
    await door.until(lambda: not door.desk._owners.stale, moves=False)
    assert (await door.finger(0)).person.id == "ann"
    door.desk.stop()


async def test_a_sensor_that_is_up_again_is_read_anew(door):
    door.store.set_slot(Slot("sensor", 5, "bob", "active", NOON)).result()
    door.desk.sensor_event(SensorUp("sensor", 1000, 4))
    assert (await door.finger(5)).person.id == "bob"


def _broken():
    raise sqlite3.OperationalError("disk I/O error")


# -- another way in --------------------------------------------------------------------------------


async def test_the_third_bad_read_offers_another_way_for_longer(door):
    for attempt in (1, 2, 3):
        door.desk.sensor_event(CaptureFailed("dry"))
        outcome = door.desk.state.outcome
        assert (outcome.attempt, outcome.offered) == (attempt, attempt == 3)
    assert outcome.shown == 10.0
    serial = outcome.serial
    door.desk.sensor_event(FailedRepeatedly(3))
    assert door.desk.state.outcome.serial == serial, "offered already"


@pytest.mark.parametrize("event", [NotMatched(), CaptureFailed("wet")])
async def test_what_the_reader_has_counted_is_offered_as_well(door, event):
    # Others may have gone in between, or the screen back to idle: the reader counts on.
    door.desk.sensor_event(event)
    before = door.desk.state.outcome
    assert not before.offered
    door.desk.sensor_event(FailedRepeatedly(3))
    outcome = door.desk.state.outcome
    assert (outcome.kind, outcome.reason) == (before.kind, before.reason)
    assert (outcome.offered, outcome.shown) == (True, 10.0)
    assert door.kinds().count(Kind.REFUSED) == isinstance(event, NotMatched)


async def test_an_offer_needs_something_that_failed(door):
    door.desk.sensor_event(FailedRepeatedly(3))
    assert door.desk.state.outcome is None
    await door.finger(0)
    door.desk.sensor_event(FailedRepeatedly(3))
    assert door.desk.state.outcome.kind is OutcomeKind.ACCEPTED
