from __future__ import annotations

import contextlib
import hashlib
import sqlite3
import threading

import msgspec
import pytest

from kiosk.clock import SystemClock
from kiosk.config import Config, HubSection, Organisation, SiteSection, Storage
from kiosk.doctor import examine
from kiosk.hubchild import HubChild
from kiosk.model import Kind
from kiosk.rescue import NOTE, Rescue
from kiosk.store import Draft, Settled, Store
from tests.kiosk.test_hubchild import spoil

TOKEN = "a-token-for-this-test"  # noqa: S105  of no real hub


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.delenv("WHORL_HUB_TOKEN", raising=False)
    return Config(Organisation("club"), SiteSection("hall"), storage=Storage(str(tmp_path)))


@pytest.fixture
def store(config):
    made = Store.open(config.database, org="club", site="hall", clock=SystemClock(), zone="UTC")
    yield made
    made.close()


def found(config):
    return {finding.name: finding for finding in examine(config, SystemClock())}


def content(folder):
    files = (path for path in folder.iterdir() if not path.name.endswith("-shm"))
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_nothing_is_changed_while_a_kiosk_runs_nor_after_it(config, store, tmp_path):
    store.record(Draft(Kind.CHECK_IN, "s", "ann")).result()
    for step in (lambda: None, store.close):
        step()
        before = content(tmp_path)
        finding = found(config)["database"]
        assert (finding.well, "1 held since" in finding.seen) == (True, True)
        assert content(tmp_path) == before
        assert (tmp_path / "kiosk.db-shm").exists() == ("kiosk.db-wal" in before)


def test_a_folder_with_nothing_in_it_stays_so(config, tmp_path):
    findings = found(config)
    assert [findings[name].well for name in ("database", "events", "token", "hub")] == [True] * 4
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("folder", ["/proc/x", "/proc/x/y"])
def test_a_folder_that_takes_nothing_fails(config, folder):
    there = msgspec.structs.replace(config, storage=Storage(folder))
    finding = found(there)["database"]
    assert not finding.well
    assert f"{folder} cannot be written" in finding.seen


def test_a_rescue_is_told_while_the_kiosk_runs(config, store, tmp_path):
    (tmp_path / "kiosk.db.damaged-1").touch()
    rescue = Rescue(str(tmp_path / "kiosk.db.damaged-1"), 3, complete=False)
    store.set_note(NOTE, msgspec.json.encode(rescue).decode()).result()
    finding = found(config)["database"]
    assert (finding.well, finding.seen) == (False, rescue.sentence)
    (tmp_path / "kiosk.db.damaged-1").unlink()
    assert found(config)["database"].well


def test_events_that_the_hub_set_aside_are_told_with_the_reason(config, store):
    event = store.record(Draft(Kind.CHECK_IN, "s", "ann")).result()
    assert found(config)["events"].well
    (held,) = store.pending()
    store.settle([Settled(held.seq, event.id, "quarantined", "revoked")]).result()
    finding = found(config)["events"]
    assert not finding.well
    assert finding.seen.endswith("1 revoked")


@pytest.mark.parametrize("name", ["database", "hub"])
def test_damage_is_told_and_left_alone(config, tmp_path, name):
    path = config.database if name == "database" else config.hub_database
    spoil(path)
    before = content(tmp_path)
    finding = found(config)[name]
    assert not finding.well
    assert f"{path} is damaged" in finding.seen
    assert content(tmp_path) == before


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("UPDATE meta SET value = 'other' WHERE key = 'org'", "belongs to other/hall"),
        (
            "UPDATE _sqlite_migrations SET name = '9999_later' WHERE name LIKE '0001%'",
            "newer version of Whorl",
        ),
        ("DROP TABLE meta", "cannot be read"),
    ],
)
def test_a_database_that_is_not_this_kiosks_is_told(config, store, statement, told):
    store.close()
    with contextlib.closing(sqlite3.connect(config.database)) as database, database:
        database.execute(statement)
    finding = found(config)["database"]
    assert not finding.well
    assert told in finding.seen


def test_a_token_that_others_can_read_is_told(config, tmp_path):
    file = tmp_path / "hub.db.token"
    file.write_text(TOKEN)
    file.chmod(0o644)
    assert f"chmod 600 {file}" in found(config)["token"].seen
    assert not found(config)["token"].well
    file.chmod(0o600)
    assert found(config)["token"].well


@pytest.fixture
def hub(tmp_path):
    listening = threading.Event()
    child = HubChild(tmp_path / "far.db", TOKEN, lambda _: listening.set())
    child.start()
    assert listening.wait(20)
    yield child.url
    child.stop()


def test_the_token_is_tried_on_the_hub(config, hub, tmp_path, monkeypatch):
    config = msgspec.structs.replace(config, hub=HubSection(hub))
    monkeypatch.setenv("WHORL_HUB_TOKEN", TOKEN)
    assert found(config)["hub"].seen == f"{hub}, 0 events, ok, takes this token"
    monkeypatch.setenv("WHORL_HUB_TOKEN", "another-token")
    finding = found(config)["hub"]
    assert not finding.well
    assert "refused (401)" in finding.seen
    query = "SELECT (SELECT count(*) FROM event) + (SELECT count(*) FROM site)"
    with contextlib.closing(sqlite3.connect(tmp_path / "far.db")) as database:
        assert database.execute(query).fetchone() == (0,)
