"""Asking the hub what time it takes it to be, and staff vouching for that."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from sync.hub.asking import ACCESS, GRANT, BadRequestError, body, said
from sync.hub.routes import Route
from sync.hub.writer import Job, NotWrittenError
from sync.protocol import Count

if TYPE_CHECKING:
    from aiohttp import web

    from sync.hub.core import Core

_BYTES = 1024


class Time(msgspec.Struct, frozen=True):
    """The hub's time (UTC ns). Kiosks are told it only while it is `trusted`."""

    time: int
    trusted: bool


class Confirmed(msgspec.Struct, frozen=True):
    """What time it is (UTC ns), said by somebody who has looked at a clock."""

    time: Count


class HouseTime:
    """Answers `/v1/time`; confirming is for whoever administers the whole hub."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def routes(self) -> list[Route]:
        """What it answers."""
        shown = {200: Time}
        return [
            Route("GET", "/v1/time", self._tell, "The hub's time.", (), None, shown),
            Route(
                "POST",
                "/v1/time",
                self._confirm,
                "Vouch for the time until the hub's machine is started again.",
                (),
                Confirmed,
                shown,
            ),
        ]

    async def _tell(self, _: web.Request) -> web.Response:
        return said(self._now())

    async def _confirm(self, request: web.Request) -> web.Response:
        grant = request[GRANT]
        request[ACCESS].demand(grant.may_administer() and grant.everywhere, "confirm the time")
        try:
            wish = msgspec.json.decode(await body(request, _BYTES), type=Confirmed)
        except (msgspec.MsgspecError, ValueError) as error:
            raise BadRequestError(f"not a time {{time}} in ns: {error}") from None
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[NotWrittenError | None] = loop.create_future()

        def done(result: NotWrittenError | None) -> None:
            if not answer.done():
                answer.set_result(result)

        self._core.writer.put(Job(lambda log: log.confirm_time(wish.time), done))
        failed = await answer
        if failed is not None:
            raise BadRequestError(str(failed), 503, "disk")
        return said(self._now())

    def _now(self) -> Time:
        clock = self._core.clock
        return Time(clock.wall(), clock.synced())
