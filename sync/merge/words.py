"""Review items in plain English; other languages take the same keys and arguments."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from kiosk.clock import LATEST

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from kiosk.model import ReviewItem

NS = 1_000_000_000

# Every key of an item and its sentence. Arguments: see `arguments`.
SENTENCES = {
    "arrived_after_absent": "{staff} marked {person} absent; {person} came in after that, {time}."
    " Shown as {status}.",
    "scan_unseen_by_override": "{staff} marked {person} absent without knowing that {person} came"
    " in at {device}, {time}. Shown as {status} until somebody decides again.",
    "override_outranked": "Decisions on {person} were made without knowledge of each other: {said}."
    " That of {staff} has the higher rank. Shown as {status}.",
    "overrides_disagree": "Decisions on {person} were made without knowledge of each other: {said}."
    " Shown as {status} until somebody decides again.",
    "time_uncertain": "{person} came in {time} by the clock of {device}, which is not sure enough"
    " to say whether that was before {limit}. Shown as {status}.",
    "time_uncertain_batch": "{device} was not sure of the time ({time}) when {people} came in;"
    " whether that was before {limit} is not known. They have the benefit of the doubt.",
    "time_contradicted": "The hub gave two times for what {device} recorded of {person}, and they"
    " exclude each other: {time}. Shown as {status}.",
    "time_contradicted_batch": "The hub gave two times for what {device} recorded of {people},"
    " and they exclude each other: {time}.",
    "two_places": "{person} was seen {time} at {devices}, which are too far apart for that."
    " At one of them it may have been somebody else.",
    "two_places_across": "{person} was seen {time} at {devices}, in {sessions}; they are too far"
    " apart for that. At one of them it may have been somebody else.",
    "after_close": "{person} came in at {device}, {time}, after the session was closed; {device}"
    " did not know that. Shown as {status}.",
    "after_close_batch": "{device} did not know that {session} was closed: {people} came in there"
    " afterwards, {time}. They count as having come.",
    "after_close_known": "{person} came in at {device}, {time}, after the session was closed, and"
    " {device} knew that. Shown as {status}.",
    "forked_scan": "{device}, where {person} was seen {time}, has a double that writes in its name."
    " What it saw counts.",
    "forked": "{device} has a double: from its entry {kseq} on, two disks write in its name."
    " Check-ins of both count, decisions of neither. Pair one of them anew.",
    "unknown_person": "Somebody with the id {person} came to {session} and is not in the"
    " directory. The entry is kept.",
    "unknown_session": "{people} came to a session with the id {session} that is not known here."
    " The entries are kept.",
    "close_reopened": "{session} was closed and reopened by people who did not know of each other:"
    " {said}. It is open.",
    "over_capacity": "{people} are inside in {session}; the limit is {capacity}.",
    "quarantined": "An entry of {device} ({event}, by {staff}) was set apart: {code}."
    " It is kept and does not count.",
    "quarantined_about": "An entry of {device} about {person} ({event}, by {staff}) was set apart:"
    " {code}. It is kept and does not count.",
}

EVENTS = {
    "check_in": "check-in",
    "check_out": "check-out",
    "override": "decision",
    "retract": "undo",
    "resolve": "acknowledgement",
    "visitor": "visitor",
    "session_closed": "closing",
    "session_reopened": "reopening",
}
_DONE = {"session_closed": "closed it", "session_reopened": "reopened it"}
CODES = {
    "malformed": "it cannot be read",
    "too_large": "it is too large",
    "room": "it belongs to another organisation or site",
    "hash": "its contents are not what was written",
    "signature": "its signature is not the device's",
    "chain": "it does not follow what the device wrote before",
    "fork": "two disks write in the name of its device",
    "rank": "its author may not decide that",
    "forbidden": "its author may not decide that",
    "revoked": "its device was revoked",
}


@dataclass(frozen=True, slots=True)
class Names:
    """What ids are called, and the IANA zone that times are told in; what lacks shows its id."""

    people: Mapping[str, str] = field(default_factory=dict)
    staff: Mapping[str, str] = field(default_factory=dict)
    devices: Mapping[str, str] = field(default_factory=dict)
    sessions: Mapping[str, str] = field(default_factory=dict)
    zone: str = "UTC"


def explain(item: ReviewItem, names: Names | None = None) -> str:
    """The item in a sentence or two, in plain English.

    An item of a later version, with a key not known here, is named by its kind.
    """
    sentence = SENTENCES.get(item.key)
    if sentence is None:
        return item.kind.replace("_", " ").capitalize() + "."
    return sentence.format_map(_Lenient(arguments(item, names or Names())))


def arguments(item: ReviewItem, names: Names) -> dict[str, str]:
    """The values of the item's sentence, by name, ready to be put in."""
    args = item.args
    found = {name: _SHOWN.get(name, _plain)(value, names) for name, value in args.items()}
    if "count" in args:
        found["people"] = _people(args["count"])
    return found


class _Lenient(dict[str, str]):
    """Says that something lacks where a later version's item has other arguments."""

    def __missing__(self, key: str) -> str:
        return f"({key} not given)"


def _plain(value: object, names: Names) -> str:  # noqa: ARG001  one of a table of alike functions
    return str(value)


def _people(count: int) -> str:
    return "1 person" if count == 1 else f"{count} people"


def _said(sides: Sequence[Sequence[str]], names: Names) -> str:
    return _listed([f"{names.staff.get(who, who)} {_verb(what)}" for who, what in sides])


def _verb(what: str) -> str:
    return _DONE.get(what, f"said {what}")


def _devices(devices: Sequence[str], names: Names) -> str:
    return _listed([names.devices.get(device, device) for device in devices])


def _listed(parts: Sequence[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def _time(interval: Sequence[int], names: Names) -> str:
    low, high = (_clock(time, names.zone) for time in interval)
    if interval[1] == LATEST:
        return f"some time after {low}"
    return f"at {low}" if low == high else f"between {low} and {high}"


def _limit(interval: Sequence[int], names: Names) -> str:
    return _clock(interval[0], names.zone)


def _clock(time: int, zone: str) -> str:
    """Hours and minutes in the zone, with the date, for intervals may reach over days."""
    try:
        at = dt.datetime.fromtimestamp(time // NS, ZoneInfo(zone))
    except (ZoneInfoNotFoundError, ValueError, OverflowError, OSError):
        try:
            at = dt.datetime.fromtimestamp(time // NS, dt.UTC)
        except (ValueError, OverflowError, OSError):
            return "a time that no calendar has"
    return f"{at:%H:%M} on {at.day} {at:%B %Y}"


_SHOWN: dict[str, Callable[[Any, Names], str]] = {
    "person": lambda value, names: names.people.get(value, value),
    "staff": lambda value, names: names.staff.get(value, names.devices.get(value, value)),
    "device": lambda value, names: names.devices.get(value, value),
    "devices": _devices,
    "session": lambda value, names: names.sessions.get(value, value),
    "sessions": lambda value, names: _listed([names.sessions.get(one, one) for one in value]),
    "said": _said,
    "time": _time,
    "limit": _limit,
    "event": lambda value, _: EVENTS.get(value, str(value).replace("_", " ")),
    "code": lambda value, _: CODES.get(value, str(value)),
}
