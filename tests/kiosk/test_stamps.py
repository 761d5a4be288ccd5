"""What the hub remarks on an accepted event reaches its row, though nothing else has changed."""

from __future__ import annotations

import contextlib

import pytest

from kiosk.model import Envelope, Flag, Kind, encode_event, session_room
from kiosk.stamps import remarked, stamp_row
from kiosk.store import Draft, Settled, Store
from tests.fakes import FakeClock


@pytest.fixture
def store(tmp_path):
    opened = Store.open(
        tmp_path / "kiosk.db", org="acme", site="north", clock=FakeClock(), zone="Europe/London"
    )
    with contextlib.closing(opened) as found:
        yield found


def _checked_in(store):
    event = store.record(Draft(Kind.CHECK_IN, "s1", "p1", data={"method": "finger"})).result(5)
    (row,) = store.attendance("s1")
    return event, row


def _envelope(row, code):
    low, high = row.arrival
    return Envelope("e", 1, high + 1, low, high, code=code)


@pytest.mark.parametrize("way", ["verdict", "echo"])
@pytest.mark.parametrize(("code", "flags"), [("fork", (Flag.FORKED,)), ("", ())])
def test_a_place_taken_twice_is_flagged_where_the_scan_was_made(store, way, code, flags):
    event, before = _checked_in(store)
    envelope = _envelope(before, code)
    if way == "verdict":
        (held,) = store.pending()
        store.settle([Settled(held.seq, held.id, "ok", code, envelope)]).result(5)
    else:
        room = session_room("acme", "s1")
        store.apply_remote(room, "e", [(encode_event(event), envelope)], 1).result(5)
    (row,) = store.attendance("s1")
    assert row.flags == flags
    assert row.arrival == before.arrival


def test_only_an_envelope_with_a_code_is_remarked():
    plain, coded = (stamp_row(1, Envelope("e", 1, 9, 1, 2, code=code)) for code in ("", "fork"))
    assert not remarked(plain[3])
    assert remarked(coded[3])
    assert not remarked(None)
