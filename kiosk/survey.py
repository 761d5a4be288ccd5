"""A look at the sensor beside the records that changes neither: what the next start would find."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from drivers.errors import LibraryMismatch, SensorIdentityMismatch
from drivers.library import look_at, used_slots
from drivers.reconcile import check_identity
from drivers.slots import UNFINISHED, SlotState
from kiosk.provision import format_for

if TYPE_CHECKING:
    from drivers.library import Stamp
    from drivers.reconcile import Reconciled
    from drivers.slots import Binding, Entry, SlotTable
    from drivers.zfm import ZfmSensor

_GAUGE = 20
_UNSAID = "  (model/bytes of a template; the module does not tell the bytes)"
_WHAT = {
    "ahead": "It is the right reader, but its library is newer than the records.",
    "behind": "It is the right reader, but its library is older than the records.",
}
_CHOICES = (
    "Plug the right one in, or decide: kiosk sensor adopt (use it as it is), kiosk sensor wipe"
    " (empty it), or kiosk sensor wipe and kiosk sensor reprovision (fill it from kept copies)."
)


@dataclass(frozen=True, slots=True)
class Survey:
    """One sensor as it is; `stamp_state` and `verdict` are for people, `well` if both are good."""

    format: str
    capacity: int
    used: int
    count: int
    stamp: Stamp | None
    stamp_state: str
    verdict: str
    well: bool

    @property
    def gauge(self) -> str:
        """How full it is, drawn."""
        share = min(1.0, self.used / self.capacity) if self.capacity else 0.0
        filled = round(share * _GAUGE)
        return "#" * filled + "-" * (_GAUGE - filled)

    def lines(self) -> list[str]:
        """Everything of it, one fact a line."""
        identity = self.stamp.sensor if self.stamp is not None else "none"
        weak = self.stamp is not None and self.stamp.weak
        generation = "-" if self.stamp is None or weak else str(self.stamp.generation)
        return [
            f"model       {self.format.rpartition('/')[0]}",
            f"format      {self.format}{_UNSAID if self.format.endswith('/?') else ''}",
            f"identity    {identity}{' (weak)' if weak else ''}",
            f"stamp       {self.stamp_state}",
            f"generation  {generation}",
            f"capacity    [{self.gauge}] {self.used} of {self.capacity} used",
            f"count       {self.count}{'' if self.count == self.used else ' (is not the index)'}",
            f"records     {self.verdict}",
        ]


def survey(sensor: ZfmSensor, table: SlotTable) -> Survey:
    """Look at stamp, index and count, and hold them against the table; raises SensorError."""
    used, count = used_slots(sensor), sensor.getTemplateCount()
    bound = table.binding()
    stamp: Stamp | None = None
    try:
        stamp = look_at(sensor)
        state = _stamp_state(stamp)
    except LibraryMismatch as damage:
        state, verdict, well = str(damage), "closed: the stamp cannot be trusted", False
    else:
        verdict, well = _verdict(stamp, bound, table, used)
    return Survey(
        format_for(sensor),
        sensor.capacity,
        len(used),
        count,
        stamp,
        state,
        verdict,
        well=well and count == len(used),
    )


def summary(done: Reconciled) -> str:
    """What a library was found to hold after it was adopted or wiped, in words."""
    parts = (
        (done.active, "active"),
        (done.quarantined, "nobody's"),
        (done.missing, "missing"),
        (done.unfinished, "unfinished"),
    )
    return ", ".join(f"{len(slots)} {word}" for slots, word in parts)


def _stamp_state(stamp: Stamp | None) -> str:
    if stamp is None:
        return "blank"
    return "no notepad to keep one in" if stamp.weak else "sound"


def _verdict(
    stamp: Stamp | None, bound: Binding | None, table: SlotTable, used: frozenset[int]
) -> tuple[str, bool]:
    if bound is None:
        return "no sensor is bound yet", not used
    entries = dict(table.entries(bound.sensor))
    unfinished = [e for e in entries.values() if e.state in UNFINISHED]
    try:
        check_identity(stamp, bound, unfinished=bool(unfinished))
    except SensorIdentityMismatch as mismatch:
        known = _WHAT.get(mismatch.why, mismatch.sentence)
        return f"closed ({mismatch.why}): {mismatch}. {known} {_CHOICES}", False
    return _library(entries, used, len(unfinished))


def _library(entries: dict[int, Entry], used: frozenset[int], unfinished: int) -> tuple[str, bool]:
    active = {slot for slot, e in entries.items() if e.state is SlotState.ACTIVE}
    missing = {slot for slot, e in entries.items() if e.state is SlotState.MISSING}
    strange = {slot for slot, e in entries.items() if e.state is SlotState.QUARANTINED}
    lost = (active - used) | (missing - used)
    unknown = (strange & used) | (used - entries.keys())
    parts = [f"{len(active & used)} active"]
    said = ((len(unknown), "nobody's"), (len(lost), "missing"), (unfinished, "unfinished"))
    parts += [f"{number} {word}" for number, word in said if number]
    return ", ".join(parts), not (unknown or lost)
