"""What staff put right without a screen: review items, sessions closed and reopened, decisions.

RulingError    it cannot be done as asked; one line says why
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from kiosk.clock import NS, HubClock
from kiosk.errors import KioskError
from kiosk.model import Author, Human, Kind, Rank, Status
from kiosk.store import Draft
from sync.merge import explain

if TYPE_CHECKING:
    from kiosk.clock import Clock
    from kiosk.model import Event, ReviewItem, Session
    from kiosk.store import Store
    from sync.merge import Names

OWNER = "owner"  # whoever has the machine, and gives no other name
_SHORT = 8  # characters of an id that are shown, and enough to name it by
STATUSES = (Status.PRESENT, Status.LATE, Status.EXCUSED, Status.ABSENT)
_ASKS = {
    Human.YES: "asks for a decision",
    Human.BATCH: "to be looked at",
    Human.INFORMED: "for information",
}


class RulingError(KioskError):
    """It cannot be done as asked."""


def staff(store: Store, name: str) -> Author:
    """Who decides, by the name they give: whoever has this kiosk's shell may do as instructors do.

    Whoever is on the site's list of staff decides by their rank there. Raises `RulingError` for
    those of a lower rank or no longer on it, and for names that are not, where there is a list.
    """
    known = store.records("staff")
    found = known.get(name)
    if found is None:
        if known and name != OWNER:
            raise RulingError(f'nobody on the staff is called "{name}"')
        return Author("staff", name, Rank.INSTRUCTOR)
    if not found.get("active", True):
        raise RulingError(f"{name} is no longer on the staff")
    rank = found.get("rank")
    if type(rank) is not int or rank < Rank.INSTRUCTOR:
        raise RulingError(f"{name} takes attendance only; that is for an instructor to decide")
    return Author("staff", name, rank)


def moment(store: Store, clock: Clock) -> int:
    """What time it is (UTC ns) by the hub, as far as this machine has heard of that."""
    hub_clock = HubClock(clock)
    hub_clock.learn(store.anchors())
    return hub_clock.wall()


def listed(store: Store) -> list[str]:
    """The open review items, a line each."""
    names = store.names()
    found = [f"{one.id[:_SHORT]}  {explain(one, names)}" for one in store.review_items()]
    return found or ["Nothing waits to be reviewed."]


def shown(store: Store, item: str) -> list[str]:
    """One open review item, with what it is about."""
    one, names = _item(store, item), store.names()
    about = [names.people.get(person, person) for person in one.people]
    lines = [explain(one, names), f"Item {one.id} ({one.kind}), {_ASKS[one.human]}."]
    lines += [f"Session: {names.sessions.get(one.session, one.session)}."] if one.session else []
    lines += [f"About: {', '.join(about)}."] if about else []
    here = {event.id: event for event in store.events(one.ids)}
    return lines + [f"Entry {id_}: {_told(here.get(id_), names, store)}" for id_ in one.ids]


def resolve(store: Store, item: str, by: Author) -> list[str]:
    """Acknowledge an open item: the question ends, and no status is altered."""
    one = _item(store, item)
    data = {"item": one.id}
    store.record(Draft(Kind.RESOLVE, one.session or None, by=by, data=data, saw=one.ids)).result()
    return [f"Acknowledged: {explain(one, store.names())}"]


def close(store: Store, session: str, by: Author, now: int) -> list[str]:
    """Close a session, the one that is on if none is named."""
    found = _session(store, session, now)
    if not store.session_state(found.id).is_open:
        raise RulingError(f"{found.title} ({found.id}) is closed already")
    store.record(Draft(Kind.SESSION_CLOSED, found.id, by=by)).result()
    absent = sum(row.status is Status.ABSENT for row in store.attendance(found.id))
    return [f"{found.title} ({found.id}) is closed; {absent} absent."]


def reopen(store: Store, session: str, by: Author, now: int) -> list[str]:
    """Reopen a session, the one that is on if none is named."""
    found = _session(store, session, now)
    if store.session_state(found.id).is_open:
        raise RulingError(f"{found.title} ({found.id}) is open")
    store.record(Draft(Kind.SESSION_REOPENED, found.id, by=by)).result()
    return [f"{found.title} ({found.id}) is open again."]


def override(
    store: Store, person: str, status: str, session: str, reason: str, by: Author, now: int
) -> list[str]:
    """Decide somebody's status, in sight of all that this kiosk holds of the row."""
    if status not in STATUSES:
        raise RulingError(f"{status} is none of {', '.join(STATUSES)}")
    if not any(one.id == person for one in store.people()):
        raise RulingError(f'nobody has the id "{person}" here; see `kiosk people list`')
    found = _session(store, session, now)
    data = {"status": status} | ({"reason": reason} if reason else {})
    store.record(Draft(Kind.OVERRIDE, found.id, person, by, data)).result()
    who = store.merged().get(person, person)
    row = next(row for row in store.attendance(found.id) if row.person == who)
    return [f"{person} is {row.status} in {found.title} ({found.id})."]


def _told(event: Event | None, names: Names, store: Store) -> str:
    """Who, what, when by that kiosk's clock, and at which kiosk."""
    if event is None:
        return "not on this kiosk"
    who = names.people.get(event.person or "", event.person or "nobody")
    what = event.kind.replace("_", " ")
    if isinstance(said := event.data.get("status") or event.data.get("method"), str):
        what += f" ({said})"
    decided = event.by.staff
    by = f", by {names.staff.get(decided, decided)}" if decided is not None else ""
    mine = event.device == store.identity.device
    other = f"kiosk {names.devices.get(event.device, event.device[:_SHORT])}"
    return f"{who}, {what}{by}, {_when(event, names.zone)}, at {'this kiosk' if mine else other}"


def _when(event: Event, zone: str) -> str:
    try:
        when = dt.datetime.fromtimestamp(event.wall / NS, ZoneInfo(zone))
    except (KeyError, ValueError, OverflowError, OSError):  # whatever another kiosk has written
        return "at no time that a calendar has"
    return when.strftime("%Y-%m-%d %H:%M:%S")


def _item(store: Store, item: str) -> ReviewItem:
    found = [one for one in store.review_items() if item and one.id.startswith(item)]
    if len(found) != 1:
        what = "several open items begin" if found else "no open item begins"
        raise RulingError(f'{what} with "{item}"; see `kiosk review list`')
    return found[0]


def _session(store: Store, session: str, now: int) -> Session:
    known = store.sessions()
    if session:
        found = [one for one in known if one.id == session]
    else:
        on = [one for one in known if one.starts <= now < one.ends]
        found = sorted(on, key=lambda one: one.starts)[-1:]
    if not found:
        why = f'no session has the id "{session}"' if session else "no session is on now; name one"
        raise RulingError(f"{why}; see `kiosk sessions list`")
    return found[0]
