"""The sensor as a cache: what any plan keeps to, and plans carried out on a real library."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.emulator import Emulator
from drivers.profiles import R307
from drivers.reconcile import reconcile
from drivers.slots import SlotState
from drivers.zfm import open_zfm
from kiosk.cache import CachePlan, Holder, Shelf, apply_cache, cache_state, plan_cache
from kiosk.slots import StoredSlots
from kiosk.vault import VaultKeyError
from tests.killed import killed_at_call, quick_folder
from tests.kiosk.library import found, keep, put_in

NAMES = [f"p{number}" for number in range(8)]


@st.composite
def situations(draw, within=True):
    holders = st.builds(Holder, st.integers(1, 3), st.integers(0, 5))
    enrolled = draw(st.dictionaries(st.sampled_from(NAMES), holders))
    in_sensor = {}
    for person in draw(st.sets(st.sampled_from(NAMES))):
        most = enrolled[person].templates if person in enrolled else 3
        in_sensor[person] = draw(st.integers(1, most))
    used = sum(in_sensor.values())
    capacity = draw(st.integers(used if within else 0, used + 6))
    roster = draw(st.lists(st.sampled_from([*NAMES, "stranger"])))
    return roster, enrolled, capacity, in_sensor


def after(situation, plan):
    _, enrolled, _, in_sensor = situation
    held = {p: n for p, n in in_sensor.items() if p not in plan.evict}
    return held | {p: enrolled[p].templates for p in plan.load}


@given(situations())
def test_the_capacity_is_never_exceeded(situation):
    plan = plan_cache(*situation)
    assert sum(after(situation, plan).values()) <= situation[2]


@given(situations(within=False))
def test_too_full_a_sensor_is_emptied_as_far_as_may_be(situation):
    _, enrolled, capacity, in_sensor = situation
    plan = plan_cache(*situation)
    pinned = sum(n for p, n in in_sensor.items() if p not in enrolled)
    assert sum(after(situation, plan).values()) <= max(capacity, pinned)


@given(situations(within=False))
def test_nobody_of_the_session_goes_while_somebody_else_could(situation):
    roster, enrolled, capacity, in_sensor = situation
    plan = plan_cache(*situation)
    if set(plan.evict) & set(roster):
        assert sum(in_sensor.values()) > capacity
        assert in_sensor.keys() & enrolled.keys() - set(roster) <= set(plan.evict)


@given(situations(within=False))
def test_only_who_can_come_back_goes_and_only_the_session_comes(situation):
    roster, enrolled, _, in_sensor = situation
    plan = plan_cache(*situation)
    assert set(plan.evict) <= in_sensor.keys() & enrolled.keys()
    assert set(plan.load) <= set(roster) & enrolled.keys()
    assert not set(plan.load) & set(plan.evict)
    assert len(set(plan.load)) == len(plan.load)
    assert len(set(plan.evict)) == len(plan.evict)
    for person in plan.load:
        assert in_sensor.get(person, 0) < enrolled[person].templates


@given(situations())
def test_the_least_recently_used_go_first_and_nobody_goes_for_nothing(situation):
    roster, enrolled, _, in_sensor = situation
    plan = plan_cache(*situation)
    could = in_sensor.keys() & enrolled.keys() - set(roster)
    assert list(plan.evict) == sorted(could, key=lambda p: (enrolled[p].used, p))[: len(plan.evict)]
    assert bool(plan.load) or not plan.evict


@given(situations())
def test_whoever_of_the_session_stays_away_would_not_have_fitted(situation):
    roster, enrolled, capacity, _ = situation
    plan = plan_cache(*situation)
    held = after(situation, plan)
    free = capacity - sum(held.values())
    free += sum(n for p, n in held.items() if p in enrolled and p not in roster)
    for person in set(roster) & enrolled.keys() - set(plan.load):
        missing = enrolled[person].templates - held.get(person, 0)
        assert missing <= 0 or missing > free


@given(situations())
def test_a_plan_carried_out_leaves_nothing_to_plan(situation):
    roster, enrolled, capacity, _ = situation
    held = after(situation, plan_cache(*situation))
    assert plan_cache(roster, enrolled, capacity, held) == CachePlan()


@given(situations(within=False))
def test_the_order_of_what_is_given_does_not_matter(situation):
    roster, enrolled, capacity, in_sensor = situation
    turned = (
        roster[::-1],
        dict(reversed(enrolled.items())),
        capacity,
        dict(reversed(in_sensor.items())),
    )
    assert plan_cache(*turned) == plan_cache(*situation)


def test_an_example():
    enrolled = {"ann": Holder(1, 9), "bob": Holder(1, 1), "eve": Holder(1, 5), "zoe": Holder(2, 0)}
    plan = plan_cache(["zoe", "ann"], enrolled, 3, {"bob": 1, "eve": 1, "old": 1})
    assert plan == CachePlan(load=("ann",), evict=("bob",))


# -- on a sensor -----------------------------------------------------------------------------------


@pytest.fixture
def tmp_path():
    with quick_folder() as folder:
        yield folder


@pytest.fixture
def small(tmp_path):
    """A module with room for three."""
    with Emulator(replace(R307, capacity=3), tmp_path / "small", seed=5) as running:
        yield running


@pytest.fixture
def library(small, slots, templates):
    """Ann and Bob are in it and kept, Zoe is kept only; and the rest of what is needed."""
    with open_zfm(small.port) as sensor:
        reconcile(sensor, slots)
        for name in ("ann", "bob"):
            put_in(sensor, slots, name)
        for name in ("ann", "bob", "zoe", "joe"):
            keep(sensor, templates, name)
        yield sensor


USED = {"ann": 2, "bob": 1, "zoe": 3}


def planned(sensor, slots, templates, roster):
    state = cache_state(sensor, slots, Shelf(templates), USED)
    return plan_cache(roster, state.enrolled, state.capacity, state.in_sensor)


def test_the_session_is_brought_in_and_the_least_recent_makes_room(
    small, library, slots, templates
):
    plan = planned(library, slots, templates, ["zoe", "joe"])
    assert plan == CachePlan(load=("zoe", "joe"), evict=("bob",))
    done = apply_cache(plan, library, slots, Shelf(templates))
    assert (done.loaded, done.evicted, done.left) == (("zoe", "joe"), ("bob",), ())
    assert len(small.slots) == 3
    names = ("ann", "bob", "zoe", "joe")
    assert [found(small, library, slots, name) for name in names] == ["ann", None, "zoe", "joe"]
    assert planned(library, slots, templates, ["zoe", "joe"]) == CachePlan()


def test_who_is_kept_nowhere_else_is_never_evicted(small, library, slots, templates):
    put_in(library, slots, "bob", impression=2)
    state = cache_state(library, slots, Shelf(templates), USED)
    assert "bob" not in state.enrolled
    plan = planned(library, slots, templates, ["zoe", "joe"])
    assert plan == CachePlan(load=("zoe",), evict=("ann",))
    forced = apply_cache(CachePlan(evict=("bob",)), library, slots, Shelf(templates))
    assert forced.left == ("bob",)
    assert len(small.slots) == 3


def test_with_a_lost_key_nobody_is_evicted(small, library, slots, templates, tmp_path):
    (tmp_path / "vault.key").unlink()
    with pytest.raises(VaultKeyError):
        apply_cache(CachePlan(("zoe",), ("bob",)), library, slots, Shelf(templates))
    assert len(small.slots) == 2


def test_slots_that_nobody_can_have_are_no_room(small, library, slots, templates):
    small.enrol("mallory", 2)
    reconcile(library, slots)
    assert cache_state(library, slots, Shelf(templates), USED).capacity == 2
    assert planned(library, slots, templates, ["zoe"]) == CachePlan(("zoe",), ("bob",))


def test_a_library_that_was_cleared_is_filled_with_the_session(small, library, slots, templates):
    small.clear_library()
    assert reconcile(library, slots).missing == {0, 1}
    plan = planned(library, slots, templates, ["ann", "zoe", "joe"])
    assert apply_cache(plan, library, slots, Shelf(templates)).left == ()
    owners = {e.owner for e in slots.entries(slots.binding().sensor).values()}
    assert owners == {"ann", "zoe", "joe"}


def test_a_plan_that_does_not_fit_says_who_stayed_away(small, library, slots, templates):
    done = apply_cache(CachePlan(load=("zoe", "joe")), library, slots, Shelf(templates))
    assert (done.loaded, done.left) == (("zoe",), ("joe",))


def test_killed_at_any_step_the_next_plan_gets_there(tmp_path, open_store, clock, templates):
    templates.close()
    lived, step = False, 0
    while not lived:
        folder = tmp_path / str(step)
        folder.mkdir()
        with Emulator(replace(R307, capacity=3), folder / "s", seed=5) as small:
            lived = _killed_while_applying(small, folder, open_store, clock, step)
        step += 1
    assert step > 10


def _killed_while_applying(small, folder, open_store, clock, step):
    store = open_store(folder / "kiosk.db")
    table = StoredSlots(store, clock)
    kept = _kept(folder, clock)
    with open_zfm(small.port) as sensor:
        reconcile(sensor, table)
        for name in ("ann", "bob"):
            put_in(sensor, table, name)
        for name in ("ann", "bob", "zoe", "joe"):
            keep(sensor, kept, name)
    kept.close()
    store.close()

    def work(counted):
        table = StoredSlots(open_store(folder / "kiosk.db"), clock)
        kept = _kept(folder, clock)
        with open_zfm(small.port) as sensor:
            counted(table, "put", "drop")
            counted(sensor, "storeTemplate", "deleteTemplate", "write_notepad")
            apply_cache(CachePlan(("zoe", "joe"), ("bob",)), sensor, table, Shelf(kept))

    lived = killed_at_call(work, step)
    store = open_store(folder / "kiosk.db")
    table = StoredSlots(store, clock)
    kept = _kept(folder, clock)
    with open_zfm(small.port) as sensor:
        seen = reconcile(sensor, table)
        assert seen.active == small.slots
        assert not seen.quarantined | seen.unfinished
        assert found(small, sensor, table, "ann") == "ann", "she was in no plan"
        plan = planned(sensor, table, kept, ["zoe", "joe"])
        assert lived == (plan == CachePlan())
        assert apply_cache(plan, sensor, table, Shelf(kept)).left == ()
        owners = {e.owner for e in table.entries(seen.stamp.sensor).values()}
        assert owners == {"ann", "zoe", "joe"}
        states = {e.state for e in table.entries(seen.stamp.sensor).values()}
        assert states == {SlotState.ACTIVE}
    kept.close()
    store.close()
    return lived


def _kept(folder, clock):
    from kiosk.templates import TemplateStore  # noqa: PLC0415 - beside its only use
    from kiosk.vault import KeyRing  # noqa: PLC0415 - the same

    ring = KeyRing(folder / "vault.key", {})
    return TemplateStore.open(folder / "templates.db", ring, clock)
