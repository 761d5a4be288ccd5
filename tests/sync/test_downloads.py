"""The lane down by itself: what it asks again when an answer does not come."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from kiosk import tasks
from kiosk.model import Envelope, site_room
from kiosk.store import Store
from sync import protocol as p
from sync.client import Pacing
from sync.client.downloads import Downloads
from tests.sync.rig import ORG, SITE, Author, TestClock, until

ROOM = site_room(ORG, SITE)
EPOCH = "an epoch"


@pytest.fixture
def store(tmp_path):
    store = Store.open(tmp_path / "k.db", org=ORG, site=SITE, clock=TestClock(), zone="UTC")
    yield store
    store.close()


def page(author, offset, head, *, live=False):
    """One event of the room."""
    item = p.Item(msgspec.Raw(author.body(room=ROOM)), Envelope(EPOCH, offset, offset, 1, 1))
    return p.Events(ROOM, EPOCH, offset - 1, offset, head, live, [item])


async def test_a_room_whose_first_page_is_lost_is_asked_again_by_itself(store):
    """Behind a reset, the hub owes pages and so tells no position that would give it away."""
    asked = asyncio.Queue()
    lane = Downloads(store, asked.put, Pacing(answer=0.05))
    running = tasks.spawn(lane.run(), "downloads")
    author = Author()
    async with asyncio.timeout(10):
        assert (await asked.get()).room == ROOM
        lane.reset(p.Reset(ROOM, EPOCH, 2))
        first, second = page(author, 1, 2), page(author, 2, 2, live=True)
        lane.take(second)
        again = await asked.get()
        assert (again.cursor.epoch, again.cursor.offset) == (EPOCH, 0)
        lane.take(first)
        lane.take(second)
        await until(lambda: (store.cursor(ROOM) or ("", 0))[1] == 2)
    await tasks.stop(running)
    assert asked.empty(), "nothing is owed any more"
