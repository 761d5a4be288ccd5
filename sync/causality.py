"""Who knew what when an event was made, read from the events themselves and from no clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kiosk.model import Event


class Causality:
    """The knowledge that the given events carry; retracted ones belong among them.

    Paths of `saw` are followed through these events only. An id that is named but not held still
    counts as seen, so what arrives later need not be waited for.
    """

    __slots__ = ("_reach", "_saw")

    def __init__(self, events: Iterable[Event]) -> None:
        self._saw = {event.id: event.saw for event in events}
        self._reach: dict[tuple[str, ...], frozenset[str]] = {}

    def knew(self, later: Event, earlier: Event) -> bool:
        """Whether `later` was made in knowledge of `earlier`; neither way round is concurrent.

        It was if `earlier.id` is reachable through `saw`, or if both come from one incarnation of
        one device and `earlier` has the lower `kseq`.
        """
        if (
            earlier.kseq < later.kseq
            and earlier.device == later.device
            and earlier.incarnation == later.incarnation
        ):
            return True
        return bool(later.saw) and earlier.id in self._reachable(later.saw)

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
