"""Start, end and the ground below: engine, fonts, renderer, and Qt's own reference counting."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import weakref
from pathlib import Path

import PySide6
import pytest
from PySide6.QtCore import QObject, QTimer, qInstallMessageHandler
from PySide6.QtGui import QColor, QFont, QFontDatabase, QFontInfo, QImage
from PySide6.QtQml import QQmlApplicationEngine

from kiosk.model import Phase
from tests.ui import staged
from ui.shell import Shell, ShellError, destroy, open_window

ROOT = Path(__file__).resolve().parents[2]


def test_grab_writes_what_the_window_shows(shell, tmp_path):
    shell.grab(tmp_path / "idle.png")
    picture = QImage(str(tmp_path / "idle.png"))
    assert (picture.width(), picture.height()) == (1280, 800)
    assert picture.pixelColor(5, 5) == QColor("#E2ECEB")
    assert picture.pixelColor(1270, 5) == QColor("#F7FAF9")
    assert picture.pixelColor(400, 477) == QColor("#0D5763"), "the ring's outermost arc"


def test_grab_that_fails_says_so(shell):
    with pytest.raises(OSError, match="could not write"):
        shell.grab("/nowhere/at/all.png")


def test_the_shipped_fonts_are_the_ones_used(shell):
    font = QFont(QFontDatabase.applicationFontFamilies(0))
    for weight in (QFont.Weight.Normal, QFont.Weight.DemiBold):
        font.setWeight(weight)
        assert QFontInfo(font).family() == "Noto Sans"
        assert QFontInfo(font).weight() == weight


def test_closing_leaves_nothing_behind(qapp, kiosk_window, desk):
    for _ in range(3):
        shell = kiosk_window()
        shell.pill.open()
        desk.stage(phase=Phase.READING)
        qapp.processEvents()
    dying = staged.school()
    shell = Shell(dying, size=(800, 480))
    engine = weakref.ref(shell._engine)
    shell.close()
    assert dying._watchers == []
    del shell
    gc.collect()
    assert engine() is None
    dying.stage(phase=Phase.IDLE)


def test_qml_that_does_not_load_is_an_error(qapp):
    engine = QQmlApplicationEngine()
    with pytest.raises(ShellError, match=r"Nothing\.qml"):
        open_window_quietly(engine)
    destroy(engine)


def open_window_quietly(engine):
    """Qt's warning that there is no such file is what is wanted here, not a failure."""
    before = qInstallMessageHandler(lambda *_: None)
    try:
        open_window(engine, "Nothing", {})
    finally:
        qInstallMessageHandler(before)


def test_a_whole_life_writes_no_warning(tmp_path):
    script = (
        "from tests.ui import staged\n"
        "from ui.shell import Shell, application\n"
        "app = application()\n"
        "desk = staged.club()\n"
        "shell = Shell(desk)\n"
        "app.processEvents()\n"
        "shell.pill.open(); shell.other_ways.enterPage()\n"
        "app.processEvents()\n"
        "shell.close()\n"
        "import sys\n"
        "print([name for name in sys.modules if name.startswith('PySide6.QtWidgets')])\n"
    )
    bare = {k: v for k, v in os.environ.items() if not k.startswith(("QT_QUICK", "QSG"))}
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env=bare | {"QT_QPA_PLATFORM": "offscreen"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout == "[]\n", "no Widgets in the product"


def test_no_screen_is_said_plainly():
    blind = {
        k: v
        for k, v in os.environ.items()
        if k not in ("QT_QPA_PLATFORM", "DISPLAY", "WAYLAND_DISPLAY")
    }
    script = (
        "from ui import shell\n"
        "shell.Path.exists = lambda path: False\n"
        "try:\n    shell.application()\n"
        "except shell.ShellError as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env=blind,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.startswith("no screen found")


def test_void_calls_into_qt_keep_the_references_to_none(qapp):
    """PySide6 6.12 gives one away per void call under Python 3.11 and aborts soon after."""
    assert tuple(map(int, PySide6.__version__.split(".")[:2])) < (6, 12)
    thing, timer = QObject(), QTimer()
    before = sys.getrefcount(None)
    for _ in range(500):
        thing.setObjectName("x")
        timer.stop()
    assert sys.getrefcount(None) > before - 50


def test_the_first_frame_is_waited_for_and_told_once(qapp, desk):
    shell = Shell(desk, size=(800, 480))
    told = []
    shell.when_shown(lambda: told.append("waited"))
    assert not shell.shown
    assert told == []
    shell.await_frame(10)
    assert shell.shown
    shell.when_shown(lambda: told.append("at once"))
    desk.stage(phase=Phase.READING)
    qapp.processEvents()
    assert told == ["waited", "at once"]
    shell.close()


def test_a_screen_that_is_off_holds_nobody_up(qapp, desk):
    shell = Shell(desk, size=(800, 480))
    shell.window.hide()
    shell.await_frame(0.05)
    assert not shell.shown
    shell.close()
