"""The directory over REST: people, sessions, staff and devices; a change is an event."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from kiosk.model import site_room
from sync.hub.asking import BadRequestError, body, said, who
from sync.hub.routes import SITE, Param, Route
from sync.hub.vetting import PersonRecord, PlaceRecord, SessionRecord, VettingError, clashes, vet
from sync.hub.writer import Job, NotWrittenError
from sync.protocol import Name

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp import web

    from sync.hub.access import Who
    from sync.hub.core import Core
    from sync.hub.log import Log

_DIRECTORY_BYTES = 32 * 1024 * 1024
_RECORD_BYTES = 1024 * 1024
_HIGHEST = 1 << 61  # rev that may be named: SQLite's numbers end, and there must be higher ones
_PAGE = 500  # records in one answer, unless fewer are asked for


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One record of the directory as `POST /v1/directory` takes it."""

    record: Name
    id: Name
    value: Any


class Taken(msgspec.Struct, frozen=True):
    """How many records made an event, and how many were as the hub knew them."""

    events: int
    unchanged: int


class Entry(msgspec.Struct, frozen=True):
    """A record as it stands; `rev` grows with every change."""

    id: str
    rev: int
    value: Any


class Entries(msgspec.Struct, frozen=True):
    """Records by id; `next` is where the rest begins, None if that is all."""

    items: list[Entry]
    next: str | None


@dataclass(frozen=True, slots=True)
class _Kind:
    """A kind of record: its name in the log, its place in addresses; None may not be put there."""

    record: str
    path: str
    type: Any


_KINDS = (
    _Kind("person", "people", PersonRecord),
    _Kind("session", "sessions", SessionRecord),
    _Kind("staff", "staff", None),
    _Kind("device", "devices", PlaceRecord),
)
_Outcome: TypeAlias = int | list[str] | NotWrittenError
_RECORDS = msgspec.json.Decoder(list[Record])


_ABOVE = Param("above", "Give these and all later records revs above this one.")


class Directory:
    """Answers the requests about the directory of one hub."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def routes(self) -> list[Route]:
        """What it answers."""
        found = [
            Route(
                "POST",
                "/v1/directory",
                self._many,
                "Change many records (person, session, policy, device, merged), or none: one that"
                " is as the hub knows it makes no event.",
                (*SITE, _ABOVE),
                list[Record],
                {200: Taken},
            )
        ]
        for kind in _KINDS:
            one = (*SITE, Param("id", "The record's id.", required=True))
            path = f"/v1/{kind.path}"
            page = (
                *SITE,
                Param("after", "Begin behind this id."),
                Param("limit", f"At most so many, {_PAGE} if not said."),
            )
            named = f"{path}/{{id}}"
            found += [
                Route(
                    "GET",
                    path,
                    _of(kind, self._list),
                    f"The {kind.path}.",
                    page,
                    None,
                    {200: Entries},
                ),
                Route(
                    "GET",
                    named,
                    _of(kind, self._one),
                    f"One of the {kind.path}.",
                    one,
                    None,
                    {200: Entry},
                ),
            ]
            if kind.type is not None:
                put, about = _of(kind, self._put), f"Set one of the {kind.path}."
                found.append(Route("PUT", named, put, about, one, kind.type, {200: Entry}))
        return found

    async def _many(self, request: web.Request) -> web.Response:
        one = self._directing(request)
        data = await body(request, _DIRECTORY_BYTES)
        try:
            records = _RECORDS.decode(data)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            message = f"not a list of records {{record, id, value}}: {error}"
            raise BadRequestError(message) from error
        above = _whole(request.query.get("above", "0"), _HIGHEST, "above")
        made = await self._write(one, [(r.record, r.id, r.value) for r in records], above)
        return said(Taken(made, len(records) - made))

    async def _list(self, request: web.Request, kind: _Kind) -> web.Response:
        one = self._reading(request, kind)
        count = _whole(request.query.get("limit", str(_PAGE)), _PAGE, "limit", 1)
        after = request.query.get("after", "")
        room = site_room(one.org, one.site)
        rows = await self._core.pages.records(room, kind.record, after, count + 1)
        items = [Entry(id_, rev, msgspec.Raw(value)) for id_, rev, value in rows[:count]]
        return said(Entries(items, items[-1].id if len(rows) > count else None))

    async def _one(self, request: web.Request, kind: _Kind) -> web.Response:
        one = self._reading(request, kind)
        return said(await self._read(one, kind, request.match_info["id"]))

    async def _put(self, request: web.Request, kind: _Kind) -> web.Response:
        one, id_ = self._directing(request), request.match_info["id"]
        data = await body(request, _RECORD_BYTES)
        try:
            value = msgspec.json.decode(data)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise BadRequestError(f"not one of the {kind.path}: {error}") from error
        await self._write(one, [(kind.record, id_, value)])
        return said(await self._read(one, kind, id_))

    def _directing(self, request: web.Request) -> Who:
        one = who(request, self._core.sites)
        may = one.grant.may_direct(one.org, one.site)
        self._core.access.demand(may, "change the directory")
        return one

    def _reading(self, request: web.Request, kind: _Kind) -> Who:
        one = who(request, self._core.sites)
        self._core.access.demand(one.grant.may_read(kind.record), f"read {kind.path}")
        return one

    async def _read(self, one: Who, kind: _Kind, id_: str) -> Entry:
        rows = await self._core.pages.record(site_room(one.org, one.site), kind.record, id_)
        if not rows:
            raise BadRequestError(f"there is no such record in {kind.path}", 404, "unknown")
        return Entry(id_, rows[0][0], msgspec.Raw(rows[0][1]))

    async def _write(self, one: Who, records: list[tuple[str, str, Any]], above: int = 0) -> int:
        room = site_room(one.org, one.site)
        try:
            for record in records:
                vet(*record)
        except VettingError as error:
            raise BadRequestError(str(error), code="record") from None
        answer: asyncio.Future[_Outcome] = asyncio.get_running_loop().create_future()

        def work(log: Log) -> int | list[str]:
            log.speak_above(above)
            return clashes(records, log.said(room, "person")) or log.direct(one.org, room, records)

        def done(result: _Outcome) -> None:
            if not answer.done():
                answer.set_result(result)

        self._core.writer.put(Job(work, done))
        made = await answer
        if isinstance(made, NotWrittenError):
            raise BadRequestError(str(made), 503, "disk")
        if isinstance(made, list):
            raise BadRequestError("; ".join(made), 409, "taken")
        return made


def _of(
    kind: _Kind, work: Callable[[web.Request, _Kind], Awaitable[web.StreamResponse]]
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        return await work(request, kind)

    return handle


def _whole(text: str, most: int, name: str, least: int = 0) -> int:
    if not (text.isascii() and text.isdigit() and least <= int(text) <= most):
        raise BadRequestError(f"{name} is a number from {least} to {most}")
    return int(text)
