"""The small things that a new database takes over from a damaged one: what is here wins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import astuple

if TYPE_CHECKING:
    import sqlite3

    from kiosk.records import Logged, Salvage


def adopt_place(db: sqlite3.Connection, seq: int, one: Logged) -> bool:
    """What the hub and the author said of an event that is here as `seq`; whether it is unsent."""
    if one.stamp is not None:
        db.execute("INSERT OR REPLACE INTO stamp VALUES (?, ?, ?, ?, ?)", (seq, *one.stamp))
    if one.signature is not None:
        db.execute("INSERT OR REPLACE INTO carried VALUES (?, ?, ?)", (seq, *one.signature))
    if one.unsent:
        db.execute("INSERT INTO outbox VALUES (?)", (seq,))
    return one.unsent


def adopt_small(db: sqlite3.Connection, salvage: Salvage) -> None:
    """Slots, anchors and notes, inside the caller's transaction."""
    # A slot table of its own is newer, and half of each could greet somebody by another's name.
    if not db.execute("SELECT 1 FROM slot UNION ALL SELECT 1 FROM binding").fetchone():
        slots = [astuple(slot) for slot in salvage.slots]
        db.executemany("INSERT OR IGNORE INTO slot VALUES (?, ?, ?, ?, ?, ?)", slots)
        bound = [(1, *astuple(binding)) for binding in salvage.binding]
        db.executemany("INSERT OR IGNORE INTO binding VALUES (?, ?, ?, ?)", bound)
    anchors = [(a.boot, a.ticks, a.hub, a.round_trip) for a in salvage.anchors]
    db.executemany("INSERT OR IGNORE INTO anchor VALUES (?, ?, ?, ?)", anchors)
    db.executemany("INSERT OR IGNORE INTO meta VALUES (?, ?)", salvage.notes.items())
