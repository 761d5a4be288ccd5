"""Templates out of a sensor and into another of the same model, verified at the far end."""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from drivers import codes
from drivers.errors import (
    SensorError,
    SlotInUse,
    TemplateFormatMismatch,
    TemplateNotFound,
    TemplateNotKept,
)

if TYPE_CHECKING:
    from drivers.zfm import ZfmSensor

_PROBE, _REFERENCE = 1, 2


@dataclass(frozen=True, slots=True)
class Template:
    """A biometric reference, meant for sensors of `format` (`<model>/<bytes>`) only."""

    format: str
    data: bytes = field(repr=False)

    @property
    def digest(self) -> str:
        """SHA-256 of the data, in hexadecimal."""
        return hashlib.sha256(self.data).hexdigest()


def read_template(sensor: ZfmSensor, slot: int) -> Template:
    """The template in `slot` (LoadChar, UpChar); overwrites CharBuffer2.

    Raises TemplateNotFound for an empty slot, SlotOutOfRange, or a transport or protocol error.
    """
    data = _load(sensor, slot)
    return Template(f"{sensor.model}/{len(data)}", data)


def write_template(sensor: ZfmSensor, slot: int, template: Template) -> None:
    """Store `template` in the free `slot` and read it back; overwrites both character buffers.

    Raises TemplateFormatMismatch, SlotInUse, TemplateNotKept if the slot holds something else
    afterwards (it is emptied again), or any other SensorError.
    """
    check_format(sensor, template)
    if sensor.holds(slot):
        raise SlotInUse(slot)
    sensor.send_template(_PROBE, template.data)
    kept = False
    try:
        sensor.storeTemplate(slot, _PROBE)
        kept = sensor.holds(slot) and _load(sensor, slot) == template.data
    finally:
        if not kept:
            with contextlib.suppress(SensorError):
                sensor.deleteTemplate(slot)
    if not kept:
        raise TemplateNotKept(f"slot {slot} does not hold what was stored there")


def verify_one(sensor: ZfmSensor, template: Template, scratch: int | None = None) -> int | None:
    """1:1: the comparison score of `template` with the features in CharBuffer1, None if strange.

    The template goes to CharBuffer2 and no further (Match). Some R503s refuse there what Search
    accepts: with `scratch`, a free slot, it is stored in it, searched for there alone and deleted
    again, whatever happens. Raises TemplateFormatMismatch, SlotInUse or any other SensorError.
    """
    check_format(sensor, template)
    if scratch is None:
        sensor.send_template(_REFERENCE, template.data)
        return sensor.compareCharacteristics() or None
    if sensor.holds(scratch):
        raise SlotInUse(scratch)
    sensor.send_template(_REFERENCE, template.data)
    try:
        sensor.storeTemplate(scratch, _REFERENCE)
        found = sensor.find(scratch, 1)
    finally:
        sensor.deleteTemplate(scratch)
    return found[1] if found is not None and found[0] == scratch else None


def check_format(sensor: ZfmSensor, template: Template) -> None:
    """Raise TemplateFormatMismatch unless the sensor's model and template size fit."""
    model, _, size = template.format.rpartition("/")
    expected = template_size(sensor)
    if (
        model != sensor.model
        or size != str(len(template.data))
        or expected not in {None, int(size)}
    ):
        raise TemplateFormatMismatch(template.format, f"{sensor.model}/{expected or size}")


def template_size(sensor: ZfmSensor) -> int | None:
    """Bytes of a template, by the sensor's profile or its own word; None if neither says."""
    if sensor.profile is not None:
        return sensor.profile.template_size
    info = sensor.product_info()
    return info.template_size if info is not None else None


def digest_of(sensor: ZfmSensor, slot: int) -> str:
    """SHA-256 of the template in `slot`, "" if the slot is empty or two readings of it differ.

    Some modules alter templates by themselves; from those no digest can be learnt.
    """
    try:
        first = _load(sensor, slot)
        return hashlib.sha256(first).hexdigest() if first == _load(sensor, slot) else ""
    except TemplateNotFound:
        return ""


def has_digest(sensor: ZfmSensor, slot: int, digest: str) -> bool:
    """Whether the template in `slot` has this digest, looked at once more if it has not."""
    for _ in range(2):
        with contextlib.suppress(TemplateNotFound):
            if hashlib.sha256(_load(sensor, slot)).hexdigest() == digest:
                return True
    return False


def _load(sensor: ZfmSensor, slot: int) -> bytes:
    if not sensor.loadTemplate(slot, _REFERENCE):
        raise TemplateNotFound(codes.TEMPLATE_INVALID, f"slot {slot} cannot be read")
    return bytes(sensor.downloadCharacteristics(_REFERENCE))
