"""Which ids the log has had: found by their neighbourhood, or one by one where that is large."""

from __future__ import annotations

import contextlib
import random

import pytest

from kiosk.model import Event, encode_event, sealed, uuid7
from sync.hub.lookups import held, known
from sync.hub.tables import opened

NS = 1_000_000_000


@pytest.fixture
def db(tmp_path):
    with contextlib.closing(opened(tmp_path / "hub.db")) as connection:
        yield connection


def ids_of(chance, count, start):
    return [uuid7(start + n * NS, chance.randbytes(10)) for n in range(count)]


def put(db, ids, table="event"):
    db.execute("BEGIN")
    if table == "event":
        rows = [(n, id_, b"{}", b"{}") for n, id_ in enumerate(ids, 1)]
        db.executemany("INSERT INTO event VALUES (?, ?, ?, ?)", rows)
    else:
        db.executemany("INSERT INTO pruned VALUES (?, 'h', '{}')", [(id_,) for id_ in ids])
    db.execute("COMMIT")


@pytest.mark.parametrize("table", ["event", "pruned"])
@pytest.mark.parametrize("others", [0, 50, 5000])
@pytest.mark.parametrize("seed", range(4))
def test_of_a_batch_those_are_known_that_were_had(db, table, others, seed):
    chance = random.Random(seed)
    batch = ids_of(chance, 60, 10**18)
    had = [id_ for id_ in batch if chance.random() < chance.choice((0.1, 0.9))]
    strangers = [
        uuid7(10**18 + chance.randrange(60 * NS), chance.randbytes(10)) for _ in range(others)
    ]
    put(db, had + strangers, table)
    assert known(db, batch) & set(batch) == set(had)


def test_ids_that_are_no_times_hide_nothing(db):
    inside = ids_of(random.Random(1), 3000, 10**18)
    put(db, inside)
    wanted = ["", "\x00", "zzzz", inside[7], inside[2999], "'; DROP TABLE event"]
    assert known(db, wanted) & set(wanted) == {inside[7], inside[2999]}
    assert known(db, []) == set()


def test_a_fresh_batch_costs_a_look_and_not_one_for_each(db):
    chance = random.Random(5)
    put(db, ids_of(chance, 5000, 10**18))
    fresh = ids_of(chance, 500, 10**18 + 10**6 * NS)
    steps = 0

    def count():
        nonlocal steps
        steps += 1

    db.set_progress_handler(count, 10)
    assert known(db, fresh) == set()
    db.set_progress_handler(None, 0)
    assert steps < 20


def test_what_is_held_is_told_by_its_hash_also_once_it_was_let_go(db):
    event = sealed(Event("e1", "d", "i", 1, "check_in", "o", "r", 1, "UTC", "b", 1, synced=True))
    db.execute("INSERT INTO event VALUES (1, 'e1', ?, 'stamp')", (encode_event(event),))
    db.execute("INSERT INTO pruned VALUES ('e2', 'its hash', 'its stamp')")
    assert held(db, "e1") == (event.hash, "stamp")
    assert held(db, "e2") == ("its hash", "its stamp")
