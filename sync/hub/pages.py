"""Reading the log: pages of a room and what is held of a device, off the event loop."""

from __future__ import annotations

import asyncio
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from sync.hub.tables import OFFSET_BITS, connect
from sync.protocol import Gap

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable
    from pathlib import Path

T = TypeVar("T")

Row: TypeAlias = tuple[int, bytes, bytes]
"""Offset, encoded event, encoded envelope."""

PAGE_EVENTS = 250
PAGE_BYTES = 128 * 1024


class Pages:
    """A few reader threads, each on a connection of its own; a page has `most` events."""

    most = PAGE_EVENTS

    def __init__(self, path: Path, threads: int = 2) -> None:
        self._path = path
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="hub-reader")
        # So that no page waits for it.
        self._workers = ThreadPoolExecutor(threads, thread_name_prefix="hub-worker")

    def close(self) -> None:
        """End the threads and close their connections."""
        self._workers.shutdown()
        self._pool.shutdown()
        for connection in self._connections:
            connection.close()

    async def page(self, room: str, after: int) -> list[Row]:
        """What the room holds above offset `after`, as much as one page may carry."""
        return await self._run(lambda: self._page(room, after))

    async def head(self, room: str) -> int:
        """Where the room ends on disk."""
        rows = await self._query("SELECT head FROM room WHERE name = ?", room)
        return int(rows[0][0]) if rows else 0

    async def received(self, device: str) -> dict[str, int]:
        """Per incarnation of a device, the kseq up to which nothing is missing."""
        query = "SELECT incarnation, contiguous FROM chain WHERE device = ?"
        return dict(await self._query(query, device))

    async def signed_by(self, key: str) -> dict[str, int]:
        """Per incarnation with this key, the kseq up to which nothing is missing."""
        query = (
            "SELECT a.incarnation, coalesce(c.contiguous, 0) FROM author a"
            " LEFT JOIN chain c ON c.device = a.device AND c.incarnation = a.incarnation"
            " WHERE a.key = ?"
        )
        return dict(await self._query(query, key))

    async def holes(self) -> list[tuple[str, Gap]]:
        """Devices that brought later events and not some before them, and which."""
        query = "SELECT device, incarnation, contiguous, ahead FROM chain WHERE ahead <> '[]'"
        return [
            (device, _gap(incarnation, contiguous, json.loads(ahead)))
            for device, incarnation, contiguous, ahead in await self._query(query)
        ]

    async def stable(self) -> int:
        """What was received up to then (UTC ns) is also in a backup."""
        rows = await self._query("SELECT value FROM meta WHERE key = 'stable'")
        return int(rows[0][0]) if rows else 0

    async def sites(self) -> list[tuple[str, str]]:
        """Organisation and site of every kiosk that has been here."""
        return await self._query("SELECT org, site FROM site")

    async def records(
        self, room: str, record: str, after: str, most: int
    ) -> list[tuple[str, int, bytes]]:
        """Id, rev and encoded value of a room's directory records of one kind, by id."""
        return await self._query(
            "SELECT id, rev, value FROM directory WHERE room = ? AND record = ? AND id > ?"
            " ORDER BY id LIMIT ?",
            room,
            record,
            after,
            most,
        )

    async def record(self, room: str, record: str, id_: str) -> list[tuple[int, bytes]]:
        """Rev and encoded value of one record, if there is one."""
        query = "SELECT rev, value FROM directory WHERE room = ? AND record = ? AND id = ?"
        return await self._query(query, room, record, id_)

    async def totals(self) -> tuple[int, int]:
        """How many events are in the log, and how many in quarantine."""
        rows = await self._query(
            "SELECT coalesce(sum(head), 0), (SELECT count(*) FROM quarantine) FROM room"
        )
        return rows[0][0], rows[0][1]

    async def work(self, work: Callable[[], T]) -> T:
        """Do what would keep the loop too long with what was read."""
        return await asyncio.get_running_loop().run_in_executor(self._workers, work)

    async def _query(self, query: str, *args: str | int) -> list[Any]:
        return await self._run(lambda: self._reader().execute(query, args).fetchall())

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def _page(self, room: str, after: int) -> list[Row]:
        query = "SELECT number FROM room WHERE name = ?"
        found = self._reader().execute(query, (room,)).fetchone()
        if found is None:
            return []
        first = found[0] << OFFSET_BITS
        rows = self._reader().execute(
            "SELECT place - ?, body, envelope FROM event WHERE place > ? AND place < ?"
            " ORDER BY place LIMIT ?",
            (first, first + after, first + (1 << OFFSET_BITS), self.most),
        )
        page: list[Row] = []
        size = 0
        for row in rows:
            page.append(row)
            size += len(row[1])
            if size >= PAGE_BYTES:
                break
        return page

    def _reader(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = connect(self._path)
            connection.execute("PRAGMA query_only = ON")
            self._connections.append(connection)
        return connection


def _gap(incarnation: str, contiguous: int, ahead: list[int]) -> Gap:
    return Gap(incarnation, contiguous, max(ahead) - contiguous - len(ahead))
