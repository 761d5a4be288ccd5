"""Every state of the door on a real (offscreen) window: complete, unclipped, nameable, tappable."""

from __future__ import annotations

import pytest
from PySide6.QtCore import QPoint, QPointF, QRectF, Qt
from PySide6.QtGui import QAccessible, QGuiApplication
from PySide6.QtTest import QTest

from kiosk.model import Phase
from tests.shots import LINKS, SCENES, Stage
from tests.ui import staged
from tests.ui.conftest import item, until
from ui.words import LANGUAGES

LARGE, SMALL, UPRIGHT = (1280, 800), (800, 480), (800, 1280)
# 20 mm at the smallest pixel density each layout is meant for.
TARGET = {LARGE: 117, SMALL: 105, UPRIGHT: 117}


def visible(root, kind):
    """All items on show whose class is `kind` or derived from it."""
    if not root.isVisible() or root.opacity() == 0:
        return []
    own = [root] if root.inherits(kind) and root.width() > 0 else []
    return own + [each for child in root.childItems() for each in visible(child, kind)]


def pressable(stage):
    """Whatever on show can be pressed."""
    found = visible(stage.shell.window.contentItem(), "QQuickItem")
    return [item for item in found if _is_a(item.metaObject(), "Press")]


def _is_a(kind, name):
    while kind is not None and not kind.className().startswith(f"{name}_QML"):
        kind = kind.superClass()
    return kind is not None


def scene_rect(text, inner=None):
    return text.mapRectToScene(inner or QRectF(0, 0, text.width(), text.height()))


def texts(stage):
    """(words, rectangle in the window, item) of each text on show; rows below the list left out."""
    stage.shell.window.grabWindow()  # lays everything out
    out = []
    for text in visible(stage.shell.window.contentItem(), "QQuickText"):
        words = text.property("text")
        if not words:
            continue
        rect = scene_rect(text, text.boundingRect())
        if not _scrolled_out(text, rect):
            out.append((words, rect, text))
    return out


def _scrolled_out(text, rect):
    above = text.parentItem()
    while above is not None:
        if above.clip() and not scene_rect(above).contains(rect):
            return True
        above = above.parentItem()
    return False


@pytest.fixture(params=[LARGE, SMALL, UPRIGHT], ids=["large", "small", "upright"])
def size(request):
    return request.param


@pytest.fixture(params=LANGUAGES)
def language(request):
    return request.param


@pytest.fixture
def staged_window(qapp):
    """Makes stages and closes them, also when the test fails."""
    made = []

    def make(size, scheme="light", language="en"):
        made.append(Stage(size, scheme, language, reduced_motion=True))
        qapp.processEvents()
        return made[-1]

    yield make
    while made:
        made.pop().close()


@pytest.fixture
def stage(staged_window, size, language):
    return staged_window(size, "light", language)


def test_no_state_clips_or_overlaps_its_words(qapp, stage, size):
    window = QRectF(0, 0, *size)
    for name in (*SCENES, "crowd", *(f"pill {link}" for link in LINKS)):
        stage.reset()
        show, _, link = name.partition(" ")
        stage.pill(link) if link else getattr(stage, show)()
        qapp.processEvents()
        found = texts(stage)
        assert found, name
        for words, rect, text in found:
            assert window.contains(rect), f"{name}: {words!r} leaves the window at {rect}"
            if not name.endswith("_long"):
                assert not text.property("truncated"), f"{name}: {words!r} is cut short"
        _no_overlaps(name, found)


def _no_overlaps(name, found):
    for i, (words, rect, _) in enumerate(found):
        for other, rival, _ in found[i + 1 :]:
            # Lines of text may share the empty part of their leading.
            common = rect.adjusted(
                0, rect.height() * 0.2, 0, -rect.height() * 0.2
            ) & rival.adjusted(0, rival.height() * 0.2, 0, -rival.height() * 0.2)
            assert common.isEmpty(), f"{name}: {words!r} lies on {other!r}"


def test_every_tappable_has_a_name_and_is_large_enough(qapp, stage, size):
    for name in SCENES:
        stage.reset()
        getattr(stage, name)()
        qapp.processEvents()
        stage.shell.window.grabWindow()
        for button in pressable(stage):
            told = QAccessible.queryAccessibleInterface(button)
            assert told.role() == QAccessible.Role.Button, button.objectName()
            assert told.text(QAccessible.Text.Name).strip(), f"{name}: {button.objectName()}"
            assert button.objectName(), "so that tests and helpers can find it"
            small = min(button.width(), button.height())
            assert small >= TARGET[size], f"{name}: {button.objectName()} is {small} px"


def test_hit_areas_never_overlap(qapp, stage):
    for name in SCENES:
        stage.reset()
        getattr(stage, name)()
        qapp.processEvents()
        stage.shell.window.grabWindow()
        buttons = pressable(stage)
        rects = [(each.objectName(), scene_rect(each)) for each in buttons]
        for i, (one, rect) in enumerate(rects):
            for two, rival in rects[i + 1 :]:
                assert (rect & rival).isEmpty(), f"{name}: {one} over {two}"


def test_only_public_names_are_shown(qapp, stage):
    for name in SCENES:
        stage.reset()
        getattr(stage, name)()
        qapp.processEvents()
        surnames = {row.person.last_name for row in stage.desk.roster()}
        shown = " ".join(words for words, _, _ in texts(stage)).replace(".", " ").split()
        assert not {each for each in surnames if len(each) > 2} & set(shown)


@pytest.mark.parametrize("scheme", ["light", "dark", "high"])
def test_each_outcome_has_a_field_of_its_own(qapp, staged_window, scheme):
    stage = staged_window(SMALL, scheme)
    seen = {}
    for name in ("idle", "accepted", "already_in", "refused", "try_again"):
        stage.reset()
        getattr(stage, name)()
        qapp.processEvents()
        picture = stage.shell.window.grabWindow()
        seen[name] = picture.pixelColor(400, 60).name()
    assert len(set(seen.values())) == len(seen), seen


# -- names -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("Amara Okafor", 112),
        ("Konstantina Ode", 88),
        ("Maximiliane-Alexandrina Weiss", 64),
        ("Wolfeschlegelsteinhausenbergerdorff-Hohenlohe Junior", 64),
    ],
)
def test_names_step_down_then_elide_but_never_lose_their_initial(qapp, staged_window, name, step):
    stage = staged_window(LARGE)
    stage._answer("accepted", person=staged.person(name))
    qapp.processEvents()
    first, initial = item(stage.shell, "name"), item(stage.shell, "initial")
    assert item(stage.shell, "answer").property("nameSize") == step
    assert initial.property("text") == f" {name.split()[-1][0]}."
    assert not initial.property("truncated")
    assert scene_rect(initial).right() <= 1240
    assert first.property("truncated") is (step == 64)


@pytest.mark.parametrize("name", ["نور حداد", "李 小龙", "Ægir Þór", "O'Brien-Ó Súilleabháin X"])
def test_names_of_any_script_fit(qapp, staged_window, name):
    stage = staged_window(SMALL)
    stage._answer("accepted", person=staged.person(name))
    stage.desk.arrive(staged.row(name, "08:03"))
    qapp.processEvents()
    assert scene_rect(item(stage.shell, "initial")).right() <= 776


def test_a_long_title_shrinks_to_three_quarters_before_it_is_elided(qapp, staged_window):
    stage = staged_window(LARGE)
    for title, cut in (
        ("Evening training for beginners and all", False),
        ("Evening training " * 8, True),
    ):
        stage.desk.stage(session=staged.session(title))
        qapp.processEvents()
        (found,) = [text for words, _, text in texts(stage) if words == title]
        assert found.property("truncated") is cut
        assert found.property("contentHeight") in range(44, 60), "a 44 px title is 60 px high"


# -- touch -----------------------------------------------------------------------------------------


def centre(shell, name):
    target = item(shell, name)
    return target.mapToScene(QPointF(target.width() / 2, target.height() / 2)).toPoint()


def click(shell, name):
    QTest.mouseClick(
        shell.window, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, centre(shell, name)
    )


@pytest.fixture(scope="module")
def finger():
    return QTest.createTouchDevice()


def touch(shell, finger, where):
    point = where if isinstance(where, QPoint) else centre(shell, where)
    QTest.touchEvent(shell.window, finger).press(0, point, shell.window).commit()
    QTest.touchEvent(shell.window, finger).release(0, point, shell.window).commit()


def test_a_touch_on_other_ways_then_a_code(qapp, desk, shell, finger):
    touch(shell, finger, "otherWays")
    assert shell.other_ways.shown
    qapp.processEvents()
    for name in ("key2", "key0", "key4", "erase", "key7", "enter"):
        touch(shell, finger, name)
    assert desk.calls == [("dismiss",), ("enter_code", "207")]


def test_not_you_undoes(qapp, shell, desk, finger):
    stage = Stage.__new__(Stage)
    stage.desk, stage.shell = desk, shell
    stage.accepted()
    qapp.processEvents()
    touch(shell, finger, "answerButton")
    assert desk.calls == [("not_you",)]
    stage.try_again()
    qapp.processEvents()
    touch(shell, finger, "answerButton")
    assert shell.other_ways.shown
    assert desk.calls[1:] == [("dismiss",)]


def test_the_third_failure_leads_to_the_keypad_by_one_large_button(qapp, staged_window, size):
    stage = staged_window(size)
    for scene in ("offered", "offered_unknown"):
        stage.reset()
        stage.try_again()
        stage.shell.window.grabWindow()
        before = item(stage.shell, "answerButton")
        usual = before.width() * before.height()
        getattr(stage, scene)()
        picture = stage.shell.window.grabWindow()
        button = item(stage.shell, "answerButton")
        assert button.width() * button.height() >= 1.2 * usual
        rim = scene_rect(button)
        inside = picture.pixelColor(round(rim.right() - 30), round(rim.center().y()))
        field = picture.pixelColor(round(rim.left() - 10), round(rim.center().y()))
        assert abs(inside.lightness() - field.lightness()) > 90, "it stands out like nothing else"
        click(stage.shell, "answerButton")
        assert stage.shell.other_ways.shown


def test_a_claim_can_be_cancelled_and_covers_everything_else(qapp, staged_window, size, finger):
    stage = staged_window(size)
    stage.pill("offline")
    stage.shell.pill.open()
    stage.verifying()
    qapp.processEvents()
    buttons = pressable(stage)
    assert [button.objectName() for button in buttons] == ["cancelClaim"]
    words = [words for words, _, _ in texts(stage)]
    assert {"Now your finger,", "Amara", " O."} <= set(words)
    touch(stage.shell, finger, "cancelClaim")
    assert stage.desk.calls == [("dismiss",)]


def test_what_staff_must_decide_is_told_and_cannot_be_done_on_the_glass(qapp, staged_window, size):
    stage = staged_window(size)
    stage.stranger()
    stage.shell.window.grabWindow()
    click(stage.shell, "strangerHelp")
    assert stage.shell.stranger.shown
    shown = " ".join(words for words, _, _ in texts(stage))
    for command in ("kiosk sensor adopt", "kiosk sensor wipe", "kiosk sensor reprovision"):
        assert command in shown
    buttons = pressable(stage)
    assert [button.objectName() for button in buttons] == ["strangerBack"]
    click(stage.shell, "strangerBack")
    assert not stage.shell.stranger.shown
    assert stage.desk.calls == []
    stage.out_of_order()
    qapp.processEvents()
    names = {b.objectName() for b in pressable(stage)}
    assert "strangerHelp" not in names


def test_the_pill_opens_and_closes_its_details(qapp, shell, desk):
    click(shell, "pill")
    qapp.processEvents()
    assert shell.pill.shown
    click(shell, "tryNow")
    assert desk.calls == [("try_now",)]
    click(shell, "closeDetail")
    assert not shell.pill.shown


def test_a_touch_just_below_the_drawn_pill_still_counts(qapp, shell, finger):
    touch(shell, finger, QPoint(880, 790))
    assert shell.pill.shown


def test_the_language_button_changes_all_words(qapp, shell):
    click(shell, "language")
    assert shell.door.prompt == "Finger auflegen"
    assert shell.words.languageName == "Deutsch"


async def test_touching_the_ring_pulses_the_beacon(kiosk_window):
    shell = kiosk_window()
    beacon = item(shell, "beacon")
    seen = set()
    beacon.litChanged.connect(lambda: seen.add(beacon.property("lit")))
    click(shell, "ring")
    assert shell.door.promptDetail == "The reader is below"
    await until(lambda: {0, 1, 2, 3} <= seen)


# -- motion ----------------------------------------------------------------------------------------


async def test_the_first_arc_stands_at_once_and_the_rest_fills(kiosk_window, desk):
    shell = kiosk_window()
    ring = item(shell, "readingRing")
    desk.stage(phase=Phase.READING)
    assert ring.property("look") == "reading"
    assert ring.property("progress") >= 1.0
    await until(lambda: ring.property("progress") == 5.0)


def test_reduced_motion_fills_the_ring_at_once(qapp, kiosk_window, desk):
    shell = kiosk_window(reduced_motion=True)
    desk.stage(phase=Phase.READING)
    qapp.processEvents()
    assert item(shell, "readingRing").property("progress") == 5.0


async def test_an_arrival_moves_to_the_top_of_the_list(kiosk_window, desk):
    shell = kiosk_window()
    desk.arrive(staged.row("Walk In", "18:05"))
    roster = item(shell, "roster")

    def top():
        rows = [row for row in visible(roster, "QQuickItem") if row.property("newest")]
        return [(row.property("name"), round(row.y())) for row in rows]

    await until(lambda: top() == [("Walk I.", 0)])


def test_what_is_held_long_is_pressed_all_the_same(qapp, desk, shell, finger):
    """Who is unsure lays a finger on the glass and leaves it there."""
    where = centre(shell, "otherWays")
    QTest.touchEvent(shell.window, finger).press(0, where, shell.window).commit()
    # That nothing is made of the time is what is tested.
    QTest.qWait(QGuiApplication.styleHints().mousePressAndHoldInterval() + 100)
    assert item(shell, "otherWays").property("down")
    assert not shell.other_ways.shown
    QTest.touchEvent(shell.window, finger).release(0, where, shell.window).commit()
    assert shell.other_ways.shown
    assert not item(shell, "otherWays").property("down")


def test_a_finger_that_slides_off_has_pressed_nothing(qapp, desk, shell, finger):
    where, off = centre(shell, "otherWays"), QPoint(5, 5)
    QTest.touchEvent(shell.window, finger).press(0, where, shell.window).commit()
    QTest.touchEvent(shell.window, finger).move(0, off, shell.window).commit()
    QTest.touchEvent(shell.window, finger).release(0, off, shell.window).commit()
    assert not shell.other_ways.shown


def test_two_thumbs_on_the_keypad_are_two_keys(qapp, desk, shell, finger):
    touch(shell, finger, "otherWays")
    qapp.processEvents()
    left, right = centre(shell, "key4"), centre(shell, "key6")
    window = shell.window
    QTest.touchEvent(window, finger).press(0, left, window).commit()
    QTest.touchEvent(window, finger).stationary(0).press(1, right, window).commit()
    QTest.touchEvent(window, finger).release(0, left, window).stationary(1).commit()
    QTest.touchEvent(window, finger).release(1, right, window).commit()
    touch(shell, finger, "enter")
    assert desk.calls[-1] == ("enter_code", "46")


def test_the_space_bar_and_a_screen_reader_press_too(qapp, desk, shell):
    item(shell, "otherWays").forceActiveFocus()
    QTest.keyClick(shell.window, Qt.Key.Key_Space)
    assert shell.other_ways.shown
    qapp.processEvents()
    back = QAccessible.queryAccessibleInterface(item(shell, "back"))
    assert "Press" in back.actionInterface().actionNames()
    back.actionInterface().doAction("Press")
    assert not shell.other_ways.shown
