"""A kiosk as the line sees it: a real store, the client under test, and what it said."""

from __future__ import annotations

import contextlib
import sqlite3

from kiosk.model import Kind, LinkState
from kiosk.store import Draft, Store
from sync.client import Pacing, SyncClient, cursors
from tests.sync.rig import ORG, SITE, TOKEN, TestClock, until

# As the real one, but nobody waits for a minute in a test.
QUICK = Pacing(first_retry=0.05, last_retry=0.2, refused_retry=0.1, sweep=0.2, cursor=0.05)


class Kiosk:
    """A store and its line."""

    def __init__(self, path, url, token=TOKEN, pacing=QUICK, clock=None, store=None, ca=None):
        self.clock = clock or TestClock()
        self.path = path
        self.store = store or Store.open(
            path, org=ORG, site=SITE, clock=self.clock, zone="Europe/London"
        )
        self.said = []
        self.client = SyncClient(
            self.store, url, token, self.clock, SITE, "a kiosk", self.said.append, pacing, ca=ca
        )
        self.store.on_commit(lambda _: self.client.wake())

    @classmethod
    def over(cls, store, url, token=TOKEN):
        """A line over a store that is open already."""
        return cls(store.path, url, token, clock=store._clock, store=store)

    @property
    def status(self):
        return self.said[-1] if self.said else None

    @property
    def states(self):
        """The states said, without repetition."""
        found = []
        for status in self.said:
            if not found or found[-1] != status.state:
                found.append(status.state)
        return found

    def check_in(self, count=1, session="s1"):
        drafts = [Draft(Kind.CHECK_IN, session, f"p{n}") for n in range(count)]
        return [event.id for event in self.store.record_many(drafts).result(10)]

    def cursor(self, room):
        """Epoch and offset up to which the room is in the store; None before the first page."""
        found = cursors.read(self.store.cursor(room))
        return found and (found.epoch, found.offset)

    def rows(self, query):
        with contextlib.closing(sqlite3.connect(self.path)) as db:
            return db.execute(query).fetchall()

    async def settled(self, seconds=10.0):
        """Wait until the outbox is empty and the status says so."""
        await until(lambda: self.store.held()[0] == 0, seconds)
        await until(lambda: self.status and self.status.state is LinkState.ONLINE, seconds)

    async def reaches(self, state, seconds=10.0):
        await until(lambda: self.status is not None and self.status.state is state, seconds)

    def close(self):
        self.client.stop()
        self.store.close()


@contextlib.contextmanager
def kiosk(path, url, **given):
    one = Kiosk(path, url, **given)
    one.client.start()
    try:
        yield one
    finally:
        one.close()


def held_by(path):
    """Ids in a hub's log."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        return [row[0] for row in db.execute("SELECT id FROM event ORDER BY place")]
