"""Whether a pushed event may enter the log, decided from its bytes alone; pure."""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from kiosk.model import MAX_EVENT, Event, decode_event, event_hash
from sync.signing import signed_by
from sync.withheld import is_withheld

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sync.protocol import Signed

_INT64 = 2**63
_LONGEST_NAME = 200
_LONGEST_ROOM = 500
_SEAL = len(b',"hash":""}') + 64


class Trace(msgspec.Struct, frozen=True):
    """What little can be told of an event that is not one, so that its place is not a hole."""

    id: str = ""
    device: str = ""
    incarnation: str = ""
    kseq: int = -1


_TRACE = msgspec.json.Decoder(Trace)


class Rejected(msgspec.Struct, frozen=True):
    """Why an item goes into quarantine, and what can be told of it."""

    code: str
    trace: Event | Trace


class Place(NamedTuple):
    """What a good signature says of an item: the stretch it lies in, None if in none.

    `proven` if the event there is the very one that was signed.
    """

    signed: Signed | None = None
    proven: bool = False


_NOWHERE = Place()


def judge(body: bytes, org: str) -> Event | Rejected:
    """Look at one pushed item on behalf of `org`; never raises, whatever the bytes are.

    Codes: `malformed`, `too_large` (also for the note that stands for such an event), `room` (not a
    room of this organisation), `hash`.
    """
    if len(body) > MAX_EVENT:
        return Rejected("too_large", trace(body))
    try:
        # The decoder skips fields it does not know without a look at their text.
        if not body.isascii():
            body.decode()
        event = decode_event(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return Rejected("too_large" if is_withheld(body) else "malformed", trace(body))
    if not _storable(event):
        return Rejected("malformed", trace(body))
    if event.org != org or not belongs(event.room, org):
        return Rejected("room", event)
    if not authentic(body, event):
        return Rejected("hash", trace(body))
    return event


def places(
    judged: Sequence[Event | Rejected],
    signed: Sequence[Signed],
    org: str,
    key_of: Callable[[Signed], str | None],
) -> list[Place]:
    """What the signatures of a push prove of its items, one `Place` for each.

    A signature stands for the last event of its stretch, that for the one before it by its `prev`,
    and so on until one does not fit: from there down nothing is proven. `key_of` names the author's
    key (hex), None if it is not known.
    """
    found = [_NOWHERE] * len(judged)
    for stretch in signed:
        count = stretch.last - stretch.first + 1
        end = stretch.at + count
        if stretch.first < 1 or count < 1 or end > len(judged):
            continue
        if any(place is not _NOWHERE for place in found[stretch.at : end]):
            continue
        key = key_of(stretch)
        if key is not None and signed_by(key, org, stretch):
            broken = _broken_at(judged, stretch)
            found[stretch.at : end] = [Place(stretch)] * (broken - stretch.at) + [
                Place(stretch, proven=True)
            ] * (end - broken)
    return found


def place_of(stretch: Signed, index: int) -> int:
    """The kseq that the author gave the item at `index` of the push."""
    return stretch.first + index - stretch.at


def _broken_at(judged: Sequence[Event | Rejected], stretch: Signed) -> int:
    """The index below which nothing is proven, `stretch.at` if all of it is."""
    expected, kseq = stretch.head, stretch.last
    device, incarnation = stretch.device, stretch.incarnation
    end = stretch.at + stretch.last - stretch.first + 1
    for one in reversed(judged[stretch.at : end]):
        if (
            not isinstance(one, Event)
            or one.hash != expected
            or one.kseq != kseq
            or one.device != device
            or one.incarnation != incarnation
        ):
            break
        expected, kseq = one.prev, kseq - 1
    return stretch.at + kseq - stretch.first + 1


@lru_cache(maxsize=4096)
def belongs(room: str, org: str) -> bool:
    """Whether `room` is well formed and one of the organisation's."""
    prefix = f"org/{org}/"
    if not room.startswith(prefix) or len(room) > _LONGEST_ROOM:
        return False
    kind, slash, name = room[len(prefix) :].partition("/")
    return bool(slash and name) and kind in ("site", "session") and room.isprintable()


def trace(body: bytes) -> Trace:
    """What can be told of any bytes at all; never raises."""
    try:
        found = _TRACE.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return Trace()
    longest = max(len(found.id), len(found.device), len(found.incarnation))
    return found if longest <= _LONGEST_NAME and found.kseq < _INT64 else Trace()


def authentic(body: bytes, event: Event) -> bool:
    """Whether the event's hash is that of its bytes (see `kiosk.model.event_hash`).

    Hashing the bytes as they came also does justice to an event from a later version, whose
    additional fields would be lost by encoding it anew.
    """
    # As `encode_event` writes it, the hash is the last field and 64 characters long.
    bare = blake2b(body[:-_SEAL] + b"}", digest_size=32).hexdigest()
    if bare == event.hash and body.endswith(b',"hash":"%b"}' % bare.encode()):
        return True
    return event_hash(event) == event.hash


def _storable(event: Event) -> bool:
    # Its numbers fit into SQLite's 64 bits, or it would not have been decoded.
    return (
        event.kseq > 0
        and 0 < len(event.id) <= _LONGEST_NAME
        and 0 < len(event.device) <= _LONGEST_NAME
        and 0 < len(event.incarnation) <= _LONGEST_NAME
    )
