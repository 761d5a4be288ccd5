"""`kiosk sensor` as an administrator meets it: lines, questions, exit codes, and what is left."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import socket
import stat
import sys

import pytest

from drivers.emulator import Emulator
from drivers.library import read_stamp
from drivers.reconcile import reconcile
from drivers.zfm import open_zfm
from kiosk.bundle import open_bundle
from kiosk.clock import SystemClock
from kiosk.config import load
from kiosk.keeper import Keeper
from kiosk.model import Kind
from kiosk.peek import peek
from kiosk.slots import StoredSlots
from kiosk.store import Draft, Store
from tests.flow.conftest import rows
from tests.flow.test_commands import Enrolment, run
from tests.kiosk.library import found, know, put_in, revocations
from tests.waiting import wait_for

PHRASE = "correct horse battery"


class Door:
    """One kiosk's folder with its settings, and the reader on its port."""

    def __init__(self, folder, profile="r307", seed=1, **templates):
        folder.mkdir()
        self.folder = folder
        self.emulator = Emulator(profile, folder / "sensor", seed=seed)
        self.settings(**templates)
        self.phrase = folder / "phrase"
        self.phrase.write_text(PHRASE + "\n")
        self.phrase.chmod(0o600)

    def settings(self, **templates):
        lines = "".join(f"{name} = {str(value).lower()}\n" for name, value in templates.items())
        (self.folder / "kiosk.toml").write_text(
            '[organisation]\nid = "club"\n[site]\nid = "hall"\n'
            f'[storage]\ndirectory = "{self.folder}"\n[sensor]\nport = "{self.folder}/sensor"\n'
            f"[templates]\n{lines}"
        )

    @contextlib.contextmanager
    def store(self):
        path = self.folder / "kiosk.db"
        store = Store.open(path, org="club", site="hall", clock=SystemClock(), zone="UTC")
        try:
            yield store
        finally:
            store.close()

    @contextlib.contextmanager
    def running(self):
        """The records while a keeper has them and the reader."""
        with self.store() as store:
            config = load(self.folder / "kiosk.toml", {})
            keeper = Keeper(config, store, SystemClock(), lambda _: None)
            keeper.start()
            try:
                yield store
            finally:
                keeper.stop()

    @contextlib.contextmanager
    def bench(self):
        with self.store() as store, open_zfm(self.emulator.port) as sensor:
            yield store, StoredSlots(store, SystemClock()), sensor

    def fill(self, *names):
        """These people are known here, have said yes, and have a finger in the reader."""
        with self.bench() as (store, table, sensor):
            know(store, *names)
            reconcile(sensor, table)
            for name in names:
                put_in(sensor, table, name)

    def named(self, *fingers):
        """Whom each finger is taken for."""
        with self.bench() as (_, table, sensor):
            reconcile(sensor, table)
            return [found(self.emulator, sensor, table, name) for name in fingers]

    def run(self, command, *words, **how):
        settings = ("--config", self.folder / "kiosk.toml")
        return run("kiosk", "sensor", command, *words, *settings, **how)

    def fails(self, command, *words, **how):
        """The one line that it says."""
        done = self.run(command, *words, check=False, **how)
        assert done.returncode == 1, done.stdout
        assert "Traceback" not in done.stderr
        (line,) = done.stderr.strip().splitlines()
        return line


@pytest.fixture
def door(tmp_path):
    made = Door(tmp_path / "door", backup=True, distribution=True)
    with made.emulator:
        yield made


def files(folder):
    return b"".join(path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file())


def test_info_and_list_tell_what_is_there_and_change_nothing(door):
    door.fill("ann", "bob")
    before = door.emulator.history.count(0x18)
    said = door.run("info").stdout
    for line in ("model       zfm-0009-1000", "stamp       sound", "generation  2",
                 "2 of 1000 used", "records     2 active"):  # fmt: skip
        assert line in said
    listed = door.run("list").stdout.splitlines()
    assert [line.split()[:3] for line in listed[:2]] == [["0", "ann", "active"],
                                                         ["1", "bob", "active"]]  # fmt: skip
    assert listed[2].startswith("2 slots of ")
    assert door.emulator.history.count(0x18) == before


def nobody_is_asked_in_vain(door, person):
    config = ("--config", door.folder / "kiosk.toml")
    refused = run("kiosk", "enrol", person, *config, check=False, stdin="y\n")
    assert "This is a different fingerprint reader" in refused.stderr
    assert (refused.returncode, "?" in refused.stdout) == (1, False)


def test_a_swapped_reader_is_told_and_adopted_only_when_asked(door):
    door.fill("ann")
    door.emulator.swap(1)
    door.emulator.enrol("mallory", 3)
    told = door.run("info", check=False)
    assert told.returncode == 1
    assert "closed (blank)" in told.stdout
    assert "This is a different fingerprint reader. Plug the right one in, or" in told.stdout
    with door.store() as store:
        know(store, "bob", consent=False)
    nobody_is_asked_in_vain(door, "bob")
    with door.store() as store:
        assert store.personal_events("bob", Kind.CONSENT) == []
    refused = door.run("adopt", stdin="n\n", check=False)
    assert refused.returncode == 1
    with door.bench() as (_, _, sensor):
        assert read_stamp(sensor) is None
    assert "1 nobody's" in door.run("adopt", stdin="y\n").stdout
    assert door.named("mallory", "ann") == [None, None]


def test_wiped_and_brought_back(door):
    door.fill("ann", "bob")
    assert door.run("backup").stdout.strip() == "2 templates copied"
    assert b"ARTIFICIAL" not in files(door.folder)
    assert "Aborted" in door.run("wipe", stdin="n\n", check=False).stderr
    assert len(door.emulator.slots) == 2
    assert "2 missing" in door.run("wipe", "--yes").stdout
    assert door.emulator.slots == frozenset()
    assert door.run("reprovision").stdout.strip() == "2 templates brought in, 0 were there already"
    assert door.named("ann", "bob", "eve") == ["ann", "bob", None]
    assert door.run("rotate-keys").stdout.strip() == "2 templates sealed with a new key"
    assert door.run("reprovision").stdout.strip() == "0 templates brought in, 2 were there already"


def test_who_is_kept_nowhere_is_named_for_enrolment(door):
    door.fill("ann")
    door.run("wipe", "--yes")
    assert "to be enrolled again: ann" in door.run("reprovision").stdout


@pytest.mark.parametrize("command", ["backup", "reprovision", "rotate-keys"])
def test_by_default_nothing_leaves_the_reader_and_asking_says_so(door, command):
    door.settings()
    door.fill("ann")
    before = door.emulator.history.count(0x08)
    assert "no template leaves the reader" in door.fails(command)
    assert not (door.folder / "templates.db").exists()
    assert not (door.folder / "vault.key").exists()
    assert door.emulator.history.count(0x08) == before


def test_export_is_refused_unless_switched_on(door, tmp_path):
    door.settings(backup=True)
    door.fill("ann")
    words = ("export", tmp_path / "out", "--passphrase-file", door.phrase)
    assert "distribution is switched off" in door.fails(*words)
    assert not (tmp_path / "out").exists()


def test_templates_go_to_another_reader_in_a_sealed_file(door, tmp_path):
    door.fill("ann", "bob", "eve")
    with door.bench() as (store, table, sensor):
        know(store, "eve", "zoe", consent=False)
        put_in(sensor, table, "zoe")
        said_no = {"text": "1", "language": "en", "answer": "no"}
        store.record(Draft(Kind.CONSENT, person="eve", data=said_no)).result()
    out = tmp_path / "out.templates"
    told = door.run("export", out, "--passphrase-file", door.phrase).stdout
    assert "2 templates of format zfm-0009-1000/512" in told
    assert "1 left out" in told, "nobody ever asked Zoe"
    assert door.emulator.slots == {0, 1, 3}, "Eve's is destroyed: she said no"
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    for secret in (b"ARTIFICIAL", b"ann", PHRASE.encode()):
        assert secret not in out.read_bytes()
    assert "exists already" in door.fails("export", out, "--passphrase-file", door.phrase)
    second = Door(tmp_path / "second", seed=2)
    with second.emulator:
        with second.store() as store:
            know(store, "ann")
        told = second.run("import", out, "--passphrase-file", second.phrase).stdout
        assert "1 templates brought in" in told
        assert "1 not let in" in told, "Bob is not known there"
        assert second.named("ann", "bob") == ["ann", None]
        again = second.run("import", out, "--passphrase-file", second.phrase).stdout
        assert "0 templates brought in, 1 were there already" in again


def at_a_terminal(words, *answers):
    """Run the command on a terminal of its own and answer its prompts; all that was shown."""
    child, terminal = pty.fork()
    if not child:
        os.execv(sys.executable, [sys.executable, "-m", *map(str, words)])  # noqa: S606 - it takes this child's place
    shown, waiting = b"", list(answers)
    with contextlib.suppress(OSError):
        while data := os.read(terminal, 4096):
            shown += data
            if waiting and shown.count(b":") > len(answers) - len(waiting):
                os.write(terminal, waiting.pop(0).encode() + b"\n")
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), shown.decode()


def test_a_passphrase_typed_at_the_terminal_is_asked_twice_and_not_shown(door, tmp_path):
    door.fill("ann")
    out, config = tmp_path / "out", door.folder / "kiosk.toml"
    words = ("kiosk", "sensor", "export", out, "--config", config)
    code, shown = at_a_terminal(words, PHRASE, PHRASE)
    assert (code, PHRASE in shown) == (0, False)
    assert shown.startswith("Passphrase: \r\nRepeat for confirmation: \r\n")
    assert "1 templates of format" in shown
    assert len(open_bundle(out.read_bytes(), PHRASE)) == 1


def test_a_revoked_person_does_not_come_back_from_an_old_file(door, tmp_path):
    door.fill("ann", "bob")
    out = tmp_path / "out"
    door.run("export", out, "--passphrase-file", door.phrase)
    door.run("backup")
    told = door.run("revoke", "ann", "--yes", "--reason", "withdrawn").stdout
    assert told.strip() == "1 slots emptied, 1 kept templates destroyed"
    assert door.emulator.slots == {1}
    told = door.run("import", out, "--passphrase-file", door.phrase).stdout
    assert "0 templates brought in, 1 were there already" in told
    assert "1 not let in" in told
    assert "0 templates brought in" in door.run("reprovision").stdout
    assert door.named("ann", "bob") == [None, "bob"]
    with door.store() as store:
        states = [said["state"] for said in revocations(store, "ann")]
    assert states == ["ordered", "done"]


def test_a_revocation_without_the_reader_is_finished_when_it_is_back(door):
    door.fill("ann", "bob")
    door.emulator.unplug()
    done = door.run("revoke", "ann", "--yes", check=False)
    assert done.returncode == 1
    assert "when it is back" in done.stderr
    door.emulator.replug()
    door.run("backup")
    assert door.emulator.slots == {1}
    with door.store() as store:
        assert [said["state"] for said in revocations(store, "ann")] == ["ordered", "done"]


def test_another_models_file_is_refused_before_the_passphrase(door, tmp_path):
    door.fill("ann")
    out = tmp_path / "out"
    door.run("export", out, "--passphrase-file", door.phrase)
    other = Door(tmp_path / "other", profile="r503")
    with other.emulator:
        line = other.fails("import", out)
        assert "zfm-0009-1000/512" in line
        assert "/1536" in line
        assert other.emulator.slots == frozenset()


def test_a_wrong_or_open_passphrase_file_and_a_wrong_file(door, tmp_path):
    door.fill("ann")
    out, wrong = tmp_path / "out", tmp_path / "wrong"
    door.run("export", out, "--passphrase-file", door.phrase)
    wrong.write_text("wrong horse battery\n")
    assert "chmod 600" in door.fails("import", out, "--passphrase-file", wrong)
    wrong.chmod(0o600)
    assert "does not open" in door.fails("import", out, "--passphrase-file", wrong)
    wrong.write_text("short\n")
    assert "12 characters" in door.fails("export", tmp_path / "b", "--passphrase-file", wrong)
    assert not (tmp_path / "b").exists()
    assert "no file of exported templates" in door.fails("import", wrong)
    assert "cannot be read" in door.fails("import", tmp_path / "nothing")


def test_a_decommissioned_reader_has_a_certificate_and_holds_nothing(door):
    door.fill("ann", "bob")
    with door.bench() as (_, _, sensor):
        uuid = read_stamp(sensor).sensor
    assert "Aborted" in door.run("decommission", stdin="n\n", check=False).stderr
    assert len(door.emulator.slots) == 2
    line = door.run("decommission", "--yes").stdout.strip()
    assert re.fullmatch(
        rf"Certificate: reader {uuid} \(zfm-0009-1000\) was emptied at 20\d\d-.* UTC:"
        r" index all zero, count 0, notepad blank; 2 templates of 2 people were destroyed\.",
        line,
    )
    assert door.emulator.slots == frozenset()
    with door.bench() as (store, _, sensor):
        assert read_stamp(sensor) is None
        assert store.slots() == []
        assert [revocations(store, name) for name in ("ann", "bob")] == [
            [{"state": "sensor", "reason": "decommissioned"}]
        ] * 2
    kinds = [row[0] for row in rows(door.folder / "kiosk.db", "SELECT kind FROM event")]
    assert kinds.count("template_revoked") == 2


@pytest.mark.parametrize(
    "words",
    ["info", "adopt --yes", "wipe --yes", "backup", "reprovision", "export x", "import x",
     "decommission --yes", "revoke ann --yes", "rotate-keys", "clear 1 --yes"],
)  # fmt: skip
def test_while_somebody_has_the_records_every_command_is_refused_in_one_line(door, words):
    with door.store():
        assert re.search("stop (the kiosk|it) first", door.fails(*words.split()))
    assert door.emulator.history == []


def test_a_lost_key_is_one_line_and_nothing_is_destroyed(door):
    door.fill("ann")
    door.run("backup")
    (door.folder / "vault.key").unlink()
    for command in ("reprovision", "rotate-keys"):
        assert "put" in door.fails(command)
    assert rows(door.folder / "templates.db", "SELECT count(*) FROM template") == [(1,)]
    assert not (door.folder / "vault.key").exists()


def test_a_slot_that_is_nobodys_can_be_cleared_and_no_other(door):
    door.fill("ann")
    door.emulator.enrol("ghost", 7)
    assert door.run("clear", "7", "--yes").stdout.strip() == "slot 7 is empty now"
    assert door.emulator.slots == {0}
    assert "slot 7 is empty" in door.fails("clear", "7", "--yes")
    assert "kiosk sensor revoke ann" in door.fails("clear", "0", "--yes")
    assert door.named("ann") == ["ann"]


def test_a_withdrawn_consent_destroys_everything(door):
    door.fill("ann", "bob")
    door.run("backup")
    consent = ("--config", door.folder / "kiosk.toml")
    assert run("kiosk", "consent", "show", "ann", *consent).stdout.strip() == "ann: yes"
    told = run("kiosk", "consent", "withdraw", "ann", "--yes", *consent).stdout
    assert told.strip() == "1 slots emptied, 1 kept templates destroyed"
    assert run("kiosk", "consent", "show", "ann", *consent).stdout.strip() == "ann: no"
    with door.store() as store:
        know(store, "eve", consent=False)
    assert run("kiosk", "consent", "show", "eve", *consent).stdout.strip() == "eve: never asked"
    unknown = run("kiosk", "consent", "show", "nobody", *consent, check=False)
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert 'nobody has the id "nobody" here; see kiosk people list' in unknown.stderr
    assert door.emulator.slots == {1}
    assert "0 templates brought in" in door.run("reprovision").stdout


# -- at a kiosk that runs --------------------------------------------------------------------------


@pytest.fixture
def running(door):
    """A kiosk's keeper and records at work, as `kiosk run` has them; Ann and Bob are known."""
    with door.running() as store:
        know(store, "ann", "bob")
        yield store
    assert not (door.folder / "kiosk.sock").exists()


def test_a_finger_is_enrolled_and_destroyed_while_the_kiosk_runs(door, running):
    assert stat.S_IMODE((door.folder / "kiosk.sock").stat().st_mode) == 0o600
    enrolment = Enrolment(door.folder / "kiosk.toml", "ann")
    enrolment.answer("y")  # the yes on record says nothing of copies, which these settings keep
    for words in ("Place the finger", "same finger again", "Once more"):
        enrolment.until(words)
        door.emulator.place("ann")
        if words != "Once more":
            enrolment.until("Lift")
            door.emulator.lift()
    assert "Ann is enrolled in slot 0" in enrolment.until("is enrolled")
    assert "other hand" in enrolment.until("hand")
    assert enrolment.end(10) == 0
    listed = door.run("list").stdout.splitlines()
    assert listed[0].split()[:3] == ["0", "ann", "active"]
    assert "Destroyed here" in door.run("revoke", "ann", "--yes").stdout
    assert door.emulator.slots == frozenset()
    assert running.slots() == []
    config = ("--config", door.folder / "kiosk.toml")
    assert "Destroyed" in run("kiosk", "consent", "withdraw", "ann", "--yes", *config).stdout
    told = run("kiosk", "enrol", "ann", *config, check=False, stdin="n\n")
    assert (told.returncode, "no consent" in told.stderr) == (1, True)


def test_a_command_that_is_killed_gives_up_its_enrolment(door, running):
    enrolment = Enrolment(door.folder / "kiosk.toml", "ann")
    enrolment.answer("y")  # the yes on record says nothing of copies, which these settings keep
    enrolment.until("Place the finger")
    door.emulator.place("ann")
    enrolment.until("Lift")
    enrolment.process.kill()
    enrolment.end(10)
    wait_for(lambda: not running.slots(), "the slot to be free")
    door.emulator.lift()
    config = ("--config", door.folder / "kiosk.toml")
    told = run("kiosk", "enrol", "nobody", *config, check=False)
    assert 'nobody has the id "nobody"' in told.stderr


def test_a_running_kiosk_without_its_reader_keeps_the_order_and_no_copy(door):
    door.fill("ann", "bob")
    door.run("backup")
    door.emulator.unplug()
    with door.running() as store:
        told = door.run("revoke", "bob", "--yes").stdout
        assert "Recorded" in told
        assert "when it is back" in told
        assert [said["state"] for said in revocations(store, "bob")] == ["ordered"]
        with peek(door.folder / "templates.db") as kept:
            assert kept.execute("SELECT person FROM template").fetchall() == [("ann",)]
        door.emulator.replug()
        wait_for(lambda: len(revocations(store, "bob")) == 2, "the confirmation")
    assert len(door.emulator.slots) == 1


def test_a_running_kiosk_adopts_wipes_and_brings_back(door, running):
    told = door.run("info").stdout
    assert "stamp       sound" in told
    door.emulator.swap(1)
    door.emulator.enrol("mallory", 3)
    seen = wait_for(lambda: _closed(door), "the stranger to be seen")
    assert "closed (blank)" in seen
    nobody_is_asked_in_vain(door, "ann")
    assert "Aborted" in door.run("adopt", stdin="n\n", check=False).stderr
    assert "1 nobody's" in door.run("adopt", stdin="y\n").stdout
    assert {slot.status for slot in running.slots()} == {"quarantined"}
    assert "Wiped" in door.run("wipe", "--yes").stdout
    assert door.emulator.slots == frozenset()
    assert "0 templates brought in" in door.run("reprovision").stdout
    assert door.run("info").returncode == 0


def _closed(door):
    seen = door.run("info", check=False)
    return seen.stdout if seen.returncode == 1 and "closed" in seen.stdout else None


def test_nonsense_on_the_socket_harms_nobody(door, running):
    for data in (b"", b"\n", b"nonsense\n", b"x" * 5000, b'{"do":"fly","person":"ann"}\n'):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(door.folder / "kiosk.sock"))
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            said = connection.makefile("rb").readline()
        assert b"error" in said
    assert "Destroyed" in door.run("revoke", "bob", "--yes").stdout


def test_a_running_kiosk_brings_the_kept_back(door):
    door.fill("ann", "bob")
    door.run("backup")
    door.run("wipe", "--yes")
    door.settings(backup=True, roster_cache=False)
    with door.running() as store:
        told = door.run("reprovision").stdout
        assert told.strip() == "2 templates brought in, 0 were there already"
        assert {slot.status for slot in store.slots()} == {"active"}
    door.settings()
    with door.running():
        assert "backup is switched off" in door.fails("reprovision")


def test_a_reader_that_is_not_there_is_one_line(door):
    door.emulator.unplug()
    assert "No fingerprint reader is plugged in." in door.fails("info")
