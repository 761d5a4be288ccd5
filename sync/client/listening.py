"""The two ways to listen by plain HTTP: server-sent events, and asking again and again."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from typing import TYPE_CHECKING, Any

import aiohttp
import msgspec

from kiosk.tasks import spawn, stop
from sync.client.pacing import Backoff
from sync.client.plain import PlainWire, translated
from sync.client.wires import AnsweredError, UnfitError
from sync.protocol import MAX_FROM_HUB, Poll, ProtocolError, Subscribe, encode

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

_TRIES = 3  # streams in a row that may end before they brought anything
_DATA = b"data: "
_MESSAGES = msgspec.json.Decoder(list[msgspec.Raw])


class SseWire(PlainWire):
    """Listens to an event stream, which the hub adds rooms to when it is asked."""

    _stream = ""
    _open: asyncio.Event | None = None

    async def probe(self) -> None:
        """Find out whether a stream gets through; raises if not."""
        async with asyncio.timeout(self._pacing.connect):
            async with contextlib.aclosing(self._lines("")) as lines:
                async for _ in lines:
                    return
        raise UnfitError("the event stream ended at once")

    async def _listen(self) -> None:
        backoff = Backoff(self._pacing, self._draw)
        failed: Exception = UnfitError("the event stream ended at once")
        while backoff.attempt < _TRIES:
            self._stream = uuid.uuid4().hex
            self._open = asyncio.Event()
            asking = spawn(self._ask_for_all(), "sync-http-ask")
            try:
                async with contextlib.aclosing(self._lines(self._stream)) as lines:
                    async for line in lines:
                        self._open.set()
                        if line.startswith(_DATA):
                            await self._take(line[len(_DATA) :])
                            backoff.reset()
            except AnsweredError as error:
                if error.status in (401, 403):
                    raise
                failed = error
            except (OSError, TimeoutError) as error:
                failed = error
            finally:
                await stop(asking)
                self._open = None
            await asyncio.sleep(backoff.wait())
        raise UnfitError(f"no event stream lasts: {failed}") from failed

    async def _follow(self, wish: Subscribe) -> None:
        if self._open is not None and self._open.is_set():
            await self._ask(wish)

    async def _ask_for_all(self) -> None:
        assert self._open is not None  # noqa: S101  made just before
        await self._open.wait()
        for wish in list(self._follows.values()):
            await self._ask(wish)

    async def _ask(self, wish: Subscribe) -> None:
        try:
            await self._post("/v1/subscribe", encode(wish), stream=self._stream)
        except (OSError, TimeoutError, AnsweredError) as error:
            if isinstance(error, AnsweredError) and error.status == 403 and error.reason == "room":
                return  # a room that is not this site's: nothing to hear there
            # Then the stream must begin anew, and all of them with it.
            self._cut()

    def _cut(self) -> None:
        if self._response is not None:
            self._response.close()

    _response: aiohttp.ClientResponse | None = None

    async def _lines(self, stream: str) -> AsyncGenerator[bytes, None]:
        """Lines of the stream, for as long as it is never silent for too long."""
        who = {} if stream else {"device": "", "incarnation": ""}
        address = self._address("/v1/sse", stream=stream, **who)
        timeout = aiohttp.ClientTimeout(
            total=None, connect=self._pacing.connect, sock_read=self._pacing.silence
        )
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}

        async def opened() -> aiohttp.ClientResponse:
            async with asyncio.timeout(self._pacing.connect):
                return await self._session.get(address, timeout=timeout, headers=headers)

        response: aiohttp.ClientResponse = await translated(opened)
        self._response = response
        try:
            if response.status != 200:
                raise AnsweredError(response.status)
            if not response.headers.get("Content-Type", "").startswith("text/event-stream"):
                raise UnfitError("what answers is no event stream")
            rest = b""
            while chunk := await translated(response.content.readany):
                *lines, rest = (rest + chunk).split(b"\n")
                if len(rest) > MAX_FROM_HUB:
                    raise ProtocolError("an event longer than any honest one")
                for line in lines:
                    yield line
        finally:
            self._response = None
            if response.connection is not None and response.connection.transport is not None:
                response.connection.transport.abort()  # a TLS farewell would outlive the loop
            response.close()


class PollingWire(PlainWire):
    """Asks what is new, and lets the hub wait with its answer until there is something."""

    def __init__(self, *given: Any) -> None:  # noqa: ANN401  as `PlainWire`
        super().__init__(*given)
        self._fresh: set[str] = set()
        self._changed = asyncio.Event()

    async def _follow(self, wish: Subscribe) -> None:
        self._fresh.add(wish.room)
        self._changed.set()

    async def _listen(self) -> None:
        backoff = Backoff(self._pacing, self._draw)
        while True:
            if not self._follows:
                self._changed.clear()
                await self._changed.wait()
            try:
                await self._poll()
                backoff.reset()
            except (OSError, TimeoutError, AnsweredError) as error:
                if isinstance(error, AnsweredError) and error.status in (401, 403):
                    raise
                if backoff.attempt >= _TRIES:
                    raise
                after = error.after if isinstance(error, AnsweredError) else 0.0
                await asyncio.sleep(backoff.wait(after))
            await asyncio.sleep(self._pacing.poll_pause)

    async def _outcome(self, question: bytes, wait: float) -> bytes | Exception:
        try:
            return await self._post("/v1/poll", question, wait)
        except (OSError, TimeoutError, ProtocolError) as error:
            return error

    async def _poll(self) -> None:
        fresh, self._fresh = self._fresh, set()
        self._changed.clear()
        wait = 0.0 if fresh else self._pacing.poll_wait
        question = encode(Poll(list(self._follows.values()), wait))
        asked = spawn(self._outcome(question, wait), "sync-http-poll")
        changed = spawn(self._changed.wait(), "sync-http-changed")
        try:
            await asyncio.wait((asked, changed), return_when=asyncio.FIRST_COMPLETED)
            if not asked.done():
                self._fresh |= fresh
                return  # what is wanted has changed: ask for that
            answer = asked.result()
        finally:
            await stop(asked, changed)
        if isinstance(answer, Exception):
            self._fresh |= fresh
            raise answer
        for message in _messages(answer):
            await self._take(message)


def _messages(answer: bytes) -> list[bytes]:
    try:
        return [bytes(raw) for raw in _MESSAGES.decode(answer)]
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise ProtocolError(f"no list of messages came: {error}") from error
