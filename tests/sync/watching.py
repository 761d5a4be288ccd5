"""A screen that shows a session's rows over the simulated network, for as long as it is on."""

from __future__ import annotations

import asyncio
import json

from websockets.exceptions import ConnectionClosed

from kiosk.model import session_room, site_room
from kiosk.simulation.machines import ORG, SITE, TOKEN
from kiosk.simulation.network import Weather
from kiosk.simulation.sockets import WebSocket
from kiosk.tasks import spawn, stop
from sync import protocol as p
from tests.sync.rowviews import View, meant

_SILENCE = 60.0  # seconds; positions come every 20
_HEALING = 1800.0
_HELLO = p.Hello(p.VERSION, ORG, SITE, "screen", "x", viewer=True)


class Screen:
    """Keeps its cursor whatever happens to the line, to the hub, or to a message on its way."""

    def __init__(self, scene, session="s0"):
        self._loop, self._hub = scene.loop, scene.hub
        self._rooms = session_room(ORG, session), site_room(ORG, SITE)
        self.weather = Weather(scene.day.chance("screen"))
        self.view = View(self._rooms[0])
        self.losing = 0  # messages that never arrive, and of which nobody hears
        self.found_out = 0
        self._connection = None
        self._task = spawn(self._watch(), "screen")

    def cut(self, *, lose):
        if self._connection is not None:
            self._connection.cut(lose=lose)

    async def settled(self):
        """Wait until it shows what the hub's log comes to; what it shows, and what it must."""
        deadline = self._loop.time() + _HEALING
        while not self._right() and self._loop.time() < deadline:  # noqa: ASYNC110  virtual time
            await asyncio.sleep(1.0)
        return self.view.shown, self._meant()

    async def off(self):
        await stop(self._task)

    def _right(self):
        return self.view.live and self.view.shown == self._meant()

    def _meant(self):
        return meant(self._hub.disk.path, *self._rooms, full=True)

    async def _watch(self):
        while True:
            try:
                await self._listen()
            except (ConnectionClosed, TimeoutError):
                self._connection.cut(lose=True)
            await asyncio.sleep(1.0)

    async def _listen(self):
        if not self._hub.up:
            return
        self._connection = WebSocket(self._loop, self.weather, TOKEN, "192.0.2.250")
        self._hub.accept(self._connection)
        end = self._connection.kiosk
        await end.send(p.encode(_HELLO), text=True)
        while True:
            async with asyncio.timeout(_SILENCE):
                message = json.loads(await end.recv(decode=False))
            if message["type"] == "welcome" or not self._take(message):
                await end.send(p.encode(self.view.wish()), text=True)

    def _take(self, message):
        if self.losing and message["type"] == "rows":
            self.losing -= 1
            return True
        good = self.view.take(message)
        self.found_out += not good
        return good
