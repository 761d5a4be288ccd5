"""What the sensor's library and the reader cost, against the time the bytes take on the wire."""

from __future__ import annotations

import contextlib
import queue
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from drivers.events import SensorDown, SensorUp
from drivers.library import identify_sensor
from drivers.reader import Reader, ReaderTiming
from drivers.reconcile import reconcile
from drivers.slots import Binding, Entry, SlotState
from drivers.templates import read_template, verify_one, write_template
from drivers.zfm import open_zfm
from tests.bench.line import Line

_BYTE = 10 / 57_600
_OVERHEAD = 11  # header, address, identifier, length, checksum
_SLOTS = 1000
_IDLE_SECONDS = 4.0


def run() -> list[Line]:
    """Medians at 57,600 baud; the floor is the wire time of the same bytes, or a bare poll loop."""
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder) / "port"
        with _emulator(link, "paced") as port:
            lines = _transfers(port) + _reconciles(port)
        with _emulator(link, "instant") as port:
            lines += _idle(port)
        with _emulator(link, "instant", own_console=True) as console:
            lines += _reconnect(console, str(link))
    return lines


# -- templates -------------------------------------------------------------------------------------


def _transfers(port):
    with open_zfm(port) as sensor:
        template = read_template(sensor, 0)
        stream = _stream(512, 128)
        reads = [_timed(read_template, sensor, 0) for _ in range(7)]
        writes = []
        for _ in range(5):
            sensor.deleteTemplate(999)
            writes.append(_timed(write_template, sensor, 999, template))
        assert sensor.readImage()
        assert sensor.convertImage()
        verifies = [_timed(verify_one, sensor, template) for _ in range(5)]
    read_floor = _wire(4, 1) + _wire(2, 1) + stream
    write_floor = _wire(2, 1) + stream + _wire(4, 1) + 2 * _wire(2, 33) + read_floor
    verify_floor = _wire(2, 1) + stream + _wire(1, 3)
    return [
        _line("template_read_512", reads, read_floor, must=1.15, extreme=1.05),
        _line("template_write_verified_512", writes, write_floor, must=1.3, extreme=1.15),
        _line("verify_one_512", verifies, verify_floor, must=1.35, extreme=1.25),
    ]


def _stream(size, packet):
    """Data packets of one template."""
    whole = size // packet
    return whole * (packet + _OVERHEAD) * _BYTE


def _wire(command, reply):
    """One exchange: contents of so many bytes there and back."""
    return (command + reply + 2 * _OVERHEAD) * _BYTE


# -- the library -----------------------------------------------------------------------------------


class _Table:
    """A thousand people on record."""

    def __init__(self, uuid):
        self._binding = Binding(uuid)
        self._rows = {
            slot: Entry(slot, SlotState.ACTIVE, f"person {slot}") for slot in range(_SLOTS)
        }

    def binding(self):
        return self._binding

    def bind(self, binding):
        self._binding = binding

    def entries(self, sensor):
        return dict(self._rows)

    def put(self, sensor, entry, generation=None):
        raise AssertionError("nothing was to be changed")

    def drop(self, sensor, slot, generation=None):
        raise AssertionError("nothing was to be changed")


def _reconciles(port):
    with open_zfm(port) as sensor:
        table = _Table(identify_sensor(sensor).sensor)
        took = []
        for _ in range(7):
            started = time.perf_counter()
            seen = reconcile(sensor, table)
            took.append(time.perf_counter() - started)
            assert len(seen.active) == _SLOTS
            assert seen.trusted
    # Stamp, four pages of the index, and the count.
    floor = 5 * _wire(2, 33) + _wire(1, 3)
    return [_line("reconcile_1000", took, floor, must=1.2, extreme=1.05)]


# -- the reader ------------------------------------------------------------------------------------


def _idle(port):
    """CPU of this process while a reader waits for fingers, in percent of one core."""
    events = queue.Queue()
    reader = Reader(lambda: open_zfm(port), events.put, ReaderTiming())
    reader.start()
    assert isinstance(events.get(timeout=5), SensorUp)
    before, started = _cpu(), time.monotonic()
    time.sleep(_IDLE_SECONDS)
    busy = (_cpu() - before) / (time.monotonic() - started) * 100
    reader.stop()
    with open_zfm(port) as sensor:
        before, started = _cpu(), time.monotonic()
        while time.monotonic() - started < 1.0:
            sensor.readImage()
        spinning = (_cpu() - before) / (time.monotonic() - started) * 100
    return [
        Line("reader_idle_cpu", round(busy, 3), "%", round(spinning, 1), must=0.05, extreme=0.02)
    ]


def _reconnect(console, port):
    """Milliseconds from the port's return to SensorUp."""
    events = queue.Queue()
    reader = Reader(lambda: open_zfm(port), events.put, ReaderTiming())
    reader.start()
    took = []
    _next(events, SensorUp)
    for turn in range(9):
        console("unplug")
        _next(events, SensorDown)
        time.sleep(1.0 + turn * 0.05)  # another phase of the reader's pauses each time
        started = time.perf_counter()
        console("replug")
        _next(events, SensorUp)
        took.append(time.perf_counter() - started)
    reader.stop()
    return [Line("reconnect_after_replug", round(statistics.median(took) * 1000, 1), "ms")]


# -- the parts -------------------------------------------------------------------------------------


def _line(name, seconds, floor, **bounds):
    return Line(name, round(statistics.median(seconds) * 1000, 2), "ms", floor * 1000, **bounds)


def _timed(work, *args):
    started = time.perf_counter()
    work(*args)
    return time.perf_counter() - started


def _cpu():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _next(events, kind):
    while not isinstance(events.get(timeout=10), kind):
        pass


@contextlib.contextmanager
def _emulator(link, timing, *, own_console=False):
    """In a process of its own, as a sensor is: it must not share our interpreter's lock."""
    command = [sys.executable, "-m", "drivers.emulator", "--link", str(link), "--timing", timing]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as process:
        assert process.stdout.readline().startswith("ready")

        def console(line):
            process.stdin.write(line + "\n")
            process.stdin.flush()
            assert process.stdout.readline().startswith("ok")

        if timing == "paced":
            console("enrol ann 0")
            console("fill")
            console("place ann")
        yield console if own_console else str(link)
        process.stdin.close()
        process.wait(5)


if __name__ == "__main__":
    for line in run():
        print(line.json())
