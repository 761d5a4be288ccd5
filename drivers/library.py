"""Which sensor this is and which of its slots are in use: identity stamp and index table."""

from __future__ import annotations

import contextlib
import struct
import uuid
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from drivers import codes
from drivers.errors import LibraryFull, LibraryMismatch, Refused

if TYPE_CHECKING:
    from collections.abc import Container

    from drivers.zfm import ZfmSensor

STAMP_PAGE = 0
# Written second: a power cut in the middle of one page leaves the other whole.
COPY_PAGE = 1
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
    """The stamp in the notepad, or its copy if the first page is blank or damaged; None without.

    Raises LibraryMismatch if the page holds something else or both are damaged, Refused if the
    module has no notepad, or any other SensorError.
    """
    try:
        if (stamp := _stamp_on(sensor, STAMP_PAGE)) is not None:
            return stamp
        damaged = None
    except _DamagedStamp as error:
        damaged = error
    with contextlib.suppress(LibraryMismatch, Refused):
        if (stamp := _stamp_on(sensor, COPY_PAGE)) is not None:
            return stamp
    if damaged is not None:
        raise damaged
    return None


def write_stamp(sensor: ZfmSensor, stamp: Stamp) -> None:
    """Overwrite the stamp and its copy, each read back; raises LibraryMismatch if one is lost."""
    body = _BODY.pack(_MAGIC, uuid.UUID(stamp.sensor).bytes, stamp.generation)
    page = body + _SUM.pack(zlib.crc32(body))
    _write_page(sensor, STAMP_PAGE, page)
    try:
        _write_page(sensor, COPY_PAGE, page)
    except Refused as refusal:
        if refusal.code not in _NO_NOTEPAD:
            raise


def clear_stamp(sensor: ZfmSensor) -> None:
    """Make the module blank again, copy first; raises LibraryMismatch if it stays, or Refused."""
    for page in (COPY_PAGE, STAMP_PAGE):
        _write_page(sensor, page, b"")


def look_at(sensor: ZfmSensor) -> Stamp | None:
    """As `read_stamp`, but a module without a notepad has a weak identity; writes nothing."""
    try:
        return read_stamp(sensor)
    except Refused as refusal:
        if refusal.code not in _NO_NOTEPAD:
            raise
        return _weak_stamp(sensor)


def identify_sensor(sensor: ZfmSensor) -> Stamp:
    """The sensor's stamp; a blank module gets one, a module without a notepad a weak identity.

    Raises LibraryMismatch for a damaged or foreign stamp, which only `write_stamp` settles.
    """
    stamp = look_at(sensor)
    if stamp is None:
        stamp = fresh_stamp()
        write_stamp(sensor, stamp)
    return stamp


def fresh_stamp() -> Stamp:
    """An identity that no sensor has yet."""
    return Stamp(str(uuid.uuid4()))


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
    return sensor.holds(slot)


def free_slot(used_in_sensor: Container[int], used_in_table: Container[int], capacity: int) -> int:
    """The lowest slot that neither the sensor nor the records use; raises LibraryFull."""
    for slot in range(capacity):
        if slot not in used_in_sensor and slot not in used_in_table:
            return slot
    raise LibraryFull(codes.LIBRARY_FULL, f"all {capacity} slots are in use")


class _DamagedStamp(LibraryMismatch):
    pass


def _stamp_on(sensor: ZfmSensor, number: int) -> Stamp | None:
    page = sensor.read_notepad(number)
    if not page.strip(b"\0") or not page.strip(b"\xff"):
        return None
    body, rest = page[: _BODY.size], page[_BODY.size :]
    magic, identity, generation = _BODY.unpack(body)
    if magic != _MAGIC:
        raise LibraryMismatch("the notepad's stamp page holds something of another program")
    if _SUM.unpack_from(rest)[0] != zlib.crc32(body):
        raise _DamagedStamp("the sensor's stamp is damaged")
    return Stamp(str(uuid.UUID(bytes=identity)), generation)


def _write_page(sensor: ZfmSensor, number: int, data: bytes) -> None:
    sensor.write_notepad(number, data)
    if sensor.read_notepad(number).rstrip(b"\0") != data.rstrip(b"\0"):
        raise LibraryMismatch("the sensor did not keep its stamp")


def _weak_stamp(sensor: ZfmSensor) -> Stamp:
    _, system, capacity, _, address, _, _ = sensor.getSystemParameters()
    return Stamp(str(uuid.uuid5(_WEAK, f"{system}/{capacity}/{address:08x}")), weak=True)
