"""What a reader tells: frozen values, emitted from its worker thread in the order they happen."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    # Only handed over, never decoded, so that nobody asks for these at run time.
    from drivers.errors import Quality, SensorError  # noqa: TC004  as the line above says


class Stage(StrEnum):
    """How far the reader has gone to get its sensor back."""

    REOPENING = "reopening"
    RESETTING = "resetting"  # reopening was not enough: it was restarted
    OUT_OF_SERVICE = "out_of_service"  # nor was that: people need another way in
    CLOSED = "closed"  # it works, but it is not the one on record: an administrator decides


class SensorUp(msgspec.Struct, frozen=True):
    """A sensor is ready; `sensor` its stamped UUID, `capacity` and `used` in templates.

    A `weak` one has no stamp: another of its model is told from it by its templates only.
    """

    sensor: str
    capacity: int
    used: int
    weak: bool = False


class SensorDown(msgspec.Struct, frozen=True):
    """There is no usable sensor; the next attempt comes in `retry_in` seconds, whatever `stage`."""

    cause: SensorError
    retry_in: float
    stage: Stage = Stage.REOPENING


class FingerDown(msgspec.Struct, frozen=True):
    """A finger was seen; its result, or SensorDown, follows."""


class Matched(msgspec.Struct, frozen=True):
    """The finger fits the template in `slot` of `sensor`; scores compare within a model only."""

    sensor: str
    slot: int
    score: int


class Repeated(msgspec.Struct, frozen=True):
    """The finger fits the template in `slot`, as it did a moment ago: once is enough."""

    sensor: str
    slot: int


class NotMatched(msgspec.Struct, frozen=True):
    """The finger was read well and fits no template, or only one in `refused`, a slot of nobody."""

    refused: int | None = None


class CaptureFailed(msgspec.Struct, frozen=True):
    """The finger could not be read."""

    quality: Quality


class FailedRepeatedly(msgspec.Struct, frozen=True):
    """So many fingers in a row were not read, or not known: offer another way in."""

    times: int


class FingerStuck(msgspec.Struct, frozen=True):
    """A finger that was read has been lying on the glass for long."""


class GlassDirty(FingerStuck, frozen=True):
    """Something that cannot be read has been on the glass for long; fingers may still work."""


class Lifted(msgspec.Struct, frozen=True):
    """The glass is free again; the next finger will be reported."""


ReaderEvent = (
    SensorUp
    | SensorDown
    | FingerDown
    | Matched
    | Repeated
    | NotMatched
    | CaptureFailed
    | FailedRepeatedly
    | FingerStuck
    | GlassDirty
    | Lifted
)
