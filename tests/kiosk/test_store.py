"""The store on real files: transactions, the outbox, cursors, and what survives a kill."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading

import msgspec
import pytest

from kiosk.clock import NS, Anchor, effective
from kiosk.model import (
    MAX_EVENT,
    Author,
    Envelope,
    Event,
    Kind,
    Presence,
    Rank,
    Session,
    Status,
    encode_event,
    event_hash,
    sealed,
    session_room,
    site_room,
)
from kiosk.store import (
    Draft,
    EventTooLargeError,
    Settled,
    Slot,
    StoreBusyError,
    StoreDamagedError,
    StoreError,
    StoreForeignError,
    StoreFullError,
)
from tests.fakes import NOON, FakeClock

FINGER = {"method": "finger"}
DAY = 24 * 3600 * NS


def check_in(person="ann", session="evening"):
    return Draft(Kind.CHECK_IN, session, person, data=FINGER)


def foreign(id_="f1", kseq=1, kind=Kind.CHECK_IN, person="ann", session="evening", **more):
    return sealed(
        Event(
            id=id_, device="other", incarnation="other-1", kseq=kseq, kind=kind, org="club",
            room="r", wall=NOON, zone="UTC", boot="b", ticks=1, synced=True, session=session,
            person=person, data=more.pop("data", FINGER), **more,
        )
    )  # fmt: skip


def envelope(offset=1, low=NOON, **more):
    return Envelope(epoch="e1", offset=offset, received=low + NS, low=low, high=low, **more)


def told(store, event, verdict, code="", stamp=None):
    """The hub's verdict on an event, as the line would hand it in."""
    seq = store._read("SELECT seq FROM event WHERE id = ?", (event.id,))[0][0]
    return Settled(seq, event.id, verdict, code, stamp)


def test_a_check_in_is_event_outbox_and_row_at_once(store):
    event = store.record(check_in()).result()
    assert [held.id for held in store.pending()] == [event.id]
    (row,) = store.attendance("evening")
    assert (row.person, row.status, row.presence) == ("ann", Status.PRESENT, Presence.INSIDE)
    assert row.arrival == (NOON, NOON)
    assert event.room == session_room("club", "evening")
    assert store.held() == (1, NOON)


def test_own_events_form_a_gapless_chain_across_restarts(open_store):
    store = open_store()
    first = store.record(check_in("ann")).result()
    store.close()
    store = open_store()
    second = store.record(check_in("bob")).result()
    assert (first.kseq, second.kseq) == (1, 2)
    assert second.prev == first.hash == event_hash(first)
    assert second.incarnation == first.incarnation


def test_who_came_is_for_the_kiosks_user_only_also_in_files_of_earlier_versions(open_store):
    first = open_store()
    path = first.path
    first.close()
    path.chmod(0o644)
    store = open_store()
    store.record(check_in()).result(5)
    files = [path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")]
    assert [file.stat().st_mode & 0o777 for file in files] == [0o600] * 3


def test_a_failed_write_changes_nothing_and_leaves_no_gap(store):
    with pytest.raises(StoreError) as told_of:
        store.record(Draft(Kind.CHECK_IN, "evening", "ann", data={"x": object()})).result()
    assert isinstance(told_of.value.__cause__, TypeError)
    assert store.held() == (0, None)
    assert store.attendance("evening") == []
    assert store.record(check_in()).result().kseq == 1


def test_an_event_that_no_hub_would_take_is_refused_whole_and_leaves_no_place_empty(store):
    before = store.record(check_in("ann")).result()
    huge = Draft(Kind.HELP, data={"note": "x" * MAX_EVENT})
    with pytest.raises(EventTooLargeError, match="the most is 524288: nothing was written"):
        store.record_many([check_in("bob"), huge]).result()
    after = store.record(check_in("cid")).result()
    assert (after.kseq, after.prev) == (before.kseq + 1, before.hash)
    assert store.held()[0] == 2
    room = MAX_EVENT - len(encode_event(after))
    most = Draft(Kind.HELP, data={"note": "x" * (room - 100)})
    assert store.record(most).result().kseq == after.kseq + 1


def test_a_full_disk_is_told_and_later_writes_work_again(store):
    # SQLite's own limit gives exactly the error of a disk without room.
    pages = store._submit(0, lambda _: store._db.execute("PRAGMA page_count").fetchone()[0])
    limit = pages.result()
    store._submit(0, lambda _: store._db.execute(f"PRAGMA max_page_count = {limit}")).result()
    big = Draft(Kind.CHECK_IN, "evening", "ann", data={"method": "x" * 50_000})
    with pytest.raises(StoreFullError, match="disk is full"):
        store.record(big).result()
    assert store.attendance("evening") == []
    store._submit(0, lambda _: store._db.execute("PRAGMA max_page_count = 1000000")).result()
    assert store.record(check_in()).result().kseq == 1


def test_listeners_hear_of_a_commit_before_whoever_asked(store):
    heard = []
    store.on_commit(heard.append)
    future = store.record(check_in())
    future.result()
    assert [row.person for change in heard for row in change.rows] == ["ann"]


def test_a_listener_that_fails_does_not_end_the_writer(store, caplog):
    store.on_commit(lambda _: 1 / 0)
    store.record(check_in("ann")).result()
    assert store.record(check_in("bob")).result().kseq == 2
    assert "listener" in caplog.text


def test_local_facts_overtake_remote_ones(store):
    gate, order = threading.Event(), []
    store._submit(0, lambda _: gate.wait(5))
    store.on_commit(lambda change: order.extend(row.person for row in change.rows))
    store.apply_remote("r", "e1", [(encode_event(foreign(person="far")), envelope())], 1)
    last = store.record(check_in("near"))
    gate.set()
    last.result()
    store._submit(1, lambda _: None).result()
    assert order == ["near", "far"]


def test_verdicts_empty_the_outbox_except_retry(store):
    events = store.record_many([check_in(name) for name in ("a", "b", "c", "d")]).result()
    store.settle(
        [
            told(store, events[0], "ok", stamp=envelope(1)),
            told(store, events[1], "dup", stamp=envelope(2)),
            told(store, events[2], "quarantined", "org"),
            told(store, events[3], "retry", "disk"),
        ]
    ).result()
    assert [held.id for held in store.pending()] == [events[3].id]
    assert store.quarantined() == 1


def test_an_envelope_brings_the_hubs_interval_into_the_row(store):
    event = store.record(check_in()).result()
    store.settle([told(store, event, "ok", stamp=envelope(low=NOON - 60 * NS))]).result()
    (row,) = store.attendance("evening")
    assert row.arrival == (NOON - 60 * NS, NOON - 60 * NS)


def test_a_quarantined_envelope_takes_the_row_back(store):
    event = store.record(check_in()).result()
    apart = envelope(verdict="quarantined", code="revoked")
    store.settle([told(store, event, "quarantined", "revoked", apart)]).result()
    (row,) = store.attendance("evening")
    assert row.status is Status.EXPECTED
    assert store.quarantined() == 1


def test_remote_events_are_a_union_with_a_cursor(store):
    own = store.record(check_in("bob")).result()
    items = [(encode_event(foreign()), envelope(1)), (encode_event(own), envelope(2))]
    for _ in range(2):
        store.apply_remote("room", "e1", items, 2).result()
    assert store.cursor("room") == ("e1", 2)
    assert {row.person for row in store.attendance("evening")} == {"ann", "bob"}
    assert len(store.row_events("evening", "ann")) == 1


def test_an_unreadable_remote_event_is_kept_aside_and_stops_nothing(store):
    items = [(b'{"id": 5}', envelope(1)), (encode_event(foreign()), envelope(2))]
    store.apply_remote("room", "e1", items, 2).result()
    assert [row.person for row in store.attendance("evening")] == ["ann"]
    assert store._read("SELECT room, offset, body FROM undecodable") == [("room", 1, b'{"id": 5}')]


def test_the_directory_keeps_the_highest_rev_whatever_the_order(store):
    def record(rev, name):
        value = {"id": "ann", "first_name": name}
        data = {"record": "person", "id": "ann", "rev": rev, "value": value}
        return foreign(f"d{rev}", rev, Kind.DIRECTORY, None, None, data=data)

    items = [(encode_event(record(rev, f"Ann{rev}")), envelope(rev)) for rev in (2, 3, 1)]
    store.apply_remote("site", "e1", items, 3).result()
    assert [person.first_name for person in store.people()] == ["Ann3"]


def test_a_malformed_directory_event_is_logged_and_kept(store, caplog):
    bad = foreign("d1", 1, Kind.DIRECTORY, None, None, data={"record": "person"})
    store.apply_remote("site", "e1", [(encode_event(bad), envelope())], 1).result()
    assert store.people() == []
    assert "not understood" in caplog.text


def test_a_session_that_becomes_known_makes_its_rows_late(store):
    store.record(check_in()).result()
    assert store.attendance("evening")[0].status is Status.PRESENT
    session = Session("evening", "E", "UTC", NOON - NS, NOON + NS, late_at=NOON - NS)
    opened = Draft(Kind.SESSION_OPENED, "evening", data=msgspec.to_builtins(session))
    event = store.record(opened).result()
    assert event.room == site_room("club", "hall")
    assert store.attendance("evening")[0].status is Status.LATE
    assert store.sessions() == [session]
    assert store.rooms() == [site_room("club", "hall"), session_room("club", "evening")]


def test_decisions_see_the_row_and_scans_see_the_winner(store):
    scan = store.record(check_in()).result()
    staff = Author("staff", "boss", Rank.INSTRUCTOR)
    absent = Draft(Kind.OVERRIDE, "evening", "ann", staff, {"status": "absent"})
    decision = store.record(absent).result()
    again = store.record(check_in()).result()
    assert decision.saw == (scan.id,)
    assert again.saw == (decision.id,)
    assert store.attendance("evening")[0].status is Status.PRESENT


def test_pending_pages_by_bytes_and_count(store):
    store.record_many([check_in(f"p{n}") for n in range(5)]).result()
    first = store.pending(limit=2)
    assert len(first) == 2
    assert len(store.pending(after=first[-1].seq)) == 3
    assert len(store.pending(max_bytes=1)) == 1


def test_a_restored_hub_is_offered_events_again(store):
    events = store.record_many([check_in(f"p{n}") for n in range(3)]).result()
    store.settle([told(store, event, "ok") for event in events]).result()
    assert store.held()[0] == 0
    assert store.reoffer(store.identity.incarnation, above=1).result() == 2
    assert [held.id for held in store.pending()] == [event.id for event in events[1:]]


def test_an_anchor_repairs_the_times_of_its_boot(open_store):
    clock = FakeClock(wall=0)  # a Raspberry Pi that believes it is 1970
    store = open_store(clock=clock)
    before = store.record(check_in("ann")).result()
    clock.advance(10)
    anchor = Anchor(clock.boot, clock.ticks(), NOON, 0)
    store.save_anchor(anchor).result()
    assert store.anchors() == [anchor]
    store.record(check_in("bob")).result()
    # The hub times what came before the contact, from the same anchor by the same function.
    low, high = effective(before.wall, before.boot, before.ticks, anchor)
    stamped = Envelope("e1", 1, NOON + NS, low, high)
    store.settle([told(store, before, "ok", stamp=stamped)]).result()
    rows = {row.person: row.arrival for row in store.attendance("evening")}
    assert rows["ann"] == (low, high)
    assert low <= NOON - 10 * NS <= high
    assert high - low < NS // 100
    assert rows["bob"] == (NOON, NOON)


def test_a_scan_timed_alike_by_the_hub_does_not_disturb_its_row(store):
    event = store.record(check_in()).result()
    heard = []
    store.on_commit(heard.append)
    store.settle([told(store, event, "ok", stamp=envelope(low=NOON))]).result()
    store.settle([told(store, event, "ok", stamp=envelope(low=NOON - NS))]).result()
    assert [len(change.rows) for change in heard] == [0, 1]


def test_what_the_hub_kept_apart_without_an_envelope_no_longer_counts(store):
    event = store.record(check_in()).result()
    store.settle([told(store, event, "quarantined", "hash")]).result()
    assert store.attendance("evening")[0].status is Status.EXPECTED


def test_slots_are_keyed_by_sensor_and_notes_are_kept(store):
    store.set_slot(Slot("sensor-a", 3, "ann", "active", NOON)).result()
    store.set_slot(Slot("sensor-b", 3, "bob", "active", NOON)).result()
    store.clear_slot("sensor-a", 3).result()
    store.set_note("k", "v").result()
    assert store.slots() == [Slot("sensor-b", 3, "bob", "active", NOON)]
    assert (store.note("k"), store.note("none")) == ("v", None)


def test_a_second_opener_is_refused_with_the_process_that_has_it(store, open_store):
    with pytest.raises(StoreBusyError, match=str(os.getpid())):
        open_store()


def test_a_database_of_another_site_is_refused(store, open_store):
    store.close()
    with pytest.raises(StoreForeignError, match="club/hall"):
        open_store(site="annex")


def test_what_is_no_database_is_called_damaged(tmp_path, open_store):
    (tmp_path / "kiosk.db").write_bytes(b"not a database at all" * 500)
    with pytest.raises(StoreDamagedError):
        open_store()


def test_a_closed_store_says_so(store):
    store.close()
    store.close()
    with pytest.raises(StoreError, match="closed"):
        store.record(check_in())


def test_close_finishes_what_is_queued(open_store):
    store = open_store()
    futures = [store.record(check_in(f"p{n}")) for n in range(50)]
    store.close()
    assert all(future.done() for future in futures)
    assert open_store().held()[0] == 50


_BURST = """
import sys
from pathlib import Path
from kiosk.clock import SystemClock
from kiosk.model import Kind
from kiosk.store import Draft, Store
store = Store.open(Path(sys.argv[1]), org="club", site="hall", clock=SystemClock(), zone="UTC")
n = 0
while True:
    event = store.record(Draft(Kind.CHECK_IN, "s", f"p{n}", data={"method": "finger"})).result()
    print(event.id, flush=True)
    n += 1
"""


def test_sigkill_in_a_burst_loses_nothing_that_was_told(tmp_path, open_store):
    path = tmp_path / "kiosk.db"
    with subprocess.Popen([sys.executable, "-c", _BURST, path], stdout=subprocess.PIPE) as child:
        told = [child.stdout.readline().decode().strip() for _ in range(200)]
        os.kill(child.pid, signal.SIGKILL)
        told += [line.decode().strip() for line in child.stdout if line.endswith(b"\n")]
    store = open_store(path)
    ids = [held.id for held in store.pending(limit=100_000, max_bytes=1 << 30)]
    assert set(told) <= set(ids)
    assert len(ids) - len(told) <= 1
    assert len(store.attendance("s")) == len(ids)


def test_synchronous_full_and_wal_are_really_on(store):
    def pragmas(_):
        return [
            store._db.execute(f"PRAGMA {p}").fetchone()[0] for p in ("synchronous", "journal_mode")
        ]

    assert store._submit(0, pragmas).result() == [2, "wal"]
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        store._reader().execute("DELETE FROM event")


def open_session(store, number, starts):
    session = Session(f"s{number}", "S", "UTC", starts, starts + NS)
    draft = Draft(Kind.SESSION_OPENED, session.id, data=msgspec.to_builtins(session))
    return store.record(draft).result()


def test_only_sessions_near_to_now_or_with_unsent_events_are_followed(store):
    opened = [open_session(store, day, NOON + (day - 150) * DAY) for day in range(300)]
    store.settle([told(store, event, "ok") for event in opened]).result()
    near = {session_room("club", f"s{day}") for day in range(118, 183)}
    rooms = store.rooms()
    assert rooms[0] == site_room("club", "hall")
    assert len(rooms) == 65
    assert set(rooms[1:]) < near
    late = store.record(check_in(session="s3")).result()
    assert session_room("club", "s3") in store.rooms()
    store.settle([told(store, late, "ok")]).result()
    assert set(store.rooms()) == set(rooms)


def test_a_clock_in_the_past_follows_the_sessions_around_the_last_contact(open_store):
    clock = FakeClock(wall=0)
    store = open_store(clock=clock)
    for day in range(100):
        event = open_session(store, day, NOON + day * DAY)
        store.settle([told(store, event, "ok")]).result()
    store.save_anchor(Anchor("an earlier boot", 1, NOON + 99 * DAY, 0)).result()
    assert session_room("club", "s99") in store.rooms()
    assert session_room("club", "s0") not in store.rooms()


def test_sessions_are_decoded_once_and_again_when_they_change(store, monkeypatch):
    open_session(store, 1, NOON)
    queries = []
    real = store._read
    monkeypatch.setattr(store, "_read", lambda *args: queries.append(args) or real(*args))
    for _ in range(5):
        assert [session.id for session in store.sessions()] == ["s1"]
        store.record(check_in(session="s1")).result()
    assert len(queries) == 1
    open_session(store, 2, NOON)
    assert [session.id for session in store.sessions()] == ["s1", "s2"]
    store.sessions().clear()
    assert len(store.sessions()) == 2


def test_a_spoilt_row_hides_nobody_but_itself(store):
    store.record_many([check_in("ann"), check_in("bob")]).result()
    spoil = "UPDATE attendance SET body = x'00' WHERE person = 'ann'"
    store._submit(0, lambda _: store._db.execute(spoil) and None).result()
    assert [row.person for row in store.attendance("evening")] == ["bob"]
    store.record(check_in("cid")).result()
    assert {row.person for row in store.attendance("evening")} == {"bob", "cid"}
