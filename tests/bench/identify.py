"""What the driver costs: one identify against the same bytes by bare read and write."""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
import tty
from pathlib import Path

from drivers.packets import Packet, PacketKind, encode
from drivers.zfm import open_zfm
from tests.bench.line import Line

_COMMANDS = tuple(
    (encode(Packet(PacketKind.COMMAND, content)), reply)
    for content, reply in ((b"\x01", 12), (b"\x02\x01", 12), (b"\x04\x01\0\0\x03\xe8", 16))
)
_WIRE_MS = sum(len(command) + reply for command, reply in _COMMANDS) * 10 / 57_600 * 1000


def run() -> list[Line]:
    """Medians of one identify (GenImg, Img2Tz, Search), driver and floor taking turns.

    On a busy machine the bare loop may take longer than its bytes: the wire's own time is the
    floor then.
    """
    paced, paced_floor = _measure("paced", 60)
    paced_floor = min(paced_floor, _WIRE_MS)
    free, free_floor = _measure("instant", 600)
    return [
        Line("identify_paced", paced, "ms", paced_floor, must=1.10, extreme=1.03),
        Line("identify_unpaced", free, "ms", free_floor, must=2.2, extreme=1.6),
    ]


def _measure(timing: str, rounds: int) -> tuple[float, float]:
    with tempfile.TemporaryDirectory() as folder, _emulator(Path(folder) / "port", timing) as port:
        fd = os.open(port, os.O_RDWR | os.O_NOCTTY)
        tty.setraw(fd)
        try:
            with open_zfm(port) as sensor:
                return _compare(sensor, fd, rounds)
        finally:
            os.close(fd)


def _compare(sensor, fd, rounds):
    ours, floor = [], []
    for turn in range(rounds):
        for name in ("ours", "floor") if turn % 2 else ("floor", "ours"):
            started = time.perf_counter()
            if name == "ours":
                _identify(sensor)
                ours.append(time.perf_counter() - started)
            else:
                _bare(fd)
                floor.append(time.perf_counter() - started)
    return statistics.median(ours) * 1000, statistics.median(floor) * 1000


def _identify(sensor):
    assert sensor.readImage()
    assert sensor.convertImage()
    found = sensor.find()
    assert found is not None
    assert found[0] == 7


def _bare(fd):
    reply = b""
    for command, length in _COMMANDS:
        os.write(fd, command)
        reply = b""
        while len(reply) < length:
            reply += os.read(fd, length - len(reply))
    assert reply[9:12] == b"\0\0\x07"


@contextlib.contextmanager
def _emulator(link, timing):
    """In a process of its own, as a sensor is: it must not share our interpreter's lock."""
    command = [sys.executable, "-m", "drivers.emulator", "--link", str(link), "--timing", timing]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as process:
        assert process.stdout.readline().startswith("ready")
        for line in ("enrol ann 7", "place ann"):
            process.stdin.write(line + "\n")
            process.stdin.flush()
            assert process.stdout.readline().startswith("ok")
        yield str(link)
        process.stdin.close()
        process.wait(5)


if __name__ == "__main__":
    for line in run():
        print(line.json())
