"""The outbox: the places of events that the hub has not settled yet, oldest first."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import msgspec

from kiosk.model import UNREADABLE, decode_event
from kiosk.records import Held

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Sequence

_PENDING = """
SELECT e.seq, e.id, e.body, e.device, e.incarnation, e.kseq
FROM outbox o JOIN event e ON e.seq = o.seq WHERE o.seq > ? ORDER BY o.seq LIMIT ?
"""
_TYPES = (int, str, bytes, str, str, int)


class Outbox:
    """The queue on the writer's connection.

    `length` is how many waited after the last commit, for any thread to read: to count a long
    queue after every commit would cost more than the commit. Whoever writes to the table by other
    ways has it counted anew.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self.length = self._now = self._counted()

    def committed(self) -> None:
        """What was changed stands."""
        self.length = self._now

    def rolled_back(self) -> None:
        """Nothing was changed since the last commit."""
        self._now = self.length

    def recount(self) -> None:
        """Count anew, after something else has written to the table."""
        self._now = self._counted()

    def add(self, seq: int) -> None:
        """Queue a new event."""
        self._db.execute("INSERT INTO outbox VALUES (?)", (seq,))
        self._now += 1

    def drop(self, seqs: Collection[int]) -> None:
        """Let go of what is settled; what is not queued is passed over."""
        first, last = min(seqs), max(seqs)
        if len(seqs) == last - first + 1:
            drop = "DELETE FROM outbox WHERE seq BETWEEN ? AND ?"
            gone = self._db.execute(drop, (first, last)).rowcount
        else:
            drop = "DELETE FROM outbox WHERE seq = ?"
            gone = self._db.executemany(drop, [(seq,) for seq in seqs]).rowcount
        self._now -= gone

    def again(self, incarnation: str, above: int, most: int | None = None) -> int:
        """Queue the events of an incarnation above a kseq again; how many were not queued.

        `most` is how many there are, if that is known: then the log is read, from its end, only
        until they are found.
        """
        if most is not None and (most <= 0 or self._covers(incarnation, above, most)):
            return 0
        added = self._db.execute(
            "INSERT OR IGNORE INTO outbox SELECT seq FROM event"
            " WHERE incarnation = ? AND kseq > ? ORDER BY seq DESC LIMIT ?",
            (incarnation, above, -1 if most is None else most),
        ).rowcount
        self._now += added
        return added

    def _counted(self) -> int:
        return int(self._db.execute("SELECT count(*) FROM outbox").fetchone()[0])

    def _covers(self, incarnation: str, above: int, most: int) -> bool:
        """Whether the queue is for certain the incarnation's last events, down to that kseq.

        Then its places, and the kseqs there, go from one end to the other without a hole.
        """
        ends = self._db.execute(
            "SELECT seq, kseq, incarnation FROM event WHERE seq IN"
            " ((SELECT min(seq) FROM outbox), (SELECT max(seq) FROM outbox)) ORDER BY seq"
        ).fetchall()
        if not ends:
            return False
        (first, lowest, one), (last, highest, other) = ends[0], ends[-1]
        whole = last - first == highest - lowest == self._now - 1
        reaches = lowest <= above + 1 and highest == above + most
        return bool(one == other == incarnation and whole and reaches)


def pending(db: sqlite3.Connection, after: int, limit: int, max_bytes: int) -> list[Held]:
    """The oldest unsent events with seq > `after`, at least one if there is any."""
    batch: list[Held] = []
    with contextlib.closing(db.execute(_PENDING, (after, limit))) as rows:
        for row in rows:
            held = Held(*row)
            if not all(map(isinstance, row, _TYPES)):
                held = _restored(held)
            max_bytes -= len(held.body)
            if batch and max_bytes < 0:
                break
            batch.append(held)
    return batch


def _restored(held: Held) -> Held:
    """What a card has spoilt of a row, as its event says it; one that cannot is sent as nothing."""
    body = held.body if isinstance(held.body, bytes) else str(held.body).encode()
    try:
        event = decode_event(body)
    except UNREADABLE:
        return Held(held.seq, str(held.id), body, str(held.device), str(held.incarnation), 0)
    return Held(held.seq, event.id, body, event.device, event.incarnation, event.kseq)


def oldest(db: sqlite3.Connection) -> int | None:
    """The wall time (UTC ns) of the oldest unsent event; None if there is none."""
    query = "SELECT wall FROM event WHERE seq = (SELECT min(seq) FROM outbox)"
    row = db.execute(query).fetchone()
    return row[0] if row and type(row[0]) is int else None


def quarantined(db: sqlite3.Connection, device: str) -> int:
    """How many events of a device the hub keeps apart."""
    # CROSS JOIN: from the few that are set apart, not from all events.
    query = (
        "SELECT count(*) FROM stamp s CROSS JOIN event e ON e.seq = s.seq"
        " WHERE s.quarantined IS NOT NULL AND e.device = ?"
    )
    return int(db.execute(query, (device,)).fetchone()[0])


def signatures(db: sqlite3.Connection, seqs: Sequence[int]) -> dict[int, tuple[str, str]]:
    """Key and signature (hex) of those that others wrote."""
    query = "SELECT * FROM carried WHERE seq IN (SELECT value FROM json_each(?))"
    rows = db.execute(query, (msgspec.json.encode(seqs).decode(),)).fetchall()
    return {seq: (key, signature) for seq, key, signature in rows}
