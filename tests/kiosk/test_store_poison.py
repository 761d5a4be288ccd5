"""What is wrong with single events, bodies and files: it stops nothing but itself."""

from __future__ import annotations

import contextlib
import sqlite3

import msgspec
import pytest

from kiosk.clock import NS
from kiosk.model import (
    Kind,
    Presence,
    encode_event,
)
from kiosk.store import (
    StoreDamagedError,
    StoreFullError,
)
from tests.fakes import NOON
from tests.kiosk.test_store import check_in, envelope, foreign, told

HUGE = 10**30


def record_event(id_, rev, value, record="person"):
    data = {"record": record, "id": "ann", "rev": rev, "value": value}
    return foreign(id_, 1, Kind.DIRECTORY, None, None, data=data)


def set_apart(store):
    return store._read("SELECT offset, body FROM undecodable ORDER BY offset")


def poisons():
    ann = {"id": "ann", "first_name": "Ann"}
    wide = {"id": "s", "title": "S", "zone": "UTC", "starts": 0, "ends": HUGE}
    override = {"status": "present", "arrival": HUGE}
    deep = encode_event(foreign("deep")).replace(
        b'{"method":"finger"}', b'{"a":' * 5000 + b"1" + b"}" * 5000
    )
    return {
        "rev": (encode_event(record_event("x", HUGE, ann)), envelope(1)),
        "session": (encode_event(record_event("x", 1, wide, "session")), envelope(1)),
        "kseq": (encode_event(foreign("x", HUGE)), envelope(1)),
        "wall": (encode_event(msgspec.structs.replace(foreign("x"), wall=HUGE)), envelope(1)),
        "envelope": (encode_event(foreign("x")), envelope(1, low=HUGE)),
        "offset": (encode_event(foreign("x", HUGE)), envelope(HUGE)),
        "times": (encode_event(foreign("x", kind=Kind.OVERRIDE, data=override)), envelope(1)),
        "deep": (deep, envelope(1)),
    }


@pytest.mark.parametrize("name", poisons())
def test_no_single_event_stops_those_beside_it(store, name):
    page = [
        (encode_event(foreign("f1", 5, person="bob")), envelope(1)),
        poisons()[name],
        (encode_event(foreign("f2", 6, person="cem")), envelope(3)),
    ]
    for _ in range(3):
        store.apply_remote("room", "e1", page, 3).result()
    assert {"bob", "cem"} <= {row.person for row in store.attendance("evening")}
    assert store.cursor("room") == ("e1", 3)
    assert len(set_apart(store)) <= 1
    assert store.record(check_in("dia")).result().kseq == 1


def test_what_the_disk_refuses_is_not_put_aside(store, monkeypatch):
    real = store._ledger._insert

    def full(*args):
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error

    monkeypatch.setattr(store._ledger, "_insert", full)
    page = [(encode_event(foreign()), envelope(1))]
    with pytest.raises(StoreFullError):
        store.apply_remote("room", "e1", page, 1).result()
    assert (set_apart(store), store.cursor("room")) == ([], None)
    monkeypatch.setattr(store._ledger, "_insert", real)
    store.apply_remote("room", "e1", page, 1).result()
    assert len(store.attendance("evening")) == 1


def test_an_event_twice_in_one_page_is_one(store):
    body = encode_event(foreign())
    page = [(body, envelope(1)), (body, envelope(2, low=NOON - NS))]
    store.apply_remote("room", "e1", page, 2).result()
    assert set_apart(store) == []
    (row,) = store.attendance("evening")
    assert row.arrival == (NOON - NS, NOON - NS)


def test_a_verdict_with_an_envelope_that_cannot_be_still_settles_its_event(store):
    event = store.record(check_in()).result()
    store.settle([told(store, event, "ok", stamp=envelope(low=HUGE))]).result()
    assert store.held() == (0, None)
    assert len(store.attendance("evening")) == 1


SPOIL = "UPDATE event SET body = X'78FF' WHERE id = ?"


def test_an_unreadable_body_stops_neither_the_line_nor_its_person(store, caplog):
    first = store.record(check_in()).result()
    store._execute((SPOIL, (first.id,))).result()
    assert store.held() == (1, NOON)
    assert [held.id for held in store.pending()] == [first.id]
    store.record(check_in()).result()
    store.record(check_in()).result()
    (row,) = store.attendance("evening")
    assert row.presence is Presence.INSIDE
    assert caplog.text.count("cannot be read") == 1


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE event SET body = X'78FF'",
        "DELETE FROM meta WHERE key = 'device'",
        "DROP TABLE outbox",
        "DROP TABLE anchor",
        "DROP TABLE _sqlite_migrations",
        "ALTER TABLE event RENAME COLUMN kseq TO k",
        "INSERT INTO directory VALUES ('session', 's', 1, 'e', X'78FF')",
    ],
)
def test_whatever_of_it_is_missing_or_unreadable_the_database_is_called_damaged(
    tmp_path, open_store, damage
):
    store = open_store()
    store.record(check_in()).result()
    store.close()
    with contextlib.closing(sqlite3.connect(tmp_path / "kiosk.db")) as db:
        db.execute(damage)
        db.commit()
    with pytest.raises(StoreDamagedError):
        open_store()
    with pytest.raises(StoreDamagedError):  # and not "in use"
        open_store()
