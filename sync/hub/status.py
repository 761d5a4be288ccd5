"""How the hub is: for people, for watchdogs and for Prometheus."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from aiohttp import web

from sync.hub.asking import said
from sync.hub.metrics import CONTENT_TYPE
from sync.hub.openapi import document
from sync.hub.routes import Route
from sync.protocol import VERSION

if TYPE_CHECKING:
    from sync.hub.core import Core


class Health(msgspec.Struct, frozen=True):
    """Whether the hub keeps what it is given, and how much that is.

    `missing` are events that devices lost: connected for ten minutes, they never brought them.
    `backups`: `off` if the hub makes none by itself, else `ok` or `failing`. What was received up
    to `stable` (UTC ns) is in some backup, whoever made it; 0 if there is none.
    """

    status: str
    protocol: int
    epoch: str
    events: int
    quarantined: int
    connections: int
    malformed: int
    missing: int
    backups: str
    stable: int


class Live(msgspec.Struct, frozen=True):
    """Who is connected: by transport, and how many follow each room."""

    status: str
    connections: int
    transports: dict[str, int]
    rooms: dict[str, int]
    lagged: int
    slow_closes: int


class Status:
    """Answers the questions about one hub."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._document = b""

    def routes(self) -> list[Route]:
        """What it answers."""
        text = {200: "text/plain"}
        return [
            Route(
                "GET",
                "/health",
                self.health,
                "How the hub is.",
                (),
                None,
                {200: Health},
                public=True,
            ),
            Route(
                "GET", "/health/websocket", self.live, "Who is connected.", (), None, {200: Live}
            ),
            Route("GET", "/metrics", self.metrics, "For Prometheus.", (), None, text),
            Route(
                "GET",
                "/openapi.json",
                self.openapi,
                "This document.",
                (),
                None,
                {200: dict},
                public=True,
            ),
        ]

    def describe(self, routes: list[Route]) -> None:
        """Have a document served of all that the hub answers."""
        self._described = routes

    async def health(self, _: web.Request) -> web.Response:
        core = self._core
        events, quarantined = await core.pages.totals()
        status = "failing" if core.writer.failing else "ok"
        found = len(core.connections)
        bad = core.metrics.malformed
        about = (VERSION, core.rooms.epoch, events, quarantined, found, bad, core.missing)
        return said(Health(status, *about, core.backups(), await core.pages.stable()))

    async def live(self, _: web.Request) -> web.Response:
        core = self._core
        rooms = core.rooms
        status = "failing" if core.writer.failing else "ok"
        counts = (len(core.connections), core.transports(), rooms.counts())
        return said(Live(status, *counts, rooms.lagged, rooms.slowed))

    async def metrics(self, _: web.Request) -> web.Response:
        data = self._core.metrics.show(self._core)
        return web.Response(body=data, headers={"Content-Type": CONTENT_TYPE})

    async def openapi(self, _: web.Request) -> web.Response:
        # Made for the first who asks: it takes longer than all else that a start does.
        self._document = self._document or msgspec.json.encode(document(self._described))
        return said(self._document)
