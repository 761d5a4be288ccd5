"""A WebSocket between a kiosk and the hub, each end as its program knows it.

On the kiosk's side it is a client connection of `websockets`, on the hub's a WebSocket of aiohttp
with its request and transport.
"""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING

from aiohttp import WSMessage, WSMsgType
from websockets.exceptions import ConnectionClosedError
from websockets.frames import Close

from kiosk.simulation.network import Cargo, Connection, Echo, Ended

if TYPE_CHECKING:
    from kiosk.simulation.loop import VirtualLoop
    from kiosk.simulation.network import Weather

_CLOSED_AWAY = 1006  # RFC 6455, 7.4.1: the connection was lost without a close frame
_HIGH_WATER = 64 * 1024  # bytes unsent below which a writer that waits goes on
_NEWS = b'{"type":"events"'


class WebSocket(Connection):
    """Both ends of one WebSocket."""

    def __init__(self, loop: VirtualLoop, weather: Weather, token: str, address: str) -> None:
        super().__init__(loop, weather)
        self.kiosk = KioskEnd(self)
        self.hub = HubEnd(self, token, address)
        self.join(self.kiosk, self.hub)


class KioskEnd:
    """What the line uses of `websockets.asyncio.client.ClientConnection`."""

    def __init__(self, connection: WebSocket) -> None:
        self._connection = connection
        self._come: asyncio.Queue[bytes | Ended] = asyncio.Queue()
        self._end: Ended | None = None
        self.transport = SimpleNamespace(abort=self.abort)

    async def send(self, data: bytes, *, text: bool) -> None:  # noqa: ARG002  as websockets has it
        if self._end is not None:
            raise _closed(self._end)
        self._connection.up.put(data)

    async def recv(self, *, decode: bool) -> bytes:  # noqa: ARG002  as websockets has it
        if self._end is not None and self._come.empty():
            raise _closed(self._end)
        cargo = await self._come.get()
        if isinstance(cargo, Ended):
            raise _closed(cargo)
        return cargo

    async def ping(self) -> asyncio.Future[float]:
        answered: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._connection.up.put(Echo(answered))
        return answered

    def arrive(self, cargo: Cargo) -> None:
        if self._end is not None:
            return
        if isinstance(cargo, Echo):
            if not cargo.answered.done():
                cargo.answered.set_result(0.0)
            return
        if isinstance(cargo, Ended):
            self._end = cargo
        elif self._connection.weather.gaps and cargo.startswith(_NEWS):
            # Somebody between the log and the kiosk has lost it, and nobody hears of that.
            self._connection.weather.gaps -= 1
            return
        self._come.put_nowait(cargo)

    def lose(self) -> None:
        self.arrive(Ended())

    def flowed(self) -> None:
        """Nobody waits here to send."""

    def abort(self) -> None:
        """Close; what was sent may still arrive."""
        if not self._connection.over:
            self._connection.over = True
            self._end = self._end or Ended()
            self._connection.up.put(Ended(_CLOSED_AWAY))


class HubEnd:
    """What the hub uses of aiohttp's request, WebSocket, transport and stream writer."""

    def __init__(self, connection: WebSocket, token: str, address: str) -> None:
        self._connection = connection
        self._come: asyncio.Queue[bytes | Ended] = asyncio.Queue()
        self._closing = False
        self.headers = {"Authorization": f"Bearer {token}"}
        self.remote = address
        self.transport = self
        self.closed = False

    # -- the WebSocket -----------------------------------------------------------------------------

    @property
    def unread(self) -> bool:
        """Whether `receive` has something to return at once."""
        return self.closed or not self._come.empty()

    async def receive(self) -> WSMessage:
        cargo = Ended() if self.closed and self._come.empty() else await self._come.get()
        if isinstance(cargo, Ended):
            self.closed = self._closing = True
            return WSMessage(WSMsgType.CLOSED, None, None)
        return WSMessage(WSMsgType.TEXT, cargo, None)

    async def close(self, *, code: int = 1000, message: bytes = b"", drain: bool = True) -> bool:  # noqa: ARG002  as aiohttp has it
        if self.closed:
            return False
        self.closed = self._closing = True
        self._connection.down.put(Ended(code, message.decode()))
        self._come.put_nowait(Ended())
        return True

    async def send_str(self, data: str) -> None:
        self._connection.down.put(data.encode())

    # -- the transport -----------------------------------------------------------------------------

    def write(self, frame: bytes) -> None:
        if not self._closing:
            self._connection.down.put(_payload(frame))

    def is_closing(self) -> bool:
        return self._closing

    def get_write_buffer_size(self) -> int:
        return self._connection.down.unsent

    def abort(self) -> None:
        self.lose()

    async def drain(self) -> None:
        while self._connection.down.unsent > _HIGH_WATER and not self._closing:  # noqa: ASYNC110  virtual time
            await asyncio.sleep(0.5)

    # -- the line ----------------------------------------------------------------------------------

    def arrive(self, cargo: Cargo) -> None:
        if isinstance(cargo, Echo):
            self._connection.down.put(cargo)
        elif not self.closed:
            self._come.put_nowait(cargo)

    def lose(self) -> None:
        if not self._closing:
            self._closing = True
            self._come.put_nowait(Ended())

    def flowed(self) -> None:
        """`drain` looks by itself."""


def _payload(frame: bytes) -> bytes:
    """The payload of one unmasked, unfragmented frame (RFC 6455, 5.2)."""
    head = {126: 4, 127: 10}.get(frame[1], 2)
    return frame[head:]


def _closed(end: Ended) -> ConnectionClosedError:
    received = None if end.code is None else Close(end.code, end.reason)
    return ConnectionClosedError(received, None)
