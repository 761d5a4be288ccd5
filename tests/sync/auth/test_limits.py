from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sync.hub.auth.limits import (
    LONGEST_WAIT,
    Buckets,
    Rate,
    neighbourhood,
    still_waiting,
    wait_after,
)


def test_a_bucket_gives_its_burst_and_then_its_rate():
    buckets = Buckets(Rate(3, 0.5))
    assert [buckets.take("a", 100.0) for _ in range(4)] == [0, 0, 0, 2.0]
    assert buckets.take("b", 100.0) == 0
    assert buckets.take("a", 101.0) == 1.0
    assert buckets.take("a", 102.0) == 0
    assert buckets.take("a", 10_000.0) == 0


def test_a_wait_that_was_told_is_long_enough():
    buckets = Buckets(Rate(1, 0.3))
    now = 0.0
    buckets.take("a", now)
    wait = buckets.take("a", now)
    assert buckets.take("a", now + wait + 1e-9) == 0


def test_many_keys_take_no_more_memory_than_meant():
    buckets = Buckets(Rate(1, 0.001), most=10)
    for n in range(1000):
        buckets.take(str(n), 0.0)
    assert len(buckets._left) == 10
    assert buckets.take("999", 0.0) > 0


def test_addresses_of_one_subscriber_are_counted_together():
    assert neighbourhood("2001:db8:1:2::7") == neighbourhood("2001:db8:1:2:ffff::1%eth0")
    assert neighbourhood("2001:db8:1:2::7") != neighbourhood("2001:db8:1:3::7")
    assert neighbourhood("::ffff:10.0.0.9") == neighbourhood("10.0.0.9") == "10.0.0.9"
    assert neighbourhood("10.0.0.8") == "10.0.0.8"
    assert neighbourhood("") == ""
    assert neighbourhood("unix:") == "unix:"


def test_three_failures_are_free_then_it_doubles():
    assert [wait_after(n) for n in range(8)] == [0, 0, 0, 30, 60, 120, 240, 480]
    assert wait_after(10**9) == LONGEST_WAIT


@given(until=st.integers(), now=st.integers())
def test_a_clock_that_was_moved_locks_nobody_out_for_ever(until, now):
    assert 0 <= still_waiting(until, now) <= LONGEST_WAIT
