"""A machine's disk and its power: where a write stops, and what is left of it then.

The files are SQLite's own. A death is taken as a picture of them at that instant; the machine that
wakes up again gets the picture, whatever the dead one's objects still do with the old files.
What a commit had synced is in every picture. What the last one was still writing when the power
went is there in part: sectors (of 512 bytes) of the write-ahead log, or pages of a checkpoint.
"""

from __future__ import annotations

import sqlite3
from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path
    from random import Random

_SECTOR = 512
_SPARED = (
    0.5  # of the writes on a failing disk: it does not fail at the first of a transaction only
)
_WAL_HEADER = 32  # bytes; SQLite syncs a new one before any frame follows
_WRITES = ("BEGIN", "INSERT", "UPDATE", "DELETE", "COMMIT", "SAVEPOINT", "RELEASE", "ROLLBACK")


class Killed(BaseException):
    """The program is no more; not an error, for nothing in a program may handle it."""


class Death(Enum):
    """How a program ends: by a signal, or with the power of its machine."""

    KILL = "kill"
    POWER = "power"


class Picture:
    """The bytes of a database, of its write-ahead log, and of the small files beside it."""

    def __init__(
        self, main: bytes, log: bytes = b"", beside: dict[str, bytes] | None = None
    ) -> None:
        self.main, self.log, self.beside = main, log, beside or {}

    @classmethod
    def of(cls, path: Path) -> Picture:
        """Take one now, whoever is writing."""
        own = {path.name, path.name + "-wal", path.name + "-shm", path.name + ".lock"}
        found = (file for file in path.parent.iterdir() if file.name not in own)
        # A hub that was brought back leaves its former database there, which nobody reads.
        files = (file for file in found if ".replaced-" not in file.name)
        beside = {file.name: file.read_bytes() for file in sorted(files) if file.is_file()}
        return cls(path.read_bytes(), _bytes(_log(path)), beside)

    def put(self, path: Path) -> None:
        """Make a folder like it, with the database at `path`."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.main)
        if self.log:
            _log(path).write_bytes(self.log)
        for name, body in self.beside.items():
            path.with_name(name).touch(mode=0o600)
            path.with_name(name).write_bytes(body)

    def torn(self, after: Picture, chance: Random) -> Picture:
        """What the disk may hold if the power went between this and `after`, mid-commit."""
        if after.main != self.main:
            # A checkpoint: SQLite had synced the log before it touched the first page.
            return Picture(_mixed(self.main, after.main, 4096, chance), after.log, after.beside)
        head = after.log[:_WAL_HEADER]
        body = _mixed(self.log[_WAL_HEADER:], after.log[_WAL_HEADER:], _SECTOR, chance)
        return Picture(self.main, head + body, after.beside)

    def unsynced(self, chance: Random) -> Picture:
        """What may be left if no commit waited for the disk."""
        return Picture(self.main, self.log[: chance.randrange(len(self.log) + 1)], self.beside)


class Disk:
    """The one database of one machine, and the fuse that ends its program in mid-write."""

    def __init__(self, path: Path, chance: Random) -> None:
        self.path = path
        self.left: Picture | None = None  # once it is dead
        self.burned = Death.KILL
        self.torn = 0
        self._chance = chance
        self._fuse: int | None = None
        self._armed: int | None = None
        self._refusals = self._spoilt = 0
        self._connections: list[sqlite3.Connection] = []
        self._synced = True

    def light(self, statements: int, how: Death) -> None:
        """Die at the n-th write from now on."""
        self._fuse, self.burned = statements, how

    def arm(self, statements: int, how: Death) -> None:
        """Light the fuse when somebody next stands at the door."""
        self._armed, self.burned = statements, how

    def approach(self) -> None:
        """Somebody stands at the door."""
        if self._armed is not None:
            self._fuse, self._armed = self._armed, None
        self._refusals, self._spoilt = max(self._refusals, self._spoilt), 0

    def refuse(self, statements: int, *, at_the_door: bool = False) -> None:
        """Let the next writes fail, as a worn-out card does; or those when somebody comes."""
        if at_the_door:
            self._spoilt = statements
        else:
            self._refusals = statements

    def snuff(self) -> None:
        """No more dying, no more failing."""
        self._fuse = self._armed = None
        self._refusals = self._spoilt = 0

    def die(self, how: Death) -> None:
        """Die now, between two statements."""
        if self.left is None:
            self.burned = how
            self._leave(Picture.of(self.path))

    def wired(self, connection: sqlite3.Connection) -> Any:  # noqa: ANN401  used as a connection
        """The writer's connection, through which the power runs."""
        self._synced = connection.execute("PRAGMA synchronous").fetchone()[0] >= 2
        pages = self._chance.choice((8, 30, 1000))
        connection.execute(f"PRAGMA wal_autocheckpoint = {pages}")
        self._connections.append(connection)
        return Wire(connection, self)

    def bury(self) -> None:
        """Close what the dead program had open."""
        for connection in self._connections:
            connection.close()

    def spend(self, connection: sqlite3.Connection, statement: str) -> None:
        """Called before every statement; raises `Killed`, or what a failing disk makes SQLite."""
        if self.left is not None:
            raise Killed
        if not statement.lstrip().startswith(_WRITES):
            return
        if self._refusals and not statement.startswith("ROLLBACK"):
            self._refusals -= 1
            if self._chance.random() < _SPARED:
                return
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR
            raise error
        if self._fuse is not None:
            self._fuse -= 1
            if self._fuse <= 0:
                self._burn(connection, statement)

    def _burn(self, connection: sqlite3.Connection, statement: str) -> None:
        before = after = Picture.of(self.path)
        if statement == "COMMIT" and self._chance.random() < 0.7:
            connection.execute(statement)
            after = Picture.of(self.path)
            if self.burned is Death.POWER and self._chance.random() < 0.7:
                self.torn += 1
                after = before.torn(after, self._chance)
        self._leave(after)
        raise Killed

    def _leave(self, picture: Picture) -> None:
        lost = self.burned is Death.POWER and not self._synced
        self.left = picture.unsynced(self._chance) if lost else picture


class Wire:
    """A connection to SQLite that dies with its machine."""

    def __init__(self, connection: sqlite3.Connection, disk: Disk) -> None:
        self._connection = connection
        self._disk = disk

    def execute(self, statement: str, *args: Any) -> sqlite3.Cursor:  # noqa: ANN401  SQLite's
        self._disk.spend(self._connection, statement)
        return self._connection.execute(statement, *args)

    def executemany(self, statement: str, rows: Any) -> sqlite3.Cursor:  # noqa: ANN401  SQLite's
        self._disk.spend(self._connection, statement)
        return self._connection.executemany(statement, rows)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  whatever the connection has
        return getattr(self._connection, name)


def _mixed(before: bytes, after: bytes, piece: int, chance: Random) -> bytes:
    """Every piece that was written as it was, as it is, or as rubbish; and perhaps an early end.

    Bytes that were not written stay as they are (SQLite counts on that: "powersafe overwrite").
    """
    made = bytearray(after)
    first = _first_difference(before, after)
    for at in range(first - first % piece, len(after), piece):
        start, end = max(at, first), min(at + piece, len(after))
        old, roll = before[start:end].ljust(end - start, b"\0"), chance.random()
        if old == after[start:end] or roll < 0.5:
            continue
        if roll < 0.9 or piece != _SECTOR:
            made[start:end] = old
        else:
            made[start:end] = chance.randbytes(end - start)
    if piece == _SECTOR and chance.random() < 0.3:
        del made[chance.randint(first, len(made)) :]
    return bytes(made)


def _first_difference(before: bytes, after: bytes) -> int:
    pairs = zip(before, after, strict=False)
    shorter = min(len(before), len(after))
    return next((at for at, (one, other) in enumerate(pairs) if one != other), shorter)


def _log(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


def _bytes(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""
