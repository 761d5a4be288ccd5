"""More people than the sensor holds: badge or code, then one finger against what is kept."""

from __future__ import annotations

import msgspec
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest

from drivers.profiles import GEN_IMAGE
from kiosk.config import Templates
from kiosk.model import Kind, OutcomeKind, Phase, Reason, decode_event
from kiosk.script import cast
from kiosk.stage import Stage, demo_config, sample_people
from tests.flow.conftest import rows, settled
from tests.ui.conftest import item

LUKAS, CHIDI = "WH-0418", "WH-0419"


@pytest.fixture
async def open_stage(qapp, tmp_path):
    """Opens a door whose sensor holds Amara only; of Lukas and Chidi a template is kept."""
    made = []

    async def opening(**templates):
        kept = Templates(backup=True, **templates)
        config = msgspec.structs.replace(demo_config(tmp_path), templates=kept)
        made.append(Stage(config, cast(sample_people(), 3, 1), seed=1, room=1))
        await made[-1].open()
        return made[-1]

    yield opening
    for stage in made:
        stage.close()


@pytest.fixture
async def stage(open_stage):
    """One whose sensor is not filled up behind anybody's back."""
    return await open_stage(roster_cache=False)


def _under_way(stage):
    return stage.app._keeper._verifications._waiting


async def test_a_code_typed_on_the_glass_and_the_right_finger_check_in(stage):
    assert stage.emulator.slots == {0}
    shell = stage.app.shell
    _tap(shell, "otherWays")
    await stage.until(lambda: shell.other_ways.shown, "the keypad")
    for digit in "20419":
        _tap(shell, f"key{digit}")
    _tap(shell, "enter")
    await _asked(stage, "chidi")
    assert shell.asking.shown
    assert not shell.other_ways.shown
    outcome = await _placed(stage, "chidi")
    assert (outcome.kind, outcome.person.id) == (OutcomeKind.ACCEPTED, "chidi")
    ((person, data),) = _recorded(stage, Kind.CHECK_IN)
    assert (person, data["method"], data["verified"]) == ("chidi", "code", "finger")
    low, high = stage.emulator.profile.scores
    assert low <= data["score"] <= high
    # The finger that was compared is nobody's arrival, and the next one is.
    assert (await stage.finger("amara")).person.id == "amara"
    assert stage.emulator.slots == {0}
    await settled(stage)
    methods = {row.person: row.method for row in stage.second.attendance(stage.session.id)}
    assert methods == {"chidi": "code", "amara": "finger"}


async def test_a_wrong_finger_is_refused_and_a_worn_one_is_not(stage):
    desk = stage.app.desk
    desk.badge(CHIDI)
    await _asked(stage, "chidi")
    outcome = await _placed(stage, "lukas")
    assert (outcome.kind, outcome.reason) == (OutcomeKind.REFUSED, Reason.OTHER_FINGER)
    assert _recorded(stage, Kind.REFUSED) == [("chidi", {"reason": "other_finger"})]
    assert stage.app.store.attendance(stage.session.id) == []
    desk.badge(CHIDI)
    await _asked(stage, "chidi")
    assert (await _placed(stage, "chidi", "dry")).kind is OutcomeKind.ACCEPTED
    assert _recorded(stage, Kind.CHECK_IN)[0][1]["verified"] == "unreadable"
    # Of whom nothing is in the sensor the finger alone names nobody.
    assert (await stage.finger("lukas")).reason is Reason.UNKNOWN_FINGER


async def test_cancelled_taken_over_or_unplugged_nobody_is_lost(stage):
    desk, shell = stage.app.desk, stage.app.shell
    desk.badge(LUKAS)
    await _asked(stage, "lukas")
    _tap(shell, "cancelClaim")
    await stage.until(lambda: desk.state.phase is Phase.IDLE, "the door")
    # A finger that is placed while the last look for Lukas's is under way has to be lifted first.
    await stage.until(lambda: not _under_way(stage), "the reader to look for anybody again")
    assert (await stage.finger("amara")).person.id == "amara"
    desk.badge(LUKAS)
    await _asked(stage, "lukas")
    desk.badge(CHIDI)
    await _asked(stage, "chidi")
    stage.emulator.unplug()
    await stage.until(lambda: _answered(desk) == "chidi", "an answer without a reader")
    stage.emulator.replug()
    checked_in = {who: data.get("verified") for who, data in _recorded(stage, Kind.CHECK_IN)}
    assert checked_in == {"amara": None, "lukas": "interrupted", "chidi": "unavailable"}
    await stage.until(stage.sensor_ready, "the sensor to be back")
    await settled(stage)


async def test_a_finger_still_there_when_the_next_badge_comes_is_told_from_theirs(stage):
    desk = stage.app.desk
    desk.badge(LUKAS)
    await _asked(stage, "lukas")
    desk.badge(CHIDI)  # before Lukas's finger could be read
    stage.emulator.place("lukas")
    await _asked(stage, "chidi")
    looks = stage.emulator.history.count(GEN_IMAGE) + 3
    await stage.until(lambda: stage.emulator.history.count(GEN_IMAGE) >= looks, "three looks")
    assert desk.state.claim.person.id == "chidi"
    assert _recorded(stage, Kind.REFUSED) == []
    stage.emulator.lift()
    outcome = await _placed(stage, "chidi")
    assert (outcome.kind, outcome.person.id) == (OutcomeKind.ACCEPTED, "chidi")
    found = {who: data["verified"] for who, data in _recorded(stage, Kind.CHECK_IN)}
    assert found == {"lukas": "interrupted", "chidi": "finger"}


async def test_whoever_is_neither_is_refused_without_a_second_look(stage):
    desk = stage.app.desk
    desk.badge(LUKAS)
    await _asked(stage, "lukas")
    desk.badge(CHIDI)
    await _asked(stage, "chidi")
    await stage.until(lambda: _answered(desk) is None, "the screen to be Chidi's")
    outcome = await _placed(stage, "amara")
    assert (outcome.kind, outcome.reason) == (OutcomeKind.REFUSED, Reason.OTHER_FINGER)
    assert _recorded(stage, Kind.REFUSED) == [("chidi", {"reason": "other_finger"})]


async def test_the_rosters_people_are_brought_in_and_then_a_finger_is_enough(open_stage):
    stage = await open_stage()
    await stage.until(lambda: len(stage.emulator.slots) == 3, "the roster to be in the sensor")
    desk = stage.app.desk
    await stage.until(lambda: not stage.app._keeper.can_verify("chidi"), "the stock to be taken")
    outcome = await stage.finger("chidi")
    assert (outcome.kind, outcome.person.id) == (OutcomeKind.ACCEPTED, "chidi")
    desk.badge(LUKAS)
    await stage.until(lambda: _answered(desk) == "lukas", "an answer to the badge alone")
    assert _recorded(stage, Kind.CHECK_IN)[1] == ("lukas", {"method": "badge"})


async def _asked(stage, who):
    desk = stage.app.desk
    await stage.until(lambda: desk.state.claim and desk.state.claim.ready, "a finger to be asked")
    assert (desk.state.phase, desk.state.claim.person.id) == (Phase.VERIFYING, who)


async def _placed(stage, finger, quality="good"):
    """Place what the door asks for, wait for the answer, lift it."""
    desk = stage.app.desk
    stage.emulator.place(finger, quality)
    await stage.until(lambda: desk.state.outcome is not None, "a verdict")
    outcome = desk.state.outcome
    stage.emulator.lift()
    # Of a finger that was asked for no lift is told: so many looks at a free glass are one.
    free = stage.emulator.history.count(GEN_IMAGE) + 8
    await stage.until(lambda: stage.emulator.history.count(GEN_IMAGE) >= free, "the lift")
    return outcome


def _recorded(stage, kind):
    stage.app.store._submit(1, lambda _: None).result()
    query = "SELECT body FROM event WHERE device = ? ORDER BY seq"
    found = rows(stage.config.database, query, (stage.app.store.identity.device,))
    events = [decode_event(body) for (body,) in found]
    return [(event.person, event.data) for event in events if event.kind == kind]


def _answered(desk):
    outcome = desk.state.outcome
    return outcome.person.id if outcome and outcome.person else None


def _tap(shell, name):
    target = item(shell, name)
    middle = target.mapToScene(target.boundingRect().center()).toPoint()
    QTest.mouseClick(shell.window, Qt.MouseButton.LeftButton, pos=QPoint(middle.x(), middle.y()))
