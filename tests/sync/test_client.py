"""The client against a real hub: what goes up, what comes down, and what outlives both."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sqlite3
import time
from types import SimpleNamespace
from unittest.mock import AsyncMock

import msgspec
import pytest

from kiosk.model import MAX_EVENT, Kind, LinkState
from kiosk.store import Draft, Settled
from sync import protocol as p
from sync.client import cursors
from sync.client.exchange import Exchange
from sync.client.pacing import Pacing
from tests.sync.kiosks import Kiosk, held_by, kiosk
from tests.sync.rig import (
    NS,
    ROOM,
    SITE_ROOM,
    Author,
    TestClock,
    hello,
    hub,
    joined,
    same_secret,
    until,
)
from tests.sync.test_hub import post
from tests.sync.test_hub_rooms import end, ready, start_hub

SESSION = (
    b'[{"record":"session","id":"s1","value":{"id":"s1","title":"Choir","zone":"Europe/London",'
    b'"starts":1799990000000000000,"ends":1800090000000000000}}]'
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "hub.db"


# -- up --------------------------------------------------------------------------------------------


async def test_what_was_recorded_offline_is_drained_once_there_is_a_hub(path, tmp_path):
    where = []
    with kiosk(tmp_path / "k.db", lambda: where[-1] if where else None) as one:
        ids = one.check_in(1300)
        await one.reaches(LinkState.OFFLINE)
        await until(lambda: one.status.held == 1300)
        assert one.status.oldest_held == one.clock.now
        async with hub(path) as server:
            where.append(server.url)
            one.client.kick()
            await one.settled()
            assert one.status.held == 0
            assert one.status.transport == "websocket"
            assert one.status.last_exchange is not None
        assert held_by(path) == ids
        assert LinkState.SYNCING in one.states
        assert one.rows("SELECT count(*) FROM entry WHERE envelope IS NULL") == [(0,)]


async def test_a_check_in_while_online_goes_at_once(path, tmp_path):
    async with hub(path) as server:
        with kiosk(tmp_path / "k.db", server.url) as one:
            await one.settled()
            for n in range(5):
                started = time.monotonic()
                one.check_in()
                await until(lambda n=n: len(held_by(path)) == n + 1)
                assert time.monotonic() - started < 1
            await one.settled()


async def test_the_queue_empties_although_nobody_wakes_the_line(path, tmp_path):
    async with hub(path) as server:
        one = Kiosk(tmp_path / "k.db", server.url)
        one.store._listeners.clear()
        one.client.start()
        try:
            await one.reaches(LinkState.ONLINE)
            ids = one.check_in(3)
            await until(lambda: one.store.held()[0] == 0)
            assert held_by(path) == ids
        finally:
            one.close()


async def test_a_hub_killed_in_mid_drain_gets_everything_once_when_it_is_back(path, tmp_path):
    first = start_hub(path)
    where = [ready(first)]
    try:
        with kiosk(tmp_path / "k.db", lambda: where[-1]) as one:
            await one.settled()
            ids = one.check_in(4000)
            await until(lambda: one.store.held()[0] < 4000)
            os.kill(first.pid, signal.SIGKILL)
            await one.reaches(LinkState.OFFLINE)
            second = start_hub(path)
            try:
                where.append(ready(second))
                one.client.kick()
                await one.settled(20)
            finally:
                end(second)
            assert sorted(held_by(path)) == sorted(ids)
            assert one.rows("SELECT count(*) FROM entry WHERE envelope IS NULL") == [(0,)]
    finally:
        end(first)


async def test_items_the_hub_sets_apart_are_counted_and_do_not_stop_the_rest(path, tmp_path):
    async with hub(path) as server:
        one = Kiosk(tmp_path / "k.db", server.url)
        ids = one.check_in(5)
        one.store._execute(
            ("UPDATE event SET body = replace(body, 'p1', 'px') WHERE id = ?", (ids[1],))
        ).result(5)
        one.client.start()
        try:
            await one.settled()
            await until(lambda: one.status.quarantined == 1)
        finally:
            one.close()
    assert sorted(held_by(path)) == sorted([ids[0], *ids[2:]])


async def test_an_item_that_is_not_even_json_does_not_stop_the_rest(path, tmp_path):
    async with hub(path) as server:
        one = Kiosk(tmp_path / "k.db", server.url)
        ids = one.check_in(5)
        spoil = "UPDATE event SET body = X'7BFF22' WHERE id = ?"
        one.store._execute((spoil, (ids[2],))).result(5)
        one.client.start()
        try:
            await one.settled()
            await until(lambda: one.status.quarantined == 1)
            assert sorted(held_by(path)) == sorted(ids[:2] + ids[3:])
        finally:
            one.close()


async def test_an_item_too_large_for_the_line_stays_stops_no_other_and_leaves_no_hole(
    path, tmp_path, monkeypatch
):
    async with hub(path) as server:
        with kiosk(tmp_path / "k.db", server.url) as one:
            await one.settled()
            monkeypatch.setattr("kiosk.ledger.MAX_EVENT", 2 * MAX_EVENT)  # as earlier versions
            huge = Draft(Kind.HELP, data={"note": "x" * (MAX_EVENT + 1)})
            huge = one.store.record(huge).result(10)
            large = one.store.record(Draft(Kind.HELP, data={"note": "x" * 400_000})).result(10)
            ids = one.check_in(3)
            await one.settled()
            assert held_by(path) == [large.id, *ids]
            await until(lambda: one.status.quarantined == 1)
            assert await server._core.pages.holes() == []
            assert await server._core.pages.received(huge.device) == {huge.incarnation: 5}
    with contextlib.closing(sqlite3.connect(path)) as db:
        ((id_, code, body),) = db.execute("SELECT id, code, body FROM quarantine").fetchall()
    assert (id_, code) == (huge.id, "too_large")
    assert msgspec.json.decode(body)["withheld"] > MAX_EVENT


async def test_what_an_earlier_version_left_behind_as_a_hole_is_filled_at_the_next_greeting(
    path, tmp_path, monkeypatch
):
    file = tmp_path / "k.db"
    monkeypatch.setattr("kiosk.ledger.MAX_EVENT", 2 * MAX_EVENT)
    one = Kiosk(file, "")
    one.check_in(2)
    huge = one.store.record(Draft(Kind.HELP, data={"note": "x" * MAX_EVENT})).result(10)
    seq = one.store.pending(2)[0].seq
    one.store.settle([Settled(seq, huge.id, "quarantined", "too_large")]).result(10)
    one.check_in(2, session="s2")
    one.close()
    async with hub(path) as server:
        with monkeypatch.context() as earlier, kiosk(file, server.url) as again:
            earlier.setattr(Exchange, "_reoffer", AsyncMock())
            await again.settled()
            (hole,) = await server._core.pages.holes()
            assert (hole[0], hole[1].after, hole[1].missing) == (huge.device, 2, 1)
        with kiosk(file, server.url) as again:
            await again.settled()
            assert await server._core.pages.holes() == []
        assert await server._core.pages.received(huge.device) == {huge.incarnation: 5}
        assert len(held_by(path)) == 4


async def test_a_disk_full_at_the_hub_is_waited_out(path, tmp_path, monkeypatch):
    monkeypatch.setattr("sync.hub.intake._RETRY_AFTER", 0.1)
    async with hub(path) as server:
        with kiosk(tmp_path / "k.db", server.url) as one:
            await one.settled()
            db = server._log._db
            db.execute(f"PRAGMA max_page_count = {db.execute('PRAGMA page_count').fetchone()[0]}")
            ids = one.check_in(900)
            await until(lambda: server._core.writer.failing)
            await one.reaches(LinkState.SYNCING)
            assert one.store.held()[0] > 0
            db.execute("PRAGMA max_page_count = 1000000")
            await one.settled()
    assert sorted(held_by(path)) == sorted(ids)


async def test_a_hub_that_lost_what_it_had_is_offered_it_again(path, tmp_path):
    where = []
    with kiosk(tmp_path / "k.db", lambda: where[-1]) as one:
        async with hub(path) as server:
            where.append(server.url)
            one.client.kick()
            ids = one.check_in(700)
            await one.settled()
        fresh = tmp_path / "fresh.db"
        same_secret(path, fresh)
        async with hub(fresh) as server:
            where.append(server.url)
            one.client.kick()
            await until(lambda: len(held_by(fresh)) == 700)
            await one.settled()
            assert held_by(fresh) == ids


async def test_anchors_repair_the_times_of_a_kiosk_with_a_wrong_clock(path, tmp_path):
    hub_clock = TestClock()
    wrong = TestClock(wall=7 * NS)
    async with hub(path, hub_clock) as server:
        one = Kiosk(tmp_path / "k.db", server.url, clock=wrong)
        one.check_in()
        wrong.up += 60 * NS
        one.client.start()
        try:
            await one.settled()
            ((low, high),) = one.rows("SELECT low, high FROM entry")
            assert low <= hub_clock.now - 60 * NS <= high
            assert high - low < NS
            assert [a.boot for a in one.store.anchors()] == ["boot-1"]
        finally:
            one.close()


# -- down ------------------------------------------------------------------------------------------


async def test_two_kiosks_come_to_hold_the_same(path, tmp_path):
    async with hub(path) as server:
        await post(server.url, SESSION)
        with (
            kiosk(tmp_path / "a.db", server.url) as a,
            kiosk(tmp_path / "b.db", server.url) as b,
        ):
            await until(lambda: all(ROOM in one.store.rooms() for one in (a, b)))
            mine, yours = a.check_in(120), b.check_in(120)
            query = "SELECT id FROM event WHERE kind = 'check_in'"
            for one in (a, b):
                await one.settled()
                await until(lambda one=one: len(one.rows(query)) == 240)
                assert {row[0] for row in one.rows(query)} == {*mine, *yours}
            whole = "SELECT id, envelope FROM entry ORDER BY id"
            await until(lambda: a.rows(whole) == b.rows(whole))
            assert a.rows("SELECT count(*) FROM entry WHERE envelope IS NULL") == [(0,)]
            assert a.store.attendance("s1")


async def test_a_session_that_opens_while_connected_is_followed(path, tmp_path):
    async with hub(path) as server:
        with kiosk(tmp_path / "a.db", server.url) as one:
            await one.settled()
            async with joined(server.url, hello("other")) as peer:
                bodies = Author("other").bodies(300)
                await peer.push(*bodies)
                await post(server.url, SESSION)
                await until(lambda: one.cursor(ROOM) == (peer.welcome.epoch, 300))
                assert one.rows("SELECT count(*) FROM event WHERE device = 'other'") == [(300,)]
                await until(lambda: one.cursor(SITE_ROOM) == (peer.welcome.epoch, 1))


async def test_a_long_catch_up_is_complete_and_resumes_where_it_was(path, tmp_path):
    author = Author("other")
    async with hub(path) as server:
        await post(server.url, SESSION)
        async with joined(server.url, hello("other")) as peer:
            for _ in range(12):
                await peer.push(*author.bodies(500))
            query = "SELECT count(*) FROM event WHERE device = 'other'"
            with kiosk(tmp_path / "a.db", server.url) as one:
                await until(lambda: one.rows(query)[0][0] > 1000)
            cursor = dict(one.rows("SELECT room, offset FROM cursor"))[ROOM]
            assert 1000 < cursor == one.rows(query)[0][0]
            with kiosk(tmp_path / "a.db", server.url) as one:
                await until(lambda: one.rows(query)[0][0] == 6000, 30)
                await until(lambda: one.cursor(ROOM) == (peer.welcome.epoch, 6000))
                assert one.rows("SELECT count(*) FROM undecodable") == [(0,)]


async def test_uploads_do_not_wait_for_a_long_catch_up(path, tmp_path):
    async with hub(path) as server:
        await post(server.url, SESSION)
        async with joined(server.url, hello("other")) as peer:
            author = Author("other")
            for _ in range(8):
                await peer.push(*author.bodies(500))
            pacing = Pacing(first_retry=0.05, pause=0.05)
            with kiosk(tmp_path / "a.db", server.url, pacing=pacing) as one:
                query = "SELECT count(*) FROM event WHERE device = 'other'"
                await until(lambda: one.rows(query)[0][0] >= 50)
                one.check_in(20)
                await until(lambda: one.store.held()[0] == 0)
                assert one.rows(query)[0][0] < 3000


async def test_a_gap_shown_by_a_position_is_fetched(path, tmp_path):
    async with hub(path, position_every=0.05) as server:
        await post(server.url, SESSION)
        with kiosk(tmp_path / "a.db", server.url) as one:
            await until(lambda: one.cursor(ROOM) is not None)
            async with joined(server.url, hello("other")) as peer:
                # The hub believes that it has sent what in truth never went out.
                line = next(
                    c for (device, _), c in server._core.connections.items() if device != "other"
                )
                member = line._member
                member.line = SimpleNamespace(write=lambda parcel: None, buffered=lambda: 0)
                await peer.push(*Author("other").bodies(5))
                await until(lambda: member.seats[ROOM].sent == 5)
                member.line = line
                query = "SELECT count(*) FROM event WHERE device = 'other'"
                await until(lambda: one.rows(query) == [(5,)])


async def test_another_epoch_unites_and_deletes_nothing(path, tmp_path):
    where = []
    with kiosk(tmp_path / "a.db", lambda: where[-1]) as one:
        for name in ("one.db", "two.db"):
            async with hub(tmp_path / name) as server:
                await post(server.url, SESSION)
                where.append(server.url)
                one.client.kick()
                async with joined(server.url, hello(name)) as peer:
                    await peer.push(*Author(name).bodies(10))
                    await until(lambda: one.cursor(ROOM) == (peer.welcome.epoch, 10))
            same_secret(tmp_path / name, tmp_path / "two.db")
        query = "SELECT device, count(*) FROM event WHERE kind = 'check_in' GROUP BY device"
        assert one.rows(query) == [("one.db", 10), ("two.db", 10)]


async def test_a_hub_restored_from_a_backup_and_refilled_leaves_no_gap(path, tmp_path):
    hub_clock = TestClock()
    backup = tmp_path / "backup.db"
    query = "SELECT count(*) FROM event WHERE kind = 'check_in'"
    where = []

    @contextlib.asynccontextmanager
    async def running():
        hub_clock.now += NS
        async with hub(path, hub_clock) as server:
            where.append(server.url)
            yield server

    with kiosk(tmp_path / "b.db", lambda: where[-1] if where else None) as b:
        async with running() as server:
            await post(server.url, SESSION)
            b.client.kick()
            with kiosk(tmp_path / "a.db", server.url) as a:
                a.check_in(5)
                await until(lambda: b.rows(query) == [(5,)])
        shutil.copy(path, backup)
        async with running() as server:
            b.client.kick()
            with kiosk(tmp_path / "a.db", server.url) as a:
                a.check_in(5)
                await until(lambda: b.rows(query) == [(10,)])
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        shutil.copy(backup, path)
        where.append(None)
        async with running() as server:
            where[-1] = None
            with kiosk(tmp_path / "c.db", server.url) as c:
                c.check_in(8)
                await c.settled()
            assert len(held_by(path)) == 14
            where[-1] = server.url
            b.client.kick()
            # What c wrote at the offsets that b had read already.
            await until(lambda: b.rows(query) == [(18,)])
            with kiosk(tmp_path / "a.db", server.url) as a:
                await until(lambda: a.rows(query) == [(18,)])
                await until(lambda: len(held_by(path)) == 19)


async def test_a_cursor_is_kept_with_the_time_of_receipt_also_of_own_events(path, tmp_path):
    async with hub(path) as server:
        await post(server.url, SESSION)
        with kiosk(tmp_path / "k.db", server.url) as one:
            await until(lambda: one.cursor(ROOM) is not None)
            one.check_in(3)
            await until(lambda: one.cursor(ROOM)[1] == 3)
            saved = cursors.read(one.store.cursor(ROOM))
            async with joined(server.url, hello("other")) as peer:
                last = (await peer.follow())[-1].envelope
            assert saved == p.Cursor(last.epoch, 3, last.received)


def test_a_cursor_comes_back_from_the_store_as_it_was_and_so_do_older_ones():
    for cursor in (p.Cursor("e", 5, 17), p.Cursor("e#1", 5, 17), p.Cursor("e", 0)):
        assert cursors.read(cursors.kept(cursor)) == cursor
    assert cursors.read(("epoch", 9)) == p.Cursor("epoch", 9)
    assert cursors.read(("e#x", 9)) == p.Cursor("e#x", 9)
    assert cursors.read(None) is None


async def test_a_new_import_wins_after_the_hubs_database_was_lost(path, tmp_path):
    where = []
    hub_clock = TestClock()

    def named(name):
        value = {"id": "p1", "first_name": name}
        return msgspec.json.encode([{"record": "person", "id": "p1", "value": value}])

    with kiosk(tmp_path / "a.db", lambda: where[-1]) as one:
        for database, names in (("one.db", "Ada Bea Cleo"), ("two.db", "Dora")):
            hub_clock.now += NS
            async with hub(tmp_path / database, hub_clock) as server:
                where.append(server.url)
                one.client.kick()
                for name in names.split():
                    assert (await post(server.url, named(name)))[0] == 200
                await until(lambda name=name: [p.first_name for p in one.store.people()] == [name])
            same_secret(tmp_path / database, tmp_path / "two.db")
