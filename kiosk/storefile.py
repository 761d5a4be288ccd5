"""The database file itself: opening, locking, checking it, and what can be wrong with it.

StoreError
+-- StoreBusyError       another program uses this database
+-- StoreForeignError    the database belongs to another organisation or site
+-- StoreTooNewError     made by a newer Whorl
+-- StoreDamagedError    not a database, or a damaged one (kiosk.rescue takes it from there)
+-- StoreFullError       no room left on the disk: nothing was written
+-- StoreWriteError      the disk refused: nothing was written
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import uuid
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from kiosk import schema
from kiosk.errors import KioskError

if TYPE_CHECKING:
    from pathlib import Path


class StoreError(KioskError):
    """Root of what the store raises."""


class StoreBusyError(StoreError):
    """Another program uses this database."""


class StoreForeignError(StoreError):
    """The database belongs to another organisation or site."""


class StoreTooNewError(StoreError):
    """The database was made by a newer Whorl."""


class StoreDamagedError(StoreError):
    """The file is not a database, or is a damaged one."""


class StoreFullError(StoreError):
    """No room left on the disk; nothing was written."""


class StoreWriteError(StoreError):
    """The disk refused the write; nothing was written."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose database this is; `incarnation` is new with every new database."""

    org: str
    site: str
    device: str
    incarnation: str


def open_checked(path: Path, org: str, site: str) -> tuple[IO[str], Identity]:
    """Lock, check and migrate the file; the held lock and whose database it is.

    Raises a `StoreError` that says what is wrong, with nothing left open.
    """
    lock = take_lock(path)
    try:
        _check_whole(path)
        connection = connect(path)
        try:
            _check(connection, path)
            schema.migrate(connection)
            return lock, _identify(connection, org, site)
        finally:
            connection.close()
    except schema.SchemaTooNewError as error:
        lock.close()
        raise StoreTooNewError(f"{path} was {error}; update Whorl on this kiosk") from error
    except sqlite3.Error as error:
        lock.close()
        raise translated(error, path) from error
    except BaseException:
        lock.close()
        raise


def connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5)
    # FULL: a greeting must survive the plug being pulled the moment after it.
    connection.execute("PRAGMA synchronous = FULL")
    return connection


def take_lock(path: Path) -> IO[str]:
    """Take the database for this process; raises `StoreBusyError` naming who has it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.with_name(path.name + ".lock").open("a+", encoding="ascii")
    except OSError as error:
        raise StoreWriteError(f"{path} cannot be written: {error.strerror}") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.seek(0)
        owner = file.read().strip() or "unknown"
        file.close()
        raise StoreBusyError(f"{path} is in use by another Whorl (process {owner})") from error
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


def _check_whole(path: Path) -> None:
    """A log without its database is damage: SQLite would throw the log away and begin anew."""
    log = path.with_name(path.name + "-wal")
    if not _size(path) and _size(log):
        raise StoreDamagedError(f"{path} is lost; only its write-ahead log is there")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _check(connection: sqlite3.Connection, path: Path) -> None:
    """Look for damage before trusting the file; raises `StoreDamagedError`."""
    connection.execute("PRAGMA journal_mode = WAL")
    found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        raise StoreDamagedError(f"{path} is damaged: {found}")


def _identify(connection: sqlite3.Connection, org: str, site: str) -> Identity:
    meta = dict(connection.execute("SELECT key, value FROM meta"))
    if not meta:
        meta = {
            "org": org,
            "site": site,
            "device": str(uuid.uuid4()),
            "incarnation": uuid.uuid4().hex,
        }
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT INTO meta VALUES (?, ?)", meta.items())
        connection.execute("COMMIT")
    if (meta["org"], meta["site"]) != (org, site):
        belongs = f"{meta['org']}/{meta['site']}"
        raise StoreForeignError(f"the database belongs to {belongs}, not to {org}/{site}")
    return Identity(meta["org"], meta["site"], meta["device"], meta["incarnation"])


def translated(error: Exception, path: Path) -> Exception:
    if not isinstance(error, sqlite3.Error):
        return error
    code = getattr(error, "sqlite_errorcode", None)
    primary = code & 0xFF if code is not None else None
    if primary == sqlite3.SQLITE_FULL:
        return StoreFullError(f"the disk is full: {path} cannot be written")
    if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return StoreDamagedError(f"{path} is damaged: {error}")
    return StoreWriteError(f"{path} cannot be written: {error}")
