"""The protocol over plain HTTP: greeting, pushes and pings, server-sent events and polling."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, TypeVar

from sync.hub.asking import BadRequestError, body, caller, handed_over, said, shown, who, wishes
from sync.hub.intake import submit, united
from sync.hub.members import MOST_ROOMS
from sync.hub.polls import Ask
from sync.hub.routes import DEVICE, Param, Route
from sync.hub.streams import Stream
from sync.protocol import (
    MAX_MESSAGE,
    Ack,
    Close,
    FromHub,
    Hello,
    Ping,
    Poll,
    Pong,
    Push,
    Receipt,
    Subscribe,
    Welcome,
    decode_from_kiosk,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiohttp import web

    from sync.hub.access import Who
    from sync.hub.core import Core

T = TypeVar("T")

_SMALL = 64 * 1024  # bytes of a request that brings no events
_ROOMS_A_TOKEN = 10  # to follow so many is as much work as one request more
_PUSHES_AT_ONCE = 8  # unanswered pushes of one device
_STREAM = Param("stream", "The name the listener gave its event stream.")
_FOLLOW = (
    *DEVICE,
    Param("room", "A room to follow.", many=True),
    Param(
        "cursor",
        "Up to where each is known, in the rooms' order: `epoch:offset`, with rows"
        " `epoch:offset.received` and, within a snapshot, `.part` behind it.",
        many=True,
    ),
    Param("kinds", "The only kinds of event wanted, separated by commas."),
    Param("ttl", "Seconds after which the subscriptions end."),
    Param("presence", "`1` to be told which kiosks follow the rooms."),
    Param("rows", "`1` for rows of attendance in place of the events of sessions."),
    Param("names", "`public` for no more than public names in the rows."),
)


class Api:
    """Answers the requests of one hub."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._pushing: dict[tuple[str, str], int] = {}

    def routes(self) -> list[Route]:
        """What it answers."""
        return [
            Route("POST", "/v1/hello", self.hello, "Greet the hub.", (), Hello, {200: Welcome}),
            Route(
                "POST",
                "/v1/push",
                self.push,
                "Have events kept; a verdict for each.",
                (*DEVICE, _STREAM),
                Push,
                {200: Ack},
            ),
            Route("POST", "/v1/ping", self.ping, "Ask for the time.", DEVICE, Ping, {200: Pong}),
            Route(
                "GET",
                "/v1/sse",
                self.sse,
                "Follow rooms as server-sent events.",
                (*_FOLLOW, _STREAM, Param("access_token", "The token, for EventSource only.")),
                None,
                {200: "text/event-stream"},
            ),
            Route(
                "POST",
                "/v1/subscribe",
                self.subscribe,
                "Follow one more room on an event stream.",
                (*DEVICE, Param("stream", _STREAM.about, required=True)),
                Subscribe,
                {204: None},
            ),
            Route(
                "GET",
                "/v1/poll",
                self.poll,
                "What is new in some rooms.",
                (*_FOLLOW, Param("wait", "Seconds to wait for something new, at most 60.")),
                None,
                {200: list[FromHub]},
            ),
            Route(
                "POST",
                "/v1/poll",
                self.poll,
                "The same for more rooms than an address can name.",
                DEVICE,
                Poll,
                {200: list[FromHub]},
            ),
        ]

    async def hello(self, request: web.Request) -> web.Response:
        message = await self._message(request, Hello)
        one = self._core.greet(message, shown(request), caller(request))
        if not one.viewer:
            self._core.remember(one)
        return said(await self._core.welcome(one))

    async def ping(self, request: web.Request) -> web.Response:
        message = await self._message(request, Ping)
        return said(Pong(message.sent, self._core.time()))

    async def push(self, request: web.Request) -> web.Response:
        one = self._who(request)
        if not one.device:
            raise BadRequestError("say which device pushes: /v1/push?device=...&incarnation=...")
        self._core.access.demand(one.grant.may_push(), "push events")
        key = (one.device, one.incarnation)
        if self._pushing.get(key, 0) >= _PUSHES_AT_ONCE:
            raise self._core.access.denied("busy", "too many pushes at once", Close.TRY_LATER, 1.0)
        self._pushing[key] = self._pushing.get(key, 0) + 1
        try:
            return said(await self._pushed(request, one))
        finally:
            self._pushing[key] -= 1
            if not self._pushing[key]:
                del self._pushing[key]

    async def _pushed(self, request: web.Request, one: Who) -> Receipt:
        message = await self._message(request, Push, MAX_MESSAGE)
        stream = self._core.streams.get(request.query.get("stream", ""))
        origin = stream.member if stream is not None and stream.who == one else None
        answer: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()

        def answered(receipt: Receipt) -> None:
            if not answer.done():
                answer.set_result(receipt)

        anchors = united((), message.anchors)
        submit(self._core, message, one, answered, anchors=anchors, origin=origin)
        return await answer

    async def sse(self, request: web.Request) -> web.StreamResponse:
        one = self._who(request)
        name = request.query.get("stream", "")
        follow = self._allowed(request, one, wishes(request))
        return await Stream(self._core, one, name, follow).run(request)

    async def subscribe(self, request: web.Request) -> web.Response:
        wish = await self._message(request, Subscribe)
        one = self._who(request)
        stream = self._core.streams.get(request.query.get("stream", ""))
        if stream is None or stream.who != one:
            raise BadRequestError("there is no such stream", 404, "stream")
        await stream.member.subscribe(*self._allowed(request, one, [wish]))
        return said(b"", 204)

    async def poll(self, request: web.Request) -> web.Response:
        one = self._who(request)
        if request.method == "POST":
            wish = await self._message(request, Poll, 4 * _SMALL)
        else:
            wish = Poll(wishes(request), _seconds(request.query.get("wait", "0")))
        follow = self._allowed(request, one, wish.follow)
        found = await Ask(self._core, one).run(Poll(follow, wish.wait))
        response = said(found)
        await handed_over(request, response)
        return response

    # -- inside ------------------------------------------------------------------------------------

    def _who(self, request: web.Request) -> Who:
        return who(request, self._core.sites)

    def _allowed(
        self, request: web.Request, one: Who, wanted: Sequence[Subscribe]
    ) -> list[Subscribe]:
        """What may be followed of it: all, or a refusal is raised."""
        if len(wanted) > MOST_ROOMS:
            raise BadRequestError(f"more than {MOST_ROOMS} rooms")
        self._core.access.gate.weighed(one, len(wanted) / _ROOMS_A_TOKEN, caller(request))
        for wish in wanted:
            if not one.may_follow(wish.room):
                message = f"{wish.room} is not for this site"
                raise self._core.access.denied("room", message, Close.REVOKED)
        return list(wanted)

    async def _message(self, request: web.Request, kind: type[T], most: int = _SMALL) -> T:
        message = decode_from_kiosk(await body(request, most))
        if not isinstance(message, kind):
            raise BadRequestError("another message belongs here", code="malformed")
        return message


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if math.isnan(seconds):
        raise BadRequestError("wait is a number of seconds")
    return min(max(seconds, 0.0), 60.0)
