"""A whole kiosk and a sensor that is swapped, cleared, written by others, restarted or failing."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest

from drivers.errors import PortBusy
from drivers.reconcile import reconcile
from drivers.slots import SlotState
from drivers.zfm import open_zfm
from kiosk.model import Author, Kind, OutcomeKind, Phase, Reason, SensorState
from kiosk.provision import bring
from kiosk.slots import StoredSlots
from kiosk.store import Draft
from tests.drivers.table import MemoryTable
from tests.flow.conftest import settled
from tests.kiosk.library import template_of
from tests.ui.conftest import item


async def test_a_swapped_sensor_names_nobody_and_the_old_one_is_welcome_back(stage):
    stage.emulator.swap(1)
    stage.emulator.enrol("stranger", 0)  # in the very slot that is Amara's on our sensor
    sensor = stage.app.desk
    stage.emulator.place("stranger")
    await stage.until(lambda: sensor.state.sensor.state is SensorState.STRANGER, "the swap")
    stage.emulator.lift()
    assert sensor.state.phase is Phase.OUT_OF_ORDER
    assert "different fingerprint reader" in sensor.state.sensor.detail
    assert stage.app.store.attendance(stage.session.id) == []
    sensor.enter_code("20417")
    await stage.until(lambda: sensor.state.outcome is not None, "an answer to the code")
    assert sensor.state.outcome.kind is OutcomeKind.ACCEPTED
    stage.emulator.swap(0)
    await stage.until(stage.sensor_ready, "our own sensor")
    assert (await stage.finger("lukas")).person.id == "lukas"
    await settled(stage)


async def test_a_finger_that_another_host_enrolled_is_refused_without_a_name(stage):
    stage.emulator.enrol("intruder", 500)
    answer = await stage.finger("intruder")
    assert (answer.kind, answer.person) == (OutcomeKind.REFUSED, None)
    assert answer.reason is Reason.UNKNOWN_FINGER
    stage.emulator.unplug()
    await stage.until(lambda: not stage.sensor_ready(), "the loss")
    stage.emulator.replug()
    await stage.until(stage.sensor_ready, "the sensor")
    states = {slot.slot: slot.status for slot in stage.app.store.slots()}
    assert states[500] == SlotState.QUARANTINED
    assert (await stage.finger("intruder")).person is None


async def test_a_cleared_library_is_noticed_and_nobody_is_mistaken(stage):
    stage.emulator.clear_library()
    stage.emulator.enrol("somebody", 0)
    assert (await stage.finger("amara")).reason is Reason.UNKNOWN_FINGER
    stage.emulator.unplug()
    await stage.until(lambda: not stage.sensor_ready(), "the loss")
    stage.emulator.replug()
    await stage.until(stage.sensor_ready, "the sensor")
    states = {slot.slot: slot.status for slot in stage.app.store.slots()}
    assert set(states.values()) == {SlotState.ACTIVE, SlotState.MISSING}
    assert states[1] == states[2] == SlotState.MISSING
    # Slot 0 is Amara's on record, and holds a stranger's template under our own stamp.
    answer = await stage.finger("somebody")
    assert (answer.kind, answer.person) == (OutcomeKind.REFUSED, None)


async def test_a_module_that_restarts_goes_on_by_itself(stage):
    stage.emulator.restart()
    assert (await stage.finger("amara")).kind is OutcomeKind.ACCEPTED


async def test_a_silent_moment_costs_nobody_a_check_in(stage):
    stage.emulator.silence(times=2)
    await stage.until(stage.sensor_ready, "the sensor")
    assert (await stage.finger("chidi")).kind is OutcomeKind.ACCEPTED


async def test_an_order_to_destroy_is_carried_out_at_the_next_connection(stage):
    by = Author("staff", "office")
    order = {"state": "ordered"}
    stage.app.store.record(Draft(Kind.TEMPLATE_REVOKED, person="amara", by=by, data=order)).result()
    stage.emulator.unplug()
    await stage.until(lambda: not stage.sensor_ready(), "the loss")
    stage.emulator.replug()
    await stage.until(stage.sensor_ready, "the sensor")
    assert 0 not in stage.emulator.slots
    assert {slot.person for slot in stage.app.store.slots()} == {"lukas", "chidi"}
    assert (await stage.finger("amara")).reason is Reason.UNKNOWN_FINGER
    states = [e.data["state"] for e in _revocations(stage, "amara")]
    assert states == ["ordered", "done"]


def _revocations(stage, person):
    return stage.app.store.personal_events(person, Kind.TEMPLATE_REVOKED)


async def test_a_strangers_reader_names_nobody_until_staff_have_decided(stage):
    desk, shell, keeper = stage.app.desk, stage.app.shell, stage.app._keeper
    stage.emulator.swap(1)
    stage.emulator.enrol("stranger", 0)  # in the very slot that is Amara's on our sensor
    stage.emulator.place("stranger")
    await stage.until(lambda: desk.state.sensor.mismatch == "blank", "the swap")
    stage.emulator.lift()
    # Between two looks the port is free for others: here for the kiosk the reader belongs to.
    await stage.until(lambda: _stamped_by_another(stage), "a free port")
    await asyncio.wrap_future(keeper.reader.repair(lambda _: None))
    await stage.until(lambda: desk.state.sensor.mismatch == "foreign", "the stamp to be read")
    stage.emulator.place("stranger")
    assert (shell.door.phase, shell.door.troubleTitle) == (
        "out_of_order",
        "Another reader is plugged in",
    )
    _tap(shell, "strangerHelp")
    assert shell.stranger.shown
    assert "kiosk sensor adopt" in shell.stranger.commands
    desk.enter_code("20417")
    await stage.until(lambda: desk.state.outcome is not None, "an answer to the code")
    assert not shell.stranger.shown, "whoever comes has the screen"
    assert [row.person for row in stage.app.store.attendance(stage.session.id)] == ["amara"]

    table = StoredSlots(stage.app.store, stage.clock)
    stage.emulator.lift()
    adopted = await _command(stage, "adopt", "--yes")
    assert "0 active, 1 nobody's" in adopted
    await stage.until(stage.sensor_ready, "the door to open again")
    desk.dismiss()
    assert desk.state.phase is Phase.IDLE
    answer = await stage.finger("stranger")
    assert (answer.reason, answer.person) == (Reason.UNKNOWN_FINGER, None)
    await asyncio.wrap_future(
        keeper.reader.repair(lambda zfm: bring(zfm, table, "chidi", template_of("chidi", zfm)))
    )
    await stage.until(stage.sensor_ready, "the sensor")
    assert (await stage.finger("chidi")).person.id == "chidi"
    await settled(stage)


def _stamped_by_another(stage):
    """Whether the other kiosk could take the reader, which it does at once."""
    try:
        with open_zfm(stage.config.sensor.port) as sensor:
            return reconcile(sensor, MemoryTable()).stamp.sensor
    except PortBusy:
        return ""


async def _command(stage, *words):
    """What `kiosk sensor ...` says, given by staff in a process of its own while the kiosk runs."""
    settings = {
        "WHORL_STORAGE_DIRECTORY": str(stage.config.directory),
        "WHORL_SENSOR_PORT": stage.config.sensor.port,
        "WHORL_ORGANISATION_ID": stage.config.organisation.id,
        "WHORL_SITE_ID": stage.config.site.id,
    }
    command = [sys.executable, "-m", "kiosk", "sensor", *words]
    with ThreadPoolExecutor(1) as worker:
        running = worker.submit(
            subprocess.run, command, env=os.environ | settings, capture_output=True, text=True
        )
        done = await asyncio.wrap_future(running)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _tap(shell, name):
    target = item(shell, name)
    middle = target.mapToScene(target.boundingRect().center()).toPoint()
    QTest.mouseClick(shell.window, Qt.MouseButton.LeftButton, pos=QPoint(middle.x(), middle.y()))
