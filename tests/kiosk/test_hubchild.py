from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
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


def spoil(path):
    """Break a database as a dying card does: its pages are there, and are not what they were."""
    path.write_bytes(b"not a database at all, and longer than a header" * 400)


def test_a_damaged_database_is_moved_aside_and_a_new_one_begun(child, tmp_path, caplog):
    spoil(tmp_path / "hub.db")
    before = (tmp_path / "hub.db").read_bytes()
    child.start()
    assert wait_for(lambda: child.url, "the hub")
    (kept,) = tmp_path.glob("hub.db.damaged-*")
    assert kept.read_bytes() == before
    (told,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert kept.name in told.message


def test_why_a_hub_ends_is_in_the_log(tmp_path, urls, caplog):
    with contextlib.closing(sqlite3.connect(tmp_path / "hub.db")) as database:
        database.execute("PRAGMA user_version = 99")
    child = HubChild(tmp_path / "hub.db", TOKEN, urls)
    child.start()
    try:
        wait_for(lambda: "will be started again" in caplog.text, "the hub to end")
    finally:
        child.stop()
    (line, *_) = [r for r in caplog.records if r.message.startswith("hub: kiosk hub:")]
    assert (line.levelname, "newer hub" in line.message) == ("WARNING", True)
    assert TOKEN not in caplog.text


def test_a_hub_that_another_one_keeps_from_running_loses_nothing(child, tmp_path, caplog):
    child.start()
    wait_for(lambda: child.url, "the hub")
    second = HubChild(tmp_path / "hub.db", TOKEN)
    second.start()
    try:
        wait_for(lambda: "another hub works on" in caplog.text, "the second to be refused")
    finally:
        second.stop()
    assert not list(tmp_path.glob("*.damaged-*"))
