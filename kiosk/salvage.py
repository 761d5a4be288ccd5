"""Reads what a damaged database still yields, and never writes to it."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from kiosk import schema
from kiosk.clock import Anchor
from kiosk.incarnation import NOTES
from kiosk.model import UNREADABLE, decode_event
from kiosk.records import Logged, Salvage, SensorBinding, Slot
from kiosk.wal import committed, rebuilt

if TYPE_CHECKING:
    from pathlib import Path

_LOG = logging.getLogger(__name__)


def salvage(path: Path) -> Salvage:
    """All that can be read of a database and the log beside it; nothing at all at worst."""
    # SQLite deletes the log beside an empty database, however it is opened.
    if path.stat().st_size:
        with contextlib.closing(_opened(path)) as db:
            if _is_ours(db):
                return _read(db, whole=True)
    log = path.with_name(path.name + "-wal")
    content = log.read_bytes() if log.exists() else b""
    main = path.read_bytes()
    if not main and not committed(content)[0]:
        return Salvage()
    with contextlib.closing(sqlite3.connect(":memory:")) as db:
        db.text_factory = _text_or_bytes
        db.deserialize(rebuilt(main, content, _blank()))
        return _read(db, whole=not main and 1 in committed(content)[0])


def _opened(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)
    connection.text_factory = _text_or_bytes
    return connection


def _text_or_bytes(data: bytes) -> str | bytes:
    """Text that was spoilt is no text: its row is passed over, and those behind it are not."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


def _is_ours(db: sqlite3.Connection) -> bool:
    try:
        query = "SELECT count(*) FROM sqlite_master WHERE name IN ('event', 'meta')"
        return bool(db.execute(query).fetchone()[0])
    except sqlite3.Error as error:
        _LOG.error("a damaged database cannot be opened as it is: %s", error)
        return False


def _blank() -> bytes:
    """A fresh database: every kiosk's has the same first pages, for all make the same tables."""
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        schema.migrate(db)
        return db.serialize()


def _read(db: sqlite3.Connection, *, whole: bool) -> Salvage:
    """Everything readable; `whole` False if a table may look emptier than it was."""
    query = "SELECT record, id, rev, event, value FROM directory"
    records, _ = _readable(db, query, (str, str, int, str, bytes))
    query = "SELECT sensor, slot, person, status, enrolled, digest FROM slot"
    slots, _ = _readable(db, query, (str, int, str, str, int, str))
    query = "SELECT sensor, generation, weak FROM binding"
    bound, _ = _readable(db, query, (str, int, int))
    query = "SELECT boot, ticks, hub, round_trip FROM anchor"
    anchors, _ = _readable(db, query, (str, int, int, int))
    notes, _ = _readable(db, "SELECT key, value FROM meta", (str, str))
    events, complete = _events(db, whole=whole)
    return Salvage(
        events,
        records,
        [Slot(*row) for row in slots],
        [SensorBinding(row[0], row[1], bool(row[2])) for row in bound],
        [Anchor(*row) for row in anchors],
        {key: value for key, value in notes if key not in NOTES},
        complete,
    )


def _events(db: sqlite3.Connection, *, whole: bool) -> tuple[list[Logged], bool]:
    waiting, all_waiting = _readable(db, "SELECT seq FROM outbox", (int,))
    query = "SELECT seq, low, high, envelope, quarantined FROM stamp"
    stamps, _ = _readable(db, query, (int, int, int, bytes | None, str | None))
    query, types = "SELECT seq, low, high, body FROM event ORDER BY seq", (int, int, int, bytes)
    rows, all_events = _readable(db, query, types)
    if not all_events:
        # Up to the damage from both ends.
        rows = list(dict.fromkeys(rows + _readable(db, query + " DESC", types)[0][::-1]))
    complete = whole and all_waiting and all_events
    stamped = {row[0]: row[1:] for row in stamps}
    query = "SELECT seq, key, signature FROM carried"
    signed = {row[0]: row[1:] for row in _readable(db, query, (int, str, str))[0]}
    queued = {row[0] for row in waiting}
    if not complete:
        # The outbox cannot be trusted. The hub answers "dup" to what it has.
        queued |= {row[0] for row in rows if row[0] not in stamped}
    found = [
        Logged(body, low, high, seq in queued, stamped.get(seq), signed.get(seq))
        for seq, low, high, body in rows
    ]
    good = [one for one in found if _is_event(one.body)]
    lost = {one.body for one in found if one.unsent} - {one.body for one in good}
    return good, complete and not lost


def _is_event(body: bytes) -> bool:
    try:
        decode_event(body)
    except UNREADABLE:
        _LOG.error("an event in a damaged database cannot be read; it stays in that file")
        return False
    return True


def _readable(
    db: sqlite3.Connection, query: str, types: tuple[Any, ...]
) -> tuple[list[tuple[Any, ...]], bool]:
    """The rows of these types up to the first that cannot be read, and whether those were all."""
    rows: list[tuple[Any, ...]] = []
    whole = True
    try:
        for row in db.execute(query):
            if all(map(isinstance, row, types)):
                rows.append(row)
            else:
                whole = False
    except (sqlite3.Error, UnicodeDecodeError) as error:
        _LOG.error("a damaged database can be read no further: %s", error)
        return rows, False
    return rows, whole
