"""What goes into the store and comes out of it, as plain frozen types."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from kiosk.clock import Anchor
from kiosk.model import Author, Envelope, Event

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from kiosk.model import Kind


@dataclass(frozen=True, slots=True)
class Draft:
    """A fact about to be recorded; the store adds identity, chain, time and causality.

    `saw` None lets the store fill in what this kiosk holds: for a check-in or check-out the
    winning decision, for a decision every event of the row. `wall` and `ticks` (ns) are when it
    happened, None for now.
    """

    kind: Kind
    session: str | None = None
    person: str | None = None
    by: Author = field(default_factory=Author)
    data: dict[str, Any] = field(default_factory=dict)
    saw: tuple[str, ...] | None = None
    wall: int | None = None
    ticks: int | None = None


class Held(msgspec.Struct, frozen=True, gc=False):
    """An event that waits in the outbox; `seq` is its place in the queue."""

    seq: int
    id: str
    body: bytes
    device: str
    incarnation: str
    kseq: int


class Carried(msgspec.Struct, frozen=True):
    """An event of another device on its way, as its author wrote and signed it (hex)."""

    event: Event
    body: bytes
    key: str
    signature: str


class Settled(msgspec.Struct, frozen=True, gc=False):
    """The hub's verdict on one pushed event (a `Held`): `ok`, `dup`, `quarantined` or `retry`."""

    seq: int
    id: str
    verdict: str
    code: str = ""
    envelope: Envelope | None = None


class Slot(msgspec.Struct, frozen=True):
    """A place in one sensor's library; `status` is one of `drivers.slots.SlotState`.

    `enrolled` is wall time (UTC ns), `digest` the template's SHA-256 or "" if unknown.
    """

    sensor: str
    slot: int
    person: str
    status: str
    enrolled: int
    digest: str = ""


class SensorBinding(msgspec.Struct, frozen=True):
    """The sensor that the slots speak of now; `weak` if it has no stamp of its own."""

    sensor: str
    generation: int = 0
    weak: bool = False


class Logged(msgspec.Struct, frozen=True):
    """An event out of a damaged database; `unsent` if the hub may lack it, times in UTC ns.

    `stamp` is what the hub had said: low, high, envelope, why it was set apart. `signature` is
    the author's key and signature, if it was carried here.
    """

    body: bytes
    low: int
    high: int
    unsent: bool
    stamp: tuple[int, int, bytes | None, str | None] | None = None
    signature: tuple[str, str] | None = None


class Salvage(msgspec.Struct, frozen=True):
    """All that a damaged database still yields; `complete` False if there may have been more.

    `records` are directory rows: record, id, rev, event, value.
    """

    events: list[Logged] = []
    records: list[tuple[str, str, int, str, bytes]] = []
    slots: list[Slot] = []
    binding: list[SensorBinding] = []
    anchors: list[Anchor] = []
    notes: dict[str, str] = {}
    complete: bool = False


def sound_slots(rows: Iterable[tuple[Any, ...]]) -> list[Slot]:
    """The slots in rows of the table; one that a card has spoilt names nobody and is left out."""
    found = []
    for row in rows:
        with contextlib.suppress(msgspec.ValidationError):
            found.append(msgspec.convert(dict(zip(_SLOT, row, strict=True)), Slot))
    return found


def sound_binding(rows: Sequence[tuple[Any, ...]]) -> SensorBinding | None:
    """The binding in the table's only row; None if there is none, or a card has spoilt it."""
    if not rows or not (isinstance(rows[0][0], str) and type(rows[0][1]) is int):
        return None
    return SensorBinding(rows[0][0], rows[0][1], bool(rows[0][2]))


_SLOT = Slot.__struct_fields__
