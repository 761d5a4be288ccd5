"""The database file itself: opening, locking, checking it, and what can be wrong with it.

StoreError
+-- StoreBusyError       another program uses this database
+-- StoreForeignError    the database belongs to another organisation or site
+-- StoreTooNewError     made by a newer Whorl
+-- StoreDamagedError    not a database, or a damaged one (kiosk.rescue takes it from there)
+-- StoreFullError       no room left on the disk: nothing was written
+-- StoreWriteError      the disk refused: nothing was written
+-- EventTooLargeError   no hub would take it: nothing was written
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import uuid
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from kiosk import schema
from kiosk.devicekey import FILE, DeviceKeys
from kiosk.errors import KioskError
from kiosk.incarnation import settle
from kiosk.model import UNREADABLE
from kiosk.peek import as_text

if TYPE_CHECKING:
    from pathlib import Path

    from kiosk.clock import Clock


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


class EventTooLargeError(StoreError):
    """The event would be larger than any hub takes; nothing was written."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose database this is; `incarnation` is its present life (see `kiosk.incarnation`)."""

    org: str
    site: str
    device: str
    incarnation: str


def open_checked(
    path: Path,
    org: str,
    site: str,
    keys: DeviceKeys | None = None,
    machine: str = "",
    clock: Clock | None = None,
) -> tuple[IO[str], Identity]:
    """Lock, check and migrate the file; the held lock and whose database it is.

    `keys` None are those in the file beside it.

    Raises a `StoreError` that says what is wrong, or a `DeviceKeyError`, with nothing left open.
    """
    lock = take_lock(path)
    keys = keys or DeviceKeys(path.with_name(FILE))
    try:
        _check_whole(path)
        _make_private(path)
        connection = connect(path)
        try:
            _check(connection, path)
            schema.migrate(connection)
            if lacking := schema.missing(connection):
                raise StoreDamagedError(f"{path} is damaged: it has lost {', '.join(lacking)}")
            return lock, _identify(connection, org, site, keys, machine, clock)
        finally:
            connection.close()
    except schema.SchemaTooNewError as error:
        lock.close()
        raise StoreTooNewError(f"{path} was {error}; update Whorl on this kiosk") from error
    except (sqlite3.Error, KeyError, *UNREADABLE, TypeError, AttributeError) as error:
        lock.close()
        raise found_at_open(error, path) from error
    except BaseException:
        lock.close()
        raise


def connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5)
    connection.text_factory = as_text
    # FULL: a greeting must survive the plug being pulled the moment after it.
    connection.execute("PRAGMA synchronous = FULL")
    return connection


_IDENTITY = ("org", "site", "device", "incarnation")


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
    # Who has it is for people to read; a full disk, which cannot take that, may hold a whole kiosk.
    with contextlib.suppress(OSError):
        file.truncate(0)
        os.write(file.fileno(), str(os.getpid()).encode("ascii"))
    return file


def _check_whole(path: Path) -> None:
    """A log without its database is damage: SQLite would throw the log away and begin anew."""
    log = path.with_name(path.name + "-wal")
    if not _size(path) and _size(log):
        raise StoreDamagedError(f"{path} is lost; only its write-ahead log is there")


def _make_private(path: Path) -> None:
    """Only its owner may read who came when; SQLite gives what lies beside it the same mode.

    Files of an earlier version are put right. Where that cannot be, opening will say why.
    """
    with contextlib.suppress(OSError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        for suffix in ("", "-wal", "-shm"):
            file = path.with_name(path.name + suffix)
            if file.exists() and file.stat().st_mode & 0o077:
                file.chmod(0o600)


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


def _identify(
    connection: sqlite3.Connection,
    org: str,
    site: str,
    keys: DeviceKeys,
    machine: str,
    clock: Clock | None,
) -> Identity:
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
    if spoilt := [name for name in _IDENTITY if not _is_whole(meta[name])]:
        raise StoreDamagedError(f"the database is damaged: it does not know its own {spoilt[0]}")
    if (meta["org"], meta["site"]) != (org, site):
        belongs = f"{meta['org']}/{meta['site']}"
        raise StoreForeignError(f"the database belongs to {belongs}, not to {org}/{site}")
    return Identity(org, site, *settle(connection, keys, machine, clock=clock))


def _is_whole(value: object) -> bool:
    """Whether a note is text as it was written: no id has a sign that stands for spoilt bytes."""
    return isinstance(value, str) and "\ufffd" not in value


def found_at_open(error: Exception, path: Path) -> StoreError:
    """What an error means while a database is opened: what must be there and is not, is damage."""
    if isinstance(error, KeyError):
        return StoreDamagedError(f"{path} is damaged: it does not know its own {error}")
    if isinstance(error, (*UNREADABLE, TypeError, AttributeError)):  # a value of another type
        return StoreDamagedError(f"{path} is damaged: {error}")
    if _primary(error) == sqlite3.SQLITE_ERROR:  # no such table, no such column
        return StoreDamagedError(f"{path} is damaged: {error}")
    return translated(error, path)


def translated(error: Exception, path: Path) -> StoreError:
    """The `StoreError` that an error of a read or write means; it keeps the error as its cause."""
    found = _meaning(error, path)
    if found is not error:
        found.__cause__ = error
    return found


def of_the_disk_only(error: Exception, path: Path) -> Exception:
    """As `translated`, but what is not the disk's trouble stays as it is."""
    return translated(error, path) if is_of_the_disk(error) else error


def is_of_the_disk(error: Exception) -> bool:
    """Whether an error is SQLite's or the machine's trouble and not the fault of what was written.

    Such trouble may pass, so nothing may be thrown away for it.
    """
    at_fault = sqlite3.IntegrityError | sqlite3.DataError | sqlite3.InterfaceError
    if isinstance(error, at_fault | sqlite3.ProgrammingError):
        return False
    return isinstance(error, sqlite3.Error | MemoryError | OSError)


def _meaning(error: Exception, path: Path) -> StoreError:
    if isinstance(error, StoreError):
        return error
    if not isinstance(error, sqlite3.Error):
        return StoreError(f"{path} did not take it: {type(error).__name__}: {error}")
    primary = _primary(error)
    if primary == sqlite3.SQLITE_FULL:
        return StoreFullError(f"the disk is full: {path} cannot be written")
    if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return StoreDamagedError(f"{path} is damaged: {error}")
    return StoreWriteError(f"{path} cannot be written: {error}")


def _primary(error: Exception) -> int | None:
    """SQLite's primary result code."""
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else int(code) & 0xFF
