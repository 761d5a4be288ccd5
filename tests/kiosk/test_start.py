"""The way to the first frame: what it does without, what it shows, and how it is cut short."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import click
import pytest
from PySide6.QtGui import QColor, QImage

from kiosk.__main__ import main
from kiosk.storefile import take_lock
from kiosk.terminal import LazyCommand

# Each costs what no frame needs; all of them are loaded by parts that draw nothing.
HEAVY = {
    "aiohttp", "argon2", "asyncio", "cryptography", "drivers.badge", "drivers.errors",
    "drivers.profiles", "drivers.reader", "http", "jwt", "kiosk.hubchild", "kiosk.keeper",
    "kiosk.pairing", "kiosk.salvage", "prometheus_client", "PySide6.QtWidgets", "pyfingerprint",
    "qasync", "segno", "serial", "sqlite_utils", "ssl", "sync.client", "sync.hub.core",
    "sync.protocol", "ui.badges", "ui.fingertip", "uvloop", "websockets",
}  # fmt: skip
# What `kiosk run` calls once the first frame is on the screen is `gc.enable`.
FIRST_FRAME = """
import gc, json, os, signal, sys
from PySide6.QtGui import QGuiApplication
collect, gc.enable = gc.enable, lambda: shown()
def shown():
    gc.enable = collect
    if not QGuiApplication.topLevelWindows():
        return
    window = QGuiApplication.topLevelWindows()[0]
    print(json.dumps(sorted(sys.modules)), flush=True)
    for path in sys.argv[2:]:
        window.grabWindow().save(path)
    {then}
from kiosk.__main__ import main
main(["run", "--config", sys.argv[1]])
"""
TOLD = "os.kill(os.getpid(), signal.{})"
TERM = TOLD.format("SIGTERM")


@pytest.fixture
def settings(tmp_path):
    path = tmp_path / "kiosk.toml"
    path.write_text(
        '[organisation]\nid = "club"\nname = "The Club"\n[site]\nid = "hall"\n'
        '[screen]\nfullscreen = false\nsize = "800x480"\n'
        f'[storage]\ndirectory = "{tmp_path}"\n'
    )
    return path


@pytest.fixture
def with_reader(settings):
    """The same, with a reader that nobody knows yet to be unplugged."""
    settings.write_text(settings.read_text() + '[sensor]\nport = "/dev/nothing-there"\n')
    return settings


def until_the_first_frame(settings, *pictures, then=TERM):
    """`kiosk run` up to its first frame, and what happens to it right then."""
    script = FIRST_FRAME.replace("{then}", then)
    return subprocess.run(
        [sys.executable, "-c", script, settings, *pictures],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_the_first_frame_waits_for_nothing_that_does_not_draw_it(with_reader):
    until_the_first_frame(with_reader)  # makes the database, once
    done = until_the_first_frame(with_reader)
    loaded = set(json.loads(done.stdout))
    assert {"kiosk.desk", "kiosk.store", "ui.shell"} <= loaded
    assert sorted(HEAVY & loaded) == []


def test_the_first_frame_is_the_whole_idle_screen(with_reader, tmp_path):
    until_the_first_frame(with_reader, tmp_path / "first.png")
    first = QImage(str(tmp_path / "first.png"))
    assert (first.width(), first.height()) == (800, 480)
    assert first.pixelColor(3, 3) == QColor("#E2ECEB")
    assert first.pixelColor(790, 300) == QColor("#F7FAF9"), "the roster's panel"
    ring = {first.pixelColor(x, 228).name() for x in range(472)}
    assert "#0d5763" in ring, "the ring, ready for a finger"
    header = {first.pixelColor(x, y).name() for x in range(24, 200) for y in range(15, 60)}
    assert len(header) > 3, "the club's name in the header"


def test_a_kiosk_without_a_reader_asks_for_no_finger_in_its_first_frame_either(settings, tmp_path):
    done = until_the_first_frame(settings, tmp_path / "first.png")
    assert (done.returncode, done.stderr) == (0, "")
    first = QImage(str(tmp_path / "first.png"))
    assert first.pixelColor(790, 300) == QColor("#E2ECEB"), "no roster beside the trouble"
    words = {first.pixelColor(x, y).name() for x in range(250, 780) for y in range(100, 330)}
    assert len(words) > 3, "what is the matter, and what to do"


@pytest.mark.parametrize("told", ["SIGTERM", "SIGINT"])
def test_who_is_told_to_end_before_all_is_up_ends_in_good_order(settings, told):
    done = until_the_first_frame(settings, then=TOLD.format(told))
    assert (done.returncode, done.stderr) == (0, "")
    take_lock(settings.with_name("kiosk.db")).close()


def test_a_window_closed_before_all_is_up_ends_the_kiosk(settings):
    done = until_the_first_frame(settings, then="window.close()")
    assert (done.returncode, done.stderr) == (0, "")


def test_what_stands_in_the_way_is_said_before_anything_is_shown(settings):
    with take_lock(settings.with_name("kiosk.db")):
        done = until_the_first_frame(settings)
    assert (done.returncode, done.stdout) == (1, "")
    line, *more = done.stderr.splitlines()
    assert not more
    assert f"is in use by another Whorl (process {os.getpid()})" in line


def test_a_signal_before_the_first_frame_waits_until_it_can_be_obeyed(settings):
    script = FIRST_FRAME.replace("{then}", "").replace(
        "from kiosk.__main__", "import kiosk.app\n"
        "show = kiosk.app.App.show\n"
        "def early(app):\n"
        f"    {TERM}\n"
        "    return show(app)\n"
        "kiosk.app.App.show = early\n"
        "from kiosk.__main__",
    )  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", script, settings],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert signal.SIGTERM not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


@pytest.mark.parametrize("words", [["--help"], ["run", "--help"], ["hub", "--help"]])
def test_help_is_given_without_what_it_tells_of(words):
    script = f"import sys\nfrom kiosk.__main__ import main\nsys.argv[1:] = {words}\n"
    script += "try: main()\nfinally: print(*sys.modules, file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.startswith("Usage: ")
    none = {"PySide6", "msgspec", "sqlite3", "kiosk.config", "kiosk.model", "sync.hub"} | HEAVY
    assert sorted(none & set(done.stderr.split())) == []


def lazy():
    return [one for one in main.commands.values() if isinstance(one, LazyCommand)]


@pytest.mark.parametrize("command", lazy(), ids=lambda command: command.name)
def test_what_is_said_of_a_command_is_what_it_says_of_itself(command):
    found = command.loaded()
    assert isinstance(found, click.Command)
    assert found.help.replace("\n", " ").startswith(command.help)


def test_a_name_that_is_no_command_is_found_out():
    with pytest.raises(TypeError, match="no command"):
        LazyCommand("one_line", "kiosk.terminal", "").loaded()
