"""Who is known to a hub: paired devices, staff, open codes, failures, denials; one SQLite file.

It lies beside the log and not in it: commands may write to it while the hub runs, which looks
every second whether it has changed, and bringing the log back from a backup revives no device that
was revoked since.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kiosk.model import Rank
from sync.hub.errors import RegisterError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SCHEMA = 1
_MOST_DENIALS = 10_000

_TABLES = """
CREATE TABLE device (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, org TEXT NOT NULL, site TEXT NOT NULL,
    incarnation TEXT NOT NULL, key TEXT NOT NULL, paired INTEGER NOT NULL, revoked INTEGER
) WITHOUT ROWID;

-- Verifiers by site; the one of site "" never leaves the hub.
CREATE TABLE staff (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, org TEXT NOT NULL, sites TEXT NOT NULL,
    rank INTEGER NOT NULL, verifiers TEXT NOT NULL, since INTEGER NOT NULL, removed INTEGER
) WITHOUT ROWID;

CREATE TABLE code (
    digest BLOB PRIMARY KEY, org TEXT NOT NULL, site TEXT NOT NULL, name TEXT NOT NULL,
    expires INTEGER NOT NULL, device TEXT, key TEXT
) WITHOUT ROWID;

CREATE TABLE failure (
    subject TEXT PRIMARY KEY, count INTEGER NOT NULL, until INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE denial (
    number INTEGER PRIMARY KEY, at INTEGER NOT NULL, address TEXT NOT NULL, subject TEXT NOT NULL,
    what TEXT NOT NULL, code TEXT NOT NULL
);

CREATE TABLE setting (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Device:
    """A paired kiosk. `key` is its public Ed25519 key (hex) in that incarnation; times UTC ns."""

    id: str
    name: str
    org: str
    site: str
    incarnation: str
    key: str
    paired: int
    revoked: int | None = None


@dataclass(frozen=True, slots=True)
class Staff:
    """A member of staff; `since` (UTC ns) is when PIN or rights last changed; times UTC ns."""

    id: str
    name: str
    org: str
    sites: tuple[str, ...]
    rank: Rank
    verifiers: dict[str, str] = field(default_factory=dict, repr=False)
    since: int = 0
    removed: int | None = None


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a pairing code is good for; empty `org`, `site` or `name`: whatever the kiosk says."""

    org: str = ""
    site: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class Denial:
    """Somebody who was refused: when (UTC s), from where, as whom, what they asked for, and why."""

    at: int
    address: str
    subject: str
    what: str
    code: str


@dataclass(frozen=True, slots=True)
class Roll:
    """All devices and staff as they stood at one moment, by id."""

    devices: dict[str, Device] = field(default_factory=dict)
    staff: dict[str, Staff] = field(default_factory=dict)


class Register:
    """The file, for any thread; every call is short, and raises `RegisterError` if it cannot be."""

    def __init__(self, path: Path) -> None:
        """Open it, made with mode 0600 if missing."""
        self.path = path
        self._lock = threading.RLock()
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            if path.stat().st_mode & 0o077:
                raise RegisterError(f"{path} can be read by others; do: chmod 600 {path}")
            self._db = sqlite3.connect(
                path, isolation_level=None, check_same_thread=False, timeout=5
            )
            try:
                self._prepare()
            except BaseException:
                self._db.close()
                raise
        except (sqlite3.Error, OSError) as error:
            raise RegisterError(f"{path} cannot be used as the hub's register: {error}") from error

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def version(self) -> int:
        """A number that changes whenever somebody else has written to the file."""
        return int(self._rows("PRAGMA data_version")[0][0])

    def roll(self) -> Roll:
        """Devices and staff, removed ones too."""
        return Roll(
            {row[0]: Device(*row) for row in self._rows("SELECT * FROM device ORDER BY paired")},
            {row[0]: _staff(row) for row in self._rows("SELECT * FROM staff ORDER BY id")},
        )

    # -- devices -----------------------------------------------------------------------------------

    def offer(self, digest: bytes, ticket: Ticket, now: int, expires: int) -> None:
        """Keep a new code, and forget those that have expired."""
        with self._writing():
            self._do("DELETE FROM code WHERE expires < ?", now)
            row = (digest, ticket.org, ticket.site, ticket.name, expires)
            self._do("INSERT INTO code VALUES (?, ?, ?, ?, ?, NULL, NULL)", *row)

    def ticket(self, digest: bytes, device: str, key: str, now: int) -> Ticket | None:
        """What an open code is good for; None if it is unknown, expired or was used by another.

        The one that used it may ask again, for the answer may have been lost.
        """
        rows = self._rows(
            "SELECT org, site, name FROM code WHERE digest = ? AND expires > ?"
            " AND (device IS NULL OR (device = ? AND key = ?))",
            *(digest, now, device, key),
        )
        return Ticket(*rows[0]) if rows else None

    def pair(self, digest: bytes, device: Device, now: int) -> bool:
        """Use up the code for this device, in one transaction; False if another was quicker.

        A device that is known gets the new key, and is no longer revoked: staff gave it a code.
        """
        with self._writing():
            if self.ticket(digest, device.id, device.key, now) is None:
                return False
            self._do(
                "UPDATE code SET device = ?, key = ? WHERE digest = ?",
                *(device.id, device.key, digest),
            )
            self._do(
                "INSERT OR REPLACE INTO device VALUES (?, ?, ?, ?, ?, ?, ?, NULL)",
                *(device.id, device.name, device.org, device.site, device.incarnation),
                *(device.key, device.paired),
            )
        return True

    def rename(self, device: str, name: str) -> bool:
        """Give a device another name; whether it is known."""
        return self._do("UPDATE device SET name = ? WHERE id = ?", name, device) > 0

    def revoke(self, device: str, now: int) -> bool:
        """Take a device's right away from now on; whether it is known.

        The code it was paired with is void as well: to repeat that would let it in again.
        """
        query = "UPDATE device SET revoked = coalesce(revoked, ?) WHERE id = ?"
        with self._writing():
            self._do("DELETE FROM code WHERE device = ?", device)
            return self._do(query, now, device) > 0

    def put_revoked(self, device: Device) -> None:
        """Keep a device that is not known here, so that it stays revoked."""
        row = (device.id, device.name, device.org, device.site, device.incarnation, device.key)
        query = "INSERT OR IGNORE INTO device VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
        self._do(query, *row, device.paired, device.revoked)

    # -- staff -------------------------------------------------------------------------------------

    def put_staff(self, one: Staff) -> None:
        """Add or replace a member of staff, and forget their wrong PINs."""
        row = (one.id, one.name, one.org, json.dumps(one.sites), int(one.rank))
        with self._writing():
            self._do(
                "INSERT OR REPLACE INTO staff VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                *(*row, json.dumps(one.verifiers), one.since, one.removed),
            )
            self._do("DELETE FROM failure WHERE subject = ?", one.id)

    def failures(self, subject: str) -> tuple[int, int]:
        """Wrong PINs in a row, and until when (UTC s) no further one is looked at."""
        rows = self._rows("SELECT count, until FROM failure WHERE subject = ?", subject)
        return rows[0] if rows else (0, 0)

    def fail(self, subject: str, count: int, until: int) -> None:
        """Note a wrong PIN before anybody is told that it was wrong."""
        self._do("INSERT OR REPLACE INTO failure VALUES (?, ?, ?)", subject, count, until)

    def forgive(self, subject: str) -> None:
        """The right PIN came."""
        self._do("DELETE FROM failure WHERE subject = ?", subject)

    # -- denials -----------------------------------------------------------------------------------

    def note(self, denials: list[Denial]) -> None:
        """Keep who was refused; the oldest beyond some thousands are forgotten."""
        query = "INSERT INTO denial (at, address, subject, what, code) VALUES (?, ?, ?, ?, ?)"
        with self._writing():
            for one in denials:
                self._do(query, one.at, one.address, one.subject, one.what, one.code)
            self._do(
                "DELETE FROM denial WHERE number <= (SELECT max(number) FROM denial) - ?",
                _MOST_DENIALS,
            )

    def denials(self, most: int) -> list[Denial]:
        """The latest, newest first."""
        query = "SELECT at, address, subject, what, code FROM denial ORDER BY number DESC LIMIT ?"
        return [Denial(*row) for row in self._rows(query, most)]

    # -- settings ----------------------------------------------------------------------------------

    def setting(self, key: str) -> str:
        """What `kiosk hub init` was told; empty if nothing."""
        rows = self._rows("SELECT value FROM setting WHERE key = ?", key)
        return rows[0][0] if rows else ""

    def set(self, key: str, value: str) -> None:
        self._do("INSERT OR REPLACE INTO setting VALUES (?, ?)", key, value)

    # -- the file ----------------------------------------------------------------------------------

    def _prepare(self) -> None:
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute("BEGIN IMMEDIATE")
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA:
            raise RegisterError(f"{self.path} was made by a newer hub (schema {version})")
        if version < SCHEMA:
            for statement in _TABLES.split(";\n"):
                self._db.execute(statement)
            self._db.execute(f"PRAGMA user_version = {SCHEMA}")
        self._db.execute("COMMIT")

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        with self._lock:
            self._do("BEGIN IMMEDIATE")
            try:
                yield
                self._do("COMMIT")
            finally:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")

    def _do(self, query: str, *args: object) -> int:
        with self._lock, self._telling():
            return self._db.execute(query, args).rowcount

    def _rows(self, query: str, *args: object) -> list[Any]:
        with self._lock, self._telling():
            return self._db.execute(query, args).fetchall()

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise RegisterError(f"the register {self.path} cannot be used: {error}") from error


def register_path(db: Path) -> Path:
    """The file beside a hub's database that devices and staff are kept in."""
    return db.with_name(db.name + ".register")


def _staff(row: tuple[Any, ...]) -> Staff:
    id_, name, org, sites, rank, verifiers, since, removed = row
    return Staff(
        id_, name, org, tuple(json.loads(sites)), Rank(rank), json.loads(verifiers), since, removed
    )
