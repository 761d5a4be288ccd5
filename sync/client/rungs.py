"""Opening a wire by each transport, and finding out whether a better one gets through."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from websockets.exceptions import InvalidURI, WebSocketException

from sync.protocol import PATH, ProtocolError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from sync.client.pacing import Pacing
    from sync.client.plain import PlainWire
    from sync.client.wires import Wire

_LOG = logging.getLogger(__name__)

_SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}
_PLAIN = {"ws": "http", "wss": "https"}


class Rungs:
    """Opens wires, one at a time."""

    def __init__(self, pacing: Pacing, ca: Path | None, connect: Callable[[str, str], Any]) -> None:
        """`connect` gives a context of an open WebSocket for an address and a token."""
        self._pacing = pacing
        self._ca = ca
        self._connect = connect
        self._ready: tuple[Wire, contextlib.AsyncExitStack] | None = None
        self._wire: PlainWire | None = None

    @contextlib.asynccontextmanager
    async def opened(self, transport: str, url: str, token: str) -> AsyncIterator[Wire]:
        """An open wire. Raises `InvalidURI`, and what `websockets` and sockets raise."""
        ready, self._ready = self._ready, None
        async with contextlib.AsyncExitStack() as stack:
            if ready is not None:
                stack.push_async_exit(ready[1])
            if ready is not None and transport == "websocket":
                yield ready[0]
            elif transport == "websocket":
                yield await self._websocket(stack, url, token)
            else:
                self._wire = self._plain(transport, url, token)
                stack.push_async_callback(self._wire.close)
                yield self._wire

    def end(self, error: Exception) -> None:
        """End the exchange over plain HTTP, for this."""
        if self._wire is not None:
            self._wire.end(error)

    async def reaches(self, transport: str, url: str, token: str) -> bool:
        """Whether it gets through now; a WebSocket is kept, to be the next that is opened."""
        try:
            if transport == "websocket":
                await self._probe(url, token)
                return True
            wire = self._plain(transport, url, token)
            try:
                await wire.probe()
            finally:
                await wire.close()
        except (OSError, TimeoutError, ProtocolError, WebSocketException) as error:
            _LOG.debug("%s still does not get through: %s", transport, error)
            return False
        return True

    async def close(self) -> None:
        """Close what was kept."""
        if self._ready is not None:
            await self._ready[1].aclose()

    def context(self, url: str) -> ssl.SSLContext | None:
        """What to judge a hub's certificate by; None where there is none. Raises `OSError`."""
        if urlsplit(url).scheme not in ("https", "wss"):
            return None
        return ssl.create_default_context(cafile=str(self._ca) if self._ca else None)

    async def _websocket(self, stack: contextlib.AsyncExitStack, url: str, token: str) -> Wire:
        opened: list[Any] = []
        # With Python 3.11.2 (Debian 12) a cancelled close leaves the socket open.
        stack.callback(lambda: [socket.transport.abort() for socket in opened])
        where = _address(url, _SCHEMES, PATH)
        opened.append(await stack.enter_async_context(self._connect(where, token)))
        socket: Wire = opened[0]
        return socket

    async def _probe(self, url: str, token: str) -> None:
        stack = contextlib.AsyncExitStack()
        try:
            socket: Any = await self._websocket(stack, url, token)
            # That frames get through is more than that the handshake did.
            async with asyncio.timeout(self._pacing.connect):
                await (await socket.ping())
        except BaseException:
            await stack.aclose()
            raise
        self._ready = (socket, stack)

    def _plain(self, transport: str, url: str, token: str) -> Any:  # noqa: ANN401  loaded when needed
        from sync.client.listening import PollingWire, SseWire  # noqa: PLC0415  most never need it

        base = _address(url, _PLAIN, "")
        kind = SseWire if transport == "sse" else PollingWire
        return kind(base, token, self._pacing, self.context(base))


def _address(url: str, schemes: dict[str, str], path: str) -> str:
    """The hub's address for another scheme; raises `InvalidURI`."""
    parts = urlsplit(url)
    if parts.scheme not in _SCHEMES or not parts.hostname:
        raise InvalidURI(url, "not an http(s) or ws(s) address")
    scheme = schemes.get(parts.scheme, parts.scheme)
    return urlunsplit((scheme, parts.netloc, parts.path.rstrip("/") + path, "", ""))
