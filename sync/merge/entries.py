"""The entries of a log as the fold takes them: each event once, its envelopes brought together."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from kiosk.model import Entry, Kind

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from kiosk.model import Event

    # A device's database, (device, incarnation), and from which `kseq` on there are two of it.
    Line = tuple[str, str]
    Forks = Mapping[Line, int]

NO_FORKS: Forks = MappingProxyType({})
QUARANTINED = "quarantined"
# What staff decide; of a cloned disk it counts for nothing.
DECISIONS = frozenset(
    {Kind.OVERRIDE, Kind.RETRACT, Kind.RESOLVE, Kind.SESSION_CLOSED, Kind.SESSION_REOPENED}
)
FORK = "fork"  # the code that a hub gives to what comes from a cloned disk


class Log:
    """Entries of some events, each once, as they are to be folded.

    `doubtful` holds the ids whose envelopes contradict each other about the time.
    """

    __slots__ = ("_stamped", "doubtful", "entries")

    def __init__(self, *entries: Entry) -> None:
        self.entries = {entry.event.id: entry for entry in entries}
        self.doubtful: tuple[str, ...] = ()
        # Every form of the few events that have several envelopes.
        self._stamped: dict[str, tuple[Entry, ...]] | None = None

    def add(self, entry: Entry) -> bool:
        """Take the entry in; whether it told anything new."""
        name = entry.event.id
        held = self.entries.get(name)
        if held is None:
            self.entries[name] = entry
            return True
        if held.envelope is not None and entry.envelope is not None:
            return self._restamp(name, held, entry)
        if held.envelope is not None or held == entry:
            return False
        self.entries[name] = entry
        return True

    def forms(self) -> Iterator[Entry]:
        """Everything that was taken in and still counts; another log can be made of it."""
        several = self._stamped or {}
        for name, entry in self.entries.items():
            yield from several.get(name, (entry,))

    def live(self) -> Collection[Entry]:
        """What no hub has set apart."""
        return [entry for entry in self.entries.values() if not quarantined(entry)]

    def _restamp(self, name: str, held: Entry, entry: Entry) -> bool:
        if self._stamped is None:
            self._stamped = {}
        several = self._stamped.get(name, (held,))
        if entry in several:
            return False
        self._stamped[name] = several = (*several, entry)
        low, high = max(e.low for e in several), min(e.high for e in several)
        doubtful = low > high
        if doubtful:
            low, high = min(e.low for e in several), max(e.high for e in several)
        if doubtful and name not in self.doubtful:
            self.doubtful += (name,)
        last = max(several, key=_received)
        self.entries[name] = Entry(last.event, low, high, last.envelope)
        return True


def quarantined(entry: Entry) -> bool:
    """Whether a hub keeps the event apart."""
    return entry.envelope is not None and entry.envelope.verdict == QUARANTINED


def forked(entry: Entry, forks: Forks) -> bool:
    """Whether the event was written where its device's database had a double."""
    if entry.envelope is not None and entry.envelope.code == FORK:
        return True
    return bool(forks) and after_fork(entry.event, forks)


def after_fork(event: Event, forks: Forks) -> bool:
    """Whether its place in its device's count was taken twice, or follows one that was."""
    since = forks.get((event.device, event.incarnation))
    return since is not None and event.kseq >= since


def rank(entry: Entry) -> int:
    """The author's rank: as the hub found it, or before that as it was claimed."""
    return entry.envelope.rank if entry.envelope is not None else entry.event.by.rank


def _received(entry: Entry) -> tuple[Any, ...]:
    stamp = entry.envelope
    if stamp is None:
        return ()
    place = (stamp.received, stamp.epoch, stamp.offset)
    return (*place, stamp.verdict, stamp.code, stamp.rank, entry.event.hash)
