"""Pages of the log that were just read, so that a crowd that missed the same reads it once."""

from __future__ import annotations

import asyncio
import sqlite3
from bisect import bisect_right
from collections import OrderedDict
from operator import itemgetter
from typing import TYPE_CHECKING

from kiosk.model import decode_envelope
from kiosk.tasks import spawn
from sync.hub.pages import PAGE_EVENTS

if TYPE_CHECKING:
    from sync.hub.pages import Pages, Row
    from sync.protocol import Cursor

_MOST = 4 * 1024 * 1024  # bytes kept


class Recent:
    """Reads of rooms in steps that begin at fixed offsets; who asks meanwhile shares the read."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages
        self._kept: OrderedDict[tuple[str, int], list[Row]] = OrderedDict()
        self._size = 0
        self._reading: dict[tuple[str, int], asyncio.Task[list[Row] | sqlite3.Error]] = {}
        self.reads = 0

    async def page(self, room: str, after: int) -> list[Row]:
        """What the room holds above `after`, as much as one page may carry: at least one event, if
        there is any. Raises `sqlite3.Error`.
        """
        if (known := self.known(room, after)) is not None:
            return known
        start = after - after % PAGE_EVENTS
        rows = await self._read(room, start)
        if rows and rows[-1][0] <= after:
            # Either all there is, or large events: then the page ended below `after`.
            return await self._read(room, after) if after != start else []
        return rows if start == after else [row for row in rows if row[0] > after]

    def known(self, room: str, after: int) -> list[Row] | None:
        """The same without a look at the disk: None if some of it was not just read."""
        start = after - after % PAGE_EVENTS
        kept = self._kept.get((room, start))
        if not kept or kept[-1][0] <= after:
            return None
        self._kept.move_to_end((room, start))
        return kept[bisect_right(kept, after, key=itemgetter(0)) :]

    def forget(self) -> None:
        """Read everything anew: some of it is no longer there."""
        self._kept.clear()
        self._size = 0

    async def holds(self, room: str, cursor: Cursor) -> bool:
        """Whether the event that the cursor ends with is the one in this log."""
        if not (cursor.offset and cursor.received):
            return True
        rows = await self.page(room, cursor.offset - 1)
        if not rows or rows[0][0] != cursor.offset:
            return False
        return decode_envelope(rows[0][2]).received == cursor.received

    async def _read(self, room: str, after: int) -> list[Row]:
        key = (room, after)
        reading = self._reading.get(key)
        if reading is None:
            reading = self._reading[key] = spawn(self._fetch(key), "hub-page")
            reading.add_done_callback(lambda _: self._reading.pop(key, None))
        # Whoever gives up waiting must not take the page from the others.
        found = await asyncio.shield(reading)
        if isinstance(found, sqlite3.Error):
            raise found
        return found

    async def _fetch(self, key: tuple[str, int]) -> list[Row] | sqlite3.Error:
        self.reads += 1
        try:
            rows = await self._pages.page(*key)
        except sqlite3.Error as error:
            return error
        self._keep(key, rows)
        return rows

    def _keep(self, key: tuple[str, int], rows: list[Row]) -> None:
        self._size -= _size(self._kept.pop(key, []))
        if rows:
            self._kept[key] = rows
            self._size += _size(rows)
        while self._size > _MOST and self._kept:
            self._size -= _size(self._kept.popitem(last=False)[1])


def _size(rows: list[Row]) -> int:
    return sum(len(event) + len(envelope) for _, event, envelope in rows)
