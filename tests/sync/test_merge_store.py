"""The fold as the kiosk's store uses it: a walk-in is written, timed by the hub, and leaves."""

from __future__ import annotations

import contextlib

from kiosk.model import Envelope, Kind, Presence, Status
from kiosk.store import Draft, Settled, Store
from tests.sync.rig import ORG, SITE, TestClock

NS = 1_000_000_000


def test_a_walk_in_is_a_row_of_its_own_that_follows_the_hubs_time(tmp_path):
    store = Store.open(
        tmp_path / "kiosk.db", org=ORG, site=SITE, clock=TestClock(), zone="Europe/London"
    )
    with contextlib.closing(store):
        came = Draft(Kind.VISITOR, "s1", "visitor-1", data={"name": "Vera"})
        event = store.record(came).result(10)
        (row,) = store.attendance("s1")
        assert (row.person, row.status, row.presence, row.method) == (
            "visitor-1",
            Status.PRESENT,
            Presence.INSIDE,
            "visitor",
        )
        (held,) = store.pending()
        low = row.arrival[0] + 90 * NS
        stamp = Envelope("e", 1, low + NS, low, low)
        store.settle([Settled(held.seq, event.id, "ok", envelope=stamp)]).result(10)
        assert store.attendance("s1")[0].arrival == (low, low)
        store.record(Draft(Kind.CHECK_OUT, "s1", "visitor-1")).result(10)
        assert store.attendance("s1")[0].presence is Presence.LEFT
