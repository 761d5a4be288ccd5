"""The two kinds of machine: a kiosk with its store and line, and the hub; alive or dead."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from typing import TYPE_CHECKING, Any

from kiosk.model import decode_envelope
from kiosk.simulation.clock import SimulatedClock
from kiosk.simulation.disk import Death, Disk, Killed, Picture
from kiosk.simulation.loop import Life
from kiosk.simulation.network import Connection, Weather
from kiosk.store import Store
from sync.client import Pacing, SyncClient
from sync.client.pacing import Backoff
from sync.hub.connection import Connection as Conversation
from sync.hub.log import Log
from sync.hub.server import Hub
from sync.hub.writer import Job, Writer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path
    from random import Random

    from kiosk.simulation.loop import VirtualLoop

ORG, SITE, ZONE = "acme", "north", "Europe/London"
TOKEN = "a-token-of-the-simulation"  # noqa: S105  of no real hub
# As the real ones, but looked at less often: a day of idle glances would be most of the work.
PACING = Pacing(sweep=15.0)
POSITION_EVERY = 20.0  # seconds
_FOR_EVER = 1e9  # seconds


class Machine:
    """A computer with one disk, one clock and one program that can die and be started again."""

    def __init__(self, name: str, folder: Path, loop: VirtualLoop, chance: Random) -> None:
        self.name = name
        self.chance = chance
        self.loop = loop
        self.clock = SimulatedClock(loop, f"{name}-boot-0")
        self.lives = 0
        self.life = Life(loop, name)
        self._folder = folder
        self.disk = self.new_disk()
        self.up = False
        self._open = False
        self.died: Callable[[Machine, Death], None] = lambda _, __: None

    def new_disk(self) -> Disk:
        path = self._folder / f"{self.name}-{self.lives}" / "data.db"
        return Disk(path, self.chance)

    def wake(self, picture: Picture) -> None:
        """Give the next life its files."""
        self.lives += 1
        self.life = Life(self.loop, f"{self.name}-{self.lives}")
        self.disk = self.new_disk()
        picture.put(self.disk.path)
        self.up = True

    def opened(self) -> None:
        """There are open files to be closed in the end."""
        self._open = True

    def kill(self, how: Death, *, heard: bool = True) -> None:
        """End the program now; nobody switches it on again if it is not `heard`."""
        died = self.died
        if not heard:
            self.died = lambda _, __: None
        self.disk.die(how)
        self.fall()
        self.died = died

    def fall(self) -> None:
        """What a death does besides; the disk has burned already."""
        if self.up:
            self.up = False
            self.life.end()
            self.died(self, self.disk.burned)

    def soon(self, disk: Disk, work: Callable[[], None]) -> None:
        """Let a thread do this, in a moment."""
        self.loop.call_later(self.loop.turn(), self.turn, disk, work)

    def turn(self, disk: Disk, work: Callable[[], None]) -> None:
        """Do a thread's work, unless the program it was part of has died; it may die of it."""
        if self.up and disk is self.disk and disk.left is None:
            try:
                work()
            except Killed:
                # The other threads go on for a moment, and may still say what they should not.
                self.loop.call_later(self.loop.turn(), self.fall)

    def bury(self) -> None:
        """Close the files of a dead program, once."""
        if self._open:
            self._open = False
            self.close()

    def close(self) -> None:
        """Close the files."""
        self.disk.bury()

    def entropy(self, size: int) -> bytes:
        """Random bytes, of this machine's own share of chance."""
        return self.chance.randbytes(size)


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
    """A line over a simulated network, which carries nothing but WebSockets."""

    _transports = ("websocket",)

    def dial(self, kiosk: Kiosk) -> None:
        self._backoff = Backoff(PACING, kiosk.chance.uniform)
        self._kiosk = kiosk
        kiosk.life.begin(self._main(threading.Event()), "line")

    def _refresh_soon(self) -> None:
        """Nobody looks at this kiosk's pill, and counting for it would be a tenth of all work."""

    def _connect(self, *_: Any, **__: Any) -> Any:  # noqa: ANN401  whatever the address is
        return self._kiosk.connected()


class Kiosk(Machine):
    """A door: a store, a line, and whoever stands in front of it."""

    def __init__(
        self, name: str, folder: Path, loop: VirtualLoop, chance: Random, hub: HubMachine
    ) -> None:
        super().__init__(name, folder, loop, chance)
        self.weather = Weather(chance)
        self.connections: list[Connection] = []
        self._hub = hub
        self.store: Store
        self.client: SimulatedClient

    def start(self, picture: Picture) -> None:
        """Switch on, with these files."""
        self.wake(picture)
        kind: type[Store] = type("HostedStore", (SimulatedStore,), {"host": self})
        self.store = kind.open(self.disk.path, org=ORG, site=SITE, clock=self.clock, zone=ZONE)
        self.opened()
        self.client = SimulatedClient(
            self.store, "ws://hub", TOKEN, self.clock, SITE, self.name, lambda _: None, PACING
        )
        self.store.on_commit(lambda _: self.client.wake())
        self.client.dial(self)

    @contextlib.asynccontextmanager
    async def connected(self) -> AsyncIterator[Any]:
        """A connection to the hub; raises `OSError` if there is none to be had."""
        await asyncio.sleep(self.weather.delay())
        if self.weather.down:
            await asyncio.sleep(self.chance.choice((0.1, PACING.connect)))
            raise TimeoutError
        if not self._hub.up:
            raise ConnectionRefusedError(111, "Connection refused")
        connection = Connection(self.loop, self.weather, TOKEN)
        self.connections = [one for one in self.connections if not one.over] + [connection]
        self._hub.accept(connection)
        yield connection.kiosk

    def taken(self) -> list[tuple[str, str]]:
        """Own events that have left the outbox: id, and the epoch of the hub that took them."""
        query = (
            "SELECT e.id, s.envelope FROM event e JOIN stamp s ON s.seq = e.seq"
            " WHERE e.device = ? AND s.envelope IS NOT NULL"
        )
        with contextlib.closing(sqlite3.connect(self.disk.path)) as db:
            rows = db.execute(query, (self.store.identity.device,)).fetchall()
        return [(id_, decode_envelope(envelope).epoch) for id_, envelope in rows]

    def fall(self) -> None:
        if self.up and self.disk.burned is Death.POWER:
            for connection in self.connections:
                connection.vanish()
        super().fall()

    def close(self) -> None:
        self.store.close()
        super().close()


class SimulatedLog(Log):
    """A log on a disk that can fail."""

    host: Machine

    def _entropy(self, size: int) -> bytes:
        return self.host.entropy(size)

    def _opened(self, path: Path) -> sqlite3.Connection:
        connection: sqlite3.Connection = self.host.disk.wired(super()._opened(path))
        return connection


class SimulatedWriter(Writer):
    """A writer that has a turn on the loop instead of a thread."""

    host: Machine

    def put(self, job: Job) -> None:
        super().put(job)
        self._ask()

    def close(self) -> None:
        """There is no thread to end."""

    def _start(self) -> None:
        self._asked = False
        self._disk = self.host.disk

    def _ask(self) -> None:
        if not self._asked:
            self._asked = True
            self.host.soon(self._disk, self._work)

    def _work(self) -> None:
        self._asked = False
        job = self._jobs.get_nowait()
        if job is not None:
            self._write(self._group(job))
        if not self._jobs.empty():
            self._ask()


class SimulatedHub(Hub):
    """A hub that listens on the simulated network."""

    _look_every = 86_400.0  # nobody is paired or shut out there

    async def _listen(self) -> str:
        return "http://hub"

    async def _tick(self) -> None:
        """There are no event streams to be looked at."""

    async def converse(self, end: Any) -> None:  # noqa: ANN401  see `HubEnd`
        await Conversation(self._core, end, end).run()

    def ask(self, job: Job) -> None:
        """Hand the writer a job of the site's office."""
        self._core.writer.put(job)

    def let_go(self) -> None:
        """Close the files of a dead hub."""
        if hasattr(self, "_core"):
            self._core.pages.close()
            self._doors.gate.register.close()
            self._log.close()
            self._lock.close()


class HubMachine(Machine):
    """The hub's computer."""

    def __init__(self, name: str, folder: Path, loop: VirtualLoop, chance: Random) -> None:
        super().__init__(name, folder, loop, chance)
        self.hub: SimulatedHub
        self._ends: list[Connection] = []

    async def start(self, picture: Picture) -> None:
        """Switch on, with these files."""
        self.wake(picture)
        self._ends = []
        kind = type(
            "HostedHub",
            (SimulatedHub,),
            {
                "_log_type": type("HostedLog", (SimulatedLog,), {"host": self}),
                "_writer_type": type("HostedWriter", (SimulatedWriter,), {"host": self}),
            },
        )
        self.hub = kind(
            self.disk.path, TOKEN, "127.0.0.1", 0, self.clock, position_every=POSITION_EVERY
        )
        self.opened()
        starting = self.life.begin(self.hub.start(), "hub")
        await asyncio.wait([starting])
        if not starting.cancelled():  # as it is if the hub dies before it listens
            starting.result()

    def accept(self, connection: Connection) -> None:
        """Somebody has connected."""
        self._ends.append(connection)
        self.life.begin(self.hub.converse(connection.hub), "hub-connection")

    @property
    def epoch(self) -> str:
        """That of the log."""
        with contextlib.closing(sqlite3.connect(self.disk.path)) as db:
            found = db.execute("SELECT value FROM meta WHERE key = 'epoch'").fetchone()
        return str(found[0])

    def held(self) -> set[str]:
        """The ids in the log."""
        with contextlib.closing(sqlite3.connect(self.disk.path)) as db:
            return {row[0] for row in db.execute("SELECT id FROM event")}

    def heads(self) -> dict[str, int]:
        """Where every room ends, on disk."""
        with contextlib.closing(sqlite3.connect(self.disk.path)) as db:
            return dict(db.execute("SELECT name, head FROM room").fetchall())

    def fall(self) -> None:
        if self.up:
            for connection in self._ends:
                if self.disk.burned is Death.POWER:
                    connection.stall(_FOR_EVER, up=True, down=True)
                else:
                    connection.cut(lose=self.chance.random() < 0.5)
        super().fall()

    def close(self) -> None:
        self.hub.let_go()
        super().close()
