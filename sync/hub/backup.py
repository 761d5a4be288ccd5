"""Backup of a hub into one file while it runs, and a hub brought back from one.

A backup is the hub's database, with the files that belong to it (its secret, its token, the
register of devices and staff) in a table. So it is as secret as they are.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import sqlite3
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from kiosk.model import decode_envelope, decode_event
from sync.hub.auth.keys import key_path, write_new
from sync.hub.auth.register import register_path
from sync.hub.errors import BackupError
from sync.hub.judge import authentic
from sync.hub.tables import SCHEMA, connect, locked
from sync.hub.tokens import token_path

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_CARRIED = "CREATE TABLE carried (name TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID"


@dataclass(frozen=True, slots=True)
class Summary:
    """What a backup holds; `received` is the hub's time (UTC ns) of the last event in it."""

    events: int
    rooms: int
    received: int
    size: int


@dataclass(frozen=True, slots=True)
class Lacking:
    """What the former database had and the backup has not.

    `events` were written by kiosks, and `returning` records were changed at the hub: both come back
    from kiosks that have them. `records` ("person p1") do not: the hub had not signed them.
    `received` is the hub's time (UTC ns) of the last of all. Its records had revs up to `rev`.
    """

    events: int = 0
    returning: int = 0
    records: tuple[str, ...] = ()
    received: int = 0
    rev: int = 0


@dataclass(frozen=True, slots=True)
class Restored:
    """What a hub was brought back to; `replaced` is where its former database is, if it had one.

    `received` is the hub's time (UTC ns) of the last event that is back; `lacking` is None if the
    former database cannot be compared.
    """

    events: int
    epoch: str
    replaced: Path | None
    received: int
    lacking: Lacking | None


def back_up(db: Path, file: Path, *, replace: bool = False) -> Summary:
    """Write the hub at `db` into `file` (0600), which is there whole, checked and durable, or not.

    The hub may run: what it commits meanwhile is either in the backup or not. It then knows that
    what it received up to there is safe, and tells its kiosks. Raises `BackupError`.
    """
    _look_for(db)
    if file.exists() and not replace:
        raise BackupError(f"{file} exists already; name another file, or add --replace")
    fresh = file.with_name(f".{file.name}.{uuid.uuid4().hex[:8]}")
    try:
        with _wiped(fresh):
            _copy(db, fresh)
            _carry(db, fresh)
            found = _looked_over(fresh, file)
            _durable(fresh)
            fresh.replace(file)
            _durable(file.parent)
        _note_stable(db, found.received)
    except (sqlite3.Error, OSError) as error:
        raise BackupError(f"the backup {file} cannot be made: {_why(error)}") from error
    return found


def restore(db: Path, file: Path) -> Restored:
    """Put the backup `file` in the place of the hub at `db`, which must not run.

    The former database is kept beside it. The hub gets a new epoch, so that its kiosks look which
    of their events and of its own records it lacks, and offer them again. The present secret and
    register are kept if they are of the same hub: they know of later revocations, which the hub
    says anew then, above all older ones. Raises `BackupError` or `LogBusyError`.
    """
    if not file.exists():
        raise BackupError(f"there is no backup {file}")
    with contextlib.closing(locked(db)):
        fresh = db.with_name(f".{db.name}.{uuid.uuid4().hex[:8]}")
        try:
            with _wiped(fresh):
                _copy(file, fresh)
                found = _looked_over(fresh, file)
                lacking = _lacking(db, fresh)
                carried, epoch = _renewed(db, fresh, lacking)
                _durable(fresh)
                date = dt.datetime.now(dt.UTC).strftime("%Y%m%dT%H%M%S.%fZ")
                replaced = _kept(db, date)
                _put_back(db, carried, date)
                fresh.replace(db)
                _durable(db.parent)
        except (sqlite3.Error, OSError) as error:
            raise BackupError(f"{file} cannot be brought back: {_why(error)}") from error
    return Restored(found.events, epoch, replaced, found.received, lacking)


# -- making --------------------------------------------------------------------------------------


def _look_for(db: Path) -> None:
    if not db.exists() or not db.stat().st_size:
        raise BackupError(f"there is no hub at {db}")


@contextlib.contextmanager
def _wiped(fresh: Path) -> Iterator[None]:
    """A new file of mode 0600 that is gone again, with all that SQLite adds, if it is not used."""
    os.close(os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        yield
    finally:
        for suffix in ("", "-wal", "-shm", "-journal"):
            fresh.with_name(fresh.name + suffix).unlink(missing_ok=True)


def _copy(source: Path, target: Path) -> None:
    """All of a database as of one moment, in a file that needs no other beside it."""
    with (
        contextlib.closing(_readable(source)) as reading,
        contextlib.closing(connect(target)) as writing,
    ):
        # In one step: WAL keeps the moment for this reader, and the hub goes on writing.
        reading.backup(writing, pages=-1)
        writing.execute("PRAGMA journal_mode = DELETE")


def _readable(path: Path) -> sqlite3.Connection:
    connection = connect(path)
    connection.execute("PRAGMA query_only = ON")
    return connection


def _carry(db: Path, backup: Path) -> None:
    with contextlib.closing(connect(backup)) as writing:
        writing.execute("BEGIN IMMEDIATE")
        writing.execute("DROP TABLE IF EXISTS carried")
        writing.execute(_CARRIED)
        for name, path in _files(db).items():
            if path.exists():
                body = _serialised(path) if name == "register" else path.read_bytes()
                writing.execute("INSERT INTO carried VALUES (?, ?)", (name, body))
        writing.execute("COMMIT")


def _files(db: Path) -> dict[str, Path]:
    return {"key": key_path(db), "token": token_path(db), "register": register_path(db)}


def _serialised(path: Path) -> bytes:
    with (
        contextlib.closing(_readable(path)) as reading,
        contextlib.closing(sqlite3.connect(":memory:")) as memory,
    ):
        # By way of a copy, which has left WAL behind: its file alone is all of it.
        reading.backup(memory)
        return memory.serialize()


def _looked_over(path: Path, name: Path) -> Summary:
    """Open it anew and look at every page of it and at what it says of itself."""
    try:
        with contextlib.closing(_readable(path)) as reading:
            broken = reading.execute("PRAGMA integrity_check(1)").fetchone()[0]
            if broken != "ok":
                raise BackupError(f"{name} is damaged: {broken}")
            version = reading.execute("PRAGMA user_version").fetchone()[0]
            if not 1 <= version <= SCHEMA:
                made = "by a newer hub" if version > SCHEMA else "by no hub"
                raise BackupError(f"{name} was made {made} (schema {version})")
            _unchanged(reading, name)
            rooms, events = reading.execute(
                "SELECT (SELECT count(*) FROM room), count(*) FROM event"
            ).fetchone()
            meta = dict(reading.execute("SELECT key, value FROM meta"))
            return Summary(events, rooms, int(meta["received"]), path.stat().st_size)
    except (sqlite3.DatabaseError, KeyError, ValueError) as error:
        raise BackupError(f"{name} is no backup of a hub: {error}") from error


def _unchanged(reading: sqlite3.Connection, name: Path) -> None:
    """Look at each event's hash: SQLite vouches for its pages, but not for what is in them."""
    for id_, body in reading.execute("SELECT id, body FROM event"):
        try:
            event = decode_event(body)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            raise BackupError(f"{name} is damaged: event {id_} cannot be read") from None
        if event.id != id_ or not authentic(body, event):
            raise BackupError(f"{name} is damaged: event {id_} is not as it was written")


def _note_stable(db: Path, received: int) -> None:
    with contextlib.closing(connect(db)) as writing:
        writing.execute(
            "UPDATE meta SET value = max(value, ?) WHERE key = 'stable'",
            (received,),
        )


# -- bringing back -------------------------------------------------------------------------------


def _lacking(db: Path, fresh: Path) -> Lacking | None:
    """Compare the database that is to be replaced, as far as it can still be read."""
    if not db.exists():
        return Lacking()
    events, received = 0, 0
    records: dict[str, bool] = {}  # whether the last word of each was signed
    try:
        with contextlib.closing(_readable(db)) as reading:
            own = reading.execute("SELECT value FROM meta WHERE key = 'device'").fetchone()[0]
            reading.execute("ATTACH ? AS fresh", (str(fresh),))
            for body, envelope in reading.execute(
                "SELECT body, envelope FROM main.event WHERE id NOT IN (SELECT id FROM fresh.event)"
            ):
                event = decode_event(body)
                stamp = decode_envelope(envelope)
                received = max(received, stamp.received)
                if event.device == own:
                    named = f"{event.data.get('record')} {event.data.get('id')}"
                    records[named] = bool(stamp.signature)
                else:
                    events += 1
            rev = reading.execute("SELECT coalesce(max(rev), 0) FROM main.directory").fetchone()[0]
    except (sqlite3.Error, msgspec.MsgspecError, ValueError, TypeError):
        return None
    lost = tuple(name for name, signed in records.items() if not signed)
    return Lacking(events, len(records) - len(lost), lost, received, rev)


def _renewed(db: Path, fresh: Path, lacking: Lacking | None) -> tuple[dict[str, bytes], str]:
    """Make it a hub that has lost something, as far as its kiosks know; what it carried.

    Its own chain goes on under a new incarnation: what the lost one wrote after the backup is
    still out there, and comes back under the places it had.
    """
    epoch = uuid.uuid4().hex
    with contextlib.closing(connect(fresh)) as writing:
        writing.execute("BEGIN IMMEDIATE")
        carried: dict[str, bytes] = {}
        if writing.execute("SELECT 1 FROM sqlite_master WHERE name = 'carried'").fetchone():
            carried = dict(writing.execute("SELECT name, body FROM carried"))
            writing.execute("DROP TABLE carried")
        floor = writing.execute("SELECT max(value) FROM meta WHERE key = 'floor'").fetchone()[0]
        news = {
            "epoch": epoch,
            "incarnation": uuid.uuid4().hex,
            "prev": "",
            "floor": max(floor or 0, lacking.rev if lacking is not None else 0),
            "restate": int(_register_stays(db, carried)),
        }
        writing.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", news.items())
        writing.execute("COMMIT")
    return carried, epoch


def _kept(db: Path, date: str) -> Path | None:
    """Give the database a second name, so that no moment is without one; None if there is none."""
    if not db.exists():
        return None
    kept = db.with_name(f"{db.name}.replaced-{date}")
    with contextlib.suppress(sqlite3.Error), contextlib.closing(connect(db)) as writing:
        # So that its file alone is all of it.
        writing.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    kept.hardlink_to(db)
    for suffix in ("-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            db.with_name(db.name + suffix).rename(kept.with_name(kept.name + suffix))
    return kept


def _put_back(db: Path, carried: dict[str, bytes], date: str) -> None:
    """The files beside the database, where they are lacking or another hub's."""
    files = _files(db)
    if _is_anothers(db, carried):
        for path in files.values():
            # With what SQLite has not yet moved into the register itself.
            for suffix in ("", "-wal", "-shm"):
                with contextlib.suppress(FileNotFoundError):
                    kept = path.with_name(f"{path.name}.replaced-{date}{suffix}")
                    path.with_name(path.name + suffix).rename(kept)
    for name, body in carried.items():
        if name in files and not files[name].exists():
            if name == "register":
                _without_log(files[name])
            write_new(files[name], body)


def _is_anothers(db: Path, carried: dict[str, bytes]) -> bool:
    """Whether the secret beside the database is another hub's than the backup's."""
    known = key_path(db)
    return "key" in carried and known.exists() and known.read_bytes() != carried["key"]


def _register_stays(db: Path, carried: dict[str, bytes]) -> bool:
    return register_path(db).exists() and not _is_anothers(db, carried)


def _without_log(path: Path) -> None:
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _durable(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _why(error: Exception) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
