"""Plain HTTP over the simulated network: aiohttp's own client and server, byte by byte.

Only the TCP connection between the two is replaced. What a proxy does to answers that never end is
done here, too.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import aiohttp

from kiosk.simulation.network import Cargo, Connection, Ended
from sync.client.listening import PollingWire, SseWire
from sync.client.rungs import Rungs

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable
    from contextvars import Context

    from aiohttp.client_proto import ResponseHandler

    from kiosk.simulation.doors import Kiosk
    from kiosk.simulation.loop import VirtualLoop
    from kiosk.simulation.network import Channel, Weather

_HIGH_WATER = 64 * 1024  # bytes unsent above which a protocol is asked to pause
_TCP_NOTICE = 15.0  # times as long as by pings until an unanswered TCP connection is given up
_ENDLESS = b"Content-Type: text/event-stream"


class TcpConnection(Connection):
    """Both ends of one connection; each calls its protocol in the life it was made in."""

    def __init__(
        self, loop: VirtualLoop, weather: Weather, address: str, kiosk: Context, hub: Context
    ) -> None:
        super().__init__(loop, weather, _TCP_NOTICE)
        self.near = Pipe(self, self.up, ("192.0.2.254", 80), kiosk)
        self.far = Pipe(self, self.down, (address, 50_000), hub)
        self._swallows = False
        self.join(self.near, self.far)

    def _at_kiosk(self, cargo: Cargo) -> None:
        if isinstance(cargo, bytes) and self.weather.proxy == "buffers":
            # It hands on what is whole only, and an event stream never is.
            self._swallows |= _ENDLESS in cargo
        if not (self._swallows and isinstance(cargo, bytes)):
            super()._at_kiosk(cargo)


class Pipe(asyncio.Transport):
    """One end of it, as asyncio's protocols know it."""

    def __init__(
        self, connection: TcpConnection, out: Channel, peer: tuple[str, int], life: Context
    ) -> None:
        super().__init__({"peername": peer})
        self._connection = connection
        self._out = out
        self._life = life
        self._closing = self._lost = self._full = self._paused = False
        self._waiting: list[bytes] = []
        self._protocol: asyncio.Protocol

    def connect(self, protocol: asyncio.Protocol) -> None:
        """Tell a protocol that it is connected."""
        self._protocol = protocol
        self._call(protocol.connection_made, self)

    # -- as a transport ----------------------------------------------------------------------------

    def write(self, data: Any) -> None:  # noqa: ANN401  anything like bytes
        if self._closing or not data:
            return
        self._out.put(bytes(data))
        if not self._full and self._out.unsent > _HIGH_WATER:
            self._full = True
            self._call(self._protocol.pause_writing)

    def get_write_buffer_size(self) -> int:
        return self._out.unsent

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        """Send what is to be sent, and then the end."""
        if not self._closing:
            self._closing = self._connection.over = True
            self._out.put(Ended())
            self._connection.loop.call_soon(self._end, None)

    def abort(self) -> None:
        if not self._closing:
            self._out.drop()
            self.close()

    def pause_reading(self) -> None:
        self._paused = True

    def resume_reading(self) -> None:
        self._paused = False
        waiting, self._waiting = self._waiting, []
        for data in waiting:
            self.arrive(data)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        assert isinstance(protocol, asyncio.Protocol)  # noqa: S101  aiohttp has no others
        self._protocol = protocol

    def get_protocol(self) -> asyncio.Protocol:
        return self._protocol

    # -- as an end ---------------------------------------------------------------------------------

    def arrive(self, cargo: Cargo) -> None:
        if isinstance(cargo, Ended):
            self._closing = self._connection.over = True
            self._end(None)
        elif isinstance(cargo, bytes) and not self._lost:
            if self._paused:
                self._waiting.append(cargo)
            else:
                self._call(self._protocol.data_received, cargo)

    def lose(self) -> None:
        self._closing = self._connection.over = True
        self._end(ConnectionResetError(104, "Connection reset by peer"))

    def flowed(self) -> None:
        if self._full and self._out.unsent <= _HIGH_WATER:
            self._full = False
            self._call(self._protocol.resume_writing)

    def _end(self, error: Exception | None) -> None:
        if not self._lost:
            self._lost = True
            if self._full:  # whoever waits to write must hear of it
                self._full = False
                self._call(self._protocol.resume_writing)
            self._call(self._protocol.connection_lost, error)

    def _call(self, what: Callable[..., object], *args: object) -> None:
        # As part of the life that the protocol belongs to, whoever's bytes have come.
        self._life.copy().run(what, *args)


class Connector(aiohttp.BaseConnector):
    """Connects over the simulated network."""

    def __init__(self, dial: Callable[[Callable[[], Any]], Awaitable[Any]]) -> None:
        super().__init__()
        self._dial = dial

    async def _create_connection(self, *_: Any, **__: Any) -> ResponseHandler:  # noqa: ANN401  what is asked, and how long it may take
        protocol: ResponseHandler = await self._dial(self._factory)
        return protocol


class SimulatedRungs(Rungs):
    """The real ones; only what they connect by is the simulation's."""

    kiosk: Kiosk

    def _plain(self, transport: str, url: str, token: str) -> Any:  # noqa: ANN401, ARG002  as the real one
        kind = SimulatedSse if transport == "sse" else SimulatedPolling
        return kind(self.kiosk, token)


class _Hosted:
    """What both ways to listen have of their kiosk."""

    def __init__(self, kiosk: Kiosk, token: str) -> None:
        self._kiosk = kiosk
        self._draw = kiosk.chance.uniform
        super().__init__("http://127.0.0.1", token, kiosk.pacing)  # type: ignore[call-arg]

    def _connector(self, _: ssl.SSLContext | None) -> aiohttp.BaseConnector:
        return Connector(self._kiosk.dialled)


class SimulatedSse(_Hosted, SseWire):
    """An event stream over the simulated network."""


class SimulatedPolling(_Hosted, PollingWire):
    """Polling over the simulated network."""
