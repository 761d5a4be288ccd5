"""The fold as the kiosk's store uses it: a walk-in is written, timed by the hub, and leaves."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from kiosk.model import (
    Attendance,
    Author,
    Envelope,
    Human,
    Kind,
    Presence,
    Status,
    encode_event,
)
from kiosk.store import Draft, Settled, Store
from sync.merge import explain, fold
from tests.sync.rig import ORG, SITE, TestClock
from tests.sync.test_merge_site_laws import entries, hasty

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


def opened(path):
    return Store.open(path / "k.db", org=ORG, site=SITE, clock=TestClock(), zone="Europe/London")


def once(several):
    """Each event once, and no device with a double: those a kiosk learns of from the hub alone."""
    found = {entry.event.id: entry for entry in several}.values()
    return [
        replace(entry, event=replace(entry.event, kseq=place))
        for place, entry in enumerate(found, 1)
    ]


def telling(rows):
    return {
        (row.session, row.person): row for row in rows if row != Attendance(row.session, row.person)
    }


@given(entries(), st.data())
@settings(max_examples=60, deadline=None)
def test_a_store_shows_what_the_fold_of_all_events_comes_to_in_whatever_pages_they_came(
    several, data
):
    several = once(several)
    size = data.draw(st.integers(1, 4))
    with tempfile.TemporaryDirectory() as folder:
        with contextlib.closing(opened(Path(folder))) as store:
            for start in range(0, len(several), size):
                page = several[start : start + size]
                items = [(encode_event(entry.event), entry.envelope) for entry in page]
                store.apply_remote("r", "epoch", items, start).result(10)
            check(store, several)
        with contextlib.closing(opened(Path(folder))) as store:
            check(store, several)


@given(hasty())
@settings(max_examples=25, deadline=None)
def test_a_store_tells_of_two_places_in_two_sessions_as_the_fold_does(several):
    several = once(several)
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.closing(opened(Path(folder))) as store,
    ):
        for start in range(0, len(several), 3):
            page = several[start : start + 3]
            items = [(encode_event(entry.event), entry.envelope) for entry in page]
            store.apply_remote("r", "epoch", items, start).result(10)
        check(store, several)


def check(store, several):
    meant = fold(several)
    shown = telling(row for name in ("s", "t") for row in store.attendance(name))
    assert shown == telling(meant.rows.values())
    assert store.review_items() == meant.waiting
    assert store.merged() == meant.aliases
    for name in meant.sessions:
        assert store.session_state(name) == meant.sessions[name]
    for item in store.review_items():
        assert explain(item, store.names())


STAFF = Author("staff", "ines", 2)
SESSION = {"id": "s", "title": "Yoga", "zone": "UTC", "starts": 0, "ends": 9, "roster": ["p", "q"]}


def told_of(store):
    heard = []
    store.on_commit(heard.append)
    return heard


def test_closing_a_session_makes_absent_whoever_did_not_come_and_reopening_takes_it_back(tmp_path):
    with contextlib.closing(opened(tmp_path)) as store:
        store.record(Draft(Kind.SESSION_OPENED, "s", data=SESSION)).result(10)
        came = store.record(Draft(Kind.CHECK_IN, "s", "p")).result(10)
        heard = told_of(store)
        closed = store.record(Draft(Kind.SESSION_CLOSED, "s", by=STAFF)).result(10)
        rows = {row.person: row.status for row in store.attendance("s")}
        assert rows == {"p": Status.PRESENT, "q": Status.ABSENT}
        assert [s.is_open for change in heard for s in change.states] == [False]
        told = {row.person: row.status for change in heard for row in change.rows}
        assert told == rows

        again = store.record(Draft(Kind.CHECK_IN, "s", "q")).result(10)
        assert (closed.saw, again.saw) == ((), (closed.id,))
        (item,) = (one for one in store.review_items() if one.kind == "after_close")
        assert (item.human, item.key) == (Human.INFORMED, "after_close_known")
        reopened = store.record(Draft(Kind.SESSION_REOPENED, "s", by=STAFF)).result(10)
        assert reopened.saw == (closed.id,)
        assert store.session_state("s").is_open
        assert {item.kind for item in store.review_items()} == {"unknown_person"}
        assert store.record(Draft(Kind.CHECK_OUT, "s", "p")).result(10).saw == ()
        assert came.saw == ()


def test_many_rows_are_announced_in_slices(tmp_path):
    people = [f"p{n}" for n in range(230)]
    session = SESSION | {"roster": people}
    with contextlib.closing(opened(tmp_path)) as store:
        store.record(Draft(Kind.SESSION_OPENED, "s", data=session)).result(10)
        store.record_many([Draft(Kind.CHECK_IN, "s", p) for p in people[:120]]).result(10)
        heard = told_of(store)
        store.record(Draft(Kind.SESSION_CLOSED, "s", by=STAFF)).result(10)
        assert max(len(change.rows) for change in heard) <= 50
        told = [row for change in heard for row in change.rows]
        assert sorted(row.person for row in told) == sorted(people)
        assert sum(row.status is Status.ABSENT for row in told) == 110


def test_too_many_inside_are_told_of_also_in_a_session_nobody_has_described(tmp_path):
    with contextlib.closing(opened(tmp_path)) as store:
        limit = {"record": "policy", "id": "site", "rev": 1, "value": {"capacity": 1}}
        store.record(Draft(Kind.DIRECTORY, data=limit)).result(10)
        for person in ("p", "q"):
            store.record(Draft(Kind.CHECK_IN, "unheard-of", person)).result(10)
        kinds = [item.kind for item in store.review_items()]
        assert kinds.count("over_capacity") == 1


def test_a_session_that_is_named_otherwise_than_it_calls_itself_limits_nobody(tmp_path):
    with contextlib.closing(opened(tmp_path)) as store:
        other = SESSION | {"late_at": 1}
        store.record(Draft(Kind.SESSION_OPENED, "t", data=other)).result(10)
        store.record(Draft(Kind.CHECK_IN, "s", "p")).result(10)
        assert [row.status for row in store.attendance("s")] == [Status.PRESENT]
        assert store.sessions() == []
