"""Templates of people who do not come any more: whose are let go, when, and whose never."""

from __future__ import annotations

import pytest

from kiosk.clock import NS, Anchor
from kiosk.config import ConfigError, load
from kiosk.model import Kind
from kiosk.retention import Retention
from kiosk.store import Draft
from tests.kiosk.keeping import PATIENCE
from tests.kiosk.library import keep, know, put_in, revocations

DAY = 86_400


def contact(store, clock):
    """The hub was heard just now."""
    store.save_anchor(Anchor(clock.boot, clock.ticks(), clock.wall(), 0)).result()


def come(store, person):
    store.record(Draft(Kind.CHECK_IN, "s", person, data={"method": "code"})).result()


@pytest.fixture
def retention(store, clock, tmp_path):
    """Ann came forty days ago, Bob ten; of Eve nothing is known."""
    know(store, "ann", "bob", "eve")
    come(store, "ann")
    clock.advance(30 * DAY)
    come(store, "bob")
    made = Retention(tmp_path / "kiosk.db", store, clock, 35)
    clock.advance(10 * DAY)
    return made


def whose(retention):
    return [draft.person for draft in retention.orders(["ann", "bob", "nobody"])]


def test_whoever_has_not_come_for_so_long_is_let_go(retention, store, clock):
    contact(store, clock)
    (order,) = retention.orders(["ann", "bob", "nobody"])
    assert (order.kind, order.person) == (Kind.TEMPLATE_REVOKED, "ann")
    assert order.data == {"state": "ordered", "reason": "retention"}


def test_it_looks_once_a_day_and_not_at_once(retention, store, clock, tmp_path):
    contact(store, clock)
    assert whose(retention) == ["ann"]
    clock.advance(DAY - 1)
    contact(store, clock)
    assert whose(retention) == []
    clock.advance(1)
    assert whose(retention) == ["ann"]
    assert whose(Retention(tmp_path / "kiosk.db", store, clock, 35)) == []
    off = Retention(tmp_path / "kiosk.db", store, clock, 0)
    clock.advance(DAY)
    contact(store, clock)
    assert whose(off) == []


@pytest.mark.parametrize("boot", ["boot-a", "another"])
def test_without_the_hubs_time_of_today_nobody_is(retention, store, clock, boot):
    clock.advance(-2 * DAY)
    store.save_anchor(Anchor(boot, clock.ticks(), clock.wall(), 0)).result()
    clock.advance(2 * DAY + 1)
    assert whose(retention) == []


def test_the_hubs_time_counts_and_not_the_machines(retention, store, clock):
    true = clock.wall()
    clock.set_wall(true + 4_000 * DAY * NS)
    store.save_anchor(Anchor(clock.boot, clock.ticks(), true, 0)).result()
    assert whose(retention) == ["ann"]


def test_of_whom_only_a_wrong_clock_tells_nobody_is(retention, store, clock):
    now = clock.wall()
    clock.boot = "a boot before, of which no hub knows the time"
    clock.set_wall(1_000 * NS)
    know(store, "zoe")
    come(store, "zoe")
    clock.boot = "boot-a"
    clock.set_wall(now)
    contact(store, clock)
    assert [draft.person for draft in retention.orders(["zoe"])] == []


def test_a_running_kiosk_destroys_them_and_says_why(
    store, clock, sensor, slots, templates, emulator, keepers
):
    know(store, "ann", "bob")
    for name in ("ann", "bob"):
        put_in(sensor, slots, name)
        keep(sensor, templates, name)
    sensor.close()
    templates.close()
    clock.advance(40 * DAY)
    come(store, "bob")
    keeper = keepers(retention_days=35)
    clock.advance(2 * 3600)
    contact(store, clock)
    keeper.reader.run(keeper._idle).result(PATIENCE)
    assert emulator.slots == {1}
    assert [slot.person for slot in store.slots()] == ["bob"]
    ordered, done = revocations(store, "ann")
    assert ordered["reason"] == "retention"
    assert (done["slots"], done["templates"]) == (1, 1)
    assert revocations(store, "bob") == []


def test_less_than_a_months_holiday_is_no_retention(tmp_path):
    path = tmp_path / "kiosk.toml"
    path.write_text("[templates]\nretention_days = 7\n")
    with pytest.raises(ConfigError, match=r"templates\.retention_days: must be 0"):
        load(path, {})
