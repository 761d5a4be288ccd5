from __future__ import annotations

import itertools
import shutil
import sqlite3
from pathlib import Path

import msgspec
import pytest

from kiosk import rescue
from kiosk.clock import NS, Anchor
from kiosk.model import Kind, Session, decode_event, encode_event
from kiosk.rescue import open_store as open_or_rescue
from kiosk.rescue import rescue_note
from kiosk.store import SensorBinding, Slot
from tests.fakes import NOON, FakeClock
from tests.killed import killed_at_line
from tests.kiosk.test_store import check_in, envelope, foreign, told

PLACE = {"org": "club", "site": "hall", "zone": "UTC"}


@pytest.fixture
def rescued(tmp_path, clock):
    opened = []

    def opening():
        store = open_or_rescue(tmp_path / "kiosk.db", clock=clock, **PLACE)
        opened.append(store)
        return store

    yield opening
    for store in opened:
        store.close()


def _damage(path, start, length):
    with path.open("r+b") as file:
        file.seek(start)
        file.write(b"\xa5" * length)


def test_a_sound_database_is_simply_opened(rescued, open_store):
    open_store().close()
    assert rescue_note(rescued()) is None


def test_a_file_of_garbage_is_moved_aside_with_its_date_and_told(tmp_path, rescued, caplog):
    (tmp_path / "kiosk.db").write_bytes(b"garbage " * 1000)
    store = rescued()
    note = rescue_note(store)
    assert note.moved_to.endswith("kiosk.db.damaged-20251121T120000Z")
    assert (tmp_path / "kiosk.db.damaged-20251121T120000Z").read_bytes() == b"garbage " * 1000
    assert (note.unsent, note.complete) == (0, False)
    assert "there may have been more" in caplog.text
    assert store.record(check_in()).result().kseq == 1


def test_unsent_events_and_slots_are_carried_over(tmp_path, rescued, open_store):
    old = open_store()
    events = [old.record(check_in(f"p{n:03}")).result() for n in range(300)]
    old.settle([told(old, event, "ok") for event in events[:100]]).result()
    old.set_slot(Slot("sensor", 1, "p001", "active", NOON)).result()
    old.close()
    # Damage an index page only: the tables themselves can still be read to the end.
    path = tmp_path / "kiosk.db"
    root = _root_page(path, "event_row")
    _damage(path, (root - 1) * 4096, 4096)
    store = rescued()
    note = rescue_note(store)
    held = store.pending(limit=1000, max_bytes=1 << 30)
    assert {decode_event(item.body).id for item in held} == {event.id for event in events[100:]}
    assert note.unsent == 200
    assert store.slots() == [Slot("sensor", 1, "p001", "active", NOON)]
    assert len(store.attendance("evening")) == 300


def test_what_lies_on_both_sides_of_the_damage_is_saved(tmp_path, rescued, open_store):
    old = open_store()
    events = [old.record(check_in(f"p{n:03}")).result() for n in range(400)]
    old.close()
    path = tmp_path / "kiosk.db"
    size = path.stat().st_size
    _damage(path, size // 2 // 4096 * 4096, 4096)
    store = rescued()
    saved = {decode_event(h.body).id for h in store.pending(limit=1000, max_bytes=1 << 30)}
    assert events[0].id in saved
    assert events[-1].id in saved
    assert len(saved) >= 300


def test_the_note_is_gone_once_staff_have_taken_the_file_away(tmp_path, rescued):
    (tmp_path / "kiosk.db").write_bytes(b"garbage " * 1000)
    store = rescued()
    (tmp_path / "kiosk.db.damaged-20251121T120000Z").unlink()
    assert rescue_note(store) is None


def _root_page(path, index):
    db = sqlite3.connect(path)
    try:
        query = "SELECT rootpage FROM sqlite_master WHERE name = ?"
        return db.execute(query, (index,)).fetchone()[0]
    finally:
        db.close()


def _unsent(store):
    return [held.id for held in store.pending(limit=1000, max_bytes=1 << 30)]


def _as_after_a_power_cut(store, tmp_path, spoil):
    """Close the store, but leave the files as they were while it was open, and then spoilt."""
    folder = tmp_path / "cut"
    folder.mkdir()
    for file in tmp_path.glob("kiosk.db*"):
        shutil.copy(file, folder)
    store.close()
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    spoil(tmp_path / "kiosk.db")


def _emptied(path):
    path.write_bytes(b"")


@pytest.mark.parametrize("spoil", [_emptied, Path.unlink], ids=["empty", "missing"])
@pytest.mark.parametrize("checkpointed", [False, True])
def test_a_lost_database_whose_log_is_there_is_rescued_from_the_log(
    tmp_path, rescued, open_store, spoil, checkpointed
):
    old = open_store()
    events = [old.record(check_in(f"p{n}")).result() for n in range(3)]
    if checkpointed:  # then the log lacks the first page and the schema with it
        old._submit(0, lambda _: None).result()
        old._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        events.append(old.record(check_in("p3")).result())
    _as_after_a_power_cut(old, tmp_path, spoil)
    log = (tmp_path / "kiosk.db-wal").read_bytes()
    store = rescued()
    assert set(_unsent(store)) >= {event.id for event in events}
    (moved,) = [f for f in tmp_path.glob("kiosk.db.damaged-*") if f.name.endswith("Z")]
    assert moved.with_name(moved.name + "-wal").read_bytes() == log
    assert rescue_note(store).moved_to == str(moved)


def test_a_spoilt_first_page_hides_nothing_else(tmp_path, rescued, open_store):
    old = open_store()
    events = [old.record(check_in(f"p{n}")).result() for n in range(50)]
    old.close()
    _damage(tmp_path / "kiosk.db", 0, 100)
    assert _unsent(rescued()) == [event.id for event in events]


def test_two_rescues_in_one_second_keep_both_files(tmp_path, rescued):
    for content in (b"first " * 2000, b"second " * 2000):
        (tmp_path / "kiosk.db").write_bytes(content)
        rescued().close()
    kept = sorted(tmp_path.glob("kiosk.db.damaged-*"))
    assert [file.read_bytes()[:6] for file in kept] == [b"first ", b"second"]


def test_the_door_knows_everybody_right_after_a_rescue(tmp_path, rescued, open_store):
    old = open_store()
    session = Session("evening", "E", "UTC", NOON - NS, NOON + NS, late_at=NOON - NS)
    old.apply_remote("org/club/site/hall", "e1", [_person("ann"), _session(session)], 2).result()
    sent = old.record(check_in("ann")).result()
    old.settle([told(old, sent, "quarantined", "revoked")]).result()
    old.record(check_in("bob")).result()
    old.set_slot(Slot("sensor", 1, "ann", "active", NOON)).result()
    old.bind_sensor(SensorBinding("sensor", 4, weak=True)).result()
    old.set_note("seen", "yes").result()
    anchor = Anchor("boot", 5, NOON, 7)
    old.save_anchor(anchor).result()
    attendance = sorted(old.attendance("evening"), key=repr)
    old.close()
    path = tmp_path / "kiosk.db"
    _damage(path, (_root_page(path, "event_row") - 1) * 4096, 4096)
    store = rescued()
    assert [person.first_name for person in store.people()] == ["Ann"]
    assert store.sessions() == [session]
    assert sorted(store.attendance("evening"), key=repr) == attendance
    assert len(store.pending()) == 1
    assert store.quarantined() == 0, "another device's, the old one's"
    assert store.sensor_binding() == SensorBinding("sensor", 4, weak=True)
    assert (store.slots()[0].person, store.note("seen")) == ("ann", "yes")
    assert store.anchors() == [anchor]
    assert store.cursor("org/club/site/hall") is None, "everything is fetched again"


def test_a_moved_file_that_no_note_accounts_for_is_read_once(tmp_path, rescued, open_store):
    old = open_store()
    event = old.record(check_in()).result()
    old.close()
    (tmp_path / "kiosk.db").rename(tmp_path / "kiosk.db.damaged-20250101T000000Z")
    store = rescued()
    assert _unsent(store) == [event.id]
    assert rescue_note(store).unsent == 1
    store.settle([told(store, event, "ok")]).result()
    store.close()
    again = rescued()
    assert _unsent(again) == []
    assert rescue_note(again).unsent == 1


def test_an_old_file_never_changes_whose_finger_a_slot_is(tmp_path, rescued, open_store):
    old = open_store()
    old.set_slot(Slot("sensor", 1, "ann", "active", NOON)).result()
    old.set_slot(Slot("sensor", 2, "cem", "active", NOON)).result()
    old.close()
    (tmp_path / "kiosk.db").rename(tmp_path / "kiosk.db.damaged-20250101T000000Z")
    now = open_store()
    now.set_slot(Slot("sensor", 1, "bob", "active", NOON)).result()
    now.close()
    assert rescued().slots() == [Slot("sensor", 1, "bob", "active", NOON)]


@pytest.mark.parametrize(
    "spoil", [_emptied, lambda path: _damage(path, 0, 4096)], ids=["empty", "spoilt"]
)
def test_a_rescue_killed_at_any_step_is_finished_by_the_next_start(tmp_path, open_store, spoil):
    old = open_store(tmp_path / "kiosk.db")
    ids = [old.record(check_in(f"p{n}")).result().id for n in range(5)]
    old.set_slot(Slot("sensor", 1, "p1", "active", NOON)).result()
    _as_after_a_power_cut(old, tmp_path, spoil)
    for line in itertools.count():
        path = tmp_path / f"line-{line}" / "kiosk.db"
        shutil.copytree(tmp_path / "cut", path.parent)
        spoil(path)
        lived = killed_at_line(lambda path=path: _open(path).close(), [rescue.__file__], line)
        store = _open(path)
        try:
            assert set(_unsent(store)) == set(ids), f"killed at line {line}"
            assert [slot.person for slot in store.slots()] == ["p1"]
            assert rescue_note(store) is not None
        finally:
            store.close()
        if lived:
            break
    assert line > 50


def _open(path):
    return open_or_rescue(path, clock=FakeClock(), **PLACE)


def _directory(id_, offset, record, value):
    data = {"record": record, "id": value["id"], "rev": 1, "value": value}
    return encode_event(foreign(id_, offset, Kind.DIRECTORY, None, None, data=data))


def _person(id_):
    body = _directory("d1", 1, "person", {"id": id_, "first_name": id_.title()})
    return body, envelope(1)


def _session(session):
    return _directory("d2", 2, "session", msgspec.to_builtins(session)), envelope(2)
