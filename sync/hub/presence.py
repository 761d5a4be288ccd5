"""Which kiosks follow a room, told to those who asked for it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sync.hub.frames import Parcel
from sync.protocol import Kiosk, Presence

if TYPE_CHECKING:
    from typing import Literal

    from sync.hub.members import Member


class Presences:
    """The kiosks of one room, and the members that want to know of them.

    A kiosk that is there twice, as while it changes connections, neither joins nor leaves anew;
    nor does one that asks again and again, if it asks soon enough.
    """

    def __init__(self, room: str) -> None:
        self._room = room
        self._here: dict[str, Kiosk] = {}
        self._times: dict[str, int] = {}
        self._watching: dict[Member, None] = {}

    @property
    def empty(self) -> bool:
        """Whether there is nobody, and nobody who asks."""
        return not (self._here or self._watching)

    def came(self, member: Member, *, known: bool, watches: bool) -> None:
        """A member follows the room, perhaps anew; if it watches, it is told who is there."""
        self._watching.pop(member, None)
        if not known and (kiosk := _kiosk(member)) is not None:
            self._times[kiosk.device] = self._times.get(kiosk.device, 0) + 1
            if kiosk.device not in self._here:
                self._here[kiosk.device] = kiosk
                self._tell("join", kiosk)
        if watches:
            self._watching[member] = None
            here = Presence(self._room, "here", list(self._here.values()))
            member.line.write(Parcel(here, news=False))

    def went(self, member: Member) -> None:
        """A member follows the room no longer."""
        self._watching.pop(member, None)
        if (kiosk := _kiosk(member)) is None:
            return
        if member.lingers:
            loop = asyncio.get_running_loop()
            loop.call_later(member.lingers, self._left, kiosk.device)
        else:
            self._left(kiosk.device)

    def _left(self, device: str) -> None:
        self._times[device] -= 1
        if not self._times[device]:
            del self._times[device]
            self._tell("leave", self._here.pop(device))

    def _tell(self, change: Literal["join", "leave"], kiosk: Kiosk) -> None:
        if self._watching:
            parcel = Parcel(Presence(self._room, change, [kiosk]))
            for member in list(self._watching):
                member.line.write(parcel)
                member.check()


def _kiosk(member: Member) -> Kiosk | None:
    who = member.who
    return None if who is None or who.viewer or not who.device else Kiosk(who.device, who.name)
