from __future__ import annotations

import sqlite3

import pytest

from kiosk.model import decode_event
from kiosk.rescue import open_store as open_or_rescue
from kiosk.rescue import rescue_note
from kiosk.store import Slot
from tests.fakes import NOON
from tests.kiosk.test_store import check_in, told

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
    assert {decode_event(item.body).id for item in held} >= {event.id for event in events[100:]}
    assert note.unsent >= 200
    assert store.slots() == [Slot("sensor", 1, "p001", "active", NOON)]
    assert len(store.attendance("evening")) == note.unsent


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
