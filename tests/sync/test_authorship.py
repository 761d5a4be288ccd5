"""Nobody writes in another's name: signatures over stretches of a chain, pinned keys."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3

import pytest
from msgspec.structs import replace

from kiosk.devicekey import FILE
from kiosk.incarnation import KEYLESS, MOVED, PUT_BACK
from kiosk.model import LinkState, encode_event
from kiosk.rescue import open_store
from kiosk.store import Store
from sync import protocol as p
from sync.signing import Signer, signed_by
from tests.sync.kiosks import Kiosk, held_by, kiosk
from tests.sync.rig import (
    ORG,
    SITE,
    Author,
    TestClock,
    hello,
    hub,
    joined,
    opened,
    signed,
    signer,
    until,
)

STRANGER = Signer(b"s" * 32)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "hub.db"


def rows(path, query):
    with contextlib.closing(sqlite3.connect(path)) as db:
        return db.execute(query).fetchall()


def said(verdicts):
    return [(v.verdict, v.code) for v in verdicts]


async def pushed(peer, events, *stretches):
    return said(await peer.push(*map(encode_event, events), signed=list(stretches)))


# -- one signature over a stretch ------------------------------------------------------------------


async def test_one_signature_covers_a_whole_batch(path):
    author = Author()
    events = [author.event() for _ in range(p.MAX_BATCH)]
    async with hub(path) as server, joined(server.url) as peer:
        assert set(await pushed(peer, events, signed(events))) == {("ok", "")}
    kept = rows(path, "SELECT device, first, last, head FROM signature")
    assert kept == [("kiosk-1", 1, p.MAX_BATCH, events[-1].hash)]


async def test_what_nobody_signed_is_set_apart_and_fills_no_place(path):
    event = Author().event()
    async with hub(path) as server:
        async with joined(server.url) as peer:
            assert await pushed(peer, [event]) == [("quarantined", "signature")]
        async with joined(server.url) as peer:
            assert peer.welcome.received_kseq == {}
            assert await pushed(peer, [event], signed([event])) == [("ok", "")]
    assert rows(path, "SELECT code FROM quarantine") == [("signature",)]


@pytest.mark.parametrize("field", ["first", "last", "head", "incarnation", "signature", "org"])
async def test_a_signature_over_anything_else_proves_nothing(path, field):
    author = Author()
    events = [author.event() for _ in range(3)]
    good = signed(events)
    bad = {
        "first": lambda: replace(good, first=2),
        "last": lambda: replace(good, last=4),
        "head": lambda: replace(good, head=events[1].hash),
        "incarnation": lambda: replace(good, incarnation="inc-2"),
        "signature": lambda: replace(good, signature="00" * 64),
        "org": lambda: signed(events, org="another"),
    }[field]()
    async with hub(path) as server, joined(server.url) as peer:
        assert set(await pushed(peer, events, bad)) == {("quarantined", "signature")}
        assert await pushed(peer, events, good) == [("ok", "")] * 3


async def test_another_device_can_push_ones_events_but_forge_none(path):
    mine = Author()
    events = [mine.event() for _ in range(3)]
    forged = Author()
    forged.kseq, forged.prev = 3, events[-1].hash
    fourth = forged.event()
    thief = signer("thief", "inc-9")
    async with hub(path) as server:
        async with joined(server.url):  # so that the author's key is pinned
            pass
        async with joined(server.url, hello("thief", "inc-9")) as peer:
            assert await pushed(peer, events, signed(events)) == [("ok", "")] * 3
            # Signed by itself, as itself, and under an incarnation that the author never began.
            assert await pushed(peer, [fourth], signed([fourth], by=thief)) == [
                ("quarantined", "signature")
            ]
            begun = Author("kiosk-1", "inc-by-thief").event()
            assert await pushed(peer, [begun], signed([begun], by=thief)) == [
                ("quarantined", "signature")
            ]
    assert held_by(path) == [event.id for event in events]


async def test_a_spoilt_event_in_a_stretch_costs_those_before_it_one_more_try(path):
    author = Author()
    events = [author.event() for _ in range(5)]
    bodies = [encode_event(event) for event in events]
    bodies[2] = bodies[2].replace(b'"person":"p3"', b'"person":"px"')
    async with hub(path) as server:
        async with joined(server.url) as peer:
            first = await peer.push(*bodies, signed=[signed(events)])
            assert said(first) == [
                ("retry", "unsigned"),
                ("retry", "unsigned"),
                ("quarantined", "hash"),
                ("ok", ""),
                ("ok", ""),
            ]
            assert said(await peer.push(*bodies[:2])) == [("ok", "")] * 2
        async with joined(server.url) as peer:
            assert peer.welcome.received_kseq == {"inc-1": 5}


async def test_stretches_that_overlap_or_reach_out_of_the_push_are_left_out(path):
    author = Author()
    events = [author.event() for _ in range(3)]
    out = replace(signed(events), at=1)
    twice = signed(events[1:], at=1, by=STRANGER)
    async with hub(path) as server, joined(server.url) as peer:
        verdicts = await pushed(peer, events, out, signed(events), twice)
        assert verdicts == [("ok", "")] * 3


def test_a_signature_is_checked_without_a_fault_whatever_comes():
    event = Author().event()
    good = signed([event])
    assert signed_by(signer().public, ORG, good)
    for key in ("", "zz", "00" * 31, STRANGER.public):
        assert not signed_by(key, ORG, good)
    for signature in ("", "00", "é", "f" * 128):
        assert not signed_by(signer().public, ORG, replace(good, signature=signature))


# -- keys ------------------------------------------------------------------------------------------


async def test_the_first_key_holds_and_another_is_refused_and_noted(path):
    async with hub(path) as server:
        async with joined(server.url):
            pass
        async with opened(server.url) as peer:
            await peer.say(hello(key=STRANGER.public))
            assert await peer.closed() == p.Close.TOKEN
        async with joined(server.url):
            pass
    kept = rows(path, "SELECT key FROM author WHERE device = 'kiosk-1'")
    assert kept == [(signer().public,)]
    assert rows(path, "SELECT org, device, incarnation, why FROM denial") == [
        (ORG, "kiosk-1", "inc-1", "another key is pinned")
    ]


async def test_a_kiosk_whose_key_the_hub_does_not_take_needs_to_sign_in(path, tmp_path):
    async with hub(path) as server:
        one = Kiosk(tmp_path / "k.db", server.url)
        who = one.store.identity
        async with joined(server.url, hello(who.device, who.incarnation, key=STRANGER.public)):
            pass
        ids = one.check_in(2)
        one.client.start()
        try:
            await one.reaches(LinkState.SIGN_IN)
            assert one.store.held()[0] == len(ids)
        finally:
            one.close()


async def test_what_an_older_incarnation_left_unsent_is_delivered_in_its_own_name(path, tmp_path):
    async with hub(path) as server:
        one = Kiosk(tmp_path / "k.db", server.url)
        ids = one.check_in(3)
        before = one.store.identity.incarnation
        one.store.renew(KEYLESS).result(5)
        ids += one.check_in(2)
        one.client.start()
        try:
            await one.settled()
        finally:
            one.close()
    assert sorted(held_by(path)) == sorted(ids)
    lives = rows(path, "SELECT incarnation, count(*) FROM entry GROUP BY 1 ORDER BY 2 DESC")
    assert lives == [(before, 3), (one.store.identity.incarnation, 2)]
    assert rows(path, "SELECT count(*) FROM quarantine") == [(0,)]


# -- disks that are moved, cloned and put back -----------------------------------------------------


def reopened(path, machine):
    return Store.open(
        path, org=ORG, site=SITE, clock=TestClock(), zone="Europe/London", machine=machine
    )


async def test_a_moved_disk_needs_pairing_and_then_delivers_what_the_old_machine_wrote(
    path, tmp_path
):
    one = Kiosk(tmp_path / "k.db", "http://127.0.0.1:9")
    one.store.close()
    one.store = reopened(one.path, "machine-a")
    ids = one.check_in(3)
    old = one.store.identity
    one.store.close()
    async with hub(path) as server:
        moved = Kiosk.over(reopened(one.path, "machine-b"), server.url)
        assert moved.store.identity.device == old.device
        assert moved.store.identity.incarnation != old.incarnation
        moved.client.start()
        await moved.reaches(LinkState.SIGN_IN)
        assert MOVED in moved.status.reason
        moved.close()
        # Still so after a restart on the new machine, until there is another token.
        again = Kiosk.over(reopened(one.path, "machine-b"), server.url)
        ids += again.check_in(2)
        again.client.start()
        await again.reaches(LinkState.SIGN_IN)
        assert held_by(path) == []
        again.client.stop()
    given = "given-by-pairing"
    async with hub(path, token=given) as server:
        paired = Kiosk.over(again.store, server.url, given)
        paired.client.start()
        try:
            await paired.settled()
        finally:
            paired.close()
    assert sorted(held_by(path)) == sorted(ids)
    assert rows(path, "SELECT count(DISTINCT incarnation) FROM entry") == [(2,)]
    assert rows(path, "SELECT count(*) FROM quarantine") == [(0,)]


async def test_of_a_cloned_disk_on_another_machine_nothing_is_lost_or_taken_for_the_other(
    path, tmp_path
):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    store = reopened(tmp_path / "a" / "k.db", "machine-a")
    backlog = Kiosk.over(store, "").check_in(3)
    store.close()
    for name in ("k.db", FILE):
        shutil.copy(tmp_path / "a" / name, tmp_path / "b" / name)
    async with hub(path) as server:
        original = Kiosk.over(reopened(tmp_path / "a" / "k.db", "machine-a"), server.url)
        clone = Kiosk.over(reopened(tmp_path / "b" / "k.db", "machine-b"), server.url)
        clone.store.set_note("pairing", "").result(5)
        ids = [*backlog, *original.check_in(2), *clone.check_in(2)]
        for one in (original, clone):
            one.client.start()
        try:
            for one in (original, clone):
                await one.settled()
        finally:
            for one in (original, clone):
                one.close()
    assert sorted(held_by(path)) == sorted(ids)
    assert rows(path, "SELECT count(*) FROM event WHERE CAST(envelope AS TEXT) LIKE '%fork%'") == [
        (0,)
    ]


async def test_an_older_copy_put_back_is_found_out_at_the_welcome(path, tmp_path):
    async with hub(path) as server:
        with kiosk(tmp_path / "k.db", server.url) as one:
            ids = one.check_in(2)
            await one.settled()
        shutil.copy(tmp_path / "k.db", tmp_path / "older.db")
        with kiosk(tmp_path / "k.db", server.url) as one:
            ids += one.check_in(3)
            await one.settled()
            before = one.store.identity.incarnation
        (tmp_path / "k.db").unlink()
        shutil.copy(tmp_path / "older.db", tmp_path / "k.db")
        with kiosk(tmp_path / "k.db", server.url) as one:
            await until(lambda: one.store.identity.incarnation != before)
            await one.settled()
            ids += one.check_in(2)
            await one.settled()
            assert one.store.note("renewed") == PUT_BACK
    assert sorted(held_by(path)) == sorted(ids)
    assert rows(path, "SELECT count(*) FROM event WHERE CAST(envelope AS TEXT) LIKE '%fork%'") == [
        (0,)
    ]


async def test_an_older_copy_that_has_outgrown_the_hub_is_found_out_by_the_first_fork(
    path, tmp_path
):
    async with hub(path) as server:
        with kiosk(tmp_path / "k.db", server.url) as one:
            ids = one.check_in(2)
            await one.settled()
        shutil.copy(tmp_path / "k.db", tmp_path / "older.db")
        with kiosk(tmp_path / "k.db", server.url) as one:
            ids += one.check_in(3)
            await one.settled()
        (tmp_path / "k.db").unlink()
        shutil.copy(tmp_path / "older.db", tmp_path / "k.db")
        one = Kiosk(tmp_path / "k.db", server.url)
        ids += one.check_in(5)  # the hub has others at three of these places
        before = one.store.identity.incarnation
        one.client.start()
        try:
            await until(lambda: one.store.identity.incarnation != before)
            await one.settled()
        finally:
            one.close()
    # Every check-in counts; those in the place of others are flagged.
    assert sorted(held_by(path)) == sorted(ids)
    assert (
        rows(path, "SELECT count(*) FROM event WHERE CAST(envelope AS TEXT) LIKE '%fork%'")[0][0]
        >= 3
    )


async def test_what_is_rescued_from_a_damaged_database_is_still_signed_by_its_author(
    path, tmp_path
):
    where = {"org": ORG, "site": SITE, "clock": TestClock(), "zone": "Europe/London"}
    async with hub(path) as server:
        first = Kiosk(tmp_path / "k.db", server.url)
        before = first.store.identity
        ids = first.check_in(3)
        first.close()
        with (tmp_path / "k.db").open("r+b") as file:
            file.write(b"\0" * 100)
        one = Kiosk.over(open_store(tmp_path / "k.db", **where, machine=""), server.url)
        assert one.store.identity.device != before.device
        one.client.start()
        try:
            await one.settled()
        finally:
            one.close()
    assert sorted(held_by(path)) == sorted(ids)
    assert rows(path, "SELECT count(*) FROM quarantine") == [(0,)]


def test_a_lost_key_begins_a_new_incarnation_and_a_kept_one_does_not(tmp_path):
    def opened():
        with contextlib.closing(reopened(tmp_path / "k.db", "m")) as store:
            return store.identity, store.note("renewed")

    first, _ = opened()
    assert opened() == (first, None)
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600
    (tmp_path / FILE).unlink()
    second, why = opened()
    assert (second.device, why) == (first.device, KEYLESS)
    assert second.incarnation != first.incarnation
