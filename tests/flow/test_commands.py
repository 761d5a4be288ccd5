"""The commands as others run them: their lines, exit codes and refusals."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading

import pytest
from PySide6.QtGui import QImage

from drivers.emulator import Emulator
from kiosk.clock import SystemClock
from kiosk.model import Kind, Person, encode_event
from kiosk.store import Store
from sync.hub.tokens import VARIABLE
from tests.flow.conftest import rows
from tests.kiosk.test_desk import directory
from tests.kiosk.test_store import envelope, foreign
from tests.waiting import wait_for

MODULE = [sys.executable, "-m"]


def run(*words, check=True, stdin=None, **env):
    """Run a command to its end; a variable given as None is taken away."""
    environ = {k: v for k, v in (os.environ | env).items() if v is not None}
    done = subprocess.run(
        [*MODULE, *map(str, words)], capture_output=True, text=True, timeout=120, check=False,
        input=stdin, env=environ,
    )  # fmt: skip
    assert not check or done.returncode == 0, done.stderr
    return done


@pytest.fixture
def settings(tmp_path):
    path = tmp_path / "kiosk.toml"
    path.write_text(
        '[organisation]\nid = "club"\n[site]\nid = "hall"\n[screen]\nfullscreen = false\n'
        f'[storage]\ndirectory = "{tmp_path}"\n[sensor]\nport = "{tmp_path}/sensor"\n'
    )
    return path


@pytest.fixture
def hub(tmp_path):
    command = [*MODULE, "kiosk", "hub", "--db", tmp_path / "h.db", "--port", "0", "--child"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        word, url = process.stdout.readline().split()
        assert word == "ready"
        yield process, url
        process.kill()


def test_the_demo_plays_a_morning_with_an_outage_and_loses_nothing(tmp_path):
    done = run(
        "kiosk", "demo", "--headless", "--seconds", 8, "--people", 6, "--seed", 7, "--out", tmp_path
    )
    report = json.loads(done.stdout.splitlines()[-1])
    assert (report["lost"], report["doubled"]) == (0, 0)
    assert report["checked_in"] == report["second_kiosk_rows"] == 6
    assert report["arrivals"] == report["checked_in"] + report["already_in"] + report["unknown"]
    assert report["held_max"] > 0
    own = {row[0] for row in rows(report["kiosk_db"], "SELECT id FROM event")}
    there = {row[0] for row in rows(report["hub_db"], "SELECT id FROM event")}
    assert own == there
    assert report["pictures"]
    for picture in report["pictures"]:
        assert QImage(picture).width() == 1280


def test_a_hub_says_where_it_listens_and_ends_with_its_parent(hub, tmp_path):
    process, url = hub
    assert url.startswith("http://127.0.0.1:")
    token = tmp_path / "h.db.token"
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    assert len(token.read_text().strip()) >= 32
    process.stdin.close()
    assert process.wait(10) == 0


def test_a_second_hub_on_the_same_database_is_one_clear_line(hub, tmp_path):
    done = run("kiosk", "hub", "--db", tmp_path / "h.db", "--port", 0, check=False)
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert "h.db" in done.stderr


def test_a_busy_port_is_one_clear_line(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run("kiosk", "hub", "--db", tmp_path / "h.db", "--port", port, check=False)
    assert done.returncode == 1
    assert str(port) in done.stderr
    assert "Traceback" not in done.stderr


def test_a_token_others_can_read_is_refused(tmp_path):
    token = tmp_path / "h.db.token"
    token.write_text("x" * 40)
    token.chmod(0o644)
    done = run("kiosk", "hub", "--db", tmp_path / "h.db", "--port", 0, check=False)
    assert done.returncode == 1
    assert "chmod 600" in done.stderr


def test_people_are_imported_through_the_hub_and_again_without_effect(settings, tmp_path):
    people = tmp_path / "people.csv"
    people.write_text("id,first_name,last_name,kind,code\na1,Ann,Lee,,1234\nb2,Bob,Ray,,\n")
    first = run("kiosk", "people", "import", people, "--config", settings)
    again = run("kiosk", "people", "import", people, "--config", settings)
    assert first.stdout.strip() == "2 people added or changed, 0 unchanged"
    assert again.stdout.strip() == "0 people added or changed, 2 unchanged"
    kinds = rows(tmp_path / "hub.db", "SELECT kind FROM entry")
    assert kinds == [("directory",), ("directory",)]


def test_bad_rows_are_all_listed_and_nothing_is_imported(settings, tmp_path):
    people = tmp_path / "people.csv"
    people.write_text("id,first_name,last_name\na1,Ann,Lee\n,Bob,Ray\nc3,,Poe\n")
    done = run("kiosk", "people", "import", people, "--config", settings, check=False)
    assert done.returncode == 1
    assert "line 3: id is empty" in done.stderr
    assert "line 4: first_name is empty" in done.stderr
    assert "nothing was imported" in done.stderr
    assert not (tmp_path / "hub.db").exists()


PEOPLE = "id,first_name,last_name\na1,Ann,Lee\n"


@pytest.mark.parametrize("taken", [False, True])
def test_the_note_of_a_killed_kiosk_does_not_lead_anybody_astray(settings, tmp_path, taken):
    people = tmp_path / "people.csv"
    people.write_text(PEOPLE)
    with socket.create_server(("127.0.0.1", 0)) as foreign:
        foreign.settimeout(30)
        (tmp_path / "hub.url").write_text(f"http://127.0.0.1:{foreign.getsockname()[1]}")
        other = threading.Thread(target=answer_as_no_hub, args=(foreign,)) if taken else None
        if other:
            other.start()
        else:
            foreign.close()
        done = run("kiosk", "people", "import", people, "--config", settings)
        if other:
            other.join()
    assert done.stdout.strip() == "1 people added or changed, 0 unchanged"
    (tmp_path / "hub.url").write_text("http://127.0.0.1:1")
    told = run("kiosk", "doctor", "--config", settings, check=False).stdout
    (line,) = [line for line in told.splitlines() if line.split()[1] == "hub"]
    assert line.startswith("ok")
    assert "stale" in line


def answer_as_no_hub(server):
    """Answer one request as some other program that has the port by now."""
    connection, _ = server.accept()
    with connection:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")


def refused(done, *words):
    """One clear line and exit code 1 or 2, never a traceback."""
    assert done.returncode in (1, 2), done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr
    assert len([line for line in done.stderr.splitlines() if line.startswith("Error")]) == 1


@pytest.mark.parametrize("command", [("run",), ("doctor",), ("people", "import", "p.csv")])
@pytest.mark.parametrize("url", ["http://host:port", "http://[::1", "http://"])
def test_an_address_that_is_none_is_one_clear_line(settings, command, url):
    done = run("kiosk", *command, "--config", settings, check=False, WHORL_HUB_URL=url)
    refused(done, "hub.url")


@pytest.mark.parametrize(
    "command",
    [("run",), ("enrol", "ann"), ("people", "import", "p.csv"), ("sensor", "reprovision")],
)
@pytest.mark.parametrize("folder", ["/dev/null/x", "{file}/sub"])
def test_a_folder_that_cannot_be_is_one_clear_line(settings, command, folder):
    folder = folder.format(file=settings)
    env = {"WHORL_STORAGE_DIRECTORY": folder}
    done = run("kiosk", *command, "--config", settings, check=False, **env)
    refused(done, folder, "Not a directory")


def test_doctor_says_that_a_folder_cannot_be(settings):
    env = {"WHORL_STORAGE_DIRECTORY": f"{settings}/sub"}
    done = run("kiosk", "doctor", "--config", settings, check=False, **env)
    (line,) = [line for line in done.stdout.splitlines() if line.split()[1] == "database"]
    assert line.startswith("FAIL")
    assert "Not a directory" in line
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("words", [("--out", "{file}/sub"), ("--out", "/proc/xx")])
def test_a_demo_that_cannot_write_says_so(settings, words):
    words = [word.format(file=settings) for word in words]
    refused(run("kiosk", "demo", "--headless", *words, check=False), words[1])


def test_a_demo_of_no_length_is_refused():
    refused(run("kiosk", "demo", "--headless", "--seconds", "nan", check=False), "nan")


def test_a_hub_that_cannot_write_says_so():
    refused(run("kiosk", "hub", "--db", "/dev/null/h.db", check=False), "/dev/null")


def test_a_kiosk_without_a_display_says_how_to_get_one(settings, tmp_path):
    store = Store.open(
        tmp_path / "kiosk.db", org="club", site="hall", clock=SystemClock(), zone="UTC"
    )
    bare = dict.fromkeys(("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"))
    try:
        done = run("kiosk", "run", "--config", settings, check=False, **bare)
    finally:
        store.close()
    assert done.stderr.startswith("No display: drawing into memory. Set DISPLAY,")
    refused(done, "in use")


def test_a_headless_demo_is_headless_whatever_the_platform(tmp_path):
    words = ("--headless", "--seconds", 3, "--people", 1, "--out", tmp_path)
    done = run("kiosk", "demo", *words, QT_QPA_PLATFORM="no-such-platform")
    assert json.loads(done.stdout.splitlines()[-1])["lost"] == 0


def test_an_empty_token_variable_is_none_and_no_token_reaches_the_log(settings, hub, tmp_path):
    _, url = hub
    token = tmp_path / "h.db.token"
    with settings.open("a") as file:
        file.write(f'[hub]\nurl = "{url}"\ntoken_file = "{token}"\n')
    people = tmp_path / "people.csv"
    people.write_text(PEOPLE)
    command = ("kiosk", "people", "import", people, "--config", settings)
    assert run(*command, WHORL_HUB_TOKEN="").stdout.startswith("1 people")
    assert "(401)" in run(*command, check=False, **{VARIABLE: "wrong-token"}).stderr
    log = (tmp_path / "whorl.log").read_text()
    assert token.read_text().strip() not in log


def test_an_unknown_setting_is_named(tmp_path):
    (tmp_path / "bad.toml").write_text("[sensor]\nprot = 1\n")
    done = run("kiosk", "run", "--config", tmp_path / "bad.toml", check=False)
    assert done.returncode == 1
    assert "sensor: unknown setting `prot`" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_second_kiosk_on_the_same_database_is_refused(settings, tmp_path):
    store = Store.open(
        tmp_path / "kiosk.db", org="club", site="hall", clock=SystemClock(), zone="UTC"
    )
    try:
        done = run("kiosk", "run", "--config", settings, check=False)
    finally:
        store.close()
    assert done.returncode == 1
    assert f"process {os.getpid()}" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_emulator_is_a_command_of_the_kiosk_too(tmp_path):
    told = run("kiosk", "emulator", "--help").stdout
    assert "--profile" in told
    assert "r503" in told
    lines = "enrol ann 1\nplace ann\nlift\nquit\n"
    done = run("kiosk", "emulator", "--profile", "r307", "--link", tmp_path / "s", stdin=lines)
    ready, *answers = done.stdout.splitlines()
    assert ready == f"ready {tmp_path}/s"
    assert [answer.split()[0] for answer in answers] == ["ok"] * 4


def test_doctor_tells_each_part_in_a_line(settings, tmp_path):
    with Emulator("r307", tmp_path / "sensor"):
        well = run("kiosk", "doctor", "--config", settings)
    lines = well.stdout.splitlines()
    parts = ("python", "qt", "database", "events", "sensor", "library", "orders",
             "templates", "badges", "claims", "token", "hub", "clock")  # fmt: skip
    assert [line.split()[:2] for line in lines] == [["ok", part] for part in parts]
    ill = run("kiosk", "doctor", "--config", settings, check=False)
    assert ill.returncode == 1
    failed = [line.split()[1] for line in ill.stdout.splitlines() if line.startswith("FAIL")]
    assert failed == ["sensor"]


def test_doctor_finds_a_module_that_speaks_at_another_baud_rate(settings, tmp_path):
    with Emulator("r307", tmp_path / "sensor") as emulator:
        emulator.set_baudrate(115_200)
        ill = run("kiosk", "doctor", "--config", settings, check=False)
    assert ill.returncode == 1
    assert "set baudrate = 115200 and address = 0xFFFFFFFF" in ill.stdout


class Enrolment:
    """`kiosk enrol` as somebody at the terminal meets it."""

    def __init__(self, settings, person):
        command = [*MODULE, "kiosk", "enrol", person, "--config", settings]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def answer(self, text):
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def until(self, words):
        """Read on until a line has these words; all that was read."""
        seen = ""
        while words not in seen:
            line = self.process.stdout.readline()
            assert line, f"ended before {words!r}: {seen}"
            seen += line
        return seen

    def end(self, seconds):
        """Wait for the command to end by itself; its exit code."""
        code = self.process.wait(seconds)
        self.process.stdin.close()
        self.process.stdout.close()
        return code


@pytest.fixture
def known(settings, tmp_path):
    """Ann is known to the kiosk, as after its first run."""
    store = Store.open(
        tmp_path / "kiosk.db", org="club", site="hall", clock=SystemClock(), zone="UTC"
    )
    store.apply_remote("site", "e", list(directory([Person("ann", "Ann", "Lee")])), 1).result()
    store.close()
    return tmp_path / "kiosk.db"


def test_enrolment_asks_stores_and_proves(settings, known, tmp_path):
    with Emulator("r307", tmp_path / "sensor") as emulator:
        enrolment = Enrolment(settings, "ann")
        enrolment.answer("y")
        enrolment.until("Place the finger")
        emulator.place("ann")
        enrolment.until("Lift")
        emulator.lift()
        enrolment.until("same finger again")
        emulator.place("ann")
        enrolment.until("Lift")
        emulator.lift()
        enrolment.until("Once more")
        emulator.place("ann")
        assert "Ann is enrolled in slot 0" in enrolment.until("is enrolled")
        assert enrolment.process.wait(10) == 0
        assert emulator.slots == {0}
    enrolment.process.stdin.close()
    enrolment.process.stdout.close()
    kinds = [row[0] for row in rows(known, "SELECT kind FROM event ORDER BY seq")]
    assert kinds == ["directory", "consent", "enrolled"]
    assert rows(known, "SELECT slot, person, status FROM slot") == [(0, "ann", "active")]


def test_without_consent_nothing_is_captured(settings, known, tmp_path):
    with Emulator("r307", tmp_path / "sensor") as emulator:
        done = run("kiosk", "enrol", "ann", "--config", settings, check=False, stdin="n\n")
        # It is looked at, for whether it is the right one: no image, template or slot.
        assert not {0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x08, 0x09} & set(emulator.history)
    assert done.returncode == 1
    assert "no consent" in done.stderr
    assert rows(known, "SELECT kind FROM event ORDER BY seq")[-1] == ("consent",)
    assert rows(known, "SELECT * FROM slot") == []


def test_an_enrolment_killed_half_way_is_settled_by_the_next(settings, known, tmp_path):
    with Emulator("r307", tmp_path / "sensor") as emulator:
        first = Enrolment(settings, "ann")
        first.answer("y")
        first.until("Place the finger")
        emulator.place("ann")
        first.until("Lift")
        emulator.lift()
        first.until("same finger again")
        emulator.place("ann")
        first.until("Lift")
        emulator.lift()
        first.until("Once more")  # the template is in the sensor, not proved yet
        first.process.send_signal(signal.SIGKILL)
        first.process.wait()
        first.process.stdin.close()
        first.process.stdout.close()
        assert emulator.slots == {0}
        assert rows(known, "SELECT slot, status FROM slot") == [(0, "pending")]
        second = Enrolment(settings, "ann")
        second.answer("y")
        second.until("Place the finger")
        wait_for(lambda: emulator.slots == frozenset(), "the half-done slot to be freed")
        second.process.kill()
        second.process.wait()
        second.process.stdin.close()
        second.process.stdout.close()


def test_an_unknown_person_is_a_plain_line(settings, known):
    done = run("kiosk", "enrol", "nobody", "--config", settings, check=False)
    assert done.returncode == 1
    assert 'nobody has the id "nobody"' in done.stderr


def test_people_and_sessions_are_listed_by_a_kiosk_that_runs_and_one_that_does_not(
    settings, tmp_path
):
    for what, nothing in (("people", "Nobody yet"), ("sessions", "None yet")):
        done = run("kiosk", what, "list", "--config", settings)
        assert (done.stdout, nothing in done.stderr) == ("", True)
    store = Store.open(
        tmp_path / "kiosk.db", org="club", site="hall", clock=SystemClock(), zone="UTC"
    )
    noon = 1_772_366_400_000_000_000
    times = {"zone": "Europe/London", "starts": noon, "ends": noon + 3_600_000_000_000}
    evening = {"record": "session", "id": "s-1", "rev": 2}
    evening["value"] = {"id": "s-1", "title": "Evening"} | times
    event = foreign("dir-s-1", 2, Kind.DIRECTORY, None, None, data=evening)
    items = [*directory([Person("ann", "Ann", "Lee")]), (encode_event(event), envelope(2))]
    try:
        store.apply_remote("site", "e", items, 2).result()
        for _ in range(2):
            said = run("kiosk", "people", "list", "--config", settings).stdout
            assert said.split() == ["ann", "Ann", "L.", "member"]
            full = run("kiosk", "people", "list", "--full", "--config", settings).stdout
            assert full.split() == ["ann", "Ann", "Lee", "member"]
            said = run("kiosk", "sessions", "list", "--config", settings).stdout
            assert said.split() == ["2026-03-01", "12:00", "Evening", "s-1"]
            store.close()
    finally:
        store.close()
