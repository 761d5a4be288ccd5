"""What waits to be sent, read from the database."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from kiosk.records import Held

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

_PENDING = """
SELECT e.seq, e.id, e.body, e.device, e.incarnation, e.kseq FROM outbox o
JOIN event e ON e.seq = o.seq WHERE o.seq > ? ORDER BY o.seq LIMIT ?
"""


def pending(db: sqlite3.Connection, after: int, limit: int, max_bytes: int) -> list[Held]:
    """The oldest with seq > `after`, at least one if there is any."""
    batch: list[Held] = []
    for row in db.execute(_PENDING, (after, limit)).fetchall():
        max_bytes -= len(row[2])
        if batch and max_bytes < 0:
            break
        batch.append(Held(*row))
    return batch


def held(db: sqlite3.Connection) -> tuple[int, int | None]:
    """How many, and the wall time (UTC ns) of the oldest."""
    count, oldest = db.execute("SELECT count(*), min(seq) FROM outbox").fetchone()
    query = "SELECT wall FROM event WHERE seq = ?"
    found = db.execute(query, (oldest,)).fetchone() if count else None
    return count, found[0] if found else None


def signatures(db: sqlite3.Connection, seqs: Sequence[int]) -> dict[int, tuple[str, str]]:
    """Key and signature (hex) of those that others wrote."""
    query = "SELECT * FROM carried WHERE seq IN (SELECT value FROM json_each(?))"
    rows = db.execute(query, (msgspec.json.encode(seqs).decode(),)).fetchall()
    return {seq: (key, signature) for seq, key, signature in rows}
