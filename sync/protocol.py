"""The words that a kiosk and a hub exchange over `/v1/ws`: one JSON object per frame, both ways.

A frame is a msgspec Struct tagged by `type`. Events travel as the very bytes that were stored and
hashed (`msgspec.Raw`), so neither end encodes them anew. Nothing here does I/O.

ProtocolError                 a frame that cannot be taken; `code` goes into `error` frames
+-- OversizedError            longer than any honest one
+-- MismatchError             the peer speaks another version
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, TypeAlias, TypeVar

import msgspec

from kiosk.clock import Anchor
from kiosk.model import Envelope, Flag, Status
from kiosk.model import Presence as Whereabouts

if TYPE_CHECKING:
    from collections.abc import Iterable

T = TypeVar("T")

VERSION = 1
PATH = "/v1/ws"

MAX_BATCH = 500  # events in one push
MAX_BATCH_BYTES = 256 * 1024  # bytes of events in one push, unless a single one is larger
MAX_MESSAGE = 1024 * 1024  # bytes of one frame from a kiosk
MAX_FROM_HUB = 4 * MAX_MESSAGE  # bytes of one frame from a hub: events with envelopes


class Close(IntEnum):
    """Why a connection was closed by the hub (RFC 6455, 7.4: 4000-4999 are private)."""

    GOING_AWAY = 1001
    TRY_LATER = 1013
    BAD_MESSAGE = 4400
    TOKEN = 4401
    REVOKED = 4403
    SLOW = 4408
    SUPERSEDED = 4409


class ProtocolError(Exception):
    """The frame cannot be taken; whoever sent it is told so and the connection is closed."""

    code: ClassVar[str] = "malformed"


class OversizedError(ProtocolError):
    """The frame is longer than any honest one."""

    code = "oversized"


class MismatchError(ProtocolError):
    """The peer speaks another version of this protocol."""

    code = "version"


Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Name: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Hex: TypeAlias = Annotated[str, msgspec.Meta(max_length=128)]
RoomName: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, max_length=500)]


class Cursor(msgspec.Struct, frozen=True, omit_defaults=True):
    """Up to where a room has been read: an offset, and the epoch in which it means anything.

    `received` is the hub's time of receipt (UTC ns, see `kiosk.model.Envelope`) of the event at
    `offset`. No hub gives one twice, so a hub restored from a backup of the same epoch, which has
    filled that offset anew, finds out. 0, or its absence (optional in version 1), is not looked at.

    Of `rows` it is a cursor too: `received` is then that of the last event of either of their two
    rooms, and `part` how many rows of an unfinished snapshot are there already.
    """

    epoch: Name
    offset: Count
    received: Count = 0
    part: Count = 0


# -- from the kiosk --------------------------------------------------------------------------------


class Hello(msgspec.Struct, frozen=True, tag="hello", omit_defaults=True):
    """The first frame: who speaks. The token may come here or in the Authorization header.

    `key` is the public half (Ed25519, hex) of what this incarnation signs with. The first that
    a hub hears holds for ever. Without one, only what others signed can be pushed. A `viewer` reads
    only: it pushes nothing, counts as no kiosk and may be there many times.
    """

    version: int
    org: Name
    site: Name
    device: Name
    incarnation: Name
    name: Annotated[str, msgspec.Meta(max_length=200)] = ""
    token: str | None = None
    viewer: bool = False
    key: Hex = ""


class Subscribe(msgspec.Struct, frozen=True, tag="subscribe", omit_defaults=True):
    """Follow a room from `cursor` (None: from its beginning).

    `echo` False leaves out, of the live events, those whose `ack` went to this very connection.
    `pages` is how many pages of missed events may be sent before the next `subscribe`, so that a
    long catch-up comes no faster than it can be stored; 0 is no limit. `kinds` leaves out events
    of all other kinds; offsets count on. After `ttl` seconds the hub ends it with `unsubscribed`,
    unless it is asked anew. `presence` asks for `presence` frames of that room. `rows` asks for
    `rows` in place of events, of a session's room; with `names` "public", for no more than public
    names, also where the token may read more.
    """

    room: RoomName
    cursor: Cursor | None = None
    echo: bool = True
    pages: Count = 0
    kinds: Annotated[list[Name], msgspec.Meta(max_length=50)] = []
    ttl: Annotated[float, msgspec.Meta(gt=0, le=86_400)] | None = None
    presence: bool = False
    rows: bool = False
    names: Literal["full", "public"] = "full"


class Unsubscribe(msgspec.Struct, frozen=True, tag="unsubscribe"):
    """Follow a room no longer; not answered."""

    room: RoomName


class Poll(msgspec.Struct, frozen=True, tag="poll", omit_defaults=True):
    """What a client that can only ask wants to hear; sent to `/v1/poll`.

    The answer is a JSON array of the messages a stream would have brought. It comes at once if a
    room holds anything new, else when something happens or after `wait` seconds.
    """

    follow: Annotated[list[Subscribe], msgspec.Meta(max_length=500)]
    wait: Annotated[float, msgspec.Meta(ge=0, le=60)] = 0.0


class Signed(msgspec.Struct, frozen=True, omit_defaults=True):
    """That one device wrote a stretch of its chain: events `first` to `last` (kseq), no hole.

    They begin at place `at` of the push. `head` is the hash of the last, `signature` (hex) is over
    all of this but `at` (see `sync.signing`). `key` is the author's public key (hex), where a hub
    may not know it.
    """

    at: Annotated[int, msgspec.Meta(ge=0, lt=MAX_BATCH)]
    device: Name
    incarnation: Name
    first: Count
    last: Count
    head: Annotated[str, msgspec.Meta(max_length=64)]
    signature: Hex
    key: Hex = ""


class Push(msgspec.Struct, frozen=True, tag="push", omit_defaults=True):
    """Events to be kept, answered by one `ack` with a verdict for each, in the same order.

    Each must lie in a stretch of `signed`: a batch of a device's own events has one, unless its
    chain has holes; events carried for others bring the signatures of their authors.
    """

    batch: Count
    events: Annotated[list[msgspec.Raw], msgspec.Meta(max_length=MAX_BATCH)]
    anchors: Annotated[list[Anchor], msgspec.Meta(max_length=MAX_BATCH)] = []
    signed: Annotated[list[Signed], msgspec.Meta(max_length=MAX_BATCH)] = []


class Ping(msgspec.Struct, frozen=True, tag="ping"):
    """Asks for the hub's time; `sent` (boot ticks, ns) comes back untouched."""

    sent: Count


# -- from the hub ----------------------------------------------------------------------------------


class House(msgspec.Struct, frozen=True, omit_defaults=True):
    """The hub as the author of records, which it signs with `key` (its public half, hex).

    `held` says, for each of its incarnations that it knows of, up to which kseq nothing is missing
    here: a hub that was restored from a backup lacks what is above, and what is of others.
    """

    key: Hex
    incarnation: Name
    held: dict[str, Count] = {}


class Welcome(msgspec.Struct, frozen=True, tag="welcome", omit_defaults=True):
    """The answer to `hello`. `hub_time` is UTC ns, None while the hub does not trust its clock.

    `received_kseq` says, per incarnation of this device, up to which kseq nothing is missing here.
    What the hub received up to `stable` (UTC ns, as in envelopes) is also in a backup. `hub` is the
    hub itself (optional in version 1), and not told to viewers.
    """

    version: int
    epoch: Name
    hub_time: Count | None = None
    received_kseq: dict[str, Count] = {}
    stable: Count = 0
    hub: House | None = None


class Item(msgspec.Struct, frozen=True, gc=False):
    """An accepted event with the hub's envelope."""

    event: msgspec.Raw
    envelope: Envelope


class Events(msgspec.Struct, frozen=True, tag="events", omit_defaults=True):
    """What a room holds above offset `after`, up to and including `offset`; `head` is its end.

    `live`: nothing is missing now, later events follow by themselves. `received` is that of the
    event at `offset`, said where it is not the last of `items` (optional in version 1). `missing`
    is how many events between `after` and `offset` the hub has let go of for their age: what is
    shown of the room is then not all that happened in it.
    """

    room: RoomName
    epoch: Name
    after: Count
    offset: Count
    head: Count
    live: bool = False
    items: list[Item] = []
    received: Count = 0
    missing: Count = 0


class Reset(msgspec.Struct, frozen=True, tag="reset"):
    """The cursor means nothing in this log: every event of the room follows, to be united."""

    room: RoomName
    epoch: Name
    head: Count


class Verdict(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What became of one pushed event; all but `retry` mean that the hub holds it durably.

    `after` is in seconds. `id` is empty if the hub could not even read that. `retry` with the code
    `unsigned` asks for a signature over this event alone: the stretch it came in is broken.
    """

    id: str
    verdict: Literal["ok", "dup", "quarantined", "retry"]
    code: str = ""
    after: float | None = None
    envelope: Envelope | None = None


class Ack(msgspec.Struct, frozen=True, tag="ack"):
    """The verdicts on one `push`, in its order."""

    batch: Count
    verdicts: list[Verdict]


class Pong(msgspec.Struct, frozen=True, tag="pong", omit_defaults=True):
    """The answer to `ping`; `hub_time` as in `welcome`."""

    echo: Count
    hub_time: Count | None = None


class Position(msgspec.Struct, frozen=True, tag="position", omit_defaults=True):
    """Where a followed room ends, said every few seconds so that a silent gap is found.

    To a reader of rows: where these are by now, with `received` as in `Rows`.
    """

    room: RoomName
    epoch: Name
    head: Count
    received: Count = 0


class Gap(msgspec.Struct, frozen=True, tag="gap"):
    """After ten minutes' connection, `missing` events of this device beyond `after` never came."""

    incarnation: Name
    after: Count
    missing: Count


class Error(msgspec.Struct, frozen=True, tag="error", omit_defaults=True):
    """Something was refused; `after` (seconds) is when to try again, if that is known."""

    code: str
    message: str = ""
    after: float | None = None


class Unsubscribed(msgspec.Struct, frozen=True, tag="unsubscribed"):
    """The hub ended a subscription whose `ttl` is over; `offset` is how far it was served."""

    room: RoomName
    epoch: Name
    offset: Count


class Kiosk(msgspec.Struct, frozen=True, omit_defaults=True):
    """A kiosk that follows a room."""

    device: str
    name: str = ""


class Presence(msgspec.Struct, frozen=True, tag="presence"):
    """Which kiosks follow a room: `here` is all of them, `join` and `leave` are what changed."""

    room: RoomName
    change: Literal["here", "join", "leave"]
    kiosks: list[Kiosk]


class Row(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One person in one session, as `kiosk.model.Attendance` has it; intervals in UTC ns.

    `name` is the public one (first name and initial) or the full one, "" if nobody told it. `items`
    are the ids of review items about the person that wait for staff, 20 at the most.
    """

    person: str
    status: Status
    presence: Whereabouts
    name: str = ""
    arrival: tuple[int, int] | None = None
    departure: tuple[int, int] | None = None
    flags: tuple[Flag, ...] = ()
    items: tuple[str, ...] = ()


class Sitting(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is to be known of the session itself; times in UTC ns. Nobody described it: no `title`.

    `closed` is the interval in which it was closed, None while it is open; `items` the ids of
    review items about the session as a whole, 20 at the most.
    """

    title: str = ""
    zone: str = ""
    starts: int | None = None
    ends: int | None = None
    place: str = ""
    late_at: int | None = None
    capacity: int | None = None
    closed: tuple[int, int] | None = None
    items: tuple[str, ...] = ()


class Tally(msgspec.Struct, frozen=True):
    """How many rows have each status, and how many persons are inside."""

    expected: int = 0
    present: int = 0
    late: int = 0
    excused: int = 0
    absent: int = 0
    inside: int = 0


class Rows(msgspec.Struct, frozen=True, tag="rows", omit_defaults=True):
    """The rows of a session that changed since `since`, or some of a snapshot of them all.

    They are true at `offset` of the session's room, `head` being its end, and at `received`: the
    hub's time of receipt (UTC ns) of the last event that went into them, of the session's room or
    its site's. `snapshot`: all that was known before is void. `part`: more of the snapshot follows,
    so many rows of it have come. `live`: nothing is missing now. `gone` are persons who no longer
    have a row. `session` is there if it changed, `counts` whenever the rows are whole. `missing` is
    how many events of the session's room the hub had let go of for their age.
    """

    room: RoomName
    epoch: Name
    offset: Count
    head: Count
    received: Count
    since: Count = 0
    snapshot: bool = False
    part: Count = 0
    live: bool = False
    rows: list[Row] = []
    gone: list[str] = []
    session: Sitting | None = None
    counts: Tally | None = None
    missing: Count = 0


class Kept(msgspec.Struct, frozen=True, gc=False):
    """An `Item` as the hub's log holds it, both parts already encoded."""

    event: msgspec.Raw
    envelope: msgspec.Raw


class Page(msgspec.Struct, frozen=True, tag="events", omit_defaults=True):
    """`Events`, the same on the wire, made of `Kept` items; for encoding only."""

    room: str
    epoch: str
    after: int
    offset: int
    head: int
    live: bool = False
    items: Sequence[Kept] = ()
    received: int = 0
    missing: int = 0


class Judged(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A `Verdict`, the same on the wire, with its envelope already encoded; for encoding only."""

    id: str
    verdict: str
    code: str = ""
    after: float | None = None
    envelope: msgspec.Raw | None = None


class Receipt(msgspec.Struct, frozen=True, tag="ack"):
    """`Ack`, the same on the wire, made of `Judged` verdicts; for encoding only."""

    batch: int
    verdicts: Sequence[Judged]


FromKiosk: TypeAlias = Hello | Subscribe | Unsubscribe | Push | Ping | Poll
FromHub: TypeAlias = (
    Welcome | Events | Rows | Reset | Ack | Pong | Position | Unsubscribed | Presence | Gap | Error
)
Message: TypeAlias = FromKiosk | FromHub | Page | Receipt

_ENCODER = msgspec.json.Encoder()
_FROM_KIOSK: msgspec.json.Decoder[FromKiosk] = msgspec.json.Decoder(FromKiosk)
_FROM_HUB: msgspec.json.Decoder[FromHub] = msgspec.json.Decoder(FromHub)


def encode(message: Message) -> bytes:
    """The frame's bytes: one JSON object, UTF-8."""
    return _ENCODER.encode(message)


def decode_from_kiosk(frame: bytes | str) -> FromKiosk:
    """What a kiosk said; raises `ProtocolError` for anything but one of its messages."""
    return _decoded(_FROM_KIOSK, frame, MAX_MESSAGE)


def decode_from_hub(frame: bytes | str) -> FromHub:
    """What a hub said; raises `ProtocolError` for anything but one of its messages."""
    return _decoded(_FROM_HUB, frame, MAX_FROM_HUB)


def kept(rows: Iterable[tuple[bytes, bytes]]) -> list[Kept]:
    """Items for a `Page` from pairs of encoded event and encoded envelope."""
    raw = msgspec.Raw
    return [Kept(raw(event), raw(envelope)) for event, envelope in rows]


def check_version(version: int) -> None:
    """Raises `MismatchError` unless the peer speaks this version."""
    if version != VERSION:
        raise MismatchError(f"speaks protocol version {version}, this end speaks {VERSION}")


def _decoded(decoder: msgspec.json.Decoder[T], frame: bytes | str, longest: int) -> T:
    if len(frame) > longest:
        raise OversizedError(f"a frame of {len(frame)} bytes")
    try:
        return decoder.decode(frame)
    # Bad UTF-8 is a ValueError and bottomless nesting a RecursionError, not msgspec's own.
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise ProtocolError(str(error)) from error
