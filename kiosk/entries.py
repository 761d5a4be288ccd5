"""What a row of attendance is folded from, as the database holds it."""

from __future__ import annotations

import functools
import logging
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from kiosk.model import ROW_KINDS, Entry, decode_envelope, decode_event

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

T = TypeVar("T")
_LOG = logging.getLogger(__name__)
_JSON = msgspec.json.Encoder()


def entries_of(db: sqlite3.Connection, session: str, people: list[str]) -> dict[str, list[Entry]]:
    """What rows of one session are folded from, each in the order it was written here."""
    found = db.execute(
        "SELECT id, person, kind, body, low, high, envelope FROM entry WHERE session = ?"
        " AND person IN (SELECT value FROM json_each(?)) AND quarantined IS NULL ORDER BY seq",
        (session, _JSON.encode(people).decode()),
    )
    rows: dict[str, list[Entry]] = {person: [] for person in people}
    for id_, person, kind, body, low, high, envelope in found:
        if kind in ROW_KINDS:
            try:
                stamp = decode_envelope(envelope) if envelope else None
                rows[person].append(Entry(decode_event(body), low, high, stamp))
            except (msgspec.MsgspecError, ValueError, RecursionError):
                _say_unreadable(id_)
    return rows


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
    found: list[T] = []
    for row in rows:
        try:
            found.append(decoder.decode(row[0]))
        except msgspec.MsgspecError as error:
            _LOG.error("a row of the database cannot be read: %s", error)
    return found
