"""What the hub holds of each device's own chain of events: all up to a kseq, and some beyond it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3

    from kiosk.model import Event

# Places beyond a hole in a device's chain that are remembered; one forgotten is offered again.
_MOST_AHEAD = 10_000


@dataclass(slots=True)
class Chain:
    """`head` is the hash of the event at `contiguous`, "" if that is not known."""

    contiguous: int = 0
    ahead: set[int] = field(default_factory=set)
    head: str = ""

    def holds(self, kseq: int) -> bool:
        return kseq <= self.contiguous or kseq in self.ahead

    def forks(self, event: Event) -> bool:
        """Whether another event has its place, or is where its `prev` should be."""
        if event.kseq == self.contiguous + 1:
            return self.head not in ("", event.prev)
        return self.holds(event.kseq)

    def extend(self, first: Event, last: int, head: str) -> bool:
        """Take a stretch, up to its last kseq and hash, if `first` is just the next event."""
        if first.kseq != self.contiguous + 1 or first.prev != self.head or self.ahead:
            return False
        self.contiguous, self.head = last, head
        return True

    def take(self, kseq: int, hash_: str = "") -> None:
        if kseq == self.contiguous + 1:
            self.contiguous, self.head = kseq, hash_
            while self.ahead and self.contiguous + 1 in self.ahead:
                self.contiguous, self.head = self.contiguous + 1, ""
                self.ahead.discard(self.contiguous)
        elif kseq > self.contiguous and len(self.ahead) < _MOST_AHEAD:
            self.ahead.add(kseq)


class Chains:
    """All chains, read when first asked for; what a transaction asked for is written at its end."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._known: dict[tuple[str, str], Chain] = {}
        self._asked: dict[tuple[str, str], Chain] = {}

    def of(self, device: str, incarnation: str) -> Chain:
        """The chain of a device's incarnation; an empty one if nothing of it was ever heard."""
        key = (device, incarnation)
        chain = self._known.get(key)
        if chain is None:
            query = "SELECT contiguous, ahead, head FROM chain WHERE device = ? AND incarnation = ?"
            row = self._db.execute(query, key).fetchone()
            known = (row[0], set(json.loads(row[1])), row[2]) if row else ()
            chain = self._known[key] = Chain(*known)
        self._asked[key] = chain
        return chain

    def write(self) -> None:
        """Write those that were asked for since the last time."""
        asked, self._asked = self._asked, {}
        self._db.executemany(
            "INSERT OR REPLACE INTO chain (device, incarnation, contiguous, ahead, head)"
            " VALUES (?, ?, ?, ?, ?)",
            [(*k, c.contiguous, json.dumps(sorted(c.ahead)), c.head) for k, c in asked.items()],
        )
