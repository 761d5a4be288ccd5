"""Letting go of what was kept for long enough: whole sessions, and only what happened in them."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from kiosk.model import decode_envelope, decode_event
from sync.hub.tables import OFFSET_BITS
from sync.hub.writer import Job, NotWrittenError

if TYPE_CHECKING:
    import sqlite3

    from sync.hub.core import Core
    from sync.hub.log import Log

_LOG = logging.getLogger(__name__)

DAY = 86_400 * 1_000_000_000  # ns
_EVERY = 6 * 3600.0  # seconds between two rounds
_AT_ONCE = 1000  # events in one transaction, so that pushes need not wait long


async def retain(core: Core, days: int) -> None:
    """Let go, now and every few hours, of sessions that nothing was added to for `days`."""
    while True:
        pruned = 0
        while made := await _round(core, core.clock.wall() - days * DAY):
            pruned += made
        if pruned:
            core.rooms.recent.forget()
            _LOG.info("%d events older than %d days were let go", pruned, days)
        await asyncio.sleep(_EVERY)


async def _round(core: Core, before: int) -> int:
    future: asyncio.Future[int | NotWrittenError] = asyncio.get_running_loop().create_future()

    def done(result: int | NotWrittenError) -> None:
        if not future.done():
            future.set_result(result)

    def work(log: Log) -> int:
        return log.prune(before, _AT_ONCE)

    core.writer.put(Job(work, done))
    result = await future
    return 0 if isinstance(result, NotWrittenError) else result


def prune(db: sqlite3.Connection, before: int, most: int) -> int:
    """Delete up to `most` events of session rooms that ended before then (UTC ns); how many.

    The last event of a room stays, so that its end is known. Ids and hashes stay too: what is
    offered again is still known, and no place in a device's chain can be filled with something
    else. Directories are never pruned.
    """
    pruned = 0
    rooms = db.execute("SELECT number, head FROM room WHERE name LIKE 'org/%/session/%'")
    for number, head in rooms.fetchall():
        first, last = number << OFFSET_BITS, number << OFFSET_BITS | head
        row = db.execute("SELECT envelope FROM event WHERE place = ?", (last,)).fetchone()
        if row is None or decode_envelope(row[0]).received >= before:
            continue
        found = db.execute(
            "SELECT place, id, body, envelope FROM event WHERE place > ? AND place < ?"
            " ORDER BY place LIMIT ?",
            (first, last, most - pruned),
        ).fetchall()
        db.executemany(
            "INSERT OR IGNORE INTO pruned VALUES (?, ?, ?)",
            [(id_, decode_event(body).hash, envelope) for _, id_, body, envelope in found],
        )
        db.executemany("DELETE FROM event WHERE place = ?", [(place,) for place, *_ in found])
        pruned += len(found)
        if pruned >= most:
            break
    return pruned
