"""When the events of a push happened, worked out from what came along of their device's clocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kiosk.clock import DRIFT_PER_NS, bounds, effective, unheard

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kiosk.clock import Anchor
    from kiosk.model import Event


class Times:
    """The times of one push's events, by its anchors; pure.

    If the hub's own time is not `trusted`, there is nothing to hold a wall clock against, and
    nothing that ends the interval for one that nobody keeps. `carrier` is the device that sent
    events and anchors: what is known of its boots tells nothing of another's.
    """

    def __init__(
        self, anchors: Sequence[Anchor], *, trusted: bool = True, carrier: str = ""
    ) -> None:
        self._anchors = anchors
        self._trusted = trusted
        self._carrier = carrier
        # Of each boot: hub time, ticks and half the round trip of its anchors.
        self._heard: dict[str, list[tuple[int, int, int]]] = {}
        for one in anchors:
            at = (one.hub, one.ticks, one.round_trip // 2)
            self._heard.setdefault(one.boot, []).append(at)

    def interval(self, event: Event, received: int) -> tuple[int, int]:
        """When the event happened (UTC ns, low and high), by the anchor that says it best.

        Without one of its boot: by a wall clock that the kernel called synchronised, as far as that
        can be; else between what is known before and after that boot.
        """
        heard = self._heard.get(event.boot)
        if heard is None:
            return self._unheard(event, received)
        ticks, least = event.ticks, None
        for hub, at, half in heard:
            elapsed = ticks - at
            drift = abs(elapsed) * DRIFT_PER_NS
            # The first of several that are equally good.
            if least is None or half + drift < least:
                least, middle, slack = half + drift, hub + elapsed, half + int(drift)
        low, high = middle - slack, middle + slack
        # Nothing arrives before it happened; but a hub that does not know the time may say so.
        if high > received and self._trusted:
            low, high = min(low, received), received
        return (low, high) if low >= 0 else (0, max(high, 0))

    def _unheard(self, event: Event, received: int) -> tuple[int, int]:
        if not self._trusted and not event.synced:
            return unheard(event.boot, event.ticks, event.floor, event.since)
        if not self._trusted:
            low, high = effective(event.wall, event.boot, event.ticks, None)
            return (low, high) if low >= 0 else (0, max(high, 0))
        own = [a for a in self._anchors if (a.device or self._carrier) in ("", event.device)]
        low, high = bounds(event.boot, event.ticks, event.floor, own, received, event.since)
        if event.synced and low <= event.wall <= high:
            return event.wall, event.wall
        return low, high
