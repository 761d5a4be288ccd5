"""The folds of all sessions that are followed by rows: one for each, as a site sees it.

It is begun with its first follower, and kept for a while after the last.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from kiosk.model import site_room
from sync.hub.roster import Roster
from sync.hub.rowframes import Shelf
from sync.hub.sources import Source

if TYPE_CHECKING:
    from sync.hub.access import Who
    from sync.hub.rooms import Rooms
    from sync.hub.transaction import Accepted

# In all folds; a site's own once, and by half in each. About 1.2 KiB for one.
MOST_EVENTS = 200_000


class Rosters:
    """The folds of all sessions that are followed by rows."""

    def __init__(self, rooms: Rooms) -> None:
        self.rooms = rooms
        self.shelf = Shelf()
        self._all: dict[tuple[str, str], Roster] = {}
        self._by_room: dict[str, list[Roster]] = {}
        self._sources: WeakValueDictionary[str, Source] = WeakValueDictionary()

    def source(self, site: str) -> Source:
        """What all folds of a site share, for as long as there are any."""
        found = self._sources.get(site)
        if found is None:
            found = self._sources[site] = Source(site)
        return found

    def roster(self, who: Who, room: str) -> Roster | None:
        """The rows of a session's room for one of this site; None if that is too much by now."""
        site = site_room(who.org, who.site)
        found = self._all.get((site, room))
        if found is None and self._room_for(site, room):
            session = room.removeprefix(f"org/{who.org}/session/")
            found = self._all[site, room] = Roster(self, site, room, session)
            for name in (site, room):
                self._by_room.setdefault(name, []).append(found)
        return found

    def publish(self, accepted: list[Accepted]) -> None:
        """Feed the folds with what was just committed."""
        if self._all:
            for one in accepted:
                for roster in self._by_room.get(one.room, ()):
                    roster.take(one)

    def drop(self, roster: Roster) -> None:
        """Let go of a fold."""
        if self._all.get((roster.site, roster.room)) is roster:
            del self._all[roster.site, roster.room]
            for name in (roster.site, roster.room):
                self._by_room[name].remove(roster)
                if not self._by_room[name]:
                    del self._by_room[name]
        roster.end()

    def close(self) -> None:
        """End all folds."""
        for roster in list(self._all.values()):
            self.drop(roster)

    def _room_for(self, site: str, room: str) -> bool:
        """Whether one more fits in, perhaps in place of some that nobody follows any more."""
        for roster in list(self._all.values()):
            if self._cost(site, room) <= MOST_EVENTS:
                break
            if not roster.members:
                self.drop(roster)
        return self._cost(site, room) <= MOST_EVENTS

    def _cost(self, site: str, room: str) -> int:
        """What it would be, in events, with one fold more."""
        ends = {name: self.rooms.room(name).committed for name in {site, *self._sources}}
        folds = sum(roster.cost for roster in self._all.values())
        return folds + sum(ends.values()) + ends[site] // 2 + self.rooms.room(room).committed
