"""The tables of the kept templates' own database, as named migrations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kiosk.schema import SchemaTooNewError

if TYPE_CHECKING:
    import sqlite3

    from sqlite_utils import Database

SET = "templates"
# Every migration ever released, oldest first; a database that names others is from the future.
NAMES = ("0001_sealed_templates",)

_SEALED_TEMPLATES = """
-- One template, sealed: what is readable here is bound to what is not.
CREATE TABLE template (
    id TEXT PRIMARY KEY,
    person TEXT NOT NULL,
    format TEXT NOT NULL,
    generation INTEGER NOT NULL,
    sensor TEXT NOT NULL,
    taken INTEGER NOT NULL,
    key TEXT NOT NULL,
    box BLOB NOT NULL
);
CREATE INDEX template_person ON template (person);
"""


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the database up to this version's tables; raises `SchemaTooNewError`."""
    applied = _applied(connection)
    if unknown := [name for name in applied if name not in NAMES]:
        raise SchemaTooNewError(f"made by a newer version of Whorl ({unknown[0]})")
    if len(applied) == len(NAMES):
        return
    # Imported late: it costs a tenth of a second that only a new database need pay.
    from sqlite_utils import Database, Migrations  # noqa: PLC0415

    migrations = Migrations(SET)

    @migrations(name=NAMES[0])
    def sealed_templates(db: Database) -> None:
        for statement in _SEALED_TEMPLATES.split(";\n"):
            if statement.strip():
                db.execute(statement)

    migrations.apply(Database(connection))


def _applied(connection: sqlite3.Connection) -> list[str]:
    query = "SELECT count(*) FROM sqlite_master WHERE name = '_sqlite_migrations'"
    if not connection.execute(query).fetchone()[0]:
        return []
    rows = connection.execute("SELECT name FROM _sqlite_migrations WHERE migration_set = ?", (SET,))
    return [row[0] for row in rows]
