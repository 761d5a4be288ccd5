"""The example of a live roster, made of the page on the protocol, against a real hub."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from pathlib import Path
from unittest import mock

import pytest

from kiosk.model import Author as By
from kiosk.tasks import spawn, stop
from sync.hub.backup import back_up, restore
from tests.sync.proxy import proxied
from tests.sync.rig import ORG, ROOM, SITE, TOKEN, Author, hub, joined, until
from tests.sync.rowviews import direct, meant, person, sitting

_FOLDER = Path(__file__).parents[2] / "docs" / "examples"


@pytest.fixture
def example(monkeypatch):
    monkeypatch.syspath_prepend(str(_FOLDER))
    import roster  # noqa: PLC0415  not before the folder is known

    yield roster
    for name in ("roster", "viewer"):
        del sys.modules[name]


@contextlib.asynccontextmanager
async def following(example, url, climb=60.0):
    changes = []
    one = example.Roster(url, TOKEN, ORG, SITE, ROOM, lambda now: changes.append(now.counts), climb)
    one.changes, one.shown = changes, lambda: (one.rows, one.session, one.counts)
    task = spawn(one.follow(), "roster")
    try:
        yield one
    finally:
        await stop(task)


async def test_it_shows_who_is_there_and_goes_on_after_a_cut(example, tmp_path):
    db, author = tmp_path / "hub.db", Author()
    async with (
        hub(db) as server,
        proxied(server.url) as proxy,
        joined(server.url) as peer,
        following(example, proxy.url) as one,
    ):
        await direct(server.url, sitting(), *(person(n) for n in range(1, 5)))
        await peer.push(*author.bodies(2))
        await until(lambda: one.shown() == meant(db))
        assert one.transport == "websocket"
        assert one.counts["inside"] == 2
        proxy.silent = True
        proxy.cut()
        await peer.push(author.body())
        await direct(server.url, person(1, first_name="Eve"))
        assert one.counts["inside"] == 2
        changes = len(one.changes)
        proxy.cut()
        proxy.silent = False
        await until(lambda: one.shown() == meant(db))
        assert one.rows["p1"]["name"] == "Eve L."
        assert len(one.changes) == changes + 1  # both at once, and nothing anew


async def test_it_polls_where_no_websocket_gets_through_and_climbs_back(example, tmp_path):
    db, author = tmp_path / "hub.db", Author()
    async with (
        hub(db) as server,
        proxied(server.url, refuse=400) as proxy,
        joined(server.url) as peer,
        following(example, proxy.url, 0.4) as one,
    ):
        await direct(server.url, sitting(), person(1), person(2))
        await peer.push(author.body())
        await until(lambda: one.shown() == meant(db))
        assert one.transport == "polling"
        proxy.refuse = None
        await until(lambda: one.transport == "websocket")
        closing = {"kind": "session_closed", "person": None, "by": By("staff", "ines", 2)}
        await peer.push(author.body(**closing))
        await until(lambda: one.shown() == meant(db))
        assert one.counts["absent"] == 1


async def test_a_restored_hub_shows_what_it_knows(example, tmp_path):
    db, file, bodies = tmp_path / "hub.db", tmp_path / "backup", Author().bodies(4)
    async with contextlib.AsyncExitStack() as stack, contextlib.AsyncExitStack() as first:
        server = await first.enter_async_context(hub(db))
        one = await stack.enter_async_context(following(example, server.url))
        async with joined(server.url) as peer:
            await peer.push(*bodies[:2])
            back_up(db, file)
            await peer.push(bodies[2])
            await until(lambda: one.counts.get("inside") == 3)
        await first.aclose()
        restore(db, file)
        await stack.enter_async_context(hub(db, port=int(server.url.rpartition(":")[2])))
        await until(lambda: one.counts["inside"] == 2)
        assert one.shown() == meant(db)


@pytest.mark.parametrize("status", [None, 400])
async def test_it_comes_back_to_a_hub_that_has_no_rows_just_now(example, tmp_path, status):
    db, asked = tmp_path / "hub.db", []
    async with (
        hub(db) as server,
        proxied(server.url, refuse=status) as proxy,
        following(example, proxy.url) as one,
    ):
        wish = one.wish
        one.wish = lambda: (asked.append(1), wish())[1]
        with mock.patch("sync.hub.rosters.MOST_EVENTS", -1):
            await until(lambda: len(asked) > 1)
            assert not one.changes
        await direct(server.url, sitting(), person(1))
        await until(lambda: one.rows)
        assert one.shown() == meant(db)


async def test_the_program_prints_a_line_for_every_change(tmp_path):
    async with hub(tmp_path / "hub.db") as server, joined(server.url) as peer:
        await direct(server.url, sitting(), person(1))
        await peer.push(Author().body())
        program = await asyncio.create_subprocess_exec(
            sys.executable,
            str(_FOLDER / "roster.py"),
            *(server.url, ORG, SITE, ROOM),
            stdout=asyncio.subprocess.PIPE,
            env=os.environ | {"WHORL_HUB_TOKEN": TOKEN},
        )
        try:
            async with asyncio.timeout(20):
                assert await program.stdout.readline() == b"Yoga: 1 of 1 inside: Ada1 L.\n"
                await peer.push(Author("kiosk-2").body(person="p7"))
                assert await program.stdout.readline() == b"Yoga: 2 of 2 inside: Ada1 L., p7\n"
        finally:
            program.kill()
            await program.wait()
