"""Where a demo may make its files, and whose it never takes away."""

from __future__ import annotations

import subprocess
import sys

import pytest

from kiosk.stage import DemoError, clear

_DEMO = """
import sys
from pathlib import Path
from kiosk.stage import clear
clear(Path(sys.argv[1]))
print("taken", flush=True)
sys.stdin.read()
"""


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_real_kiosks_folder_is_refused_and_left_as_it_is(tmp_path, open_store):
    open_store().close()
    (tmp_path / "hub.db").write_bytes(b"the hub's")
    before = contents(tmp_path)
    with pytest.raises(DemoError, match="is not a demo's folder"):
        clear(tmp_path)
    assert contents(tmp_path) == before


def test_a_demos_own_folder_is_cleared_of_what_a_demo_makes_and_nothing_else(tmp_path):
    out = tmp_path / "demo"
    (out / "log").mkdir(parents=True)  # the log begins before the demo does
    clear(out)
    for name in ("kiosk.db", "kiosk.db-wal", "second.db", "hub.db.token", "mine.txt"):
        (out / name).write_text(name)
    clear(out)
    kept = {path.name for path in out.iterdir() if path.suffix != ".lock"}
    assert kept == {"whorl-demo", "log", "mine.txt"}


def test_a_second_demo_in_the_same_folder_is_refused_while_the_first_lives(tmp_path):
    command = [sys.executable, "-c", _DEMO, tmp_path]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "taken\n"
        (tmp_path / "kiosk.db").write_text("the first one's")
        with pytest.raises(DemoError, match="another demo"):
            clear(tmp_path)
        assert (tmp_path / "kiosk.db").read_text() == "the first one's"
        other.communicate("")
    clear(tmp_path)
    assert not (tmp_path / "kiosk.db").exists()


def test_a_kiosk_that_runs_in_a_demos_folder_keeps_its_database(tmp_path, open_store):
    clear(tmp_path)
    open_store()
    with pytest.raises(DemoError, match="in use"):
        clear(tmp_path)
    assert (tmp_path / "kiosk.db").exists()
    assert list(tmp_path.glob("kiosk.db.lock"))
