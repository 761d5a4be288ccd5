"""Waiting for what another process does, where there is no event to await."""

from __future__ import annotations

import time


def wait_for(condition, what, seconds=20.0):
    """Look until `condition` gives something true, and give that back."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.02)  # why: another process's file or socket announces nothing
    raise AssertionError(f"waited {seconds} s in vain for {what}")
