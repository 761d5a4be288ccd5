"""Reading an HTTP request with bounds on size and time, and answering it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from sync.hub.access import Access, DeniedError, Who
from sync.hub.auth.gate import Caller
from sync.hub.auth.grants import Grant
from sync.hub.routes import Refusal
from sync.hub.tokens import bearer
from sync.protocol import Cursor, ProtocolError, Subscribe

if TYPE_CHECKING:
    from collections.abc import Collection

_BODY_WITHIN = 10.0  # seconds, plus what its size needs at the least speed
_LEAST_SPEED = 64 * 1024  # bytes a second
_TAKEN_WITHIN = 30.0  # seconds a peer gets to take an answer
_LONGEST_NAME = 200
# Where a request carries what its token grants, and whom to ask for more.
GRANT = web.RequestKey("grant", Grant)
ACCESS = web.RequestKey("access", Access)
# Where a request came from, as far as that can be believed.
ADDRESS = web.RequestKey("address", str)


class BadRequestError(ProtocolError):
    """The request cannot be understood."""

    def __init__(self, message: str, status: int = 400, code: str = "request") -> None:
        super().__init__(message)
        self.status = status
        self.reason = code


def caller(request: web.Request, subject: str = "") -> Caller:
    """Where a request came from, and what for."""
    return Caller(request[ADDRESS], f"{request.method} {request.path}", subject)


def shown(request: web.Request) -> str | None:
    """The token that came along; in the query only where a browser's EventSource must."""
    if token := bearer(request.headers.get("Authorization")):
        return token
    return request.query.get("access_token") if request.path == "/v1/sse" else None


async def body(request: web.Request, most: int) -> bytes:
    """The request's body; raises `BadRequestError` if it is too long or too slow in coming."""
    if (request.content_length or 0) > most:
        raise _too_long(most)
    data = bytearray()
    try:
        async with asyncio.timeout(_BODY_WITHIN + most / _LEAST_SPEED):
            while chunk := await request.content.readany():
                data += chunk
                if len(data) > most:
                    raise _too_long(most)
    except TimeoutError:
        raise BadRequestError("the body did not come in time", 408, "slow") from None
    # Whoever has gone in mid-request gets no answer, but is no failure of the hub's either.
    except (web.RequestPayloadError, HttpProcessingError, ConnectionResetError) as error:
        raise BadRequestError(f"the body is broken: {error}") from error
    return bytes(data)


def who(request: web.Request, sites: Collection[tuple[str, str]]) -> Who:
    """Whom the query speaks for; a token of one site, or a hub of one, tells which is meant."""
    query = request.query
    org, site = query.get("org", ""), query.get("site", "")
    if not (org and site):
        own = request[GRANT].only_site
        if own is None and len(sites) != 1:
            raise BadRequestError(f"say which site: {request.path}?org=...&site=...")
        org, site = own or next(iter(sites))
    names = (org, site, query.get("device", ""), query.get("incarnation", ""))
    if any(len(name) > _LONGEST_NAME for name in names):
        raise BadRequestError("a name is too long")
    name = query.get("name", "")[:_LONGEST_NAME]
    one = Who(*names, name, viewer=not names[2])
    return request[ACCESS].greeted(one, request[GRANT], caller(request, one.device))


def wishes(request: web.Request) -> list[Subscribe]:
    """What the query follows: `room` as often as wanted, and a `cursor` for each, in order.

    A `Last-Event-ID`, which a browser sends by itself, says more than the cursors of its address.
    """
    rooms, given = request.query.getall("room", []), request.query.getall("cursor", [])
    if last := request.headers.get("Last-Event-ID"):
        epoch, _, offsets = last.rpartition(":")
        given = [f"{epoch}:{offset}" for offset in offsets.split(",")]
    if given and len(given) != len(rooms):
        raise BadRequestError("there is not one cursor for each room")
    cursors = [cursor(text) for text in given] or [None] * len(rooms)
    kinds = [kind for kind in request.query.get("kinds", "").split(",") if kind]
    wish = {"kinds": kinds, "presence": request.query.get("presence") == "1"}
    wish["names"] = request.query.get("names", "full")
    rows = request.query.get("rows") == "1"
    if ttl := request.query.get("ttl"):
        wish["ttl"] = ttl
    try:
        return [
            msgspec.convert(
                wish | {"room": room, "cursor": at, "rows": rows and "/session/" in room},
                Subscribe,
                strict=False,
            )
            for room, at in zip(rooms, cursors, strict=True)
        ]
    except msgspec.ValidationError as error:
        raise BadRequestError(str(error)) from error


def cursor(text: str) -> Cursor | None:
    """`epoch:offset`, with `.received` and `.part` behind it; nothing at all is the beginning."""
    if not text:
        return None
    epoch, _, rest = text.partition(":")
    numbers = rest.replace(".", ":").split(":")
    if not epoch or len(numbers) not in (1, 2, 3) or not all(_is_count(n) for n in numbers):
        raise BadRequestError("a cursor is epoch:offset, or epoch:offset.received")
    return Cursor(epoch[:_LONGEST_NAME], *map(int, numbers))


def said(answer: Any, status: int = 200, **headers: str) -> web.Response:  # noqa: ANN401  a Struct
    """An answer in JSON; bytes are taken for JSON already."""
    data = answer if isinstance(answer, bytes) else msgspec.json.encode(answer)
    return web.Response(
        body=data, status=status, content_type="application/json", headers=headers or None
    )


def refused(error: DeniedError | ProtocolError) -> web.Response:
    """The answer to a request that is not done."""
    match error:
        case DeniedError():
            status, code, after = error.status, error.code, error.after
        case BadRequestError():
            status, code, after = error.status, error.reason, None
        case _:
            status, code, after = 400, error.code, None
    headers = {} if after is None else {"Retry-After": str(max(1, round(after)))}
    return said(Refusal(str(error), code, after), status, **headers)


async def handed_over(request: web.Request, response: web.StreamResponse) -> None:
    """Send a response whose taker may be slow, but not for ever: then its connection is cut."""
    transport = request.transport
    try:
        async with asyncio.timeout(_TAKEN_WITHIN):
            writer = await response.prepare(request)
            await response.write_eof()
            if writer is not None:
                await writer.drain()  # or it would be read on while this is in memory
    except TimeoutError:
        if transport is not None:
            transport.abort()
    except ConnectionError:
        pass  # gone, so there is nobody to hand it to


def _too_long(most: int) -> BadRequestError:
    return BadRequestError(f"more than {most} bytes", 413, "oversized")


def _is_count(text: str) -> bool:
    # Times in nanoseconds have nineteen digits, and fit into 63 bits.
    return text.isascii() and text.isdigit() and len(text) < 20 and int(text) < 1 << 63
