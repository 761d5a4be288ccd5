"""Whether a pushed event may enter the log, decided from its bytes alone; pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from kiosk.clock import DRIFT_PER_NS, Anchor, effective
from kiosk.model import Event, decode_event, event_hash
from sync.protocol import MAX_EVENT

if TYPE_CHECKING:
    from collections.abc import Sequence

_INT64 = 2**63
_LONGEST_NAME = 200
_LONGEST_ROOM = 500


class Trace(msgspec.Struct, frozen=True):
    """What little can be told of an event that is not one, so that its place is not a hole."""

    id: str = ""
    device: str = ""
    incarnation: str = ""
    kseq: int = -1


_TRACE = msgspec.json.Decoder(Trace)


@dataclass(frozen=True, slots=True)
class Judgement:
    """An event fit for the log (`code` empty), or why it goes into quarantine instead."""

    body: bytes
    trace: Event | Trace
    code: str = ""

    @property
    def event(self) -> Event:
        """The event; only of a judgement whose `code` is empty."""
        if self.code or not isinstance(self.trace, Event):
            raise ValueError(f"a quarantined item ({self.code}) has no event")
        return self.trace


def judge(body: bytes, org: str) -> Judgement:
    """Look at one pushed item on behalf of `org`; never raises, whatever the bytes are.

    Codes: `malformed`, `too_large`, `room` (not a room of this organisation), `hash`.
    """
    if len(body) > MAX_EVENT:
        return Judgement(body, _trace(body), "too_large")
    try:
        body.decode()  # fields this version does not know are skipped unread by the decoder
        event = decode_event(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return Judgement(body, _trace(body), "malformed")
    if not _storable(event):
        return Judgement(body, _trace(body), "malformed")
    if event.org != org or not belongs(event.room, org):
        return Judgement(body, event, "room")
    if not authentic(body, event):
        return Judgement(body, _trace(body), "hash")
    return Judgement(body, event)


def belongs(room: str, org: str) -> bool:
    """Whether `room` is well formed and one of the organisation's."""
    prefix = f"org/{org}/"
    if not room.startswith(prefix) or len(room) > _LONGEST_ROOM:
        return False
    kind, slash, name = room[len(prefix) :].partition("/")
    return bool(slash and name) and kind in ("site", "session") and room.isprintable()


def authentic(body: bytes, event: Event) -> bool:
    """Whether the event's hash is that of its bytes (see `kiosk.model.event_hash`).

    Hashing the bytes as they came also does justice to an event from a later version, whose
    additional fields would be lost by encoding it anew.
    """
    sealed = b',"hash":"%b"}' % event.hash.encode()
    if body.endswith(sealed):
        bare = hashlib.blake2b(body[: -len(sealed)], digest_size=32)
        bare.update(b"}")
        if bare.hexdigest() == event.hash:
            return True
    return event_hash(event) == event.hash


def interval(event: Event, anchors: Sequence[Anchor], received: int) -> tuple[int, int]:
    """When the event happened (UTC ns, low and high), by the anchor that says it best."""
    best = min(
        (anchor for anchor in anchors if anchor.boot == event.boot),
        key=lambda anchor: anchor.round_trip // 2 + abs(event.ticks - anchor.ticks) * DRIFT_PER_NS,
        default=None,
    )
    low, high = effective(event.wall, event.boot, event.ticks, best, received)
    return max(low, 0), max(high, 0)


def _storable(event: Event) -> bool:
    # SQLite's integers have 64 bits, JSON's have no end.
    return (
        0 < event.kseq < _INT64
        and -_INT64 <= event.wall < _INT64
        and -_INT64 <= event.ticks < _INT64
        and 0 < len(event.id) <= _LONGEST_NAME
        and 0 < len(event.device) <= _LONGEST_NAME
        and 0 < len(event.incarnation) <= _LONGEST_NAME
    )


def _trace(body: bytes) -> Trace:
    try:
        found = _TRACE.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return Trace()
    longest = max(len(found.id), len(found.device), len(found.incarnation))
    return found if longest <= _LONGEST_NAME and found.kseq < _INT64 else Trace()
