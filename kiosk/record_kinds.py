"""What an event says of the directory: which record, and whether it can be understood."""

from __future__ import annotations

from typing import Any

import msgspec

from kiosk.model import Attendance, Event, Kind, Person, Policy, Session
from kiosk.stamps import fit

ATTENDANCE = msgspec.json.Decoder(Attendance)
PERSON = msgspec.json.Decoder(Person)
SESSION = msgspec.json.Decoder(Session)
POLICY = msgspec.json.Decoder(Policy)
EVENT = msgspec.json.Decoder(Event)
ANYTHING = msgspec.json.Decoder()
MERGED = msgspec.json.Decoder(str | None)

# Kinds of events that bring a record, and the records that rows are judged by (with sessions).
RECORDS = frozenset({Kind.DIRECTORY, Kind.SESSION_OPENED, Kind.MERGED, Kind.VISITOR})
JUDGED_BY = frozenset({"policy", "device", "merged"})
_FIRST = -1  # outdone by any record of the hub


def record_of(event: Event) -> tuple[str, str, int, Any]:
    """Record, id, rev and value; raises one of several errors for what is none."""
    data = event.data
    if event.kind == Kind.SESSION_OPENED and event.session is not None:
        return "session", event.session, _FIRST, data
    if event.kind == Kind.VISITOR and event.person is not None:
        name = data.get("name")
        visitor = Person(event.person, name if isinstance(name, str) else "", kind="visitor")
        return "person", event.person, _FIRST, visitor
    if event.kind == Kind.MERGED:
        person, into = data["person"], data["into"]
        other = into if isinstance(into, str) and into != person else None
        return "merged", str(person), _whole(data["rev"]), other
    return str(data["record"]), str(data["id"]), _whole(data["rev"]), data["value"]


def understood(record: str, value: bytes) -> Person | Session | None:
    """The person or session that a record is, None for one of another kind.

    Raises `msgspec.MsgspecError` or `ValueError` for a value that its kind of record has not.
    """
    match record:
        case "person":
            return PERSON.decode(value)
        case "session":
            session = SESSION.decode(value)
            if not fit(session.starts, session.ends, session.late_at or 0):
                raise ValueError("times that no calendar has")
            return session
        case "policy":
            POLICY.decode(value)
        case "merged":
            MERGED.decode(value)
    return None


def _whole(rev: object) -> int:
    if type(rev) is not int:
        raise ValueError("a rev that is no whole number")
    return rev
