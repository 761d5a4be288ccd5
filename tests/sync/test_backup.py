from __future__ import annotations

import contextlib
import sqlite3
import stat

import pytest

from sync.hub.auth.keys import hub_keys, key_path
from sync.hub.auth.register import Device, Register, register_path
from sync.hub.backup import back_up, restore
from sync.hub.errors import BackupError, LogBusyError
from sync.hub.tokens import hub_token
from tests.sync.auth.rig import ask
from tests.sync.kiosks import held_by, kiosk
from tests.sync.rig import NS, ORG, SITE, TOKEN, Author, hub, joined, until

TABLE = "SELECT person, status FROM attendance WHERE session = 's1' ORDER BY person"

BEGAN = 1_800_000_000 * NS
SESSION = {
    "id": "s1",
    "title": "Yoga",
    "zone": "Europe/London",
    "starts": BEGAN,
    "ends": BEGAN + 3600 * NS,
}


def device(id_, revoked=None):
    return Device(id_, id_, "acme", "north", "inc-1", "00", 1, revoked)


def paired(db, *ids):
    with contextlib.closing(Register(register_path(db))) as register:
        for id_ in ids:
            digest = id_.encode()
            register._do("INSERT INTO code VALUES (?, '', '', '', 99, NULL, NULL)", digest)
            assert register.pair(digest, device(id_), 1)


def devices(db):
    with contextlib.closing(Register(register_path(db))) as register:
        return {d.id: d.revoked for d in register.roll().devices.values()}


async def test_a_backup_is_made_while_the_hub_writes_and_is_whole(tmp_path):
    db, file = tmp_path / "hub.db", tmp_path / "hub.backup"
    hub_token(db, {})
    async with hub(db) as server, joined(server.url) as peer:
        author = Author()
        await peer.push(*author.bodies(50))
        found = back_up(db, file)
        await peer.push(*author.bodies(50))
    assert found.events == 50
    async with hub(db) as server, joined(server.url) as peer:
        assert peer.welcome.stable == found.received
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert held_by(file) == held_by(db)[:50]
    with contextlib.closing(sqlite3.connect(file)) as backup:
        assert backup.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        carried = {row[0] for row in backup.execute("SELECT name FROM carried")}
    assert carried >= {"token"}
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


async def test_a_backup_replaces_no_file_unasked_and_a_failed_one_leaves_nothing(tmp_path):
    db, file = tmp_path / "hub.db", tmp_path / "hub.backup"
    async with hub(db):
        pass
    file.write_text("something dear")
    with pytest.raises(BackupError, match="--replace"):
        back_up(db, file)
    assert file.read_text() == "something dear"
    back_up(db, file, replace=True)
    with pytest.raises(BackupError, match="no hub"):
        back_up(tmp_path / "other.db", tmp_path / "x")
    with pytest.raises(BackupError, match="cannot be made"):
        back_up(db, tmp_path / "nowhere" / "x")
    damaged = bytearray(db.read_bytes())
    damaged[20_000:40_000] = bytes(20_000)
    db.write_bytes(damaged)
    with pytest.raises(BackupError):
        back_up(db, tmp_path / "x")
    assert not (tmp_path / "x").exists()
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


@pytest.mark.parametrize("content", [b"", b"no database", b"SQLite format 3\0" + b"\0" * 5000])
async def test_what_is_no_backup_changes_nothing(tmp_path, content):
    db, file = tmp_path / "hub.db", tmp_path / "file"
    async with hub(db) as server, joined(server.url) as peer:
        await peer.push(*Author().bodies(3))
    before = db.read_bytes()
    file.write_bytes(content)
    with pytest.raises(BackupError):
        restore(db, file)
    with pytest.raises(BackupError):
        restore(db, tmp_path / "missing")
    assert db.read_bytes() == before
    assert not [p for p in tmp_path.iterdir() if "replaced" in p.name or p.name[0] == "."]


async def test_a_running_hub_is_not_restored(tmp_path):
    db, file = tmp_path / "hub.db", tmp_path / "file"
    async with hub(db):
        back_up(db, file)
        with pytest.raises(LogBusyError):
            restore(db, file)


async def test_what_was_replaced_is_kept_and_the_epoch_is_new_each_time(tmp_path):
    db, file = tmp_path / "hub.db", tmp_path / "file"
    async with hub(db) as server, joined(server.url) as peer:
        author = Author()
        await peer.push(*author.bodies(3))
        back_up(db, file)
        await peer.push(*author.bodies(2))
        epochs = [peer.welcome.epoch]
    for _ in range(2):
        done = restore(db, file)
        assert len(held_by(db)) == done.events == 3
        epochs.append(done.epoch)
        async with hub(db) as server, joined(server.url) as peer:
            assert peer.welcome.epoch == done.epoch
    assert len(set(epochs)) == 3
    kept = sorted(p for p in tmp_path.iterdir() if ".replaced-" in p.name)
    assert [len(held_by(p)) for p in kept] == [5, 3]


async def test_a_restore_revives_no_device_that_was_revoked_since(tmp_path):
    db, file = tmp_path / "hub.db", tmp_path / "file"
    async with hub(db):
        hub_keys(db)
        paired(db, "k1", "k2")
        back_up(db, file)
    with contextlib.closing(Register(register_path(db))) as register:
        register.revoke("k1", 7)
    restore(db, file)
    assert devices(db) == {"k1": 7, "k2": None}


async def test_a_new_machine_gets_secret_token_and_devices_from_the_backup(tmp_path):
    db, file = tmp_path / "hub.db", tmp_path / "file"
    async with hub(db):
        hub_keys(db)
        token = hub_token(db, {})
        paired(db, "k1")
        back_up(db, file)
    other = tmp_path / "other" / "hub.db"
    other.parent.mkdir()
    hub_keys(other)  # a hub was started here by mistake
    strange = key_path(other).read_bytes()
    restore(other, file)
    assert hub_keys(other).secret == hub_keys(db).secret
    assert hub_token(other, {}) == token
    assert devices(other) == {"k1": None}
    kept = [p for p in other.parent.iterdir() if ".replaced-" in p.name]
    assert [p.read_bytes() for p in kept] == [strange]
    for path in other.parent.iterdir():
        if path.suffix != ".lock":
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


async def test_two_kiosks_lose_and_double_nothing_over_two_restores(tmp_path):
    db, file = tmp_path / "hub.db", tmp_path / "file"
    ports = {}
    with contextlib.ExitStack() as stack:
        async with hub(db) as server:
            ports["port"] = int(server.url.rpartition(":")[2])
            records = [{"record": "session", "id": "s1", "value": SESSION}]
            path = f"/v1/directory?org={ORG}&site={SITE}"
            assert (await ask(server.url, "POST", path, records, TOKEN))[0] == 200
            one = stack.enter_context(kiosk(tmp_path / "a.db", server.url))
            two = stack.enter_context(kiosk(tmp_path / "b.db", server.url))
            one.check_in(3)
            two.check_in(2)
            await one.settled()
            await two.settled()
            back_up(db, file)
            one.check_in(5)
            two.check_in(4)
            await one.settled()
            await two.settled()
        for _ in range(2):
            one.check_in(1)  # while the hub is away
            restore(db, file)
            assert len(held_by(db)) == 6
            async with hub(db, **ports):
                made = {row[0] for row in one.rows("SELECT id FROM event WHERE kind = 'check_in'")}
                made |= {row[0] for row in two.rows("SELECT id FROM event WHERE kind = 'check_in'")}
                one.client.kick()
                two.client.kick()
                await until(lambda made=made: set(held_by(db)) >= made, 20)
                two.check_in(1)
                await one.settled(20)
                await two.settled(20)
                count = len(held_by(db))
                await until(lambda n=count: len(two.rows("SELECT id FROM event")) >= n, 20)
                await until(lambda n=count: len(one.rows("SELECT id FROM event")) >= n, 20)
                held = held_by(db)
                assert len(held) == len(set(held)) == count
                assert one.rows(TABLE) == two.rows(TABLE) != []
    assert count == 19


async def test_a_restore_says_what_the_former_database_had_more(tmp_path):
    db, file = tmp_path / "hub.db", tmp_path / "file"
    people = [{"id": id_, "first_name": "Mia"} for id_ in ("p1", "p2")]
    url = f"/v1/people/%s?org={ORG}&site={SITE}"
    author = Author()
    async with hub(db) as server, joined(server.url) as peer:
        assert (await ask(server.url, "PUT", url % "p1", people[0], TOKEN))[0] == 200
        await peer.push(*author.bodies(3))
        found = back_up(db, file)
        last = (await peer.push(*author.bodies(2)))[-1].envelope.received
        assert (await ask(server.url, "PUT", url % "p2", people[1], TOKEN))[0] == 200
    done = restore(db, file)
    assert (done.events, done.received) == (4, found.received)
    assert (done.lacking.events, done.lacking.returning, done.lacking.records) == (2, 1, ())
    assert done.lacking.received > last
    again = restore(db, file)
    assert (again.lacking.events, again.lacking.returning) == (0, 0)
    elsewhere = restore(tmp_path / "other.db", file)
    assert (elsewhere.lacking.events, elsewhere.replaced) == (0, None)
    db.write_bytes(b"no database")
    assert restore(db, file).lacking is None


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE event SET id = upper(id) WHERE place % 8 = 2",
        "UPDATE event SET body = CAST(replace(body, 'p2', 'p3') AS BLOB) WHERE place % 8 = 2",
    ],
)
async def test_a_backup_whose_events_were_changed_is_refused_though_its_pages_are_whole(
    tmp_path, change
):
    db, file = tmp_path / "hub.db", tmp_path / "file"
    async with hub(db) as server, joined(server.url) as peer:
        await peer.push(*Author().bodies(3))
    back_up(db, file)
    with contextlib.closing(sqlite3.connect(file)) as one:
        one.execute(change)
        assert one.total_changes == 1
        one.commit()
    before = db.read_bytes()
    with pytest.raises(BackupError, match="is damaged: event"):
        restore(db, file)
    assert db.read_bytes() == before


async def test_another_hubs_register_is_put_aside_with_what_was_last_written_to_it(tmp_path):
    db, other, file = tmp_path / "hub.db", tmp_path / "other" / "hub.db", tmp_path / "file"
    other.parent.mkdir()
    for one in (db, other):
        hub_keys(one)
        async with hub(one):
            pass
    back_up(other, file)
    kept_open = Register(register_path(db))  # as if its process had been killed: no checkpoint
    paired(db, "k1")
    restore(db, file)
    kept_open.close()
    (aside,) = tmp_path.glob("hub.db.register.replaced-*Z")
    with contextlib.closing(Register(aside)) as register:
        assert list(register.roll().devices) == ["k1"]
    assert devices(db) == {}
