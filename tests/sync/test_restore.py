"""A hub brought back from an old backup gets from its kiosks what it had said itself since."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from kiosk import hubs
from kiosk.carrier import deliver
from kiosk.carry import CarryError, export_unsent, import_into, read_bundle
from kiosk.model import Kind, LinkState, decode_envelope, decode_event
from kiosk.store import Draft
from sync.client import SyncClient
from sync.hub.auth.keys import hub_keys, key_path
from sync.hub.auth.register import Device, Register, register_path
from sync.hub.backup import back_up, restore
from sync.signing import Signer, alone, signed_by
from tests.sync.auth.rig import ask, hire
from tests.sync.kiosks import Kiosk, held_by, kiosk
from tests.sync.rig import (
    NS,
    ORG,
    ROOM,
    SITE,
    SITE_ROOM,
    TOKEN,
    Author,
    TestClock,
    hello,
    hub,
    joined,
    same_secret,
    signed,
    until,
)

PATH = f"/v1/directory?org={ORG}&site={SITE}"
BEGAN = 1_800_000_000 * NS
FROZEN = Path(__file__).parents[1] / "schemas" / "hub"
OLD, OLD_KEY = FROZEN / "3.db", FROZEN / "3.key"
OLD_KIOSK, OLD_KIOSK_KEY = FROZEN / "3-kiosk.db", FROZEN / "3-kiosk.key"


@pytest.fixture
def db(tmp_path):
    return tmp_path / "hub.db"


@pytest.fixture
def file(tmp_path):
    return tmp_path / "hub.backup"


def person(id_, name="Mia", **more):
    return {"record": "person", "id": id_, "value": {"id": id_, "first_name": name, **more}}


def session(id_):
    value = {"id": id_, "title": "Yoga", "zone": "Europe/London"}
    value |= {"starts": BEGAN, "ends": BEGAN + 3600 * NS}
    return {"record": "session", "id": id_, "value": value}


async def said(server, *records):
    status, answer = await ask(server.url, "POST", PATH, list(records), TOKEN)
    assert status == 200, answer


async def listed(server, path):
    """What REST says: id -> value."""
    where = f"/v1/{path}?org={ORG}&site={SITE}"
    status, answer = await ask(server.url, "GET", where, None, TOKEN)
    assert status == 200
    return {one["id"]: one["value"] for one in answer["items"]}


def rows(path, query, *args):
    with contextlib.closing(sqlite3.connect(path)) as db:
        return db.execute(query, args).fetchall()


def directory(path):
    """What a hub or a kiosk knows: (record, id) -> (rev, value)."""
    found = rows(path, "SELECT record, id, rev, value FROM directory")
    return {(record, id_): (rev, msgspec.json.decode(value)) for record, id_, rev, value in found}


async def same(db, *kiosks):
    """Hub and kiosks know the same, and the kiosks have sent all."""
    await until(lambda: all(directory(one.path) == directory(db) for one in kiosks), 20)
    for one in kiosks:
        await until(lambda one=one: one.store.held()[0] == 0, 20)


def records(path):
    """Ids of all that hubs said, in the log at `path`."""
    return sorted(row[0] for row in rows(path, "SELECT id FROM entry WHERE kind = 'directory'"))


# -- what comes back -------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", ["websocket", "sse", "polling"])
async def test_what_the_hub_said_after_the_backup_comes_back(
    db, file, tmp_path, monkeypatch, transport
):
    monkeypatch.setattr(SyncClient, "_transports", (transport,))
    async with hub(db) as server:
        await said(server, person("p1"), session("s1"))
        with kiosk(tmp_path / "k.db", server.url) as one:
            await same(db, one)
            back_up(db, file)
            await said(server, person("p1", "Maja"), person("p2"), session("s2"))
            await same(db, one)
            people = one.store.people()
    before, whole = directory(db), records(db)
    done = restore(db, file)
    assert (done.lacking.returning, done.lacking.records) == (3, ())
    assert directory(db) != before
    async with hub(db) as server, joined(server.url, hello("other")) as peer:
        with kiosk(tmp_path / "k.db", server.url) as one:
            await same(db, one)
            assert directory(db) == before
            assert records(db) == records(one.path) == whole
            assert one.store.people() == people
            assert (await listed(server, "people"))["p1"]["first_name"] == "Maja"
            assert sorted(await listed(server, "sessions")) == ["s1", "s2"]
            # Others get them as ever, with what proves them.
            key = server._log.key
            for item in await peer.follow(SITE_ROOM):
                event, stamp = decode_event(item.event), item.envelope
                assert stamp.key == key
                assert signed_by(key, ORG, alone(event, key, stamp.signature))
            await said(server, person("p1", "Mary"))
            await same(db, one)
            assert directory(db)["person", "p1"][0] > before["person", "p1"][0]
            assert one.store.held()[0] == 0
    assert rows(db, "SELECT * FROM quarantine") == []


async def test_kiosks_that_hold_the_same_or_parts_of_it_make_the_whole_each_once(
    db, file, tmp_path
):
    paths = [tmp_path / f"{name}.db" for name in "abc"]
    async with hub(db) as server:
        back_up(db, file)
        with contextlib.ExitStack() as stack:
            kiosks = [stack.enter_context(kiosk(path, server.url)) for path in paths[:2]]
            await said(server, person("p1"))
            await same(db, *kiosks)
        with kiosk(paths[1], server.url) as one:  # the first is offline from now on
            await said(server, person("p1", "Maja"), person("p2"))
            await same(db, one)
    before, whole = directory(db), records(db)
    restore(db, file)
    async with hub(db) as server:
        with kiosk(paths[0], server.url) as one:
            await same(db, one)
            assert [id_ for _, id_ in directory(db)] == ["p1"]
        await said(server, person("p3"))
        with contextlib.ExitStack() as stack:
            kiosks = [stack.enter_context(kiosk(path, server.url)) for path in paths]
            await same(db, *kiosks)
            for one in kiosks:
                await until(lambda one=one: records(one.path) == records(db))
    assert {key: value for key, value in directory(db).items() if key[1] != "p3"} == before
    assert set(whole) < set(records(db))
    assert len(records(db)) == len(whole) + 1
    held = held_by(db)
    assert len(held) == len(set(held))


async def test_a_second_restore_of_the_same_backup_loses_nothing_of_either_life(db, file, tmp_path):
    async with hub(db) as server:
        back_up(db, file)
        with kiosk(tmp_path / "k.db", server.url) as one:
            await said(server, person("p1"))
            await same(db, one)
    lives = set()
    for number in range(2, 5):
        restore(db, file)
        async with hub(db) as server:
            lives.add(server._log.incarnation)
            with kiosk(tmp_path / "k.db", server.url) as one:
                await same(db, one)
                await said(server, person(f"p{number}"), person("p1", f"Mia {number}"))
                await same(db, one)
    assert len(lives) == 3
    assert sorted(id_ for _, id_ in directory(db)) == ["p1", "p2", "p3", "p4"]
    assert directory(db)["person", "p1"][1]["first_name"] == "Mia 4"
    assert rows(db, "SELECT * FROM quarantine") == []
    # Its earlier lives are known for what they are, and never offered again.
    async with hub(db) as server, joined(server.url) as peer:
        assert set(peer.welcome.hub.held) >= lives


async def test_of_two_words_with_one_rev_the_same_counts_at_the_hub_and_at_kiosks(
    db, file, tmp_path
):
    house = TestClock()
    async with hub(db, house) as server:
        back_up(db, file)
        with kiosk(tmp_path / "k.db", server.url) as one:
            await said(server, person("p1", "Ada"))
            await same(db, one)
    db.unlink()  # so that a restore cannot look how far it had come
    restore(db, file)
    async with hub(db, house) as server:
        await said(server, person("p1", "Bea"))
        with kiosk(tmp_path / "k.db", server.url) as one:
            await until(lambda: len(records(db)) == 2)
            await same(db, one)
    assert len({event.data["rev"] for event in _said(db)}) == 1
    highest = max(_said(db), key=lambda event: event.id)
    assert directory(db)["person", "p1"][1] == highest.data["value"]


def _said(db):
    return [decode_event(body) for (body,) in rows(db, "SELECT body FROM event")]


async def test_a_hub_whose_clock_has_gone_back_still_speaks_above_what_it_had_said(
    db, file, tmp_path
):
    house = TestClock()
    async with hub(db, house) as server:
        back_up(db, file)
        with kiosk(tmp_path / "k.db", server.url) as one:
            await said(server, person("p1", "Ada"))
            await same(db, one)
    before = directory(db)["person", "p1"][0]
    restore(db, file)
    house.now -= 86_400 * NS
    async with hub(db, house) as server:
        await said(server, person("p1", "Bea"))
        with kiosk(tmp_path / "k.db", server.url) as one:
            await until(lambda: len(records(db)) == 2)
            await same(db, one)
    rev, value = directory(db)["person", "p1"]
    assert (rev > before, value["first_name"]) == (True, "Bea")


@pytest.mark.parametrize("filled", [False, True], ids=["as it was", "and written to since"])
async def test_a_file_put_back_by_hand_is_found_out_and_refilled(db, tmp_path, filled):
    copy, house = tmp_path / "copy.db", TestClock()
    async with hub(db, house) as server:
        with kiosk(tmp_path / "k.db", server.url) as one:
            await said(server, person("p1"))
            await same(db, one)
    shutil.copy(db, copy)
    async with hub(db, house) as server:
        life = server._log.incarnation
        with kiosk(tmp_path / "k.db", server.url) as one:
            await said(server, person("p2"))
            await same(db, one)
    shutil.copy(copy, db)
    house.now += NS
    async with hub(db, house) as server:
        if filled:  # the place that the other record had
            await said(server, person("p4"))
        with kiosk(tmp_path / "k.db", server.url) as one:
            await until(lambda: ("person", "p2") in directory(db))
            assert server._log.incarnation != life
            await said(server, person("p3"))
            await same(db, one)
    assert [id_ for _, id_ in sorted(directory(db))] == ["p1", "p2", "p3", *["p4"] * filled]


async def test_after_a_month_offline_a_kiosk_still_has_all_that_the_hub_had_said(
    db, file, tmp_path
):
    house = TestClock()
    async with hub(db, house) as server:
        with kiosk(tmp_path / "k.db", server.url) as one:
            await said(server, session("s1"), *(person(f"p{n}") for n in range(3)))
            await same(db, one)
            one.check_in(3)
            one.store.record(Draft(Kind.HELP)).result(5)
            await until(lambda: (one.cursor(ROOM) or ("", 0))[1] == 3)
            await one.settled()
        back_up(db, file)
        with kiosk(tmp_path / "k.db", server.url) as one:
            await said(server, person("p9"))
            await same(db, one)
            before = directory(db)
    house.now += 500 * 86_400 * NS
    async with hub(db, house) as server:  # old check-ins that a backup has are let go
        with kiosk(tmp_path / "k.db", server.url, clock=TestClock(wall=house.now)) as one:
            gone = "SELECT count(*) FROM event WHERE person IS NOT NULL"
            await until(lambda: one.rows(gone) == [(0,)])
    restore(db, file)
    async with hub(db, house) as server:
        with kiosk(tmp_path / "k.db", server.url) as one:
            await same(db, one)
    assert directory(db) == before


# -- who may bring it ------------------------------------------------------------------------------


async def test_only_what_the_hub_itself_signed_passes_for_its_word(db, file, tmp_path):
    """Offered as a paired kiosk would, and with the owner's token: neither may speak as the hub."""
    async with hub(db) as server:
        back_up(db, file)
        await said(server, person("p1"))
        mine = server._log.device, server._log.incarnation
    (true,) = _said(db)
    restore(db, file)
    forger = Signer(bytes(32))
    told = {"record": "person", "id": "p1", "rev": 1 << 60, "value": {"id": "p1", "name": "x"}}
    for device, life in (mine, (mine[0], "unheard-of"), ("kiosk-1", "inc-1")):
        forged = Author(device, life).event(kind=Kind.DIRECTORY, data=told, room=SITE_ROOM)
        async with hub(db) as server, joined(server.url) as peer:
            for signatures in ([], [signed([forged], by=forger)], _claimed(forged, server)):
                body = msgspec.json.encode(forged)
                (verdict,) = await peer.push(body, signed=signatures)
                assert (verdict.verdict, verdict.code) == ("quarantined", "signature")
            # The hub's own word with another's name under it, and altered.
            (stolen,) = _claimed(true, server)
            body = msgspec.json.encode(true).replace(b"Mia", b"Max")
            (verdict,) = await peer.push(body, signed=[stolen])
            assert verdict.verdict == "quarantined"
    assert directory(db) == {}


def _claimed(event, server):
    """A signature that says to be by the hub's key, and is not."""
    by = Signer(bytes(32))
    bare = alone(event, server._log.key)
    return [msgspec.structs.replace(bare, signature=by.sign(ORG, bare))]


async def test_a_signature_that_proves_nothing_is_not_kept(db, tmp_path):
    async with hub(db) as server:
        await said(server, person("p1"), person("p2"))
    ((place, envelope),) = rows(db, "SELECT place, envelope FROM event ORDER BY place LIMIT 1")
    spoilt = msgspec.structs.replace(decode_envelope(envelope), signature="ab" * 64)
    with contextlib.closing(sqlite3.connect(db)) as one:
        one.execute("UPDATE event SET envelope = ? WHERE place = ?", (_enc(spoilt), place))
        one.commit()
    async with hub(db) as server:
        with kiosk(tmp_path / "k.db", server.url) as one:
            await same(db, one)
            assert one.rows("SELECT count(*) FROM carried") == [(1,)]
            assert len(one.store.people()) == 2


def _enc(value):
    return msgspec.json.encode(value)


async def test_what_was_said_before_hubs_signed_is_named_and_not_believed(db, file, tmp_path):
    async with hub(db) as server:
        back_up(db, file)
        await said(server, person("p1"))
    with contextlib.closing(sqlite3.connect(db)) as one:
        query = "SELECT place, envelope FROM event"
        for place, envelope in one.execute(query).fetchall():
            bare = msgspec.structs.replace(decode_envelope(envelope), key="", signature="")
            one.execute("UPDATE event SET envelope = ? WHERE place = ?", (_enc(bare), place))
        one.commit()
    async with hub(db) as server:
        with kiosk(tmp_path / "k.db", server.url) as one:
            await same(db, one)
    done = restore(db, file)
    assert (done.lacking.returning, done.lacking.records) == (0, ("person p1",))
    async with hub(db) as server:
        with kiosk(tmp_path / "k.db", server.url) as one:
            await one.settled()
            assert [one.first_name for one in one.store.people()] == ["Mia"]
            assert directory(db) == {}
            await said(server, person("p1", "Maja"))  # imported again
            await same(db, one)
    assert rows(db, "SELECT * FROM quarantine") == []


async def test_a_stick_carries_the_hubs_records_to_it_and_to_kiosks_that_know_it(
    db, file, tmp_path
):
    folders = [tmp_path / name for name in ("one", "two", "three")]
    for folder in folders:
        folder.mkdir()
    first, second, stranger = (folder / "k.db" for folder in folders)
    async with hub(db) as server:
        back_up(db, file)
        with kiosk(second, server.url) as one:
            await one.settled()
        with kiosk(first, server.url) as one:
            await said(server, person("p1"))
            await same(db, one)
            key = server._log.key
    before, stick = directory(db), tmp_path / "stick"
    with contextlib.closing(Kiosk(first, "")) as one:  # as it is when the line is cut just then
        assert one.store.reoffer_records(hubs.Lives(key)).result(5) == 1
        assert export_unsent(one.store, stick) == (1, 0)
    bundle = read_bundle(stick)
    with contextlib.closing(Kiosk(stranger, "")) as one:
        with pytest.raises(CarryError, match="a hub that this kiosk does not know"):
            import_into(one.store, bundle)
        assert one.store.people() == []
    with contextlib.closing(Kiosk(second, "")) as one:
        assert import_into(one.store, bundle) == 1
        assert [known.id for known in one.store.people()] == ["p1"]
    restore(db, file)
    async with hub(db) as server:
        assert directory(db) == {}
        sent = asyncio.get_running_loop().run_in_executor
        found = await sent(None, deliver, server.url, TOKEN, bundle, bundle.events)
        assert found["ok"] == 1
        assert directory(db) == before
        with kiosk(second, server.url) as one:
            await same(db, one)
    assert rows(db, "SELECT * FROM quarantine") == []


# -- an earlier hub, and another one ---------------------------------------------------------------


async def test_what_an_earlier_version_said_is_signed_at_the_next_start_and_reaches_kiosks(
    db, file, tmp_path
):
    """Its database has schema 3: two people, one of them renamed; nothing is signed."""
    shutil.copy(OLD, db)
    shutil.copy(OLD_KEY, key_path(db))
    key_path(db).chmod(0o600)
    shutil.copy(OLD_KIOSK, tmp_path / "k.db")
    shutil.copy(OLD_KIOSK_KEY, tmp_path / "device.key")
    (tmp_path / "device.key").chmod(0o600)
    with contextlib.closing(sqlite3.connect(db)) as one:
        assert one.execute("PRAGMA user_version").fetchone() == (3,)
    async with hub(db) as server:
        key = server._log.key
        for event, (body,) in zip(_said(db), rows(db, "SELECT envelope FROM event"), strict=True):
            envelope = decode_envelope(body)
            assert envelope.key == key
            assert signed_by(key, ORG, alone(event, key, envelope.signature))
        with kiosk(tmp_path / "k.db", server.url) as one:
            assert one.rows("SELECT count(*) FROM carried") == [(0,)]
            await until(lambda: one.rows("SELECT count(*) FROM carried") == [(3,)])
            await same(db, one)
    before = directory(db)
    assert len(before) == 2
    with contextlib.closing(sqlite3.connect(db)) as one:  # as a backup that had none of it
        one.executescript("DELETE FROM event; DELETE FROM directory; DELETE FROM chain;")
        one.executescript("UPDATE room SET head = 0; UPDATE meta SET value = 'x' WHERE key='epoch'")
    async with hub(db) as server:
        with kiosk(tmp_path / "k.db", server.url) as one:
            await same(db, one)
    assert directory(db) == before


async def test_a_database_that_is_lost_but_for_the_secret_is_refilled_too(db, tmp_path):
    async with hub(db) as server:
        with kiosk(tmp_path / "k.db", server.url) as one:
            await said(server, person("p1"), session("s1"))
            await same(db, one)
    before, fresh = directory(db), tmp_path / "fresh.db"
    same_secret(db, fresh)
    async with hub(fresh) as server:
        with kiosk(tmp_path / "k.db", server.url) as one:
            await same(fresh, one)
            assert directory(fresh) == before


async def test_another_hub_is_not_talked_to_until_somebody_says_that_it_is_meant(db, tmp_path):
    async with hub(db) as server:
        with kiosk(tmp_path / "k.db", server.url) as one:
            await said(server, person("p1"))
            await same(db, one)
    other = tmp_path / "other.db"
    async with hub(other) as server:
        await said(server, person("p2"))
        with kiosk(tmp_path / "k.db", server.url) as one:
            ids = one.check_in(2)
            await one.reaches(LinkState.SIGN_IN)
            assert "another hub" in one.status.reason
            assert held_by(other) == records(other)
            assert [known.id for known in one.store.people()] == ["p1"]
    async with hub(db) as server:  # the right one is back: nothing needs to be done
        with kiosk(tmp_path / "k.db", server.url) as one:
            await one.settled()
            assert set(ids) <= set(held_by(db))
    async with hub(other) as server:
        store = Kiosk(tmp_path / "k.db", "")
        store.store.set_note("hub", "").result(5)  # as `kiosk sign-in` does
        store.close()
        with kiosk(tmp_path / "k.db", server.url) as one:
            await one.settled()
            await until(lambda: set(ids) <= set(held_by(other)))
            await until(lambda: {known.id for known in one.store.people()} == {"p1", "p2"})
            assert list(directory(other)) == [("person", "p2")]
            assert rows(other, "SELECT * FROM quarantine") == []


def test_a_kiosk_knows_where_its_own_hubs_secret_is(db):
    assert hubs.secret_of(db) == key_path(db)


async def test_whoever_gives_a_kiosk_another_token_means_another_hub(db, tmp_path):
    async with hub(db) as server:
        with kiosk(tmp_path / "k.db", server.url) as one:
            await one.settled()
    async with hub(tmp_path / "other.db", token="another") as server:  # noqa: S106  of no real hub
        with kiosk(tmp_path / "k.db", server.url, token="another") as one:  # noqa: S106  the same
            await one.settled()
            assert one.store.note("hub").startswith(server._log.key)


# -- devices and staff -----------------------------------------------------------------------------


@contextlib.contextmanager
def register(db):
    with contextlib.closing(Register(register_path(db))) as found:
        yield found


def pair(db, id_, at=1):
    with register(db) as one:
        digest = f"{id_}{at}".encode()
        one._do("INSERT INTO code VALUES (?, '', '', '', 99, NULL, NULL)", digest)
        assert one.pair(digest, Device(id_, id_, ORG, SITE, "i", "00", at), 1)


def roll(db):
    with register(db) as one:
        return one.roll()


async def told(one, record, id_, **fields):
    """The kiosk has heard this of a device or a member of staff."""

    def heard():
        _, value = directory(one.path).get((record, id_), (0, {}))
        return fields.items() <= value.items()

    await until(heard, 20)


def elsewhere(db, tmp_path):
    """The hub on another machine, of which only backups are left."""
    other = tmp_path / "machine" / "hub.db"
    other.parent.mkdir()
    return other


async def before_and_after(db, file, tmp_path, change):
    """A hub with a backup, then a change of its register that a kiosk hears of."""
    hub_keys(db)
    pair(db, "k1")
    hire(db, "ada")
    async with hub(db) as server:
        with kiosk(tmp_path / "k.db", server.url) as one:
            await told(one, "device", "k1", revoked=False)
            await told(one, "staff", "ada", active=True)
            back_up(db, file)
            await change(server, one)


@pytest.mark.parametrize("machine", ["the same", "another"])
async def test_a_revocation_outlives_a_restore_of_log_and_register(db, file, tmp_path, machine):
    async def change(server, one):
        with register(db) as known:
            known.revoke("k1", 7)
            known.put_staff(replace(known.roll().staff["ada"], removed=7))
        await told(one, "device", "k1", revoked=True)
        await told(one, "staff", "ada", active=False)

    await before_and_after(db, file, tmp_path, change)
    where = db if machine == "the same" else elsewhere(db, tmp_path)
    restore(where, file)
    assert (roll(where).devices["k1"].revoked is None) == (machine == "another")
    async with hub(where) as server:
        with kiosk(tmp_path / "k.db", server.url) as one:
            await until(lambda: "k1" in server._log.revoked, 20)
            await until(lambda: roll(where).staff["ada"].removed is not None)
            await same(where, one)
            await told(one, "device", "k1", revoked=True)
            await told(one, "staff", "ada", active=False)
    assert roll(where).devices["k1"].revoked is not None


async def test_who_was_let_in_again_is_not_shut_out_by_an_older_word(db, file, tmp_path):
    """The kiosk that comes back knows of the revocation, not of the pairing after it."""

    async def change(server, one):
        with register(db) as known:
            known.revoke("k1", 7)
        await told(one, "device", "k1", revoked=True)

    house = TestClock()
    await before_and_after(db, file, tmp_path, change)
    pair(db, "k1", at=9)
    house.now += NS
    async with hub(db, house):
        pass
    restore(db, file)
    async with hub(db, house) as server:
        with kiosk(tmp_path / "k.db", server.url) as one:
            await same(db, one)
            await told(one, "device", "k1", revoked=False)
    assert roll(db).devices["k1"].revoked is None


async def test_a_pin_that_was_changed_stays_changed_on_another_machine(db, file, tmp_path):
    async def change(server, one):
        with register(db) as known:
            ada = known.roll().staff["ada"]
            verifiers = {"": "of-the-hub", SITE: "the-new-one"}
            known.put_staff(replace(ada, verifiers=verifiers, rank=ada.rank + 1, since=9))
            known.put_staff(replace(ada, id="bob", verifiers={SITE: "bobs"}))
        await told(one, "staff", "ada", verifier="the-new-one")
        await told(one, "staff", "bob", verifier="bobs")

    await before_and_after(db, file, tmp_path, change)
    where = elsewhere(db, tmp_path)
    restore(where, file)
    old = roll(where).staff["ada"]
    async with hub(where) as server:
        with kiosk(tmp_path / "k.db", server.url) as one:
            await until(lambda: "bob" in roll(where).staff, 20)
            await same(where, one)
            await told(one, "staff", "ada", verifier="the-new-one")
    new = roll(where).staff["ada"]
    # What the hub itself would have taken for her PIN is the old one, so it takes none.
    assert (new.verifiers, new.rank) == ({SITE: "the-new-one"}, old.rank + 1)
    assert new.since != old.since


async def test_what_waits_for_the_register_is_not_lost_by_a_crash_in_between(db, file, tmp_path):
    async def change(server, one):
        with register(db) as known:
            known.revoke("k1", 7)
        await told(one, "device", "k1", revoked=True)

    await before_and_after(db, file, tmp_path, change)
    where = elsewhere(db, tmp_path)
    restore(where, file)
    async with hub(where) as server:
        server._log.on_returned = lambda: None  # as if it died just then
        with kiosk(tmp_path / "k.db", server.url) as one:
            await same(where, one)
    assert roll(where).devices["k1"].revoked is None
    async with hub(where) as server:
        await until(lambda: "k1" in server._log.revoked)
    assert roll(where).devices["k1"].revoked is not None
    assert directory(where)["device", "k1"][1]["revoked"] is True
