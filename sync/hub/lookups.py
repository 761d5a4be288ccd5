"""Small questions to the hub's database, and the list of who was turned away for another key."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from kiosk.model import decode_event

if TYPE_CHECKING:
    import sqlite3

_MOST_DENIALS = 10_000
_TABLES = ("event", "pruned")


def known(db: sqlite3.Connection, ids: list[str]) -> set[str]:
    """Those of these events that are in the log, or were and have been let go; perhaps others too.

    Ids begin with the time, so a batch's lie close together, and among them only what other devices
    wrote meanwhile: to read all between the first and the last is one look at the index in place of
    one for each. Where too much lies between them, they are looked for one by one.
    """
    return set().union(*(_known(db, table, ids) for table in _TABLES)) if ids else set()


def held(db: sqlite3.Connection, id_: str) -> tuple[str, bytes]:
    """Hash and envelope of an event that is known, also of one that was let go."""
    query = "SELECT body, envelope FROM event WHERE id = ?"
    if (row := db.execute(query, (id_,)).fetchone()) is not None:
        return decode_event(row[0]).hash, row[1]
    query = "SELECT hash, envelope FROM pruned WHERE id = ?"
    hash_, envelope = db.execute(query, (id_,)).fetchone()
    return hash_, envelope


def note_denial(db: sqlite3.Connection, row: tuple[int, str, str, str, str]) -> None:
    """Note when (UTC ns), of which organisation, device and incarnation, and why."""
    db.execute("INSERT INTO denial VALUES (?, ?, ?, ?, ?)", row)
    db.execute(
        "DELETE FROM denial WHERE rowid <= (SELECT max(rowid) FROM denial) - ?", (_MOST_DENIALS,)
    )


def _known(db: sqlite3.Connection, table: str, ids: list[str]) -> set[str]:
    most = 4 * len(ids) + 100
    between = f"SELECT id FROM {table} WHERE id BETWEEN ? AND ? LIMIT ?"  # noqa: S608  one of two
    found = db.execute(between, (min(ids), max(ids), most)).fetchall()
    if len(found) == most:
        each = f"SELECT id FROM {table} WHERE id IN (SELECT value FROM json_each(?))"  # noqa: S608  one of two
        found = db.execute(each, (json.dumps(ids),)).fetchall()
    return {row[0] for row in found}
