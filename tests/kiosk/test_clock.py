"""When an event truly happened, whatever the machine believed of the time."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiosk.clock import DRIFT_PER_NS, NS, Anchor, HubClock, SystemClock, effective
from tests.fakes import NOON, FakeClock

BOOT = "boot-1"
HUB = 1_767_000_000 * NS
TICKS = 5_000 * NS
ANCHOR = Anchor(BOOT, TICKS, HUB, 40_000_000)
HALF_TRIP = 20_000_000

# What a kiosk without a battery clock may believe: the epoch, the end of 32-bit time, nonsense.
WRONG_CLOCKS = [0, (2**31 - 1) * NS, -NS, 2**62]


def test_at_the_anchor_only_half_the_round_trip_is_uncertain():
    assert effective(0, BOOT, TICKS, ANCHOR) == (HUB - HALF_TRIP, HUB + HALF_TRIP)


def test_an_event_after_the_anchor_is_later_by_the_time_since_and_may_have_drifted():
    low, high = effective(0, BOOT, TICKS + 3_600 * NS, ANCHOR)
    drift = 360_000_000  # an hour at 100 ppm
    assert (low, high) == (
        HUB + 3_600 * NS - HALF_TRIP - drift,
        HUB + 3_600 * NS + HALF_TRIP + drift,
    )


def test_an_event_made_before_the_first_contact_is_repaired_as_well():
    low, high = effective(0, BOOT, TICKS - 3_600 * NS, ANCHOR)
    assert (low + high) // 2 == HUB - 3_600 * NS
    assert high - low == 2 * (HALF_TRIP + 360_000_000)


def test_wrong_wall_clocks_do_not_matter_once_there_is_an_anchor():
    spans = {effective(wall, BOOT, TICKS + NS, ANCHOR) for wall in WRONG_CLOCKS}
    assert len(spans) == 1


def test_without_an_anchor_the_wall_clock_is_the_best_there_is():
    assert effective(HUB, BOOT, TICKS, None) == (HUB, HUB)


def test_an_anchor_of_another_boot_says_nothing():
    assert effective(HUB, "boot-2", TICKS, ANCHOR) == (HUB, HUB)


def test_nothing_arrives_before_it_happened():
    received = HUB + 7
    assert effective((2**31 - 1) * NS, BOOT, TICKS, None, received) == (received, received)
    assert effective(0, BOOT, TICKS, None, received) == (0, 0)
    assert effective(0, BOOT, TICKS, ANCHOR, received) == (HUB - HALF_TRIP, received)
    low, high = effective(0, BOOT, TICKS + 3_600 * NS, ANCHOR, received)
    assert (low, high) == (received, received)


@given(
    elapsed=st.integers(-(10**16), 10**16),
    drift=st.floats(-1, 1),
    there=st.integers(0, 10**10),
    back=st.integers(0, 10**10),
)
def test_the_true_time_lies_in_the_interval(elapsed, drift, there, back):
    """However fast the quartz ran within its limits and whichever way of the trip was the slow."""
    anchor = Anchor(BOOT, TICKS, HUB, there + back)
    # The hub read its clock `there` after the send; ticks are noted for the middle of the trip.
    true_at_anchor = HUB + (back - there) // 2
    true = true_at_anchor + elapsed
    ticked = round(elapsed * (1 + drift * DRIFT_PER_NS * 0.999))
    low, high = effective(0, BOOT, TICKS + ticked, anchor)
    assert low - 2 <= true <= high + 2


@given(
    st.integers(-(2**62), 2**62),
    st.integers(0, 2**62),
    st.none() | st.builds(Anchor, st.just(BOOT), *[st.integers(0, 2**61)] * 3),
    st.none() | st.integers(0, 2**62),
)
def test_an_interval_is_never_inside_out_nor_above_its_ceiling(wall, ticks, anchor, ceiling):
    low, high = effective(wall, BOOT, ticks, anchor, ceiling)
    assert low <= high
    assert ceiling is None or high <= ceiling


# -- the machine's own -----------------------------------------------------------------------------


def test_the_system_clock_agrees_with_the_machine():
    clock = SystemClock()
    before, wall, after = time.time_ns(), clock.wall(), time.time_ns()
    assert before <= wall <= after
    before, ticks, after = (
        time.clock_gettime_ns(time.CLOCK_BOOTTIME),
        clock.ticks(),
        time.clock_gettime_ns(time.CLOCK_BOOTTIME),
    )
    assert before <= ticks <= after
    before, now, after = time.monotonic(), clock.monotonic(), time.monotonic()
    assert before <= now <= after


def test_a_boot_keeps_its_identity():
    assert SystemClock().boot == SystemClock().boot != ""


def test_whether_the_kernel_trusts_its_clock_is_a_plain_answer():
    assert SystemClock().synced() in (True, False)


def test_without_the_system_call_the_clock_is_not_trusted():
    clock = SystemClock()
    clock._libc = object()
    assert clock.synced() is False


def test_a_hub_clock_without_contact_is_at_least_the_latest_time_ever_heard():
    machine = FakeClock(wall=0, boot="now")
    clock = HubClock(machine)
    clock.learn([Anchor("before", 5, NOON, 0), Anchor("long-before", 5, NOON - 9 * NS, 0)])
    assert clock.wall() == NOON
    machine.set_wall(NOON + 60 * NS)
    assert clock.wall() == NOON + 60 * NS
    assert machine.synced() is clock.synced()


@pytest.mark.parametrize("wall", [0, NOON, 2**61])
def test_a_hub_clock_after_contact_goes_by_the_hub_whatever_the_machine_believes(wall):
    machine = FakeClock(wall=wall)
    clock = HubClock(machine)
    clock.learn([Anchor(machine.boot, machine.ticks(), NOON, 0)])
    machine.advance(90)
    machine.set_wall(wall)
    assert clock.wall() == NOON + 90 * NS
    assert clock.synced()
    assert (clock.boot, clock.ticks()) == (machine.boot, machine.ticks())


def test_a_hub_clock_keeps_the_later_anchor_of_this_boot():
    machine = FakeClock(wall=0)
    clock = HubClock(machine)
    later = Anchor(machine.boot, machine.ticks(), NOON, 0)
    clock.learn([later, Anchor(machine.boot, machine.ticks() - NS, NOON - 5 * NS, 0)])
    assert clock.wall() == NOON
