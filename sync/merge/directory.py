"""The directory as the log tells it: people, sessions, policy, places, and who was merged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from kiosk.model import Kind, Person, Policy, Session
from sync.merge.entries import Log
from sync.merge.evidence import Places

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from kiosk.model import Entry, Event

    Id = tuple[str, str]

SITE_POLICY = "site"  # the id of the policy that holds where a session has none of its own
MINUTE = 60 * 1_000_000_000
_TYPES: dict[str, Any] = {
    "person": Person,
    "session": Session,
    "policy": Policy,
    "merged": str | None,
}
# What an event that is no directory record brings in is outdone by any record of the hub.
_FIRST = -1


class Records:
    """Directory records: of each the highest rev wins, then the greatest event id.

    A record that cannot be understood is passed over, so the one before it stays.
    """

    def __init__(self) -> None:
        self._logs: dict[Id, Log] = {}
        self._best: dict[Id, Any] = {}
        self._stale: set[Id] = set()

    def apply(self, entry: Entry) -> bool:
        """Take in what the entry says of some record; whether it says anything new."""
        name = _name(entry.event)
        if name is None or not self._logs.setdefault(name, Log()).add(entry):
            return False
        self._stale.add(name)
        return True

    def of(self, record: str) -> dict[str, Any]:
        """The values of one kind of record by id, decoded if their type is known here."""
        for name in self._stale:
            self._best[name] = _best(name[0], self._logs[name].live())
        self._stale.clear()
        found = {id_: value for (kind, id_), value in self._best.items() if kind == record}
        return {id_: value for id_, value in found.items() if value is not None}


def canonical(merged: Mapping[str, str]) -> dict[str, str]:
    """Who each merged person is in the end, through chains; in a ring it is the least id."""
    found: dict[str, str] = {}
    for person in merged:
        path: list[str] = []
        at = person
        while at in merged and at not in path:
            path.append(at)
            at = merged[at]
        if at in path:
            at = min(path[path.index(at) :])
        if at != person:
            found[person] = at
    return found


def late_limit(session: Session | None, policy: Policy) -> int | None:
    """When (UTC ns) a check-in begins to be late in the session under the policy."""
    if session is None:
        return None
    limit = session.late_at
    if policy.late_after is not None:
        limit = session.starts + policy.late_after * MINUTE
    return None if limit is None else limit + policy.grace * MINUTE


def policy_for(session: str, policies: Mapping[str, Policy]) -> Policy:
    """The session's own policy, or else the site's."""
    return policies.get(session) or policies.get(SITE_POLICY) or Policy()


def places(devices: Mapping[str, Any], policy: Policy) -> Places:
    """How far apart the kiosks are, by the device records and the site's policy.

    A device record is `{place, travel?}`; `travel` gives minutes from there to other places.
    """
    of: dict[str, str] = {}
    given: dict[tuple[str, str], int] = {}
    for device, value in sorted(devices.items()):
        place = _map(value).get("place")
        if not isinstance(place, str) or not place:
            continue
        of[device] = place
        for other, minutes in _map(_map(value).get("travel")).items():
            if type(minutes) is int and minutes >= 0:
                given[place, other] = min(minutes, given.get((place, other), minutes))
    return Places(of, given, max(policy.travel, 0))


def _map(value: object) -> dict[Any, Any]:
    return value if isinstance(value, dict) else {}


def _name(event: Event) -> Id | None:
    data = event.data
    if event.kind == Kind.SESSION_OPENED and event.session is not None:
        return "session", event.session
    if event.kind == Kind.VISITOR and event.person is not None:
        return "person", event.person
    if event.kind == Kind.MERGED and isinstance(data.get("person"), str):
        return "merged", data["person"]
    if event.kind == Kind.DIRECTORY:
        record, id_ = data.get("record"), data.get("id")
        if isinstance(record, str) and isinstance(id_, str):
            return record, id_
    return None


def _best(record: str, live: Iterable[Entry]) -> object:
    best: tuple[int, str] | None = None
    value: object = None
    for entry in live:
        event = entry.event
        rev = _rev(event)
        if rev is None or (best is not None and (rev, event.id) <= best):
            continue
        try:
            value = _value(record, event)
        except (msgspec.MsgspecError, ValueError, TypeError, KeyError):
            continue
        best = (rev, event.id)
    return value


def _rev(event: Event) -> int | None:
    if event.kind not in (Kind.DIRECTORY, Kind.MERGED):
        return _FIRST
    rev = event.data.get("rev")
    return rev if type(rev) is int else None


def _value(record: str, event: Event) -> object:
    """What the event says the record is; raises one of several errors if it cannot be read."""
    data = event.data
    if event.kind == Kind.MERGED:
        into = data["into"]
        return into if isinstance(into, str) and into != data["person"] else None
    if event.kind == Kind.VISITOR:
        name = data.get("name")
        return Person(event.person or "", name if isinstance(name, str) else "", kind="visitor")
    value = data if event.kind == Kind.SESSION_OPENED else data["value"]
    wanted = _TYPES.get(record)
    if wanted is None:
        return value
    said = msgspec.convert(value, wanted)
    if isinstance(said, Person | Session) and (record, said.id) != _name(event):
        raise ValueError("it is named otherwise than what it describes")
    return said
