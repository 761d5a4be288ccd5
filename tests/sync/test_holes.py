"""A device that lost what it had counted is told so, and so are those who look after the hub."""

from __future__ import annotations

import aiohttp
import pytest

from sync import protocol as p
from tests.sync.kiosks import Kiosk, held_by
from tests.sync.rig import Author, hub, joined, until
from tests.sync.test_client_faults import leave_hole


@pytest.fixture
def path(tmp_path):
    return tmp_path / "hub.db"


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr("sync.hub.holes.PATIENCE", 0.1)


async def health(url):
    async with aiohttp.ClientSession() as http, http.get(f"{url}/health") as answer:
        return await answer.json()


def missing(server):
    return server._core.missing


async def test_a_hole_is_an_alarm_once_the_device_has_been_connected_for_long(path, impatient):
    author = Author()
    first = author.body()
    lost = author.body()
    async with hub(path, position_every=0.02) as server, joined(server.url) as peer:
        await peer.push(first, author.body(), author.body())
        gap = await peer.get(p.Gap)
        assert gap == p.Gap("inc-1", after=1, missing=1)
        assert (await health(server.url))["missing"] == 1
        # What comes after all is missing no more.
        await peer.push(lost)
        await until(lambda: missing(server) == 0)


async def test_there_is_no_alarm_before_its_time_nor_without_a_hole(path):
    author = Author()
    first = author.body()
    author.body()
    async with hub(path, position_every=0.02) as server, joined(server.url) as peer:
        await peer.push(first, author.body())
        for _ in range(3):
            await peer.say(p.Ping(1))
            await peer.get(p.Pong)
        assert missing(server) == 0
        assert not [m for m in peer.aside if isinstance(m, p.Gap)]


async def test_a_kiosk_that_lost_events_needs_attention(path, tmp_path, impatient):
    async with hub(path, position_every=0.02) as server:
        one = Kiosk(tmp_path / "k.db", server.url)
        leave_hole(one)
        ids = one.check_in(2)
        one.client.start()
        try:
            await until(lambda: one.status is not None and one.status.attention == 1)
            assert sorted(held_by(path)) == sorted(ids)
        finally:
            one.close()
