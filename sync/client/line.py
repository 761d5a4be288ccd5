"""The line to the hub on a thread of its own: connect, talk, wait, and again for ever."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, InvalidURI

from kiosk.incarnation import PAIRING, unpaired
from kiosk.model import LinkState, LinkStatus
from kiosk.tasks import spawn, stop
from sync.client.endings import Ending, ending
from sync.client.exchange import EXPECTED, Exchange
from sync.client.pacing import Backoff, Pacing
from sync.protocol import MAX_FROM_HUB, PATH

if TYPE_CHECKING:
    from collections.abc import Callable

    from kiosk.clock import Clock
    from kiosk.store import Store

_LOG = logging.getLogger(__name__)

_JOIN = 2.0  # seconds
_REFRESH = 0.05  # seconds between two looks at what is held
_EXCHANGE_NEWS = 5_000_000_000  # ns after which a later exchange alone is worth saying
_SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}
_UNFIT_TOKEN = "this kiosk's token holds signs that are not visible ASCII"  # noqa: S105  is no token
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


class SyncClient:
    """Keeps a kiosk's store and a hub in agreement. Thread-safe; `stop` ends its thread."""

    def __init__(
        self,
        store: Store,
        url: str | Callable[[], str | None],
        token: str | Callable[[], str],
        clock: Clock,
        site: str,
        name: str,
        on_status: Callable[[LinkStatus], None],
        pacing: Pacing = Pacing(),  # noqa: B008  frozen
    ) -> None:
        """`url` is the hub's (http, https, ws or wss); it and `token` may be asked before each try.

        `on_status` is called in the line's thread, whenever something changed that is shown.
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
        self._status = LinkStatus()
        self._said: LinkStatus | None = None
        self._seen_apart: tuple[int, int | None] | None = None
        self._careful = False
        self._offered: dict[tuple[str, str], int] = {}
        self._exchange: Exchange | None = None
        self._called = False
        self._refreshing = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._failures: dict[str, str] = {}
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
        socket: ClientConnection | None = None
        try:
            where = _websocket_url(self._url())
            if where is None:
                return Ending(LinkState.OFFLINE, "the hub is not running")
            token = self._token()
            if not all("!" <= sign <= "~" for sign in token):
                return Ending(LinkState.SIGN_IN, _UNFIT_TOKEN, self._pacing.refused_retry)
            if why := await self._unpaired(token):
                return Ending(LinkState.SIGN_IN, why, self._pacing.refused_retry)
            async with self._connect(where, token) as socket:
                exchange = self._exchange = Exchange(
                    socket,
                    self._store,
                    self._clock,
                    self._pacing,
                    self._heard,
                    self._offered,
                    careful=self._careful,
                )
                await exchange.run(self._site, self._name)
            return Ending(LinkState.OFFLINE, "the connection ended")
        except (*EXPECTED, InvalidHandshake, InvalidURI) as error:
            found = ending(error, exchange.refusal if exchange else None, self._pacing)
            _LOG.info("the line is down (%s): %s", found.state, found.reason)
            return found
        except Exception:  # noqa: BLE001  whatever it is, the line must be tried again
            _LOG.exception("the line failed")
            return Ending(LinkState.OFFLINE, "the line failed", self._pacing.sweep)
        finally:
            self._exchange = None
            if socket is not None:
                # With Python 3.11.2 (Debian 12) a cancelled close leaves the socket open.
                socket.transport.abort()

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
        connected = self._status.transport != ""
        self._status = replace(self._status, last_exchange=self._clock.wall())
        if not connected:
            self._tell(
                transport="websocket",
                last_transport="websocket",
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
        set_apart = self._exchange.set_apart if self._exchange else None
        seen = (self._backoff.attempt, set_apart)
        try:
            held, oldest = self._store.held()
            if seen != self._seen_apart:
                status = replace(status, quarantined=self._store.quarantined())
                self._seen_apart = seen
        except Exception as error:  # noqa: BLE001  a count is for show, the line is not
            self._note_failure("the outbox cannot be counted", error)
            return status
        return replace(status, held=held, oldest_held=oldest)


def _alike(status: LinkStatus, said: LinkStatus | None) -> bool:
    """Whether nothing differs but a last exchange a moment later."""
    if said is None or replace(status, last_exchange=said.last_exchange) != said:
        return False
    if status.last_exchange is None or said.last_exchange is None:
        return status.last_exchange == said.last_exchange
    return abs(status.last_exchange - said.last_exchange) < _EXCHANGE_NEWS


def _websocket_url(url: str | None) -> str | None:
    """The address of the hub's WebSocket; None if there is no hub now. Raises `InvalidURI`."""
    if url is None:
        return None
    parts = urlsplit(url)
    if parts.scheme not in _SCHEMES or not parts.hostname:
        raise InvalidURI(url, "not an http(s) or ws(s) address")
    path = parts.path.rstrip("/")
    return urlunsplit((_SCHEMES[parts.scheme], parts.netloc, path + PATH, "", ""))
