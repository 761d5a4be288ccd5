"""The reader's thread against the emulated sensor, over real ports."""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import CancelledError

import pytest

from drivers import commands, errors, exchange
from drivers.emulator import Emulator, Mishap
from drivers.profiles import GEN_IMAGE, SEARCH
from drivers.reader import (
    CaptureFailed,
    FingerDown,
    FingerStuck,
    Lifted,
    Matched,
    NotMatched,
    Reader,
    ReaderTiming,
    SensorDown,
    SensorUp,
    open_zfm,
)
from tests.drivers.conftest import wait_until

TIMING = ReaderTiming(poll=0.01, lift_seconds=0.03, stuck_after=0.2, retry_first=0.05)


@pytest.fixture
def reader(emulator, events):
    made = Reader(lambda: open_zfm(emulator.port), events, TIMING)
    made.start()
    yield made
    made.stop()


def test_the_cycle_from_finger_to_finger(emulator, reader, events):
    emulator.enrol("ann", 7)
    up = events.next(SensorUp)
    assert (up.capacity, len(up.sensor)) == (1000, 36)
    emulator.place("ann")
    events.next(FingerDown)
    matched = events.next(Matched)
    assert (matched.sensor, matched.slot) == (up.sensor, 7)
    events.next(FingerStuck)
    emulator.lift()
    events.next(Lifted)
    emulator.place("eve")
    events.next(FingerDown)
    events.next(NotMatched)
    emulator.lift()
    events.next(Lifted)
    emulator.place("ann", "wet")
    events.next(FingerDown)
    assert events.next(CaptureFailed).quality == "wet"


def test_it_counts_what_the_sensor_holds(emulator, events):
    for slot in (0, 255, 256, 999):
        emulator.enrol(f"finger {slot}", slot)
    reader = Reader(lambda: open_zfm(emulator.port), events, TIMING)
    reader.start()
    try:
        assert events.next(SensorUp).used == 4
    finally:
        reader.stop()


def test_unplugged_and_back_it_is_the_same_sensor(emulator, reader, events):
    up = events.next(SensorUp)
    emulator.place("ann")
    events.next(FingerDown)
    events.next(NotMatched)
    emulator.unplug()
    down = events.skip_to(SensorDown)
    assert isinstance(down.cause, errors.Disconnected)
    assert 0 < down.retry_in <= TIMING.retry_first
    waits = [events.skip_to(SensorDown).retry_in for _ in range(3)]
    assert waits[-1] > TIMING.retry_first
    with pytest.raises(errors.SensorError):
        reader.run(lambda sensor: sensor.capacity).result(1)
    emulator.lift()
    emulator.replug()
    assert events.skip_to(SensorUp) == up
    emulator.place("ann")
    events.next(FingerDown)


def test_a_silent_sensor_is_down_and_a_single_lost_reply_is_not(
    emulator, reader, events, monkeypatch
):
    monkeypatch.setitem(commands.DEADLINES, GEN_IMAGE, 0.2)
    for name, value in (("SYNC_TRY", 0.1), ("_BOOT_TRY", 0.1), ("_BOOT_WAIT", 0.2)):
        monkeypatch.setattr(exchange, name, value)
    events.next(SensorUp)
    emulator.inject(Mishap(instruction=GEN_IMAGE, silent=True))
    emulator.enrol("ann", 1)
    emulator.place("ann")
    events.next(FingerDown)
    events.next(Matched)
    emulator.inject(*[Mishap(silent=True)] * 8)
    down = events.skip_to(SensorDown)
    assert isinstance(down.cause, errors.ResponseTimeout)
    events.skip_to(SensorUp, 8.0)


def test_a_damaged_reply_in_mid_cycle_still_leads_to_a_result(emulator, reader, events):
    events.next(SensorUp)
    emulator.enrol("ann", 1)
    emulator.inject(Mishap(instruction=SEARCH, bad_checksum=True))
    emulator.place("ann")
    events.next(FingerDown)
    assert events.next(Matched).slot == 1


def test_a_restarted_module_that_wants_its_password_is_set_up_again(emulator, reader, events):
    events.next(SensorUp)
    emulator.inject(Mishap(code=0x21))
    assert isinstance(events.next(SensorDown).cause, errors.PasswordRequired)
    events.next(SensorUp)


def test_work_runs_on_the_readers_thread_and_its_errors_come_back(reader, events):
    events.next(SensorUp)
    assert reader.run(lambda _: threading.current_thread().name).result(2) == "sensor"
    with pytest.raises(ZeroDivisionError):
        reader.run(lambda _: 1 // 0).result(2)
    with pytest.raises(errors.TemplateNotFound):
        reader.run(lambda sensor: sensor.loadTemplate(5)).result(2)
    assert reader.run(lambda sensor: sensor.capacity).result(2) == 1000


def test_a_finger_that_work_has_used_is_not_reported_until_lifted(emulator, reader, events):
    events.next(SensorUp)

    def use(sensor):
        emulator.place("ann")
        return sensor.readImage()

    assert reader.run(use).result(2) is True
    events.none_for(0.15)
    emulator.lift()
    events.none_for(0.15)
    emulator.place("ann")
    events.next(FingerDown)


def test_interrupt_ends_work_in_hand(emulator, reader, events):
    events.next(SensorUp)
    begun = threading.Event()

    def wait_for_a_finger(sensor):
        begun.set()
        while not sensor.readImage():
            time.sleep(0.005)

    reader.interrupt()
    work = reader.run(wait_for_a_finger)
    assert begun.wait(2)
    reader.interrupt()
    with pytest.raises(errors.Cancelled):
        work.result(2)
    emulator.place("ann")
    events.next(FingerDown)


def test_pause_looks_at_no_finger_but_does_work(emulator, reader, events):
    events.next(SensorUp)
    reader.pause()
    assert reader.run(lambda sensor: sensor.capacity).result(2) == 1000
    emulator.place("ann")
    events.none_for(0.15)
    assert reader.run(lambda sensor: sensor.capacity).result(2) == 1000
    reader.resume()
    events.next(FingerDown)


def test_a_listener_that_fails_is_logged_and_the_sensor_goes_on(emulator, events, caplog):
    def listen(event):
        events(event)
        raise LookupError("listener")

    reader = Reader(lambda: open_zfm(emulator.port), listen, TIMING)
    with caplog.at_level(logging.ERROR):
        reader.start()
        events.next(SensorUp)
        emulator.place("ann")
        events.next(FingerDown)
        reader.stop()
    assert "a listener failed on SensorUp" in caplog.text


def test_a_connect_that_blows_up_is_a_sensor_that_is_down(events):
    def connect():
        raise ZeroDivisionError

    reader = Reader(connect, events, TIMING)
    reader.start()
    assert type(events.next(SensorDown).cause) is errors.SensorError
    reader.stop()


def test_stop_is_quick_while_nothing_answers_and_work_left_over_is_told(emulator, events):
    reader = Reader(lambda: open_zfm(emulator.port), events, TIMING)
    reader.start()
    events.next(SensorUp)
    emulator.inject(*[Mishap(silent=True)] * 50)
    before = len(emulator.history)
    wait_until(lambda: len(emulator.history) > before)
    left = reader.run(lambda sensor: sensor.capacity)
    started = time.monotonic()
    reader.stop()
    assert time.monotonic() - started < 0.5
    with pytest.raises((errors.Cancelled, CancelledError)):
        left.result(0)
    with pytest.raises(errors.Cancelled):
        reader.run(lambda sensor: sensor.capacity).result(0)
    reader.stop()


def test_no_port_at_all(tmp_path, events):
    reader = Reader(lambda: open_zfm(str(tmp_path / "none")), events, TIMING)
    reader.start()
    assert isinstance(events.next(SensorDown).cause, errors.PortMissing)
    with Emulator("r307", tmp_path / "none"):
        events.skip_to(SensorUp)
        reader.stop()
