"""The hub as a server: one port for the WebSocket, `/health` and the directory."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec
from aiohttp import web

from kiosk.model import site_room
from kiosk.tasks import spawn, stop
from sync.hub.connection import Connection, Socket
from sync.hub.core import Core
from sync.hub.errors import ListenError
from sync.hub.log import Log
from sync.hub.pages import Pages
from sync.hub.rooms import Rooms
from sync.hub.tables import locked
from sync.hub.tokens import bearer, same
from sync.hub.writer import Job, NotWrittenError, Writer
from sync.protocol import MAX_MESSAGE, PATH, VERSION, Close

if TYPE_CHECKING:
    from pathlib import Path
    from typing import IO

    from aiohttp.typedefs import Handler

    from kiosk.clock import Clock

_LOG = logging.getLogger(__name__)

POSITION_EVERY = 5.0  # seconds
_HEARTBEAT = 30.0  # seconds without a sign of life before a peer is asked for one
_DIRECTORY_BYTES = 32 * 1024 * 1024


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One record of the directory as `POST /v1/directory` takes it."""

    record: str
    id: str
    value: Any


_RECORDS = msgspec.json.Decoder(list[Record])


class Hub:
    """A sync server on one address and one database."""

    # A simulation puts its own in the place of these: the disk and the thread.
    _log_type = Log
    _writer_type = Writer

    def __init__(
        self,
        db: Path,
        token: str,
        host: str,
        port: int,
        clock: Clock,
        *,
        insecure_lan: bool = False,
        position_every: float = POSITION_EVERY,
    ) -> None:
        self._db = db
        self._token = token
        self._host = host
        self._port = port
        self._clock = clock
        self._insecure_lan = insecure_lan
        self._position_every = position_every
        self._core: Core
        self._ticking: asyncio.Task[None] | None = None
        self._runner: web.AppRunner | None = None
        self._lock: IO[str]
        self._log: Log

    async def start(self) -> str:
        """Open the log and listen; the hub's URL. Raises a `HubError` with nothing left open."""
        if not self._insecure_lan and not _is_loopback(self._host):
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
        self._open_core()
        try:
            url = await self._listen()
        except BaseException:
            await self.stop()
            raise
        self._core.sites.update(await self._core.pages.sites())
        self._ticking = spawn(self._tick(), "hub-positions")
        return url

    async def stop(self) -> None:
        """End all connections, write what is queued, release the port and the database."""
        await stop(self._ticking)
        core = self._core
        for connection in list(core.connections.values()):
            connection.close(Close.GOING_AWAY, "the hub is stopping")
        if self._runner is not None:
            await self._runner.cleanup()
        core.rooms.close()
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, core.writer.close)
        await loop.run_in_executor(None, core.pages.close)
        self._log.close()
        self._lock.close()

    def _open_core(self) -> None:
        loop = asyncio.get_running_loop()
        pages = Pages(self._db)
        rooms = Rooms(self._log.epoch, self._log.heads(), pages)
        writer = self._writer_type(self._log, loop, rooms.publish)
        self._core = Core(self._token, self._clock, writer, pages, rooms)

    async def _listen(self) -> str:
        app = web.Application(middlewares=[_own_origin], client_max_size=_DIRECTORY_BYTES)
        app.router.add_get(PATH, self._websocket)
        app.router.add_get("/health", self._health)
        app.router.add_post("/v1/directory", self._directory)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port).start()
        except OSError as error:
            where = f"{self._host}:{self._port}"
            raise ListenError(f"cannot listen on {where}: {error.strerror}") from error
        host, port = self._runner.addresses[0][:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(self._position_every)
            self._core.rooms.positions()

    # -- requests ----------------------------------------------------------------------------------

    async def _websocket(self, request: web.Request) -> web.StreamResponse:
        socket = Socket(
            timeout=1.0,
            heartbeat=_HEARTBEAT,
            compress=False,
            max_msg_size=MAX_MESSAGE,
            decode_text=False,
        )
        writer = await socket.prepare(request)
        await Connection(self._core, request, socket, writer).run()
        return socket

    async def _health(self, _: web.Request) -> web.Response:
        core = self._core
        events, quarantined = await core.pages.totals()
        return web.json_response(
            {
                "status": "failing" if core.writer.failing else "ok",
                "protocol": VERSION,
                "epoch": core.rooms.epoch,
                "events": events,
                "quarantined": quarantined,
                "connections": len(core.connections),
                "malformed": core.malformed,
            }
        )

    async def _directory(self, request: web.Request) -> web.Response:
        """Turn changed records into events of a site's room: `?org=..&site=..`, a JSON list."""
        if not same(bearer(request.headers.get("Authorization")), self._token):
            return _refused(401, "the token is missing or not this hub's")
        site = self._site(request)
        if site is None:
            return _refused(400, "say which site: /v1/directory?org=...&site=...")
        try:
            records = _RECORDS.decode(await request.read())
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            return _refused(400, f"not a list of records {{record, id, value}}: {error}")
        result = await self._write_records(*site, [(r.record, r.id, r.value) for r in records])
        if isinstance(result, NotWrittenError):
            return _refused(503, str(result))
        return web.json_response({"events": result, "unchanged": len(records) - result})

    async def _write_records(
        self, org: str, site: str, records: list[tuple[str, str, Any]]
    ) -> int | NotWrittenError:
        room = site_room(org, site)
        future: asyncio.Future[int | NotWrittenError] = asyncio.get_running_loop().create_future()

        def done(result: int | NotWrittenError) -> None:
            if not future.done():
                future.set_result(result)

        self._core.writer.put(Job(lambda log: log.direct(org, room, records), done))
        return await future

    def _site(self, request: web.Request) -> tuple[str, str] | None:
        org, site = request.query.get("org"), request.query.get("site")
        if org and site:
            return org, site
        # A hub that serves a single site knows which is meant.
        return next(iter(self._core.sites)) if len(self._core.sites) == 1 else None


@web.middleware
async def _own_origin(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse a browser that was sent here by a foreign page; programs send no Origin."""
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc.lower() != request.host.lower():
        return _refused(403, "this origin is not the hub's own")
    return await handler(request)


def _refused(status: int, message: str) -> web.Response:
    return web.json_response({"error": message}, status=status)


def _is_loopback(host: str) -> bool:
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"
