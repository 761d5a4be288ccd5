"""The line keeps going whatever fails around it: the store's reads, single items, its own loop."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3

import pytest

from kiosk.model import LinkState
from kiosk.store import StoreError
from sync import protocol as p
from sync.client import Pacing
from tests.sync.kiosks import Kiosk, held_by, kiosk
from tests.sync.rig import ROOM, Author, hello, hub, joined, until
from tests.sync.test_client import SESSION
from tests.sync.test_hub import post


@pytest.fixture
def path(tmp_path):
    return tmp_path / "hub.db"


def failing(call, *, times, error):
    """`call`, but raising `error` the first `times` times; `left` counts down."""

    def wrapped(*args, **given):
        if wrapped.left:
            wrapped.left -= 1
            raise error
        return call(*args, **given)

    wrapped.left = times
    return wrapped


# -- the loop itself -------------------------------------------------------------------------------


async def test_an_outbox_that_cannot_be_counted_does_not_end_the_line(path, tmp_path, caplog):
    async with hub(path) as server:
        one = Kiosk(tmp_path / "k.db", server.url)
        ids = one.check_in(10)
        held, one.store.held = one.store.held, failing(None, times=10**6, error=ValueError("torn"))
        one.client.start()
        try:
            await until(lambda: held_by(path) == ids)
            await until(lambda: held()[0] == 0)
            assert one.status.state is LinkState.ONLINE
            one.store.held = held
            ids += one.check_in(2)
            await until(lambda: held_by(path) == ids)
            assert sum("torn" in record.message for record in caplog.records) == 1
        finally:
            one.close()


async def test_a_failure_between_two_tries_is_logged_once_and_tried_again(path, tmp_path, caplog):
    one = Kiosk(tmp_path / "k.db", lambda: where[0])
    where = [None]
    ids = one.check_in(3)
    backoff = one.client._backoff
    backoff.wait = wait = failing(backoff.wait, times=3, error=RuntimeError("no dice"))
    one.client.start()
    try:
        await until(lambda: wait.left == 0)
        async with hub(path) as server:
            where[0] = server.url
            await one.settled()
            assert held_by(path) == ids
    finally:
        one.close()
    said = [r for r in caplog.records if r.exc_info and "no dice" in str(r.exc_info[1])]
    assert len(said) == 1
    assert not [r for r in caplog.records if r.name == "kiosk.tasks"]


async def test_a_wake_before_the_start_does_not_deafen_the_line(path, tmp_path):
    patient = Pacing(first_retry=0.05, last_retry=0.2, sweep=30.0)
    async with hub(path) as server:
        one = Kiosk(tmp_path / "k.db", server.url, pacing=patient)
        ids = one.check_in()
        one.client.start()
        try:
            await until(lambda: held_by(path) == ids)
            ids += one.check_in()
            await until(lambda: held_by(path) == ids, 5)
        finally:
            one.close()


# -- up --------------------------------------------------------------------------------------------


async def test_verdicts_not_written_once_are_asked_anew_under_steady_traffic(path, tmp_path):
    async with hub(path) as server:
        one = Kiosk(tmp_path / "k.db", server.url)
        settle = one.store._ledger.settle
        full = sqlite3.OperationalError("disk I/O error")
        one.store._ledger.settle = failing(settle, times=1, error=full)
        one.client.start()
        try:
            await one.reaches(LinkState.ONLINE)
            first = one.check_in(5)
            for _ in range(30):
                one.check_in()
                await asyncio.sleep(0.05)  # the traffic that keeps the sweep (0.2 s) away
                outbox = one.rows("SELECT e.id FROM outbox o JOIN event e ON e.seq = o.seq")
                if not {row[0] for row in outbox} & set(first):
                    break
            else:
                pytest.fail("the first five are still held")
            await one.settled()
        finally:
            one.close()


async def test_verdicts_that_cannot_be_written_are_not_asked_for_in_a_storm(path, tmp_path):
    async with hub(path) as server:
        one = Kiosk(tmp_path / "k.db", server.url)
        full = sqlite3.OperationalError("disk I/O error")
        one.store._ledger.settle = settle = failing(
            one.store._ledger.settle, times=10**6, error=full
        )
        one.check_in(5)
        one.client.start()
        try:
            await until(lambda: settle.left <= 10**6 - 2)
            await asyncio.sleep(1.0)  # the test is of how little happens
            assert settle.left > 10**6 - 12
            settle.left = 0
            await one.settled()
            assert len(held_by(path)) == 5
        finally:
            one.close()


async def cut_and_back(server, one):
    """End the kiosk's connection and wait for its next one."""
    (old,) = server._core.connections.values()
    old.close(p.Close.GOING_AWAY, "for the test")
    await until(lambda: server._core.connections and [*server._core.connections.values()] != [old])
    await one.settled()


def offers(caplog):
    return [r.args[0] for r in caplog.records if "offering them again" in r.msg]


async def test_a_hole_that_stays_is_not_offered_at_every_reconnect(path, tmp_path, caplog):
    async with hub(path) as server:
        where = []
        with kiosk(tmp_path / "k.db", lambda: where[-1] if where else None) as one:
            leave_hole(one)
            where.append(server.url)
            one.client.kick()
            one.check_in(20)
            await one.settled()
            for _ in range(4):
                await cut_and_back(server, one)
            assert len(held_by(path)) == 20
    assert offers(caplog) == [20]


async def test_a_hub_restored_behind_a_hole_gets_what_it_lost(path, tmp_path, caplog):
    backup = tmp_path / "backup.db"
    where = []
    with kiosk(tmp_path / "k.db", lambda: where[-1] if where else None) as one:
        async with hub(path) as server:
            await post(server.url, SESSION)
            leave_hole(one)
            where.append(server.url)
            one.client.kick()
            await until(lambda: one.cursor(ROOM) is not None)
            one.check_in(5)
            await one.settled()
        shutil.copy(path, backup)
        async with hub(path) as server:
            where.append(server.url)
            one.client.kick()
            ids = one.check_in(5)
            await until(lambda: set(ids) <= set(held_by(path)))
            await cut_and_back(server, one)
            await until(lambda: one.cursor(ROOM)[1] == 10)
            kept = held_by(path)
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        shutil.copy(backup, path)
        async with hub(path) as server:
            assert not set(ids) & set(held_by(path))
            where.append(server.url)
            one.client.kick()
            await until(lambda: sorted(held_by(path)) == sorted(kept))


def leave_hole(one):
    """Lose an event that was never sent, as a damaged disk does."""
    (lost,) = one.check_in()
    waiting = "DELETE FROM outbox WHERE seq = (SELECT seq FROM event WHERE id = ?)"
    one.store._execute((waiting, (lost,)), ("DELETE FROM event WHERE id = ?", (lost,))).result(5)


# -- down ------------------------------------------------------------------------------------------


async def test_rooms_that_cannot_be_read_leave_the_site_followed(path, tmp_path):
    async with hub(path) as server:
        one = Kiosk(tmp_path / "k.db", server.url)
        one.store.rooms = rooms = failing(one.store.rooms, times=2, error=ValueError("torn"))
        one.client.start()
        try:
            await post(server.url, SESSION)
            await until(lambda: ROOM in one.store.rooms() if not rooms.left else False)
            await until(lambda: one.cursor(ROOM) is not None)
            assert max(status.attempt for status in one.said) == 0
        finally:
            one.close()


async def test_an_item_that_cannot_be_applied_is_passed_over_and_counted(path, tmp_path, caplog):
    author = Author("other")
    bodies = author.bodies(120)
    async with hub(path) as server:
        await post(server.url, SESSION)
        async with joined(server.url, hello("other")) as peer:
            await peer.push(*bodies)
            one = Kiosk(tmp_path / "k.db", server.url)
            apply = one.store._ledger.apply

            def poisoned(room, epoch, items, offset, touched):
                apply(room, epoch, items, offset, touched)
                if any(body == bodies[70] for body, _ in items):
                    raise OverflowError("too large for a column")

            one.store._ledger.apply = poisoned
            one.client.start()
            try:
                await until(lambda: one.cursor(ROOM) == (peer.welcome.epoch, 120))
                assert max(status.attempt for status in one.said) == 0
                assert one.client._exchange._downloads.passed_over == 1
            finally:
                one.close()
            query = "SELECT count(*) FROM event WHERE device = 'other'"
            assert one.rows(query) == [(119,)]
    said = [r.message for r in caplog.records if "too large for a column" in r.message]
    assert len(said) == 1
    assert f"{ROOM} at 71" in said[0]


async def test_a_store_that_takes_nothing_is_no_items_fault(path, tmp_path):
    async with hub(path) as server:
        await post(server.url, SESSION)
        async with joined(server.url, hello("other")) as peer:
            await peer.push(*Author("other").bodies(60))
            one = Kiosk(tmp_path / "k.db", server.url)
            one.store.apply_remote = apply = failing(
                one.store.apply_remote, times=5, error=StoreError("shut")
            )
            one.client.start()
            try:
                await until(lambda: one.cursor(ROOM) == (peer.welcome.epoch, 60))
                assert apply.left == 0
                assert one.client._exchange._downloads.passed_over == 0
            finally:
                one.close()
