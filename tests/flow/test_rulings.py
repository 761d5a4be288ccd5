"""What staff put right from a terminal: the commands as processes, beside a running kiosk's own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from kiosk.clock import SystemClock
from kiosk.config import HUB_URL_FILE
from kiosk.model import Kind, decode_envelope, decode_event
from kiosk.store import Draft, Store
from tests.flow.conftest import rows
from tests.flow.test_commands import run
from tests.waiting import wait_for

DECIDING = {"override", "resolve", "session_closed", "session_reopened"}
PIN = "482915\n482915\n"
HOUR = 3600 * 10**9
PEOPLE = "id,first_name,last_name,kind,code\nann,Ann,Lee,,1001\nbob,Bob,Ray,,1002\n"


class Club:
    """A kiosk's folder, its process, and the commands given beside it."""

    def __init__(self, folder):
        self.folder = folder
        self.settings = folder / "kiosk.toml"
        self.settings.write_text(
            '[organisation]\nid = "club"\n[site]\nid = "hall"\n[screen]\nfullscreen = false\n'
            f'[storage]\ndirectory = "{folder}"\n[sensor]\nport = "{folder}/no-reader"\n'
        )
        self.database, self.hub = folder / "kiosk.db", folder / "hub.db"
        self.process = None

    def fill(self):
        """A session that is on, with one who came and somebody whom nobody knows."""
        (self.folder / "people.csv").write_text(PEOPLE)
        run("kiosk", "people", "import", self.folder / "people.csv", "--config", self.settings)
        now = time.time_ns()
        session = {"id": "s1", "title": "Choir", "zone": "UTC", "roster": ["ann", "bob"]}
        session |= {"starts": now - HOUR, "ends": now + 8 * HOUR}
        where = {"org": "club", "site": "hall", "clock": SystemClock(), "zone": "UTC"}
        store = Store.open(self.database, **where)
        opened = Draft(Kind.SESSION_OPENED, "s1", data=session)
        came = [Draft(Kind.CHECK_IN, "s1", who) for who in ("ann", "zed")]
        store.record_many([opened, *came]).result(10)
        store.close()

    def start(self):
        (self.folder / HUB_URL_FILE).unlink(missing_ok=True)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "kiosk", "run", "--config", self.settings],
            env=os.environ | {"QT_QPA_PLATFORM": "offscreen"},
            stderr=subprocess.DEVNULL,
        )
        wait_for((self.folder / HUB_URL_FILE).exists, "the kiosk's own hub")
        wait_for((self.folder / "kiosk.sock").exists, "the kiosk's socket")

    def end(self, how=signal.SIGTERM):
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(20)
            self.process = None

    def say(self, *words):
        """What the command says."""
        done = run("kiosk", *words, "--config", self.settings)
        assert done.stderr == ""
        return done.stdout.strip().splitlines()

    def refused(self, *words, code=1):
        """The one line that it says instead."""
        done = run("kiosk", *words, "--config", self.settings, check=False)
        assert (done.returncode, done.stdout) == (code, "")
        (line,) = done.stderr.strip().splitlines() if code == 1 else [done.stderr]
        return line.removeprefix("Error: ")

    def decisions(self):
        """Kind, author and rank of all that was decided, by the kiosk's own database."""
        found = rows(self.database, "SELECT body FROM event ORDER BY seq")
        events = [decode_event(body) for (body,) in found]
        return [(e.id, e.kind, e.by.staff, e.by.rank) for e in events if e.kind in DECIDING]

    def at_hub(self):
        """What the hub holds of them, with what it made of each."""
        return {
            id_: decode_envelope(envelope).verdict
            for id_, envelope in rows(self.hub, "SELECT id, envelope FROM event")
        }

    def status(self, person):
        """Status in the row that the kiosk keeps."""
        query = "SELECT status FROM attendance WHERE person = ?"
        return rows(self.database, query, (person,))[0][0]


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    club = Club(tmp_path_factory.mktemp("club"))
    club.fill()
    hired = ("--db", club.hub, "--org", "club", "--site", "hall")
    run(
        "kiosk", "hub", "staff", "add", "tom", "--name", "Tom", "--rank", "taker", *hired, stdin=PIN
    )
    run(
        "kiosk", "hub", "staff", "add", "ada", "--name", "Ada", "--rank", "admin", *hired, stdin=PIN
    )
    yield club
    club.end(signal.SIGKILL)


@pytest.fixture
def club(filled):
    """The kiosk runs, and has heard who is on the staff."""
    if filled.process is None:
        filled.start()
    query = "SELECT count(*) FROM directory WHERE record = 'staff'"
    wait_for(lambda: rows(filled.database, query) == [(2,)], "the list of staff")
    return filled


def test_decisions_made_beside_a_running_kiosk_are_in_its_database_and_at_the_hub(club):
    (line,) = [line for line in club.say("review", "list") if "zed" in line]
    item = line.split()[0]
    assert any("Session: Choir." in said for said in club.say("review", "show", item))
    (told,) = club.say("review", "resolve", item, "--staff", "ada")
    assert told.startswith("Acknowledged: Somebody with the id zed")
    assert club.say("override", "bob", "--status", "excused", "--staff", "ada") == [
        "bob is excused in Choir (s1)."
    ]
    assert club.say("session", "close") == ["Choir (s1) is closed; 0 absent."]
    assert club.say("session", "reopen", "s1") == ["Choir (s1) is open again."]
    made = club.decisions()
    assert [decision[1:] for decision in made] == [
        ("resolve", "ada", 3),
        ("override", "ada", 3),
        ("session_closed", "owner", 2),
        ("session_reopened", "owner", 2),
    ]
    assert (club.status("ann"), club.status("bob")) == ("present", "excused")
    wait_for(lambda: {one[0] for one in made} <= club.at_hub().keys(), "the hub to have them")
    assert {club.at_hub()[one[0]] for one in made} == {"accepted"}
    assert "zed" not in "".join(club.say("review", "list"))


def test_what_cannot_be_done_is_one_line_and_leaves_nothing(club):
    before = club.decisions()
    refused = club.refused
    assert refused("override", "bob", "--status", "late", "--staff", "tom") == (
        "tom takes attendance only; that is for an instructor to decide"
    )
    assert refused("session", "close", "--staff", "eve") == 'nobody on the staff is called "eve"'
    assert refused("override", "amm", "--status", "late") == (
        'nobody has the id "amm" here; see `kiosk people list`'
    )
    assert refused("session", "close", "s9").startswith('no session has the id "s9"')
    assert refused("session", "reopen", "s1") == "Choir (s1) is open"
    assert refused("review", "resolve", "nothing").startswith('no open item begins with "nothing"')
    assert "'moon' is not one of" in refused("override", "bob", "--status", "moon", code=2)
    assert club.decisions() == before
    club.say("session", "close", "s1")
    assert refused("session", "close", "s1") == "Choir (s1) is closed already"
    club.say("session", "reopen", "s1")


def test_without_a_running_kiosk_they_go_into_its_database_and_out_with_its_next_start(club):
    club.end(signal.SIGKILL)
    assert (club.folder / "kiosk.sock").exists()  # nobody listens there any more
    assert club.say("override", "bob", "--status", "late") == ["bob is late in Choir (s1)."]
    assert club.refused("override", "bob", "--status", "late", "--staff", "tom").startswith("tom")
    made = club.decisions()[-1]
    assert club.status("bob") == "late"
    assert made[0] not in club.at_hub()
    club.start()
    wait_for(lambda: club.at_hub().get(made[0]) == "accepted", "the hub to have it")
    club.end(signal.SIGTERM)
    assert not (club.folder / "kiosk.sock").exists()
    assert club.say("session", "close") == ["Choir (s1) is closed; 0 absent."]


def test_a_kiosk_that_takes_no_commands_yet_is_said_to_be_one(tmp_path):
    club = Club(tmp_path)
    where = {"org": "club", "site": "hall", "clock": SystemClock(), "zone": "UTC"}
    store = Store.open(club.database, **where)
    try:
        for words in (("review", "list"), ("override", "x", "--status=late")):
            line = club.refused(*words)
            assert line.startswith("the running kiosk takes no commands yet")
    finally:
        store.close()
