"""The words of the log and of the door, as frozen types that may cross every border."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

if TYPE_CHECKING:
    import datetime as dt

# SQLite and C keep integers in 64 bits, and as nanoseconds they reach from 1677 to 2262: a number
# beyond is nobody's time, and must not get further than the decoder.
Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]

# -- the log ---------------------------------------------------------------------------------------


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


class Author(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who an event is by: `door` (the person's own act), `staff`, `kiosk` or `hub`."""

    role: str = "door"
    staff: str | None = None
    rank: Int64 = 0


class Event(msgspec.Struct, frozen=True, omit_defaults=True):
    """One immutable entry of the log, made on one device and never changed.

    `id` is identity and idempotency key, never an order. `kseq` is gapless per (device,
    incarnation); `prev` and `hash` chain those events. `wall` (UTC ns) and `zone` are what the
    device believed; `ticks` (CLOCK_BOOTTIME ns) of `boot` is what the true time is worked out
    from. `saw` holds the ids that a decision was made in sight of. `floor` is the latest time (UTC
    ns) that the device had ever heard from a hub, given where none was heard in this boot yet.

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
    prev: str = ""
    hash: str = ""


class Envelope(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the hub adds when it accepts an event; all times in UTC ns."""

    epoch: str
    offset: Int64
    received: Int64
    low: Int64
    high: Int64
    verdict: str = "accepted"  # or "quarantined", then `code` says why
    code: str = ""
    rank: Int64 = 0


class Entry(msgspec.Struct, frozen=True):
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


def uuid7(wall: int, entropy: bytes) -> str:
    """A UUIDv7 (RFC 9562, 5.7) from UTC nanoseconds and at least 10 random bytes."""
    millis = (wall // 1_000_000) & ((1 << 48) - 1)
    rand = int.from_bytes(entropy[:10], "big")
    value = millis << 80 | 0x7 << 76 | (rand >> 68) << 64 | 0b10 << 62 | rand & ((1 << 62) - 1)
    digits = f"{value:032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


_SESSIONS = "6f1ab2a4-58a5-5c0c-9f4e-3d4f0f1c7a10"


def session_id(org: str, site: str, schedule: str, date: dt.date) -> str:
    """The id that every kiosk of a site gives the same dated session, even offline (UUIDv5)."""
    import uuid  # noqa: PLC0415  a hundredth of a second that the first frame need not wait

    name = "\x1f".join((org, site, schedule, date.isoformat()))
    return str(uuid.uuid5(uuid.UUID(_SESSIONS), name))


def site_room(org: str, site: str) -> str:
    """Room of a site's directory and of whatever belongs to no session."""
    return f"org/{org}/site/{site}"


def session_room(org: str, session: str) -> str:
    """Room of one session's events."""
    return f"org/{org}/session/{session}"


# -- the directory ---------------------------------------------------------------------------------


class Person(msgspec.Struct, frozen=True, omit_defaults=True):
    """A member, student, visitor or member of staff.

    `badges` are keyed hashes of the tokens on their badges (`kiosk.badges`), never the tokens.
    """

    id: str
    first_name: str
    last_name: str = ""
    kind: str = "member"
    code: str = ""
    active: bool = True
    badges: tuple[str, ...] = ()

    @property
    def public_name(self) -> str:
        """First name and initial, all that a public screen may show."""
        return f"{self.first_name} {self.last_name[:1]}." if self.last_name else self.first_name

    @property
    def full_name(self) -> str:
        return f"{self.first_name} {self.last_name}".strip()


class Session(msgspec.Struct, frozen=True, omit_defaults=True):
    """One dated class, gathering, training day or opening hours; times in UTC ns.

    `roster` None expects every active person of the site; an empty one expects nobody by name.
    """

    id: str
    title: str
    zone: str
    starts: Int64
    ends: Int64
    place: str = ""
    late_at: Int64 | None = None
    roster: tuple[str, ...] | None = None
    all_day: bool = False


# -- attendance ------------------------------------------------------------------------------------


class Status(StrEnum):
    """What a row says of a person; which is not the same as being in the building."""

    EXPECTED = "expected"
    PRESENT = "present"
    LATE = "late"
    EXCUSED = "excused"
    ABSENT = "absent"


class Presence(StrEnum):
    """Where check-ins and check-outs alone put a person; evacuation lists use it."""

    NONE = "none"
    INSIDE = "inside"
    LEFT = "left"


class Flag(StrEnum):
    """What the fold could not settle silently, or settled and wants known."""

    ARRIVED_AFTER_ABSENT = "arrived_after_absent"
    SCAN_UNSEEN = "scan_unseen_by_override"
    OUTRANKED = "override_outranked"
    DISAGREE = "overrides_disagree"
    TIME_UNCERTAIN = "time_uncertain"
    TWO_PLACES = "two_places"
    AFTER_CLOSE = "after_close"
    FORKED = "forked"


class Attendance(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The folded row of one (session, person). Intervals are (low, high) in UTC ns.

    `winner` is the id of the winning override; `method` how the earliest live check-in was made
    (`finger`, `badge`, `code`, `staff`); `device` where.
    """

    session: str
    person: str
    status: Status = Status.EXPECTED
    presence: Presence = Presence.NONE
    arrival: tuple[int, int] | None = None
    departure: tuple[int, int] | None = None
    winner: str | None = None
    method: str = ""
    device: str = ""
    flags: tuple[Flag, ...] = ()


class Policy(msgspec.Struct, frozen=True, omit_defaults=True):
    """The rules of a site or of one session; travels as the directory's record `policy`.

    `late_after` minutes after the start a check-in is late (None: as the session itself says),
    `grace` minutes are granted beyond that; `capacity` people may be inside at once; `travel`
    minutes lie at least between any two places whose devices give no minutes of their own.
    """

    late_after: Int64 | None = None
    grace: Int64 = 0
    capacity: Int64 | None = None
    travel: Int64 = 0


class SessionState(msgspec.Struct, frozen=True, omit_defaults=True):
    """Whether a session is open, folded from its closings and reopenings.

    `closed` is the interval (UTC ns) of the closing that holds, None while open; `heads` are the
    decisions that no other knew; `decisions` all of them: what the next must carry as `saw`.
    `late_at` is the late limit (UTC ns) and `capacity` the most people inside, by the policy.
    """

    session: str
    closed: tuple[int, int] | None = None
    heads: tuple[str, ...] = ()
    decisions: tuple[str, ...] = ()
    late_at: int | None = None
    capacity: int | None = None

    @property
    def is_open(self) -> bool:
        return self.closed is None


# -- review ----------------------------------------------------------------------------------------


class Human(StrEnum):
    """What a review item asks of staff."""

    NO = "no"  # nothing: it explains a flag
    INFORMED = "informed"
    BATCH = "in_batch"  # to be looked at, one for many people
    YES = "yes"


class ReviewItem(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something the fold wants known, with all that is needed to say it in any language.

    `id` is derived from what it is about, its kind and the ids of its evidence (`ids`), so new
    evidence makes a new item. `kind` is a `Flag` or one of `unknown_person, unknown_session,
    close_reopened, over_capacity, quarantined`. `key` names the sentence and `args` its values:
    ids, statuses, numbers, times as (low, high) in UTC ns. `people` are those it is about;
    `resolved` the ids of the `resolve` events that acknowledge it, in order of id.
    """

    id: str
    kind: str
    human: Human
    key: str
    session: str = ""
    device: str = ""
    people: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    args: dict[str, Any] = {}
    resolved: tuple[str, ...] = ()

    @property
    def waits(self) -> bool:
        """Whether staff have not settled or acknowledged it yet."""
        return self.human is not Human.NO and not self.resolved


# -- the door --------------------------------------------------------------------------------------


class LinkState(StrEnum):
    """The states that the connection pill can name."""

    ONLINE = "online"
    SYNCING = "syncing"
    OFFLINE = "offline"
    LIMITED_SSE = "limited_sse"
    LIMITED_POLLING = "limited_polling"
    SIGN_IN = "sign_in"
    ATTENTION = "attention"


@dataclass(frozen=True, slots=True)
class LinkStatus:
    """The truth about the line to the hub; wall times in UTC ns, `retry_at` monotonic seconds."""

    state: LinkState = LinkState.OFFLINE
    held: int = 0
    oldest_held: int | None = None
    quarantined: int = 0
    attention: int = 0
    transport: str = ""  # "websocket", "sse", "polling" or "" for none now
    last_transport: str = ""
    last_exchange: int | None = None
    retry_at: float | None = None
    attempt: int = 0
    reason: str = ""


class SensorState(StrEnum):
    """Whether fingers can be read at all."""

    STARTING = "starting"
    READY = "ready"
    MISSING = "missing"  # no such port, or unplugged
    SILENT = "silent"  # the port is there, nothing answers as a sensor would
    BUSY = "busy"  # another program holds the port
    REFUSED = "refused"  # wants a password
    STRANGER = "stranger"  # works, but is not the one, or not as, on record: staff decide


@dataclass(frozen=True, slots=True)
class SensorStatus:
    """The fingerprint sensor as the door shows it; `since` UTC ns, `retry_at` monotonic seconds.

    `mismatch` says how a stranger differs: `blank`, `foreign`, `behind`, `ahead`, `weak` or
    `damaged`.
    """

    state: SensorState = SensorState.STARTING
    sensor: str = ""
    capacity: int = 0
    used: int = 0
    since: int | None = None
    retry_at: float | None = None
    detail: str = ""
    mismatch: str = ""


class Phase(StrEnum):
    """What the door is doing now."""

    IDLE = "idle"
    READING = "reading"
    VERIFYING = "verifying"
    OUTCOME = "outcome"
    OUT_OF_ORDER = "out_of_order"


class OutcomeKind(StrEnum):
    """The four answers of the door; each has its own colour, ring, word and sound."""

    ACCEPTED = "accepted"
    ALREADY_IN = "already_in"
    REFUSED = "refused"
    TRY_AGAIN = "try_again"


class Reason(StrEnum):
    """Why an outcome is not a plain welcome; the words for it belong to the screen."""

    NONE = "none"
    UNKNOWN_FINGER = "unknown_finger"
    UNKNOWN_CODE = "unknown_code"
    UNKNOWN_BADGE = "unknown_badge"
    OTHER_FINGER = "other_finger"  # it was compared with one person's, and is not theirs
    NOT_ACTIVE = "not_active"
    NOT_SAVED = "not_saved"
    DRY = "dry"
    WET = "wet"
    SMUDGED = "smudged"
    PARTIAL = "partial"
    LIFTED = "lifted"
    STUCK = "stuck"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One answer to one finger, badge or code; `at` and `since` UTC ns, `shown` seconds.

    `serial` grows with every outcome, so that two equal ones in a row are still two.
    `attempt` counts bad reads in a row, of `attempts` allowed before another way is offered;
    `offered` says that it is now.
    """

    serial: int
    kind: OutcomeKind
    at: int
    shown: float
    reason: Reason = Reason.NONE
    person: Person | None = None
    late: bool = False
    since: int | None = None
    attempt: int = 0
    attempts: int = 3
    undoable: bool = False
    offered: bool = False


@dataclass(frozen=True, slots=True)
class Claim:
    """Somebody has said who they are, and one finger is to bear them out.

    `ready` tells that it may be placed; from then on there are `shown` seconds for it. `seen` tells
    that it lies on the reader. `serial` grows with every claim.
    """

    serial: int
    person: Person
    ready: bool = False
    shown: float = 10.0
    seen: bool = False


@dataclass(frozen=True, slots=True)
class RosterRow:
    """A line of the live roster: a person and the folded attendance of the open session."""

    person: Person
    row: Attendance


@dataclass(frozen=True, slots=True)
class Counts:
    """Numbers beside the count bar; `present` includes the late ones."""

    present: int = 0
    late: int = 0
    excused: int = 0
    absent: int = 0
    expected: int = 0

    @property
    def total(self) -> int:
        return self.present + self.excused + self.absent + self.expected


@dataclass(frozen=True, slots=True)
class DeskState:
    """Everything the door shows but the roster's rows, in one value."""

    organisation: str = ""
    phase: Phase = Phase.IDLE
    session: Session | None = None
    outcome: Outcome | None = None
    claim: Claim | None = None
    sensor: SensorStatus = field(default_factory=SensorStatus)
    link: LinkStatus = field(default_factory=LinkStatus)
    counts: Counts = field(default_factory=Counts)


@dataclass(frozen=True, slots=True)
class Change:
    """What one committed transaction altered, announced after the commit.

    `rows` are the attendance rows as they now stand; `people` and `sessions` the directory
    records that were new or changed; `held` the outbox's length after it. `states` are sessions
    that were closed or reopened or got another limit. A change of many rows comes as several.
    `review` tells that review items may have come or gone, `merged` that persons became one.
    """

    rows: tuple[Attendance, ...] = ()
    people: tuple[Person, ...] = ()
    sessions: tuple[Session, ...] = ()
    held: int | None = None
    states: tuple[SessionState, ...] = ()
    review: bool = False
    merged: bool = False
