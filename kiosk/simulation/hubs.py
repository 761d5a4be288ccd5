"""The hub's machine: the real hub, with turns for its threads and the simulated network."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from kiosk.clock import NS
from kiosk.simulation.disk import Death, Picture
from kiosk.simulation.machines import TOKEN, Machine
from sync.hub.auth.codes import digest, new_code, plain
from sync.hub.auth.grants import Role
from sync.hub.auth.keys import hub_keys
from sync.hub.auth.register import Register, Ticket, register_path
from sync.hub.connection import Connection as Conversation
from sync.hub.judge import trace
from sync.hub.log import Log
from sync.hub.server import Hub
from sync.hub.streams import Stream
from sync.hub.writer import Job, Writer

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path
    from random import Random

    from aiohttp import web

    from kiosk.simulation.habits import Habits
    from kiosk.simulation.loop import VirtualLoop
    from kiosk.simulation.network import Connection
    from kiosk.simulation.pipes import TcpConnection
    from kiosk.simulation.sockets import WebSocket
    from sync.hub.transaction import Accepted

POSITION_EVERY = 20.0  # seconds; as the real one, but less often
_LOOK_EVERY = 10.0  # seconds between two looks at the register, where tokens are used
_TICK = 5.0  # seconds between two looks at the event streams
_CODE_LASTS = 600  # seconds
_FOR_EVER = 1e9  # seconds


class SimulatedLog(Log):
    """A log on a disk that can fail."""

    host: HubMachine

    def commit(self) -> list[Accepted]:
        ids = list(self._now.ids)
        accepted = super().commit()
        self.host.accepted |= dict.fromkeys(ids, self.host.clock.truth())
        return accepted

    def prune(self, before: int, most: int) -> int:
        was = set(self._db.execute("SELECT room, offset, id, body, envelope FROM entry"))
        pruned = super().prune(before, most)
        was -= set(self._db.execute("SELECT room, offset, id, body, envelope FROM entry"))
        self.host.let_go |= {row[2]: row for row in was}
        return pruned

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

    host: HubMachine

    async def _listen(self) -> str:
        self.host.set_up(self)
        return "http://hub"

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(_TICK)
            for peer in list(self._core.connections.values()):
                if isinstance(peer, Stream):
                    peer.tick(self.host.loop.time())

    async def runner(self) -> web.AppRunner:
        """What answers plain HTTP; made for the first who needs it."""
        return self._runner or await self._answering()

    async def converse(self, end: Any) -> None:  # noqa: ANN401  see `HubEnd`
        """Talk over a WebSocket."""
        await Conversation(self._core, end, end).run()

    def ask(self, job: Job) -> None:
        """Hand the writer a job of the site's office."""
        self._core.writer.put(job)

    def adjust(self, page: int, life: int) -> None:
        """Set how many events a page has, and how long (seconds) a kiosk's token is good."""
        self._core.pages.most = page
        passes = self._doors.gate.passes
        passes.lives = {**passes.lives, Role.DEVICE: life}

    def forget(self) -> None:
        """Read again what was remembered of the log: some of it was let go."""
        self._core.rooms.recent.forget()

    def abandon(self) -> None:
        """Close the files of a dead hub."""
        if hasattr(self, "_core"):
            self._core.pages.close()
            self._doors.gate.register.close()
            self._log.close()
            self._lock.close()


class HubMachine(Machine):
    """The hub's computer."""

    def __init__(
        self, name: str, folder: Path, loop: VirtualLoop, chance: Random, habits: Habits
    ) -> None:
        super().__init__(name, folder, loop, chance)
        self.hub: SimulatedHub
        self.habits = habits
        # What was pruned of its log, by id: room, offset, id, event and envelope as they were.
        self.let_go: dict[str, tuple[str, int, str, bytes, bytes]] = {}
        self.accepted: dict[str, int] = {}  # when (true UTC ns) it last took each event in
        self._ends: list[Connection] = []
        self._preparing: asyncio.Task[Any] | None = None

    async def start(self, picture: Picture) -> None:
        """Switch on, with these files."""
        self.wake(picture)
        self._ends, self._preparing = [], None
        kind = type(
            "HostedHub",
            (SimulatedHub,),
            {
                "host": self,
                "_look_every": _LOOK_EVERY if self.habits.papers else 86_400.0,
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

    def set_up(self, hub: SimulatedHub) -> None:
        """Give it the sizes of the day."""
        hub.adjust(self.habits.page, self.habits.token_life)

    # -- who connects ------------------------------------------------------------------------------

    def accept(self, connection: WebSocket) -> None:
        """Somebody has connected, and upgraded."""
        self._keep(connection)
        self.life.begin(self.hub.converse(connection.hub), "hub-connection")

    async def serve(self, connection: TcpConnection) -> None:
        """Somebody has connected, and will ask; raises `ConnectionError` if the hub is gone."""
        if self._preparing is None:
            self._preparing = self.life.begin(self.hub.runner(), "hub-http")
        await asyncio.wait([self._preparing])
        if not self.up or self._preparing.cancelled():
            raise ConnectionResetError(104, "Connection reset by peer")
        server = self._preparing.result().server
        self._keep(connection)
        connection.far.connect(server())

    def _keep(self, connection: Connection) -> None:
        self._ends = [one for one in self._ends if not one.over] + [connection]

    # -- what staff do at a terminal ---------------------------------------------------------------

    def code(self) -> str:
        """A pairing code, as `kiosk hub pair` gives out."""
        code = new_code()
        now = self.clock.wall() // NS
        key = hub_keys(self.disk.path).codes
        with contextlib.closing(Register(register_path(self.disk.path))) as register:
            known = digest(plain(code) or "", key)
            register.offer(known, Ticket(), now, now + _CODE_LASTS)
        return code

    def revoke(self, device: str) -> bool:
        """Shut a kiosk out, as `kiosk hub revoke` does; whether it was known."""
        with contextlib.closing(Register(register_path(self.disk.path))) as register:
            return register.revoke(device, self.clock.wall())

    def let_go_before(self, before: int) -> None:
        """Have old sessions let go of, as `keep_days` does."""
        hub = self.hub

        def done(_: object) -> None:
            hub.forget()

        hub.ask(Job(lambda log: log.prune(before, 1000), done))

    # -- its files ---------------------------------------------------------------------------------

    @property
    def epoch(self) -> str:
        """That of the log."""
        return str(self.read("SELECT value FROM meta WHERE key = 'epoch'")[0][0])

    def log(self) -> list[tuple[str, int, str, bytes, bytes]]:
        """All that it ever accepted, by room and offset: with id, event and envelope."""
        rows = self.read("SELECT room, offset, id, body, envelope FROM entry")
        gone = (self.let_go.get(row[0]) for row in self.read("SELECT id FROM pruned"))
        return sorted([*rows, *filter(None, gone)])

    def apart(self) -> list[tuple[str, str, str]]:
        """What it keeps apart: id, the device it is of (or that brought it), and why."""
        rows = self.read("SELECT id, device, code, body FROM quarantine ORDER BY received")
        return [(id_, trace(body).device or brought, code) for id_, brought, code, body in rows]

    def held(self) -> set[str]:
        """The ids that it holds, also of what it has let go of in good order."""
        return {row[0] for row in self.read("SELECT id FROM event UNION SELECT id FROM pruned")}

    def heads(self) -> dict[str, int]:
        """Where every room ends, on disk."""
        return dict(self.read("SELECT name, head FROM room"))

    def fall(self) -> None:
        if self.up:
            for connection in self._ends:
                if self.disk.burned is Death.POWER:
                    connection.stall(_FOR_EVER, up=True, down=True)
                else:
                    connection.cut(lose=self.chance.random() < 0.5)
        super().fall()

    def close(self) -> None:
        self.hub.abandon()
        super().close()
