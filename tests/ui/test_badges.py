"""Real key events on a real window: a badge reader's go to the desk, a person's to the screen."""

from __future__ import annotations

import logging

import pytest
from PySide6.QtCore import QCoreApplication, QEvent, Qt, QUrl
from PySide6.QtGui import QGuiApplication, QKeyEvent, QWindow
from PySide6.QtQml import QQmlComponent
from PySide6.QtQuick import QQuickItem
from PySide6.QtTest import QSignalSpy, QTest

from drivers.badge import BadgeFormat, BadgeParser
from kiosk.model import Phase
from tests.shots import Stage
from tests.ui.conftest import item, until

PROBE = b"""
import QtQuick
import QtQuick.Templates as T
Item {
    id: probe
    property alias text: input.text
    property int pressed: 0
    property string shortcuts: ""
    Shortcut { sequence: "5"; onActivated: probe.shortcuts += "plain " }
    Shortcut { sequence: "Ctrl+5"; onActivated: probe.shortcuts += "ctrl " }
    TextInput { id: input; objectName: "field"; width: 200; height: 40; activeFocusOnTab: true }
    T.AbstractButton {
        objectName: "button"
        y: 50; width: 100; height: 40
        Keys.onReturnPressed: parent.pressed++
        Keys.onEnterPressed: parent.pressed++
        onClicked: parent.pressed++
    }
}
"""
SCREENS = (
    "idle",
    "reading",
    "accepted",
    "refused",
    "try_again",
    "out_of_order",
    "other_ways_code",
    "pill_detail",
)


# What a test scans must not be torn by a busy machine; what it types must not wait for long.
PATIENT, BRISK = 5.0, 0.02
typing = pytest.mark.parametrize("gap", [BRISK])


@pytest.fixture
def gap():
    return PATIENT


@pytest.fixture
def window(kiosk_window, gap):
    """The door with a reader of badges, and in it a field and a button that take keys."""
    shell = kiosk_window(badge=True)
    listen(shell, gap)
    component = QQmlComponent(shell._engine)
    component.setData(PROBE, QUrl())
    probe = component.create()
    probe.setParentItem(shell.window.contentItem())
    shell.window.requestActivate()
    yield shell.window, probe
    probe.deleteLater()


def listen(shell, gap=PATIENT):
    shell.read_badges(BadgeParser(BadgeFormat(gap=gap)))


def keys(window, text):
    """Each character as a key event of its own; QTest.keyClicks itself takes only widgets."""
    for character in text:
        QTest.keyClick(window, character)


def scan(window, token, end=Qt.Key.Key_Return):
    keys(window, token)
    QTest.keyClick(window, end)


def quiet(shell):
    return until(lambda: not shell._badges._waiting)


def part(probe, name):
    return probe.findChild(QQuickItem, name)


def badges(desk):
    return [call[1] for call in desk.calls if call[0] == "badge"]


@pytest.mark.parametrize("end", [Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Tab])
def test_a_scan_reaches_the_desk_and_neither_field_nor_button(qapp, desk, window, end):
    window, probe = window
    for name in ("field", "button"):
        focused = part(probe, name)
        focused.forceActiveFocus()
        scan(window, f"AbC-20417/ {name}", end)
        assert focused.hasActiveFocus(), "its Tab did not move the focus"
    assert badges(desk) == ["AbC-20417/ field", "AbC-20417/ button"]
    assert (probe.property("text"), probe.property("pressed")) == ("", 0)


def test_a_reader_that_presses_shift_for_its_capitals(qapp, desk, window):
    window, _ = window
    for character in "aBc:D":
        if character.isupper() or character == ":":
            QTest.keyPress(window, Qt.Key.Key_Shift)
            QTest.keyClick(window, character, Qt.KeyboardModifier.ShiftModifier)
            QTest.keyRelease(window, Qt.Key.Key_Shift)
        else:
            QTest.keyClick(window, character)
    QTest.keyClick(window, Qt.Key.Key_Return)
    assert badges(desk) == ["aBc:D"]


@typing
async def test_a_person_types_into_a_field_and_presses_buttons(desk, window):
    window, probe = window
    part(probe, "field").forceActiveFocus()
    for typed, key in (("h", "h"), ("hi", "i"), ("hi ", " "), ("hi Z", "Z")):
        keys(window, key)
        await until(lambda wanted=typed: probe.property("text") == wanted)
        desk.clock.advance(0.3)
    QTest.keyClick(window, Qt.Key.Key_Backspace)
    assert probe.property("text") == "hi "
    part(probe, "button").forceActiveFocus()
    QTest.keyClick(window, Qt.Key.Key_Return)
    assert probe.property("pressed") == 1
    desk.clock.advance(0.3)
    QTest.keyClick(window, Qt.Key.Key_Space)
    await until(lambda: probe.property("pressed") == 2)
    assert badges(desk) == []


def test_keys_keep_their_order_around_those_that_do_not_wait(qapp, desk, window):
    window, probe = window
    part(probe, "field").forceActiveFocus()
    keys(window, "ab")
    QTest.keyClick(window, Qt.Key.Key_Backspace)
    assert probe.property("text") == "a"
    QTest.keyClick(window, Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
    QTest.keyClick(window, Qt.Key.Key_Delete)
    assert probe.property("text") == ""


@typing
async def test_tab_of_a_person_moves_the_focus(desk, window):
    window, probe = window
    part(probe, "field").forceActiveFocus()
    QTest.keyClick(window, Qt.Key.Key_Tab)
    await until(lambda: not part(probe, "field").hasActiveFocus())
    assert badges(desk) == []


@typing
async def test_a_held_key_repeats_for_a_person(desk, window):
    window, probe = window
    part(probe, "field").forceActiveFocus()
    QTest.keyPress(window, Qt.Key.Key_X)
    await until(lambda: probe.property("text") == "x")
    for kind in (QEvent.Type.KeyPress, QEvent.Type.KeyRelease) * 6:
        event = QKeyEvent(kind, Qt.Key.Key_X, Qt.KeyboardModifier.NoModifier, "x", True)
        QCoreApplication.sendEvent(window, event)
    QTest.keyRelease(window, Qt.Key.Key_X)
    assert probe.property("text") == "x" * 7


def test_a_release_goes_where_its_press_went(qapp, desk, window):
    window, probe = window
    part(probe, "button").forceActiveFocus()
    for key in (Qt.Key.Key_1, Qt.Key.Key_2, Qt.Key.Key_3, Qt.Key.Key_Space):
        QTest.keyPress(window, key)
    for key in (Qt.Key.Key_1, Qt.Key.Key_2, Qt.Key.Key_3, Qt.Key.Key_Space):
        QTest.keyRelease(window, key)
    QTest.keyClick(window, Qt.Key.Key_Return)
    assert badges(desk) == []
    assert not part(probe, "button").property("down")
    assert probe.property("pressed") == 0


@pytest.mark.parametrize("name", SCREENS)
def test_a_badge_is_read_on_every_screen_and_nothing_on_it_moves(qapp, name):
    stage = Stage((800, 480), "light", reduced_motion=True)
    try:
        listen(stage.shell)
        getattr(stage, name)()
        qapp.processEvents()
        shown = (stage.shell.other_ways.shown, stage.shell.other_ways.digits)
        stage.desk.calls.clear()
        scan(stage.shell.window, "20417")
        assert stage.desk.calls == [("badge", "20417")]
        assert (stage.shell.other_ways.shown, stage.shell.other_ways.digits) == shown
    finally:
        stage.close()


@pytest.mark.parametrize("gap", [0.4])
async def test_badges_that_follow_each_other_all_reach_the_desk(desk, window):
    shell = desk._watchers[0][0].__self__
    window, _ = window
    wanted = [f"badge-{number}" for number in range(20)]
    for token in wanted:
        scan(window, token)
    scan(window, wanted[-1])
    assert badges(desk) == wanted
    await quiet(shell)
    desk.clock.advance(2.6)
    scan(window, wanted[-1])
    assert badges(desk) == [*wanted, wanted[-1]]


def test_a_stall_in_the_middle_of_a_scan_does_not_tear_it(desk, window):
    window, _ = window
    keys(window, "204")
    desk.clock.advance(PATIENT * 3)  # the loop has not come round in between, so nobody paused
    scan(window, "17")
    assert badges(desk) == ["20417"]


def test_keys_that_waited_for_a_busy_loop_are_of_the_same_scan(desk, window):
    shell = desk._watchers[0][0].__self__
    keys(window[0], "204")
    shell._badges._turn.start()  # as when the gap ended while the loop was busy
    scan(window[0], "17")
    assert badges(desk) == ["20417"]


def test_a_scan_is_no_shortcut(desk, window):
    window, probe = window
    keys(window, "5")
    QTest.keyClick(window, Qt.Key.Key_5, Qt.KeyboardModifier.ControlModifier)
    assert probe.property("shortcuts") == "ctrl "
    scan(window, "5555")
    assert probe.property("shortcuts") == "ctrl "


@pytest.mark.parametrize("gap", [0.4])
async def test_half_a_scan_goes_nowhere(desk, window, caplog):
    window, probe = window
    caplog.set_level(logging.INFO)
    part(probe, "field").forceActiveFocus()
    keys(window, "SECRET")
    await until(lambda: "it was not read in one piece" in caplog.text)
    assert (probe.property("text"), badges(desk)) == ("", [])
    assert "SECRET" not in caplog.text


def test_a_window_that_comes_to_the_front_is_listened_to_as_well(qapp, desk, window):
    other = QWindow()
    other.show()
    with_focus = QSignalSpy(qapp.focusWindowChanged)
    other.requestActivate()
    if qapp.focusWindow() is not other:
        assert with_focus.wait(2000)
    scan(other, "20417")
    assert badges(desk) == ["20417"]
    other.destroy()


async def test_a_window_that_is_gone_gets_no_keys_back(qapp, desk, window):
    other = QWindow()
    other.show()
    other.requestActivate()
    await until(lambda: QGuiApplication.focusWindow() is other)
    QTest.keyPress(other, Qt.Key.Key_A)
    other.deleteLater()
    QCoreApplication.sendPostedEvents(other, QEvent.Type.DeferredDelete)
    window[0].requestActivate()
    QTest.keyClick(window[0], Qt.Key.Key_Backspace)
    assert badges(desk) == []


def test_closing_gives_back_what_waits_and_listens_no_more(qapp, desk, window):
    window, probe = window
    shell = desk._watchers[0][0].__self__
    part(probe, "field").forceActiveFocus()
    keys(window, "ab")
    shell._badges.close()
    shell._badges = None
    assert probe.property("text") == "ab"
    scan(window, "20417")
    assert badges(desk) == []
    assert probe.property("text") == "ab20417"


def test_a_shell_that_reads_no_badges_leaves_keys_alone(qapp, kiosk_window, desk):
    shell = kiosk_window()
    scan(shell.window, "20417")
    assert desk.calls == []


# -- words -----------------------------------------------------------------------------------------


def test_the_card_explains_until_the_reader_or_an_answer_comes(qapp, kiosk_window, desk):
    shell = kiosk_window(badge=True)
    desk.stage(phase=Phase.OUT_OF_ORDER)
    qapp.processEvents()
    before = shell.door.troubleLine
    card = item(shell, "badge")
    middle = card.mapToScene(card.boundingRect().center()).toPoint()
    QTest.mouseClick(shell.window, Qt.MouseButton.LeftButton, pos=middle)
    assert shell.door.troubleLine.startswith("Hold your badge to the badge reader.")
    desk.stage(phase=Phase.IDLE)
    desk.stage(phase=Phase.OUT_OF_ORDER)
    assert shell.door.troubleLine == before


async def test_the_explanation_goes_by_itself(kiosk_window, desk):
    shell = kiosk_window(badge=True)
    desk.stage(phase=Phase.OUT_OF_ORDER)
    shell.door._explaining.setInterval(20)
    shell.door.explainBadge()
    assert shell.door.explaining
    await until(lambda: not shell.door.explaining)
    assert "your code or your badge" in shell.door.troubleLine


@pytest.mark.parametrize("badge", [True, False])
def test_badges_are_offered_only_where_they_are_read(qapp, badge):
    stage = Stage((1280, 800), "light", badge=badge, reduced_motion=True)
    try:
        told = []
        for name in ("idle", "other_ways_code", "out_of_order", "starting", "refused", "try_again"):
            stage.reset()
            getattr(stage, name)()
            qapp.processEvents()
            told.append(any("badge" in words.lower() for words in _words(stage)))
        assert told == [badge] * len(told)
    finally:
        stage.close()


def _words(stage):
    stage.shell.window.grabWindow()

    def under(root):
        for child in root.childItems():
            if child.isVisible():
                yield child
                yield from under(child)

    for each in under(stage.shell.window.contentItem()):
        if each.inherits("QQuickText"):
            yield each.property("text")
