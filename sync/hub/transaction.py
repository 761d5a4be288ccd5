"""What a transaction of the hub's log gathers in memory, and what the log remembers between two."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kiosk.model import Event
    from sync.hub.log import Accepted
    from sync.protocol import Signed

# Places beyond a hole in a device's chain that are remembered; one forgotten is offered again.
_MOST_AHEAD = 10_000


@dataclass(slots=True)
class Room:
    number: int
    head: int


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

    def take(self, kseq: int, hash_: str = "") -> None:
        if kseq == self.contiguous + 1:
            self.contiguous, self.head = kseq, hash_
            while self.ahead and self.contiguous + 1 in self.ahead:
                self.contiguous, self.head = self.contiguous + 1, ""
                self.ahead.discard(self.contiguous)
        elif kseq > self.contiguous and len(self.ahead) < _MOST_AHEAD:
            self.ahead.add(kseq)


@dataclass(slots=True)
class Transaction:
    """What is gathered in memory, to be written with a few statements at its end."""

    trusted: bool = False
    rows: list[tuple[Any, ...]] = field(default_factory=list)
    accepted: list[Accepted] = field(default_factory=list)
    ids: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    rooms: dict[str, Room] = field(default_factory=dict)
    chains: dict[tuple[str, str], Chain] = field(default_factory=dict)
    signed: dict[Signed, None] = field(default_factory=dict)
    returned: bool = False  # records of the register have come back
