"""What the screen costs: start to first frame and memory, against a QML window with one word."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.bench.line import Line

ROUNDS = 9
PEOPLE = 2000
_ROOT = Path(__file__).resolve().parents[2]

_BARE = """
from PySide6.QtGui import QGuiApplication
from PySide6.QtQml import QQmlApplicationEngine
app = QGuiApplication([])
engine = QQmlApplicationEngine()
engine.loadData(
    b"import QtQuick; Window { width: 1280; height: 800; visible: true; Text { text: 'x' } }"
)
window = engine.rootObjects()[0]
"""
_SHELL = """
from ui.shell import Shell, application
app = application()
from tests.ui.staged import club, crowd
shell = Shell({desk})
window = shell.window
"""
# `kiosk run` itself, its reader unplugged, on the database of an earlier start. Once the first
# frame is on the screen it turns the collector on; that is told, and then it is told to end.
_KIOSK = """
import gc, os, signal, sys, time
def shown():
    now, gc.enable = time.monotonic(), collect
    print(now, 0, 0, flush=True)
    os.kill(os.getpid(), signal.SIGTERM)
collect, gc.enable = gc.enable, shown
from kiosk.__main__ import main
main(["run", "--config", sys.argv[1] + "/kiosk.toml"])
"""
_SETTINGS = """
[storage]
directory = "{folder}"
[sensor]
port = "{folder}/sensor"
[screen]
fullscreen = false
size = "1280x800"
"""
# Prints when the first frame was on screen, and the memory then, in KiB.
_MEASURE = """
import time
def done():
    now = time.monotonic()
    rows = open("/proc/self/smaps_rollup").read().splitlines()[1:]
    sizes = {row.split()[0]: row.split()[1] for row in rows}
    print(now, sizes["Rss:"], sizes["Pss:"])
    app.quit()
window.frameSwapped.connect(done)
app.exec()
"""


def run() -> list[Line]:
    """Medians of interleaved runs, each a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        return _measure(folder)


def _measure(folder: str) -> list[Line]:
    Path(folder, "kiosk.toml").write_text(_SETTINGS.format(folder=folder), encoding="utf-8")
    scripts = {
        "bare": _BARE,
        "shell": _SHELL.format(desk="club()"),
        "crowd": _SHELL.format(desk=f"crowd({PEOPLE})"),
        "kiosk": _KIOSK,
    }
    for script in scripts.values():
        _once(script, folder)  # fills the caches of pages, compiled QML and compiled Python
    runs = [
        {name: _once(script, folder) for name, script in scripts.items()} for _ in range(ROUNDS)
    ]
    first, rss, pss = (
        {name: statistics.median(each[name][i] for each in runs) for name in scripts}
        for i in range(3)
    )
    return [
        Line("screen start to first frame", first["shell"], "s", first["bare"], "lower", 2.0, 1.3),
        Line("kiosk start to first frame", first["kiosk"], "s", first["bare"], "lower", 2.0, 1.3),
        Line(f"RSS, {PEOPLE} people", rss["crowd"], "KiB", rss["bare"], must=2.0, extreme=1.5),
        Line(f"PSS, {PEOPLE} people", pss["crowd"], "KiB", pss["bare"], must=2.0, extreme=1.5),
    ]


def _once(script: str, folder: str) -> tuple[float, int, int]:
    """Seconds to the first frame, RSS and PSS in KiB."""
    environment = os.environ | {"QT_QPA_PLATFORM": "offscreen", "QT_QUICK_BACKEND": "software"}
    # What is installed is compiled; the rounds find what the first run left, Qt's modules and ours.
    environment["PYTHONPYCACHEPREFIX"] = f"{folder}/compiled"
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    whole = script if script is _KIOSK else script + _MEASURE
    command = [sys.executable, "-c", whole, folder]
    started = time.monotonic()
    done = subprocess.run(
        command, cwd=_ROOT, env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    at, rss, pss = done.stdout.split()
    return round(float(at) - started, 4), int(rss), int(pss)


if __name__ == "__main__":
    for line in run():
        print(line.json())
