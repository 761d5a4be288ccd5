"""What every test keeps: no thread, no background task and no stray environment left behind."""

from __future__ import annotations

import os
import threading
import time

import pytest

from kiosk import tasks

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("QT_QUICK_BACKEND", "software")


@pytest.fixture(autouse=True)
def _nothing_left_behind():
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + 2
    while (left := _threads_since(before)) and time.monotonic() < deadline:
        left[0].join(0.05)
    assert not left, f"threads left running: {left}"
    assert not tasks._KEPT, f"tasks left running: {tasks._KEPT}"


def _threads_since(before):
    # asyncio's own worker threads belong to the loop's executor and end with the interpreter.
    return [
        t for t in threading.enumerate() if t not in before and not t.name.startswith("asyncio_")
    ]
