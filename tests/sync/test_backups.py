"""Backups that a hub makes by itself: when, how many, and what is said when one cannot be made."""

from __future__ import annotations

import asyncio
import logging
import os

import pytest

from sync.hub.backup import restore
from sync.hub.backups import Backups, Plan, main
from tests.sync.auth.rig import ask
from tests.sync.kiosks import held_by
from tests.sync.rig import NS, Author, TestClock, hub, joined, until

HOUR = 3600


class Clock(TestClock):
    """Its monotonic time is moved by hand too."""

    steady = 0.0

    def monotonic(self):
        return self.steady

    def pass_(self, hours):
        self.steady += hours * HOUR
        self.now += int(hours * HOUR) * NS


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "stick").mkdir()
    return tmp_path / "stick"


@pytest.fixture
async def db(tmp_path):
    async with hub(tmp_path / "hub.db") as server, joined(server.url) as peer:
        await peer.push(*Author().bodies(3))
    return tmp_path / "hub.db"


def names(folder):
    return sorted(path.name for path in folder.iterdir())


async def health(server):
    return (await ask(server.url, "GET", "/health"))[1]


async def test_one_is_made_at_once_and_then_every_so_many_hours_and_so_many_are_kept(
    db, folder, clock
):
    (folder / "other.db").write_text("not ours")
    made = Backups(db, Plan(folder, 6.0, 2), clock)
    assert await made.look()
    assert not await made.look()
    first = names(folder)[0]
    assert (folder / first).stat().st_mode & 0o077 == 0
    for _ in range(3):
        clock.pass_(5.9)
        assert not await made.look()
        clock.pass_(0.1)
        assert await made.look()
    assert names(folder)[-1] == "other.db"
    assert len(names(folder)) == 3
    assert first not in names(folder)
    other = folder.parent / "back" / "hub.db"
    other.parent.mkdir()
    assert restore(other, folder / names(folder)[-2]).events == 3
    assert held_by(other) == held_by(db)


async def test_a_hub_that_starts_again_makes_none_before_it_is_time(db, folder, clock):
    assert await Backups(db, Plan(folder), clock).look()
    clock.pass_(23)
    again = Backups(db, Plan(folder), clock)
    assert not await again.look()
    clock.pass_(1)
    assert await again.look()
    clock.pass_(-48)  # a clock that has gone back knows nothing of when the last was made
    assert await Backups(db, Plan(folder), clock).look()


async def test_a_folder_that_is_away_is_one_line_and_tried_again(db, folder, clock, caplog):
    folder.rmdir()
    made = Backups(db, Plan(folder), clock)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert not await made.look()
            clock.pass_(0.5)
        assert made.state == "failing"
        (said,) = caplog.messages
        assert "is its disk mounted?" in said
        assert not folder.exists()
        folder.mkdir()
        assert await made.look()
    assert made.state == "ok"
    assert caplog.messages[1:] == ["backups are made again"]


async def test_a_full_disk_leaves_the_old_ones_and_no_rubbish(db, folder, clock, monkeypatch):
    made = Backups(db, Plan(folder, keep=1), clock)
    assert await made.look()
    before = names(folder)
    (folder / ".hub-20270115T080000Z.db.1a2b3c4d").write_text("left by one that was killed")
    clock.pass_(24)
    # Every file of the next one ends at 16 KiB, as on a disk that has no more.
    monkeypatch.setenv("PYTHONPATH", str(_limited(folder.parent)))
    assert not await made.look()
    assert made.state == "failing"
    assert "cannot be made" in made._said
    assert names(folder) == before
    monkeypatch.delenv("PYTHONPATH")
    clock.pass_(0.2)
    assert await made.look()
    assert len(names(folder)) == 1
    assert names(folder) != before


def _limited(path):
    """A folder that makes a Python whose files cannot grow."""
    found = path / "limited"
    found.mkdir()
    text = "import resource, signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
    text += "resource.setrlimit(resource.RLIMIT_FSIZE, (16384, 16384))\n"
    (found / "sitecustomize.py").write_text(text)
    return found


def test_the_process_says_what_is_wrong_in_one_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(os, "nice", lambda _: 0)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    assert main(str(tmp_path / "none.db"), str(tmp_path / "x")) == 1
    assert capsys.readouterr().err == f"there is no hub at {tmp_path / 'none.db'}\n"


async def test_a_running_hub_makes_them_tells_kiosks_what_is_safe_and_says_so(db, folder):
    async with hub(db) as server:
        assert (await health(server))["backups"] == "off"
    async with hub(db, backups=Plan(folder)) as server:
        await until(lambda: names(folder) and not names(folder)[0].startswith("."), 20)
        found = await health(server)
        while not found["stable"]:  # noted once the file has its name
            await asyncio.sleep(0.02)
            found = await health(server)
        assert found["backups"] == "ok"
        async with joined(server.url) as peer:
            assert peer.welcome.stable == found["stable"] > 0
    async with hub(db, backups=Plan(folder / "away")) as server:
        await until(lambda: server._backups.state == "failing")
        assert (await health(server))["backups"] == "failing"


async def test_a_hub_that_stops_in_the_midst_of_one_leaves_nothing_half_made(db, folder):
    async with hub(db, backups=Plan(folder)) as server:
        await until(lambda: server._backups._next is not None)
    assert not [name for name in names(folder) if name.startswith(".")]
