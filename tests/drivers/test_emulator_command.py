"""The emulator as a command: what it prints, what it obeys, what it leaves behind."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from drivers.errors import Disconnected
from drivers.zfm import open_zfm


@pytest.fixture
def command(tmp_path):
    link = tmp_path / "sensor"
    with subprocess.Popen(
        [sys.executable, "-m", "drivers.emulator", "--profile", "r307", "--link", str(link)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == f"ready {link}\n"
        yield process, link
        process.stdin.close()
        process.wait(5)
    assert not link.is_symlink()


def tell(process, line):
    process.stdin.write(line + "\n")
    process.stdin.flush()
    return process.stdout.readline().strip()


def test_a_host_finds_the_finger_that_was_placed(command):
    process, link = command
    assert tell(process, "enrol ann 7") == "ok enrol ann 7"
    with open_zfm(str(link)) as sensor:
        assert sensor.readImage() is False
        assert tell(process, "place ann") == "ok place ann"
        assert sensor.readImage() is True
        assert sensor.convertImage() is True
        assert sensor.find()[0] == 7
        assert tell(process, "place ann dry") == "ok place ann dry"
        assert tell(process, "lift") == "ok lift"
        assert sensor.readImage() is False
        assert tell(process, "unplug") == "ok unplug"
        with pytest.raises(Disconnected):
            sensor.readImage()
        assert not link.is_symlink()
    assert tell(process, "replug") == "ok replug"
    with open_zfm(str(link)) as sensor:
        assert sensor.getTemplateCount() == 1
    assert tell(process, "quit") == "ok quit"
    assert process.wait(5) == 0


@pytest.mark.parametrize(
    "line",
    ["dance", "place", "place ann blue", "enrol ann", "enrol ann x", "enrol ann 1000", "replug"],
)
def test_what_it_cannot_do_is_an_error_and_it_goes_on(command, line):
    process, _ = command
    assert tell(process, line).startswith("error ")
    assert tell(process, "lift") == "ok lift"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(command, number):
    process, _ = command
    process.send_signal(number)
    assert process.wait(5) == 0


def test_a_path_that_is_taken_is_refused(tmp_path):
    (tmp_path / "mine").write_text("x")
    done = subprocess.run(
        [sys.executable, "-m", "drivers.emulator", "--link", str(tmp_path / "mine")],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 1
    assert "mine" in done.stderr
