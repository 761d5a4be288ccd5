"""A kiosk's machine: the real store and line, with turns for their threads."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import uuid
from collections import Counter
from typing import TYPE_CHECKING, Any

from websockets.datastructures import Headers
from websockets.exceptions import InvalidStatus
from websockets.http11 import Response

from kiosk.devicekey import FILE, DeviceKeys
from kiosk.incarnation import settle
from kiosk.model import LinkState, LinkStatus, decode_envelope
from kiosk.simulation.disk import Death, Picture
from kiosk.simulation.machines import ORG, SITE, TOKEN, ZONE, Machine
from kiosk.simulation.network import Weather
from kiosk.simulation.papers import Papers
from kiosk.simulation.pipes import SimulatedRungs, TcpConnection
from kiosk.simulation.sockets import WebSocket
from kiosk.store import Store
from kiosk.storefile import connect
from sync.client import Pacing, SyncClient
from sync.client.pacing import Backoff

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path
    from random import Random

    from kiosk.simulation.habits import Habits
    from kiosk.simulation.hubs import HubMachine
    from kiosk.simulation.loop import VirtualLoop
    from kiosk.simulation.network import Connection

_URL = "ws://127.0.0.1"
_DAY = 86_400.0  # seconds
_SHORT_LIFE = (0.5, 12.0)  # seconds a WebSocket has where a proxy cuts it


def pacing(habits: Habits) -> Pacing:
    """As the real one, but looked at less often: idle glances would be most of the work."""
    sizes = {"batch": habits.batch, "pages": habits.pages, "slice": habits.slice}
    return Pacing(sweep=20.0, ping=25.0, **sizes)


class SimulatedStore(Store):
    """A store whose writer has a turn on the loop instead of a thread."""

    host: Machine

    def _entropy(self, size: int) -> bytes:
        return self.host.entropy(size)

    def _opened(self) -> sqlite3.Connection:
        connection: sqlite3.Connection = self.host.disk.wired(super()._opened())
        return connection

    def _start(self) -> None:
        self._asked = False
        self._disk = self.host.disk

    def _halt(self) -> None:
        """There is no thread to end."""

    def _submit(self, *given: Any) -> Any:  # noqa: ANN401  as the real one
        future = super()._submit(*given)
        self._ask()
        return future

    def _ask(self) -> None:
        if not self._asked:
            self._asked = True
            self.host.soon(self._disk, self._work)

    def _work(self) -> None:
        self._asked = False
        job = self._jobs.get_nowait()[2]
        if job is not None:
            self._perform(job)
        if not self._jobs.empty():
            self._ask()


class SimulatedClient(SyncClient):
    """A line over the simulated network."""

    def dial(self, kiosk: Kiosk) -> None:
        """Begin."""
        self._backoff = Backoff(self._pacing, kiosk.chance.uniform)
        self._kiosk = kiosk
        rungs = type("HostedRungs", (SimulatedRungs,), {"kiosk": kiosk})
        self._rungs = rungs(self._pacing, None, self._connect)
        kiosk.life.begin(self._main(threading.Event()), "line")

    @property
    def rung(self) -> int:
        """How far down the ladder it stands."""
        return self._ladder.rung

    def _refresh_soon(self) -> None:
        """Nobody looks at this kiosk's pill, and counting for it would be a tenth of all work."""

    def _connect(self, *_: Any, **__: Any) -> Any:  # noqa: ANN401  whatever the address is
        return self._kiosk.connected()


class Kiosk(Machine):
    """A door: a store, a line, and whoever stands in front of it."""

    def __init__(
        self,
        name: str,
        folder: Path,
        loop: VirtualLoop,
        chance: Random,
        hub: HubMachine,
        habits: Habits,
    ) -> None:
        super().__init__(name, folder, loop, chance)
        self.weather = Weather(chance)
        self.connections: list[Connection] = []
        self.habits = habits
        self.pacing = pacing(habits)
        self.address = f"192.0.2.{sum(name.encode()) % 200 + 1}"
        self.status = LinkStatus()
        self.ways: Counter[str] = Counter()  # how often it came to be connected by which way
        self.hub = hub
        self.store: Store
        self.client: SimulatedClient
        self.papers: Papers | None = None
        self.invited = False  # staff want it back, and will type a code
        self.on_code: Callable[[str], None] = lambda _: None

    def start(self, picture: Picture) -> None:
        """Switch on, with these files."""
        self.wake(picture)
        machine = self.name if self.habits.machines else ""
        self._settle(machine)
        kind: type[Store] = type("HostedStore", (SimulatedStore,), {"host": self})
        self.store = kind.open(
            self.disk.path, org=ORG, site=SITE, clock=self.clock, zone=ZONE, machine=machine
        )
        if self.habits.keep is not None:
            self.store.keep_days = self.habits.keep / _DAY
        self.opened()
        self.papers = Papers(self) if self.habits.papers else None
        self.status = LinkStatus()
        self.client = SimulatedClient(
            self.store, _URL, self.token, self.clock, SITE, self.name, self._tell, self.pacing
        )
        self.store.on_commit(lambda _: self.client.wake())
        self.client.dial(self)
        if self.papers is not None:
            self.life.begin(self.papers.look_after(), "papers")

    def token(self) -> str:
        """What is shown to the hub."""
        return TOKEN if self.papers is None else self.papers.token

    @property
    def signed_out(self) -> bool:
        """Whether somebody must do something about its token."""
        return self.status.state is LinkState.SIGN_IN

    # -- the way to the hub ------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def connected(self) -> AsyncIterator[Any]:
        """A WebSocket to the hub; raises `OSError` or `InvalidStatus` if there is none."""
        await self._reached()
        if self.weather.proxy in ("refuses", "buffers"):
            raise InvalidStatus(Response(502, "Bad Gateway", Headers()))
        if self.weather.proxy == "hangs":
            await asyncio.sleep(self.pacing.connect)
            raise TimeoutError
        connection = WebSocket(self.loop, self.weather, self.token(), self.address)
        self._keep(connection)
        self.hub.accept(connection)
        if self.weather.proxy == "cuts":
            self.loop.call_later(self.chance.uniform(*_SHORT_LIFE), connection.cut)
        yield connection.kiosk

    async def dialled(self, factory: Callable[[], Any]) -> Any:  # noqa: ANN401  its protocol
        """A TCP connection to the hub for plain HTTP; raises `OSError` if there is none."""
        await self._reached()
        lives = self.life.context, self.hub.life.context
        connection = TcpConnection(self.loop, self.weather, self.address, *lives)
        await self.hub.serve(connection)
        self._keep(connection)
        protocol = factory()
        connection.near.connect(protocol)
        return protocol

    async def _reached(self) -> None:
        await asyncio.sleep(self.weather.delay())
        if self.weather.down:
            await asyncio.sleep(self.chance.choice((0.1, self.pacing.connect)))
            raise TimeoutError
        if not self.hub.up:
            raise ConnectionRefusedError(111, "Connection refused")

    def _keep(self, connection: Connection) -> None:
        self.connections = [one for one in self.connections if not one.over] + [connection]

    # -- the rest ----------------------------------------------------------------------------------

    def taken(self) -> list[tuple[str, str]]:
        """Own events that have left the outbox: id, and the epoch of the hub that took them."""
        rows = self.read(
            "SELECT e.id, s.envelope FROM event e JOIN stamp s ON s.seq = e.seq"
            " WHERE e.device = ? AND s.envelope IS NOT NULL",
            self.store.identity.device,
        )
        return [(id_, decode_envelope(envelope).epoch) for id_, envelope in rows]

    def _settle(self, machine: str) -> None:
        """As the store does when it is opened; but a new incarnation begins by our chance."""
        keys = DeviceKeys(self.disk.path.with_name(FILE))
        with contextlib.closing(connect(self.disk.path)) as db:
            if db.execute("SELECT count(*) FROM meta").fetchone()[0]:
                settle(db, keys, machine, lambda: uuid.UUID(bytes=self.entropy(16)), self.clock)

    def _tell(self, status: LinkStatus) -> None:
        if status.transport != self.status.transport and status.transport:
            self.ways[status.transport] += 1
        self.status = status

    def fall(self) -> None:
        if self.up and self.disk.burned is Death.POWER:
            for connection in self.connections:
                connection.vanish()
        super().fall()

    def close(self) -> None:
        self.store.close()
        super().close()
