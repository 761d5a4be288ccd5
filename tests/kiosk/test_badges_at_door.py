"""Badges at the desk: whose each is, what is recorded of it, and that no token is kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from kiosk.badges import BadgeKey
from kiosk.model import (
    Kind,
    OutcomeKind,
    Person,
    Reason,
    decode_event,
)
from tests.kiosk.test_desk import KEY, Door, directory


@pytest.fixture
async def door(store, clock):
    door = Door(store, clock)
    yield door
    door.desk.stop()


async def test_a_badge_answers_like_a_finger(door):
    for wanted in (OutcomeKind.ACCEPTED, OutcomeKind.ALREADY_IN):
        serial = door.serial
        door.desk.badge("B-1002")
        await door.until(lambda before=serial: door.serial > before)
        outcome = door.desk.state.outcome
        assert (outcome.kind, outcome.person.id) == (wanted, "bob")
    assert door.row("bob").method == "badge"
    (event,) = door.store.row_events(door.desk.state.session.id, "bob")
    assert event.data == {"method": "badge"}
    door.desk.badge("B-1003")
    assert door.desk.state.outcome.reason is Reason.NOT_ACTIVE


@pytest.mark.parametrize("token", ["B-9999", "", "b-1002", "B-1002 ", "shared", "\ud800\x00"])
async def test_a_badge_that_is_not_one_persons_is_refused_and_recorded_without_its_token(
    door, token
):
    door.desk.badge(token)
    outcome = door.desk.state.outcome
    assert (outcome.kind, outcome.reason, outcome.person) == (
        OutcomeKind.REFUSED, Reason.UNKNOWN_BADGE, None)  # fmt: skip
    assert door.kinds() == [Kind.REFUSED]
    ((body,),) = door.store._read("SELECT body FROM event WHERE device != 'other'")
    refused = decode_event(body)
    assert (refused.person, refused.data) == (None, {"reason": "unknown_badge"})


async def test_badges_faster_than_their_answers_are_all_recorded(store, clock):
    door = Door(store, clock)
    crowd = [Person(f"p{n}", f"P{n}", badges=(KEY.hash(f"crowd-{n}"),)) for n in range(40)]
    store.apply_remote("site", "e", list(directory(crowd)), 50).result()
    await door.until(lambda: len(door.desk.roster()) == 42)
    for number in range(40):
        door.desk.badge(f"crowd-{number}")
    session = door.desk.state.session.id
    await door.until(lambda: len(store.attendance(session)) == 40)
    await door.until(lambda: door.serial == 40)
    assert {row.method for row in store.attendance(session)} == {"badge"}
    assert door.kinds().count(Kind.CHECK_IN) == 40
    door.desk.stop()


async def test_a_badge_kept_before_there_was_a_pepper_still_opens_the_door(store, clock):
    door = Door(store, clock, badge_key=BadgeKey("club", b"a new pepper here", former=(KEY,)))
    door.desk.badge("B-1002")
    await door.until(lambda: door.desk.state.outcome is not None)
    outcome = door.desk.state.outcome
    assert (outcome.kind, outcome.person.id) == (OutcomeKind.ACCEPTED, "bob")
    door.desk.stop()


async def test_neither_log_nor_database_ever_holds_a_token(door, caplog):
    caplog.set_level("DEBUG")
    door.desk.badge("B-1001")
    await door.until(lambda: door.desk.state.outcome is not None)
    door.desk.badge("B-SECRET")
    door.kinds()
    path = Path(door.store._read("PRAGMA database_list")[0][2])
    kept = b"".join(file.read_bytes() for file in path.parent.glob(f"{path.name}*"))
    assert KEY.hash("B-1001").encode() in kept
    for token in ("B-1001", "B-SECRET"):
        assert token.encode() not in kept
        assert token not in caplog.text


async def test_a_badge_that_is_changed_or_taken_away_is_no_longer_known(door):
    bob = Person("bob", "Bob", "Ray", badges=(KEY.hash("B-new"),))
    for rev, person, token, reason in (
        (20, bob, "B-new", Reason.NONE),
        (21, bob, "B-1002", Reason.UNKNOWN_BADGE),
        (22, Person("bob", "Bob", "Ray"), "B-new", Reason.UNKNOWN_BADGE),
    ):
        before, serial = len(door.rows), door.serial
        door.store.apply_remote("site", "e", list(directory([person], rev)), rev).result()
        await door.until(lambda known=before: len(door.rows) > known)
        door.desk.badge(token)
        await door.until(lambda shown=serial: door.serial > shown)
        assert door.desk.state.outcome.reason is reason


async def test_badges_hashed_with_another_pepper_are_unknown(store, clock):
    door = Door(store, clock, badge_key=BadgeKey("club", b"0123456789abcdef"))
    door.desk.badge("B-1002")
    assert door.desk.state.outcome.reason is Reason.UNKNOWN_BADGE
    door.desk.stop()
