"""The state of one door: what its screen shows of the reader, the line and who comes."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from kiosk.model.attendance import Attendance, SessionState
from kiosk.model.directory import Person, Session


class LinkState(StrEnum):
    """The states that the connection pill can name."""

    ONLINE = "online"
    SYNCING = "syncing"
    OFFLINE = "offline"
    LIMITED_SSE = "limited_sse"
    LIMITED_POLLING = "limited_polling"
    SIGN_IN = "sign_in"
    ATTENTION = "attention"


class LinkStatus(msgspec.Struct, frozen=True):
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
    # Of which sessions (by title) how many older events are neither at the hub nor here.
    missing: tuple[tuple[str, int], ...] = ()


class SensorState(StrEnum):
    """Whether fingers can be read at all."""

    STARTING = "starting"
    READY = "ready"
    MISSING = "missing"  # no such port, or unplugged
    SILENT = "silent"  # the port is there, nothing answers as a sensor would
    BUSY = "busy"  # another program holds the port
    REFUSED = "refused"  # wants a password
    STRANGER = "stranger"  # works, but is not the one, or not as, on record: staff decide


class SensorStatus(msgspec.Struct, frozen=True):
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


class Outcome(msgspec.Struct, frozen=True):
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
    sure: bool = True  # whether the door knew the time


class Claim(msgspec.Struct, frozen=True):
    """Somebody has said who they are, and one finger is to bear them out.

    `ready` tells that it may be placed; from then on there are `shown` seconds for it. `seen` tells
    that it lies on the reader. `serial` grows with every claim.
    """

    serial: int
    person: Person
    ready: bool = False
    shown: float = 10.0
    seen: bool = False


class RosterRow(msgspec.Struct, frozen=True):
    """A line of the live roster: a person and the folded attendance of the open session.

    If the row is not that person's, there is no such line any more: they were merged into whose row
    it is, or (nobody's) are no longer expected.
    """

    person: Person
    row: Attendance


class Counts(msgspec.Struct, frozen=True):
    """Numbers beside the count bar; `present` includes the late ones."""

    present: int = 0
    late: int = 0
    excused: int = 0
    absent: int = 0
    expected: int = 0

    @property
    def total(self) -> int:
        return self.present + self.excused + self.absent + self.expected


class DeskState(msgspec.Struct, frozen=True):
    """Everything the door shows but the roster's rows, in one value.

    `choices` are the sessions it may be, while the door does not know the time and nobody has said
    which; meanwhile `session` is one of no known day. `sure` tells whether it knows the time.
    """

    organisation: str = ""
    phase: Phase = Phase.IDLE
    session: Session | None = None
    outcome: Outcome | None = None
    claim: Claim | None = None
    sensor: SensorStatus = SensorStatus()
    link: LinkStatus = LinkStatus()
    counts: Counts = Counts()
    choices: tuple[Session, ...] = ()
    sure: bool = True


class Change(msgspec.Struct, frozen=True):
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
