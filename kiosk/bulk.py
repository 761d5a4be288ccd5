"""Rows by the hundred into a table: one statement for many costs less than one for each."""

from __future__ import annotations

import functools
import itertools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

# More gain nothing; and each statement is one turn without the interpreter's lock, not one per row.
_AT_ONCE = 50


def insert(db: sqlite3.Connection, into: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert `rows`, all of one length, in order; `into` is `INSERT INTO` and all up to `VALUES`.

    Raises `sqlite3.Error` as a single insert would; what was inserted before that is still there,
    for the caller's transaction to undo.
    """
    for start in range(0, len(rows), _AT_ONCE):
        part = rows[start : start + _AT_ONCE]
        values = list(itertools.chain.from_iterable(part))
        db.execute(_statement(into, len(part[0]), len(part)), values)


@functools.lru_cache(maxsize=256)
def _statement(into: str, columns: int, rows: int) -> str:
    one = f"({', '.join('?' * columns)})"
    return f"{into} VALUES {', '.join([one] * rows)}"
