"""What a hub has let go of for its age, and this kiosk has not got: kept under the note "gaps".

By room, how many events each page that came lacked, by the offset it came after.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from kiosk.model import UNREADABLE, Session, session_room

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

Gaps = dict[str, dict[int, int]]
NOTE = "gaps"
_MOST = 256  # rooms
_GAPS = msgspec.json.Decoder(Gaps)
_HERE = """
SELECT count(*) FROM event e JOIN stamp s ON s.seq = e.seq
WHERE e.session = ? AND e.kind <> 'session_opened' AND s.envelope IS NOT NULL
"""


def read(note: str | None) -> Gaps:
    """The gaps in the note; nothing if it cannot be read."""
    try:
        return _GAPS.decode(note) if note else {}
    except (*UNREADABLE, TypeError):
        return {}


def noted(gaps: Gaps, room: str, after: int, missing: int) -> Gaps:
    """The gaps once a page of the room has come; one from its beginning outdoes all before it."""
    pages = {} if after == 0 else dict(gaps.get(room, {}))
    pages.pop(after, None)
    if missing:
        pages[after] = missing
    found = {name: held for name, held in gaps.items() if name != room}
    if pages:
        found[room] = pages
    return dict(list(found.items())[-_MOST:])


def written(gaps: Gaps) -> str:
    """The note that holds the gaps."""
    return msgspec.json.encode(gaps).decode()


def lacking(
    db: sqlite3.Connection, org: str, sessions: Iterable[Session]
) -> list[tuple[Session, int]]:
    """How many events of which session neither hub nor kiosk has; none of those let go of here."""
    row = db.execute("SELECT value FROM meta WHERE key = ?", (NOTE,)).fetchone()
    gaps = read(row[0] if row else None)
    found = []
    for session in sessions if gaps else ():
        room = session_room(org, session.id)
        if told := sum(gaps.get(room, {}).values()):
            found.append((session, min(told, _beyond(db, room, session.id))))
    return [(session, count) for session, count in found if count > 0]


def _beyond(db: sqlite3.Connection, room: str, session: str) -> int:
    """How many of the room's events are not here, of those up to where it has been read."""
    if db.execute("SELECT 1 FROM pruned WHERE session = ? LIMIT 1", (session,)).fetchone():
        return 0
    cursor = db.execute("SELECT offset FROM cursor WHERE room = ?", (room,)).fetchone()
    here = db.execute(_HERE, (session,)).fetchone()[0]
    return cursor[0] - here if cursor else 0
