"""The hub as a server: one port for the WebSocket, plain HTTP, its health and the directory."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import sqlite3
from typing import TYPE_CHECKING

from aiohttp import web

from kiosk.tasks import spawn, stop
from sync.hub.access import Access, DeniedError
from sync.hub.api import Api
from sync.hub.arrivals import Arrivals
from sync.hub.asking import ACCESS, ADDRESS, GRANT, caller, refused, shown
from sync.hub.auth.doors import Doors
from sync.hub.auth.gate import LOOK_EVERY, Caller
from sync.hub.auth.limits import Limits
from sync.hub.auth.proxies import Proxies
from sync.hub.backups import Backups
from sync.hub.complaints import Complaints
from sync.hub.connection import Connection
from sync.hub.core import MOST_CONNECTIONS, Core
from sync.hub.errors import ListenError
from sync.hub.holes import Holes
from sync.hub.housetime import HouseTime
from sync.hub.log import Log
from sync.hub.metrics import Metrics
from sync.hub.notices import Notices
from sync.hub.pages import Pages
from sync.hub.records import Directory
from sync.hub.retention import retain
from sync.hub.returned import Returned
from sync.hub.rooms import Rooms
from sync.hub.routes import Route
from sync.hub.sockets import Plain, taken, upgraded
from sync.hub.status import Status
from sync.hub.streams import Stream
from sync.hub.tables import locked
from sync.hub.writer import Writer
from sync.protocol import PATH, Close, ProtocolError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence
    from pathlib import Path
    from typing import IO

    from aiohttp.typedefs import Handler

    from kiosk.clock import Clock
    from sync.hub.backups import Plan
    from sync.hub.upgrades import Upgrade

_LOG = logging.getLogger(__name__)

POSITION_EVERY = 5.0  # seconds
# Seconds in which a connection must begin to speak, and in which a request's headers must have come
# since then or since the answer before: nobody holds one by sending them slowly, or not at all.
HEADERS_WITHIN = 20.0
_SHAKEN_WITHIN = 10.0  # seconds for the handshake of TLS, which holds some 50 KiB meanwhile
_TICK = 1.0  # seconds between two looks at the event streams and at silent sockets
_FAREWELL = 1.0  # seconds that whoever is connected gets when the hub stops
# Connections that have not said yet what they are come on top of those that may last.
_MOST_SOCKETS = MOST_CONNECTIONS + 512
_MOST_ARRIVALS = _MOST_SOCKETS + 512  # and beyond these, nobody is told why


class Hub:
    """A sync server on one address and one database."""

    # A simulation puts its own in the place of these: the disk and the thread.
    _log_type = Log
    _writer_type = Writer
    _look_every = LOOK_EVERY

    def __init__(  # noqa: PLR0913  all but the first five are named
        self,
        db: Path,
        token: str,
        host: str,
        port: int,
        clock: Clock,
        *,
        insecure_lan: bool = False,
        tls: ssl.SSLContext | None = None,
        position_every: float = POSITION_EVERY,
        headers_within: float = HEADERS_WITHIN,
        limits: Limits = Limits(),  # noqa: B008  frozen
        keep_days: int | None = None,
        trusted_proxies: Sequence[str] = (),
        backups: Plan | None = None,
    ) -> None:
        """`trusted_proxies` are whose `X-Forwarded-For` is believed; raises `ProxyError`.

        `backups` are made by the hub itself.
        """
        self._db = db
        self._token = token
        self._host = host
        self._port = port
        self._clock = clock
        self._insecure_lan = insecure_lan
        self._tls = tls
        self._position_every = position_every
        self._headers_within = headers_within
        self._limits = limits
        self._keep_days = keep_days
        self._backups = Backups(db, backups, clock) if backups is not None else None
        self._proxies = Proxies(trusted_proxies)
        self._core: Core
        self._ticking: tuple[asyncio.Task[None], ...] = ()
        self._runner: web.AppRunner | None = None
        self._server: asyncio.Server | None = None
        self._arrivals: Arrivals | None = None
        self._public: set[tuple[str, str]] = set()
        self._lock: IO[str]
        self._log: Log
        self._doors: Doors

    async def start(self) -> str:
        """Open the log and listen; the hub's URL. Raises a `HubError` with nothing left open."""
        if not (self._tls or self._insecure_lan or _is_loopback(self._host)):
            raise ListenError(
                f"{self._host} is not a loopback address and there is no TLS: others on the network"
                " could read along; allow it with --insecure-lan if that is meant"
            )
        self._lock = locked(self._db)
        try:
            self._log = self._log_type(self._db, self._clock)
        except BaseException:
            self._lock.close()
            raise
        try:
            self._doors = Doors(self._db, self._token, self._clock, self._limits)
        except BaseException:
            self._log.close()
            self._lock.close()
            raise
        self._open_core()
        try:
            url = await self._listen()
        except BaseException:
            await self.stop()
            raise
        self._core.sites.update(await self._core.pages.sites())
        if all(named := await self._doors.named()):
            self._core.sites.add(named)
        self._doors.start(Notices(self._core, self._log), self._look_every)
        returned = Returned(self._core, self._log, self._doors.gate)
        self._ticking = (
            spawn(returned.run(), "hub-returned"),
            spawn(self._tell_positions(), "hub-positions"),
            spawn(self._tick(), "hub-streams"),
        )
        if (backups := self._backups) is not None:
            self._core.backups = lambda: backups.state
            self._ticking += (spawn(backups.run(), "hub-backups"),)
        if self._keep_days is not None:
            self._ticking += (spawn(retain(self._core, self._keep_days), "hub-retention"),)
        return url

    async def stop(self) -> None:
        """End all connections, write what is queued, release the port and the database."""
        await stop(*self._ticking)
        core = self._core
        if self._server is not None:
            self._server.close()
        if self._arrivals is not None:
            self._arrivals.close()
        for connection in list(core.connections.values()):
            connection.close(Close.GOING_AWAY, "the hub is stopping")
        await core.talks.hang_up(_FAREWELL)
        if self._runner is not None:
            await self._runner.cleanup()
        core.rooms.close()
        await self._doors.stop()
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, core.writer.close)
        await loop.run_in_executor(None, core.pages.close)
        self._log.close()
        self._lock.close()

    def _open_core(self) -> None:
        loop = asyncio.get_running_loop()
        pages = Pages(self._db)
        rooms = Rooms(self._log.epoch, self._log.heads(), pages)
        metrics = Metrics()
        observe = metrics.commits.observe
        writer = self._writer_type(self._log, loop, rooms.publish, observe)
        access = Access(self._doors.gate)
        log = self._log

        def itself() -> tuple[str, str]:
            return log.key, log.incarnation

        self._core = Core(access, log.clock, writer, pages, rooms, metrics, itself)

    def _routes(self) -> list[Route]:
        status = Status(self._core)
        websocket = Route(
            "GET",
            PATH,
            self._websocket,
            "The protocol over a WebSocket (docs/protocol.md).",
            answers={101: None},
            public=True,  # it admits by itself, so that whoever is refused sees the close code
        )
        routes = [
            websocket,
            *Api(self._core).routes(),
            *Directory(self._core).routes(),
            *self._doors.requests.routes(),
            *HouseTime(self._core).routes(),
            *status.routes(),
        ]
        status.describe(routes)
        return routes

    async def _listen(self) -> str:
        http = (await self._answering()).server
        assert http is not None  # noqa: S101  it is set up
        self._arrivals = Arrivals(http, self._upgraded, self._overrun, self._headers_within)
        shaken = min(self._headers_within, _SHAKEN_WITHIN)
        try:
            self._server = server = await asyncio.get_running_loop().create_server(
                self._arrivals,
                self._host,
                self._port,
                ssl=self._tls,
                backlog=MOST_CONNECTIONS,  # all of them may come at once
                ssl_handshake_timeout=shaken if self._tls else None,
            )
        except OSError as error:
            where = f"{self._host}:{self._port}"
            raise ListenError(f"cannot listen on {where}: {error.strerror}") from error
        host, port = server.sockets[0].getsockname()[:2]
        scheme = "https" if self._tls else "http"
        return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"

    async def _answering(self) -> web.AppRunner:
        """Be ready to answer requests, wherever they come from."""
        routes = self._routes()
        self._public = {(route.method, route.path) for route in routes if route.public}
        app = web.Application(middlewares=[self._guarded])
        for route in routes:
            app.router.add_route(route.method, route.path, route.handle)
        self._runner = web.AppRunner(
            app,
            access_log=None,
            logger=Complaints(),
            shutdown_timeout=_FAREWELL,
            keepalive_timeout=self._headers_within,
            max_line_size=16 * 1024,
        )
        await self._runner.setup()
        return self._runner

    async def _tell_positions(self) -> None:
        holes = Holes(self._core)
        while True:
            await asyncio.sleep(self._position_every)
            await self._core.rooms.positions()
            with contextlib.suppress(sqlite3.Error):  # it is looked at again soon
                await holes.look(asyncio.get_running_loop().time())

    async def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_TICK)
            now = loop.time()
            self._core.talks.tick(now)
            if self._arrivals is not None:
                self._arrivals.tick(now)
            for peer in list(self._core.connections.values()):
                if isinstance(peer, Stream):
                    peer.tick(now)

    async def _websocket(self, request: web.Request) -> web.StreamResponse:
        socket, deflates, response = upgraded(request)
        Connection(self._core, request, socket, caller(request), deflates=deflates).begin()
        return response

    def _upgraded(self, transport: asyncio.Transport, upgrade: Upgrade) -> bool:
        """Take over who may come in; the HTTP server has the words for the others."""
        plain, core = Plain.of(transport, upgrade), self._core
        try:
            self._crowded()
            core.access.origin(plain.headers.get("Origin"), plain.headers["Host"])
        except DeniedError:
            return False
        socket, deflates = taken(transport, upgrade)
        told = plain.headers.get("X-Forwarded-For", "")
        where = Caller(self._proxies.address(plain.remote or "", told), f"GET {PATH}")
        Connection(core, plain, socket, where, deflates=deflates).begin()
        return True

    @web.middleware
    async def _guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Let in who may come in; answer all refusals in one way."""
        core = self._core
        told = ",".join(request.headers.getall("X-Forwarded-For", ()))
        request[ADDRESS] = self._proxies.address(request.remote or "", told)
        try:
            self._crowded()
            core.access.origin(request.headers.get("Origin"), request.host)
            resource = request.match_info.route.resource
            path = resource.canonical if resource is not None else request.path
            if (request.method, path) not in self._public:
                request[ACCESS] = core.access
                request[GRANT] = core.access.admit(shown(request), caller(request))
            return await handler(request)
        except DeniedError as error:
            return refused(core.access.noted(error, caller(request)))
        except ProtocolError as error:
            return refused(error)

    def _crowded(self) -> None:
        if self._sockets() > _MOST_SOCKETS:
            raise self._core.access.denied("busy", "too many connections", Close.TRY_LATER, 30.0)

    def _overrun(self) -> bool:
        silent = 0 if self._arrivals is None else len(self._arrivals.silent)
        return self._sockets() + silent > _MOST_ARRIVALS

    def _sockets(self) -> int:
        http = 0
        if self._runner is not None and self._runner.server is not None:
            http = len(self._runner.server.connections)
        return http + len(self._core.talks)


def _is_loopback(host: str) -> bool:
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"
