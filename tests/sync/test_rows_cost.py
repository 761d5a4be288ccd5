"""What rows cost the hub, and what becomes of them when something fails."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sqlite3
from concurrent.futures import ThreadPoolExecutor

import pytest

from kiosk.model import Author as By
from kiosk.model import session_room
from sync import protocol as p
from sync.hub import rows
from tests.sync.rig import ORG, ROOM, SITE_ROOM, Author, hello, hub, joined, until
from tests.sync.rowviews import View, direct, follow, meant, person, shows, sitting

STAFF = By("staff", "ines", 2)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "hub.db"


async def test_a_fold_is_shared_and_ends_a_while_after_its_last_reader(path, monkeypatch):
    monkeypatch.setattr("sync.hub.roster.LINGER", 0.05)
    async with hub(path) as server:
        rosters = server._core.rooms.rosters
        async with joined(server.url, hello("a")) as a, joined(server.url, hello("b")) as b:
            await follow(a, View())
            await follow(b, View())
            assert len(rosters._all) == 1
        await until(lambda: not rosters._all)
        assert not rosters._by_room


async def test_what_the_site_says_is_read_and_decoded_once_for_all_its_sessions(path, monkeypatch):
    author, views = Author(), [View(session_room(ORG, f"s{n}")) for n in range(1, 4)]
    decoded = []
    entry_of = rows.entry_of
    for where in ("roster", "sources"):
        monkeypatch.setattr(
            f"sync.hub.{where}.entry_of",
            lambda *both: (decoded.append(both[0]), entry_of(*both))[1],
        )
    async with hub(path) as server, joined(server.url) as peer:
        await direct(server.url, sitting(), person(1))
        readers = contextlib.AsyncExitStack()
        async with readers:
            for n, view in enumerate(views):
                one = await readers.enter_async_context(joined(server.url, hello(f"r{n}")))
                await follow(one, view)
                view.peer = one
            assert len(decoded) == 2
            await direct(server.url, person(1, first_name="Eve"), person(2))
            for view in views[:1]:
                await shows(view.peer, view, path, full=True)
            other = View(session_room(ORG, "s9"))
            await follow(peer, other)
            assert len(decoded) == len(set(decoded)) == 4
            await peer.push(author.body())
            await shows(views[0].peer, views[0], path, full=True)
            assert len(decoded) == 5
        rosters = server._core.rooms.rosters
        await peer.say(p.Unsubscribe(other.room))
        await until(lambda: not any(one.members for one in rosters._all.values()))
        rosters.close()
        await until(lambda: gc.collect() >= 0 and not rosters._sources)


async def test_folds_that_nobody_follows_make_room_and_then_it_is_full(path, monkeypatch):
    monkeypatch.setattr("sync.hub.rosters.MOST_EVENTS", 5)
    author, views = Author(), [View(session_room(ORG, f"s{n}")) for n in range(3)]
    async with hub(path) as server, joined(server.url) as peer:
        for view in views:
            name = view.room.rpartition("/")[2]
            await peer.push(*(author.body(room=view.room, session=name) for _ in range(3)))
        async with joined(server.url, hello("a")) as reader:
            await follow(reader, views[0])
        await follow(peer, views[1])
        assert len(server._core.rooms.rosters._all) == 1
        await peer.say(views[2].wish())
        error = await peer.get(p.Error)
        assert (error.code, error.after) == ("busy", 30.0)


async def test_a_fold_that_fails_sends_its_readers_away_and_is_made_anew(path, monkeypatch):
    author, view = Author(), View()
    async with hub(path) as server, joined(server.url) as peer:
        await direct(server.url, sitting(), person(1))
        async with joined(server.url, hello("a")) as reader:
            await follow(reader, view)
            with monkeypatch.context() as broken:
                broken.setattr("sync.hub.rows.Sheet.look", lambda _: 1 / 0)
                await peer.push(author.body())
                assert await reader.closed() == p.Close.TRY_LATER
        async with joined(server.url, hello("a")) as reader:
            await follow(reader, view)
            assert view.shown == meant(path, full=True)


@pytest.mark.parametrize("site", [True, False])
async def test_a_log_that_cannot_be_read_gives_no_rows_until_it_can(path, monkeypatch, site):
    view = View()
    async with hub(path) as server, joined(server.url) as peer:
        if site:
            await direct(server.url, sitting(), person(1))
        await peer.push(Author().body())
        with monkeypatch.context() as broken:

            async def refused(*_):
                raise sqlite3.OperationalError("disk I/O error")

            broken.setattr(server._core.pages, "page", refused)
            async with joined(server.url, hello("a")) as reader:
                await reader.say(view.wish())
                assert await reader.closed() == p.Close.TRY_LATER
        async with joined(server.url, hello("a")) as reader:
            await follow(reader, view)
            assert view.shown == meant(path, full=True)


async def test_neither_the_writer_nor_events_wait_for_a_slow_fold(path, monkeypatch):
    author, view, held = Author(), View(), []
    async with hub(path) as server, joined(server.url) as peer:
        await direct(server.url, sitting(), person(1), person(2))
        async with joined(server.url, hello("a")) as reader:
            await follow(reader, view)
            work = server._core.pages.work
            gate = asyncio.Event()

            async def later(do):
                held.append(do)
                await gate.wait()
                return await work(do)

            monkeypatch.setattr(server._core.pages, "work", later)
            await peer.follow(ROOM)
            await direct(server.url, person(1, first_name="Eve"))
            await until(lambda: held)
            await peer.push(author.body())
            assert len((await peer.get(p.Events)).items) == 1
            gate.set()
            await shows(reader, view, path, full=True)


async def test_a_plain_check_in_looks_at_its_row_only_and_wakes_no_thread(path, monkeypatch):
    author, view = Author(), View()
    async with hub(path) as server, joined(server.url) as peer:
        await direct(server.url, sitting(), *(person(n) for n in range(1, 4)))
        await follow(peer, view)
        monkeypatch.setattr("sync.hub.rows.Sheet._all", None)
        monkeypatch.setattr(server._core.pages, "work", None)
        await peer.push(author.body(), author.body(kind="check_out", person="p2"))
        await peer.push(
            author.body(kind="override", person="p1", by=STAFF, data={"status": "late"})
        )
        await peer.push(author.body(kind="help", room=SITE_ROOM, session=None, person=None))
        await shows(peer, view, path, full=True)
        assert view.rows["p1"]["status"] == "late"


async def test_a_reader_that_lags_recovers_by_its_cursor(path, monkeypatch):
    monkeypatch.setattr("sync.hub.members.LAGGING", -1)
    author, view = Author(), View()
    async with hub(path) as server, joined(server.url) as peer:
        await direct(server.url, sitting(), person(1), person(2))
        await follow(peer, view)
        await peer.push(author.body())
        await peer.push(author.body())
        await shows(peer, view, path, full=True)
        assert server._core.rooms.lagged
        assert view.snapshots == 1


async def test_what_was_let_go_of_is_said_and_the_rest_is_folded(path):
    author, view = Author(), View()
    async with hub(path) as server, joined(server.url) as peer:
        await direct(server.url, sitting(), person(1), person(3))
        await peer.push(*author.bodies(3))
    with sqlite3.connect(path) as db:
        db.execute("DELETE FROM event WHERE id IN (SELECT id FROM entry WHERE person = 'p1')")
    db.close()
    async with hub(path) as server, joined(server.url) as peer:
        await follow(peer, view)
        assert view.missing == 1
        assert view.rows["p1"]["status"] == "expected"
        assert view.shown == meant(path, full=True)


def test_the_fold_has_threads_of_its_own():
    """Pages are read while rows are folded: the two share no pool."""
    from sync.hub.pages import Pages  # noqa: PLC0415

    pages = Pages("nowhere")
    try:
        assert isinstance(pages._workers, ThreadPoolExecutor)
        assert pages._workers is not pages._pool
    finally:
        pages.close()
