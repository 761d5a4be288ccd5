"""The hub's first look at a connection: a plain WebSocket upgrade, or for its HTTP server."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from sync.hub.upgrades import upgrade_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from sync.hub.upgrades import Upgrade


class Arrivals:
    """Makes the protocol of each new connection; keeps those that have not said anything yet."""

    def __init__(
        self,
        http: Callable[[], asyncio.Protocol],
        take: Callable[[asyncio.Transport, Upgrade], bool],
        crowded: Callable[[], bool],
        within: float,
    ) -> None:
        """`take` takes an upgraded connection over, or returns False: then it is for `http`, too.

        While it is `crowded`, whoever comes is not even listened to. `within` so many seconds, the
        loop's, they must have begun to speak.
        """
        self.http = http
        self.take = take
        self.crowded = crowded
        self.silent: dict[Arrival, float] = {}
        self._within = within

    def __call__(self) -> Arrival:
        """The protocol of one more connection."""
        return Arrival(self)

    def tick(self, now: float) -> None:
        """Hang up on those that have said nothing for too long."""
        for arrival, since in list(self.silent.items()):
            if now - since < self._within:
                return  # those after it came later
            arrival.transport.abort()

    def close(self) -> None:
        """Hang up on all that have said nothing."""
        for arrival in list(self.silent):
            arrival.transport.abort()


class Arrival(asyncio.Protocol):
    """A connection until its first words, which say whose it is to be."""

    __slots__ = ("_house", "transport")

    transport: asyncio.Transport

    def __init__(self, house: Arrivals) -> None:
        self._house = house

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's say so of themselves only
        if self._house.crowded():
            self.transport.abort()
        else:
            self._house.silent[self] = asyncio.get_running_loop().time()

    def data_received(self, data: bytes) -> None:
        self._house.silent.pop(self, None)
        upgrade = upgrade_in(data)
        if upgrade is None or not self._house.take(self.transport, upgrade):
            http = self._house.http()
            self.transport.set_protocol(http)
            http.connection_made(self.transport)
            http.data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._house.silent.pop(self, None)
