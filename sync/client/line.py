"""The line to the hub on a thread of its own: connect, talk, wait, and again for ever."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from msgspec.structs import replace
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidHandshake, InvalidURI

from kiosk.incarnation import PAIRING, unpaired
from kiosk.model import LinkState, LinkStatus
from kiosk.tasks import spawn, stop
from sync.client.endings import Ending, ending
from sync.client.exchange import EXPECTED, Exchange
from sync.client.ladder import TRANSPORTS, Ladder
from sync.client.pacing import Backoff, Pacing
from sync.client.rungs import Rungs
from sync.client.wires import ClimbedError
from sync.protocol import MAX_FROM_HUB

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from kiosk.clock import Clock
    from kiosk.store import Store

_LOG = logging.getLogger(__name__)

_JOIN = 2.0  # seconds
_REFRESH = 0.05  # seconds between two looks at what is held
_EXCHANGE_NEWS = 5_000_000_000  # ns after which a later exchange alone is worth saying
_UNFIT_TOKEN = "this kiosk's token holds signs that are not visible ASCII"  # noqa: S105  is no token
_LIMITED = {"sse": LinkState.LIMITED_SSE, "polling": LinkState.LIMITED_POLLING}
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


class SyncClient:
    """Keeps a kiosk's store and a hub in agreement. Thread-safe; `stop` ends its thread."""

    # A simulation, whose network knows no other, names one.
    _transports: tuple[str, ...] = TRANSPORTS

    def __init__(  # noqa: PLR0913  what a line needs
        self,
        store: Store,
        url: str | Callable[[], str | None],
        token: str | Callable[[], str],
        clock: Clock,
        site: str,
        name: str,
        on_status: Callable[[LinkStatus], None],
        pacing: Pacing = Pacing(),  # noqa: B008  frozen
        *,
        ca: Path | None = None,
    ) -> None:
        """`url` is the hub's (http, https, ws or wss); it and `token` may be asked before each try.

        `on_status` is called in the line's thread, whenever something changed that is shown. `ca`
        is a file of certificates (PEM) to trust a hub's by, in the place of the system's own.
        """
        self._store = store
        self._url = url if callable(url) else lambda: url
        self._token = token if callable(token) else lambda: token
        self._clock = clock
        self._site = site
        self._name = name
        self._on_status = on_status
        self._pacing = pacing
        self._backoff = Backoff(pacing)
        self._ladder = Ladder(self._transports)
        self._rungs = Rungs(pacing, ca, self._connect)
        self._status = LinkStatus()
        self._said: LinkStatus | None = None
        self._seen_apart: tuple[int, tuple[int, int] | None] | None = None
        self._careful = False
        self._offered: dict[tuple[str, str], int] = {}
        self._exchange: Exchange | None = None
        self._called = False
        self._refreshing = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._failures: dict[str, str] = {}
        self._said_down: tuple[LinkState, str] | None = None
        self._kicked = asyncio.Event()
        self._halted = asyncio.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin; returns at once."""
        ready = threading.Event()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._main(ready)), name="sync-client", daemon=True
        )
        self._thread.start()
        ready.wait()

    def stop(self) -> None:
        """End the connection and the thread; what is not settled stays in the outbox."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._soon(self._halted.set)
            thread.join(_JOIN)

    def kick(self) -> None:
        """Try now, if a wait is on."""
        self._soon(self._kicked.set)

    def wake(self) -> None:
        """Something was committed: the outbox or the rooms may have grown."""
        if not self._called and self._loop is not None:
            self._called = True
            self._soon(self._woken)

    # -- on the line's thread ----------------------------------------------------------------------

    def _soon(self, call: Callable[[], None]) -> None:
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # ended meanwhile
                self._loop.call_soon_threadsafe(call)

    def _woken(self) -> None:
        self._called = False  # first, so that a commit from now on calls again
        if self._exchange is not None:
            self._exchange.wake()
        self._refresh_soon()

    def _refresh_soon(self) -> None:
        if not self._refreshing:
            self._refreshing = True
            asyncio.get_running_loop().call_later(_REFRESH, self._refresh)

    def _refresh(self) -> None:
        self._refreshing = False
        self._tell()

    async def _main(self, ready: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._called = False  # whoever called an earlier loop was not heard
        ready.set()
        trying = spawn(self._try_for_ever(), "sync-line")
        await self._halted.wait()
        await stop(trying)
        await self._rungs.close()

    async def _try_for_ever(self) -> None:
        while True:
            try:
                await self._try_and_wait()
            except Exception as error:  # noqa: BLE001  whatever it is, the line must be tried again
                self._note_failure("the line failed between two tries", error)
                await asyncio.sleep(self._pacing.first_retry)

    async def _try_and_wait(self) -> None:
        self._kicked.clear()
        end = await self._try_once()
        self._careful |= end.careful
        if end.at_once:
            return
        wait = self._backoff.wait(end.at_least)
        self._tell(
            state=end.state,
            reason=end.reason,
            transport="",
            attempt=self._backoff.attempt,
            retry_at=self._clock.monotonic() + wait,
        )
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait):
                await self._kicked.wait()

    def _note_failure(self, what: str, error: Exception) -> None:
        """Log a failure that may come again and again, the first time."""
        if self._failures.get(what) != repr(error):
            self._failures[what] = repr(error)
            _LOG.error("%s: %s", what, error, exc_info=error)

    async def _try_once(self) -> Ending:
        exchange: Exchange | None = None
        try:
            url = self._url()
            if url is None:
                return Ending(LinkState.OFFLINE, "the hub is not running")
            token = self._token()
            if not all("!" <= sign <= "~" for sign in token):
                return Ending(LinkState.SIGN_IN, _UNFIT_TOKEN, self._pacing.refused_retry)
            if why := await self._unpaired(token):
                return Ending(LinkState.SIGN_IN, why, self._pacing.refused_retry)
            async with self._rungs.opened(self._ladder.transport, url, token) as wire:
                exchange = self._exchange = Exchange(
                    wire,
                    self._store,
                    self._clock,
                    self._pacing,
                    self._heard,
                    self._offered,
                    careful=self._careful,
                    token=token,
                )
                climbing = spawn(self._climb(url, token), "sync-climb")
                try:
                    await exchange.run(self._site, self._name)
                finally:
                    await stop(climbing)
            return Ending(LinkState.OFFLINE, "the connection ended")
        except (*EXPECTED, InvalidHandshake, InvalidURI) as error:
            return self._ended(error, exchange)
        except Exception:  # noqa: BLE001  whatever it is, the line must be tried again
            _LOG.exception("the line failed")
            return Ending(LinkState.OFFLINE, "the line failed", self._pacing.sweep)
        finally:
            self._exchange = None

    def _ended(self, error: Exception, exchange: Exchange | None) -> Ending:
        found = ending(error, exchange.refusal if exchange else None, self._pacing)
        was = self._ladder.transport
        greeted = exchange is not None and exchange.welcomed
        proven = exchange is not None and exchange.proven
        moved = self._ladder.ended(error, greeted=greeted, proven=proven)
        self._say_down(found)
        if not moved:
            return found
        if not isinstance(error, ClimbedError):
            _LOG.warning(
                "%s does not get through: %s; trying %s", was, error, self._ladder.transport
            )
            self._tell(state=LinkState.OFFLINE, reason=found.reason, transport="")
        return dataclasses.replace(found, at_once=True)

    def _say_down(self, end: Ending) -> None:
        """Once for each change: who is refused tries again and again, and is told the same."""
        if (end.state, end.reason) != self._said_down:
            self._said_down = end.state, end.reason
            _LOG.info("the line is down (%s): %s", end.state, end.reason)

    async def _climb(self, url: str, token: str) -> None:
        """On a lower rung: look for a better one, at once when asked to try now."""
        wait = self._pacing.climb
        while self._ladder.rung:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._backoff.draw(wait / 2, wait)):
                    await self._kicked.wait()
                wait = self._pacing.climb
            self._kicked.clear()
            for rung, transport in enumerate(self._ladder.rungs[: self._ladder.rung]):
                if await self._rungs.reaches(transport, url, token):
                    self._ladder.climbed(rung)
                    self._rungs.end(ClimbedError(f"{transport} gets through again"))
                    return
            wait = min(wait * 2, self._pacing.last_climb)

    async def _unpaired(self, token: str) -> str:
        """Why this kiosk must be paired anew first; "" if it need not."""
        note = self._store.note(PAIRING)
        why, fresh = unpaired(note, token)
        if fresh != (note or ""):
            await asyncio.wrap_future(self._store.set_note(PAIRING, fresh))
        return f"{why}; pair this kiosk with its hub anew" if why else ""

    def _connect(self, where: str, token: str) -> connect:
        return connect(
            where,
            additional_headers={"Authorization": f"Bearer {token}"},
            compression=None,
            proxy=None if urlsplit(where).hostname in _LOOPBACK else True,
            open_timeout=self._pacing.connect,
            ping_interval=self._pacing.ping,
            ping_timeout=self._pacing.ping,
            ssl=self._rungs.context(where),
            close_timeout=0.5,
            max_size=MAX_FROM_HUB,
            max_queue=64,
            logger=logging.getLogger(f"{__name__}.websocket"),
        )

    def _heard(self) -> None:
        exchange = self._exchange
        if exchange is None or not exchange.welcomed:
            return
        if exchange.proven:
            self._backoff.reset()
        transport = self._ladder.transport
        self._said_down = None
        connected = self._status.transport == transport
        self._status = replace(self._status, last_exchange=self._clock.wall())
        if not connected:
            self._tell(
                transport=transport,
                last_transport=transport,
                retry_at=None,
                attempt=0,
                reason="",
                state=LinkState.ONLINE,
            )
        else:
            self._refresh_soon()

    def _tell(self, **changes: Any) -> None:  # noqa: ANN401  fields of a LinkStatus
        """Say how the line is, if it differs from what was last said."""
        status = self._counted(replace(self._status, **changes))
        if status.transport:
            state = LinkState.SYNCING if status.held else LinkState.ONLINE
            state = _LIMITED.get(status.transport, state)
            status = replace(status, state=state)
        self._status = status
        if not _alike(status, self._said):
            self._said = status
            try:
                self._on_status(status)
            except Exception:  # noqa: BLE001  the listener's fault must not cut the line
                _LOG.exception("the listener to the line's status failed")

    def _counted(self, status: LinkStatus) -> LinkStatus:
        # Counting those goes through the whole log, so only when there can be new ones.
        exchange = self._exchange
        told = (exchange.set_apart, exchange.gaps_told) if exchange else None
        seen = (self._backoff.attempt, told)
        try:
            held, oldest = self._store.held()
            if seen != self._seen_apart:
                missing = tuple((one.title, count) for one, count in self._store.lacking())
                apart = self._store.quarantined()
                status = replace(status, quarantined=apart, missing=missing)
                self._seen_apart = seen
        except Exception as error:  # noqa: BLE001  a count is for show, the line is not
            self._note_failure("the outbox cannot be counted", error)
            return status
        lost = self._exchange.lost if self._exchange else status.attention
        return replace(status, held=held, oldest_held=oldest, attention=lost)


def _alike(status: LinkStatus, said: LinkStatus | None) -> bool:
    """Whether nothing differs but a last exchange a moment later."""
    if said is None or replace(status, last_exchange=said.last_exchange) != said:
        return False
    if status.last_exchange is None or said.last_exchange is None:
        return status.last_exchange == said.last_exchange
    return abs(status.last_exchange - said.last_exchange) < _EXCHANGE_NEWS
