from __future__ import annotations

import contextlib
import sqlite3

import pytest

from kiosk.model import Kind, session_room
from sync import protocol as p
from sync.hub.retention import DAY
from tests.sync.kiosks import held_by, kiosk
from tests.sync.rig import NS, ROOM, SITE_ROOM, Author, TestClock, hub, joined, until

START = 1_800_000_000 * NS
NEW = session_room("acme", "s2")


async def filled(db, clock, count=10):
    """An old session, a new one and something in the site's room."""
    author = Author()
    async with hub(db, clock) as server, joined(server.url) as peer:
        old = author.bodies(count)
        for at in range(0, count, 400):
            await peer.push(*old[at : at + 400])
        await peer.push(author.body(room=SITE_ROOM, session=None, person=None, kind=Kind.HELP))
        clock.now += 40 * DAY
        await peer.push(*(author.body(room=NEW, session="s2") for _ in range(3)))
    return author, old


def pruned(db):
    with contextlib.closing(sqlite3.connect(db)) as file:
        return file.execute("SELECT count(*) FROM pruned").fetchone()[0]


async def pages(peer, room, cursor=None):
    await peer.say(p.Subscribe(room, cursor))
    found = [await peer.get(p.Events)]
    while not found[-1].live:
        found.append(await peer.get(p.Events))
    return found


@pytest.mark.parametrize("count", [10, 1200])
async def test_an_old_session_is_let_go_and_its_gap_is_told(tmp_path, count):
    db, clock = tmp_path / "hub.db", TestClock(START)
    await filled(db, clock, count)
    async with hub(db, clock, keep_days=30) as server:
        await until(lambda: pruned(db) == count - 1)
        assert len(held_by(db)) == 1 + 1 + 3
        async with joined(server.url) as peer:
            found = await pages(peer, ROOM)
            assert [(f.after, f.offset, f.missing, len(f.items)) for f in found] == [
                (0, count, count - 1, 1)
            ]
            for room in (NEW, SITE_ROOM):
                assert [f.missing for f in await pages(peer, room)] == [0]
            cursor = p.Cursor(server._core.rooms.epoch, 4, 1)
            await peer.say(p.Subscribe(ROOM, cursor))
            assert (await peer.get(p.Reset)).head == count


async def test_what_was_let_go_is_known_when_it_is_offered_again(tmp_path):
    db, clock = tmp_path / "hub.db", TestClock(START)
    _, old = await filled(db, clock)
    async with hub(db, clock, keep_days=30) as server:
        await until(lambda: pruned(db) == 9)
        async with joined(server.url) as peer:
            verdicts = await peer.push(*old)
            assert [v.verdict for v in verdicts] == ["dup"] * 10
            assert [v.envelope.offset for v in verdicts] == list(range(1, 11))
            (verdict,) = await peer.push(Author(device="other").body())
            assert (verdict.verdict, verdict.envelope.offset) == ("ok", 11)
        assert len(held_by(db)) == 6


async def test_without_a_limit_everything_stays(tmp_path):
    db, clock = tmp_path / "hub.db", TestClock(START)
    await filled(db, clock)
    async with hub(db, clock):
        assert pruned(db) == 0
    assert len(held_by(db)) == 14


async def test_a_kiosk_that_has_it_keeps_it_and_one_that_has_not_goes_on(tmp_path, caplog):
    db, clock = tmp_path / "hub.db", TestClock(START)
    async with hub(db, clock) as server:
        with kiosk(tmp_path / "a.db", server.url) as one:
            made = one.check_in(5)
            await one.settled()
    clock.now += 40 * DAY
    async with hub(db, clock, keep_days=30) as server:
        await until(lambda: pruned(db) == 4)
        with kiosk(tmp_path / "a.db", server.url) as one:
            await one.settled()
            assert {row[0] for row in one.rows("SELECT id FROM event")} >= set(made)
            one.check_in(1)
            await one.settled()
        assert len(held_by(db)) == 2
