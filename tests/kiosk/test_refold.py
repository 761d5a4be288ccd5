"""Rows that an earlier version folded by other rules are folded anew, a few at a time."""

from __future__ import annotations

import random
import sqlite3
import threading
from contextlib import closing

import msgspec
import pytest

from kiosk import folding, ledger, refold
from kiosk.model import Author, Kind, Presence, Status
from kiosk.store import Draft, Store, StoreFullError
from tests.fakes import FakeClock
from tests.killed import killed_at_line, quick_folder

PEOPLE = 130
WHERE = {"org": "club", "site": "hall", "zone": "Europe/London"}


class Stepped(Store):
    """A store whose jobs are done when they are asked for, in the order of the real one's."""

    def _start(self):
        pass

    def _halt(self):
        pass

    def do(self, jobs=1):
        """Do the next jobs; whether there were as many."""
        for _ in range(jobs):
            if self._jobs.empty():
                return False
            self._perform(self._jobs.get_nowait()[2])
        return True


def opened(path, kind=Stepped):
    store = kind.open(path, clock=FakeClock(), **WHERE)
    store.on_commit(lambda _: None)
    return store


def filled(path):
    """A database with check-ins, decisions and a merged person; what its rows must come to."""
    store = opened(path)
    with closing(store):
        for n in range(PEOPLE):
            store.record(Draft(Kind.CHECK_IN, f"s{n % 3}", f"p{n}"))
        for n in range(0, PEOPLE, 10):
            by = Author(role="staff", staff="ines", rank=2)
            said = {"status": "excused"}
            store.record(Draft(Kind.OVERRIDE, f"s{n % 3}", f"p{n}", by=by, data=said))
        store.record(Draft(Kind.MERGED, data={"person": "p3", "into": "p6", "rev": 1}))
        while store.do():
            pass
        return rows(path)


def rows(path):
    with closing(sqlite3.connect(path)) as db:
        return db.execute("SELECT session, person, body FROM attendance ORDER BY 1, 2").fetchall()


def note(path):
    with closing(sqlite3.connect(path)) as db:
        return db.execute("SELECT value FROM meta WHERE key = 'folded'").fetchone()[0]


def outdated(path):
    """As a version left it whose rules were others, and that knew nothing of merged persons."""
    with closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE meta SET value = '0' WHERE key = 'folded'")
        db.execute("DELETE FROM directory WHERE record = 'merged'")
        for session, person, body in db.execute("SELECT session, person, body FROM attendance"):
            old = msgspec.json.decode(body) | {"status": "late"}
            put = "UPDATE attendance SET status = 'late', body = ? WHERE session = ? AND person = ?"
            db.execute(put, (msgspec.json.encode(old), session, person))
        lone = {"session": "s0", "person": "p3", "status": "late", "presence": "inside"}
        put = "INSERT INTO attendance VALUES ('s0', 'p3', 'late', 'inside', NULL, NULL, ?)"
        db.execute(put, (msgspec.json.encode(lone),))
        db.commit()


@pytest.fixture
def old(tmp_path):
    """An outdated database, and what its rows must come to."""
    path = tmp_path / "kiosk.db"
    wanted = filled(path)
    outdated(path)
    assert rows(path) != wanted
    return path, wanted


def test_a_new_database_needs_none(tmp_path):
    store = opened(tmp_path / "kiosk.db")
    with closing(store):
        assert not store.do()
    assert note(tmp_path / "kiosk.db") == refold.RULES


def test_it_waits_until_somebody_hears_of_it(old):
    path, _ = old
    store = Stepped.open(path, clock=FakeClock(), **WHERE)
    with closing(store):
        assert not store.do()
        store.on_commit(lambda _: None)
        store.on_commit(lambda _: None)
        assert store.do()


def test_all_rows_are_folded_anew_the_newest_first_and_told_in_small_parts(old):
    path, wanted = old
    store = opened(path)
    told = []
    store.on_commit(told.append)
    with closing(store):
        assert store.do()
        first = {row.person for change in told for row in change.rows}
        assert {"p6", "p120"} <= first  # the merged person's, and the last decisions'
        assert "p1" not in first
        while store.do():
            pass
    assert max(len(change.rows) for change in told) <= refold.SLICE
    assert rows(path) == wanted
    assert note(path) == refold.RULES


def test_who_checks_in_meanwhile_waits_for_no_more_than_one_slice(old):
    path, wanted = old
    store = opened(path)
    with closing(store):
        store.do()
        came = store.record(Draft(Kind.CHECK_IN, "s0", "late-comer"))
        assert store.do()
        assert came.done()
        assert note(path).startswith(f"{refold.RULES} ")
        (row,) = [row for row in store.attendance("s0") if row.person == "late-comer"]
        assert (row.status, row.presence) == (Status.PRESENT, Presence.INSIDE)
        while store.do():
            pass
    assert [row for row in rows(path) if row[1] != "late-comer"] == wanted


def test_the_real_writer_does_it_by_itself_while_it_takes_check_ins(old, open_store):
    path, wanted = old
    store = open_store(path)
    done = threading.Event()
    store.on_commit(lambda _: done.set() if not store._ledger.refold.due else None)
    for n in range(20):
        store.record(Draft(Kind.CHECK_IN, "s9", f"new-{n}")).result(10)
    # The last slice is heard of only with the commit behind it.
    while store._ledger.refold.due:
        store.record(Draft(Kind.HELP)).result(10)
    store.record(Draft(Kind.HELP)).result(10)
    assert done.wait(10)
    assert [row for row in rows(path) if row[0] != "s9"] == wanted


@pytest.mark.parametrize("seed", range(6))
def test_killed_anywhere_it_is_gone_on_with_where_it_was(seed):
    chance = random.Random(seed)
    files = [refold.__file__, ledger.__file__, folding.__file__]
    with quick_folder() as folder:
        path = folder / "kiosk.db"
        wanted = filled(path)
        outdated(path)
        below, kills = [], 0
        while not killed_at_line(lambda: _folded_on(path), files, chance.randrange(1200)):
            kills += 1
            place = note(path).partition(" ")[2]
            below += [int(place)] if place else []
        assert kills
        assert below == sorted(below, reverse=True)
        assert rows(path) == wanted
        assert note(path) == refold.RULES


def _folded_on(path):
    store = opened(path)
    with closing(store):
        while store.do():
            pass


def test_a_full_disk_holds_it_up_until_the_next_commit_that_succeeds(old, monkeypatch):
    path, wanted = old
    store = opened(path)
    with closing(store):
        monkeypatch.setattr(refold, "_PAUSE", 0)
        taken = store._ledger._folding._fold
        monkeypatch.setattr(store._ledger._folding, "_fold", _full)
        assert store.do()
        assert not store.do()  # it does not try for ever
        waiting = store.record(Draft(Kind.CHECK_IN, "s0", "p1"))
        store.do()
        with pytest.raises(StoreFullError):
            waiting.result(0)
        monkeypatch.setattr(store._ledger._folding, "_fold", taken)
        store.set_note("any", "thing")
        while store.do():
            pass
    assert rows(path) == wanted
    assert note(path) == refold.RULES


def _full(*_):
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL
    raise error


def test_a_row_that_cannot_be_folded_stays_as_it_was_and_stops_no_other(old, monkeypatch, caplog):
    path, wanted = old
    store = opened(path)
    with closing(store):
        fold = store._ledger._folding._fold

        def picky(session, people, touched):
            if "p7" in people:
                raise ValueError("a fault of ours")
            fold(session, people, touched)

        monkeypatch.setattr(store._ledger._folding, "_fold", picky)
        while store.do():
            pass
    found = {row[:2]: row[2] for row in rows(path)}
    strange = [key for *key, body in wanted if found[tuple(key)] != body]
    assert strange == [["s1", "p7"]]
    assert "stays as it was" in caplog.text
    assert note(path) == refold.RULES


def test_the_half_done_work_of_other_rules_is_begun_anew(old, monkeypatch):
    path, wanted = old
    with monkeypatch.context() as newer:
        newer.setattr(refold, "RULES", "2")
        store = opened(path)
        with closing(store):
            store.do()
        assert note(path).startswith("2 ")
    store = opened(path)
    with closing(store):
        while store.do():
            pass
    assert rows(path) == wanted
    assert note(path) == refold.RULES
