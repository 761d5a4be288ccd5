"""Sealed templates on disk: found again, bound to their people, gone when they are forgotten."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
from pathlib import Path

import pytest

from drivers.emulator import fingers
from drivers.templates import Template
from kiosk import template_schema, templates, vault
from kiosk.config import Config, Storage, Templates
from kiosk.storefile import StoreBusyError, StoreDamagedError, StoreTooNewError
from kiosk.templates import (
    NoTemplateError,
    NotForgottenError,
    TemplatesOffError,
    TemplateStore,
    existing_templates,
    open_templates,
)
from kiosk.vault import KeyRing, VaultKeyError, VaultSealError
from tests.fakes import NOON, FakeClock
from tests.killed import killed_at_line, quick_folder

FROZEN = sorted((Path(__file__).parents[1] / "schemas" / "templates").glob("*.db"))
FORMAT = "r307/512"


def template(name, impression=1, format_=FORMAT):
    size = int(format_.rpartition("/")[2])
    return Template(format_, fingers.template(fingers.Finger(name).identity, impression, size))


def sealed_bytes(folder, file="templates.db"):
    """Everything that the database's files hold."""
    return b"".join(path.read_bytes() for path in sorted(folder.glob(f"{file}*")))


@pytest.fixture
def opening(tmp_path):
    opened = []

    def opening(folder=tmp_path):
        ring = KeyRing(folder / "vault.key", {})
        opened.append(TemplateStore.open(folder / "templates.db", ring, FakeClock()))
        return opened[-1]

    yield opening
    for one in opened:
        one.close()


@pytest.fixture
def kept(opening):
    return opening()


def put(store, name, impression=1, person=None):
    one = template(name, impression)
    return store.put(person or name, one, sensor="s1", generation=3)


def test_a_template_comes_back_as_it_was(kept):
    id_ = put(kept, "ann")
    found, what = kept.get(id_)
    assert what == template("ann")
    assert (found.person, found.label.format, found.label.generation) == ("ann", FORMAT, 3)
    assert (found.sensor, found.taken) == ("s1", NOON)


def test_it_outlives_the_process_and_nothing_of_it_is_readable(kept, opening, tmp_path):
    id_ = put(kept, "ann")
    assert fingers.LABEL not in sealed_bytes(tmp_path)
    assert template("ann").digest not in sealed_bytes(tmp_path).decode("latin1")
    assert bytes.fromhex(template("ann").digest) not in sealed_bytes(tmp_path)
    kept.close()
    assert opening().get(id_)[1] == template("ann")


def test_people_have_several_and_each_finds_their_own(kept):
    ids = [put(kept, "ann", 1), put(kept, "ann", 2)]
    put(kept, "bob")
    other = template("ann", 1, "r503/1536")
    kept.put("ann", other, sensor="s2", generation=1)
    assert [what for _, what in kept.of("ann", FORMAT)] == [template("ann", 1), template("ann", 2)]
    assert len(kept.of("ann")) == 3
    assert {k.id for k in kept.kept("ann")} >= set(ids)
    assert [k.person for k in kept.kept("bob")] == ["bob"]
    assert len(kept.kept()) == 4
    assert kept.of("eve") == []


def test_the_same_template_is_kept_once_for_each_person(kept):
    assert put(kept, "ann") == put(kept, "ann")
    assert put(kept, "ann", person="bob") != put(kept, "ann")
    assert len(kept.kept()) == 2


def test_what_is_not_kept_is_said_to_be_so(kept):
    with pytest.raises(NoTemplateError):
        kept.get("nothing")
    assert not kept.delete("nothing")
    assert kept.forget("nobody") == 0


@pytest.mark.parametrize(
    ("column", "value"),
    [("person", "bob"), ("format", "r503/512"), ("generation", 4), ("id", "other")],
)
def test_a_row_moved_by_hand_does_not_open(kept, tmp_path, column, value):
    id_ = put(kept, "ann")
    with sqlite3.connect(tmp_path / "templates.db") as db:
        db.execute(f"UPDATE template SET {column} = ?", (value,))  # noqa: S608 - names of this test
    db.close()
    with pytest.raises(VaultSealError):
        kept.get(value if column == "id" else id_)


def test_a_sealed_box_swapped_between_people_does_not_open(kept, tmp_path):
    ann, bob = put(kept, "ann"), put(kept, "bob")
    with sqlite3.connect(tmp_path / "templates.db") as db:
        boxes = dict(db.execute("SELECT id, box FROM template"))
        db.execute("UPDATE template SET box = ? WHERE id = ?", (boxes[ann], bob))
    db.close()
    with pytest.raises(VaultSealError):
        kept.of("bob")
    assert kept.of("ann")


# -- switched off ----------------------------------------------------------------------------------


def settings(tmp_path, **values):
    return Config(storage=Storage(str(tmp_path)), templates=Templates(**values))


def test_by_default_nothing_is_kept_and_asking_says_so(tmp_path):
    config = settings(tmp_path)
    with pytest.raises(TemplatesOffError, match="no template leaves the reader"):
        open_templates(config, FakeClock())
    assert existing_templates(config, FakeClock()) is None
    assert list(tmp_path.iterdir()) == []


def test_switched_on_it_is_kept_where_the_settings_say(tmp_path):
    keys = tmp_path / "elsewhere" / "keys"
    config = settings(tmp_path, backup=True, key_file=str(keys))
    store = open_templates(config, FakeClock())
    put(store, "ann")
    store.close()
    assert keys.exists()
    for path in tmp_path.glob("templates.db"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    later = existing_templates(settings(tmp_path), FakeClock())
    assert later.forget("ann") == 1, "what was kept can be destroyed after backup is switched off"
    later.close()


# -- lost keys -------------------------------------------------------------------------------------


def test_a_lost_key_is_said_and_nothing_is_destroyed(kept, opening, tmp_path):
    id_ = put(kept, "ann")
    (tmp_path / "vault.key").rename(tmp_path / "away")
    before = boxes(tmp_path)
    for use in (lambda: kept.get(id_), lambda: put(kept, "bob"), lambda: kept.of("ann"),
                kept.rotate):  # fmt: skip
        with pytest.raises(VaultKeyError, match=r"put .* back"):
            use()
    assert not (tmp_path / "vault.key").exists(), "no new key in the lost one's place"
    assert boxes(tmp_path) == before
    (tmp_path / "away").rename(tmp_path / "vault.key")
    assert kept.get(id_)[1] == template("ann")


def test_another_key_ring_is_said_and_nothing_is_destroyed(kept, tmp_path):
    id_ = put(kept, "ann")
    (tmp_path / "vault.key").rename(tmp_path / "away")
    KeyRing(tmp_path / "vault.key", {}).make()
    before = boxes(tmp_path)
    for use in (lambda: kept.get(id_), kept.rotate, lambda: put(kept, "bob")):
        with pytest.raises(VaultKeyError, match="not in the key ring"):
            use()
    assert boxes(tmp_path) == before
    (tmp_path / "away").replace(tmp_path / "vault.key")
    assert kept.get(id_)[1] == template("ann")


def test_without_its_key_a_template_can_still_be_destroyed(kept, tmp_path):
    put(kept, "ann")
    (tmp_path / "vault.key").unlink()
    assert kept.forget("ann") == 1


# -- forgetting ------------------------------------------------------------------------------------


def boxes(folder):
    with sqlite3.connect(f"file:{folder / 'templates.db'}?mode=ro", uri=True) as db:
        rows = db.execute("SELECT person, box FROM template").fetchall()
    db.close()
    return {person: bytes(box) for person, box in rows}


@pytest.mark.parametrize("count", [1, 40])
def test_what_is_forgotten_is_nowhere_on_the_disk(kept, tmp_path, count):
    for impression in range(count):
        put(kept, "ann", impression)
        put(kept, "bob", impression)
    gone = boxes(tmp_path)["ann"]
    assert gone[:64] in sealed_bytes(tmp_path)
    assert kept.forget("ann") == count
    for at in range(0, len(gone), 16):
        assert gone[at : at + 16] not in sealed_bytes(tmp_path)
    assert len(kept.of("bob")) == count


def test_one_template_can_be_destroyed_alone(kept, tmp_path):
    first, second = put(kept, "ann", 1), put(kept, "ann", 2)
    assert kept.delete(first)
    assert [k.id for k in kept.kept()] == [second]


def test_a_copy_that_somebody_still_reads_is_not_called_forgotten(kept, tmp_path):
    """A reader in the middle of the log keeps it from being emptied: that must not pass unseen."""
    put(kept, "ann")
    kept._empty_log()
    put(kept, "bob")
    reader = sqlite3.connect(tmp_path / "templates.db", isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM template").fetchone()
    try:
        kept._db.execute("PRAGMA busy_timeout = 50")
        with pytest.raises(NotForgottenError):
            kept.forget("bob")
    finally:
        reader.close()
    kept.close()


# -- keys change -----------------------------------------------------------------------------------


def test_rotation_seals_everything_anew_and_drops_the_old_key(kept, tmp_path):
    ids = [put(kept, name) for name in ("ann", "bob", "eve")]
    old, before = (tmp_path / "vault.key").read_text().split()[-1], boxes(tmp_path)
    assert kept.rotate() == 3
    assert len({k.key for k in kept.kept()}) == 1
    assert old not in (tmp_path / "vault.key").read_text()
    for person, box in before.items():
        assert box[:64] not in sealed_bytes(tmp_path), person
    assert [kept.get(id_)[1] for id_ in ids] == [template(n) for n in ("ann", "bob", "eve")]


def test_a_template_that_does_not_open_stops_a_rotation_with_nothing_lost(kept, tmp_path):
    put(kept, "ann"), put(kept, "bob")
    with sqlite3.connect(tmp_path / "templates.db") as db:
        db.execute("UPDATE template SET box = zeroblob(600) WHERE person = 'bob'")
    db.close()
    before = boxes(tmp_path)
    with pytest.raises(VaultSealError):
        kept.rotate()
    assert boxes(tmp_path) == before
    assert kept.of("ann")[0][1] == template("ann")


FILES = (vault.__file__, templates.__file__)


@pytest.fixture
def quick():
    with quick_folder() as folder:
        yield folder


def killed(tmp_path, line, work):
    """Do `work(store)` in a child killed at a line of ours; the folder it leaves, if it lived."""
    folder = tmp_path / str(line)
    shutil.copytree(tmp_path / "start", folder)

    def child():
        ring = KeyRing(folder / "vault.key", {})
        work(TemplateStore.open(folder / "templates.db", ring, FakeClock()))

    return folder, killed_at_line(child, FILES, line)


@pytest.mark.parametrize("work", ["rotate", "forget", "put"])
def test_killed_at_any_line_everything_is_whole(opening, quick, work):
    (quick / "start").mkdir()
    store = opening(quick / "start")
    for name in ("ann", "bob"):
        put(store, name)
    store.close()
    doing = {
        "rotate": TemplateStore.rotate,
        "forget": lambda store: store.forget("ann"),
        "put": lambda store: put(store, "eve"),
    }[work]
    lived, line, seen = False, 0, set()
    while not lived:
        folder, lived = killed(quick, line, doing)
        left = opening(folder)
        people = {k.person: left.get(k.id)[1] for k in left.kept()}
        assert all(people[name] == template(name) for name in people)
        assert {"bob"} <= people.keys() <= {"ann", "bob", "eve"}
        seen.add(frozenset(people))
        if work == "rotate":
            assert people.keys() == {"ann", "bob"}
            assert left.rotate() == 2, "the next one finishes what was cut short"
            assert len(KeyRing(folder / "vault.key", {}).vault()._ciphers) == 1
        elif work == "forget" and "ann" not in people:
            gone = boxes(quick / "start")["ann"]
            assert gone[:64] not in sealed_bytes(folder)
        left.close()
        shutil.rmtree(folder)
        line += 1
    assert line > 40
    assert len(seen) == (1 if work == "rotate" else 2)


# -- the file --------------------------------------------------------------------------------------


def test_one_process_at_a_time(kept, opening):
    with pytest.raises(StoreBusyError, match=f"process {os.getpid()}"):
        opening()


def test_a_damaged_file_is_refused_and_left(opening, tmp_path):
    (tmp_path / "templates.db").write_bytes(b"not a database at all" * 400)
    with pytest.raises(StoreDamagedError):
        opening()
    assert (tmp_path / "templates.db").read_bytes().startswith(b"not a database")


def test_every_released_schema_has_a_frozen_database():
    assert [path.stem for path in FROZEN] == list(template_schema.NAMES)


@pytest.mark.parametrize("frozen", FROZEN, ids=lambda path: path.stem)
def test_a_database_of_each_released_schema_opens_and_goes_on(frozen, tmp_path, opening):
    shutil.copy(frozen, tmp_path / "templates.db")
    key = tmp_path / "vault.key"
    shutil.copy(frozen.with_suffix(".key"), key)
    key.chmod(0o600)
    store = opening()
    assert [what for _, what in store.of("ann")] == [template("ann")]
    put(store, "bob")
    assert store.rotate() == 2


def test_a_newer_schema_is_refused(kept, tmp_path, opening):
    kept.close()
    with sqlite3.connect(tmp_path / "templates.db") as db:
        db.execute(
            "INSERT INTO _sqlite_migrations (migration_set, name, applied_at)"
            " VALUES ('templates', '9999_from_the_future', '')"
        )
    db.close()
    with pytest.raises(StoreTooNewError, match="9999_from_the_future"):
        opening()
