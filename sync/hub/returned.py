"""What kiosks brought back to a restored hub of its register: waiting to be taken into that.

The directory repeats the register of devices and staff, so what the hub once said of them is known
to its kiosks too. Where the register came from the same old backup as the log, a revocation since
is known from them only. It waits in the log's own notes, so no crash loses it, and until it is
taken in the register's older word is not said.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import msgspec

from kiosk.model import site_room
from sync.hub.auth.denied import DeniedError
from sync.hub.auth.regained import Regained, regain
from sync.hub.writer import Job, NotWrittenError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from kiosk.model import Event
    from sync.hub.auth.gate import Gate
    from sync.hub.core import Core
    from sync.hub.log import Log

T = TypeVar("T")
_LOG = logging.getLogger(__name__)
NOTE = "returned"
_AGAIN = 5.0  # seconds, when the disk refuses


class Word(NamedTuple):
    """One record that waits: of which organisation and site, its kind and its id."""

    org: str
    site: str
    record: str
    id: str


_WORDS = msgspec.json.Decoder(tuple[Word, ...])


def waiting(meta: dict[str, Any]) -> tuple[Word, ...]:
    """What the log's notes say is still to be taken in."""
    return _WORDS.decode(meta[NOTE])


def note(meta: dict[str, Any], event: Event) -> None:
    """Have a record wait."""
    begin = site_room(event.org, "")
    if event.room.startswith(begin):
        site = event.room.removeprefix(begin)
        word = Word(event.org, site, event.data["record"], event.data["id"])
        _keep(meta, (*(one for one in waiting(meta) if one != word), word))


def done(meta: dict[str, Any], words: tuple[Word, ...]) -> None:
    """These wait no longer."""
    _keep(meta, tuple(one for one in waiting(meta) if one not in words))


def regained(db: sqlite3.Connection, words: tuple[Word, ...]) -> list[Regained]:
    """The records as they stand in the directory."""
    found = []
    query = "SELECT value FROM directory WHERE room = ? AND record = ? AND id = ?"
    for word in words:
        at = site_room(word.org, word.site), word.record, word.id
        value = msgspec.json.decode(db.execute(query, at).fetchone()[0])
        if isinstance(value, dict):
            found.append(Regained(*word, value))
    return found


class Returned:
    """Takes what waits into the register, then lets the hub say what that holds."""

    def __init__(self, core: Core, log: Log, gate: Gate) -> None:
        self._core = core
        self._gate = gate
        self._called = asyncio.Event()
        self._called.set()  # an earlier run may have been cut short
        loop = asyncio.get_running_loop()

        def told() -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended; it waits in the log
                loop.call_soon_threadsafe(self._called.set)

        log.on_returned = told

    async def run(self) -> None:
        """For ever."""
        while True:
            await self._called.wait()
            self._called.clear()
            try:
                await self._take_in()
            except (DeniedError, NotWrittenError) as error:
                _LOG.error("what kiosks brought back is not yet in the register: %s", error)
                await asyncio.sleep(_AGAIN)
                self._called.set()

    async def _take_in(self) -> None:
        words, found = await self._written(lambda log: log.returned())
        if not words:
            return
        gate = self._gate
        taken = await gate.asked(lambda: regain(gate.register, found, gate.now()))
        await self._written(lambda log: log.heeded(words))
        for line in taken:
            _LOG.warning("from a kiosk, after a restore: %s", line)
        await gate.changed()

    async def _written(self, work: Callable[[Log], T]) -> T:
        """What `work` returns in the writer's thread; raises `NotWrittenError`."""
        future: asyncio.Future[T | NotWrittenError] = asyncio.get_running_loop().create_future()

        def told(result: T | NotWrittenError) -> None:
            if not future.done():
                future.set_result(result)

        self._core.writer.put(Job(work, told))
        result = await future
        if isinstance(result, NotWrittenError):
            raise result
        return result


def _keep(meta: dict[str, Any], words: tuple[Word, ...]) -> None:
    meta[NOTE] = msgspec.json.encode(words).decode()
