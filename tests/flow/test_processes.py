"""Real processes killed at bad moments: what was written before is there, once, afterwards."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from urllib.parse import urlsplit

import pytest

from drivers.emulator import Emulator
from drivers.reconcile import reconcile
from drivers.slots import Entry, SlotState
from drivers.zfm import open_zfm
from kiosk.clock import SystemClock
from kiosk.config import HUB_URL_FILE
from kiosk.hubchild import HubChild
from kiosk.model import Kind
from kiosk.slots import StoredSlots
from kiosk.store import Draft, Store
from sync.client import SyncClient
from tests.flow.conftest import rows
from tests.waiting import wait_for

NAMES = [f"p{n}" for n in range(12)]


class Kiosk:
    """`kiosk run` as a process of its own, with an emulated sensor that outlives it."""

    def __init__(self, folder):
        self.folder = folder
        self.settings = folder / "kiosk.toml"
        self.port = folder / "sensor"
        self.settings.write_text(
            '[organisation]\nid = "club"\n[site]\nid = "hall"\n[screen]\nfullscreen = false\n'
            f'[storage]\ndirectory = "{folder}"\n[sensor]\nport = "{self.port}"\n'
        )
        self.process = None
        self.database, self.hub_database = folder / "kiosk.db", folder / "hub.db"

    def prepare(self, emulator):
        """Enrol twelve people as `kiosk enrol` would have left them."""
        clock = SystemClock()
        store = Store.open(self.database, org="club", site="hall", clock=clock, zone="UTC")
        table = StoredSlots(store, clock)
        with open_zfm(str(self.port)) as sensor:
            stamp = reconcile(sensor, table).stamp
        for slot, name in enumerate(NAMES):
            emulator.enrol(name, slot)
            table.put(stamp.sensor, Entry(slot, SlotState.ACTIVE, name))
        store.close()
        people = "".join(f"{name},{name.title()},,,{1000 + n}\n" for n, name in enumerate(NAMES))
        (self.folder / "people.csv").write_text("id,first_name,last_name,kind,code\n" + people)
        self.command("people", "import", self.folder / "people.csv")

    def command(self, *words):
        command = [sys.executable, "-m", "kiosk", *words, "--config", self.settings]
        subprocess.run(command, check=True, capture_output=True, timeout=60)

    def start(self):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "kiosk", "run", "--config", self.settings],
            stderr=subprocess.DEVNULL,
        )
        wait_for(self.url_file.exists, "the kiosk's own hub")
        return self.url_file.read_text()

    def end(self, number=signal.SIGKILL):
        self.process.send_signal(number)
        code = self.process.wait(20)
        self.process = None
        return code

    @property
    def url_file(self):
        return self.folder / HUB_URL_FILE

    def check_ins(self):
        return [r[0] for r in rows(self.database, "SELECT id FROM event WHERE kind = 'check_in'")]

    def knows_everybody(self):
        query = "SELECT count(*) FROM directory WHERE record = 'person'"
        return rows(self.database, query)[0][0] == len(NAMES)


@pytest.fixture
def kiosk(tmp_path):
    made = Kiosk(tmp_path)
    yield made
    if made.process is not None:
        made.process.kill()
        made.process.wait()


def _listens(url):
    parts = urlsplit(url)
    with contextlib.suppress(OSError), socket.create_connection((parts.hostname, parts.port), 1):
        return True
    return False


def _finger(emulator, kiosk, name):
    before = len(kiosk.check_ins())
    emulator.place(name)
    wait_for(lambda: len(kiosk.check_ins()) > before, f"{name}'s check-in")
    emulator.lift()
    polled = len(emulator.history)
    wait_for(lambda: len(emulator.history) > polled + 6, "the reader to see that it is lifted")


def test_a_kiosk_killed_in_a_burst_restarts_and_completes(kiosk):
    with Emulator("r307", kiosk.port) as emulator:
        kiosk.prepare(emulator)
        url = kiosk.start()
        wait_for(kiosk.knows_everybody, "the directory")
        for name in NAMES[:5]:
            _finger(emulator, kiosk, name)
        emulator.place(NAMES[5])  # dies with a finger on the glass
        kiosk.end(signal.SIGKILL)
        emulator.lift()
        wait_for(lambda: not _listens(url), "the orphaned hub to end by itself")
        before = kiosk.check_ins()
        assert len(before) >= 5
        kiosk.url_file.unlink()
        kiosk.start()
        for name in NAMES[6:9]:
            _finger(emulator, kiosk, name)
        own = {
            row[0] for row in rows(kiosk.database, "SELECT id FROM event WHERE kind != 'directory'")
        }
        assert set(before) <= own

        def at_hub():
            return {row[0] for row in rows(kiosk.hub_database, "SELECT id FROM event")}

        wait_for(lambda: own <= at_hub(), "everything to reach the hub")
        assert kiosk.end(signal.SIGTERM) == 0
    kseqs = rows(kiosk.database, "SELECT incarnation, kseq FROM event WHERE kind = 'check_in'")
    assert len(set(kseqs)) == len(kseqs)


def test_a_damaged_database_is_rescued_and_told_by_doctor(kiosk):
    kiosk.database.write_bytes(b"garbage" * 1000)
    kiosk.settings.write_text(
        kiosk.settings.read_text().replace(f'port = "{kiosk.port}"', 'port = ""')
    )
    kiosk.start()
    assert kiosk.end(signal.SIGTERM) == 0
    command = [sys.executable, "-m", "kiosk", "doctor", "--config", kiosk.settings]
    found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert found.returncode == 1
    assert "was damaged and is kept as" in found.stdout


def test_a_hub_killed_again_and_again_in_a_burst_gets_everything_once(tmp_path):
    clock = SystemClock()
    store = Store.open(tmp_path / "kiosk.db", org="club", site="hall", clock=clock, zone="UTC")
    hub = HubChild(tmp_path / "hub.db", "token-for-this-test")
    statuses = []
    line = SyncClient(store, lambda: hub.url, hub._token, clock, "hall", "k", statuses.append)
    store.on_commit(lambda _: line.wake())
    hub.start()
    line.start()
    try:
        for burst in range(4):
            wait_for(lambda: hub.url, "the hub")
            line.kick()
            drafts = [
                Draft(Kind.CHECK_IN, "s", f"p{burst}-{n}", data={"method": "finger"})
                for n in range(1500)
            ]
            ids = [event.id for event in store.record_many(drafts).result()]
            assert len(set(ids)) == 1500
            if burst < 3:
                wait_for(lambda: store.held()[0] < 1500, "the drain to begin")
                os.kill(hub._process.pid, signal.SIGKILL)
        wait_for(lambda: hub.url, "the hub")
        line.kick()
        wait_for(lambda: store.held()[0] == 0, "the drain", 60)
        own = store.event_ids()
    finally:
        line.stop()
        hub.stop()
        store.close()
    there = rows(tmp_path / "hub.db", "SELECT id, kseq FROM entry")
    assert {row[0] for row in there} == set(own)
    assert sorted(row[1] for row in there) == list(range(1, 6001))
