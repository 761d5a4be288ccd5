"""The example of a client that docs/protocol.md is said to be enough for, against a real hub."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
from pathlib import Path

import pytest

from kiosk.tasks import spawn, stop
from sync.hub.backup import back_up, restore
from tests.sync.proxy import proxied
from tests.sync.rig import ORG, ROOM, SITE, TOKEN, Author, hub, joined, until

_FILE = Path(__file__).parents[2] / "docs" / "examples" / "viewer.py"


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("example_viewer", _FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextlib.asynccontextmanager
async def following(example, url, climb=60.0, token=TOKEN):
    seen = []
    viewer = example.Viewer(url, token, ORG, SITE, ROOM, seen.append, climb)
    viewer.people = lambda: [event["person"] for event in seen]
    viewer.sent, take = [], viewer.take

    def taken(message):
        viewer.sent += [item["event"]["person"] for item in message.get("items", ())]
        return take(message)

    viewer.take = taken
    task = spawn(viewer.follow(), "viewer")
    try:
        yield viewer
    finally:
        await stop(task)


async def test_it_follows_a_room_and_goes_on_from_its_cursor_after_a_cut(example, tmp_path):
    author = Author()
    async with (
        hub(tmp_path / "hub.db") as server,
        proxied(server.url) as proxy,
        joined(server.url) as peer,
        following(example, proxy.url) as viewer,
    ):
        await peer.push(*author.bodies(3))
        await until(lambda: len(viewer.people()) == 3)
        assert viewer.transport == "websocket"
        cut = viewer.cursor
        proxy.silent = True
        proxy.cut()
        await peer.push(*author.bodies(2))
        assert (viewer.cursor, len(viewer.people())) == (cut, 3)
        proxy.cut()
        proxy.silent = False
        await until(lambda: len(viewer.people()) == 5)
        await peer.push(author.body())
        await until(lambda: len(viewer.people()) == 6)
    assert viewer.people() == [f"p{n}" for n in range(1, 7)]
    assert viewer.cursor["offset"] == 6
    assert viewer.sent == viewer.people()  # nothing was sent a second time


async def test_it_polls_where_no_websocket_gets_through_and_climbs_back(example, tmp_path):
    author = Author()
    async with (
        hub(tmp_path / "hub.db") as server,
        proxied(server.url, refuse=400) as proxy,
        joined(server.url) as peer,
        following(example, proxy.url, 0.4) as viewer,
    ):
        await peer.push(*author.bodies(2))
        await until(lambda: len(viewer.people()) == 2)
        assert viewer.transport == "polling"
        await peer.push(author.body())
        await until(lambda: len(viewer.people()) == 3)
        proxy.refuse = None
        await until(lambda: viewer.transport == "websocket")
        await peer.push(author.body())
        await until(lambda: len(viewer.people()) == 4)
    assert viewer.people() == ["p1", "p2", "p3", "p4"]


async def test_a_restored_hub_costs_it_nothing_and_doubles_nothing(example, tmp_path):
    db, file, bodies = tmp_path / "hub.db", tmp_path / "backup", Author().bodies(4)
    async with contextlib.AsyncExitStack() as stack, contextlib.AsyncExitStack() as first:
        server = await first.enter_async_context(hub(db))
        viewer = await stack.enter_async_context(following(example, server.url))
        async with joined(server.url) as peer:
            await peer.push(*bodies[:2])
            back_up(db, file)
            await peer.push(bodies[2])
            await until(lambda: len(viewer.people()) == 3)
        epoch = viewer.cursor["epoch"]
        await first.aclose()
        restore(db, file)
        again = await stack.enter_async_context(hub(db, port=int(server.url.rpartition(":")[2])))
        peer = await stack.enter_async_context(joined(again.url))
        await peer.push(*bodies[2:])
        await until(lambda: len(viewer.people()) == 4)
        await until(lambda: viewer.cursor["offset"] == 4)
        assert viewer.cursor["epoch"] != epoch
    assert viewer.people() == ["p1", "p2", "p3", "p4"]


@pytest.mark.parametrize("status", [None, 400])
async def test_it_asks_for_another_token_instead_of_knocking_for_ever(example, tmp_path, status):
    async with hub(tmp_path / "hub.db") as server, proxied(server.url, refuse=status) as proxy:
        viewer = example.Viewer(proxy.url, "wrong", ORG, SITE, ROOM, pytest.fail)
        async with asyncio.timeout(10):
            with pytest.raises(PermissionError):
                await viewer.follow()


async def test_it_outlives_a_hub_that_goes_away_while_it_polls(example, tmp_path):
    author, db = Author(), tmp_path / "hub.db"
    async with contextlib.AsyncExitStack() as stack, contextlib.AsyncExitStack() as first:
        server = await first.enter_async_context(hub(db))
        proxy = await stack.enter_async_context(proxied(server.url, refuse=400))
        async with joined(server.url) as peer:
            await peer.push(author.body())
        viewer = await stack.enter_async_context(following(example, proxy.url))
        await until(lambda: viewer.transport == "polling")
        await first.aclose()
        await until(lambda: viewer.tries > 1)
        again = await stack.enter_async_context(hub(db, port=int(server.url.rpartition(":")[2])))
        async with joined(again.url) as peer:
            await peer.push(author.body())
        await until(lambda: viewer.people() == ["p1", "p2"])
