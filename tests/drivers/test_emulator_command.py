"""The emulator as a command: what it prints, what it obeys, what it leaves behind."""

from __future__ import annotations

import io
import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.emulator import Emulator, Mishap, commands
from drivers.emulator.__main__ import main
from drivers.emulator.commands import obey
from drivers.emulator.trouble import NOISE
from drivers.errors import Disconnected
from drivers.zfm import open_zfm

# Never started: lines for its cable are errors, all others do what they say.
_IDLE = Emulator("zfm20", Path("nowhere"))


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
    [
        "dance",
        "place",
        "place ann blue",
        "enrol ann",
        "enrol ann x",
        "enrol ann 1000",
        "replug",
        "stick",
        "latent",
        "swap -1",
        "swap x",
        "slow",
        "slow x",
        "slow -1",
        "slow nan",
        "slow inf",
        "cut",
        "cut -1",
        "garbage xx",
        "instead 5",
        "wrong-address x",
        "wrong-address 1FFFFFFFF",
        "refuse",
        "refuse 100",
        "refuse 18 on xx",
        "refuse 18 on 100",
        "refuse 18 times -1",
        "unplug-reply",
        "unplug-reply 3 times 2",
        "send",
        "send zz",
        "stale zz",
        "break",
        "break lens",
        "mend lens",
        "alter 5",
        "alter x",
        "ruin 5",
        "baud 0",
        "baud 12345",
        "password x",
        "address -1",
        "restart now",
        "lift on 01",
        "show me",
        "on 01",
        "times 3",
    ],
)
def test_what_it_cannot_do_is_an_error_and_it_goes_on(emulator, line):
    assert obey(emulator, line).startswith("error ")
    assert obey(emulator, "lift") == "ok lift"


@pytest.mark.parametrize(
    ("line", "mishaps"),
    [
        ("silence", [Mishap(silent=True)]),
        ("lose on 06", [Mishap(0x06, unheard=True)]),
        ("slow 0.5 times 2", [Mishap(delay=0.5)] * 2),
        ("cut 7 on 08 times 2", [Mishap(0x08, cut=7)] * 2),
        ("cut 7 times 2 on 08", [Mishap(0x08, cut=7)] * 2),
        ("garbage", [Mishap(noise=NOISE)]),
        ("garbage 55EF", [Mishap(noise=b"\x55\xef")]),
        ("instead 55 on 01", [Mishap(0x01, noise=b"\x55", silent=True)]),
        ("wrong-checksum", [Mishap(bad_checksum=True)]),
        ("wrong-address", [Mishap(address=0x12345678)]),
        ("wrong-address A", [Mishap(address=10)]),
        ("refuse 21", [Mishap(code=0x21)]),
        ("unplug-reply 3 on 0F", [Mishap(0x0F, cut=3, unplug=True)]),
        ("silence times 0", []),
    ],
)
def test_a_line_for_one_exchange_makes_the_mishap_it_names(emulator, line, mishaps):
    assert obey(emulator, line) == f"ok {line}"
    assert list(emulator._line.mishaps._waiting) == mishaps
    assert obey(emulator, "heal") == "ok heal"
    assert len(emulator._line.mishaps) == 0


def test_lines_change_what_show_shows(emulator):
    def shown():
        answer = obey(emulator, "show")
        assert answer.startswith("ok ")
        return json.loads(answer[3:])

    before = shown()
    assert before["slots"] == []
    for line in (
        "place ann wet",
        "enrol ann 1",
        "enrol bob 2",
        "alter 1",
        "ruin 2",
        "break flash",
        "address 5",
        "baud 9600",
        "silence",
        "stick",
        "lift",
    ):
        assert obey(emulator, line) == f"ok {line}"
    assert shown() == before | {
        "finger": "ann wet",
        "slots": [1, 2],
        "broken": ["flash"],
        "address": "00000005",
        "baudrate": 9600,
        "mishaps": 1,
    }
    for line in (
        "mend flash",
        "heal",
        "wipe",
        "lift",
        "clear",
        "swap",
        "restart",
        "stale",
        "send 55",
    ):
        assert obey(emulator, line) == f"ok {line}"
    assert shown() | {"serial": ""} == before | {"module": 1, "serial": ""}
    for line in (
        "ghost",
        "latent",
        "latent eve",
        "stick eve",
        "fill",
        "password CAFE",
        "swap 0",
        "unplug",
    ):
        assert obey(emulator, line) == f"ok {line}"
    assert shown()["plugged"] is False
    assert obey(emulator, "stale") == "error the sensor is unplugged"


@given(st.text(max_size=40))
def test_no_line_gets_the_better_of_it(line):
    assert re.match(r"(ok|error) ", obey(_IDLE, line))


@given(
    st.sampled_from([*commands._ACTIONS, *commands._EXCHANGES]),
    st.lists(
        st.sampled_from(["1", "-1", "ann", "on", "times", "FF", "1e999", "é", "\ud800"]), max_size=4
    ),
)
def test_no_words_behind_a_command_do_either(word, words):
    assert re.match(r"(ok|error) ", obey(_IDLE, " ".join([word, *words])))


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


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "drivers.emulator", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


def test_a_damaged_state_file_is_named_and_nothing_starts(tmp_path):
    (tmp_path / "flash").write_text("nonsense")
    done = run("--link", str(tmp_path / "port"), "--state", str(tmp_path / "flash"))
    assert done.returncode == 1
    assert done.stderr.startswith(f"error {tmp_path / 'flash'} is no state of a r307")
    assert not (tmp_path / "port").is_symlink()


def test_the_library_outlives_the_command(tmp_path, capsys, monkeypatch):
    arguments = ["--link", str(tmp_path / "port"), "--state", str(tmp_path / "flash")]
    for lines, slots in (("enrol ann 4\nshow\n", [4]), ("enrol bob 5\nshow\nquit\n", [4, 5])):
        monkeypatch.setattr("sys.stdin", io.StringIO(lines))
        monkeypatch.setattr("signal.signal", lambda *_: None)
        assert main(arguments) == 0
        shown = next(line for line in capsys.readouterr().out.splitlines() if "{" in line)
        assert json.loads(shown[3:])["slots"] == slots


def test_help_profiles_and_what_is_missing(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["--help"], "kiosk emulator")
    said = capsys.readouterr().out
    assert said.startswith("usage: kiosk emulator ")
    assert "unplug-reply N" in said
    assert main(["--profiles"]) == 0
    said = capsys.readouterr().out
    assert "r503: 200 templates of 1536 bytes, image 192x192" in said
    assert "3C ReadProdInfo" in said
    assert main([]) == 2
    assert "--link" in capsys.readouterr().err


def test_a_quirk_is_another_habit_and_an_unknown_one_an_error(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("signal.signal", lambda *_: None)
    started = []
    monkeypatch.setattr("drivers.emulator.__main__.Emulator", lambda *args: started.append(args))
    with pytest.raises(AttributeError):  # the stand-in cannot start
        main(["--link", "x", "--quirk", "merges_strangers=on", "--quirk", "deaf_while_busy=off"])
    ((profile, *_),) = started
    assert profile.merges_strangers
    assert not profile.deaf_while_busy
    for quirk in ("flies=on", "merges_strangers", "merges_strangers=1"):
        assert main(["--link", "x", "--quirk", quirk]) == 1
        assert "no such quirk" in capsys.readouterr().err
