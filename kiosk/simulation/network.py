"""The line between a kiosk and the hub: in order but late, sometimes silent, often cut.

Each end looks like what the programs use: a `websockets` client connection on the kiosk's side, an
aiohttp WebSocket with its request and transport on the hub's.
"""

from __future__ import annotations

import asyncio
from collections import deque
from types import SimpleNamespace
from typing import TYPE_CHECKING, TypeAlias

from aiohttp import WSMessage, WSMsgType
from websockets.exceptions import ConnectionClosedError
from websockets.frames import Close

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from kiosk.simulation.loop import VirtualLoop

_CLOSED_AWAY = 1006  # RFC 6455, 7.4.1: the connection was lost without a close frame
_NOTICE = (20.0, 40.0)  # seconds until unanswered pings end a connection
_APART = 1e-5  # seconds; two timers at one instant have no order
_HIGH_WATER = 64 * 1024  # bytes unsent below which a writer that waits goes on


class Ended:
    """The end of a connection as it travels; `code` is None if it was just lost."""

    def __init__(self, code: int | None = None, reason: str = "") -> None:
        self.code, self.reason = code, reason


Cargo: TypeAlias = bytes | Ended


class Channel:
    """One direction of a connection."""

    def __init__(
        self, loop: VirtualLoop, weather: Weather, arrive: Callable[[Cargo], None]
    ) -> None:
        self._loop = loop
        self._weather = weather
        self._arrive = arrive
        self._held: deque[Cargo] = deque()
        self._flying: dict[int, asyncio.TimerHandle] = {}
        self._number = 0
        self._last = 0.0
        self.stalled = False
        self.unsent = 0

    def put(self, cargo: Cargo) -> None:
        """Send; it arrives later, unless the channel is dropped."""
        if self.stalled:
            self._held.append(cargo)
            self.unsent += _size(cargo)
            return
        self._number += 1
        number = self._number
        self._last = max(self._last + _APART, self._loop.time() + self._weather.delay())
        self._flying[number] = self._loop.call_at(self._last, self._land, number, cargo)

    def stall(self) -> None:
        """Hold what is sent from now on."""
        self.stalled = True

    def flow(self) -> None:
        """Let what was held go."""
        self.stalled = False
        held, self._held, self.unsent = self._held, deque(), 0
        for cargo in held:
            self.put(cargo)

    def drop(self) -> None:
        """Forget what is under way."""
        for handle in self._flying.values():
            handle.cancel()
        self._flying.clear()
        self._held.clear()
        self.unsent = 0

    def _land(self, number: int, cargo: Cargo) -> None:
        del self._flying[number]
        self._arrive(cargo)


class Weather:
    """How a line is now: its delays, and whether it lets anything through at all."""

    def __init__(self, chance: Random) -> None:
        self.chance = chance
        self.clear()

    def clear(self) -> None:
        """Up, and as quick as an ordinary line."""
        self.down = False
        self.mean = 0.02  # seconds one way

    def delay(self) -> float:
        """Seconds that something is under way."""
        return 0.001 + self.chance.expovariate(1.0 / self.mean)


class Connection:
    """Both directions and both ends of one connection."""

    def __init__(self, loop: VirtualLoop, weather: Weather, token: str) -> None:
        self._loop = loop
        self._chance = weather.chance
        self.up = Channel(loop, weather, self._at_hub)
        self.down = Channel(loop, weather, self._at_kiosk)
        self.kiosk = KioskEnd(self)
        self.hub = HubEnd(self, token)
        self.over = False

    def cut(self, *, lose: bool = True) -> None:
        """Both ends notice, each in its own time; what is under way is lost, or still arrives."""
        if lose:
            self.up.drop()
            self.down.drop()
        self._silence()
        self._loop.call_later(self._chance.random() * 2, self.kiosk.lose)
        self._loop.call_later(self._chance.random() * 2, self.hub.lose)

    def vanish(self) -> None:
        """Lose the kiosk with its power: the hub is told nothing."""
        self.over = True
        self.up.drop()
        self._silence()
        self._loop.call_later(self._chance.uniform(*_NOTICE), self.hub.lose)

    def stall(self, seconds: float, *, up: bool, down: bool) -> None:
        """Let nothing through for a while; pings find it out if it lasts."""
        for channel in [self.up] * up + [self.down] * down:
            channel.stall()
        noticed = self._chance.uniform(*_NOTICE)
        if seconds > noticed:
            self._loop.call_later(noticed, self.kiosk.lose)
            # A frame with its end is still on its way somewhere: it may yet come after all.
            self._loop.call_later(self._chance.uniform(*_NOTICE), self.hub.lose)
        self._loop.call_later(seconds, self._flow)

    def _flow(self) -> None:
        self.up.flow()
        self.down.flow()

    def _silence(self) -> None:
        self.up.stall()
        self.down.stall()

    def _at_hub(self, cargo: Cargo) -> None:
        self.hub.arrive(cargo)

    def _at_kiosk(self, cargo: Cargo) -> None:
        self.kiosk.arrive(cargo)


class KioskEnd:
    """What the line uses of `websockets.asyncio.client.ClientConnection`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._come: asyncio.Queue[Cargo] = asyncio.Queue()
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

    def arrive(self, cargo: Cargo) -> None:
        if self._end is not None:
            return
        if isinstance(cargo, Ended):
            self._end = cargo
        self._come.put_nowait(cargo)

    def lose(self) -> None:
        """Notice that the connection is no more."""
        self.arrive(Ended())

    def abort(self) -> None:
        """Close; what was sent may still arrive."""
        if not self._connection.over:
            self._connection.over = True
            self._end = self._end or Ended()
            self._connection.up.put(Ended(_CLOSED_AWAY))


class HubEnd:
    """What the hub uses of aiohttp's request, WebSocket, transport and stream writer."""

    def __init__(self, connection: Connection, token: str) -> None:
        self._connection = connection
        self._come: asyncio.Queue[Cargo] = asyncio.Queue()
        self._closing = False
        self.headers = {"Authorization": f"Bearer {token}"}
        self.remote = "kiosk"
        self.transport = self
        self.closed = False

    # -- the WebSocket -----------------------------------------------------------------------------

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
        if not self.closed:
            self._come.put_nowait(cargo)

    def lose(self) -> None:
        """Notice that the connection is no more."""
        if not self._closing:
            self._closing = True
            self._come.put_nowait(Ended())


def _payload(frame: bytes) -> bytes:
    """The payload of one unmasked, unfragmented frame (RFC 6455, 5.2)."""
    head = {126: 4, 127: 10}.get(frame[1], 2)
    return frame[head:]


def _closed(end: Ended) -> ConnectionClosedError:
    received = None if end.code is None else Close(end.code, end.reason)
    return ConnectionClosedError(received, None)


def _size(cargo: Cargo) -> int:
    return len(cargo) if isinstance(cargo, bytes) else 0
