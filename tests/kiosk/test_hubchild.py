from __future__ import annotations

import os
import signal
import threading

import pytest

from kiosk.hubchild import HubChild
from tests.waiting import wait_for

TOKEN = "a-token-for-this-test"  # noqa: S105  of no real hub


class Urls:
    """Every URL told, None for a hub that is gone."""

    def __init__(self):
        self.told = []
        self.moved = threading.Event()

    def __call__(self, url):
        self.told.append(url)
        self.moved.set()


@pytest.fixture
def urls():
    return Urls()


@pytest.fixture
def child(tmp_path, urls):
    made = HubChild(tmp_path / "hub.db", TOKEN, urls)
    yield made
    made.stop()


def test_it_listens_and_ends_in_good_order(child, urls):
    child.start()
    assert urls.moved.wait(20)
    assert child.url.startswith("http://127.0.0.1:")
    process = child._process
    child.stop()
    assert process.returncode == 0
    assert urls.told[-1] is None
    assert child.url is None


def test_one_that_dies_is_started_again(child, urls):
    child.start()
    first = wait_for(lambda: child.url, "the hub")
    os.kill(child._process.pid, signal.SIGKILL)
    second = wait_for(lambda: child.url if child.url != first else None, "another hub")
    assert urls.told[:3] == [first, None, second]


def test_one_that_was_killed_on_purpose_stays_away_until_it_is_wanted(child):
    child.start()
    wait_for(lambda: child.url, "the hub")
    child.kill()
    assert child._process is None
    assert child.url is None
    child.start()
    assert wait_for(lambda: child.url, "the hub")


def test_starting_twice_and_stopping_twice_do_no_harm(child):
    child.start()
    child.start()
    wait_for(lambda: child.url, "the hub")
    child.stop()
    child.stop()


def test_stopping_one_that_is_just_starting_leaves_nothing(tmp_path, urls):
    child = HubChild(tmp_path / "hub.db", TOKEN, urls)
    child.start()
    child.stop()
    assert child._process is None
    assert child.url is None
