"""A check-in's commit in the store's writer thread, against the bare transaction it contains."""

from __future__ import annotations

import sqlite3
import statistics
import tempfile
import time
from pathlib import Path

from kiosk import schema
from kiosk.clock import SystemClock
from kiosk.model import Kind
from kiosk.store import Draft, Store
from tests.bench.line import Line

ROUNDS, EACH = 9, 200
_BODY = b"x" * 420  # about the size of an event
_EVENT = (
    "INSERT INTO event (id, device, incarnation, kseq, kind, session, person, wall, low,"
    " high, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


def run() -> list[Line]:
    with tempfile.TemporaryDirectory() as folder:
        return _measure(Path(folder))


def _measure(folder: Path) -> list[Line]:
    store = Store.open(folder / "k.db", org="o", site="s", clock=SystemClock(), zone="UTC")
    floor = _floor_database(folder / "floor.db")
    ours: list[float] = []
    bare: list[float] = []
    try:
        for number in range(ROUNDS):
            ours += _store_round(store, number)
            bare += _floor_round(floor, number)
    finally:
        floor.close()
        store.close()
    value, base = statistics.median(ours), statistics.median(bare)
    return [
        Line(
            "check_in_commit", round(value * 1e6, 1), "us", round(base * 1e6, 1), "lower", 2.0, 1.3
        )
    ]


def _store_round(store: Store, number: int) -> list[float]:
    """Seconds of each transaction inside the writer thread; the queue's hop is not the disk's."""
    took: list[float] = []
    transact = store._ledger.transact

    def timed(work):
        began = time.perf_counter()
        result = transact(work)
        took.append(time.perf_counter() - began)
        return result

    store._ledger.transact = timed  # type: ignore[method-assign]
    try:
        for n in range(EACH):
            draft = Draft(Kind.CHECK_IN, "s", f"p{number}-{n}", data={"method": "finger"})
            store.record(draft).result()
    finally:
        store._ledger.transact = transact  # type: ignore[method-assign]
    return took


def _floor_database(path: Path) -> sqlite3.Connection:
    """The product's own tables, so that the floor pays for the same pages and the same index."""
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    schema.migrate(db)
    return db


def _floor_round(db: sqlite3.Connection, number: int) -> list[float]:
    took: list[float] = []
    for n in range(EACH):
        id_ = f"0195f1c0-0000-7000-8000-{number:06}{n:06}"
        row = (id_, "d", "i", n, "check_in", "s", f"p{number}-{n}", n, n, n, _BODY)
        began = time.perf_counter()
        db.execute("BEGIN IMMEDIATE")
        seq = db.execute(_EVENT, row).lastrowid
        db.execute("INSERT INTO outbox VALUES (?)", (seq,))
        db.execute("COMMIT")
        took.append(time.perf_counter() - began)
    return took
