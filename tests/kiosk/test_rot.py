"""Cells that a card has spoilt: no traceback, whichever it is and whatever stands there now."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import sqlite3

import pytest

from kiosk import schema
from kiosk.clock import NS, Anchor
from kiosk.errors import KioskError
from kiosk.glance import glance
from kiosk.hubs import Hub
from kiosk.model import Kind, Person, encode_event
from kiosk.pruning import Safe
from kiosk.records import Carried, SensorBinding, Slot
from kiosk.rescue import open_store, rescue_note
from kiosk.slots import StoredSlots
from kiosk.store import Draft, Store, StoreForeignError
from tests.fakes import NOON, FakeClock
from tests.kiosk.test_desk import directory
from tests.kiosk.test_store import check_in, envelope, foreign, told

WHO = {"org": "club", "site": "hall", "zone": "Europe/London"}
ROT = {
    "utf-8": "CAST(x'fffe' AS TEXT)",
    "whole": "7",
    "bytes": "x'00ff'",
    "json": "'{\"a\":'",
}
LIST = """
SELECT m.name, c.name FROM sqlite_master m JOIN pragma_table_info(m.name) c
WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite%' AND c.name NOT IN ('seq', 'one')
AND m.name || c.name <> '_sqlite_migrationsid'
"""


def cells():
    """Every table and column of a kiosk's database but for row numbers, which are no cells."""
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        schema.migrate(db)
        return [f"{table}.{column}" for table, column in db.execute(LIST)]


def record(id_, rev, kind, value):
    data = {"record": kind, "id": id_, "rev": rev, "value": value}
    return encode_event(foreign(f"{kind}-{id_}", rev, Kind.DIRECTORY, None, None, data=data))


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A kiosk's folder with something in every table."""
    folder, clock = tmp_path_factory.mktemp("sound"), FakeClock()
    store = Store.open(folder / "kiosk.db", clock=clock, **WHO)
    evening = {
        "id": "evening",
        "title": "Evening",
        "zone": "UTC",
        "starts": NOON,
        "ends": NOON + NS,
    }
    items = [(record("evening", 50, "session", evening), envelope(50))]
    items += directory([Person("ann", "Ann"), Person("bob", "Bob")], 51)
    items += [
        (record("site", 60, "policy", {"grace": 5, "capacity": 1}), envelope(60)),
        (record("door", 61, "device", {"place": "hall", "name": "Door"}), envelope(61)),
        (record("ada", 62, "staff", {"name": "Ada", "rank": 3}), envelope(62)),
        (record("old", 63, "merged", "ann"), envelope(63)),
        (encode_event(foreign("far", 64, person="old")), envelope(64)),
        (encode_event(foreign("strange", 65, person="eve", session="other")), envelope(65)),
        (b"no event", envelope(66)),
    ]
    store.apply_remote("org/club/site/hall", "e1", items, 66).result()
    event = store.record(check_in("ann")).result()
    store.settle([told(store, event, "quarantined", stamp=envelope(67))]).result()
    store.record(check_in("bob")).result()
    store.record(Draft(Kind.SESSION_CLOSED, "evening")).result()
    store.record(Draft(Kind.CONSENT, None, "ann", data={"given": True})).result()
    carried = foreign("carried", 70, person="cem")
    anchor = Anchor(clock.boot, clock.ticks(), NOON, 1000)
    store.carry([Carried(carried, encode_event(carried), "ab", "cd")], [anchor]).result()
    store.save_anchor(anchor).result()
    store.set_slot(Slot("sensor-1", 1, "ann", "active", NOON, "d1")).result()
    store.bind_sensor(SensorBinding("sensor-1", 1, weak=False)).result()
    store.meet(Hub("ab" * 32, "cd")).result()
    store.apply_remote("org/club/site/hall", "e1", [], 66).result()
    for note in ("gaps", "chain", "rescue", "pairing", "came"):
        store.set_note(note, store.note(note) or "").result()
    put = "INSERT INTO pruned VALUES ('gone', 'ann', '[\"x\"]')"
    store._execute((put, ())).result()
    put = "INSERT OR REPLACE INTO review VALUES ('evening', 'ann', CAST('[]' AS BLOB))"
    store._execute((put, ())).result()
    store.close()
    return folder


def _glanced(store):
    with glance(store.path) as records:
        records.people(), records.sessions(), records.entries("sensor-1"), records.binding()
        records.personal_events("ann", Kind.CONSENT), records.latest(Kind.CHECK_IN, 5)
        return records.last_heard_of()


READERS = {
    "pending": lambda s: s.pending(),
    "signatures": lambda s: s.signatures([1, 2, 3]),
    "held": lambda s: s.held(),
    "quarantined": lambda s: s.quarantined(),
    "cursor": lambda s: s.cursor("org/club/site/hall"),
    "rooms": lambda s: s.rooms(),
    "anchors": lambda s: s.anchors(),
    "carried_anchors": lambda s: s.carried_anchors(),
    "people": lambda s: s.people(),
    "sessions": lambda s: s.sessions(),
    "staff": lambda s: s.records("staff"),
    "attendance": lambda s: s.attendance("evening"),
    "session_state": lambda s: s.session_state("evening"),
    "merged": lambda s: s.merged(),
    "review_items": lambda s: s.review_items(),
    "names": lambda s: s.names(),
    "lacking": lambda s: s.lacking(),
    "slots": lambda s: StoredSlots(s, FakeClock()).entries("sensor-1"),
    "glance": _glanced,
    "sensor_binding": lambda s: s.sensor_binding(),
    "event_ids": lambda s: s.event_ids(),
    "row_events": lambda s: s.row_events("evening", "ann"),
    "personal_events": lambda s: s.personal_events("ann", Kind.CONSENT),
    "note": lambda s: s.note("hub"),
    "rescue_note": rescue_note,
}
WRITERS = {
    "known person": lambda s: s.record(check_in("ann")),
    "stranger": lambda s: s.record(check_in("zoe")),
    "decision": lambda s: s.record(
        Draft(Kind.OVERRIDE, "evening", "ann", data={"status": "present"})
    ),
    "reopened": lambda s: s.record(Draft(Kind.SESSION_REOPENED, "evening")),
    "page": lambda s: s.apply_remote(
        "r", "e1", [(encode_event(foreign("late", 90, person="ann")), envelope(90))], 90
    ),
    "settled": lambda s: s.settle(
        [told(s, s.row_events("evening", "zoe")[0], "ok", stamp=envelope(91))]
    ),
    "offered again": lambda s: s.reoffer(s.identity.incarnation, 0),
    "anchor": lambda s: s.save_anchor(Anchor("other", 5, NOON, 1000)),
    "pruned": lambda s: s.prune(Safe("e1", NOON), NOON + 500 * 86_400 * NS),
    "slot": lambda s: s.set_slot(Slot("sensor-1", 2, "bob", "active", NOON, "")),
    "hub": lambda s: s.meet(Hub("cd" * 32, "ef")),
}


def spoil(folder, cell, value):
    """Replace a column's cells, as far as SQLite can still read it all; whether any was."""
    table, column = cell.split(".")
    with contextlib.closing(sqlite3.connect(folder / "kiosk.db", isolation_level=None)) as db:
        # All cells, or one where a key must stay unique.
        for where in ("", f" WHERE {column} = (SELECT max({column}) FROM {table})"):  # noqa: S608  names of our schema
            with contextlib.suppress(sqlite3.IntegrityError, sqlite3.DataError):
                return db.execute(f"UPDATE {table} SET {column} = {value}{where}").rowcount > 0  # noqa: S608  the same
    return False


def tried(store):
    """Do all that a kiosk does with its store; what escapes, and who is kept out."""
    raw, refused = [], []
    for what, do in (READERS | WRITERS).items():
        try:
            result = do(store)
            if what in WRITERS:
                result.result(20)
        except KioskError as error:
            refused.append((what, str(error)))
        except Exception as error:  # noqa: BLE001  whatever escapes is what this is about
            raw.append((what, repr(error)))
    return raw, refused


def plan():
    """Each cell with two kinds of rot: as a start finds it, or as a running kiosk meets it."""
    others = itertools.cycle(value for value in ROT if value != "utf-8")
    for number, cell in enumerate(cells()):
        yield cell, "utf-8", bool(number % 2)
        yield cell, next(others), not number % 2


@pytest.mark.parametrize(("cell", "rot", "live"), list(plan()))
def test_a_spoilt_cell_stops_no_kiosk(sound, tmp_path, cell, rot, live):
    shutil.copytree(sound, folder := tmp_path / "kiosk")
    if not live:
        assert spoil(folder, cell, ROT[rot])
    with contextlib.ExitStack() as stack:
        try:
            store = open_store(folder / "kiosk.db", clock=FakeClock(), **WHO)
        except StoreForeignError:
            assert cell == "meta.value", "whole text in the place of another's name is another's"
            return
        stack.callback(store.close)
        if live:
            assert spoil(folder, cell, ROT[rot])
        raw, refused = tried(store)
        assert raw == []
        assert "stranger" not in dict(refused), "whoever has nothing to do with it is let in"


def test_what_is_spoilt_beside_it_does_not_hide_an_event_from_the_rescue(sound, tmp_path):
    shutil.copytree(sound, folder := tmp_path / "kiosk")
    query = "SELECT count(*) FROM event"
    with contextlib.closing(sqlite3.connect(folder / "kiosk.db")) as db, db:
        (before,) = db.execute(query).fetchone()
        # The identity is lost, so all is read out of the file; and so are two rows in its midst.
        db.execute("UPDATE meta SET value = CAST(x'fffe' AS TEXT) WHERE key = 'device'")
        db.execute("UPDATE event SET body = x'00' WHERE seq = 3")
        db.execute("UPDATE event SET low = CAST(x'fffe' AS TEXT) WHERE seq = 4")
        db.execute("UPDATE directory SET value = x'00' WHERE id = 'bob'")
    with contextlib.closing(open_store(folder / "kiosk.db", clock=FakeClock(), **WHO)) as store:
        assert rescue_note(store) is not None
        assert store._read(query)[0][0] == before - 2
        assert [person.id for person in store.people()] == ["ann"]
        assert not tried(store)[0]
