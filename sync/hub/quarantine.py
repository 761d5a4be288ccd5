"""What the hub keeps apart: the raw bytes of what could not be accepted, and why."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3


def keep(
    db: sqlite3.Connection, received: int, whose: tuple[str, str, str, str], body: bytes
) -> None:
    """Keep bytes, once; `whose` is the organisation, who brought them, the id if known, and why."""
    row = (_digest(body), received, *whose, body)
    db.execute("INSERT OR IGNORE INTO quarantine VALUES (?, ?, ?, ?, ?, ?, ?)", row)


def let_in(db: sqlite3.Connection, body: bytes) -> bool:
    """Give back what was kept apart only because its device was shut out; whether it was."""
    query = "DELETE FROM quarantine WHERE digest = ? AND code = 'revoked'"
    return db.execute(query, (_digest(body),)).rowcount > 0


def _digest(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=32).digest()
