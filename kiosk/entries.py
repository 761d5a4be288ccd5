"""What a row of attendance is folded from, as the database holds it."""

from __future__ import annotations

import functools
import logging
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from kiosk.model import ROW_KINDS, UNREADABLE, Entry, decode_envelope, decode_event

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Mapping

T = TypeVar("T")
Id = TypeVar("Id")
_LOG = logging.getLogger(__name__)
_JSON = msgspec.json.Encoder()

# What reading a row may raise: a cell may even hold a value of another type than its column's.
SPOILT = (*UNREADABLE, TypeError)


DECIDING = "kind IN ('resolve', 'retract', 'session_closed', 'session_reopened')"
_DECIDING = f"""
SELECT e.id, e.body, coalesce(s.low, e.low), coalesce(s.high, e.high), s.envelope
FROM event e LEFT JOIN stamp s ON s.seq = e.seq WHERE e.{DECIDING} AND s.quarantined IS NULL
"""  # noqa: S608  no value of anybody's is in it
_NOBODY: Mapping[str, str] = MappingProxyType({})


def entries_of(
    db: sqlite3.Connection,
    session: str,
    people: list[str],
    aliases: Mapping[str, str] = _NOBODY,
) -> dict[str, list[Entry]]:
    """What rows of one session are folded from, each in the order it was written here.

    With them are the entries of those who, by `aliases`, are one of these people now.
    """
    wanted = people
    if aliases:
        these = set(people)
        wanted = people + [alias for alias, person in aliases.items() if person in these]
    found = db.execute(
        "SELECT id, person, kind, body, low, high, envelope FROM entry WHERE session = ?"
        " AND person IN (SELECT value FROM json_each(?)) AND quarantined IS NULL ORDER BY seq",
        (session, _JSON.encode(wanted).decode()),
    )
    rows: dict[str, list[Entry]] = {person: [] for person in people}
    for id_, person, kind, body, low, high, envelope in found:
        if kind in ROW_KINDS:
            entry = _entry(id_, body, low, high, envelope)
            if entry is not None:
                rows[aliases.get(person, person)].append(entry)
    return rows


def decisions_of(db: sqlite3.Connection, session: str | None = None) -> list[Entry]:
    """Closings, reopenings, undos and acknowledgements that count, of one session or of all."""
    if session is None:
        found = db.execute(_DECIDING)
    else:
        found = db.execute(f"{_DECIDING} AND e.session = ?", (session,))
    entries = (_entry(*row) for row in found)
    return [entry for entry in entries if entry is not None]


def _entry(id_: str, body: bytes, low: int, high: int, envelope: bytes | None) -> Entry | None:
    try:
        stamp = decode_envelope(envelope) if envelope else None
        entry = Entry(decode_event(body), low, high, stamp)
    except SPOILT:
        entry = None
    if entry is None or type(low) is not int or type(high) is not int:
        _say_unreadable(id_)
        return None
    return entry


@functools.lru_cache(maxsize=1024)
def _say_unreadable(event: str) -> None:
    """Once for each, though its row is folded at every scan."""
    _LOG.error("event %s of the log cannot be read; its row is folded without it", event)


def by_session(keys: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """The people of each session."""
    grouped: dict[str, list[str]] = {}
    for session, person in keys:
        grouped.setdefault(session, []).append(person)
    return grouped


def readable(rows: list[Any], decoder: msgspec.json.Decoder[T]) -> list[T]:
    """What the rows hold; a spoilt one is logged and left out: the others must still come in."""
    return [value for _, value in readable_by_id([(None, row[0]) for row in rows], decoder)]


def readable_by_id(
    rows: Iterable[tuple[Id, Any]], decoder: msgspec.json.Decoder[T]
) -> Iterator[tuple[Id, T]]:
    """As `readable`, with the id that each value is kept under."""
    for id_, value in rows:
        try:
            yield id_, decoder.decode(value)
        except SPOILT as error:
            _LOG.error("a row of the database cannot be read: %s", error)
