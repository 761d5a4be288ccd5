"""Polling: what a stream would have brought, handed over each time it is asked for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from kiosk.tasks import spawn, stop
from sync.hub.auth.denied import DeniedError
from sync.hub.members import LAGGING, Member
from sync.protocol import Close

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from sync.hub.access import Who
    from sync.hub.core import Core
    from sync.hub.frames import Parcel
    from sync.protocol import Poll

# Seconds for which a kiosk that asked counts as present: longer than it waits between two times.
_LINGERS = 30.0
_REFUSALS = {Close.TOKEN: "token", Close.REVOKED: "revoked"}
_GATHER = 0.015  # seconds that more of a burst may join what has come


class Ask:
    """One request for news; also its `Line` to the rooms."""

    transport = "polling"

    def __init__(self, core: Core, who: Who) -> None:
        self._core = core
        self._member = Member(self, core.rooms, who, _LINGERS)
        self._who = who
        self._said: list[bytes] = []
        self._size = 0
        self._news = asyncio.Event()
        self._full = asyncio.Event()
        self._refused: DeniedError | None = None

    async def run(self, poll: Poll) -> bytes:
        """A JSON array of messages.

        Raises `DeniedError` if there are too many connections, or its bearer may stay no longer.
        """
        self._core.enter(self, self._who, alone=False)
        try:
            for parcel in self._core.notes_for(self._who):
                self.write(parcel)
            for wish in poll.follow:
                await self._member.subscribe(wish)
            await self._first_of(self._member.caught_up(), self._full.wait())
            await self._wait(poll.wait)
        finally:
            self._member.gone()
            self._core.leave(self)
        if self._refused is not None:
            raise self._refused
        return b"[" + b",".join(self._said) + b"]"

    async def _wait(self, seconds: float) -> None:
        if self._news.is_set() or not seconds:
            return
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return
        await asyncio.sleep(_GATHER)

    async def _first_of(self, *works: Coroutine[Any, Any, object]) -> None:
        tasks = [spawn(work, "hub-poll") for work in works]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await stop(*tasks)

    # -- the line to the rooms ---------------------------------------------------------------------

    def write(self, parcel: Parcel) -> None:
        if self._full.is_set():
            return
        self._said.append(parcel.payload)
        self._size += len(parcel.payload)
        if parcel.news:
            self._news.set()
        if self._size > LAGGING:
            self._full.set()

    def buffered(self) -> int:
        return LAGGING if self._full.is_set() else 0

    async def drained(self) -> None:
        if self._full.is_set():
            await asyncio.Event().wait()

    def close(self, code: Close, reason: str) -> None:
        if code in _REFUSALS:
            self._refused = DeniedError(_REFUSALS[code], reason, code)
            self._refused.noted = True  # by whoever ended it
        self._full.set()
        self._news.set()
