"""The requests by which tokens are got, renewed and taken away."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import msgspec

from sync.hub.asking import GRANT, BadRequestError, body, caller, said, shown
from sync.hub.auth.denied import DeniedError
from sync.hub.auth.office import ChallengedError, Issued, Pairing, Renewal, SignIn
from sync.hub.auth.register import Denial
from sync.hub.routes import Param, Route
from sync.protocol import Close

if TYPE_CHECKING:
    from aiohttp import web

    from sync.hub.auth.gate import Gate
    from sync.hub.auth.grants import Grant
    from sync.hub.auth.office import Office

T = TypeVar("T")

_LARGEST = 16 * 1024  # bytes of a request
_MOST_DENIALS = 1000
_DEVICE = (Param("id", "The device's id.", required=True),)


class Rename(msgspec.Struct, frozen=True):
    """A device's new name."""

    name: str


class Paired(msgspec.Struct, frozen=True):
    """A paired kiosk; times in UTC ns, `revoked` null if it is not."""

    id: str
    name: str
    org: str
    site: str
    paired: int
    revoked: int | None


class Challenge(msgspec.Struct, frozen=True):
    """The token has expired; sign `challenge` with the device's key to get another."""

    error: str
    code: str
    challenge: str


class Requests:
    """Answers what is asked of one hub's gate and office; refusals are answered by the server."""

    def __init__(self, gate: Gate, office: Office) -> None:
        self._gate = gate
        self._office = office

    def routes(self) -> list[Route]:
        """What it answers."""
        tokens = (
            ("/v1/pair", self._pair, "Exchange a one-time code for a token.", Pairing),
            ("/v1/login", self._login, "Sign in with PIN or password.", SignIn),
            ("/v1/renew", self._renew, "Exchange a token for a newer one.", Renewal),
        )
        named = "/v1/pairings/{id}"
        return [
            *(
                Route("POST", path, work, about, (), kind, {200: Issued}, public=True)
                for path, work, about, kind in tokens
            ),
            Route(
                "GET", "/v1/pairings", self._list, "Paired kiosks.", (), None, {200: list[Paired]}
            ),
            Route(
                "POST",
                f"{named}/name",
                self._rename,
                "Give a kiosk another name.",
                _DEVICE,
                Rename,
                {200: Paired},
            ),
            Route(
                "POST",
                f"{named}/revoke",
                self._revoke,
                "Shut a kiosk out.",
                _DEVICE,
                None,
                {200: Paired},
            ),
            Route(
                "GET",
                "/v1/denials",
                self._denials,
                "Who was refused, the latest first.",
                (),
                None,
                {200: list[Denial]},
            ),
        ]

    # -- tokens ------------------------------------------------------------------------------------

    async def _pair(self, request: web.Request) -> web.Response:
        wish = await _read(request, Pairing)
        return _token(await self._office.pair(wish, caller(request, wish.device)))

    async def _login(self, request: web.Request) -> web.Response:
        wish = await _read(request, SignIn)
        return _token(await self._office.sign_in(wish, caller(request, wish.staff)))

    async def _renew(self, request: web.Request) -> web.Response:
        wish = await _read(request, Renewal)
        try:
            return _token(await self._office.renew(shown(request), wish, caller(request)))
        except ChallengedError as error:
            return said(Challenge(str(error), "expired", error.challenge), 401)

    # -- devices -----------------------------------------------------------------------------------

    async def _list(self, request: web.Request) -> web.Response:
        grant = _administering(request)
        devices = self._gate.roll.devices.values()
        return said([_paired(self._gate, d.id) for d in devices if grant.covers(d.org, d.site)])

    async def _rename(self, request: web.Request) -> web.Response:
        device, wish = self._device(request), await _read(request, Rename)
        gate = self._gate
        await gate.asked(lambda: gate.register.rename(device, wish.name[:200]))
        await gate.changed()
        return said(_paired(gate, device))

    async def _revoke(self, request: web.Request) -> web.Response:
        device, gate = self._device(request), self._gate
        await gate.asked(lambda: gate.register.revoke(device, gate.now()))
        await gate.changed()
        return said(_paired(gate, device))

    async def _denials(self, request: web.Request) -> web.Response:
        if not _administering(request).everywhere:
            raise _forbidden("see who was refused")
        return said(await self._gate.asked(lambda: self._gate.register.denials(_MOST_DENIALS)))

    def _device(self, request: web.Request) -> str:
        """The device in the path, if the bearer may administer it."""
        grant = _administering(request)
        found = self._gate.roll.devices.get(request.match_info["id"])
        if found is None or not grant.covers(found.org, found.site):
            raise BadRequestError("there is no such device", 404, "unknown")
        return found.id


def _administering(request: web.Request) -> Grant:
    grant = request[GRANT]
    if not grant.may_administer():
        raise _forbidden("administer devices")
    return grant


def _forbidden(what: str) -> DeniedError:
    return DeniedError("forbidden", f"this token does not allow to {what}", Close.REVOKED)


def _paired(gate: Gate, id_: str) -> Paired:
    one = gate.roll.devices[id_]
    return Paired(one.id, one.name, one.org, one.site, one.paired, one.revoked)


def _token(issued: Issued) -> web.Response:
    # RFC 6749, 5.1: nothing on the way may keep it.
    return said(issued, 200, **{"Cache-Control": "no-store"})


async def _read(request: web.Request, type_: type[T]) -> T:
    data = await body(request, _LARGEST)
    try:
        return msgspec.json.decode(data or b"{}", type=type_)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise BadRequestError(f"not what this request takes: {error}") from error
