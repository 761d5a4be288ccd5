"""What a reader tells: frozen values, emitted from its worker thread in the order they happen."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from drivers.errors import Quality, SensorError


class Stage(StrEnum):
    """How far the reader has gone to get its sensor back."""

    REOPENING = "reopening"
    RESETTING = "resetting"  # reopening was not enough: it was restarted
    OUT_OF_SERVICE = "out_of_service"  # nor was that: people need another way in
    CLOSED = "closed"  # it works, but it is not the one on record: an administrator decides


@dataclass(frozen=True, slots=True)
class SensorUp:
    """A sensor is ready; `sensor` its stamped UUID, `capacity` and `used` in templates.

    A `weak` one has no stamp: another of its model is told from it by its templates only.
    """

    sensor: str
    capacity: int
    used: int
    weak: bool = False


@dataclass(frozen=True, slots=True)
class SensorDown:
    """There is no usable sensor; the next attempt comes in `retry_in` seconds, whatever `stage`."""

    cause: SensorError
    retry_in: float
    stage: Stage = Stage.REOPENING


@dataclass(frozen=True, slots=True)
class FingerDown:
    """A finger was seen; its result, or SensorDown, follows."""


@dataclass(frozen=True, slots=True)
class Matched:
    """The finger fits the template in `slot` of `sensor`; scores compare within a model only."""

    sensor: str
    slot: int
    score: int


@dataclass(frozen=True, slots=True)
class Repeated:
    """The finger fits the template in `slot`, as it did a moment ago: once is enough."""

    sensor: str
    slot: int


@dataclass(frozen=True, slots=True)
class NotMatched:
    """The finger was read well and fits no template, or only one in `refused`, a slot of nobody."""

    refused: int | None = None


@dataclass(frozen=True, slots=True)
class CaptureFailed:
    """The finger could not be read."""

    quality: Quality


@dataclass(frozen=True, slots=True)
class FailedRepeatedly:
    """So many fingers in a row were not read, or not known: offer another way in."""

    times: int


@dataclass(frozen=True, slots=True)
class FingerStuck:
    """A finger that was read has been lying on the glass for long."""


@dataclass(frozen=True, slots=True)
class GlassDirty(FingerStuck):
    """Something that cannot be read has been on the glass for long; fingers may still work."""


@dataclass(frozen=True, slots=True)
class Lifted:
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
