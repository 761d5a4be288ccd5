"""What all connections of a hub share: the log's threads, the rooms, and who is connected."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from sync.hub.writer import Job
from sync.protocol import Close

if TYPE_CHECKING:
    from kiosk.clock import Clock
    from sync.hub.connection import Connection
    from sync.hub.pages import Pages
    from sync.hub.rooms import Rooms
    from sync.hub.writer import Writer
    from sync.protocol import Hello

_LOG = logging.getLogger(__name__)

MOST_CONNECTIONS = 4096


class Core:
    """Shared state of one running hub; for its loop's thread only."""

    def __init__(
        self, token: str, clock: Clock, writer: Writer, pages: Pages, rooms: Rooms
    ) -> None:
        self.token = token
        self.clock = clock
        self.writer = writer
        self.pages = pages
        self.rooms = rooms
        self.sites: set[tuple[str, str]] = set()
        self.malformed = 0
        self.connections: dict[tuple[str, str], Connection] = {}

    def time(self) -> int | None:
        """UTC ns to anchor a kiosk's clock by; None while this machine does not trust its own."""
        return self.clock.wall() if self.clock.synced() else None

    def enter(self, connection: Connection, hello: Hello) -> bool:
        """Register a connection, which ends an older one of the same device; False if full."""
        key = (hello.device, hello.incarnation)
        older = self.connections.get(key)
        if older is None and len(self.connections) >= MOST_CONNECTIONS:
            return False
        self.connections[key] = connection
        if older is not None:
            _LOG.warning("device %s connected again; the older connection ends", hello.device)
            older.close(Close.SUPERSEDED, "the same device connected again")
        site = (hello.org, hello.site)
        if site not in self.sites:
            self.sites.add(site)
            self.writer.put(Job(lambda log: log.welcome(*site), lambda _: None))
        return True

    def leave(self, connection: Connection) -> None:
        """Forget a connection that has ended."""
        for key, known in list(self.connections.items()):
            if known is connection:
                del self.connections[key]
