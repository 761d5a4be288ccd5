"""From the pty to the pixel, the hub and the second kiosk."""

from __future__ import annotations

from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest

from drivers.emulator.faults import Mishap
from kiosk.model import LinkState, OutcomeKind, Phase, Presence, Reason, SensorState, Status
from tests.flow.conftest import hub_ids, settled
from tests.ui.conftest import item
from ui.roster import Role

ACCEPTED = "#0b6b3f"


async def test_a_finger_becomes_a_greeting_a_row_an_event_and_a_row_elsewhere(stage):
    answer = await stage.finger("amara")
    assert (answer.kind, answer.person.id) == (OutcomeKind.ACCEPTED, "amara")
    picture = stage.app.shell.window.grabWindow()
    assert picture.pixelColor(20, 400).name() == ACCEPTED
    await stage.until(lambda: _shown(stage)[0] == "Amara O.", "the roster's row")
    await settled(stage)
    row = next(r for r in stage.second.attendance(stage.session.id) if r.person == "amara")
    assert (row.status, row.presence, row.method) == (Status.PRESENT, Presence.INSIDE, "finger")


async def test_every_outcome_by_real_fingers(stage):
    assert (await stage.finger("amara")).kind is OutcomeKind.ACCEPTED
    assert (await stage.finger("amara")).kind is OutcomeKind.ALREADY_IN
    assert (await stage.finger("nobody")).reason is Reason.UNKNOWN_FINGER
    for quality, reason in (("dry", Reason.DRY), ("wet", Reason.WET), ("smudged", Reason.SMUDGED)):
        answer = await stage.finger("lukas", quality)
        assert (answer.kind, answer.reason) == (OutcomeKind.TRY_AGAIN, reason)
    assert (await stage.finger("lukas")).person.id == "lukas"
    await settled(stage)


async def test_three_bad_fingers_lead_to_the_keypad(stage):
    desk, shell = stage.app.desk, stage.app.shell
    for finger, quality in (("amara", "dry"), ("nobody", "good"), ("amara", "smudged")):
        await stage.finger(finger, quality)
        if quality != "smudged":
            desk.dismiss()  # the screen forgets between two people, the reader does not
    await stage.until(lambda: desk.state.outcome and desk.state.outcome.offered, "an offer")
    _tap(shell, "answerButton")
    await stage.until(lambda: shell.other_ways.shown, "the keypad")
    assert desk.state.phase is Phase.IDLE
    assert (await stage.finger("amara")).kind is OutcomeKind.ACCEPTED
    assert not shell.other_ways.shown


async def test_offline_nothing_waits_and_then_everything_drains(stage):
    await settled(stage)
    stage.set_line(up=False)
    await stage.until(lambda: _link(stage) is LinkState.OFFLINE, "the line to be missed")
    for name in ("amara", "lukas", "chidi"):
        assert (await stage.finger(name)).kind is OutcomeKind.ACCEPTED
    assert stage.app.store.held()[0] == 3
    await stage.until(lambda: stage.app.desk.state.link.held == 3, "the pill to count")
    assert not set(stage.app.store.event_ids()) <= hub_ids(stage)
    stage.set_line(up=True)
    await settled(stage)
    await stage.until(lambda: _link(stage) is LinkState.ONLINE, "the pill to say so")


async def test_two_offline_kiosks_and_one_person_become_one_row_with_the_earliest_time(stage):
    await settled(stage)
    stage.set_line(up=False)
    elsewhere = stage.second_check_in("amara")
    await stage.finger("amara")
    mine = stage.app.store.row_events(stage.session.id, "amara")
    assert [event.device for event in mine] == [stage.app.store.identity.device]
    stage.set_line(up=True)
    await settled(stage)
    (row,) = [r for r in stage.second.attendance(stage.session.id) if r.person == "amara"]
    assert len(stage.app.store.row_events(stage.session.id, "amara")) == 2
    low, high = row.arrival
    assert row.device == elsewhere.device
    assert low <= elsewhere.wall <= high + 50_000_000  # hub and kiosk read one clock here


async def test_a_sensor_unplugged_in_the_middle_of_a_read_comes_back_by_itself(stage):
    # The image is taken, the answer held back; in that moment the cable goes.
    stage.emulator.inject(Mishap(instruction=0x02, delay=1.0))
    stage.emulator.place("amara")
    desk = stage.app.desk
    await stage.until(lambda: desk.state.phase is Phase.READING, "the finger to be seen")
    stage.emulator.unplug()
    await stage.until(lambda: desk.state.sensor.state is SensorState.MISSING, "the loss")
    assert desk.state.phase is Phase.OUT_OF_ORDER
    stage.emulator.lift()
    stage.emulator.replug()
    await stage.until(stage.sensor_ready, "the sensor to be back")
    assert (await stage.finger("amara")).kind is OutcomeKind.ACCEPTED


async def test_without_a_reader_a_code_typed_on_the_glass_checks_in(stage):
    stage.emulator.unplug()
    desk, shell = stage.app.desk, stage.app.shell
    await stage.until(lambda: desk.state.phase is Phase.OUT_OF_ORDER, "the loss")
    _tap(shell, "enterCode")
    await stage.until(lambda: shell.other_ways.shown, "the keypad")
    for digit in "20417":
        _tap(shell, f"key{digit}")
    _tap(shell, "enter")
    await stage.until(lambda: desk.state.outcome is not None, "an answer")
    assert desk.state.outcome.person.id == "amara"
    assert stage.app.store.attendance(stage.session.id)[0].method == "code"
    stage.emulator.replug()
    await stage.until(stage.sensor_ready, "the sensor to be back")


async def test_a_badge_held_up_checks_in_whatever_is_on_the_screen(stage):
    # What the keys of a reader in keyboard mode do, on a window whose focus is on no field.
    window, desk = stage.app.shell.window, stage.app.desk
    stage.app.shell._badges._gap.setInterval(5000)  # a busy machine is no pause in a scan
    for name, badge in (("lukas", "WH-0418"), ("chidi", "https://club.example/m/WH-0419?x=1")):
        for key in (*badge, Qt.Key.Key_Return):
            QTest.keyClick(window, key)
        await stage.until(lambda who=name: _answered(desk) == who, "an answer to the badge")
        stage.app.shell.other_ways.enterPage()
    await settled(stage)
    methods = {row.person: row.method for row in stage.second.attendance(stage.session.id)}
    assert methods == {"lukas": "badge", "chidi": "badge"}
    held = b"".join(path.read_bytes() for path in stage.config.directory.glob("*.db*"))
    assert b"WH-04" not in held


async def test_not_you_is_undone_everywhere(stage):
    await stage.finger("amara")
    _tap(stage.app.shell, "answerButton")
    await stage.until(
        lambda: stage.app.store.attendance(stage.session.id)[0].status is Status.EXPECTED, "undo"
    )
    await settled(stage)
    assert stage.second.attendance(stage.session.id)[0].status is Status.EXPECTED


def _tap(shell, name):
    target = item(shell, name)
    middle = target.mapToScene(target.boundingRect().center()).toPoint()
    QTest.mouseClick(shell.window, Qt.MouseButton.LeftButton, pos=QPoint(middle.x(), middle.y()))


def _answered(desk):
    outcome = desk.state.outcome
    return outcome.person.id if outcome and outcome.person else None


def _link(stage):
    return stage.app.desk.state.link.state


def _shown(stage):
    model = stage.app.shell.roster
    return [model.data(model.index(n, 0), Role.NAME) for n in range(model.rowCount())]
