"""One row per request the hub answers: the router and the OpenAPI document are both made of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from aiohttp import web


class Refusal(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why a request was not done; `after` (seconds) is when to try again, if that is known."""

    error: str
    code: str
    after: float | None = None


@dataclass(frozen=True, slots=True)
class Param:
    """A query parameter (or one in the path, if the path names it)."""

    name: str
    about: str
    required: bool = False
    many: bool = False


@dataclass(frozen=True, slots=True)
class Route:
    """`body` and the values of `answers` are types msgspec knows, or a media type as text."""

    method: str
    path: str
    handle: Callable[[web.Request], Awaitable[web.StreamResponse]]
    about: str
    params: tuple[Param, ...] = ()
    body: Any = None
    answers: Mapping[int, Any] | None = None
    public: bool = False


SITE = (
    Param("org", "The organisation; may be left out where the hub serves a single site."),
    Param("site", "The site; as `org`."),
)
DEVICE = (
    *SITE,
    Param("device", "The kiosk that asks; left out by a viewer."),
    Param("incarnation", "That kiosk's database."),
    Param("name", "What people call that kiosk, for those who are told who is present."),
)
