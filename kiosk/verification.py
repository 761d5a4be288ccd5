"""Claim and 1:1 verification, for more people than a sensor holds.

Somebody says who they are, by code or badge; one finger is captured and compared with that
person's kept template alone. The template is in the sensor's buffer for that moment and in no
slot, so there may be any number of people, and the false match rate does not grow with them.
"""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from drivers.errors import Cancelled, ImageQuality, LibraryFull, SensorError
from drivers.library import free_slot, used_slots
from drivers.slots import Entry, SlotState
from drivers.templates import verify_one
from kiosk.provision import format_for, same_format
from kiosk.templates import NoTemplateError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from drivers.errors import Quality
    from drivers.slots import SlotTable
    from drivers.templates import Template
    from drivers.zfm import ZfmSensor
    from kiosk.templates import TemplateStore

# Some modules of these models refuse in Match the very finger that Search accepts.
_DOUBTED = ("r503",)


class Verdict(StrEnum):
    """What came of a claim."""

    MATCHED = "matched"
    NOT_MATCHED = "not_matched"
    OF_BEFORE = "of_before"  # not theirs, but that of somebody who was there just before
    UNREADABLE = "unreadable"  # a finger was there, and no image of it was good enough
    NO_FINGER = "no_finger"  # nobody placed one in time


@dataclass(frozen=True, slots=True)
class Verified:
    """The verdict; `score` if it matched, `quality` (of the last image) if it was unreadable."""

    verdict: Verdict
    score: int | None = None
    quality: Quality | None = None


@dataclass(frozen=True, slots=True)
class VerificationTiming:
    """Seconds, but for `tries`: so many bad images make a finger unreadable."""

    poll: float = 0.04
    patience: float = 10.0
    tries: int = 3


_TIMING = VerificationTiming()


def claim(  # noqa: PLR0913  what one look needs
    sensor: ZfmSensor,
    table: SlotTable,
    templates: TemplateStore,
    person: str,
    timing: VerificationTiming = _TIMING,
    ready: Callable[[], None] = lambda: None,
    given_up: threading.Event | None = None,
    seen: Callable[[bool], None] = lambda _: None,
    *,
    before: Collection[str] = (),
) -> Verified:
    """Capture one finger and hold it against the kept templates of `person`, and no others.

    Blocks, on the sensor's thread, until there is a verdict; `ready` is called when a finger may be
    placed, `seen` with True as soon as one lies there, with False if it goes and is still wanted;
    what they raise ends it. Set from any thread, `given_up` ends the waiting for a finger with
    Cancelled, between two exchanges, so that the line stays in step. A finger that is not theirs is
    held against those of `before` too, who may still have theirs there. Raises `NoTemplateError`
    before all that if none is kept that fits this sensor, `VaultError` if it cannot be opened,
    SensorError.
    """
    given_up = given_up or threading.Event()
    format_ = format_for(sensor)

    def fitting(who: str) -> list[Template]:
        return [t for one, t in templates.of(who) if same_format(format_, one.label.format)]

    kept = fitting(person)
    if not kept:
        raise NoTemplateError(f"no template of {person} is kept for a {format_}")
    ready()
    unread = _capture(sensor, timing, given_up, _Changes(seen))
    found = unread or _compare(sensor, kept, table)
    if found.verdict is Verdict.NOT_MATCHED:
        theirs = [template for who in before for template in fitting(who)]
        if _compare(sensor, theirs, table).verdict is Verdict.MATCHED:
            return Verified(Verdict.OF_BEFORE)
    return found


def verify(sensor: ZfmSensor, template: Template, table: SlotTable | None = None) -> int | None:
    """1:1: the comparison score of `template` with the features in CharBuffer1, None if strange.

    Where Match is known to refuse what Search accepts, a refusal is looked at again: the template
    goes into a scratch slot for the moment. The slot is on record in `table` (without one there is
    no second look) before anything is stored, names nobody, and is cleared whatever happens, after
    a crash by the next start. Raises TemplateFormatMismatch or another SensorError.
    """
    score = verify_one(sensor, template)
    if score is not None or table is None or not sensor.model.startswith(_DOUBTED):
        return score
    with contextlib.suppress(LibraryFull), _scratch(sensor, table, template) as slot:
        return verify_one(sensor, template, slot)
    return None


def _compare(sensor: ZfmSensor, kept: Sequence[Template], table: SlotTable) -> Verified:
    for template in kept:
        if (score := verify(sensor, template, table)) is not None:
            return Verified(Verdict.MATCHED, score)
    return Verified(Verdict.NOT_MATCHED)


class _Changes:
    """Passes on what is another than before; nothing lies on the glass at first."""

    def __init__(self, tell: Callable[[bool], None]) -> None:
        self._tell = tell
        self._last = False

    def __call__(self, now: bool) -> None:  # noqa: FBT001 - a fact, not a switch
        if now != self._last:
            self._last = now
            self._tell(now)


def _capture(
    sensor: ZfmSensor,
    timing: VerificationTiming,
    given_up: threading.Event,
    seen: Callable[[bool], None],
) -> Verified | None:
    """Features of one finger in CharBuffer1, or why there are none."""
    deadline = time.monotonic() + timing.patience
    bad: Quality | None = None
    tries = timing.tries
    while tries and time.monotonic() < deadline:
        if given_up.is_set():
            raise Cancelled("the verification was given up before a finger was read")
        try:
            there = sensor.readImage()
            seen(there)
            if there:
                sensor.convertImage(1)
                return None
        except ImageQuality as error:
            seen(True)  # noqa: FBT003 - the one thing that it takes
            bad = error.quality
            tries -= 1
        given_up.wait(timing.poll)
    return Verified(Verdict.UNREADABLE, quality=bad) if bad else Verified(Verdict.NO_FINGER)


@contextlib.contextmanager
def _scratch(sensor: ZfmSensor, table: SlotTable, template: Template) -> Iterator[int]:
    """A free slot that is on record as one to be emptied, until it is seen to be empty."""
    if (bound := table.binding()) is None:
        raise LibraryFull(0, "no sensor is bound, so no slot can be reserved")
    slot = free_slot(used_slots(sensor), table.entries(bound.sensor), sensor.capacity)
    table.put(bound.sensor, Entry(slot, SlotState.PENDING_DELETE, "", template.digest))
    try:
        yield slot
    finally:
        # If the sensor is lost, or holds on to it, the entry stays, and the next start settles it.
        with contextlib.suppress(SensorError):
            if not sensor.holds(slot):
                table.drop(bound.sensor, slot)
