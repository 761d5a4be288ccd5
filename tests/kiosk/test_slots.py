from __future__ import annotations

import pytest

from drivers.slots import Binding, Entry, SlotState
from kiosk.slots import StoredSlots
from kiosk.store import StoreError


@pytest.fixture
def table(store, clock):
    return StoredSlots(store, clock)


def test_a_table_without_a_sensor_is_bound_to_none(table):
    assert table.binding() is None
    assert table.entries("a") == {}


def test_entries_are_kept_by_sensor_and_slot_and_survive_a_restart(open_store, clock):
    store = open_store()
    table = StoredSlots(store, clock)
    table.bind(Binding("a", 3))
    table.put("a", Entry(1, SlotState.ACTIVE, "ann", "digest"), generation=4)
    table.put("b", Entry(1, SlotState.QUARANTINED))
    store.close()
    table = StoredSlots(open_store(), clock)
    assert table.binding() == Binding("a", 4)
    assert table.entries("a") == {1: Entry(1, SlotState.ACTIVE, "ann", "digest")}
    assert table.entries("b") == {1: Entry(1, SlotState.QUARANTINED)}


def test_the_generation_moves_only_with_the_bound_sensor(table):
    table.bind(Binding("a", 1))
    table.put("b", Entry(1, SlotState.ACTIVE, "ann"), generation=9)
    assert table.binding() == Binding("a", 1)
    table.drop("a", 1, generation=2)
    assert table.binding() == Binding("a", 2)


def test_binding_another_keeps_the_entries_of_the_first(table):
    table.bind(Binding("a", 1))
    table.put("a", Entry(1, SlotState.ACTIVE, "ann"))
    table.bind(Binding("b", 0, weak=True))
    assert table.binding() == Binding("b", 0, weak=True)
    assert set(table.entries("a")) == {1}


def test_a_change_of_state_does_not_make_a_slot_newer(table, store, clock):
    table.put("a", Entry(1, SlotState.ACTIVE, "ann"))
    since = store.slots()[0].enrolled
    clock.advance(1000)
    table.put("a", Entry(1, SlotState.PENDING_DELETE, "ann"))
    assert store.slots()[0].enrolled == since
    table.put("a", Entry(1, SlotState.ACTIVE, "bob"))
    assert store.slots()[0].enrolled == clock.wall()


def test_what_cannot_be_kept_is_raised(table, store):
    store.close()
    with pytest.raises(StoreError):
        table.put("a", Entry(1, SlotState.ACTIVE, "ann"))
