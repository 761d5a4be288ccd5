"""What a bearer of a token may do; pure, and the same whatever transport asks."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from kiosk.model import Rank, site_room
from sync.hub.judge import belongs

EVERYWHERE = "*"


class Role(StrEnum):
    """What a token is for: a paired kiosk, a member of staff at a screen, or the hub's owner."""

    DEVICE = "device"
    STAFF = "staff"
    ADMIN = "admin"


RANKS = {"taker": Rank.TAKER, "instructor": Rank.INSTRUCTOR, "admin": Rank.ADMIN}


@dataclass(frozen=True, slots=True)
class Grant:
    """Who was let in, as what, and for how long.

    `subject` is the device's or the member of staff's id, `device` the one they write events as:
    the same for a kiosk, one of its own for each login of staff, empty for the hub's own token,
    which may speak for any. `org` and `sites` may be `EVERYWHERE`. `rooms`, if given, are the only
    ones allowed. `stamp` is that of the pairing or PIN it rests on: with another, it is void.
    `expires` (UTC s) None means never.
    """

    role: Role
    subject: str = ""
    device: str = ""
    org: str = EVERYWHERE
    sites: tuple[str, ...] = (EVERYWHERE,)
    rooms: tuple[str, ...] | None = None
    rank: Rank = Rank.NONE
    stamp: int = 0
    expires: int | None = None

    @property
    def everywhere(self) -> bool:
        """Whether nothing of this hub is another's."""
        return self.org == EVERYWHERE

    @property
    def only_site(self) -> tuple[str, str] | None:
        """Organisation and site, if it is for one alone."""
        if self.everywhere or len(self.sites) != 1 or EVERYWHERE in self.sites:
            return None
        return self.org, self.sites[0]

    def speaks_for(self, org: str, site: str, device: str) -> bool:
        """Whether the bearer may act as this device of this site; "" as one that only reads."""
        return self.covers(org, site) and (not device or self.device in ("", device))

    def covers(self, org: str, site: str) -> bool:
        """Whether the site is one of the bearer's."""
        return self.org in (EVERYWHERE, org) and (EVERYWHERE in self.sites or site in self.sites)

    def may_follow(self, room: str, org: str, site: str) -> bool:
        """Whether the bearer, having greeted as of `site`, may read this room."""
        if not self.covers(org, site) or not belongs(room, org):
            return False
        if self.rooms is not None and room not in self.rooms:
            return False
        return room == site_room(org, site) or room.startswith(f"org/{org}/session/")

    def may_push(self) -> bool:
        """Whether the bearer may add events to the log; the judge looks at each of them."""
        return self.role is not Role.STAFF or self.rank >= Rank.TAKER

    def may_direct(self, org: str, site: str) -> bool:
        """Whether the bearer may change the directory of a site."""
        return self.covers(org, site) and (
            self.role is Role.ADMIN or (self.role is Role.STAFF and self.rank >= Rank.ADMIN)
        )

    def may_read(self, record: str) -> bool:
        """Whether the bearer may read such records; verifiers of PINs are for kiosks and admins."""
        return record != "staff" or self.role is not Role.STAFF

    def reads_names(self) -> bool:
        """Whether rows are shown the bearer with full names; a kiosk's screens are public."""
        return self.role is not Role.DEVICE

    def may_administer(self) -> bool:
        """Whether the bearer may list, rename and revoke devices, and see who was refused."""
        return self.role is Role.ADMIN


OWNER = Grant(Role.ADMIN, "owner", rank=Rank.ADMIN)
"""Whoever holds the hub's own token."""
