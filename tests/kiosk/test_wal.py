"""The reader of write-ahead logs against SQLite's own."""

from __future__ import annotations

import contextlib
import sqlite3

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiosk.wal import committed, rebuilt


@pytest.fixture
def logged(tmp_path):
    """A database whose every page is still in its log: the files' bytes while it is open."""
    path = tmp_path / "x.db"
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA wal_autocheckpoint = 0")
    db.execute("CREATE TABLE t (n INTEGER PRIMARY KEY, text TEXT)")
    db.executemany("INSERT INTO t VALUES (?, ?)", [(n, "x" * 100) for n in range(500)])
    yield db, path.read_bytes, (tmp_path / "x.db-wal").read_bytes
    db.close()


def read(image):
    with contextlib.closing(sqlite3.connect(":memory:")) as db:
        db.deserialize(image)
        return [row[0] for row in db.execute("SELECT n FROM t ORDER BY n")]


def test_a_lost_database_is_rebuilt_from_its_log_alone(logged):
    _, _, log = logged
    pages, count = committed(log())
    assert set(pages) == set(range(1, count + 1))
    assert read(rebuilt(b"", log(), b"")) == list(range(500))


def test_what_was_not_committed_is_not_there(logged):
    db, main, log = logged
    db.execute("BEGIN")
    db.execute("PRAGMA cache_size = 1")  # spills pages into the log before the commit
    db.executemany("INSERT INTO t VALUES (?, ?)", [(n, "y" * 3000) for n in range(500, 900)])
    assert read(rebuilt(main(), log(), b"")) == list(range(500))
    db.execute("COMMIT")
    assert read(rebuilt(main(), log(), b"")) == list(range(900))


def test_a_torn_or_damaged_frame_ends_the_reading_at_the_commit_before(logged):
    _, _, log = logged
    whole = log()
    assert read(rebuilt(b"", whole[:-100], b"")) == list(range(499))
    spoilt = bytearray(whole)
    spoilt[-50] ^= 1
    assert read(rebuilt(b"", bytes(spoilt), b"")) == list(range(499))


def test_the_first_page_of_a_blank_database_stands_in_for_a_spoilt_one(logged):
    db, main, _ = logged
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    whole = main()
    spoilt = b"x" * 4096 + whole[4096:]
    assert read(rebuilt(spoilt, b"", whole[:4096] + b"other" * 4096)) == list(range(500))


@settings(max_examples=200)
@given(st.binary(max_size=300))
def test_any_bytes_at_all_are_read_without_raising(data):
    assert committed(data) == ({}, 0)
