"""Which sensor this is and which of its slots are in use: identity stamp and index table."""

from __future__ import annotations

import struct
import uuid
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from drivers import codes
from drivers.errors import LibraryFull, LibraryMismatch, Refused

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from drivers.zfm import ZfmSensor

STAMP_PAGE = 0
_MAGIC = b"WHRL"
_BODY = struct.Struct(">4s16sI")
_SUM = struct.Struct(">I")
_INDEX_PAGE = 256
_NO_NOTEPAD = frozenset({codes.PACKET_ERROR, codes.UNSUPPORTED, codes.BAD_NOTEPAD_PAGE})
_WEAK = uuid.UUID("1c1f8f4e-8a0c-5a55-9f0b-6a4c0d6a7b21")


@dataclass(frozen=True, slots=True)
class Stamp:
    """A sensor's identity; `generation` counts changes of its library.

    `weak` identities are worked out from what the module says of itself, because it has no
    notepad: two modules of one model and address cannot be told apart by them.
    """

    sensor: str
    generation: int = 0
    weak: bool = False


def read_stamp(sensor: ZfmSensor) -> Stamp | None:
    """The stamp in the notepad, None on a blank page.

    Raises LibraryMismatch if the page holds something else or a damaged stamp, Refused if the
    module has no notepad, or any other SensorError.
    """
    page = sensor.read_notepad(STAMP_PAGE)
    if not page.strip(b"\0") or not page.strip(b"\xff"):
        return None
    body, rest = page[: _BODY.size], page[_BODY.size :]
    magic, identity, generation = _BODY.unpack(body)
    if magic != _MAGIC:
        raise LibraryMismatch("the notepad's stamp page holds something of another program")
    if _SUM.unpack_from(rest)[0] != zlib.crc32(body):
        raise LibraryMismatch("the sensor's stamp is damaged")
    return Stamp(str(uuid.UUID(bytes=identity)), generation)


def write_stamp(sensor: ZfmSensor, stamp: Stamp) -> None:
    """Overwrite the stamp page and read it back; raises LibraryMismatch if it did not hold."""
    body = _BODY.pack(_MAGIC, uuid.UUID(stamp.sensor).bytes, stamp.generation)
    sensor.write_notepad(STAMP_PAGE, body + _SUM.pack(zlib.crc32(body)))
    if read_stamp(sensor) != stamp:
        raise LibraryMismatch("the sensor did not keep its stamp")


def identify_sensor(sensor: ZfmSensor) -> Stamp:
    """The sensor's stamp; a blank module gets one, a module without a notepad a weak identity.

    Raises LibraryMismatch for a damaged or foreign stamp, which only `write_stamp` settles.
    """
    try:
        stamp = read_stamp(sensor)
    except Refused as refusal:
        if refusal.code not in _NO_NOTEPAD:
            raise
        return _weak_stamp(sensor)
    if stamp is None:
        stamp = Stamp(str(uuid.uuid4()))
        write_stamp(sensor, stamp)
    return stamp


def used_slots(sensor: ZfmSensor) -> frozenset[int]:
    """Slots that hold a template, by the sensor's own index table."""
    return frozenset(
        page * _INDEX_PAGE + bit
        for page in range(-(-sensor.capacity // _INDEX_PAGE))
        for bit, used in enumerate(sensor.getTemplateIndex(page))
        if used
    )


def slot_in_use(sensor: ZfmSensor, slot: int) -> bool:
    """Whether the sensor's index table says that `slot` holds a template."""
    page, bit = divmod(slot, _INDEX_PAGE)
    return sensor.getTemplateIndex(page)[bit]


def free_slot(
    used_in_sensor: AbstractSet[int], used_in_table: AbstractSet[int], capacity: int
) -> int:
    """The lowest slot that neither the sensor nor the records use; raises LibraryFull."""
    for slot in range(capacity):
        if slot not in used_in_sensor and slot not in used_in_table:
            return slot
    raise LibraryFull(codes.LIBRARY_FULL, f"all {capacity} slots are in use")


def _weak_stamp(sensor: ZfmSensor) -> Stamp:
    _, system, capacity, _, address, _, _ = sensor.getSystemParameters()
    return Stamp(str(uuid.uuid5(_WEAK, f"{system}/{capacity}/{address:08x}")), weak=True)
