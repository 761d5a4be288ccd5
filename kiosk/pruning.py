"""Letting go of old events that a backup of the hub has, while the rows folded from them stay.

A session goes as a whole, and only if all of it is safe. Its rows are frozen as they were folded,
with the ids of their events: a decision made on one later still says what it saw. Should anything
new come to such a session, it is followed again from its beginning, and a row is folded anew once
all of its events are back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from kiosk.entries import SPOILT, readable
from kiosk.model import decode_envelope, session_room

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from kiosk.model import Session

CHAIN = "chain"  # the note that keeps the end of the own chain, should its events go
_IDS = msgspec.json.Decoder(tuple[str, ...])
_GONE = "SELECT ids FROM pruned WHERE session = ? AND person = ?"
_FOLLOWED = 64  # sessions; what happened in others long since is no longer news
_AT_ONCE = 20  # sessions; the writer has others to serve

_EVENTS = """
SELECT e.seq, e.id, e.person, s.envelope, EXISTS (SELECT 1 FROM outbox o WHERE o.seq = e.seq)
FROM event e LEFT JOIN stamp s ON s.seq = e.seq WHERE e.session = ? AND e.person IS NOT NULL
"""


class Safe(NamedTuple):
    """What the hub said is safe: all received up to `stable` (UTC ns) in this `epoch`."""

    epoch: str
    stable: int


def prune(
    db: sqlite3.Connection, org: str, sessions: Iterable[Session], safe: Safe, before: int
) -> int:
    """Let go of the sessions that ended before then (UTC ns) and are safe; how many events."""
    newest = db.execute("SELECT max(seq) FROM event").fetchone()[0]
    cursors = {room: (epoch, offset) for room, epoch, offset in db.execute("SELECT * FROM cursor")}
    gone = done = 0
    for session in sessions:
        if session.ends >= before or done >= _AT_ONCE:
            continue
        events = db.execute(_EVENTS, (session.id,)).fetchall()
        room = session_room(org, session.id)
        if not events or not _all_safe(events, safe, newest, cursors.get(room)):
            continue
        rows: dict[str, list[str]] = {}
        for _, id_, person, _, _ in events:
            rows.setdefault(person, []).append(id_)
        _let_go(db, session.id, rows, [event[0] for event in events])
        # Followed again, it must come from its beginning.
        db.execute("DELETE FROM cursor WHERE room = ?", (room,))
        gone, done = gone + len(events), done + 1
    return gone


def frozen(db: sqlite3.Connection, session: str, people: Iterable[str]) -> set[str]:
    """Of these rows, those that cannot be folded because events of theirs are not back yet."""
    found = set()
    for person in people:
        row = db.execute(_GONE, (session, person)).fetchone()
        if row is None:
            continue
        ids = _ids(row)
        if ids is None:  # spoilt, so it is not known whether they are back
            found.add(person)
            continue
        query = "SELECT count(*) FROM event WHERE id IN (SELECT value FROM json_each(?))"
        if db.execute(query, (msgspec.json.encode(ids).decode(),)).fetchone()[0] < len(ids):
            found.add(person)
        else:
            db.execute("DELETE FROM pruned WHERE session = ? AND person = ?", (session, person))
    return found


def ids_of(db: sqlite3.Connection, session: str, person: str) -> tuple[str, ...]:
    """The ids of the events of a row that were let go."""
    row = db.execute(_GONE, (session, person)).fetchone()
    return (_ids(row) or ()) if row else ()


def quiet(db: sqlite3.Connection) -> set[str]:
    """The sessions that were let go of and to which nothing new has come."""
    gone = {row[0] for row in db.execute("SELECT DISTINCT session FROM pruned")}
    if not gone:
        return gone
    query = (
        "SELECT DISTINCT p.session FROM pruned p"
        " JOIN event e ON e.session = p.session AND e.person IS NOT NULL"
    )
    return gone - {row[0] for row in db.execute(query)}


def followed(db: sqlite3.Connection, known: list[Session], now: int) -> list[Session]:
    """The sessions to be followed: the nearest to now (UTC ns), and those with unsent events.

    Those let go of are not among them, unless something new has come to them.
    """
    gone = quiet(db)
    known = [session for session in known if session.id not in gone]
    if len(known) <= _FOLLOWED:
        return known
    nearest = sorted(known, key=lambda session: abs(session.starts - now))[:_FOLLOWED]
    query = "SELECT DISTINCT session FROM event WHERE seq IN (SELECT seq FROM outbox)"
    wanted = {session.id for session in nearest} | {row[0] for row in db.execute(query)}
    return [session for session in known if session.id in wanted]


def _ids(row: tuple[str]) -> tuple[str, ...] | None:
    found = readable([row], _IDS)
    return found[0] if found else None


def _all_safe(
    events: list[tuple[int, str, str, bytes | None, int]],
    safe: Safe,
    newest: int,
    cursor: tuple[str, int] | None,
) -> bool:
    # The cursor's epoch may carry a time of receipt behind a mark.
    if cursor is None or type(cursor[1]) is not int or not str(cursor[0]).startswith(safe.epoch):
        return False
    for seq, _, _, body, unsent in events:
        # SQLite gives the place of the newest event to the next one, which must not look sent.
        if body is None or unsent or seq == newest:
            return False
        try:
            stamp = decode_envelope(body)
        except SPOILT:
            return False
        if stamp.epoch != safe.epoch or stamp.received > safe.stable or stamp.offset > cursor[1]:
            return False
    return True


def _let_go(
    db: sqlite3.Connection, session: str, rows: dict[str, list[str]], seqs: list[int]
) -> None:
    db.executemany(
        "INSERT OR REPLACE INTO pruned VALUES (?, ?, ?)",
        [(session, person, msgspec.json.encode(ids).decode()) for person, ids in rows.items()],
    )
    for table in ("event", "stamp", "carried"):
        drop = f"DELETE FROM {table} WHERE seq = ?"  # noqa: S608  three names of our own
        db.executemany(drop, [(seq,) for seq in seqs])
