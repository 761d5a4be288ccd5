"""The hub that a kiosk knows: by the key it signs its records with, pinned when they first meet.

A record (`directory`, `merged`) is kept with the hub's signature, among the events that this kiosk
may pass on. So a hub that was restored from a backup is offered what it said since, by any kiosk,
and can believe it.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from msgspec.structs import replace

from kiosk.entries import SPOILT
from kiosk.model import Kind, decode_envelope, site_room

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping
    from pathlib import Path

    from kiosk.model import Envelope
    from kiosk.storefile import Identity

NOTE = "hub"
OTHER = "another hub answers than the one this kiosk knows"
# What only a hub says.
WORDS = frozenset({Kind.DIRECTORY, Kind.MERGED})

_SIGNED = """
SELECT e.seq, e.incarnation, s.envelope FROM carried c JOIN event e ON e.seq = c.seq
LEFT JOIN stamp s ON s.seq = e.seq WHERE c.key = ? AND e.kind IN ('directory', 'merged')
AND s.quarantined IS NULL
AND e.kseq > coalesce((SELECT value FROM json_each(?) WHERE key = e.incarnation), 0)
"""
_OTHERS = """
DELETE FROM outbox WHERE seq IN (
    SELECT c.seq FROM carried c JOIN event e ON e.seq = c.seq
    WHERE e.kind IN ('directory', 'merged') AND c.key <> ?)
"""


class Hub(NamedTuple):
    """A hub by its public key (hex), and the token it was met with, by a hash."""

    key: str = ""
    token: str = ""


class Lives(NamedTuple):
    """What a hub says it holds of its own: per incarnation all up to a kseq, in this epoch.

    With nothing but its key: it holds nothing for certain.
    """

    key: str
    epoch: str = ""
    incarnation: str = ""
    held: Mapping[str, int] = MappingProxyType({})


def secret_of(database: Path) -> Path:
    """The file that the key of the hub with this database comes from."""
    return database.with_name(database.name + ".key")


def read(note: str | None) -> Hub:
    """The hub in a note; an empty one before the first."""
    key, _, token = (note or "").partition("\n")
    return Hub(key, token)


def met(note: str | None, key: str, token: str) -> Hub | None:
    """Whom to take for this kiosk's hub, now that one with this key answers to this token.

    None for a stranger: the token is the one that another hub was met with. Who gives a kiosk
    another token means another hub.
    """
    known = read(note)
    return None if known.key not in ("", key) and known.token == token else Hub(key, token)


def meet(db: sqlite3.Connection, who: Identity, hub: Hub) -> None:
    """Pin it. From a hub that is new to this kiosk its records are read anew, with signatures.

    What another hub said is not offered to it: that would only be set apart there.
    """
    row = db.execute("SELECT value FROM meta WHERE key = ?", (NOTE,)).fetchone()
    if read(row[0] if row else None).key != hub.key:
        db.execute("DELETE FROM cursor WHERE room = ?", (site_room(who.org, who.site),))
        db.execute(_OTHERS, (hub.key,))
    db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (NOTE, "\n".join(hub)))


def keep(db: sqlite3.Connection, seq: int, envelope: Envelope) -> Envelope:
    """Keep the signature that came with an event, of which the caller has seen that it is good.

    The envelope without it.
    """
    if not envelope.signature:
        return envelope
    row = (seq, envelope.key, envelope.signature)
    db.execute("INSERT OR IGNORE INTO carried VALUES (?, ?, ?)", row)
    return replace(envelope, key="", signature="")


def reoffer(db: sqlite3.Connection, lives: Lives) -> int:
    """Queue what the hub has signed and lacks now; how many.

    What has an envelope of the hub's present epoch is there, although places before it may stay
    empty: they are of other sites. Not so in the incarnation that the hub writes under just now,
    which has no such holes: a copy of its database was put back, and it does not know it yet.
    """
    held = msgspec.json.encode(dict(lives.held)).decode()
    lacking = [
        (seq,)
        for seq, incarnation, envelope in db.execute(_SIGNED, (lives.key, held))
        if incarnation == lives.incarnation or _epoch(envelope) != lives.epoch
    ]
    return db.executemany("INSERT OR IGNORE INTO outbox VALUES (?)", lacking).rowcount


def _epoch(envelope: bytes | None) -> str:
    try:
        return "" if envelope is None else decode_envelope(envelope).epoch
    except SPOILT:
        return ""
