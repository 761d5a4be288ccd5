"""The driver's slot table, kept in the kiosk's database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drivers.slots import Binding, Entry, SlotState
from kiosk.store import SensorBinding, Slot

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kiosk.clock import Clock
    from kiosk.store import Store

_STATES = frozenset(state.value for state in SlotState)


class StoredSlots:
    """A `drivers.slots.SlotTable` whose owners are people's ids.

    Every change waits for its commit; call it from the sensor's thread, not from the screen's.
    Raises `StoreError` if a change cannot be kept.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def binding(self) -> Binding | None:
        bound = self._store.sensor_binding()
        return Binding(bound.sensor, bound.generation, bound.weak) if bound else None

    def bind(self, binding: Binding) -> None:
        bound = SensorBinding(binding.sensor, binding.generation, binding.weak)
        self._store.bind_sensor(bound).result()

    def entries(self, sensor: str) -> dict[int, Entry]:
        return entries_of(self._store.slots(), sensor)

    def put(self, sensor: str, entry: Entry, generation: int | None = None) -> None:
        since = self._since(sensor, entry)
        slot = Slot(sensor, entry.slot, entry.owner, entry.state.value, since, entry.digest)
        self._store.set_slot(slot, generation).result()

    def drop(self, sensor: str, slot: int, generation: int | None = None) -> None:
        self._store.clear_slot(sensor, slot, generation).result()

    def _since(self, sensor: str, entry: Entry) -> int:
        """When this owner got this slot: a change of state does not make it newer."""
        for slot in self._store.slots():
            if (slot.sensor, slot.slot, slot.person) == (sensor, entry.slot, entry.owner):
                return slot.enrolled
        return self._clock.wall()


def entries_of(slots: Iterable[Slot], sensor: str) -> dict[int, Entry]:
    """A sensor's slots; one whose state a card has spoilt is nobody's, as if it was never kept."""
    return {
        slot.slot: Entry(slot.slot, SlotState(slot.status), slot.person, slot.digest)
        for slot in slots
        if slot.sensor == sensor and slot.status in _STATES
    }
