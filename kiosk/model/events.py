"""The entries of the log, what a hub adds to them, and the one form of their bytes."""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Annotated, Any

import msgspec

# SQLite and C keep integers in 64 bits, and as nanoseconds they reach from 1677 to 2262: a number
# beyond is nobody's time, and must not get further than the decoder.
Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]


# What decoding may raise: text that is no UTF-8 inside of a JSON string is a UnicodeDecodeError.
UNREADABLE = (msgspec.MsgspecError, ValueError, RecursionError)

MAX_EVENT = 512 * 1024  # bytes of one event; no larger one is written, for it could not travel


class Kind(StrEnum):
    """Every kind of event; a hub or kiosk keeps kinds it does not know and folds those it does."""

    CHECK_IN = "check_in"
    CHECK_OUT = "check_out"
    OVERRIDE = "override"
    RETRACT = "retract"
    RESOLVE = "resolve"
    VISITOR = "visitor"
    HELP = "help"
    REFUSED = "refused"
    SESSION_OPENED = "session_opened"
    SESSION_CLOSED = "session_closed"
    SESSION_REOPENED = "session_reopened"
    CONSENT = "consent"
    ENROLLED = "enrolled"
    TEMPLATE_REVOKED = "template_revoked"
    STAFF = "staff"
    DIRECTORY = "directory"
    MERGED = "merged"


EVIDENCE = frozenset({Kind.CHECK_IN, Kind.CHECK_OUT, Kind.VISITOR})
# Kinds that a row of attendance is folded from; each carries the session and the person.
ROW_KINDS = EVIDENCE | {Kind.OVERRIDE, Kind.RETRACT}


class Rank(IntEnum):
    """Staff ranks; a person at the door and the kiosk itself have none."""

    NONE = 0
    TAKER = 1
    INSTRUCTOR = 2
    ADMIN = 3


class Author(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Who an event is by: `door` (the person's own act), `staff`, `kiosk` or `hub`."""

    role: str = "door"
    staff: str | None = None
    rank: Int64 = 0


class Event(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One immutable entry of the log, made on one device and never changed.

    `id` is identity and idempotency key, never an order. `kseq` is gapless per (device,
    incarnation); `prev` and `hash` chain those events. `wall` (UTC ns) and `zone` are what the
    device believed; `ticks` (CLOCK_BOOTTIME ns) of `boot` is what the true time is worked out
    from. `saw` holds the ids that a decision was made in sight of. `floor` is the latest time (UTC
    ns) that the device had ever heard from a hub, given where none was heard in this boot yet;
    `since` the ticks from which it holds, if the database came to a machine that was running.

    What `data` holds, by kind: check_in and check_out `{method, sensor?, slot?, score?, verified?}`
    (`verified` what became of a claim: `finger`, or why none was compared: `unreadable`,
    `unavailable`, `interrupted`);
    override `{status, reason?, arrival?, departure?}` (times in UTC ns); retract `{target}`;
    resolve `{item}`; visitor `{name, method?}`, a walk-in whose id is `person`;
    refused `{reason}`; session_opened: a `Session` as builtins; directory
    `{record, id, rev, value}`; merged `{person, into, rev}`; consent `{text, language, answer,
    guardian?}` (`text` the version that was asked, `answer` yes or no, `guardian` who answered for
    a child); enrolled `{sensor, slot}`; template_revoked one of `{state: "ordered", reason}`, for
    every kiosk to carry out, `{state: "done", order, slots, templates, elsewhere?}`, what one
    destroyed (`order` is the id of the order, or of the consent's no; `elsewhere` the sensors seen
    there before that still hold some), `{state: "sensor", sensor, reason}`, one sensor's only.
    """

    id: str
    device: str
    incarnation: str
    kseq: Int64
    kind: str
    org: str
    room: str
    wall: Int64
    zone: str
    boot: str
    ticks: Int64
    synced: bool
    session: str | None = None
    person: str | None = None
    by: Author = Author()
    saw: tuple[str, ...] = ()
    data: dict[str, Any] = {}
    floor: Int64 = 0
    since: Int64 = 0
    prev: str = ""
    hash: str = ""


class Envelope(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What the hub adds when it accepts an event; all times in UTC ns.

    `key` and `signature` (hex) are there for what a hub says itself: by whom, as proof for whoever
    gets to see the event later (`sync.signing`, a stretch of one).
    """

    epoch: str
    offset: Int64
    received: Int64
    low: Int64
    high: Int64
    verdict: str = "accepted"  # or "quarantined", then `code` says why
    code: str = ""
    rank: Int64 = 0
    key: str = ""
    signature: str = ""


class Entry(msgspec.Struct, frozen=True, gc=False):
    """An event as the fold takes it: with its envelope, if it has one, and its interval.

    `low` and `high` (UTC ns) come from the envelope; before there is one, from the kiosk's clock.
    """

    event: Event
    low: Int64
    high: Int64
    envelope: Envelope | None = None


_ENCODER = msgspec.json.Encoder(order="deterministic")
_EVENT = msgspec.json.Decoder(Event)
_ENVELOPE = msgspec.json.Decoder(Envelope)


def encode_event(event: Event) -> bytes:
    """The one byte form of an event: stored, hashed and sent just so."""
    return _ENCODER.encode(event)


def decode_event(body: bytes | msgspec.Raw) -> Event:
    """The event in `body`; raises `msgspec.MsgspecError` if it is not one."""
    return _EVENT.decode(body)


def encode_envelope(envelope: Envelope) -> bytes:
    return _ENCODER.encode(envelope)


def decode_envelope(body: bytes | msgspec.Raw) -> Envelope:
    """The envelope in `body`; raises `msgspec.MsgspecError` if it is not one."""
    return _ENVELOPE.decode(body)


def event_hash(event: Event) -> str:
    """BLAKE2b-256 (RFC 7693), hex, over the event's bytes with `hash` left empty."""
    import hashlib  # noqa: PLC0415  the first frame need not wait for OpenSSL

    bare = event if not event.hash else msgspec.structs.replace(event, hash="")
    return hashlib.blake2b(encode_event(bare), digest_size=32).hexdigest()


def sealed(event: Event) -> Event:
    """The event with its hash filled in; `prev` must be set before."""
    return msgspec.structs.replace(event, hash=event_hash(event))
