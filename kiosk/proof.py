"""A claim at the door: who somebody says they are, borne out by one finger or not.

There is at most one claim at a time, and it ends exactly once: with a finding, or dropped. What a
verification answers after that is about nobody any more.
"""

from __future__ import annotations

import logging
from concurrent.futures import CancelledError
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
from msgspec.structs import replace

from kiosk.model import Claim

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Collection
    from concurrent.futures import Future

    from kiosk.model import Person
    from kiosk.verification import Verified

_LOG = logging.getLogger(__name__)
_MOST_BEFORE = 3  # people whose fingers one is told from; more would take too long


class Verifier(Protocol):
    """Compares one finger with one person's kept templates; any thread may call it."""

    def can_verify(self, person: str) -> bool:
        """Whether it would make sense to ask this person for a finger; cheap, without I/O."""

    def verify(
        self,
        person: str,
        ready: Callable[[], None],
        seen: Callable[[bool], None],
        before: Collection[str],
    ) -> Future[Verified]:
        """Begin; on a thread of the verifier's `ready` is called when a finger may be placed.

        `seen` is called there with True when one lies on the reader, with False if it has gone. The
        verdict tells a finger of those `before`, who may still be there, from any other's.
        """

    def cancel(self) -> None:
        """Interrupt a verification that waits for a finger, if there is one."""


class Finding(StrEnum):
    """How a claim ended."""

    FINGER = "finger"  # it is the person's
    OTHER_FINGER = "other_finger"
    UNREADABLE = "unreadable"
    NOBODY = "nobody"  # no finger came
    UNAVAILABLE = "unavailable"  # the reader, or what is kept, failed
    INTERRUPTED = "interrupted"  # somebody else took over


class ClaimTiming(msgspec.Struct, frozen=True):
    """Seconds: until the reader must be ready, for the finger, and then for its comparison.

    `lift` lies between two looks at a finger of whose claim was interrupted.
    """

    start: float = 4.0
    finger: float = 10.0
    comparison: float = 5.0
    lift: float = 0.2


class Pending(msgspec.Struct, eq=False):
    """A claim that has not ended; `data` is what is on record of how it was made."""

    claim: Claim
    data: dict[str, Any]
    over: bool = False
    again: bool = True  # whether it may be asked for once more
    before: tuple[str, ...] = ()  # whose fingers may be on the glass still: theirs were interrupted
    late: bool = False  # whether its time is running already, and is not to begin anew


class Proof:
    """The one claim of the door. Everything runs on the desk's loop, `attach` tells which.

    `changed` is called when a claim begins or moves on, `found` once when it ends with a finding.
    """

    def __init__(
        self,
        timing: ClaimTiming,
        changed: Callable[[], None],
        found: Callable[[Pending, Finding, int | None], None],
    ) -> None:
        self._timing = timing
        self._changed = changed
        self._found = found
        self._verifier: Verifier | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pending: Pending | None = None
        self._future: Future[Verified] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._serial = 0

    @property
    def current(self) -> Claim | None:
        """The claim that is being looked into."""
        return self._pending.claim if self._pending is not None else None

    def attach(self, loop: asyncio.AbstractEventLoop | None) -> None:
        """Take this loop's time from now on; None ends everything."""
        self.drop()
        self._loop = loop

    def use(self, verifier: Verifier | None) -> None:
        """Compare fingers with its help; without one no claim asks for a finger."""
        self.drop()
        self._verifier = verifier

    def possible(self, person: Person) -> bool:
        """Whether a finger can bear this person out here and now."""
        return self._verifier is not None and self._verifier.can_verify(person.id)

    def begin(self, person: Person, data: dict[str, Any], before: tuple[str, ...] = ()) -> None:
        """Ask for this person's finger; a claim before it must have ended.

        Those `before` were interrupted for this: a finger of theirs is not held against this one.
        """
        self._serial += 1
        claim = Claim(self._serial, person, shown=self._timing.finger)
        self._pending = Pending(claim, data, before=before[-_MOST_BEFORE:])
        self._until(self._timing.start)
        self._ask(self._pending)
        self._changed()

    def drop(self) -> Pending | None:
        """End the claim without a finding, and the wait for its finger; what was dropped."""
        pending, future = self._pending, self._future
        self._end()
        # What has not begun is never begun; only what has must be interrupted.
        if future is not None and not future.done() and not future.cancel() and self._verifier:
            self._verifier.cancel()
        return pending

    # -- asking ------------------------------------------------------------------------------------

    def _ask(self, pending: Pending) -> None:
        loop, verifier = self._loop, self._verifier
        if loop is None or verifier is None or pending.over:
            return

        from drivers.errors import Cancelled  # noqa: PLC0415  the first frame needs no reader

        def soon(call: Callable[..., None], *args: object) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(call, *args)

        def ready() -> None:
            if pending.over:
                raise Cancelled("nobody waits for this finger any more")
            soon(self._ready, pending)

        def seen(there: bool) -> None:  # noqa: FBT001  a fact, not a switch
            soon(self._seen, pending, there)

        try:
            self._future = verifier.verify(pending.claim.person.id, ready, seen, pending.before)
        except Exception:  # noqa: BLE001  a dead reader makes no dead door
            _LOG.exception("a finger could not be asked for")
            soon(self._finish, pending, Finding.UNAVAILABLE)
            return
        self._future.add_done_callback(lambda done: soon(self._answered, pending, done))

    def _ready(self, pending: Pending) -> None:
        if pending.over:
            return
        pending.claim = replace(pending.claim, ready=True, seen=False)
        if not pending.late:
            pending.late = True
            self._until(self._timing.finger + self._timing.comparison)
        self._changed()

    def _seen(self, pending: Pending, there: bool) -> None:  # noqa: FBT001  a fact, not a switch
        if not pending.over:
            pending.claim = replace(pending.claim, seen=there)
            self._changed()

    def _answered(self, pending: Pending, done: Future[Verified]) -> None:
        if pending.over:
            return
        from drivers.errors import Cancelled  # noqa: PLC0415  the first frame needs no reader

        try:
            verified = done.result()
        except (Cancelled, CancelledError):
            # Meant for the claim before this one, and late: nobody dropped this one.
            again, pending.again = pending.again, False
            if again:
                self._ask(pending)
            else:
                self._finish(pending, Finding.UNAVAILABLE)
        except Exception as error:  # noqa: BLE001  whatever failed, the claim still stands
            _LOG.warning("a claim could not be borne out by a finger: %s", error)
            self._finish(pending, Finding.UNAVAILABLE)
        else:
            self._judge(pending, verified)

    def _judge(self, pending: Pending, verified: Verified) -> None:
        finding = _finding(verified)
        if finding is not None:
            self._finish(pending, finding, verified.score)
        elif self._loop is not None:
            # Theirs is not gone yet: this one's may come as long as there is time.
            self._loop.call_later(self._timing.lift, self._ask, pending)

    # -- ending ------------------------------------------------------------------------------------

    def _finish(self, pending: Pending, finding: Finding, score: int | None = None) -> None:
        if not pending.over:
            self._end()
            self._found(pending, finding, score)

    def _late(self) -> None:
        """The reader does not answer, or has other work to do: nobody waits for it."""
        if (pending := self.drop()) is not None:
            _LOG.warning("the reader did not come to a claim in time")
            self._found(pending, Finding.UNAVAILABLE, None)

    def _end(self) -> None:
        if self._pending is not None:
            self._pending.over = True
        self._pending = self._future = None
        self._until(None)

    def _until(self, seconds: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        loop = self._loop
        self._timer = (
            None if loop is None or seconds is None else loop.call_later(seconds, self._late)
        )


def _finding(verified: Verified) -> Finding | None:
    """What the verdict means; None if it is about somebody else."""
    from kiosk.verification import Verdict  # noqa: PLC0415  with its cipher: the first frame can do without

    found: dict[Verdict, Finding] = {
        Verdict.MATCHED: Finding.FINGER,
        Verdict.NOT_MATCHED: Finding.OTHER_FINGER,
        Verdict.UNREADABLE: Finding.UNREADABLE,
        Verdict.NO_FINGER: Finding.NOBODY,
    }
    return found.get(verified.verdict)
