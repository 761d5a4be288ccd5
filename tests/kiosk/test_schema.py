from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest

from kiosk import schema
from kiosk.devicekey import FILE
from kiosk.store import StoreTooNewError
from tests.kiosk.test_store import check_in

FROZEN = sorted((Path(__file__).parents[1] / "schemas").glob("*.db"))


def test_every_released_schema_has_a_frozen_database():
    assert [path.stem for path in FROZEN] == list(schema.NAMES)


@pytest.mark.parametrize("frozen", FROZEN, ids=lambda path: path.stem)
def test_a_database_of_each_released_schema_opens_and_goes_on(frozen, tmp_path, open_store):
    shutil.copy(frozen, tmp_path / "kiosk.db")
    if (key := frozen.with_suffix(".key")).exists():
        shutil.copy(key, tmp_path / FILE)
        (tmp_path / FILE).chmod(0o600)
    store = open_store()
    assert [row.person for row in store.attendance("evening")] == ["ann"]
    assert store.held()[0] == 1
    assert store.record(check_in("bob")).result().kseq == 2


def test_a_newer_schema_is_refused(tmp_path, open_store):
    open_store().close()
    with sqlite3.connect(tmp_path / "kiosk.db") as db:
        db.execute(
            "INSERT INTO _sqlite_migrations (migration_set, name, applied_at)"
            " VALUES ('kiosk', '9999_from_the_future', '')"
        )
    db.close()
    with pytest.raises(StoreTooNewError, match="9999_from_the_future"):
        open_store()


def test_a_migration_that_fails_half_way_leaves_nothing(tmp_path, monkeypatch):
    broken = "CREATE TABLE meta (key);\nCREATE nonsense;\n"
    monkeypatch.setattr(schema, "_SCRIPTS", {schema.NAMES[0]: broken})
    db = sqlite3.connect(tmp_path / "kiosk.db", isolation_level=None)
    with pytest.raises(sqlite3.OperationalError):
        schema.migrate(db)
    tables = {row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    db.close()
    assert "meta" not in tables
