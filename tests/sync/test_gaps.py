"""What the hub has let go of for its age is told at the kiosk, for as long as it matters there."""

from __future__ import annotations

import contextlib
import sqlite3

import pytest

from kiosk import gaps
from kiosk.model import LinkState
from sync.hub.backup import back_up
from tests.sync.kiosks import Kiosk, kiosk
from tests.sync.rig import NS, ROOM, TestClock, hub, until
from tests.sync.test_client import SESSION
from tests.sync.test_hub import post

DAY = 86_400 * NS
COUNT = 12


@pytest.fixture
def path(tmp_path):
    return tmp_path / "hub.db"


def pruned(path):
    with contextlib.closing(sqlite3.connect(path)) as db:
        return db.execute("SELECT count(*) FROM pruned").fetchone()[0]


async def filled(path, tmp_path, clock):
    """A kiosk that has checked in a dozen people in a session; the hub lets go of all but one."""
    async with hub(path, clock) as server:
        await post(server.url, SESSION)
        with kiosk(tmp_path / "first.db", server.url, clock=TestClock()) as one:
            await until(lambda: one.cursor(ROOM) is not None)
            one.check_in(COUNT)
            await one.settled()
    clock.now += 40 * DAY


async def told(one):
    await until(lambda: one.status and one.status.missing and one.status.transport)
    return one.status


async def test_a_kiosk_that_comes_later_says_what_it_can_no_longer_get_and_stays_calm(
    path, tmp_path
):
    clock = TestClock()
    await filled(path, tmp_path, clock)
    file = tmp_path / "new.db"
    async with hub(path, clock, keep_days=30) as server:
        await until(lambda: pruned(path) == COUNT - 1)
        with kiosk(file, server.url, clock=TestClock(wall=clock.now)) as one:
            status = await told(one)
            assert status.missing == (("Choir", COUNT - 1),)
            await until(lambda: one.status.state is LinkState.ONLINE)
            assert (one.status.attention, one.status.quarantined) == (0, 0)
            assert len(one.store.attendance("s1")) == 1
    # Still known after a restart, with no hub to ask.
    with kiosk(file, "http://127.0.0.1:9", clock=TestClock(wall=clock.now)) as one:
        await one.reaches(LinkState.OFFLINE)
        assert one.status.missing == (("Choir", COUNT - 1),)


async def test_a_kiosk_that_has_all_of_it_misses_nothing_even_if_it_must_ask_anew(path, tmp_path):
    clock = TestClock()
    await filled(path, tmp_path, clock)
    async with hub(path, clock, keep_days=30) as server:
        await until(lambda: pruned(path) == COUNT - 1)
        one = Kiosk(tmp_path / "first.db", server.url, clock=TestClock(wall=clock.now))
        one.store._execute(("DELETE FROM cursor", ())).result(5)
        one.client.start()
        try:
            await until(lambda: one.cursor(ROOM) is not None)
            await until(lambda: ROOM in gaps.read(one.store.note(gaps.NOTE)))
            await one.settled()
            assert one.store.lacking() == []
            assert not any(status.missing for status in one.said)
        finally:
            one.close()


async def test_once_the_kiosk_lets_go_of_the_session_too_nothing_is_missed(path, tmp_path):
    clock = TestClock()
    await filled(path, tmp_path, clock)
    file = tmp_path / "new.db"
    async with hub(path, clock, keep_days=30) as server:
        await until(lambda: pruned(path) == COUNT - 1)
        with kiosk(file, server.url, clock=TestClock(wall=clock.now)) as one:
            await told(one)
            one.check_in(1, session="s2")  # the newest of all is never let go
            await one.settled()
        clock.now += 500 * DAY
        back_up(path, tmp_path / "backup")
    async with hub(path, clock) as server:
        one = Kiosk(file, server.url, clock=TestClock(wall=clock.now))
        one.store.keep_days = 30
        one.client.start()
        try:
            query = "SELECT count(*) FROM pruned"
            await until(lambda: one.rows(query) == [(1,)])
            assert one.store.lacking() == []
        finally:
            one.close()


def test_a_room_read_from_its_beginning_begins_anew_and_pages_add_up():
    found = gaps.noted({}, ROOM, 0, 400)
    found = gaps.noted(found, ROOM, 500, 20)
    assert gaps.noted(found, ROOM, 500, 20) == found == {ROOM: {0: 400, 500: 20}}
    assert gaps.read(gaps.written(found)) == found
    assert gaps.noted(found, ROOM, 500, 0) == {ROOM: {0: 400}}
    assert gaps.noted(found, ROOM, 0, 0) == {}
    assert gaps.read("{broken") == {}
