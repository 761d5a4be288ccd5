"""A sensor on a real pseudo-terminal, and the driver on the other end of it."""

from __future__ import annotations

import queue
import time

import pytest

from drivers.emulator import Emulator
from drivers.zfm import open_zfm


def wait_until(condition, seconds=5.0):
    """For what can only be looked at; everything that can be waited for is."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)


@pytest.fixture
def emulator(tmp_path):
    with Emulator("r307", tmp_path / "sensor", seed=7) as running:
        yield running


@pytest.fixture
def sensor(emulator):
    with open_zfm(emulator.port) as opened:
        yield opened


class Events:
    """Keeps what a reader emits; `next` waits for the next one that is not skipped."""

    def __init__(self):
        self._queue = queue.Queue()

    def __call__(self, event):
        self._queue.put(event)

    def next(self, kind, seconds=5.0):
        event = self._queue.get(timeout=seconds)
        assert isinstance(event, kind), event
        return event

    def skip_to(self, kind, seconds=5.0):
        while not isinstance(event := self._queue.get(timeout=seconds), kind):
            pass
        return event

    def none_for(self, seconds):
        with pytest.raises(queue.Empty):
            self._queue.get(timeout=seconds)


@pytest.fixture
def events():
    return Events()
