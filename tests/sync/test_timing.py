"""When the events of a push happened: the same as by looking at every anchor for every event."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from kiosk.clock import DRIFT_PER_NS, Anchor, bounds, effective, unheard
from kiosk.model import Event
from sync.hub.timing import Times

NS = 1_000_000_000
NOW = 1_795_000_000 * NS
BOOTS = st.sampled_from(["b1", "b2", "b3"])
TICKS = st.integers(-(10**15), 10**15)
DEVICES = st.sampled_from(["", "door", "other"])
ANCHORS = st.lists(
    st.builds(
        Anchor,
        BOOTS,
        TICKS,
        st.integers(-NOW, 2 * NOW),
        st.integers(0, 5 * NS),
        since=st.integers(0, 10**12),
        device=DEVICES,
    ),
    max_size=5,
)
EVENTS = st.builds(
    lambda boot, ticks, wall, synced, floor, since: Event(
        "e", "door", "i", 1, "check_in", "o", "r", wall, "UTC", boot, ticks, synced,
        floor=floor, since=since,
    ),
    BOOTS, TICKS, st.integers(-NOW, 2 * NOW), st.booleans(), st.integers(0, NOW),
    st.integers(0, 10**12),
)  # fmt: skip


def said(event, anchors, received, trusted, carrier):
    """The interval by the definition, one event at a time."""
    mine = [anchor for anchor in anchors if anchor.boot == event.boot]
    best = None
    if mine:
        best = min(
            mine, key=lambda a: a.round_trip // 2 + abs(event.ticks - a.ticks) * DRIFT_PER_NS
        )
    if best is None and trusted:
        own = [a for a in anchors if (a.device or carrier) in ("", event.device)]
        low, high = bounds(event.boot, event.ticks, event.floor, own, received, event.since)
        if event.synced and low <= event.wall <= high:
            return event.wall, event.wall
        return low, high
    if best is None and not event.synced:
        return unheard(event.boot, event.ticks, event.floor, event.since)
    ceiling = received if trusted else None  # a hub without a clock ends nothing
    low, high = effective(event.wall, event.boot, event.ticks, best, ceiling)
    return (low, high) if low >= 0 else (0, max(high, 0))


@given(ANCHORS, EVENTS, st.integers(0, 2 * NOW), st.booleans(), DEVICES)
def test_each_event_is_timed_by_the_anchor_that_says_it_best(
    anchors, event, received, trusted, carrier
):
    times = Times(anchors, trusted=trusted, carrier=carrier)
    assert times.interval(event, received) == said(event, anchors, received, trusted, carrier)


def test_a_hub_that_does_not_know_the_time_cuts_no_interval_short():
    anchor = Anchor("b1", NS, NOW, NS)
    event = Event("e", "door", "i", 1, "check_in", "o", "r", 0, "UTC", "b1", 2 * NS, synced=True)
    right = Times([anchor]).interval(event, NOW + 3600 * NS)
    assert Times([anchor], trusted=False).interval(event, NOW - 3600 * NS) == right
    kept = replace(event, boot="b2", wall=NOW)
    assert Times([anchor], trusted=False).interval(kept, NOW - 3600 * NS) == (NOW, NOW)


@pytest.mark.parametrize("received", [NOW + 1, NOW + 2 * NS, NOW + 3600 * NS])
def test_nothing_arrives_before_it_happened(received):
    event = Event("e", "door", "i", 1, "check_in", "o", "r", 0, "UTC", "b1", 2 * NS, synced=False)
    low, high = Times([Anchor("b1", NS, NOW, NS)]).interval(event, received)
    assert low <= high <= received
    assert high == min(received, NOW + NS + NS // 2 + int(NS * DRIFT_PER_NS))
