"""What a database knows of the hub's time, and in which boots it came to a running machine.

A boot usually began after all that its database had heard before. Not so where the database came
to a machine in the midst of a boot: its disk was moved or cloned, or it was rescued into another.
Such an arrival is kept under the note "came", for the times of that boot (`kiosk.clock.bounds`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from kiosk.clock import Anchor
from kiosk.model import UNREADABLE

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from kiosk.clock import Clock

CAME = "came"
_CARRIED = "anchors"
_MOST = 32  # of each note
_ANCHORS = msgspec.json.Decoder(list[Anchor])
_NOTE = msgspec.json.Decoder(dict[str, int])


def known(db: sqlite3.Connection) -> list[Anchor]:
    """The anchors of all boots, each with when the database came to it."""
    came = arrivals(db)
    rows = db.execute("SELECT boot, ticks, hub, round_trip FROM anchor").fetchall()
    return [
        Anchor(boot, ticks, hub, trip, came.get(boot, 0))
        for boot, ticks, hub, trip in rows
        if type(ticks) is type(hub) is type(trip) is int
    ]


def arrivals(db: sqlite3.Connection) -> dict[str, int]:
    """By boot: the ticks at which the database last came to it; nothing of most boots."""
    row = db.execute("SELECT value FROM meta WHERE key = ?", (CAME,)).fetchone()
    return _read(row[0] if row else None)


def arrived(note: str | None, clock: Clock) -> str:
    """The note after the database has come to this machine, now."""
    return _written(_read(note) | {clock.boot: clock.ticks()})


def rescued(db: sqlite3.Connection, damaged: str | None, clock: Clock) -> dict[str, int]:
    """Keep that a damaged database, with this note, was taken into this one now; all arrivals."""
    came = _read(damaged) | arrivals(db) | {clock.boot: clock.ticks()}
    db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (CAME, _written(came)))
    return came


def keep_carried(db: sqlite3.Connection, anchors: Iterable[Anchor]) -> None:
    """Keep anchors of other devices that came along with their events, the latest of them."""
    kept = {(anchor.boot, anchor.ticks): anchor for anchor in (*carried(db), *anchors)}
    note = msgspec.json.encode(list(kept.values())[-_MOST:]).decode()
    db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (_CARRIED, note))


def carried(db: sqlite3.Connection) -> list[Anchor]:
    """The anchors that came along with carried events."""
    row = db.execute("SELECT value FROM meta WHERE key = ?", (_CARRIED,)).fetchone()
    try:
        return _ANCHORS.decode(row[0]) if row else []
    except (*UNREADABLE, TypeError):
        return []


def _read(note: str | None) -> dict[str, int]:
    try:
        return _NOTE.decode(note) if note else {}
    except (*UNREADABLE, TypeError):
        return {}


def _written(came: dict[str, int]) -> str:
    return msgspec.json.encode(dict(list(came.items())[-_MOST:])).decode()
