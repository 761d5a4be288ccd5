"""By the commands alone: unsent events on a stick to another kiosk or the hub; a hub put back."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys

import pytest

from kiosk.clock import SystemClock
from kiosk.model import Kind
from kiosk.store import Draft, Store
from sync.client import SyncClient
from sync.hub.tokens import token_path
from tests.flow.conftest import rows
from tests.flow.test_pairing import PLAIN, command
from tests.sync.kiosks import QUICK, held_by
from tests.waiting import wait_for

ORG, SITE = "club", "hall"
TABLE = "SELECT person, status, arrival FROM attendance ORDER BY session, person"


class HubProcess:
    """`kiosk hub serve`, on the same port each time."""

    def __init__(self, db):
        self.db, self.port, self.process = db, 0, None

    def start(self):
        words = [sys.executable, "-m", "kiosk", "hub", "serve", "--db", self.db]
        self.process = subprocess.Popen(
            [*words, "--port", str(self.port)], stdout=subprocess.PIPE, text=True, env=PLAIN
        )
        self.url = self.process.stdout.readline().split()[1]
        self.port = int(self.url.rpartition(":")[2])

    def kill(self):
        self.process.kill()
        self.process.wait(20)
        self.process.stdout.close()
        self.process = None

    def stop(self):
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            assert self.process.wait(20) == 0
            self.process.stdout.close()
            self.process = None


@pytest.fixture
def hub(tmp_path):
    made = HubProcess(tmp_path / "hub.db")
    made.start()
    yield made
    made.stop()


def settings(tmp_path, name, hub=None):
    """A kiosk's folder and settings; with a hub if it has the way to one."""
    file = tmp_path / f"{name}.toml"
    text = f'[organisation]\nid = "{ORG}"\n[site]\nid = "{SITE}"\n'
    text += f'[storage]\ndirectory = "{tmp_path / name}"\n'
    if hub is not None:
        text += f'[hub]\nurl = "{hub.url}"\ntoken_file = "{token_path(hub.db)}"\n'
    file.write_text(text)
    (tmp_path / name).mkdir(exist_ok=True)
    return file


@contextlib.contextmanager
def opened(tmp_path, name):
    path = tmp_path / name / "kiosk.db"
    path.parent.mkdir(exist_ok=True)
    clock = SystemClock()
    store = Store.open(path, org=ORG, site=SITE, clock=clock, zone="UTC")
    with contextlib.closing(store):
        yield store


@contextlib.contextmanager
def connected(store, hub):
    token = token_path(hub.db).read_text().strip()
    line = SyncClient(store, hub.url, token, SystemClock(), SITE, "k", lambda _: None, QUICK)
    store.on_commit(lambda _: line.wake())
    line.start()
    try:
        yield line
    finally:
        line.stop()


def check_ins(store, *people):
    opening = {"id": "s", "title": "S", "zone": "UTC", "starts": 0, "ends": 2**62}
    drafts = [Draft(Kind.SESSION_OPENED, "s", data=opening)] if "s" not in known(store) else []
    drafts += [Draft(Kind.CHECK_IN, "s", person) for person in people]
    return [event.id for event in store.record_many(drafts).result(10)]


def known(store):
    return {session.id for session in store.sessions()}


def settled(hub, *stores):
    """Everything is at the hub and everybody has everything."""

    def all_there():
        held = set(held_by(hub.db))
        everywhere = [{row[0] for row in rows(s.path, "SELECT id FROM event")} for s in stores]
        unsent = sum(store.held()[0] for store in stores)
        return not unsent and all(ids == held for ids in everywhere)

    wait_for(all_there, "kiosks and hub to hold the same", 30)


def test_what_is_unsent_goes_by_stick_to_another_kiosk_and_to_the_hub(hub, tmp_path):
    stick = tmp_path / "stick.whorl"
    lonely, other = settings(tmp_path, "lonely"), settings(tmp_path, "other", hub)
    with opened(tmp_path, "lonely") as store:
        ids = check_ins(store, "ann", "bob", "cleo")
    said = command("export", "unsent", stick, "--config", lonely)
    assert f"{len(ids)} unsent events" in said
    said = command("import", stick, "--config", other)
    assert f"{len(ids)} new of {len(ids)} events will go to the hub {hub.url}" in said
    with opened(tmp_path, "other") as store:
        own = check_ins(store, "dan")
        with connected(store, hub):
            settled(hub, store)
            assert [row.person for row in store.attendance("s")] != []
            there = {row.person for row in store.attendance("s")}
    assert there == {"ann", "bob", "cleo", "dan"}
    assert sorted(held_by(hub.db)) == sorted([*ids, *own])
    said = command("import", stick, "--to-hub", "--config", other)  # once more, straight there
    assert f"0 new and {len(ids)} known events are at the hub {hub.url}\n" in said
    assert "Nothing has left" not in said
    assert sorted(held_by(hub.db)) == sorted([*ids, *own])
    assert rows(hub.db, "SELECT count(*) FROM quarantine") == [(0,)]
    with opened(tmp_path, "lonely") as store, connected(store, hub):  # it finds its way home
        settled(hub, store)


def test_a_kiosk_with_its_own_hub_says_that_nothing_has_left_the_machine(tmp_path):
    stick = tmp_path / "stick.whorl"
    lonely, alone = settings(tmp_path, "lonely"), settings(tmp_path, "alone")
    with opened(tmp_path, "lonely") as store:
        ids = check_ins(store, "ann")
    command("export", "unsent", stick, "--config", lonely)
    said = command("import", stick, "--to-hub", "--config", alone)
    assert f"{len(ids)} new and 0 known events are at this kiosk's own hub\n" in said
    assert "Nothing has left this machine" in said
    assert "will go to this kiosk's own hub" in command("import", stick, "--config", alone)


def test_a_hub_backed_up_and_restored_gets_from_two_kiosks_what_it_lost(hub, tmp_path):
    backup = tmp_path / "hub.backup"
    with contextlib.ExitStack() as stack:
        stores = [stack.enter_context(opened(tmp_path, name)) for name in "ab"]
        for store in stores:
            stack.enter_context(connected(store, hub))
        check_ins(stores[0], "ann", "bob")
        settled(hub, *stores)
        check_ins(stores[1], "cleo")
        settled(hub, *stores)
        before = len(held_by(hub.db))
        assert f"{before} events" in command("hub", "backup", backup, "--db", hub.db)
        check_ins(stores[0], "dan", "eve")
        check_ins(stores[1], "fay")
        settled(hub, *stores)
        whole = held_by(hub.db)
        assert "stop it first" in command("hub", "restore", backup, "--db", hub.db, code=1)
        hub.stop()
        check_ins(stores[1], "gus")  # while there is no hub
        assert f"{before} events are back" in command("hub", "restore", backup, "--db", hub.db)
        assert len(held_by(hub.db)) == before < len(whole)
        hub.start()
        settled(hub, *stores)
        held = held_by(hub.db)
        assert len(held) == len(set(held)) == len(whole) + 1
        assert set(whole) < set(held)
        # Ids come before what a restored hub says anew of their times.
        first, second = stores
        wait_for(lambda: rows(first.path, TABLE) == rows(second.path, TABLE), "the same rows")
        there = [row[0] for row in rows(first.path, TABLE)]
        assert there == ["ann", "bob", "cleo", "dan", "eve", "fay", "gus"]


def directory(path):
    """What a hub or a kiosk knows, without the revs."""
    return sorted(rows(path, "SELECT record, id, value FROM directory"))


def test_a_killed_hub_gets_back_from_a_kiosk_who_people_are_and_who_may_not_come(hub, tmp_path):
    """People, a session, staff and a device changed after the backup, by commands alone."""
    backup, people = tmp_path / "hub.backup", tmp_path / "people.csv"
    where = ("--db", hub.db)
    command("hub", "init", "--org", ORG, "--site", SITE, *where)
    pairing = command("hub", "pair", "--name", "Side door", *where)
    side = settings(tmp_path, "side")
    with opened(tmp_path, "side"):
        pass
    command("pair", hub.url, pairing.split()[1], "--config", side)
    people.write_text("id,first_name,last_name,kind,code\nann,Ann,Ash,member,1001\n")
    command("hub", "people", "import", people, *where)
    with opened(tmp_path, "a") as store, connected(store, hub):
        settled(hub, store)
        command("hub", "backup", backup, *where)
        people.write_text(
            "id,first_name,last_name,kind,code\nann,Anna,Ash,member,1001\nbob,Bob,,,\n"
        )
        command("hub", "people", "import", people, *where)
        starts = ("--start", "2026-03-01T18:00", "--end", "2026-03-01T19:00", "--zone", "UTC")
        command("hub", "sessions", "add", "Yoga", *starts, *where)
        command("hub", "revoke", "Side door", *where)
        wait_for(lambda: any(b"true" in row[2] for row in directory(hub.db)), "the revocation")
        settled(hub, store)
        before, roster = directory(hub.db), store.people()
        hub.kill()
        hub.db.with_name("hub.db.register").unlink()  # with the disk; the backup has an older one
        said = command("hub", "restore", backup, *where)
        assert "4 records (people" in said
        assert directory(hub.db) != before
        hub.start()
        wait_for(lambda: directory(hub.db) == directory(store.path), "the directory to be back", 30)
        settled(hub, store)
        assert directory(hub.db) == before
        assert store.people() == roster
        assert "revoked" in command("hub", "devices", *where)
        command("hub", "people", "import", people, *where)  # as it was, so nothing is said
        assert directory(hub.db) == before
    assert rows(hub.db, "SELECT count(*) FROM quarantine") == [(0,)]
