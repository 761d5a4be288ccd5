"""What a check says when something is wrong, and the hub's log as the checks read it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kiosk.model import Entry, Envelope, Event, decode_envelope, decode_event

if TYPE_CHECKING:
    from kiosk.simulation.hubs import HubMachine


@dataclass(slots=True)
class Verdict:
    """What was found: ids or descriptions, one for each thing that is wrong."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    diverged: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        return not (self.lost or self.doubled or self.diverged)

    def add(self, other: Verdict) -> None:
        """Take over what another found."""
        self.lost += other.lost
        self.doubled += other.doubled
        self.diverged += other.diverged


@dataclass(slots=True)
class Kept:
    """One entry of the hub's log; `stamp` is the envelope's very bytes."""

    room: str
    offset: int
    body: bytes
    stamp: bytes
    event: Event
    envelope: Envelope

    @property
    def entry(self) -> Entry:
        return Entry(self.event, self.envelope.low, self.envelope.high, self.envelope)


def log_of(hub: HubMachine) -> list[Kept]:
    """All that the hub ever accepted and has not lost, by room and offset."""
    return [
        Kept(room, offset, body, stamp, decode_event(body), decode_envelope(stamp))
        for room, offset, _, body, stamp in hub.log()
    ]
