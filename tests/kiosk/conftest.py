"""A real store on a real file, for whoever asks."""

from __future__ import annotations

import contextlib
import sqlite3

import pytest

from drivers.emulator import Emulator
from drivers.events import SensorUp
from drivers.reconcile import reconcile
from drivers.zfm import open_zfm
from kiosk.keeper import Keeper
from kiosk.slots import StoredSlots
from kiosk.store import Store
from kiosk.templates import TemplateStore
from kiosk.vault import KeyRing
from tests.fakes import FakeClock
from tests.kiosk.keeping import QUIET, Heard, settings


@pytest.fixture
def clock():
    return FakeClock()


def assert_counted(store):
    """Whatever the test did: what the store says it holds is what its database holds."""
    with (
        contextlib.suppress(sqlite3.DatabaseError),
        contextlib.closing(sqlite3.connect(store.path)) as db,
    ):
        assert db.execute("SELECT count(*) FROM outbox").fetchone() == (store._ledger.unsent,)


@pytest.fixture
def open_store(tmp_path, clock):
    """Opens the database of this test; closes whatever is still open at its end."""
    opened = []

    def opening(path=tmp_path / "kiosk.db", **kwargs):
        settings = {"org": "club", "site": "hall", "clock": clock, "zone": "Europe/London"}
        store = Store.open(path, **(settings | kwargs))
        opened.append(store)
        return store

    yield opening
    for store in opened:
        store.close()


@pytest.fixture
def store(open_store):
    opened = open_store()
    yield opened
    opened.close()
    assert_counted(opened)


@pytest.fixture
def slots(store, clock):
    """The slot table of this test's store."""
    return StoredSlots(store, clock)


@pytest.fixture
def templates(tmp_path, clock):
    """An empty vault of templates."""
    ring = KeyRing(tmp_path / "vault.key", {})
    opened = TemplateStore.open(tmp_path / "templates.db", ring, clock)
    yield opened
    opened.close()


@pytest.fixture
def emulator(tmp_path):
    """An R307 on a pseudo-terminal."""
    with Emulator("r307", tmp_path / "sensor", seed=7) as running:
        yield running


@pytest.fixture
def sensor(emulator, slots):
    """The driver at its other end, bound to this test's store."""
    with open_zfm(emulator.port) as opened:
        reconcile(opened, slots)
        yield opened


@pytest.fixture
def heard():
    """What this test's keepers tell."""
    return Heard()


@pytest.fixture
def keepers(store, clock, tmp_path, heard):
    """Starts a keeper with these settings for templates; it is up when this returns."""
    running = []

    def start(watch=lambda: None, **how):
        keeper = Keeper(settings(tmp_path, **how), store, clock, heard, QUIET)
        keeper.on_library(watch)
        running.append(keeper)
        keeper.start()
        heard.until(SensorUp)
        return keeper

    yield start
    for keeper in running:
        keeper.stop()
