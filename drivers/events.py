"""What a reader tells: frozen values, emitted from its worker thread in the order they happen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from drivers.errors import Quality, SensorError


@dataclass(frozen=True, slots=True)
class SensorUp:
    """A sensor is ready; `sensor` its stamped UUID, `capacity` and `used` in templates."""

    sensor: str
    capacity: int
    used: int


@dataclass(frozen=True, slots=True)
class SensorDown:
    """There is no usable sensor; the next attempt comes in `retry_in` seconds."""

    cause: SensorError
    retry_in: float


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
class NotMatched:
    """The finger was read well and fits no template."""


@dataclass(frozen=True, slots=True)
class CaptureFailed:
    """The finger could not be read."""

    quality: Quality


@dataclass(frozen=True, slots=True)
class FingerStuck:
    """Something has been lying on the glass for long: a forgotten finger, or dirt."""


@dataclass(frozen=True, slots=True)
class Lifted:
    """The glass is free again; the next finger will be reported."""


ReaderEvent = (
    SensorUp | SensorDown | FingerDown | Matched | NotMatched | CaptureFailed | FingerStuck | Lifted
)
