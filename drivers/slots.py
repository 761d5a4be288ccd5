"""Whose template is in which slot: the table that the sensor's library is held against."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping


class SlotState(StrEnum):
    """Only `ACTIVE` ever names anybody."""

    PENDING = "pending"  # something is being stored there
    ACTIVE = "active"
    PENDING_DELETE = "pending_delete"  # refused from now on, until it is gone
    QUARANTINED = "quarantined"  # the sensor has it, and nobody knows whose it is
    MISSING = "missing"  # the sensor has lost it: to be provisioned or enrolled again


UNFINISHED = frozenset({SlotState.PENDING, SlotState.PENDING_DELETE})


@dataclass(frozen=True, slots=True)
class Entry:
    """One slot; `owner` is the table's own key, `digest` the template's SHA-256 or "" if unknown.

    A `PENDING` entry with a digest is a template being brought from elsewhere: cut short, it
    becomes `MISSING`. One without is an enrolment: cut short, it is forgotten.
    """

    slot: int
    state: SlotState
    owner: str = ""
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Binding:
    """The sensor that the table speaks of now, and how often its library has changed."""

    sensor: str
    generation: int = 0
    weak: bool = False


class SlotTable(Protocol):
    """The records' side. Every change is durable when the call returns, and all of it or none.

    `put` and `drop` also set the binding's generation, in the same transaction, if one is given.
    """

    def binding(self) -> Binding | None:
        """The sensor that is bound, None before the first."""
        ...

    def bind(self, binding: Binding) -> None:
        """Bind a sensor; entries of others are kept."""
        ...

    def entries(self, sensor: str) -> Mapping[int, Entry]:
        """Every entry of one sensor, by slot."""
        ...

    def put(self, sensor: str, entry: Entry, generation: int | None = None) -> None:
        """Add or replace an entry."""
        ...

    def drop(self, sensor: str, slot: int, generation: int | None = None) -> None:
        """Remove an entry."""
        ...
