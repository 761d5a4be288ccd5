"""Deaths in mid-write on real SQLite files: what was synced is there, and the file is whole."""

from __future__ import annotations

import contextlib
import random
import sqlite3

import pytest

from kiosk.simulation.disk import Death, Disk, Killed, Picture
from kiosk.storefile import connect


def _made(path, chance):
    path.parent.mkdir(parents=True)
    blank = connect(path)
    blank.execute("PRAGMA journal_mode = WAL")
    blank.execute("CREATE TABLE t (n INTEGER PRIMARY KEY, body BLOB)")
    blank.close()
    disk = Disk(path, chance)
    return disk, disk.wired(connect(path))


def _write(db, n, chance):
    db.execute("BEGIN IMMEDIATE")
    db.execute("INSERT INTO t VALUES (?, ?)", (n, chance.randbytes(chance.randint(10, 9000))))
    db.execute("COMMIT")


def _until_it_dies(db, chance):
    """How many writes were told to be done."""
    done = 0
    with contextlib.suppress(Killed):
        while True:
            _write(db, done + 1, chance)
            done += 1
    return done


def _woken(picture, path):
    picture.put(path)
    db = sqlite3.connect(path)
    try:
        assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        return [row[0] for row in db.execute("SELECT n FROM t ORDER BY n")]
    finally:
        db.close()


@pytest.mark.parametrize("how", list(Death))
def test_what_was_committed_survives_and_nothing_is_half_there(tmp_path, how):
    torn = 0
    for seed in range(40):
        chance = random.Random(seed)
        disk, db = _made(tmp_path / f"{how}{seed}" / "a.db", chance)
        disk.light(chance.randint(1, 90), how)
        done = _until_it_dies(db, chance)
        disk.bury()
        found = _woken(disk.left, tmp_path / f"{how}{seed}-again" / "a.db")
        assert found in (list(range(1, done + 1)), list(range(1, done + 2)))
        torn += disk.torn
    assert (torn > 3) is (how is Death.POWER)


def test_a_dead_disk_takes_nothing_more(tmp_path):
    disk, db = _made(tmp_path / "d" / "a.db", random.Random(1))
    disk.die(Death.KILL)
    with pytest.raises(Killed):
        db.execute("SELECT 1")
    disk.bury()


def test_a_disk_may_refuse_for_a_while(tmp_path):
    chance = random.Random(1)
    disk, db = _made(tmp_path / "d" / "a.db", chance)
    disk.refuse(1)
    with pytest.raises(sqlite3.OperationalError, match="disk I/O error"):
        _write(db, 1, chance)
    _write(db, 2, chance)
    assert db.execute("SELECT n FROM t").fetchall() == [(2,)]
    disk.bury()


def test_without_waiting_for_the_disk_commits_are_lost(tmp_path):
    lost = 0
    for seed in range(10):
        chance = random.Random(seed)
        path = tmp_path / str(seed) / "a.db"
        _, db = _made(path, chance)
        db.execute("PRAGMA synchronous = NORMAL")
        disk = Disk(path, chance)
        db = disk.wired(db._connection)
        for n in range(5):
            _write(db, n, chance)
        disk.die(Death.POWER)
        disk.bury()
        lost += len(_woken(disk.left, tmp_path / f"{seed}-again" / "a.db")) < 5
    assert lost > 5


def test_a_picture_is_what_was_taken(tmp_path):
    Picture(b"main", b"log", {"a.key": b"secret"}).put(tmp_path / "p" / "x.db")
    again = Picture.of(tmp_path / "p" / "x.db")
    assert (again.main, again.log, again.beside) == (b"main", b"log", {"a.key": b"secret"})
