"""What the fold makes of the log: rows of attendance, sessions open or closed, review items."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec


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
