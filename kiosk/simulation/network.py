"""The line between a kiosk and the hub: in order but late, sometimes silent, often cut.

A connection has two ends, which `kiosk.simulation.sockets` makes look like WebSockets, and
`kiosk.simulation.pipes` like the TCP connections of plain HTTP.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from random import Random

    from kiosk.simulation.loop import VirtualLoop

_NOTICE = (20.0, 40.0)  # seconds until unanswered pings end a connection
_APART = 1e-5  # seconds; two timers at one instant have no order


class Ended:
    """The end of a connection as it travels; `code` is None if it was just lost."""

    def __init__(self, code: int | None = None, reason: str = "") -> None:
        self.code, self.reason = code, reason


class Echo:
    """A ping on its way there and back; `answered` is told when it has come home."""

    def __init__(self, answered: asyncio.Future[float]) -> None:
        self.answered = answered


Cargo: TypeAlias = bytes | Ended | Echo


class End(Protocol):
    """One end of a connection."""

    def arrive(self, cargo: Cargo) -> None:
        """Something has come from the other end."""

    def lose(self) -> None:
        """Notice that the connection is no more."""

    def flowed(self) -> None:
        """What was held up is under way."""


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
    """How a line is now: its delays, and whether it lets anything through at all.

    `proxy` is what stands in between: "" for nothing, or one of `PROXIES`.
    """

    PROXIES = ("refuses", "hangs", "cuts", "buffers")

    def __init__(self, chance: Random) -> None:
        self.chance = chance
        self.clear()

    def clear(self) -> None:
        """Up, and as quick as an ordinary line."""
        self.down = False
        self.mean = 0.02  # seconds one way
        self.proxy = ""
        self.gaps = 0

    def delay(self) -> float:
        """Seconds that something is under way."""
        return 0.001 + self.chance.expovariate(1.0 / self.mean)


class Connection:
    """Both directions of one connection; `join` gives it its ends."""

    def __init__(self, loop: VirtualLoop, weather: Weather, notice: float = 1.0) -> None:
        """`notice` is how many times as long as by pings it takes until a silence is found out."""
        self.loop = loop
        self.weather = weather
        self.over = False
        self._notice = notice
        self._chance = weather.chance
        self.up = Channel(loop, weather, self._at_hub)
        self.down = Channel(loop, weather, self._at_kiosk)
        self._kiosk: End
        self._hub: End

    def join(self, kiosk: End, hub: End) -> None:
        """Set the two ends."""
        self._kiosk, self._hub = kiosk, hub

    def cut(self, *, lose: bool = True) -> None:
        """Both ends notice, each in its own time; what is under way is lost, or still arrives."""
        if lose:
            self.up.drop()
            self.down.drop()
        self._silence()
        self.loop.call_later(self._chance.random() * 2, self._kiosk.lose)
        self.loop.call_later(self._chance.random() * 2, self._hub.lose)

    def vanish(self) -> None:
        """Lose the kiosk with its power: the hub is told nothing."""
        self.over = True
        self.up.drop()
        self._silence()
        self.loop.call_later(self._noticed(), self._hub.lose)

    def stall(self, seconds: float, *, up: bool, down: bool) -> None:
        """Let nothing through for a while; pings find it out if it lasts."""
        for channel in [self.up] * up + [self.down] * down:
            channel.stall()
        noticed = self._noticed()
        if seconds > noticed:
            self.loop.call_later(noticed, self._kiosk.lose)
            # A frame with its end is still on its way somewhere: it may yet come after all.
            self.loop.call_later(self._noticed(), self._hub.lose)
        self.loop.call_later(seconds, self._flow)

    def _noticed(self) -> float:
        return self._notice * self._chance.uniform(*_NOTICE)

    def _flow(self) -> None:
        self.up.flow()
        self.down.flow()
        self._kiosk.flowed()
        self._hub.flowed()

    def _silence(self) -> None:
        self.up.stall()
        self.down.stall()

    def _at_hub(self, cargo: Cargo) -> None:
        self._hub.arrive(cargo)

    def _at_kiosk(self, cargo: Cargo) -> None:
        self._kiosk.arrive(cargo)


def _size(cargo: Cargo) -> int:
    return len(cargo) if isinstance(cargo, bytes) else 0
