"""The requests by which tokens are got, renewed and taken away: JSON in, JSON out."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from aiohttp import web

from sync.hub.auth.gate import Caller, DeniedError
from sync.hub.auth.office import ChallengedError, Pairing, Renewal, SignIn
from sync.hub.tokens import bearer
from sync.protocol import Close

if TYPE_CHECKING:
    from sync.hub.auth.gate import Gate
    from sync.hub.auth.grants import Grant
    from sync.hub.auth.office import Issued, Office

T = TypeVar("T")

_LARGEST = 16 * 1024  # bytes of a request
_MOST_DENIALS = 1000


class Rename(msgspec.Struct, frozen=True):
    """What `POST /v1/devices/{id}/name` takes."""

    name: str


class Routes:
    """Handlers for an aiohttp application; `table` is what to add to its router."""

    def __init__(self, gate: Gate, office: Office) -> None:
        self._gate = gate
        self._office = office

    def table(self) -> list[web.RouteDef]:
        """The routes, whose handlers answer every refusal by themselves."""
        return [
            web.post("/v1/pair", self._pair),
            web.post("/v1/login", self._login),
            web.post("/v1/renew", self._renew),
            web.get("/v1/devices", self._devices),
            web.post("/v1/devices/{id}/name", self._rename),
            web.post("/v1/devices/{id}/revoke", self._revoke),
            web.get("/v1/denials", self._denials),
        ]

    # -- tokens ------------------------------------------------------------------------------------

    async def _pair(self, request: web.Request) -> web.Response:
        try:
            wish = await _body(request, Pairing)
            return _token(await self._office.pair(wish, caller(request, wish.device)))
        except DeniedError as error:
            return denied(error)

    async def _login(self, request: web.Request) -> web.Response:
        try:
            wish = await _body(request, SignIn)
            return _token(await self._office.sign_in(wish, caller(request, wish.staff)))
        except DeniedError as error:
            return denied(error)

    async def _renew(self, request: web.Request) -> web.Response:
        try:
            wish = await _body(request, Renewal)
            return _token(await self._office.renew(shown(request), wish, caller(request)))
        except ChallengedError as error:
            answer = {"error": str(error), "code": "expired", "challenge": error.challenge}
            return web.json_response(answer, status=401)
        except DeniedError as error:
            return denied(error)

    # -- devices -----------------------------------------------------------------------------------

    async def _devices(self, request: web.Request) -> web.Response:
        try:
            grant = self._administering(request)
        except DeniedError as error:
            return denied(error)
        found = [
            {
                "id": d.id,
                "name": d.name,
                "org": d.org,
                "site": d.site,
                "paired": d.paired,
                "revoked": d.revoked,
            }
            for d in self._gate.roll.devices.values()
            if grant.covers(d.org, d.site)
        ]
        return web.json_response({"devices": found})

    async def _rename(self, request: web.Request) -> web.Response:
        try:
            device = self._device(request)
            wish = await _body(request, Rename)
        except DeniedError as error:
            return denied(error)
        register = self._gate.register
        await self._gate.on_file(lambda: register.rename(device, wish.name[:200]))
        await self._gate.changed()
        return web.json_response({"device": device})

    async def _revoke(self, request: web.Request) -> web.Response:
        try:
            device = self._device(request)
        except DeniedError as error:
            return denied(error)
        gate = self._gate
        await gate.on_file(lambda: gate.register.revoke(device, gate.now()))
        await gate.changed()
        return web.json_response({"device": device})

    async def _denials(self, request: web.Request) -> web.Response:
        try:
            grant = self._administering(request)
            self._gate.demand(grant.everywhere, "see who was refused", caller(request))
        except DeniedError as error:
            return denied(error)
        found = await self._gate.on_file(lambda: self._gate.register.denials(_MOST_DENIALS))
        return web.json_response({"denials": msgspec.to_builtins(found)})

    def _administering(self, request: web.Request) -> Grant:
        who = caller(request)
        grant = self._gate.admit(shown(request), who)
        self._gate.demand(grant.may_administer(), "administer devices", who)
        return grant

    def _device(self, request: web.Request) -> str:
        """The device in the path, if the bearer may administer it."""
        grant = self._administering(request)
        found = self._gate.roll.devices.get(request.match_info["id"])
        if found is None or not grant.covers(found.org, found.site):
            raise _UnfitError("no such device", 404)
        return found.id


class _UnfitError(DeniedError):
    """A request that is not one; nobody is suspected of anything."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__("malformed", message, Close.BAD_MESSAGE)
        self._status = status

    @property
    def status(self) -> int:
        return self._status


def caller(request: web.Request, subject: str = "") -> Caller:
    """Where a request came from: the peer, or who a proxy on this machine says it was."""
    address = request.remote or ""
    # The last entry is the proxy's own; those before it are whatever the client wrote.
    told = request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip()
    if told and _is(address, loopback=True) and _is(told):
        address = told
    return Caller(address, f"{request.method} {request.path}", subject)


def shown(request: web.Request) -> str | None:
    """The token in the Authorization header."""
    return bearer(request.headers.get("Authorization"))


def denied(error: DeniedError) -> web.Response:
    """A refusal as HTTP has it; `Retry-After` in whole seconds (RFC 9110, 10.2.3)."""
    answer: dict[str, Any] = {"error": str(error), "code": error.code}
    headers = {}
    if error.after is not None:
        answer["retry_after"] = error.after
        headers["Retry-After"] = str(int(error.after) + 1)
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return web.json_response(answer, status=error.status, headers=headers)


def _token(issued: Issued) -> web.Response:
    # RFC 6749, 5.1: nothing on the way may keep it.
    return web.Response(
        body=msgspec.json.encode(issued),
        content_type="application/json",
        headers={"Cache-Control": "no-store"},
    )


async def _body(request: web.Request, type_: type[T]) -> T:
    if (request.content_length or 0) > _LARGEST:
        raise _UnfitError("the request is too large", 413)
    text = await request.content.read(_LARGEST + 1)
    try:
        return msgspec.json.decode(text or b"{}", type=type_)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise _UnfitError(f"not what this request takes: {error}", 400) from error


def _is(text: str, *, loopback: bool = False) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return address.is_loopback or not loopback
