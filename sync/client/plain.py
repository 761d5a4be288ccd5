"""An exchange over plain HTTP: events go up in POSTs, and come down by SSE or polling.

Up and down are separate lanes. A push that fails is answered with `retry`, as the hub itself would,
and the listening goes on; where listening fails, pushes go on until it is given up.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

import aiohttp
import msgspec
from msgspec.structs import replace

from kiosk.tasks import spawn, stop
from sync.client.wires import AnsweredError
from sync.protocol import (
    MAX_FROM_HUB,
    Ack,
    Cursor,
    Error,
    Events,
    FromHub,
    Hello,
    Ping,
    ProtocolError,
    Push,
    Reset,
    Subscribe,
    Verdict,
    decode_from_hub,
    decode_from_kiosk,
    encode,
)

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Coroutine

    from kiosk.clock import Anchor
    from sync.client.pacing import Pacing

LOOPBACK = ("127.0.0.1", "::1", "localhost")
_QUEUED = 64  # messages that wait to be heard
_MOST_ANCHORS = 64
_LAST_RETRY = 60.0  # seconds
_FATAL = (401, 403)
_NOT_UNDERSTOOD = (400, 413)


class _Refused(msgspec.Struct):
    error: str = ""
    code: str = ""
    after: float = 0.0


class PlainWire:
    """One exchange; a subclass says how it listens. Close it in the end."""

    # A simulation puts its own in the place of these: chance and the network.
    _draw = staticmethod(random.uniform)

    def _connector(self, context: ssl.SSLContext | None) -> aiohttp.BaseConnector:
        return aiohttp.TCPConnector(ssl=context if context is not None else True)

    def __init__(
        self, base: str, token: str, pacing: Pacing, context: ssl.SSLContext | None = None
    ) -> None:
        """`base` is the hub's http or https address; `context` checks its certificate."""
        self._base = base
        self._pacing = pacing
        self._session = aiohttp.ClientSession(
            headers={"Authorization": f"Bearer {token}"},
            connector=self._connector(context),
            timeout=aiohttp.ClientTimeout(total=pacing.ack, connect=pacing.connect),
            auto_decompress=False,
            trust_env=urlsplit(base).hostname not in LOOPBACK,
        )
        self._who: dict[str, str] = {}
        self._heard: asyncio.Queue[bytes | Exception] = asyncio.Queue(_QUEUED)
        self._pushes: asyncio.Queue[Push] = asyncio.Queue()
        self._pings: asyncio.Queue[bytes] = asyncio.Queue(2)
        self._lanes: list[asyncio.Task[None]] = []
        self._anchors: dict[tuple[str, int], Anchor] = {}
        self._follows: dict[str, Subscribe] = {}
        self._failures = 0
        self._over: Exception | None = None

    async def close(self) -> None:
        """End all of it."""
        for lane in self._lanes:
            lane.cancel()  # they run on while connections close, and must not ask for new ones
        if self._session.connector is not None:
            # First of all, or TLS connections would say farewell for longer than the loop lives.
            await self._session.connector.close(abort_ssl=True)
        await stop(*self._lanes)
        await self._session.close()

    def end(self, error: Exception) -> None:
        """Have whoever listens get this next, and nothing after it."""
        if self._over is None:
            self._over = error
            while self._heard.full():
                self._heard.get_nowait()
            self._heard.put_nowait(error)

    # -- as a WebSocket would ----------------------------------------------------------------------

    async def send(self, message: bytes, *, text: bool) -> None:  # noqa: ARG002  JSON is text
        """Hand one over; only a greeting is waited for."""
        said = decode_from_kiosk(message)
        match said:
            case Hello():
                await self._greet(said, message)
            case Push():
                self._pushes.put_nowait(said)
            case Subscribe():
                self._follows[said.room] = said
                await self._follow(said)
            case Ping():
                if not self._pings.full():
                    self._pings.put_nowait(message)

    async def recv(self, *, decode: bool) -> bytes:  # noqa: ARG002  as that of a WebSocket
        """The next message; raises what ended it."""
        if self._over is not None and self._heard.empty():
            raise self._over
        found = await self._heard.get()
        if isinstance(found, Exception):
            raise found
        return found

    # -- what a subclass does ----------------------------------------------------------------------

    async def _listen(self) -> None:
        """The lane down; whatever it raises ends the exchange."""
        raise AssertionError

    async def _follow(self, wish: Subscribe) -> None:
        """A room is wanted, perhaps anew."""

    # -- up ----------------------------------------------------------------------------------------

    async def _greet(self, hello: Hello, message: bytes) -> None:
        names = ("org", "site", "device", "incarnation", "name")
        self._who = {name: getattr(hello, name) for name in names}
        answer = await self._post("/v1/hello", message)
        await self._heard.put(answer)
        await stop(*self._lanes)
        if self._over is None:
            lanes = (("down", self._listen()), ("up", self._push()), ("pings", self._ping()))
            self._lanes = [spawn(self._lane(work), f"sync-http-{name}") for name, work in lanes]

    async def _lane(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except (OSError, TimeoutError, ProtocolError) as error:
            self.end(error)

    async def _push(self) -> None:
        while True:
            push = await self._pushes.get()
            for anchor in push.anchors:
                self._anchors[anchor.boot, anchor.ticks] = anchor
            # The hub keeps none between two requests.
            anchors = list(self._anchors.values())[-_MOST_ANCHORS:]
            try:
                answer = await self._post("/v1/push", encode(replace(push, anchors=anchors)))
                self._failures = 0
            except (OSError, TimeoutError, AnsweredError) as error:
                if isinstance(error, AnsweredError) and error.status in (*_FATAL, *_NOT_UNDERSTOOD):
                    raise
                answer = encode(self._again(push, error))
            await self._heard.put(answer)

    def _again(self, push: Push, error: Exception) -> Ack:
        """What the hub would say if it could: try all of it once more."""
        ceiling = min(self._pacing.first_retry * 2.0 ** min(self._failures, 16), _LAST_RETRY)
        self._failures += 1
        at_least = error.after if isinstance(error, AnsweredError) else 0.0
        after = at_least + self._draw(0.0, ceiling)
        return Ack(push.batch, [Verdict("", "retry", "line", after) for _ in push.events])

    async def _ping(self) -> None:
        while True:
            message = await self._pings.get()
            try:
                await self._heard.put(await self._post("/v1/ping", message))
            except (OSError, TimeoutError, AnsweredError) as error:
                if isinstance(error, AnsweredError) and error.status in _FATAL:
                    raise

    # -- down --------------------------------------------------------------------------------------

    async def _take(self, data: bytes) -> FromHub:
        """Pass a message on, and note how far each room has come."""
        message = decode_from_hub(data)
        match message:
            case Events() if (wish := self._follows.get(message.room)) is not None:
                self._moved(wish, message)
            case Reset() if (wish := self._follows.get(message.room)) is not None:
                self._follows[message.room] = replace(wish, cursor=Cursor(message.epoch, 0))
            case Error(code="superseded" | "token" | "revoked"):
                raise AnsweredError(403 if message.code == "revoked" else 401, message.code)
        await self._heard.put(data)
        return message

    def _moved(self, wish: Subscribe, events: Events) -> None:
        at = wish.cursor
        if events.after > (at.offset if at else 0) or (at and at.epoch != events.epoch):
            return  # from before the room was asked for anew
        last = events.items[-1].envelope if events.items else None
        told = last is not None and last.offset == events.offset
        received = last.received if last is not None and told else events.received
        wish = replace(wish, cursor=Cursor(events.epoch, events.offset, max(received, 0)))
        if wish.pages and not events.live:
            wish = replace(wish, pages=wish.pages - 1)
            if not wish.pages:  # it is asked on once these are stored
                del self._follows[wish.room]
                return
        self._follows[wish.room] = wish

    # -- requests ----------------------------------------------------------------------------------

    def _address(self, path: str, **more: str) -> str:
        who = {} if path == "/v1/hello" else self._who
        query = urlencode(who | more)
        return f"{self._base}{path}?{query}" if query else self._base + path

    async def _post(self, path: str, data: bytes, seconds: float = 0.0, **more: str) -> bytes:
        """The answer's body. Raises `AnsweredError`, `OSError` or `TimeoutError`."""

        async def ask() -> bytes:
            timeout = aiohttp.ClientTimeout(total=seconds + self._pacing.ack)
            headers = {"Content-Type": "application/json"}
            async with self._session.post(
                self._address(path, **more), data=data, headers=headers, timeout=timeout
            ) as response:
                answer = await _body(response)
                if response.status >= 300:
                    raise _answered(response, answer)
                return answer

        answer: bytes = await translated(ask)
        return answer


async def translated(ask: Callable[[], Coroutine[Any, Any, Any]]) -> Any:  # noqa: ANN401  its result
    """The result of a request, aiohttp's errors made plain ones."""
    try:
        return await ask()
    except TimeoutError:
        raise
    except aiohttp.ClientConnectorCertificateError as error:
        raise error.certificate_error from error
    except aiohttp.ClientError as error:
        raise OSError(getattr(error, "errno", None) or 0, str(error) or repr(error)) from error


async def _body(response: aiohttp.ClientResponse) -> bytes:
    data = bytearray()
    async for chunk in response.content.iter_any():
        data += chunk
        if len(data) > MAX_FROM_HUB:
            raise ProtocolError("an answer longer than any honest one")
    return bytes(data)


def _answered(response: aiohttp.ClientResponse, answer: bytes) -> AnsweredError:
    try:
        refused = msgspec.json.decode(answer, type=_Refused)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        refused = _Refused()
    after = refused.after
    if not after:
        text = response.headers.get("Retry-After", "")
        after = float(text) if text.isascii() and text.isdigit() else 0.0
    return AnsweredError(response.status, refused.code, min(max(after, 0.0), 3600.0))
