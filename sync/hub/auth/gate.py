"""The one place that says who may come in, and that throws out who may no longer stay.

Whatever transport a request comes over, it asks `Gate.admit` with the token it was shown and gets
a `Grant`, or a `DeniedError` with the code for its own kind of answer. For use on the hub's loop;
nothing here waits for the disk, which a thread of its own writes to.
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

from kiosk.tasks import spawn, stop
from sync.hub.auth.denied import DeniedError
from sync.hub.auth.grants import OWNER, Grant, Role
from sync.hub.auth.limits import Buckets, Limits, neighbourhood
from sync.hub.auth.register import Denial, Roll
from sync.hub.auth.verified import Verified
from sync.hub.errors import RegisterError
from sync.hub.tokens import same
from sync.protocol import Close

if TYPE_CHECKING:
    from collections.abc import Callable

    from kiosk.clock import Clock
    from sync.hub.access import Who
    from sync.hub.auth.passes import Passes
    from sync.hub.auth.register import Register

T = TypeVar("T")
_LOG = logging.getLogger(__name__)

LOOK_EVERY = 1.0  # seconds between two looks at the register: revocation takes no longer
_MOST_DENIALS = 500  # kept per look; a flood beyond is only counted
_MOST_LINES = 10  # of them in the log
_DISK_RETRY = 5.0  # seconds
_LONGEST = 120  # characters of anything a stranger says that is kept
_ROOM_AGAIN = 30.0  # seconds until a token with too many connections should try for another
# Refusals that say nothing of who was refused.
_BUSY = frozenset({"busy", "disk"})


@dataclass(frozen=True, slots=True)
class Caller:
    """Where a request came from, and what for; `subject` is who it says it is, if it does."""

    address: str
    what: str
    subject: str = ""


@dataclass(slots=True, eq=False)
class Visit:
    """One live connection; `close` ends it without waiting. `line`: it is a kiosk's own."""

    grant: Grant
    close: Callable[[Close, str], None]
    line: bool = False

    @property
    def bearer(self) -> tuple[Role, str, bool]:
        """With whose others it is counted."""
        return self.grant.role, self.grant.subject, self.line


@dataclass(slots=True)
class _Refused:
    denials: list[Denial] = field(default_factory=list)
    more: int = 0


class Gate:
    """Judges tokens by the register as it was a second ago, at the most."""

    def __init__(
        self,
        owner: str,
        passes: Passes,
        register: Register,
        clock: Clock,
        limits: Limits = Limits(),  # noqa: B008  frozen
    ) -> None:
        """`owner` is the hub's own token, whose bearer may do everything."""
        self.passes = passes
        self.register = register
        self.roll: Roll = register.roll()
        self.on_roll: Callable[[Roll], None] = lambda _: None
        self.denials: dict[str, int] = {}
        self._owner = owner
        self._clock = clock
        self._verified = Verified(passes)
        self._viewers = limits.viewers
        self._counts: dict[tuple[Role, str, bool], int] = {}
        self._seen = register.version()
        self._visits: set[Visit] = set()
        self._strangers = Buckets(limits.strangers)
        self._devices = Buckets(limits.devices)
        self._requests = Buckets(limits.requests)
        self._refused = _Refused()
        self._files = ThreadPoolExecutor(1, thread_name_prefix="hub-register")
        self._looking: asyncio.Task[None] | None = None

    def start(self, every: float = LOOK_EVERY) -> None:
        """Begin to look, every so many seconds, whether the register changes."""
        self._looking = spawn(self._look_for_ever(every), "hub-gate")

    async def stop(self) -> None:
        """Keep what is still to be kept, and close the register."""
        await stop(self._looking)
        await self.look()
        await asyncio.get_running_loop().run_in_executor(None, self._files.shutdown)
        self.register.close()

    # -- who may come in ---------------------------------------------------------------------------

    def admit(self, token: str | None, caller: Caller) -> Grant:
        """What the token grants just now; raises `DeniedError`, which is noted.

        An address that shows many wrong ones is sent away for a while; a right one never is, but
        its device, if it asks for too much.
        """
        try:
            grant = self._granted(token)
        except DeniedError as error:
            raise self.refused(error, caller) from None
        self._counted(grant.device, caller)
        return grant

    def check(self, grant: Grant, org: str, site: str, device: str, caller: Caller) -> None:
        """Look whether the bearer is who they say, "" for nobody; raises `DeniedError`."""
        if not grant.speaks_for(org, site, device):
            what = f"this token is not for device {device[:_LONGEST]} of {org}/{site}"[:300]
            raise self.refused(DeniedError("token", what, Close.TOKEN), caller)
        if (known := self.roll.devices.get(device)) is not None and known.revoked is not None:
            # Also with the hub's own token: a stolen kiosk may have held that.
            raise self.refused(_revoked(), caller)
        if not grant.device:  # those that share a token are counted by who they say they are
            self._counted(device, caller)

    def weighed(self, who: Who, cost: float, caller: Caller) -> None:
        """Count a request as so many more; raises `DeniedError` when its device makes too many."""
        self._counted(who.grant.device or who.device, caller, cost)

    def paced(self, device: str, caller: Caller) -> None:
        """Count a greeting or renewal of a device; raises `DeniedError` when they are too many."""
        if wait := self._devices.take(device, self._clock.monotonic()):
            error = DeniedError("busy", "too many connections of one device", Close.TRY_LATER, wait)
            raise self.refused(error, caller, count=False)

    def refused(self, error: DeniedError, caller: Caller, *, count: bool = True) -> DeniedError:
        """Note a refusal; the error to raise, which is "too many" for who is refused too often."""
        now = self._clock.monotonic()
        if count and (wait := self._strangers.take(neighbourhood(caller.address), now)):
            error = DeniedError("busy", "refused too often", Close.TRY_LATER, wait)
        error.noted = True
        self.denials[error.code] = self.denials.get(error.code, 0) + 1
        if error.code in _BUSY and not count:
            return error
        if len(self._refused.denials) < _MOST_DENIALS:
            parts = (caller.address, caller.subject, caller.what)
            address, subject, what = (_printable(part) for part in parts)
            at = self.passes.now()
            self._refused.denials.append(Denial(at, address, subject, what, error.code))
        else:
            self._refused.more += 1
        return error

    # -- who may stay ------------------------------------------------------------------------------

    def enter(self, visit: Visit, *, replaces: bool = False) -> None:
        """Watch over a connection that was let in, until `leave`.

        Raises `DeniedError` if its token has too many, unless it `replaces` one of them. The hub's
        own token is for everybody, and has no such limit.
        """
        count = self._counts.get(visit.bearer, 0)
        if count >= self._viewers and not replaces and visit.grant.expires is not None:
            words = "too many connections of one token"
            raise DeniedError("busy", words, Close.TRY_LATER, _ROOM_AGAIN)
        self._counts[visit.bearer] = count + 1
        self._visits.add(visit)

    def leave(self, visit: Visit) -> None:
        """The connection has ended."""
        if visit in self._visits:
            self._visits.discard(visit)
            self._counts[visit.bearer] -= 1
            if not self._counts[visit.bearer]:
                del self._counts[visit.bearer]

    def extend(self, grant: Grant) -> None:
        """A token was renewed: live connections of the same bearer last as long as the new one."""
        for visit in self._visits:
            if (visit.grant.subject, visit.grant.device) == (grant.subject, grant.device):
                visit.grant = replace(visit.grant, expires=grant.expires)

    async def look(self) -> None:
        """Read the register if it changed, write down who was refused, throw out who must go."""
        try:
            await self._keep_denials()
            version = await self.on_file(self.register.version)
            if version != self._seen:
                self._seen = version
                self.take(await self.on_file(self.register.roll))
        except RegisterError as error:
            _LOG.error("%s", error)
        self._throw_out()

    async def changed(self) -> None:
        """The register was written to from here: take it as it is now."""
        self.take(await self.asked(self.register.roll))
        self._throw_out()

    def now(self) -> int:
        """UTC ns."""
        return self._clock.wall()

    def take(self, roll: Roll) -> None:
        """Judge by these devices and staff from now on."""
        self.roll = roll
        self.on_roll(roll)

    async def on_file(self, work: Callable[[], T]) -> T:
        """Use the register, off the loop; raises `RegisterError`."""
        return await asyncio.get_running_loop().run_in_executor(self._files, work)

    async def asked(self, work: Callable[[], T]) -> T:
        """The same for somebody's request: raises `DeniedError` if the disk refuses."""
        try:
            return await self.on_file(work)
        except RegisterError as error:
            _LOG.error("%s", error)
            words = "the hub cannot use its register just now"
            raise DeniedError("disk", words, Close.TRY_LATER, _DISK_RETRY) from error

    # -- inside ------------------------------------------------------------------------------------

    def _counted(self, device: str, caller: Caller, cost: float = 1.0) -> None:
        """Count a request; raises `DeniedError` when a device makes too many."""
        if device and (wait := self._requests.take(device, self._clock.monotonic(), cost)):
            error = DeniedError("busy", "too many requests of one device", Close.TRY_LATER, wait)
            raise self.refused(error, caller, count=False)

    def _granted(self, token: str | None) -> Grant:
        if token is None:
            raise DeniedError("token", "a token is needed", Close.TOKEN)
        if same(token, self._owner):
            return OWNER
        grant = self._verified.read(token)
        if grant is None:
            raise DeniedError("token", "the token is not this hub's", Close.TOKEN)
        self.judge(grant)
        return grant

    def judge(self, grant: Grant, *, expired: bool = False) -> None:
        """Raises `DeniedError` if the grant is void by now; `expired` lets an old one pass."""
        if grant.subject == OWNER.subject and grant.role is Role.ADMIN and grant.expires is None:
            return
        if grant.role is Role.DEVICE:
            self._judge_device(grant)
        else:
            one = self.roll.staff.get(grant.subject)
            if one is None or one.removed is not None or one.since != grant.stamp:
                raise DeniedError("token", "sign in again", Close.TOKEN)
        if not expired and grant.expires is not None and grant.expires <= self.passes.now():
            raise DeniedError("token", "the token has expired", Close.TOKEN)

    def _judge_device(self, grant: Grant) -> None:
        device = self.roll.devices.get(grant.subject)
        if device is not None and device.revoked is not None:
            raise _revoked()
        if device is None or device.paired != grant.stamp:
            raise DeniedError("token", "this kiosk must be paired again", Close.TOKEN)

    def _throw_out(self) -> None:
        for visit in list(self._visits):
            try:
                self.judge(visit.grant)
            except DeniedError as error:
                self.leave(visit)
                caller = Caller("", "stay", visit.grant.subject)
                self.refused(error, caller, count=False)
                visit.close(error.close, str(error))

    async def _look_for_ever(self, every: float) -> None:
        while True:
            await asyncio.sleep(every)
            await self.look()

    async def _keep_denials(self) -> None:
        refused, self._refused = self._refused, _Refused()
        if not refused.denials:
            return
        for one in refused.denials[:_MOST_LINES]:
            _LOG.warning(
                "refused (%s): %s for %s from %s", one.code, one.subject, one.what, one.address
            )
        if (more := len(refused.denials) + refused.more - _MOST_LINES) > 0:
            _LOG.warning("refused %d more", more)
        await self.on_file(lambda: self.register.note(refused.denials))


def _revoked() -> DeniedError:
    return DeniedError("revoked", "this device has been revoked", Close.REVOKED)


def _printable(text: str) -> str:
    return "".join(sign if sign.isprintable() else "?" for sign in text[:_LONGEST])
