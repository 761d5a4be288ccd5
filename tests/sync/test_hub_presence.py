"""Who is told present, and what else reaches a kiosk that can only ask."""

from __future__ import annotations

import contextlib
import json
import socket

import aiohttp
import pytest

from kiosk.tasks import spawn
from sync import protocol as p
from tests.sync.rig import ORG, ROOM, SITE, TOKEN, Author, hello, hub, joined, until
from tests.sync.test_hub_rooms import narrow_socket

HEADERS = {"Authorization": f"Bearer {TOKEN}"}
DOOR = {"org": ORG, "site": SITE, "device": "door", "incarnation": "inc-1", "name": "North door"}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "hub.db"


@contextlib.asynccontextmanager
async def watched(path, **given):
    """A hub, somebody who watches its room, and a session for plain requests."""
    async with (
        hub(path, **given) as server,
        joined(server.url, hello("desk")) as watcher,
        aiohttp.ClientSession(server.url, headers=HEADERS) as http,
    ):
        await watcher.say(p.Subscribe(ROOM, presence=True))
        assert (await watcher.get(p.Presence)).change == "here"
        yield server, watcher, http


def seats(server):
    room = server._core.rooms._rooms[ROOM]
    return len(room.members)


async def polled(http, **more):
    async with http.get("/v1/poll", params=DOOR | {"room": ROOM} | more) as answer:
        assert answer.status == 200
        return [p.decode_from_hub(json.dumps(one)) for one in await answer.json()]


async def test_a_kiosk_does_not_go_in_the_pauses_of_a_long_catch_up(path):
    bodies = Author("desk").bodies(600)
    async with (
        watched(path) as (_, watcher, _),
        joined(watcher_url(watcher), hello("door")) as door,
    ):
        for at in range(0, 600, 200):
            await watcher.push(*bodies[at : at + 200])
        cursor = None
        for _ in range(2):
            await door.say(p.Subscribe(ROOM, cursor, pages=1))
            page = await door.get(p.Events)
            assert not page.live
            cursor = p.Cursor(page.epoch, page.offset)
        # A page more is not sent before it is asked for.
        await door.say(p.Ping(1))
        await door.get(p.Pong)
        assert not [m for m in door.aside if isinstance(m, p.Events)]
        await door.follow(cursor=cursor)
        await door.say(p.Unsubscribe(ROOM))
        assert (await watcher.get(p.Presence)).change == "join"
        assert (await watcher.get(p.Presence)).change == "leave"
        assert not [m for m in watcher.aside if isinstance(m, p.Presence)]


def watcher_url(peer):
    host, port = peer.socket.remote_address[:2]
    return f"http://{host}:{port}"


async def test_a_listener_is_present_by_its_name(path, monkeypatch):
    monkeypatch.setattr("sync.hub.server._TICK", 0.05)
    async with watched(path) as (_, watcher, http):
        async with http.get("/v1/sse", params=DOOR | {"room": ROOM}):
            change = await watcher.get(p.Presence)
            assert (change.change, change.kiosks) == ("join", [p.Kiosk("door", "North door")])
        assert (await watcher.get(p.Presence)).change == "leave"


async def test_a_kiosk_that_polls_stays_present_between_two_times(path, monkeypatch):
    monkeypatch.setattr("sync.hub.polls._LINGERS", 0.3)
    async with watched(path) as (server, watcher, http):
        for _ in range(3):
            await polled(http)
        change = await watcher.get(p.Presence)
        assert (change.change, change.kiosks) == ("join", [p.Kiosk("door", "North door")])
        assert seats(server) == 1
        change = await watcher.get(p.Presence)
        assert (change.change, change.kiosks) == ("leave", [p.Kiosk("door", "North door")])


async def test_who_is_present_is_no_news_that_ends_a_poll(path):
    async with watched(path) as (_, watcher, http):
        asked = spawn(polled(http, presence="1", wait="20"), "test-poll")
        await watcher.get(p.Presence)
        assert not asked.done()
        await watcher.push(Author("desk").body())
        here, *_ = [m for m in await asked if isinstance(m, p.Presence)]
        assert {k.device for k in here.kiosks} == {"desk", "door"}


async def test_a_kiosk_that_polls_is_told_of_what_it_lost(path, monkeypatch):
    monkeypatch.setattr("sync.hub.holes.PATIENCE", 0.1)
    author = Author("door")
    first = author.body()
    author.body()
    async with watched(path, position_every=0.02) as (server, _, http):
        async with joined(server.url, hello("door")) as door:
            await door.push(first, author.body())
        await polled(http)
        await until(lambda: server._core.missing == 1)
        gaps = [m for m in await polled(http) if isinstance(m, p.Gap)]
        assert gaps == [p.Gap("inc-1", after=1, missing=1)]
        assert not [m for m in await polled(http) if isinstance(m, p.Gap)]


async def test_an_answer_that_nobody_takes_is_given_up(path, monkeypatch):
    monkeypatch.setattr("sync.hub.asking._TAKEN_WITHIN", 0.3)
    author = Author("desk")
    filler = {"data": {"note": "x" * 4000}}
    async with watched(path) as (server, watcher, _):
        for _ in range(3):
            await watcher.push(*(author.body(**filler) for _ in range(50)))
        raw = narrow_socket(server.url)
        try:
            query = f"org={ORG}&site={SITE}&room={ROOM}"
            request = f"GET /v1/poll?{query} HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer {TOKEN}"
            raw.send(request.encode())
            (served,) = await until(lambda: list(server._runner.server.connections))
            taker = served.transport.get_extra_info("socket")
            taker.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16_384)
            raw.send(b"\r\n\r\n")
            await until(lambda: served.transport is None or served.writing_paused)
            await until(lambda: not server._runner.server.connections)
        finally:
            raw.close()
