"""The hub's database file: its tables, how it is opened, and the lock that keeps it to one hub."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import uuid
from typing import IO, TYPE_CHECKING, Any

from sync.hub.errors import LogBusyError, LogError

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = 4
# A row's key is its room's number and its offset in one, so a room's pages lie side by side.
OFFSET_BITS = 40

_TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;

CREATE TABLE room (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, head INTEGER NOT NULL);

-- The log: what was accepted, as the bytes that were hashed and sent.
CREATE TABLE event (
    place INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    body BLOB NOT NULL,
    envelope BLOB NOT NULL
);

-- The same for people who look into it: as columns they would cost every insert a third more.
CREATE VIEW entry AS
SELECT e.id, r.name AS room, e.place & ((1 << 40) - 1) AS offset,
    json_extract(CAST(e.body AS TEXT), '$.device') AS device,
    json_extract(CAST(e.body AS TEXT), '$.incarnation') AS incarnation,
    json_extract(CAST(e.body AS TEXT), '$.kseq') AS kseq,
    json_extract(CAST(e.body AS TEXT), '$.kind') AS kind,
    json_extract(CAST(e.body AS TEXT), '$.session') AS session,
    json_extract(CAST(e.body AS TEXT), '$.person') AS person,
    e.body, e.envelope
FROM event e JOIN room r ON r.number = e.place >> 40;

-- What is held of each device's own chain: all up to `contiguous`, and single ones beyond it.
CREATE TABLE chain (
    device TEXT NOT NULL,
    incarnation TEXT NOT NULL,
    contiguous INTEGER NOT NULL,
    ahead TEXT NOT NULL,
    PRIMARY KEY (device, incarnation)
) WITHOUT ROWID;

-- What could not be accepted: the raw bytes, for somebody to look at.
CREATE TABLE quarantine (
    digest BLOB PRIMARY KEY,
    received INTEGER NOT NULL,
    org TEXT NOT NULL,
    device TEXT NOT NULL,
    id TEXT NOT NULL,
    code TEXT NOT NULL,
    body BLOB NOT NULL
) WITHOUT ROWID;

-- The directory as it stands, so that only what changed makes an event.
CREATE TABLE directory (
    room TEXT NOT NULL,
    record TEXT NOT NULL,
    id TEXT NOT NULL,
    rev INTEGER NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (room, record, id)
) WITHOUT ROWID;

-- Organisations and sites whose kiosks have been here.
CREATE TABLE site (org TEXT NOT NULL, site TEXT NOT NULL, PRIMARY KEY (org, site)) WITHOUT ROWID;
"""

# What each schema after the first adds, in order.
_ADDED = (
    """
-- The public key that each incarnation of a device signs with: the first that came, or a pairing's.
CREATE TABLE author (
    device TEXT NOT NULL,
    incarnation TEXT NOT NULL,
    key TEXT NOT NULL,
    since INTEGER NOT NULL,
    PRIMARY KEY (device, incarnation)
) WITHOUT ROWID;

-- The signatures that the log rests on, as `sync.signing` makes them.
CREATE TABLE signature (
    device TEXT NOT NULL,
    incarnation TEXT NOT NULL,
    last INTEGER NOT NULL,
    first INTEGER NOT NULL,
    head TEXT NOT NULL,
    signature TEXT NOT NULL,
    PRIMARY KEY (device, incarnation, last, first)
) WITHOUT ROWID;

-- Who was turned away, when (UTC ns) and why.
CREATE TABLE denial (
    at INTEGER NOT NULL,
    org TEXT NOT NULL,
    device TEXT NOT NULL,
    incarnation TEXT NOT NULL,
    why TEXT NOT NULL
);

-- The hash of the event at `contiguous`, if it is known: what the next one must follow.
ALTER TABLE chain ADD COLUMN head TEXT NOT NULL DEFAULT '';

INSERT INTO meta VALUES ('stable', 0);
INSERT INTO meta VALUES ('confirmed', '');
""",
    """
-- What was let go after its time, so that it is known when it is offered again.
CREATE TABLE pruned (id TEXT PRIMARY KEY, hash TEXT NOT NULL, envelope BLOB NOT NULL) WITHOUT ROWID;
""",
    """
-- The event that brought the record: of two with one rev, the higher id counts.
ALTER TABLE directory ADD COLUMN event TEXT NOT NULL DEFAULT '';

-- Of a restored hub: above which rev to begin, whether to say anew what the register holds, and
-- what of that kiosks have brought back.
INSERT OR IGNORE INTO meta VALUES ('floor', 0);
INSERT OR IGNORE INTO meta VALUES ('restate', 0);
INSERT OR IGNORE INTO meta VALUES ('returned', '[]');
""",
)


def locked(path: Path) -> IO[str]:
    """Take the database at `path` for this process until the returned file is closed."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.with_name(path.name + ".lock").open("a+", encoding="ascii")
    except OSError as error:
        raise LogError(f"{path} cannot be used as the hub's database: {error.strerror}") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise LogBusyError(f"another hub works on {path}") from error
    return file


def opened(path: Path) -> sqlite3.Connection:
    """A connection to the log for its writer, tables made if missing; raises `LogError`."""
    try:
        _make_private(path)
        connection = connect(path)
        try:
            # Larger pages than usual: batches of events are written, hardly ever single ones.
            connection.execute("PRAGMA page_size = 8192")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA wal_autocheckpoint = 2000")
            connection.execute("PRAGMA synchronous = FULL")
            _migrate(connection, path)
        except BaseException:
            connection.close()
            raise
    except (sqlite3.Error, OSError) as error:
        raise LogError(f"{path} cannot be used as the hub's database: {_why(error)}") from error
    return connection


def connect(path: Path) -> sqlite3.Connection:
    """A plain connection, transactions by hand."""
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5)


def _make_private(path: Path) -> None:
    """Only its owner may read who came when; SQLite gives what lies beside it the same mode.

    Files of an earlier version are put right, unless they are another user's.
    """
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    for suffix in ("", "-wal", "-shm"):
        file = path.with_name(path.name + suffix)
        with contextlib.suppress(FileNotFoundError, PermissionError):
            if file.stat().st_mode & 0o077:
                file.chmod(0o600)


def _why(error: Exception) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA:
        raise LogError(f"{path} was made by a newer hub (schema {version})")
    if version == SCHEMA:
        return
    connection.execute("BEGIN IMMEDIATE")
    if not version:
        _first(connection)
    for script in _ADDED[max(version, 1) - 1 :]:
        _run(connection, script)
    connection.execute(f"PRAGMA user_version = {SCHEMA}")
    connection.execute("COMMIT")


def _first(connection: sqlite3.Connection) -> None:
    _run(connection, _TABLES)
    meta: dict[str, Any] = {
        "epoch": uuid.uuid4().hex,
        "device": str(uuid.uuid4()),
        "incarnation": uuid.uuid4().hex,
        "received": 0,
        "prev": "",
    }
    connection.executemany("INSERT INTO meta VALUES (?, ?)", meta.items())


def _run(connection: sqlite3.Connection, script: str) -> None:
    for statement in script.split(";\n"):
        if statement.strip():
            connection.execute(statement)
