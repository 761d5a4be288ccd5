"""Where tokens are got: pairing by a one-time code, sign-in of staff, and renewal."""

from __future__ import annotations

import asyncio
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Annotated

import msgspec

from kiosk.model import Rank
from sync.hub.auth import codes, pins
from sync.hub.auth.denied import DeniedError
from sync.hub.auth.grants import Grant, Role
from sync.hub.auth.limits import Buckets, Limits, neighbourhood, still_waiting, wait_after
from sync.hub.auth.register import Device, Staff
from sync.possession import pairing_statement, proven, renewal_statement
from sync.protocol import Close

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from kiosk.clock import Clock
    from sync.hub.auth.gate import Caller, Gate
    from sync.hub.auth.keys import Keys

_MOST_WAITING = 8  # sign-ins on their way at once; each takes 64 MiB in turn
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
_Short = Annotated[str, msgspec.Meta(max_length=200)]
_Long = Annotated[str, msgspec.Meta(max_length=4096)]


class Pairing(msgspec.Struct, frozen=True):
    """What a kiosk sends to `POST /v1/pair`; `key` and `proof` in hex."""

    code: _Short
    org: _Name
    site: _Name
    device: _Name
    incarnation: _Name
    key: _Short
    proof: _Short
    name: _Short = ""


class SignIn(msgspec.Struct, frozen=True):
    """What `POST /v1/login` takes: the id of a member of staff, and the PIN or password."""

    staff: _Name
    secret: _Short


class Renewal(msgspec.Struct, frozen=True):
    """What `POST /v1/renew` takes beside the token: for an expired one, an answered challenge."""

    challenge: _Long = ""
    proof: _Short = ""


class Issued(msgspec.Struct, frozen=True, omit_defaults=True):
    """A token. All times are durations in seconds: no bearer has to trust its own clock."""

    token: str
    role: Role
    device: str
    org: str
    sites: tuple[str, ...]
    expires_in: int
    renew_in: int
    name: str = ""
    rank: int = 0
    pepper: str = ""  # hex, for a kiosk: what its site's PINs are hashed with


class ChallengedError(Exception):
    """The token has expired; sign the challenge to get another."""

    def __init__(self, challenge: str) -> None:
        super().__init__("the token has expired")
        self.challenge = challenge


@dataclass(frozen=True, slots=True)
class _Guess:
    """One try at a PIN: whose, and which wrong one it is, should it be wrong."""

    subject: str
    count: int


class Office:
    """Gives out tokens; on the hub's loop, with PINs hashed by a thread of their own.

    `on_paired` is awaited for each kiosk that is paired, with the key it proved to hold.
    """

    def __init__(
        self,
        gate: Gate,
        keys: Keys,
        clock: Clock,
        limits: Limits = Limits(),  # noqa: B008  frozen
    ) -> None:
        self._gate = gate
        self._keys = keys
        self._clock = clock
        self.on_paired: Callable[[Device], Awaitable[None]] = _unheard
        self._logins = Buckets(limits.logins)
        self._hashing = ThreadPoolExecutor(1, thread_name_prefix="hub-hashing")
        self._waiting = 0
        # Hashed at first need; so that an unknown name takes as long as a known one.
        self._nobody = ""

    def close(self) -> None:
        """End the hashing thread; call it off the loop."""
        self._hashing.shutdown()

    async def pair(self, wish: Pairing, caller: Caller) -> Issued:
        """A token for a kiosk with a good code; raises `DeniedError`."""
        gate = self._gate
        code = codes.plain(wish.code)
        if code is None:
            raise self._wrong_code(caller)
        statement = pairing_statement(code, wish.org, wish.site, wish.device, wish.incarnation)
        if not proven(wish.key, statement, wish.proof):
            raise gate.refused(DeniedError("proof", "the key was not proven", Close.TOKEN), caller)
        digest, now = codes.digest(code, self._keys.codes), gate.passes.now()
        register = gate.register
        ticket = await gate.asked(lambda: register.ticket(digest, wish.device, wish.key, now))
        if ticket is None:
            raise self._wrong_code(caller)
        if ticket.org not in ("", wish.org) or ticket.site not in ("", wish.site):
            message = f"this code is for {ticket.org}/{ticket.site}; the kiosk is set up for"
            message += f" {wish.org}/{wish.site}"
            raise gate.refused(DeniedError("forbidden", message, Close.REVOKED), caller)
        self._not_elsewhere(wish, caller)
        device = Device(
            wish.device,
            ticket.name or wish.name or wish.device,
            wish.org,
            wish.site,
            wish.incarnation,
            wish.key,
            self._clock.wall(),
        )
        if not await gate.asked(lambda: register.pair(digest, device, now)):
            raise self._wrong_code(caller)
        await self.on_paired(device)
        await gate.changed()
        pepper = self._keys.pepper(device.org, device.site).hex()
        return self._issued(_of_device(device), name=device.name, pepper=pepper)

    async def sign_in(self, wish: SignIn, caller: Caller) -> Issued:
        """A token for a member of staff; raises `DeniedError`, the same whatever was wrong."""
        gate, where = self._gate, neighbourhood(caller.address)
        if wait := self._logins.take(where, self._clock.monotonic()):
            raise gate.refused(_busy("too many sign-ins from there", wait), caller, count=False)
        if self._waiting >= _MOST_WAITING:
            raise gate.refused(_busy("too many sign-ins at once", 1.0), caller, count=False)
        one = gate.roll.staff.get(wish.staff)
        if one is not None and one.removed is not None:
            one = None
        guess = await self._counted(wish.staff if one else _bucket(wish.staff), caller)
        self._waiting += 1
        try:
            fits = await self._fits(wish.secret, one)
        finally:
            self._waiting -= 1
        if not fits or one is None:
            message = "this name and PIN do not belong together"
            after = float(wait_after(guess.count)) or None
            raise gate.refused(DeniedError("pin", message, Close.TOKEN, after), caller)
        await gate.asked(lambda: gate.register.forgive(guess.subject))
        return self._issued(_of_staff(one, uuid.uuid4().hex), name=one.name)

    async def renew(self, token: str | None, wish: Renewal, caller: Caller) -> Issued:
        """A new token for an old one; raises `DeniedError`, or `ChallengedError` if it is too old.

        Staff sign in again once theirs has expired; a kiosk proves that it still has its key.
        """
        gate = self._gate
        grant = gate.passes.read(token) if token else None
        if grant is None:
            raise gate.refused(DeniedError("token", "no token to renew", Close.TOKEN), caller)
        gate.paced(grant.device, caller)
        kiosk = grant.role is Role.DEVICE
        try:
            gate.judge(grant, expired=kiosk)
        except DeniedError as error:
            raise gate.refused(error, caller) from None
        if kiosk and grant.expires is not None and grant.expires <= gate.passes.now():
            self._prove(grant, wish, caller)
        issued = self._issued(grant, name="")
        gate.extend(gate.passes.read(issued.token) or grant)
        return issued

    # -- inside ------------------------------------------------------------------------------------

    def _prove(self, grant: Grant, wish: Renewal, caller: Caller) -> None:
        passes = self._gate.passes
        if not passes.answers(wish.challenge, grant.subject):
            raise ChallengedError(passes.challenge(grant.subject))
        key = self._gate.roll.devices[grant.subject].key
        if not proven(key, renewal_statement(wish.challenge), wish.proof):
            raise self._gate.refused(
                DeniedError("proof", "the key was not proven", Close.TOKEN), caller
            )

    def _not_elsewhere(self, wish: Pairing, caller: Caller) -> None:
        """A code of one site must not take a kiosk away from another: raises `DeniedError`."""
        known = self._gate.roll.devices.get(wish.device)
        if known is None or known.revoked is not None:
            return
        if (known.org, known.site) != (wish.org, wish.site):
            message = "this kiosk is paired for another site; have it revoked there first"
            raise self._gate.refused(DeniedError("forbidden", message, Close.REVOKED), caller)

    def _wrong_code(self, caller: Caller) -> DeniedError:
        message = "this code is unknown, used or too old; ask for another"
        return self._gate.refused(DeniedError("code", message, Close.TOKEN), caller)

    async def _counted(self, subject: str, caller: Caller) -> _Guess:
        """Count a try as a wrong one, on disk, before it is looked at: a crash forgives nothing."""
        gate, now = self._gate, self._gate.passes.now()

        def count() -> tuple[int, int]:
            failures, until = gate.register.failures(subject)
            wait = still_waiting(until, now)
            if not wait:
                failures += 1
                gate.register.fail(subject, failures, now + wait_after(failures))
            return failures, wait

        failures, wait = await gate.asked(count)
        if wait:
            raise gate.refused(_busy("too many wrong PINs", float(wait)), caller, count=False)
        return _Guess(subject, failures)

    async def _fits(self, secret: str, one: Staff | None) -> bool:
        pepper = self._keys.own_pepper
        kept = one.verifiers.get("", "") if one else ""

        def work() -> bool:
            if not kept:
                self._nobody = self._nobody or pins.verifier("nobody's", pepper)
                pins.fits(secret, self._nobody, pepper)
                return False
            return pins.fits(secret, kept, pepper)

        return await asyncio.get_running_loop().run_in_executor(self._hashing, work)

    def _issued(self, grant: Grant, *, name: str, pepper: str = "") -> Issued:
        token, full = self._gate.passes.make(grant)
        life = self._gate.passes.lives[full.role]
        return Issued(
            token,
            full.role,
            full.device,
            full.org,
            full.sites,
            life,
            life // 3,
            name,
            int(full.rank),
            pepper,
        )


async def _unheard(_: Device) -> None:
    """Where no log keeps the keys of devices."""


def _of_device(device: Device) -> Grant:
    return Grant(Role.DEVICE, device.id, device.id, device.org, (device.site,), stamp=device.paired)


def _of_staff(one: Staff, device: str) -> Grant:
    role = Role.ADMIN if one.rank >= Rank.ADMIN else Role.STAFF
    return Grant(role, one.id, device, one.org, one.sites, rank=one.rank, stamp=one.since)


def _busy(message: str, wait: float) -> DeniedError:
    return DeniedError("busy", message, Close.TRY_LATER, wait)


def _bucket(name: str) -> str:
    """Where the failures of names that nobody has are counted: few places, however many names."""
    return f"?{blake2b(name.encode(errors='replace'), digest_size=1).hexdigest()}"
