"""The kiosk's tables, as named migrations that each commit together with their own record."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from sqlite_utils import Database, Migrations

SET = "kiosk"
# Every migration ever released, oldest first; a database that names others is from the future.
NAMES = ("0001_first_tables", "0002_carried_and_pruned", "0003_decisions_and_review")

_FIRST_TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

-- The log: own and foreign events, as the bytes that were hashed and sent.
CREATE TABLE event (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    device TEXT NOT NULL,
    incarnation TEXT NOT NULL,
    kseq INTEGER NOT NULL,
    kind TEXT NOT NULL,
    session TEXT,
    person TEXT,
    wall INTEGER NOT NULL,
    low INTEGER NOT NULL,
    high INTEGER NOT NULL,
    body BLOB NOT NULL
);
CREATE INDEX event_row ON event (session, person) WHERE person IS NOT NULL;

-- What the hub made of an event. A table of its own, because a row that grows moves: appending
-- here spared a drain two thirds of its commit.
CREATE TABLE stamp (
    seq INTEGER PRIMARY KEY,
    low INTEGER NOT NULL,
    high INTEGER NOT NULL,
    envelope BLOB,
    quarantined TEXT
);
CREATE INDEX stamp_quarantined ON stamp (seq) WHERE quarantined IS NOT NULL;

-- Both together: the interval is the hub's where there is one.
CREATE VIEW entry AS
SELECT e.seq, e.id, e.device, e.incarnation, e.kseq, e.kind, e.session, e.person,
    coalesce(s.low, e.low) AS low, coalesce(s.high, e.high) AS high, e.body, s.envelope,
    s.quarantined
FROM event e LEFT JOIN stamp s ON s.seq = e.seq;

-- What the hub has not settled yet; seq is the event's.
CREATE TABLE outbox (seq INTEGER PRIMARY KEY);

-- How far each room has been read, saved with the events it covers.
CREATE TABLE cursor (
    room TEXT PRIMARY KEY, epoch TEXT NOT NULL, offset INTEGER NOT NULL
) WITHOUT ROWID;

-- The fold of the log, one row per session and person; can be made anew at any time.
CREATE TABLE attendance (
    session TEXT NOT NULL,
    person TEXT NOT NULL,
    status TEXT NOT NULL,
    presence TEXT NOT NULL,
    arrival INTEGER,
    departure INTEGER,
    body BLOB NOT NULL,
    PRIMARY KEY (session, person)
) WITHOUT ROWID;

-- People, sessions and other records: the highest rev wins, then the event's id.
CREATE TABLE directory (
    record TEXT NOT NULL,
    id TEXT NOT NULL,
    rev INTEGER NOT NULL,
    event TEXT NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (record, id)
) WITHOUT ROWID;

-- Whose template is where; a slot number means nothing without its sensor.
CREATE TABLE slot (
    sensor TEXT NOT NULL,
    slot INTEGER NOT NULL,
    person TEXT NOT NULL,
    status TEXT NOT NULL,
    enrolled INTEGER NOT NULL,
    digest TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (sensor, slot)
) WITHOUT ROWID;

-- The one sensor that the slots speak of now, and how often its library has changed.
CREATE TABLE binding (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    sensor TEXT NOT NULL,
    generation INTEGER NOT NULL,
    weak INTEGER NOT NULL
);

-- One good hub round trip per boot, to work out true times from.
CREATE TABLE anchor (
    boot TEXT PRIMARY KEY, ticks INTEGER NOT NULL, hub INTEGER NOT NULL, round_trip INTEGER NOT NULL
) WITHOUT ROWID;

-- What came from the hub and could not be read: kept for a later version that can.
CREATE TABLE undecodable (
    room TEXT NOT NULL, offset INTEGER NOT NULL, body BLOB NOT NULL, PRIMARY KEY (room, offset)
) WITHOUT ROWID;
"""

_CARRIED_AND_PRUNED = """
-- Events of other devices that this one passes on, and what their authors signed.
CREATE TABLE carried (
    seq INTEGER PRIMARY KEY, key TEXT NOT NULL, signature TEXT NOT NULL
);

-- Rows whose events were let go, because a backup of the hub has them: their ids, as JSON.
CREATE TABLE pruned (
    session TEXT NOT NULL, person TEXT NOT NULL, ids TEXT NOT NULL, PRIMARY KEY (session, person)
) WITHOUT ROWID;
"""

_DECISIONS_AND_REVIEW = """
-- Closings, reopenings, undos and acknowledgements: few, and looked for by themselves.
CREATE INDEX event_deciding ON event (session, kind)
WHERE kind IN ('resolve', 'retract', 'session_closed', 'session_reopened');

-- What the fold wants known of a row, as JSON; most rows have nothing.
CREATE TABLE review (
    session TEXT NOT NULL, person TEXT NOT NULL, items BLOB NOT NULL, PRIMARY KEY (session, person)
) WITHOUT ROWID;
"""
_SCRIPTS = dict(
    zip(NAMES, (_FIRST_TABLES, _CARRIED_AND_PRUNED, _DECISIONS_AND_REVIEW), strict=True)
)

_MIGRATION = re.compile(r"\d{4}_\w+")
_NAMED = re.compile(r"^CREATE (?:TABLE|VIEW) (\w+)", re.MULTILINE)


class SchemaTooNewError(Exception):
    """The database was made by a newer Whorl; opening it with this one could lose data."""


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the database up to this version's tables.

    Raises `SchemaTooNewError` when it names migrations that this version does not know, and
    `ValueError` when what it names is none.
    """
    applied = _applied(connection)
    if not all(isinstance(name, str) and _MIGRATION.fullmatch(name) for name in applied):
        raise ValueError("it no longer tells which version made it")
    if unknown := [name for name in applied if name not in NAMES]:
        raise SchemaTooNewError(f"made by a newer version of Whorl ({unknown[0]})")
    if len(applied) == len(NAMES):
        return
    # Imported late: it costs a tenth of a second that a kiosk's start need not pay every day.
    from sqlite_utils import Database  # noqa: PLC0415

    _migrations().apply(Database(connection))


def missing(connection: sqlite3.Connection) -> list[str]:
    """The tables and views of this version that a migrated database has not got."""
    there = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
    wanted = (name for script in _SCRIPTS.values() for name in _NAMED.findall(script))
    return [name for name in wanted if name not in there]


def _applied(connection: sqlite3.Connection) -> list[str]:
    query = "SELECT count(*) FROM sqlite_master WHERE name = '_sqlite_migrations'"
    if not connection.execute(query).fetchone()[0]:
        return []
    rows = connection.execute("SELECT name FROM _sqlite_migrations WHERE migration_set = ?", (SET,))
    return [row[0] for row in rows]


def _migrations() -> Migrations:
    from sqlite_utils import Migrations  # noqa: PLC0415  late for the same reason

    migrations = Migrations(SET)

    for name, script in _SCRIPTS.items():
        migrations(name=name)(_step(script))
    return migrations


def _step(script: str) -> Callable[[Database], None]:
    def step(db: Database) -> None:
        for statement in script.split(";\n"):
            if statement.strip():
                db.execute(statement)

    return step
