"""A real store on a real file, for whoever asks."""

from __future__ import annotations

import pytest

from kiosk.store import Store
from tests.fakes import FakeClock


@pytest.fixture
def clock():
    return FakeClock()


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
    return open_store()
