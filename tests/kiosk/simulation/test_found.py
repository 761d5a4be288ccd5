"""What the simulation has found, each in the small."""

from __future__ import annotations

import sqlite3

import msgspec
import pytest

from kiosk.model import Kind
from kiosk.pruning import CHAIN
from kiosk.store import Draft, Settled
from sync.client.endings import ending
from sync.client.exchange import Exchange, RestoredError
from sync.client.pacing import Pacing
from sync.hub.log import Log
from sync.hub.transaction import Submission
from sync.protocol import Events, Position, Reset
from tests.sync.auth.rig import stage
from tests.sync.rig import ORG, Author, TestClock, one_by_one


def _check_in(store, person):
    return store.record(Draft(Kind.CHECK_IN, "s", person)).result(5)


def test_a_chain_goes_on_at_its_last_place_though_older_events_came_back_later(open_store):
    one = open_store()
    events = [_check_in(one, person) for person in ("ann", "bob", "cem")]
    note = msgspec.json.encode([events[0].incarnation, 1, events[0].hash]).decode()
    one.set_note(CHAIN, note).result(5)
    one.close()
    with sqlite3.connect(one.path) as db:
        # Let go of, and fetched again when its session became news.
        db.execute("UPDATE event SET seq = 99 WHERE kseq = 1")
        db.execute("DELETE FROM outbox WHERE seq = 1")
    again = open_store()
    assert again.last_kseq() == 3
    fourth = _check_in(again, "dan")
    assert (fourth.kseq, fourth.prev) == (4, events[2].hash)


def test_a_spoilt_event_does_not_close_the_review_queue(store):
    event = _check_in(store, "ann")
    other = _check_in(store, "bob")
    verdicts = [Settled(held.seq, held.id, "quarantined", "malformed") for held in store.pending()]
    store.settle(verdicts).result(5)
    with sqlite3.connect(store.path) as db:
        db.execute("UPDATE event SET body = '{}' WHERE id = ?", (event.id,))
    asked = [item.ids for item in store.review_items() if item.kind == "quarantined"]
    assert asked == [(other.id,)]


@pytest.mark.parametrize(
    "message",
    [
        Events("r", "new", 0, 0, 0, live=True, items=[]),
        Reset("r", "new", 0),
        Position("r", "new", 3),
    ],
)
def test_a_hub_that_was_restored_meanwhile_is_greeted_anew(message):
    exchange = Exchange.__new__(Exchange)
    exchange._epoch = "old"
    with pytest.raises(RestoredError) as found:
        exchange._take(message)
    assert "brought back" in ending(found.value, None, Pacing()).reason


def test_what_was_set_apart_while_a_device_was_shut_out_is_taken_in_with_it(tmp_path):
    log = Log(tmp_path / "hub.db", TestClock())
    author = Author("front-door")
    bodies = [author.body(kind=Kind.OVERRIDE, data={"status": "absent"}), author.body()]

    def submitted():
        log.begin()
        judged = log.submit(Submission(ORG, "relay", bodies, signed=one_by_one(bodies)))
        log.commit()
        return [(one.verdict, one.code) for one in judged]

    try:
        log.revoked = frozenset({author.device})
        assert submitted() == [("quarantined", "revoked")] * 2
        log.revoked = frozenset()
        assert submitted() == [("ok", "")] * 2
        assert log._db.execute("SELECT count(*) FROM quarantine").fetchone() == (0,)
        codes = log._db.execute("SELECT instr(envelope, 'fork') FROM event").fetchall()
        assert codes == [(0,), (0,)]
    finally:
        log.close()


async def test_a_pairing_that_meets_a_full_disk_is_told_to_come_again(tmp_path, monkeypatch):
    async with stage(tmp_path) as hub:

        def full(*_):
            raise sqlite3.OperationalError("database or disk is full")

        monkeypatch.setattr(Log, "vouch", full)
        wish = hub.wish(hub.code())
        status, answer = await hub.post("/v1/pair", wish, None)
        assert (status, answer["code"]) == (429, "disk")
        monkeypatch.undo()
        assert (await hub.post("/v1/pair", wish, None))[0] == 200
