"""What all connections of a hub share: the log's threads, the rooms, and who is connected."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from sync.hub.access import Who
from sync.hub.auth.gate import Visit
from sync.hub.authors import introduce
from sync.hub.talks import Talks
from sync.hub.writer import Job
from sync.protocol import VERSION, Close, House, Welcome, check_version

if TYPE_CHECKING:
    from collections.abc import Callable

    from kiosk.clock import Clock
    from sync.hub.access import Access
    from sync.hub.auth.gate import Caller
    from sync.hub.frames import Parcel
    from sync.hub.metrics import Metrics
    from sync.hub.pages import Pages
    from sync.hub.rooms import Rooms
    from sync.hub.streams import Stream
    from sync.hub.writer import Writer
    from sync.protocol import Hello

_LOG = logging.getLogger(__name__)

MOST_CONNECTIONS = 4096
_ASKED_WITHIN = 90.0  # seconds; a poll takes 60 at the most


class Peer(Protocol):
    """A connection that lasts; `transport` is `websocket`, `sse` or `polling`."""

    transport: str

    def write(self, parcel: Parcel) -> None:
        """Say something, without waiting."""

    def close(self, code: Close, reason: str) -> None:
        """End it, soon, without waiting."""


class Asker:
    """A kiosk that polls: what is to be told to it waits until it asks again."""

    __slots__ = ("notes", "seen")

    def __init__(self) -> None:
        self.seen = 0.0
        self.notes: list[Parcel] = []

    def write(self, parcel: Parcel) -> None:
        """Keep it until then."""
        self.notes.append(parcel)


class Core:
    """Shared state of one running hub; for its loop's thread only."""

    def __init__(
        self,
        access: Access,
        clock: Clock,
        writer: Writer,
        pages: Pages,
        rooms: Rooms,
        metrics: Metrics,
        itself: Callable[[], tuple[str, str]],
    ) -> None:
        """`itself` tells the key (hex) and the incarnation that the hub says records by."""
        self.access = access
        self.clock = clock
        self.writer = writer
        self.pages = pages
        self.rooms = rooms
        self.metrics = metrics
        self.itself = itself
        self.missing = 0  # events that connected devices have lost
        self.backups: Callable[[], str] = lambda: "off"  # how those go that the hub makes itself
        self.sites: set[tuple[str, str]] = set()
        self.connections: dict[object, Peer] = {}
        self.talks = Talks()
        self.streams: dict[str, Stream] = {}
        self.askers: dict[tuple[str, str], Asker] = {}
        self._visits: dict[Peer, tuple[object, Visit]] = {}

    def time(self) -> int | None:
        """UTC ns to anchor a kiosk's clock by; None while this machine does not trust its own."""
        return self.clock.wall() if self.clock.synced() else None

    def greet(self, hello: Hello, shown: str | None, caller: Caller) -> Who:
        """Who speaks; raises `DeniedError` or `MismatchError` if they may not."""
        caller = replace(caller, subject=hello.device)
        grant = self.access.admit(shown or hello.token, caller)
        check_version(hello.version)
        who = self.access.greeted(Who.of(hello), grant, caller)
        if _is_device(who):
            self.access.gate.paced(who.device, caller)
        return who

    async def welcome(self, who: Who) -> Welcome:
        """The answer to a greeting; raises `DeniedError` if its key is not the device's."""
        if who.key and _is_device(who):
            await introduce(self, who)
        if who.viewer:  # one of thousands, perhaps, and all of them at once
            return Welcome(VERSION, self.rooms.epoch, self.time())
        received = await self.pages.received(who.device)
        stable = await self.pages.stable()
        key, incarnation = self.itself()
        hub = House(key, incarnation, await self.pages.signed_by(key))
        return Welcome(VERSION, self.rooms.epoch, self.time(), received, stable, hub)

    def enter(self, peer: Peer, who: Who, *, alone: bool = True) -> None:
        """Register a connection, which ends an older one of the same device if it is to be `alone`.

        Raises `DeniedError` if there are too many, of all or of those that share its token.
        """
        key: object = (who.device, who.incarnation) if alone and _is_device(who) else peer
        older = self.connections.get(key)
        if older is None and len(self.connections) >= MOST_CONNECTIONS:
            raise self.access.denied("busy", "too many connections", Close.TRY_LATER, 30.0)
        visit = Visit(who.grant, peer.close, line=key is not peer)
        self.access.gate.enter(visit, replaces=older is not None)
        self.connections[key] = peer
        self._visits[peer] = key, visit
        if older is not None:
            _LOG.warning("device %s connected again; the older connection ends", who.device)
            older.close(Close.SUPERSEDED, "the same device connected again")
        if _is_device(who):
            self.remember(who)

    def notes_for(self, who: Who) -> list[Parcel]:
        """What was to be told to a kiosk that only asks, which it does just now."""
        if not _is_device(who):
            return []
        asker = self.askers.setdefault((who.device, who.incarnation), Asker())
        asker.seen = asyncio.get_running_loop().time()
        notes, asker.notes = asker.notes, []
        return notes

    def devices(self) -> dict[tuple[str, str], Peer | Asker]:
        """The kiosks that are connected, or have asked not long ago."""
        late = asyncio.get_running_loop().time() - _ASKED_WITHIN
        self.askers = {key: one for key, one in self.askers.items() if one.seen >= late}
        lasting = {key: peer for key, peer in self.connections.items() if isinstance(key, tuple)}
        return self.askers | lasting

    def remember(self, who: Who) -> None:
        """Keep that a kiosk of this site has been here."""
        site = (who.org, who.site)
        if site not in self.sites:
            self.sites.add(site)
            self.writer.put(Job(lambda log: log.welcome(*site), lambda _: None))

    def leave(self, peer: Peer) -> None:
        """Forget a connection that has ended."""
        if (known := self._visits.pop(peer, None)) is not None:
            key, visit = known
            self.access.gate.leave(visit)
            if self.connections.get(key) is peer:
                del self.connections[key]

    def transports(self) -> dict[str, int]:
        """How many are connected by each transport."""
        found = {"websocket": 0, "sse": 0, "polling": 0}
        for peer in self.connections.values():
            found[peer.transport] += 1
        return found


def _is_device(who: Who) -> bool:
    return bool(who.device) and not who.viewer
