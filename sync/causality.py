"""Who knew what when an event was made, read from the events themselves and from no clock."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from kiosk.model import Event

_NO_FORKS: Mapping[tuple[str, str], int] = MappingProxyType({})


class Causality:
    """The knowledge that the given events carry; retracted ones belong among them.

    Paths of `saw` are followed through these events only. An id that is named but not held still
    counts as seen, so what arrives later need not be waited for. `forks` tells from which `kseq`
    on a device's database, (device, incarnation), had a double: two copies of one disk do not know
    what the other wrote.
    """

    __slots__ = ("_forks", "_reach", "_saw")

    def __init__(
        self, events: Iterable[Event], forks: Mapping[tuple[str, str], int] = _NO_FORKS
    ) -> None:
        self._saw = {event.id: event.saw for event in events}
        self._reach: dict[tuple[str, ...], frozenset[str]] = {}
        self._forks = forks

    def knew(self, later: Event, earlier: Event) -> bool:
        """Whether `later` was made in knowledge of `earlier`; neither way round is concurrent.

        It was if `earlier.id` is reachable through `saw`, or if both come from one incarnation of
        one device and `earlier` has the lower `kseq`, written before there was a double of it.
        """
        if (
            earlier.kseq < later.kseq
            and earlier.device == later.device
            and earlier.incarnation == later.incarnation
            and not (self._forks and self._after_fork(earlier))
        ):
            return True
        return bool(later.saw) and earlier.id in self._reachable(later.saw)

    def _after_fork(self, event: Event) -> bool:
        since = self._forks.get((event.device, event.incarnation))
        return since is not None and event.kseq >= since

    def _reachable(self, saw: tuple[str, ...]) -> frozenset[str]:
        # Kept by `saw`, not by event: every scan since a decision shares that decision's answer.
        if (known := self._reach.get(saw)) is not None:
            return known
        found: set[str] = set()
        ahead = list(saw)
        while ahead:
            if (event := ahead.pop()) not in found:
                found.add(event)
                ahead.extend(self._saw.get(event, ()))
        self._reach[saw] = frozen = frozenset(found)
        return frozen
