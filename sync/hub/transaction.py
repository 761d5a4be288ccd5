"""What goes into a transaction of the hub's log and comes out, and what is remembered meanwhile."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kiosk.clock import Anchor
    from kiosk.model import Author, Event
    from sync.protocol import Signed


@dataclass(frozen=True, slots=True)
class Submission:
    """What one connection wants kept: for whom, by whom, the items' bytes, its clock's anchors.

    `origin` stands for the connection, and comes back with each event it put into the log.
    `signed` says who wrote what. `introduces`: it may bring the keys of devices never heard of,
    which is for those that may speak for any device, not for a device of its own. `staff`, on whose
    sign-in it came, with their rank: they write as themselves, and with no higher rank.
    """

    org: str
    device: str
    bodies: Sequence[bytes]
    anchors: Sequence[Anchor] = ()
    origin: object = None
    signed: Sequence[Signed] = ()
    introduces: bool = True
    staff: Author | None = None

    def exceeds(self, event: Event) -> bool:
        """Whether the event claims more than the member of staff that brings it has."""
        who = self.staff
        return who is not None and (
            event.device != self.device or event.by.staff != who.staff or event.by.rank > who.rank
        )


class Accepted(msgspec.Struct, frozen=True):
    """One event that entered a room's log; `event` and `envelope` are encoded."""

    room: str
    offset: int
    event: bytes
    envelope: bytes
    origin: object = None


@dataclass(slots=True)
class Room:
    number: int
    head: int


@dataclass(slots=True)
class Transaction:
    """What is gathered in memory, to be written with a few statements at its end."""

    began: int = 0  # UTC ns, before all that comes in
    received: int = 0  # of the last that came in
    trusted: bool = False
    rows: list[tuple[Any, ...]] = field(default_factory=list)
    accepted: list[Accepted] = field(default_factory=list)
    ids: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    rooms: dict[str, Room] = field(default_factory=dict)
    signed: dict[Signed, None] = field(default_factory=dict)
    returned: bool = False  # records of the register have come back
