"""The records of the directory: who may come, to what, and by which rules."""

from __future__ import annotations

import msgspec

from kiosk.clock import EARLIEST, LATEST
from kiosk.model.events import Int64


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

    @property
    def dated(self) -> bool:
        """Whether its day is known; if not, it lasts from the first to the last time there is."""
        return (self.starts, self.ends) != (EARLIEST, LATEST)


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
