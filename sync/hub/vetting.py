"""What a record must be before the hub says it to every kiosk; pure."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias
from zoneinfo import ZoneInfo

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    Records: TypeAlias = list[tuple[str, str, Any]]

_PLAIN = r"^[^\x00-\x1f\x7f]*$"
# Nanoseconds of the years 1970 to 2262: what the log's columns and every calendar can hold.
_Moment = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
_Minutes = Annotated[int, msgspec.Meta(ge=0, le=525_600)]
_Id = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=_PLAIN)]
_Named = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=_PLAIN)]
_Text = Annotated[str, msgspec.Meta(max_length=200, pattern=_PLAIN)]
_MOST_NAMED = 5  # clashes in one answer


class VettingError(ValueError):
    """The record is not one; says which and why in one line."""


class PersonRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A `person` as it may be written (`kiosk.model.Person`)."""

    id: _Id
    first_name: _Named
    last_name: _Text = ""
    kind: Literal["member", "student", "visitor", "staff"] = "member"
    code: Annotated[str, msgspec.Meta(pattern=r"^([0-9]{3,8})?$")] = ""
    active: bool = True
    badges: Annotated[list[_Named], msgspec.Meta(max_length=50)] = []


class SessionRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A `session` as it may be written (`kiosk.model.Session`); times in UTC ns."""

    id: _Id
    title: _Named
    zone: _Named
    starts: _Moment
    ends: _Moment
    place: _Text = ""
    late_at: _Moment | None = None
    roster: list[_Id] | None = None
    all_day: bool = False


class PolicyRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A `policy` as it may be written (`kiosk.model.Policy`); its id is a session's, or `site`."""

    late_after: _Minutes | None = None
    grace: _Minutes = 0
    capacity: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] | None = None
    travel: _Minutes = 0


class PlaceRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What may be written of a `device`: where it stands, and the minutes to other places."""

    place: _Text = ""
    travel: dict[_Named, _Minutes] = {}


Merged: TypeAlias = _Id | None

_TYPES: dict[str, Any] = {
    "person": PersonRecord,
    "session": SessionRecord,
    "policy": PolicyRecord,
    "device": PlaceRecord,
    "merged": Merged,
}
RECORDS = frozenset(_TYPES)  # those that may be written


def vet(record: str, id_: str, value: object) -> None:
    """Raises `VettingError` unless `value` can be what is said of this record from now on."""
    if record == "staff":
        raise VettingError("staff are added and changed with kiosk hub staff, on the hub's machine")
    if record not in _TYPES:
        known = ", ".join(sorted(_TYPES))
        raise VettingError(f'there is no record "{record[:40]}"; there are: {known}')
    try:
        said = msgspec.convert(value, _TYPES[record])
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise VettingError(f"{record} {id_[:40]}: {error}") from error
    check = _CHECKS.get(record)
    if check is not None and (problem := check(id_, said)):
        raise VettingError(f"{record} {id_[:40]}: {problem}")


def clashes(records: Records, known: Iterable[tuple[str, Mapping[str, Any]]]) -> list[str]:
    """Codes and badges that two active people would have, one line each; [] if none.

    `known` are the people of the site (id, value) before `records` are written. Only what the
    records bring is looked at: a clash that is there already does not keep anybody else out.
    """
    fresh = {id_: value for record, id_, value in records if record == "person"}
    if not any(_keys(value) for value in fresh.values()):
        return []
    owners: dict[tuple[str, str], set[str]] = defaultdict(set)
    for id_, value in (*((i, v) for i, v in known if i not in fresh), *fresh.items()):
        for key in _keys(value):
            owners[key].add(id_)
    found = [
        f"{'code ' + text if what == 'code' else 'a badge'} would belong to {' and '.join(ids)}"
        for (what, text), held in owners.items()
        if len(held) > 1 and held & fresh.keys() and (ids := sorted(held)[:_MOST_NAMED])
    ]
    return sorted(found)[:_MOST_NAMED]


def _keys(value: object) -> list[tuple[str, str]]:
    """What lets somebody in: code and badges, of whoever is active."""
    if not isinstance(value, dict) or value.get("active", True) is not True:
        return []
    code, badges = value.get("code"), value.get("badges")
    found = [("code", code)] if isinstance(code, str) and code else []
    if isinstance(badges, list):
        found += [("badge", badge) for badge in badges if isinstance(badge, str)]
    return found


def _of_person(id_: str, said: PersonRecord) -> str:
    return "" if said.id == id_ else "its id is another"


def _of_session(id_: str, said: SessionRecord) -> str:
    if said.id != id_:
        return "its id is another"
    if said.ends <= said.starts:
        return "it ends before it starts"
    return "" if _is_zone(said.zone) else f'there is no time zone "{said.zone[:40]}"'


def _of_merged(id_: str, said: str | None) -> str:
    return "" if said != id_ else "nobody is merged with themselves"


_CHECKS: dict[str, Callable[[str, Any], str]] = {
    "person": _of_person,
    "session": _of_session,
    "merged": _of_merged,
}


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return False
    return True
