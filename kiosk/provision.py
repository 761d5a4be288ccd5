"""Templates between a sensor and what is kept of them: copies out, copies back in, none twice."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from drivers.changes import provision
from drivers.errors import LibraryFull
from drivers.slots import SlotState
from drivers.templates import read_template, template_size
from kiosk.bundle import Copy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from drivers.changes import Placed
    from drivers.slots import Entry, SlotTable
    from drivers.templates import Template
    from drivers.zfm import ZfmSensor
    from kiosk.templates import TemplateStore

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BackedUp:
    """How many templates were copied; slots whose template is not the recorded one were not."""

    copied: int
    altered: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Brought:
    """How many templates came to the sensor, were there already, were not let in, did not fit.

    `lost` are the owners of slots that the sensor has lost and nobody keeps: to be enrolled again.
    """

    placed: int = 0
    there: int = 0
    refused: int = 0
    full: int = 0
    lost: tuple[str, ...] = ()

    def lines(self, refused: int = 0) -> list[str]:
        """All of it in words; `refused` more were not let in before."""
        said = [f"{self.placed} templates brought in, {self.there} were there already"]
        if refused := refused + self.refused:
            said.append(f"{refused} not let in: unknown here, without consent, or revoked since")
        if self.full:
            said.append(f"{self.full} did not fit: the reader is full")
        if self.lost:
            said.append(f"to be enrolled again: {', '.join(self.lost)}")
        return said


def format_for(sensor: ZfmSensor) -> str:
    """`<model>/<bytes>` of this sensor's templates; "?" for the size if the module cannot say."""
    return f"{sensor.model}/{template_size(sensor) or '?'}"


def fits(sensor: ZfmSensor, format_: str) -> bool:
    """Whether templates of `format_` mean anything to this sensor; for many see `same_format`."""
    return same_format(format_for(sensor), format_)


def same_format(of_sensor: str, format_: str) -> bool:
    """Whether a sensor whose `format_for` is `of_sensor` takes templates of `format_`."""
    model, _, size = of_sensor.rpartition("/")
    given, _, bytes_ = format_.rpartition("/")
    return given == model and size in {"?", bytes_}


def back_up(
    sensor: ZfmSensor, table: SlotTable, templates: TemplateStore, slot: int | None = None
) -> BackedUp:
    """Keep a copy of every active slot's template that is not kept yet, or of one slot's.

    About 0.1 s a slot for 512 bytes at 57,600 baud. Raises SensorError, `VaultError`, `StoreError`.
    """
    bound = table.binding()
    copied, altered = 0, []
    for entry, template in _active(sensor, table, templates, slot):
        if template is None or bound is None:
            altered.append(entry.slot)
            continue
        templates.put(entry.owner, template, sensor=bound.sensor, generation=bound.generation)
        copied += 1
    return BackedUp(copied, tuple(altered))


def copies_of(
    sensor: ZfmSensor,
    table: SlotTable,
    enrolled: Callable[[int], int],
    allowed: Callable[[str], bool],
) -> tuple[list[Copy], int]:
    """The active templates of those who are `allowed`, and how many others were left out.

    `enrolled` says when a slot was (UTC ns). Raises SensorError.
    """
    active = list(_active(sensor, table))
    copies = [
        Copy(entry.owner, enrolled(entry.slot), template)
        for entry, template in active
        if template is not None and allowed(entry.owner)
    ]
    return copies, len(active) - len(copies)


def bring(sensor: ZfmSensor, table: SlotTable, person: str, template: Template) -> Placed | None:
    """Have this very template of `person` on the sensor; None if it is there already.

    It goes to the slot that lost it, if there is one. Crash-safe, read back; raises what
    `drivers.changes.provision` does.
    """
    bound = table.binding()
    entries = table.entries(bound.sensor).values() if bound is not None else ()
    same = [e for e in entries if (e.owner, e.digest) == (person, template.digest)]
    if any(entry.state is SlotState.ACTIVE for entry in same):
        return None
    lost = next((entry.slot for entry in same if entry.state is SlotState.MISSING), None)
    return provision(sensor, table, person, template, lost)


def bring_all(
    sensor: ZfmSensor,
    table: SlotTable,
    copies: Iterable[tuple[str, Template]],
    allowed: Callable[[str], bool] = lambda _: True,
) -> Brought:
    """`bring` each (person, template), slots that have lost theirs first; a full one ends it.

    Raises SensorError; what came before that stays.
    """
    counts = dict.fromkeys(("placed", "there", "refused", "full"), 0)
    for person, template in _lost_first(table, list(copies)):
        if not allowed(person):
            counts["refused"] += 1
            continue
        try:
            placed = bring(sensor, table, person, template)
        except LibraryFull:
            counts["full"] += 1
        else:
            counts["there" if placed is None else "placed"] += 1
    return Brought(**counts, lost=_still_lost(table))


def kept_for(sensor: ZfmSensor, templates: TemplateStore) -> list[tuple[str, Template]]:
    """Every kept template that fits this sensor, with its owner, the newest first."""
    format_ = format_for(sensor)
    kept = [one for one in templates.kept() if same_format(format_, one.label.format)]
    return [(one.person, templates.get(one.id)[1]) for one in reversed(kept)]


def _active(
    sensor: ZfmSensor,
    table: SlotTable,
    known: TemplateStore | None = None,
    only: int | None = None,
) -> Iterator[tuple[Entry, Template | None]]:
    """Each active slot, or the one, and its template, None if that is not the recorded one.

    Slots whose template is `known` already are left out, unread.
    """
    bound = table.binding()
    entries = dict(table.entries(bound.sensor)) if bound is not None else {}
    for entry in sorted(entries.values(), key=lambda entry: entry.slot):
        if entry.state is not SlotState.ACTIVE or only not in {None, entry.slot}:
            continue
        if known is not None and entry.digest in _digests(known, entry.owner):
            continue
        yield entry, _recorded(sensor, entry)


def _digests(templates: TemplateStore, person: str) -> set[str]:
    return {template.digest for _, template in templates.of(person)}


def _recorded(sensor: ZfmSensor, entry: Entry) -> Template | None:
    """The slot's template, read once more if it is not the recorded one at first."""
    for _ in range(2):
        template = read_template(sensor, entry.slot)
        if entry.digest in {"", template.digest}:
            return template
    _LOG.warning("slot %d does not hold the template on record: not copied", entry.slot)
    return None


def _lost_first(
    table: SlotTable, copies: Sequence[tuple[str, Template]]
) -> list[tuple[str, Template]]:
    lost = {(entry.owner, entry.digest) for entry in _missing(table)}
    return sorted(copies, key=lambda copy: (copy[0], copy[1].digest) not in lost)


def _still_lost(table: SlotTable) -> tuple[str, ...]:
    return tuple(dict.fromkeys(entry.owner for entry in _missing(table)))


def _missing(table: SlotTable) -> list[Entry]:
    bound = table.binding()
    entries = table.entries(bound.sensor).values() if bound is not None else ()
    return [entry for entry in entries if entry.state is SlotState.MISSING]
