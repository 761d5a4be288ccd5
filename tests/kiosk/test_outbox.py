"""The outbox: what it holds is counted right whatever happens, and nothing scans the log for it."""

from __future__ import annotations

import contextlib
import random
import sqlite3

import pytest

from kiosk import bulk, outbox
from kiosk.model import Envelope, Kind
from kiosk.outbox import Outbox
from kiosk.schema import migrate
from kiosk.store import Draft, Settled, StoreError


@pytest.fixture
def db():
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrate(connection)
        yield connection


def put(db, seq, incarnation, kseq):
    row = (seq, f"id{seq}", "d", incarnation, kseq, "check_in", None, None, 1000 + seq, 0, 0, b"{}")
    db.execute("INSERT INTO event VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)


def queued(db):
    return [row[0] for row in db.execute("SELECT seq FROM outbox ORDER BY seq")]


def test_its_length_is_that_of_the_last_commit(db):
    box = Outbox(db)
    for seq in (1, 2, 3, 5):
        box.add(seq)
    assert box.length == 0
    box.committed()
    assert box.length == 4
    box.drop([1, 2])  # a span without a hole
    box.drop([3, 4, 5, 9])  # one with holes, of which some were never queued
    box.rolled_back()
    box.committed()
    assert box.length == 4
    assert Outbox(db).length == 0


def test_what_another_hand_wrote_is_counted_anew(db):
    box = Outbox(db)
    db.execute("INSERT INTO outbox VALUES (7)")
    box.recount()
    box.committed()
    assert box.length == 1


@pytest.mark.parametrize("seed", range(60))
def test_what_is_queued_again_is_what_lies_above_and_is_not_queued(db, seed):
    chance = random.Random(seed)
    kseqs = {"now": 0, "before": 0}
    for seq in range(1, chance.randint(2, 40)):
        incarnation = chance.choice(("now", "now", "now", "before"))
        kseqs[incarnation] += 1
        put(db, seq, incarnation, kseqs[incarnation])
    everything = [row[0] for row in db.execute("SELECT seq FROM event")]
    kept = chance.choice((everything, everything[chance.randrange(len(everything)) :], []))
    kept = [seq for seq in kept if chance.random() < chance.choice((0.5, 1.0))]
    bulk.insert(db, "INSERT INTO outbox", [(seq,) for seq in kept])
    box = Outbox(db)
    above = chance.randint(0, kseqs["now"] + 1)
    wanted = db.execute(
        "SELECT seq FROM event WHERE incarnation = 'now' AND kseq > ?", (above,)
    ).fetchall()
    wanted = {row[0] for row in wanted}
    assert box.again("now", above, kseqs["now"] - above) == len(wanted - set(kept))
    assert set(queued(db)) == set(kept) | wanted
    box.committed()
    assert box.length == len(queued(db))
    before = {r[0] for r in db.execute("SELECT seq FROM event WHERE incarnation = 'before'")}
    box.again("before", 0)
    assert set(queued(db)) >= before


def test_a_kiosk_that_has_sent_all_reads_nothing_to_see_what_to_offer_again(db):
    for seq in range(1, 2000):
        put(db, seq, "now", seq)
    box = Outbox(db)
    steps = 0

    def count():
        nonlocal steps
        steps += 1

    db.set_progress_handler(count, 10)
    assert box.again("now", 1999, 0) == 0
    assert steps == 0
    assert box.again("now", 1996, 3) == 3
    assert steps < 50
    steps = 0
    assert box.again("now", 1996, 3) == 0
    assert steps < 50
    db.set_progress_handler(None, 0)
    assert queued(db) == [1997, 1998, 1999]


def test_those_set_apart_are_found_without_a_look_at_all_others(db):
    for seq in range(1, 500):
        put(db, seq, "now", seq)
    bulk.insert(
        db,
        "INSERT INTO stamp",
        [(n, 0, 0, None, "right" if n < 4 else None) for n in range(1, 400)],
    )
    steps = 0

    def count():
        nonlocal steps
        steps += 1

    db.set_progress_handler(count, 10)
    assert outbox.quarantined(db, "d") == 3
    assert outbox.quarantined(db, "another") == 0
    db.set_progress_handler(None, 0)
    assert steps < 50


def test_what_is_held_is_right_after_every_commit_and_every_failure(store):
    seen = []

    def counted(_):
        rows = store._read("SELECT count(*), min(seq) FROM outbox")
        seen.append((store.held()[0], rows[0][0]))

    store.on_commit(counted)
    events = [store.record(Draft(Kind.CHECK_IN, "s", f"p{n}")).result(5) for n in range(5)]
    with pytest.raises(StoreError):
        store.record_many(
            [Draft(Kind.CHECK_IN, "s"), Draft(Kind.CHECK_IN, data={"x": object()})]
        ).result(5)
    held = store.pending()
    stamp = Envelope("e", 1, 2, 3, 4)
    store.settle([Settled(one.seq, one.id, "ok", envelope=stamp) for one in held[1:3]]).result(5)
    store.settle([Settled(one.seq, one.id, "dup", envelope=stamp) for one in held[:4]]).result(5)
    assert store.reoffer(events[0].incarnation, 2).result(5) == 2
    assert store.reoffer(events[0].incarnation, 5).result(5) == 0
    assert (
        [count for count, _ in seen] == [count for _, count in seen] == [1, 2, 3, 4, 5, 3, 1, 3, 3]
    )
    assert store.held() == (3, events[2].wall)


@pytest.mark.parametrize("count", [0, 1, 49, 50, 51, 120])
def test_many_rows_are_inserted_in_order_and_whole(db, count):
    rows = [(f"k{n}", f"v{n}") for n in range(count)]
    bulk.insert(db, "INSERT INTO meta", rows)
    assert sorted(db.execute("SELECT key, value FROM meta")) == sorted(rows)
    bulk.insert(db, "INSERT OR REPLACE INTO meta (key, value)", [(key, "new") for key, _ in rows])
    assert {value for _, value in db.execute("SELECT key, value FROM meta")} == (
        {"new"} if rows else set()
    )


def test_a_row_that_cannot_be_inserted_is_the_callers_to_undo(db):
    db.execute("BEGIN")
    with pytest.raises(sqlite3.IntegrityError):
        bulk.insert(db, "INSERT INTO outbox", [(n % 70,) for n in range(100)])
    db.execute("ROLLBACK")
    assert queued(db) == []
