"""Whether a session is open: its closings and reopenings, folded as overrides are."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kiosk.model import Kind
from sync.causality import Causality
from sync.merge.decisions import may_retract
from sync.merge.entries import NO_FORKS, Log, forked

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from kiosk.model import Entry, Event
    from sync.merge.entries import Forks

CLOSED, REOPENED = Kind.SESSION_CLOSED.value, Kind.SESSION_REOPENED.value
_RETRACT = Kind.RETRACT.value


@dataclass(frozen=True, slots=True)
class Closing:
    """The closing that holds: its events and its interval (UTC ns), the latest of several."""

    events: tuple[Event, ...]
    low: int
    high: int

    def known_to(self, event: Event) -> bool:
        """Whether the event was written where a closing was known."""
        return any(one.id in event.saw or _follows(event, one) for one in self.events)

    def leaves(self, scan: Entry) -> bool:
        """Whether the check-in counts as one before the closing: it may have begun before."""
        event, aware = scan.event, False
        for one in self.events:
            if one.device == event.device and one.incarnation == event.incarnation:
                if event.kseq < one.kseq:
                    return True
                aware = True
            if event.id in one.saw:
                return True
            aware = aware or one.id in event.saw
        return scan.low < self.high and not aware


@dataclass(frozen=True, slots=True)
class Settled:
    """What the closings and reopenings of one session come to."""

    closing: Closing | None = None
    heads: tuple[Entry, ...] = ()
    decisions: tuple[str, ...] = field(default=())

    @property
    def disputed(self) -> bool:
        """Whether it was closed and reopened by people who did not know of each other."""
        return len({head.event.kind for head in self.heads}) > 1


def settle(live: Sequence[Entry], gone: set[str], forks: Forks) -> Settled:
    """The state of a session from its decisions that no hub set apart, `gone` the retracted ones.

    A reopening among the heads leaves it open: who is wrongly let in can be sent away again.
    """
    knew = Causality([entry.event for entry in live], forks).knew
    held = [entry for entry in live if entry.event.id not in gone]
    heads = [e for e in held if not any(o is not e and knew(o.event, e.event) for o in held)]
    heads = sorted(heads or held, key=lambda e: e.event.id)
    closing = None
    if heads and all(head.event.kind == CLOSED for head in heads):
        events = tuple(head.event for head in heads)
        closing = Closing(events, max(h.low for h in heads), max(h.high for h in heads))
    return Settled(closing, tuple(heads), tuple(sorted(entry.event.id for entry in live)))


def close_state(entries: Iterable[Entry], forks: Forks = NO_FORKS) -> Settled:
    """What the entries of one session come to: its closings, reopenings and retracts of those.

    Entries of other kinds are passed over; an id that comes more than once counts as in a row.
    """
    log = Log()
    for entry in entries:
        log.add(entry)
    live = [entry for entry in log.live() if not forked(entry, forks)]
    made = [entry for entry in live if entry.event.kind in (CLOSED, REOPENED)]
    undone = [entry for entry in live if entry.event.kind == _RETRACT]
    gone = {
        entry.event.id
        for entry in made
        if any(
            r.event.data.get("target") == entry.event.id for r in undone if may_retract(r, entry)
        )
    }
    return settle(made, gone, forks)


def _follows(later: Event, earlier: Event) -> bool:
    return (
        earlier.kseq < later.kseq
        and earlier.device == later.device
        and earlier.incarnation == later.incarnation
    )
