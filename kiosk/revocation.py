"""Destroying templates for good: one person's everywhere, or one sensor's altogether.

A revocation is an order in the log before anything is destroyed, and a confirmation by each kiosk
after it has: `template_revoked` with `state` "ordered", then "done" with the order's id. A cut
anywhere leaves an order without this kiosk's confirmation, which `resume` carries out; and an
order that comes from another kiosk, or a consent that was ended there, is carried out here in the
same way.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from drivers import codes, reconcile
from drivers.errors import FlashError, LibraryMismatch
from drivers.library import COPY_PAGE, STAMP_PAGE, clear_stamp, look_at, used_slots
from drivers.slots import SlotState
from kiosk.consent import Log, refusal, withdrawal
from kiosk.model import Author, Kind
from kiosk.store import Draft

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from drivers.slots import Entry, SlotTable
    from drivers.zfm import ZfmSensor
    from kiosk.model import Event, Person
    from kiosk.store import SensorBinding, Slot, Store
    from kiosk.templates import TemplateStore

ORDERED, DONE, SENSOR = "ordered", "done", "sensor"
_KIOSK = Author("kiosk")


class Records(Log, Protocol):
    """What open orders are found in: a store, or a glance at one."""

    def people(self) -> list[Person]:
        """Every person of the directory."""
        ...

    def slots(self) -> list[Slot]:
        """The slot table, of all sensors ever seen here."""
        ...

    def sensor_binding(self) -> SensorBinding | None:
        """The sensor that the slots speak of now."""
        ...


@dataclass(frozen=True, slots=True)
class Revoked:
    """What one revocation destroyed here: slots on this sensor, kept templates.

    `elsewhere` are sensors seen here before that still hold templates of the person: they name
    nobody, and lose them when they are adopted again. Until `done`, this sensor has some too.
    """

    person: str
    slots: int
    templates: int
    elsewhere: tuple[str, ...]
    done: bool


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a decommissioned sensor was seen to be: empty by index and by count, its stamp gone."""

    sensor: str
    model: str
    templates: int
    people: int
    notepad: bool
    at: int


def revoke(
    store: Store,
    table: SlotTable,
    person: str,
    *,
    sensor: ZfmSensor | None,
    templates: TemplateStore | None,
    by: Author = _KIOSK,
    reason: str = "",
) -> Revoked:
    """Destroy every template of `person` here, and tell all other kiosks to do the same.

    From the first step on nobody is identified by them. Without a sensor it is not `done`, if there
    are any on the bound one. `templates` may be None only where none were ever kept.
    Raises `StoreError`, `NotForgottenError`, FlashError or another SensorError; `resume` goes on.
    """
    order = store.record(ordered(person, by, reason)).result()
    return carry_out(store, table, order, sensor=sensor, templates=templates)


def resume(
    store: Store,
    table: SlotTable,
    *,
    sensor: ZfmSensor | None,
    templates: TemplateStore | None,
) -> list[Revoked]:
    """Carry out every order that this kiosk has not confirmed, its own and others'."""
    orders = open_orders(store, templates)
    return [carry_out(store, table, o, sensor=sensor, templates=templates) for o in orders]


def withdraw(
    store: Store,
    table: SlotTable,
    person: str,
    language: str,
    *,
    sensor: ZfmSensor | None,
    templates: TemplateStore | None,
    by: Author = _KIOSK,
) -> Revoked:
    """Withdraw a person's consent, and destroy every template as `revoke` does; raises as that."""
    _, order = store.record_many(withdrawn(person, language, by)).result()
    return carry_out(store, table, order, sensor=sensor, templates=templates)


def withdrawn(person: str, language: str, by: Author = _KIOSK) -> list[Draft]:
    """What a withdrawal says in the log: the no, and an order that no clock can gainsay."""
    return [refusal(person, language, by), ordered(person, by, "withdrawn")]


def ordered(person: str, by: Author = _KIOSK, reason: str = "") -> Draft:
    """The order that every kiosk carries out; see `revoke`."""
    data = {"state": ORDERED, "reason": reason}
    return Draft(Kind.TEMPLATE_REVOKED, person=person, by=by, data=data)


def open_orders(store: Store, templates: TemplateStore | None = None) -> list[Event]:
    """Orders known here that this kiosk has not confirmed.

    A consent that was ended elsewhere is an order too, as long as there is anything here.
    """
    kept = {one.person for one in templates.kept()} if templates is not None else set()
    return orders_in(store, store.identity.device, kept)


def orders_in(records: Records, device: str, kept: Collection[str]) -> list[Event]:
    """As `open_orders`, by the `records` of kiosk `device`, with the owners of `kept` templates."""
    slots, bound = records.slots(), records.sensor_binding()
    people = {person.id for person in records.people()} | {slot.person for slot in slots}
    orders = [
        order
        for person in sorted(people.union(kept) - {""})
        for order in _open_for(records, device, person)
    ]
    told = {order.person for order in orders}
    holding = {slot.person for slot in slots if _to_be_seen_to(slot, bound)}.union(kept)
    noes = (withdrawal(records, device, p) for p in sorted(holding - told - {""}))
    return orders + [no for no in noes if no is not None]


def revoked_since(store: Store, person: str, taken: int) -> bool:
    """Whether a revocation was ordered at or after `taken` (UTC ns, by the clocks of the time)."""
    events = store.personal_events(person, Kind.TEMPLATE_REVOKED)
    return any(e.wall >= taken for e in events if e.data.get("state") == ORDERED)


def known_here(store: Store, templates: TemplateStore | None, person: str) -> bool:
    """Whether `person` (an id) is of the directory, or holds a slot or a kept template here.

    What is ordered for a mistyped id would be called done, and the templates meant stay.
    """
    return (
        any(one.id == person for one in store.people())
        or any(slot.person == person for slot in store.slots())
        or (templates is not None and bool(templates.kept(person)))
    )


def carry_out(
    store: Store,
    table: SlotTable,
    order: Event,
    *,
    sensor: ZfmSensor | None,
    templates: TemplateStore | None,
) -> Revoked:
    """Do what `order` says on this kiosk, and confirm it when nothing is left; see `revoke`."""
    person = order.person or ""
    before = _holding(store, person)
    for uuid in before:
        _refuse(table, uuid, person)
    forgotten = templates.forget(person) if templates is not None else 0
    bound = table.binding()
    here = bound.sensor if bound is not None else ""
    if sensor is not None and here in before:
        # Holds the stamp against the table, deletes what is to be deleted, looks at the index.
        reconcile.reconcile(sensor, table)
    left = _holding(store, person)
    if sensor is not None and here in left:
        raise FlashError(codes.DELETE_FAILED, "the sensor does not let go of a template")
    slots = before.get(here, 0) - left.get(here, 0)
    elsewhere = tuple(sorted(left.keys() - {here}))
    done = here not in left
    if done:
        _confirm(store, order, slots, forgotten, elsewhere)
    return Revoked(person, slots, forgotten, elsewhere, done)


def decommission(store: Store, table: SlotTable, sensor: ZfmSensor, at: int) -> Certificate:
    """Empty this sensor, prove it, and take it out of the records; its stamp goes last.

    Each person who had a template there gets a `template_revoked` with `state` "sensor". Killed
    anywhere, the sensor still says who it is, and doing it again finishes it. Raises FlashError or
    LibraryMismatch if anything is left, another SensorError, or `StoreError`.
    """
    uuid, held = _identity(sensor), len(used_slots(sensor))
    entries = dict(table.entries(uuid)).values()
    for entry in entries:
        if entry.state is not SlotState.PENDING_DELETE:
            table.put(uuid, replace(entry, state=SlotState.PENDING_DELETE))
    sensor.clearDatabase()
    _check_empty(sensor)
    people = dict.fromkeys(entry.owner for entry in entries if entry.owner)
    for person in people:
        _note_gone(store, person, uuid)
        _drop(table, uuid, person)
    _drop(table, uuid, "")
    _make_blank(sensor)
    _check_empty(sensor)
    return Certificate(uuid, sensor.model, held, len(people), _notepad_is_blank(sensor), at)


# -- revoking --------------------------------------------------------------------------------------


def _open_for(records: Records, device: str, person: str) -> list[Event]:
    events = records.personal_events(person, Kind.TEMPLATE_REVOKED)
    done = {e.data.get("order") for e in events if e.device == device}
    return [e for e in events if e.data.get("state") == ORDERED and e.id not in done]


def _to_be_seen_to(slot: Slot, bound: SensorBinding | None) -> bool:
    """Whether this kiosk can do more about a slot than wait for its sensor."""
    here = bound is not None and slot.sensor == bound.sensor
    return here or slot.status != SlotState.PENDING_DELETE


def _holding(store: Store, person: str) -> dict[str, int]:
    """How many slots of each sensor are on record for a person."""
    found: dict[str, int] = {}
    for slot in store.slots():
        if slot.person == person:
            found[slot.sensor] = found.get(slot.sensor, 0) + 1
    return found


def _refuse(table: SlotTable, uuid: str, person: str) -> None:
    for entry in dict(table.entries(uuid)).values():
        if entry.owner == person and entry.state is not SlotState.PENDING_DELETE:
            table.put(uuid, replace(entry, state=SlotState.PENDING_DELETE))


def _confirm(
    store: Store, order: Event, slots: int, templates: int, elsewhere: tuple[str, ...]
) -> None:
    data = {"state": DONE, "order": order.id, "slots": slots, "templates": templates}
    if elsewhere:
        data["elsewhere"] = list(elsewhere)
    draft = Draft(Kind.TEMPLATE_REVOKED, person=order.person, by=_KIOSK, data=data)
    store.record(draft).result()


# -- decommissioning -------------------------------------------------------------------------------


def _identity(sensor: ZfmSensor) -> str:
    try:
        stamp = look_at(sensor)
    except LibraryMismatch:
        return ""
    return stamp.sensor if stamp is not None else ""


def _note_gone(store: Store, person: str, uuid: str) -> None:
    """Once per enrolment: a second try finds its own note."""
    enrolled = [s.enrolled for s in store.slots() if (s.sensor, s.person) == (uuid, person)]
    events = store.personal_events(person, Kind.TEMPLATE_REVOKED)
    noted = [e.wall for e in events if e.data.get("sensor") == uuid]
    if not noted or max(noted) < max(enrolled, default=0):
        data = {"state": SENSOR, "sensor": uuid, "reason": "decommissioned"}
        draft = Draft(Kind.TEMPLATE_REVOKED, person=person, by=_KIOSK, data=data)
        store.record(draft).result()


def _drop(table: SlotTable, uuid: str, owner: str) -> None:
    for entry in _of(dict(table.entries(uuid)).values(), owner):
        table.drop(uuid, entry)


def _of(entries: Iterable[Entry], owner: str) -> list[int]:
    return [entry.slot for entry in entries if entry.owner == owner]


def _check_empty(sensor: ZfmSensor) -> None:
    if used_slots(sensor) or sensor.getTemplateCount():
        raise FlashError(codes.CLEAR_FAILED, "templates are left after Empty")


def _make_blank(sensor: ZfmSensor) -> None:
    try:
        reconcile.decommission(sensor)
    except LibraryMismatch:
        clear_stamp(sensor)


def _notepad_is_blank(sensor: ZfmSensor) -> bool:
    """Whether the stamp's pages were read back as blank; False for a module without a notepad."""
    stamp = look_at(sensor)
    if stamp is not None and stamp.weak:
        return False
    if stamp is not None or any(any(sensor.read_notepad(p)) for p in (STAMP_PAGE, COPY_PAGE)):
        raise LibraryMismatch("the notepad still holds a stamp")
    return True
