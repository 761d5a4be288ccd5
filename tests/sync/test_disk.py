"""A disk that is full, read-only or spoilt while check-ins go out and verdicts come in."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess

import pytest

from kiosk.devicekey import FILE
from kiosk.model import Kind, LinkState, decode_event
from kiosk.store import Draft, Store, StoreFullError, StoreWriteError
from tests.sync.kiosks import Kiosk, held_by, kiosk
from tests.sync.rig import ORG, ROOM, SITE, TestClock, hub, until
from tests.sync.test_client import SESSION
from tests.sync.test_hub import post

MIB = 1 << 20


@pytest.fixture
def path(tmp_path):
    return tmp_path / "hub.db"


class SmallDisk:
    """A file system of its own, which can be filled up and be made read-only."""

    def __init__(self, folder, size):
        self.folder = folder
        self.ballast = folder / "ballast"
        folder.mkdir()
        self._mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs")

    def _mount(self, *words):
        command = ["mount", *words, str(self.folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")

    def fill(self):
        with self.ballast.open("ab", buffering=0) as file:
            for size in (65_536, 4096, 1):
                with contextlib.suppress(OSError):
                    while True:
                        file.write(b"x" * size)
        assert os.statvfs(self.folder).f_bavail == 0

    def empty(self):
        self.ballast.unlink()

    def read_only(self, *, yes):
        self._mount("-o", f"remount,{'ro' if yes else 'rw'}")

    def close(self):
        subprocess.run(["umount", "-l", str(self.folder)], check=True)


@pytest.fixture
def disk(tmp_path):
    made = SmallDisk(tmp_path / "disk", 8 * MIB)
    yield made
    made.close()


def by_id(one):
    """Of each own check-in: whether it waits, and whether the hub's word on it is kept."""
    found = one.rows(
        "SELECT e.id, o.seq IS NOT NULL, s.envelope IS NOT NULL, e.device FROM event e"
        " LEFT JOIN outbox o ON o.seq = e.seq LEFT JOIN stamp s ON s.seq = e.seq"
        " WHERE e.kind = 'check_in'"
    )
    own = one.store.identity.device
    return {id_: (bool(waits), bool(told)) for id_, waits, told, who in found if who == own}


def settled_well(one, path, ids):
    """Everything is at the hub once, and nothing waits, with the hub's word on each."""
    assert by_id(one) == dict.fromkeys(ids, (False, True))
    there = held_by(path)
    assert len(there) == len(set(there))
    assert set(ids) <= set(there)


async def test_a_disk_that_fills_up_while_verdicts_come_in_loses_and_mis_settles_nothing(
    path, tmp_path, disk
):
    one = Kiosk(disk.folder / "k.db", "")
    ids = one.check_in(1500)
    one.close()
    async with hub(path) as server:
        await post(server.url, SESSION)
        one = Kiosk(disk.folder / "k.db", server.url)
        disk.fill()
        one.client.start()
        try:
            await until(lambda: len(held_by(path)) >= len(ids), 20)
            with pytest.raises(StoreFullError):
                one.store.record_many([Draft(Kind.HELP)] * 20_000).result(20)
            # Whatever has left the outbox has its envelope: no verdict was taken by halves.
            assert set(by_id(one).values()) <= {(True, False), (False, True)}
            assert one.store.held()[0] > 0
            assert one.status.held > 0
            assert one.status.state is not LinkState.ONLINE
            disk.empty()
            await one.settled(20)
            await until(lambda: one.cursor(ROOM) is not None)
            ids += one.check_in(3, session="s2")
            await one.settled()
            settled_well(one, path, ids)
            assert len(one.store.attendance("s1")) == 1500
        finally:
            one.close()


async def test_what_others_send_waits_for_room_on_the_disk_and_none_is_left_out(
    path, tmp_path, disk, caplog
):
    async with hub(path) as server:
        await post(server.url, SESSION)
        one = Kiosk(disk.folder / "k.db", server.url)
        one.client.start()
        try:
            await until(lambda: one.cursor(ROOM) is not None)
            disk.fill()
            with kiosk(tmp_path / "other.db", server.url) as other:
                other.check_in(3000)
                await other.settled(20)
            await until(lambda: "remote events cannot be written" in caplog.text, 20)
            held = one.rows("SELECT count(*) FROM event WHERE session = 's1'")[0][0]
            assert held < 3000
            assert one.cursor(ROOM)[1] == held
            disk.empty()
            await until(lambda: len(one.store.attendance("s1")) == 3000, 20)
            assert one.rows("SELECT count(*) FROM undecodable") == [(0,)]
            assert one.cursor(ROOM)[1] == 3000
        finally:
            one.close()


async def test_a_disk_that_turns_read_only_in_the_midst_settles_when_it_is_writable_again(
    path, tmp_path
):
    async with hub(path) as server:
        one = Kiosk(tmp_path / "k.db", server.url)
        ids = one.check_in(700)
        # As the kernel does when a card fails: what is open stays open and takes nothing.
        one.store._db.execute("PRAGMA query_only = ON")
        one.client.start()
        try:
            await until(lambda: len(held_by(path)) == 700)
            with pytest.raises(StoreWriteError):
                one.store.record(Draft(Kind.CHECK_IN, "s1", "late")).result(5)
            assert by_id(one) == dict.fromkeys(ids, (True, False))
            one.store._db.execute("PRAGMA query_only = OFF")
            await one.settled(20)
            settled_well(one, path, ids)
        finally:
            one.close()


async def test_a_kiosk_on_a_read_only_disk_says_so_and_goes_on_once_it_can_write(path, disk):
    one = Kiosk(disk.folder / "k.db", "")
    ids = one.check_in(20)
    one.close()
    disk.read_only(yes=True)
    where = {"org": ORG, "site": SITE, "clock": TestClock(), "zone": "UTC"}
    with pytest.raises(StoreWriteError, match="cannot be written"):
        Store.open(disk.folder / "k.db", **where)
    disk.read_only(yes=False)
    async with hub(path) as server:
        with kiosk(disk.folder / "k.db", server.url) as again:
            await again.settled()
            settled_well(again, path, ids)


@pytest.mark.parametrize("share", [0.4, 0.9])
async def test_a_log_spoilt_in_the_midst_of_a_drain_is_made_good_from_the_hub(
    path, tmp_path, share
):
    """The machine died in a drain, and the tail of its write-ahead log is not what was written."""
    before, after = tmp_path / "before", tmp_path / "after"
    before.mkdir()
    after.mkdir()
    Kiosk(before / "k.db", "").close()  # who it is stands in the database itself
    async with hub(path) as server:
        await post(server.url, SESSION)
        one = Kiosk(before / "k.db", server.url)
        one.client.start()
        ids = []
        for _ in range(6):
            ids += one.check_in(40)
            await until(lambda there=tuple(ids): {*there} <= {*held_by(path)})
        for name in ("k.db", "k.db-wal", FILE):
            shutil.copy(before / name, after / name)
        one.close()
        log = bytearray((after / "k.db-wal").read_bytes())
        at = int(len(log) * share)
        log[at : at + 64] = bytes(byte ^ 0x5A for byte in log[at : at + 64])
        (after / "k.db-wal").write_bytes(log)
        with kiosk(after / "k.db", server.url) as again:
            await again.settled(20)
            await until(lambda: set(by_id(again)) == set(ids), 20)
            ids += again.check_in(2, session="s2")
            await again.settled()
            settled_well(again, path, ids)
            lost = [code for (code,) in _apart(path)]
            assert not lost
            bodies = again.rows("SELECT body FROM event")
            assert {decode_event(body).id for (body,) in bodies} >= set(ids)


def _apart(path):
    with contextlib.closing(sqlite3.connect(path)) as db:
        return db.execute("SELECT code FROM quarantine").fetchall()
