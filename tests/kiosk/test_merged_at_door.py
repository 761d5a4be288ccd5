"""Persons who turn out to be one, as the door shows them: at once, and taken back as well."""

from __future__ import annotations

import pytest

from kiosk.model import Kind, OutcomeKind, Person, Presence, Status, encode_event
from tests.kiosk.test_desk import Door, directory
from tests.kiosk.test_store import envelope, foreign


@pytest.fixture
async def door(store, clock):
    door = Door(store, clock)
    yield door
    door.desk.stop()


async def merge(door, person, into, rev):
    data = {"person": person, "into": into, "rev": rev}
    event = foreign(f"merge-{rev}", 100 + rev, Kind.MERGED, None, None, data=data)
    page = [(encode_event(event), envelope(100 + rev))]
    door.rows.clear()
    door.store.apply_remote("site", "e", page, 100 + rev).result(10)
    await door.until(lambda: any(row.person.id == person for row in door.rows))


def told(door):
    """The last word about each person: whose row it is, and what it says."""
    return {row.person.id: row.row for row in door.rows}


def lines(door):
    return {row.person.id: row.row for row in door.desk.roster()}


async def test_the_merged_persons_line_goes_and_the_survivors_says_who_came(door):
    await door.finger(0)
    assert set(lines(door)) == {"ann", "bob"}
    await merge(door, "ann", "bob", 1)
    assert told(door)["ann"].person == "bob"  # no line of her own
    row = told(door)["bob"]
    assert (row.person, row.status, row.presence) == ("bob", Status.PRESENT, Presence.INSIDE)
    assert lines(door) == {"bob": row}
    counts = door.desk.state.counts
    assert (counts.present, counts.expected, counts.total) == (1, 0, 1)


async def test_a_merger_that_is_taken_back_gives_both_their_own_lines(door):
    await door.finger(0)
    await merge(door, "ann", "bob", 1)
    await merge(door, "ann", "ann", 2)
    assert {who: (row.person, row.status) for who, row in told(door).items()} == {
        "ann": ("ann", Status.PRESENT),
        "bob": ("bob", Status.EXPECTED),
    }
    assert {who: row.status for who, row in lines(door).items()} == {
        "ann": Status.PRESENT,
        "bob": Status.EXPECTED,
    }
    counts = door.desk.state.counts
    assert (counts.present, counts.expected) == (1, 1)


async def test_the_finger_that_is_kept_under_the_former_id_stays_awaited_and_is_the_survivors(door):
    await merge(door, "ann", "bob", 1)
    assert {"ann", "bob"} <= door.desk.awaited()
    assert (await door.finger(0)).kind is OutcomeKind.ACCEPTED
    assert lines(door)["bob"].status is Status.PRESENT
    assert (await door.finger(1)).kind is OutcomeKind.ALREADY_IN


async def test_who_is_no_longer_expected_has_no_line_and_a_stranger_gets_none(door):
    door.rows.clear()
    gone = Person("bob", "Bob", "Ray", code="1002", active=False)
    page = list(directory([gone], first=50))
    door.store.apply_remote("site", "e", page, 50).result(10)
    await door.until(lambda: "bob" in told(door))
    assert told(door)["bob"].person == ""
    assert set(lines(door)) == {"ann"}
