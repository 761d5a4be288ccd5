"""Whole days on virtual time: nothing lost, nothing doubled, and the same seed plays the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace

import msgspec
import pytest
from click.testing import CliRunner

from kiosk.__main__ import main
from kiosk.simulation import many
from kiosk.simulation.play import Played
from kiosk.simulation.scene import Day
from kiosk.storefile import connect
from sync.client.downloads import Downloads
from sync.client.exchange import Exchange

SEEDS = (1, 2, 4, 5, 7, 14, 17, 21, 25, 28, 31, 34, 50, 62)  # in which all of these happen
FAULTS = {
    "clock_1970",
    "clock_2038",
    "clock_jump",
    "disk_refused",
    "event_forged",
    "frame_lost",
    "hub_backup",
    "hub_killed",
    "hub_power",
    "hub_pruned",
    "hub_restored",
    "hub_untrusted",
    "kiosk_cloned",
    "kiosk_killed",
    "kiosk_power",
    "kiosk_put_back",
    "kiosk_revoked",
    "line_cut",
    "line_down",
    "line_proxied",
    "line_slow",
    "line_stalled",
    "stick_carried",
    "went_by_polling",
    "went_by_sse",
    "write_torn",
}


@pytest.fixture(scope="module")
def stage():
    with many.stage() as found:
        yield found


def test_days_full_of_faults_end_well(stage):
    seen = set()
    for seed in SEEDS:
        played = stage.play(Day(seed))
        assert not played.wrong, f"seed {seed}: {played.wrong[:3]}"
        assert played.report.events > 8
        seen |= set(played.report.faults)
    assert seen >= FAULTS


def test_more_kiosks_people_and_hours(stage):
    played = stage.play(Day(7, kiosks=4, people=12, hours=2.0))
    assert not played.wrong, played.wrong[:3]
    assert played.report.events > 60


def test_two_seeds_play_two_days(stage):
    assert stage.play(Day(1)).report.digest != stage.play(Day(2)).report.digest


def test_the_same_seed_prints_the_same_line_again_and_elsewhere(stage, tmp_path):
    """A day with tokens and plain HTTP, in two more processes and twice in this."""
    days = (13,)
    here = [[stage.play(Day(seed)).report.line() for seed in days] for _ in range(2)]
    there = [[_line(tmp_path / name, name, seed) for seed in days] for name in ("0", "4242")]
    assert [*here, *there] == [here[0]] * 4
    for line in here[0]:
        found = json.loads(line)
        assert (found["lost"], found["doubled"], found["diverged"]) == (0, 0, 0)
        assert found["events"] > 8
        assert sum(found["faults"].values()) > 3
        assert len(found["digest"]) == 32


def _line(folder, hash_seed, seed):
    folder.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-m", "kiosk", "simulate", "--seed", str(seed)],
        env=os.environ | {"PYTHONHASHSEED": hash_seed, "TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()[-1]


def test_many_at_once_are_summed_up():
    told = []
    summary, wrong = many.play_many(Day(1), 4, 2, told.append)
    with many.stage() as here:
        alone = [here.play(replace(Day(1), seed=seed)).report for seed in range(1, 5)]
    assert not wrong
    assert summary.good
    assert (summary.seed, summary.seeds) == (1, 4)
    assert summary.events == sum(report.events for report in alone)
    assert told[-1] == "4 of 4"


def test_the_command_plays_many_and_prints_their_sum():
    done = CliRunner().invoke(main, ["simulate", "--seed", "3", "--seeds", "2"])
    assert done.exit_code == 0, done.output
    assert "2 seeds in" in done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert (found["seed"], found["seeds"], found["failed"]) == (3, 2, None)


def test_the_command_fails_with_what_it_found(monkeypatch):
    played = many.play(Day(3))
    bad = Played(msgspec.structs.replace(played.report, lost=1), ("an act is gone",))
    monkeypatch.setattr(many, "play", lambda _: bad)
    done = CliRunner().invoke(main, ["simulate", "--seed", "3"])
    assert done.exit_code == 1
    assert "an act is gone" in done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["lost"] == 1


# -- that it can fail ------------------------------------------------------------------------------


async def _nothing(*_):
    """Stands for a step that was left out."""


def _without_sync(path):
    connection = connect(path)
    connection.execute("PRAGMA synchronous = NORMAL")
    return connection


async def _cursor_first(self, before, page, part, upto):
    await self._stored(page, [], upto)
    for item in part:
        await self._put_one(page, item, upto)


@pytest.mark.parametrize(
    ("owner", "name", "broken", "what", "first"),
    [
        (Exchange, "_reoffer", _nothing, "lost", 21),
        ("kiosk.store", "connect", _without_sync, "lost", 1),
        (Downloads, "_put", _cursor_first, "diverged", 4),
    ],
    ids=["nothing offered again", "a commit that waits for no disk", "cursor before events"],
)
def test_what_is_broken_is_found(stage, monkeypatch, owner, name, broken, what, first):
    target = f"{owner}.{name}" if isinstance(owner, str) else owner
    monkeypatch.setattr(*((target,) if isinstance(owner, str) else (target, name)), broken)
    reports = (stage.play(Day(seed)).report for seed in range(first, first + 60))
    assert any(getattr(report, what) for report in reports)
