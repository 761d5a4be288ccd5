"""The lane up: the outbox in batches, a few of them in flight, until the hub holds everything."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from kiosk.model import MAX_EVENT
from kiosk.store import Held, Settled
from sync.client.signatures import Signatures, hash_of
from sync.protocol import MAX_BATCH, MAX_BATCH_BYTES, ProtocolError, Push
from sync.withheld import Withheld, encode

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from concurrent.futures import Future

    from kiosk.clock import Anchor, Clock
    from kiosk.store import Store
    from sync.client.pacing import Pacing
    from sync.protocol import Ack, Verdict

_LOG = logging.getLogger(__name__)

WINDOW = 4  # batches in flight
_SETTLING = 16  # batches whose verdicts the store has not written yet: it may lag behind the hub
_RETRY_AFTER = 5.0  # seconds, where the hub does not say
_MOST_PUT_OFF = WINDOW * MAX_BATCH
_ANY = msgspec.json.Decoder(msgspec.Raw)


class SilentHubError(ProtocolError):
    """The hub takes what is pushed and answers nothing."""

    code = "silent"


@dataclass(frozen=True, slots=True)
class _Flight:
    batch: list[Held]
    deadline: float


class Uploads:
    """Pushes whatever the outbox holds. An item leaves it only with the hub's verdict.

    `busy` are the outbox places that are in flight, being settled or put off; those above `after`
    are yet to be looked at. What was put off by the hub, or could not be settled, comes again when
    it is due, so no error can strand an item. `set_apart` counts the items that were quarantined
    and written down as such; `forked` tells that the hub has others in the places of new ones.
    """

    def __init__(
        self,
        store: Store,
        say: Callable[[Push], Awaitable[None]],
        clock: Clock,
        pacing: Pacing,
        *,
        careful: bool = False,
    ) -> None:
        self._store = store
        self._say = say
        self._clock = clock
        self._pacing = pacing
        self._careful = careful
        self._loop = asyncio.get_running_loop()
        self._called = asyncio.Event()
        self._numbers = itertools.count(1)
        self._after = 0
        self._busy: set[int] = set()
        self._flying: dict[int, _Flight] = {}
        self._settling = 0
        self._put_off: list[tuple[float, list[Held]]] = []
        self._anchors: list[Anchor] = []
        self._signatures = Signatures(store)
        self._alone: set[int] = set()  # to be signed one by one: the stretch they are in is broken
        self.set_apart = 0
        self.forked = False

    def wake(self) -> None:
        """Look at the outbox now."""
        self._called.set()

    def look_again(self) -> None:
        """Events that had left the outbox have come back into it."""
        self._after = 0
        self._called.set()

    def anchor(self, *anchors: Anchor) -> None:
        """Send these along with the next push."""
        self._anchors += anchors

    async def run(self) -> None:
        """Push for ever; raises `SilentHubError`, and whatever sending raises."""
        while True:
            self._called.clear()
            while self._has_room() and (batch := self._next_batch()):
                await self._push(batch)
            await self._wait()

    def take(self, ack: Ack) -> None:
        """Act on the hub's verdicts; raises `ProtocolError` if they answer nothing that was sent.

        Verdicts are told apart by their place, for an item that the hub cannot read has no id.
        """
        flight = self._flying.get(ack.batch)
        if flight is None or len(flight.batch) != len(ack.verdicts):
            raise ProtocolError(f"an ack that fits no push: batch {ack.batch}")
        pairs = list(zip(flight.batch, ack.verdicts, strict=True))
        if any(verdict.id != held.id and verdict.id for held, verdict in pairs):
            raise ProtocolError(f"an ack in another order than its push: batch {ack.batch}")
        del self._flying[ack.batch]
        self.forked |= any(self._is_new(held) for held, verdict in pairs if _forks(verdict))
        later = [(held, verdict) for held, verdict in pairs if verdict.verdict == "retry"]
        if later:
            pairs = [(held, verdict) for held, verdict in pairs if verdict.verdict != "retry"]
        self._settle(pairs)
        self._defer(later)
        self._called.set()

    def _is_new(self, held: Held) -> bool:
        return held.incarnation == self._store.identity.incarnation

    # -- what to send ------------------------------------------------------------------------------

    def _has_room(self) -> bool:
        return len(self._flying) < WINDOW and self._settling < _SETTLING

    def _next_batch(self) -> list[Held]:
        now = self._clock.monotonic()
        for i, (due, batch) in enumerate(self._put_off):
            if due <= now:
                del self._put_off[i]
                return self._sendable(batch) or self._next_batch()
        if sum(len(batch) for _, batch in self._put_off) >= _MOST_PUT_OFF:
            return []
        while held := self._store.pending(self._after, self._pacing.batch, MAX_BATCH_BYTES):
            self._after = held[-1].seq
            fresh = [one for one in held if one.seq not in self._busy]
            if batch := self._sendable(fresh):
                self._busy.update(one.seq for one in batch)
                return batch
        return []

    def _sendable(self, batch: list[Held]) -> list[Held]:
        """The same with a note for what never fits through the line: its place is no hole then."""
        large = {one.seq for one in batch if len(one.body) > MAX_EVENT}
        if not large:
            return batch
        _LOG.error("%d events are too large to be sent; they stay on this kiosk", len(large))
        self._alone |= large
        return [_note_of(one) if one.seq in large else one for one in batch]

    async def _push(self, batch: list[Held]) -> None:
        number = next(self._numbers)
        deadline = self._clock.monotonic() + self._pacing.ack
        self._flying[number] = _Flight(batch, deadline)
        anchors, self._anchors = self._anchors, []
        raw = _cautious if self._careful else msgspec.Raw
        bodies = [raw(held.body) for held in batch]
        signed = self._signatures.of(batch, self._alone)
        await self._say(Push(number, bodies, anchors, signed))

    async def _wait(self) -> None:
        """Until somebody calls, something is due, or it is time to look by oneself."""
        now = self._clock.monotonic()
        times = [now + self._pacing.sweep]
        times += [due for due, _ in self._put_off] if self._has_room() else []
        times += [flight.deadline for flight in self._flying.values()]
        try:
            async with asyncio.timeout(max(0.0, min(times) - now)):
                await self._called.wait()
        except TimeoutError:
            now = self._clock.monotonic()
            if any(flight.deadline <= now for flight in self._flying.values()):
                raise SilentHubError("the hub answers no push") from None

    # -- what became of it -------------------------------------------------------------------------

    def _settle(self, pairs: list[tuple[Held, Verdict]]) -> None:
        if not pairs:
            return
        settled = [Settled(h.seq, h.id, v.verdict, v.code, v.envelope) for h, v in pairs]
        for one in settled:
            if one.verdict == "quarantined":
                _LOG.warning("the hub set event %s apart: %s", one.id, one.code)
        self._keep([held for held, _ in pairs], settled)

    def _keep(self, batch: list[Held], settled: list[Settled]) -> None:
        self._settling += 1
        set_apart = sum(one.verdict == "quarantined" for one in settled)

        def kept(future: Future[None]) -> None:
            with contextlib.suppress(RuntimeError):  # the line has ended meanwhile
                self._loop.call_soon_threadsafe(self._kept, batch, set_apart, future.exception())

        self._store.settle(settled).add_done_callback(kept)

    def _kept(self, batch: list[Held], set_apart: int, error: BaseException | None) -> None:
        self._settling -= 1
        if error is None:
            self.set_apart += set_apart
            self._busy.difference_update(held.seq for held in batch)
            if self._alone:
                self._alone.difference_update(held.seq for held in batch)
        else:
            _LOG.error("the hub's verdicts cannot be written, they will be asked anew: %s", error)
            # Not at once: a disk that refuses goes on to do so for a while.
            self._put_off.append((self._clock.monotonic() + self._pacing.sweep, batch))
        self._called.set()

    def _defer(self, pairs: list[tuple[Held, Verdict]]) -> None:
        if pairs:
            after = max(v.after if v.after is not None else _RETRY_AFTER for _, v in pairs)
            due = self._clock.monotonic() + max(0.0, min(after, self._pacing.last_retry))
            self._put_off.append((due, [held for held, _ in pairs]))
            self._alone.update(held.seq for held, v in pairs if v.code == "unsigned")


def _note_of(held: Held) -> Held:
    note = Withheld(
        held.id, held.device, held.incarnation, held.kseq, hash_of(held.body), len(held.body)
    )
    return Held(held.seq, held.id, encode(note), held.device, held.incarnation, held.kseq)


def _forks(verdict: Verdict) -> bool:
    stamp = verdict.envelope
    return verdict.code == "fork" or (stamp is not None and stamp.code == "fork")


def _cautious(body: bytes) -> msgspec.Raw:
    try:
        _ANY.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        # Not even JSON: it would spoil the whole frame, so it travels as a string, for the hub to
        # keep aside.
        return msgspec.Raw(msgspec.json.encode(body.decode("utf-8", "replace")))
    return msgspec.Raw(body)
