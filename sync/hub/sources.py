"""What the folds of a site's sessions have in common: the entries of the site's own room."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from functools import partial
from typing import TYPE_CHECKING

from sync.hub.rows import entry_of

if TYPE_CHECKING:
    from kiosk.model import Entry
    from sync.hub.pages import Pages, Row
    from sync.hub.transaction import Accepted


class Source:
    """What a site's room holds, decoded once for the folds of all its sessions.

    The entry of offset n is at place n - 1: a directory is never pruned.
    """

    def __init__(self, room: str) -> None:
        self.room = room
        self.entries: list[Entry] = []
        self._reading = asyncio.Lock()
        self._adding = threading.Lock()

    async def read(self, pages: Pages, end: int) -> None:
        """Have all up to an offset; raises `sqlite3.Error`."""
        async with self._reading:
            while (have := len(self.entries)) < end:
                rows = await page(pages, self.room, have)
                found = await pages.work(partial(_decoded, rows))
                for (offset, _, _), entry in zip(rows, found, strict=True):
                    self._add(offset, entry)

    def taken(self, one: Accepted) -> Entry:
        """The entry of what was just committed; from any thread."""
        if one.offset <= len(self.entries):
            return self.entries[one.offset - 1]
        entry = entry_of(one.event, one.envelope)
        self._add(one.offset, entry)
        return entry

    def _add(self, offset: int, entry: Entry) -> None:
        """Keep an entry, if it is the next."""
        with self._adding:
            if offset == len(self.entries) + 1:
                self.entries.append(entry)


async def page(pages: Pages, room: str, after: int) -> list[Row]:
    """What a room holds above an offset, at least one event; raises `sqlite3.Error`."""
    rows = await pages.page(room, after)
    if not rows:
        raise sqlite3.DatabaseError(f"nothing above {after} is in {room}")
    return rows


def _decoded(rows: list[Row]) -> list[Entry]:
    return [entry_of(body, stamp) for _, body, stamp in rows]
