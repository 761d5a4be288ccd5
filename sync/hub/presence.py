"""Which kiosks follow a room, told to those who asked for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sync.hub.frames import Parcel
from sync.protocol import Kiosk, Presence

if TYPE_CHECKING:
    from typing import Literal

    from sync.hub.members import Member


class Presences:
    """The kiosks of one room, and the members that want to know of them.

    A kiosk that is there twice, as while it changes connections, neither joins nor leaves anew.
    """

    def __init__(self, room: str) -> None:
        self._room = room
        self._here: dict[Kiosk, int] = {}
        self._watching: dict[Member, None] = {}

    def came(self, member: Member, *, known: bool, watches: bool) -> None:
        """A member follows the room, perhaps anew; if it watches, it is told who is there."""
        self._watching.pop(member, None)
        if not known and (kiosk := _kiosk(member)) is not None:
            self._here[kiosk] = self._here.get(kiosk, 0) + 1
            if self._here[kiosk] == 1:
                self._tell("join", kiosk)
        if watches:
            self._watching[member] = None
            member.line.write(Parcel(Presence(self._room, "here", list(self._here))))

    def went(self, member: Member) -> None:
        """A member follows the room no longer."""
        self._watching.pop(member, None)
        if (kiosk := _kiosk(member)) is not None:
            self._here[kiosk] -= 1
            if not self._here[kiosk]:
                del self._here[kiosk]
                self._tell("leave", kiosk)

    def _tell(self, change: Literal["join", "leave"], kiosk: Kiosk) -> None:
        if self._watching:
            parcel = Parcel(Presence(self._room, change, [kiosk]))
            for member in list(self._watching):
                member.line.write(parcel)
                member.check()


def _kiosk(member: Member) -> Kiosk | None:
    who = member.who
    return None if who is None or who.viewer or not who.device else Kiosk(who.device, who.name)
