"""Old events go only when a backup of the hub has them, and what was folded from them stays."""

from __future__ import annotations

import pytest

from kiosk.model import Author, Kind, Status
from kiosk.store import Draft
from sync.hub.backup import back_up
from tests.sync.kiosks import Kiosk, kiosk
from tests.sync.rig import NS, ROOM, TestClock, hub, until
from tests.sync.test_client import SESSION
from tests.sync.test_hub import post

DAY = 86_400 * NS
STAFF = Author(role="staff", staff="t1", rank=2)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "hub.db"


def override(person, status):
    return Draft(Kind.OVERRIDE, "s1", person, by=STAFF, data={"status": status})


async def drained(path, tmp_path, house):
    """A kiosk with a session of three people, one of them set absent; all at the hub."""
    async with hub(path, house) as server:
        await post(server.url, SESSION)
        with kiosk(tmp_path / "k.db", server.url, clock=TestClock()) as one:
            await until(lambda: one.cursor(ROOM) is not None)
            one.check_in(3)
            one.store.record(override("p1", "absent")).result(5)
            one.store.record(Draft(Kind.HELP)).result(5)  # the newest of all is never let go
            await one.settled()
            await until(lambda: one.cursor(ROOM)[1] == 4)
            return {row.person: row for row in one.store.attendance("s1")}


def left(one):
    return one.rows("SELECT count(*) FROM event WHERE person IS NOT NULL")[0][0]


async def reconnected(path, tmp_path, house):
    """The kiosk, a while later, greeted by its hub again; not yet closed."""
    server = hub(path, house)
    running = await server.__aenter__()
    one = Kiosk(tmp_path / "k.db", running.url, clock=TestClock(wall=house.now))
    one.client.start()
    await one.settled()
    one.store.set_note("done", "1").result(5)  # behind whatever the greeting has queued
    return server, one


@pytest.mark.parametrize(
    ("backed_up", "days", "remain"),
    [(True, 500, 0), (True, 300, 4), (False, 500, 4)],
    ids=["safe and old", "safe but young", "old but in no backup"],
)
async def test_events_go_only_when_safe_and_old(path, tmp_path, backed_up, days, remain):
    house = TestClock()
    rows = await drained(path, tmp_path, house)
    if backed_up:
        back_up(path, tmp_path / "backup.db")
    house.now += days * DAY
    server, one = await reconnected(path, tmp_path, house)
    try:
        assert left(one) == remain
        # The rows stay as they were folded, with the decision that won.
        assert {row.person: row for row in one.store.attendance("s1")} == rows
        assert rows["p1"].status is Status.ABSENT
        assert rows["p1"].winner
    finally:
        one.close()
        await server.__aexit__(None, None, None)


async def test_what_is_unsent_or_unseen_keeps_its_whole_session(path, tmp_path):
    house = TestClock()
    await drained(path, tmp_path, house)
    back_up(path, tmp_path / "backup.db")
    one = Kiosk(tmp_path / "k.db", "")
    one.check_in(1)
    one.store.close()
    house.now += 500 * DAY
    server, one = await reconnected(path, tmp_path, house)
    try:
        assert left(one) == 5
    finally:
        one.close()
        await server.__aexit__(None, None, None)


async def test_a_late_decision_says_what_it_saw_and_brings_the_session_back(path, tmp_path):
    house = TestClock()
    rows = await drained(path, tmp_path, house)
    back_up(path, tmp_path / "backup.db")
    house.now += 500 * DAY
    server, one = await reconnected(path, tmp_path, house)
    chain = one.store.last_kseq()
    one.close()
    await server.__aexit__(None, None, None)
    offline = Kiosk(tmp_path / "k.db", "", clock=TestClock(wall=house.now))
    assert left(offline) == 0
    assert offline.store.last_kseq() == chain
    made = offline.store.record(override("p1", "present")).result(5)
    assert made.kseq == chain + 1
    assert rows["p1"].winner in made.saw
    assert len(made.saw) == 2
    # Until the rest is back, the row stands as it was folded.
    assert {r.person: r for r in offline.store.attendance("s1")}["p1"] == rows["p1"]
    offline.store.close()
    server, one = await reconnected(path, tmp_path, house)
    try:
        await until(lambda: left(one) == 5)
        found = {row.person: row for row in one.store.attendance("s1")}
        assert found["p1"].status is Status.PRESENT
        assert found["p0"] == rows["p0"]
        assert one.rows("SELECT count(*) FROM pruned") == [(0,)]
    finally:
        one.close()
        await server.__aexit__(None, None, None)


async def test_a_row_that_had_to_stay_goes_once_its_events_are_back_and_the_person_is_another(
    path, tmp_path
):
    """Merged while events of the row were let go of, which come back afterwards."""
    house = TestClock()
    await drained(path, tmp_path, house)
    back_up(path, tmp_path / "backup.db")
    house.now += 500 * DAY
    server, one = await reconnected(path, tmp_path, house)
    try:
        await until(lambda: left(one) == 0)
        await post(one.client._url(), b'[{"record":"merged","id":"p2","value":"p0"}]')
        await until(lambda: one.store.merged() == {"p2": "p0"})
        assert {row.person for row in one.store.attendance("s1")} == {"p0", "p1", "p2"}
        # A late decision about somebody else is news: the session is followed again, all of it.
        one.store.record(override("p1", "excused")).result(5)
        await until(lambda: left(one) == 5)
        await until(lambda: {row.person for row in one.store.attendance("s1")} == {"p0", "p1"})
    finally:
        one.close()
        await server.__aexit__(None, None, None)


async def test_a_pruned_session_is_followed_no_more(path, tmp_path):
    house = TestClock()
    await drained(path, tmp_path, house)
    back_up(path, tmp_path / "backup.db")
    house.now += 500 * DAY
    server, one = await reconnected(path, tmp_path, house)
    try:
        assert ROOM not in one.store.rooms()
        assert one.cursor(ROOM) is None
    finally:
        one.close()
        await server.__aexit__(None, None, None)
