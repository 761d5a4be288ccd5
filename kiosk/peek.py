"""Looking into a database file that may belong to another process, without changing anything."""

from __future__ import annotations

import contextlib
import operator
import sqlite3
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# What an SD card has spoilt is then text that is nobody's, and stops no query it is found by.
as_text = operator.methodcaller("decode", "utf-8", "replace")
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


@contextlib.contextmanager
def peek(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that can only read: no lock is kept, nothing is migrated, no file is made.

    Raises `sqlite3.Error`, also while it is used.
    """
    # Without a write-ahead log nobody has the file open, and SQLite would make one just to read.
    alone = not path.with_name(path.name + "-wal").exists()
    uri = f"{path.absolute().as_uri()}?mode=ro{'&immutable=1' if alone else ''}"
    with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=5)) as connection:
        connection.text_factory = as_text
        yield connection


def damage(path: Path) -> str:
    """What is broken in the file; empty if it is sound, not there, or not to be had just now."""
    if not path.exists():
        return ""
    try:
        with peek(path) as connection:
            found: str = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.Error as error:
        return str(error) if is_damage(error) else ""
    return "" if found == "ok" else found


def is_damage(error: sqlite3.Error) -> bool:
    """Whether SQLite says that the file is broken, and not only that it cannot be had just now."""
    return (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF in _DAMAGED
