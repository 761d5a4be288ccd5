"""The composition root: builds one kiosk, starts it and stops it, each in one fixed order."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from typing import TYPE_CHECKING

from drivers.errors import PortMissing
from drivers.reader import Reader, ReaderTiming, SensorDown
from drivers.zfm import open_zfm
from kiosk.desk import Desk, DeskSettings
from kiosk.hubchild import HubChild
from kiosk.rescue import open_store, rescue_note
from kiosk.storefile import StoreError
from sync.hub.token import hub_token, read_token

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path
    from typing import Any

    from kiosk.clock import Clock
    from kiosk.config import Config
    from kiosk.model import LinkStatus
    from sync.client import SyncClient
    from ui.shell import Shell

_LOG = logging.getLogger(__name__)
HUB_URL_FILE = "hub.url"


class App:
    """One kiosk: store, desk, screen, reader, hub and line. Use on a running qasync loop."""

    def __init__(self, config: Config, clock: Clock, timing: ReaderTiming | None = None) -> None:
        """Open the store; raises a `StoreError` or a token's error before anything is shown."""
        self.config = config
        self._clock = clock
        self._timing = timing or ReaderTiming()
        self._token = _token(config)
        self.store = open_store(
            config.database,
            org=config.organisation.id,
            site=config.site.id,
            clock=clock,
            zone=config.site.zone,
        )
        settings = DeskSettings(
            organisation=config.organisation.name, repeat=config.door.repeat_seconds
        )
        self.desk = Desk(self.store, clock, config.site_rules(), settings, self._kick)
        self.hub = None if config.hub.url else HubChild(config.hub_database, self._token, _publish)
        self.hub = (
            None
            if config.hub.url
            else HubChild(config.hub_database, self._token, self._hub_moved)
        )
        self.shell: Shell | None = None
        self.client: SyncClient | None = None
        self._reader: Reader | None = None

    async def start(self) -> None:
        """Show the door first; then what is plugged in; then the line."""
        loop = asyncio.get_running_loop()
        rescue = rescue_note(self.store)
        self.desk.start(loop, notices=int(rescue is not None))
        self._show()
        await asyncio.sleep(0)
        self._start_reader(loop)
        if self.hub is not None:
            self.hub.start()
        self._start_line(loop)

    async def stop(self) -> None:
        """The reverse; the store closes last, so that whatever was greeted is on disk."""
        if self._reader is not None:
            await asyncio.to_thread(self._reader.stop)
        if self.client is not None:
            await asyncio.to_thread(self.client.stop)
        if self.hub is not None:
            await asyncio.to_thread(self.hub.stop)
        self.desk.stop()
        if self.shell is not None:
            self.shell.close()
        self.store.close()
