"""Enrolment: two placements make a template, a third one proves that it is found again."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from drivers import codes
from drivers.errors import (
    AlreadyEnrolled,
    EnrolmentTimeout,
    EnrolmentUnverified,
    EnrolMismatch,
    FlashError,
    ImageQuality,
    ProtocolError,
    ResponseTimeout,
    SensorError,
    SlotInUse,
    SlotOutOfRange,
)
from drivers.library import slot_in_use

if TYPE_CHECKING:
    from collections.abc import Callable

    from drivers.zfm import ZfmSensor

_LOG = logging.getLogger(__name__)
_LOOKS = 2


class Step(StrEnum):
    """What to tell the person at the reader; the last five say what was wrong just now."""

    PLACE = "place"
    LIFT = "lift"
    PLACE_AGAIN = "place_again"
    VERIFY = "verify"
    DRY = "dry"
    WET = "wet"
    SMUDGED = "smudged"
    PARTIAL = "partial"
    LIFTED = "lifted"


@dataclass(frozen=True, slots=True)
class Enrolled:
    """The template is in `slot`, and the last placement found it there with `score`."""

    slot: int
    score: int


@dataclass(frozen=True, slots=True)
class EnrolmentTiming:
    """Seconds, but for the counts; `tries` bad images per placement end the enrolment."""

    poll: float = 0.04
    patience: float = 30.0
    lift_polls: int = 3
    lift_seconds: float = 0.15
    tries: int = 3


_TIMING = EnrolmentTiming()


def enrol_finger(
    sensor: ZfmSensor,
    slot: int,
    prompt: Callable[[Step], None],
    timing: EnrolmentTiming = _TIMING,
) -> Enrolled:
    """Enrol one finger into the free `slot`, telling `prompt` what the person must do next.

    Blocks until it is done; `prompt` is called on the calling thread, and may raise to give up.
    Raises SlotOutOfRange, SlotInUse, AlreadyEnrolled, EnrolMismatch (two fingers), FlashError,
    EnrolmentUnverified, EnrolmentTimeout, the last ImageQuality after `tries` bad images, or any
    transport or protocol error. Whatever it raises, a free `slot` is free again, unless the sensor
    itself was lost: then the slot must be looked at when it is back.
    """
    if not 0 <= slot < sensor.capacity:
        raise SlotOutOfRange(codes.OUT_OF_RANGE, f"slot {slot} of {sensor.capacity}")
    if slot_in_use(sensor, slot):
        raise SlotInUse(slot)
    placements = _Placements(sensor, prompt, timing)
    placements.take(Step.PLACE, 1)
    # Straight after the first image: some modules lose its features with the next one.
    if (known := sensor.find()) is not None:
        raise AlreadyEnrolled(*known)
    placements.lift()
    placements.take(Step.PLACE_AGAIN, 2)
    if not sensor.createTemplate():
        raise EnrolMismatch(codes.MERGE_FAILED, "the two placements do not belong together")
    try:
        _store(sensor, slot)
        placements.lift()
        placements.take(Step.VERIFY, 1)
        return _verified(sensor, slot)
    except BaseException:
        _undo(sensor, slot)
        raise


def _store(sensor: ZfmSensor, slot: int) -> None:
    sensor.storeTemplate(slot)
    if not slot_in_use(sensor, slot):
        raise FlashError(codes.FLASH_ERROR, f"slot {slot} is empty after Store")


def _verified(sensor: ZfmSensor, slot: int) -> Enrolled:
    found = sensor.find()
    if found is None or found[0] != slot:
        where = "nowhere" if found is None else f"in slot {found[0]}"
        raise EnrolmentUnverified(f"stored in slot {slot}, found again {where}")
    return Enrolled(*found)


def _undo(sensor: ZfmSensor, slot: int) -> None:
    try:
        sensor.deleteTemplate(slot)
        if slot_in_use(sensor, slot):
            _LOG.error("slot %d still holds a template that was to be deleted", slot)
    except SensorError as error:
        _LOG.warning("slot %d may hold an unfinished enrolment: %s", slot, error)


class _Placements:
    """Gets the finger on and off the glass, with patience and a limit to bad images."""

    def __init__(
        self, sensor: ZfmSensor, prompt: Callable[[Step], None], timing: EnrolmentTiming
    ) -> None:
        self._sensor = sensor
        self._prompt = prompt
        self._timing = timing

    def take(self, step: Step, buffer: int) -> None:
        """One good image's features in character buffer `buffer`."""
        for left in reversed(range(self._timing.tries)):
            self._prompt(step)
            self._wait_for_finger()
            try:
                self._sensor.convertImage(buffer)
            except ImageQuality as bad:
                if not left:
                    raise
                self._prompt(Step(bad.quality))
                self._wait_for_lift()
            else:
                return

    def lift(self) -> None:
        """Ask for the finger to be lifted, and wait until it is."""
        self._prompt(Step.LIFT)
        self._wait_for_lift()

    def _wait_for_lift(self) -> None:
        timing, misses, since = self._timing, 0, 0.0
        deadline = time.monotonic() + timing.patience
        while misses < timing.lift_polls or time.monotonic() - since < timing.lift_seconds:
            if self._finger(unclear=True):
                misses = 0
            else:
                since = since if misses else time.monotonic()
                misses += 1
            self._pause(deadline)

    def _wait_for_finger(self) -> None:
        deadline = time.monotonic() + self._timing.patience
        while not self._finger(unclear=False):
            self._pause(deadline)

    def _finger(self, *, unclear: bool) -> bool:
        """Whether a finger is there; `unclear` if the module got no image of what it saw.

        One lost answer costs one look, not the enrolment: the next one gets into step again.
        """
        for left in reversed(range(_LOOKS)):
            try:
                return self._sensor.readImage()
            except ImageQuality:
                return unclear
            except (ResponseTimeout, ProtocolError) as error:
                if not left:
                    raise
                _LOG.warning("one look at the finger was lost: %s", error)
        return unclear

    def _pause(self, deadline: float) -> None:
        if time.monotonic() >= deadline:
            raise EnrolmentTimeout
        time.sleep(self._timing.poll)
