"""The sensor's library as a cache of the kept templates: whom to load, whom to evict.

For more people than the sensor holds: those of the open session are on it, so that a finger alone
is enough for them; all others are verified by claim. Nobody is evicted who could not come back.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from drivers import changes
from drivers.errors import LibraryFull
from drivers.slots import SlotState
from kiosk.provision import bring, format_for, same_format

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from drivers.slots import Entry, SlotTable
    from drivers.zfm import ZfmSensor
    from kiosk.store import Store
    from kiosk.templates import TemplateStore

_LOG = logging.getLogger(__name__)
# Whoever came in none of the last so many sessions counts as never seen.
_SESSIONS = 64


class Holder(NamedTuple):
    """Somebody who can be loaded: so many templates, last used at (UTC ns, 0 for never)."""

    templates: int = 1
    used: int = 0


class CachePlan(NamedTuple):
    """People, in the order in which to do it; all evictions come before the first load."""

    load: tuple[str, ...] = ()
    evict: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CacheState:
    """What `plan_cache` needs to know; see there."""

    enrolled: Mapping[str, Holder]
    capacity: int
    in_sensor: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Applied:
    """What was done of a plan; `left` are those who stayed, or stayed away, for a reason logged."""

    loaded: tuple[str, ...]
    evicted: tuple[str, ...]
    left: tuple[str, ...]


def plan_cache(
    roster: Collection[str],
    enrolled: Mapping[str, Holder],
    capacity: int,
    in_sensor: Mapping[str, int],
) -> CachePlan:
    """Who of the session's `roster` to load, and who must go for them; pure.

    `enrolled` are all who can be loaded, and so may be evicted; whoever else is `in_sensor` (person
    to slots held) stays. Least recently used go first, most recently used come first; nobody of the
    roster goes, unless the sensor holds more than `capacity` slots and nobody else is left to go.
    Nobody is evicted for somebody who would not fit in all the same.
    """
    session = set(roster)
    free = capacity - sum(in_sensor.values())
    going = _oldest_first(in_sensor.keys() & enrolled.keys() - session, enrolled)
    evict: list[str] = []
    for person in [*going, *_oldest_first(in_sensor.keys() & enrolled.keys() & session, enrolled)]:
        if free >= 0:
            break
        evict.append(person)
        free += in_sensor[person]
    going = [person for person in going if person not in evict]
    load: list[str] = []
    wanted = (session & enrolled.keys()) - set(evict)
    for person in reversed(_oldest_first(wanted, enrolled)):
        need = enrolled[person].templates - in_sensor.get(person, 0)
        if need <= 0 or need > free + sum(in_sensor[p] for p in going):
            continue
        while free < need:
            evict.append(going.pop(0))
            free += in_sensor[evict[-1]]
        load.append(person)
        free -= need
    return CachePlan(tuple(load), tuple(evict))


class Shelf:
    """What is kept that fits a sensor, as digests: each template is opened once, and not held."""

    def __init__(self, templates: TemplateStore) -> None:
        self.templates = templates
        self._known: dict[str, str] = {}

    def of(self, format_: str) -> dict[str, dict[str, str]]:
        """Person to digest to template id; raises `VaultError` or `StoreError`."""
        kept = self.templates.kept()
        self._known = {
            one.id: self._known.get(one.id) or self.templates.get(one.id)[1].digest for one in kept
        }
        found: dict[str, dict[str, str]] = {}
        for one in kept:
            if same_format(format_, one.label.format):
                found.setdefault(one.person, {})[self._known[one.id]] = one.id
        return found


def cache_state(
    sensor: ZfmSensor, table: SlotTable, shelf: Shelf, used: Mapping[str, int]
) -> CacheState:
    """What the sensor and the kept templates hold now; `used` says when each was last used.

    The library must have been reconciled. Slots that are quarantined, unfinished, or lost and kept
    nowhere take room that nobody can have. Raises SensorError, `VaultError` or `StoreError`.
    """
    kept = shelf.of(format_for(sensor))
    held: dict[str, int] = {}
    stuck, pinned = 0, set()
    for entry in _entries(table):
        known = entry.digest in kept.get(entry.owner, ())
        if entry.state is SlotState.ACTIVE:
            held[entry.owner] = held.get(entry.owner, 0) + 1
            pinned |= set() if known else {entry.owner}
        elif entry.state is not SlotState.MISSING or not known:
            stuck += 1
    enrolled = {
        person: Holder(len(owned), used.get(person, 0))
        for person, owned in kept.items()
        if person not in pinned
    }
    return CacheState(enrolled, sensor.capacity - stuck, held)


def apply_cache(plan: CachePlan, sensor: ZfmSensor, table: SlotTable, shelf: Shelf) -> Applied:
    """Carry out a plan, one crash-safe change at a time; what was cut short is planned anew.

    Before somebody is evicted every template of theirs is opened: with a lost key nothing goes.
    Raises SensorError, `VaultError` or `StoreError`; what came before that stays done.
    """
    kept = shelf.of(format_for(sensor))
    _release(sensor, table, kept, plan.load)
    evicted = [p for p in plan.evict if _evict(sensor, table, shelf, kept.get(p, {}), p)]
    loaded = [p for p in plan.load if _load(sensor, table, shelf, kept.get(p, {}), p)]
    done = {*evicted, *loaded}
    left = tuple(p for p in (*plan.evict, *plan.load) if p not in done)
    return Applied(tuple(loaded), tuple(evicted), left)


def begin_cache(plan: CachePlan, sensor: ZfmSensor, table: SlotTable, shelf: Shelf) -> Applied:
    """The first change of a plan only: one person out, or one template in; then plan anew.

    That is all that a finger may have to wait for. Raises as `apply_cache`.
    """
    kept = shelf.of(format_for(sensor))
    if plan.evict:
        person = plan.evict[0]
        gone = _evict(sensor, table, shelf, kept.get(person, {}), person)
        return Applied((), (person,), ()) if gone else Applied((), (), (person,))
    for person in plan.load[:1]:
        _release(sensor, table, kept, plan.load)
        if _load(sensor, table, shelf, kept.get(person, {}), person, most=1):
            return Applied((person,), (), ())
    return Applied((), (), plan.load[:1])


def make_room(sensor: ZfmSensor, table: SlotTable, shelf: Shelf, used: Mapping[str, int]) -> bool:
    """Evict the one least recently `used` who can come back; whether somebody went.

    For an enrolment into a full sensor. Raises as `apply_cache`.
    """
    state = cache_state(sensor, table, shelf, used)
    going = _oldest_first(state.in_sensor.keys() & state.enrolled.keys(), state.enrolled)
    return bool(apply_cache(CachePlan(evict=tuple(going[:1])), sensor, table, shelf).evicted)


def last_seen(store: Store, now: int) -> dict[str, int]:
    """When each person last came in (UTC ns, the latest it can have been), of recent sessions."""
    past = [session for session in store.sessions() if session.starts <= now]
    recent = sorted(past, key=lambda session: session.starts)[-_SESSIONS:]
    seen: dict[str, int] = {}
    for session in recent:
        for row in store.attendance(session.id):
            if row.arrival is not None:
                seen[row.person] = max(seen.get(row.person, 0), row.arrival[1])
    return seen


def _oldest_first(people: Collection[str], enrolled: Mapping[str, Holder]) -> list[str]:
    return sorted(people, key=lambda person: (enrolled[person].used, person))


def _entries(table: SlotTable) -> list[Entry]:
    bound = table.binding()
    return list(table.entries(bound.sensor).values()) if bound is not None else []


def _release(
    sensor: ZfmSensor,
    table: SlotTable,
    kept: Mapping[str, Collection[str]],
    load: Collection[str],
) -> None:
    """Slots that wait for a lost template need not: it can come back to any."""
    for entry in _entries(table):
        lost = entry.state is SlotState.MISSING
        if lost and entry.digest in kept.get(entry.owner, ()) and entry.owner not in load:
            changes.delete(sensor, table, entry.slot)


def _evict(
    sensor: ZfmSensor, table: SlotTable, shelf: Shelf, kept: Mapping[str, str], person: str
) -> bool:
    mine = [e for e in _entries(table) if (e.owner, e.state) == (person, SlotState.ACTIVE)]
    if not all(entry.digest in kept for entry in mine):
        _LOG.warning("somebody was not evicted: a template of theirs is on the sensor only")
        return False
    for template in kept.values():
        shelf.templates.get(template)
    for entry in mine:
        changes.delete(sensor, table, entry.slot)
    return True


def _load(
    sensor: ZfmSensor,
    table: SlotTable,
    shelf: Shelf,
    kept: Mapping[str, str],
    person: str,
    most: int | None = None,
) -> bool:
    """Bring in a person's templates, `most` of them at a time; whether any or all are there now."""
    brought = 0
    try:
        for template in kept.values():
            brought += bring(sensor, table, person, shelf.templates.get(template)[1]) is not None
            if brought == most:
                break
    except LibraryFull:
        _LOG.warning("somebody was not loaded: the sensor is full")
        return False
    return bool(kept)
