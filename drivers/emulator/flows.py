"""What some modules do all by themselves, from the finger to the answer.

AutoEnroll and AutoIdentify (R503 manual V1.2.2, 0x31 and 0x32) take many looks at the glass and
acknowledge each step; GR_Enroll and GR_Identify (AS608 manual, 0x10 and 0x11) take one look and
answer once. Where a manual leaves a case open, the choice is named beside it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from drivers import codes as c
from drivers import profiles as p
from drivers.emulator.instructions import CORE, gen_image, search
from drivers.emulator.memory import Light
from drivers.emulator.reply import Answer

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from drivers.emulator.module import Module

    Steps = Generator[Answer | None, float, Answer]
    Wait = Generator[Answer | None, float, float]

_IMAGES = 6
_COLLECTED, _CONVERTED, _SEARCHED = 1, 2, 3
_REPEATED, _MERGED, _STORED = 0x0D, 0x0E, 0x0F
# From this ID on, AutoEnroll looks for a free place itself.
_ANYWHERE = 0xC8
_FOR_EVER = 0xFF
_LEVELS = range(1, 6)
_BREATHES, _FLASHES, _SHINES = 1, 2, 3
_RED, _BLUE, _GREEN, _YELLOW, _WHITE = 1, 2, 4, 5, 7


class Flow:
    """One flow that is under way. It has no clock: whoever calls `advance` says what time it is."""

    def __init__(self, instruction: int, steps: Steps, *, told: bool) -> None:
        self.instruction = instruction
        self.over = False
        self._steps = steps
        self._told = told
        next(steps)

    def advance(self, now: float) -> Answer | None:
        """What it has to say now, if anything; seconds of thought may come without a word."""
        try:
            answer = self._steps.send(now)
        except StopIteration as end:
            self.over = True
            return end.value  # type: ignore[no-any-return]  # what a generator returns is untyped
        if answer is None or self._told:
            return answer
        return Answer(busy=answer.busy, silent=True)


class _Ended(Exception):  # noqa: N818 - ends a flow, never leaves this module
    def __init__(self, code: int, step: int) -> None:
        self.code = code
        self.step = step


# -- R503 ------------------------------------------------------------------------------------------


def _auto_enroll(module: Module, params: bytes) -> Answer:
    return Answer(flow=Flow(p.AUTO_ENROLL, _enroll(module, params), told=bool(params[3])))


def _enroll(module: Module, params: bytes) -> Steps:
    """Six images, six feature files, the check for a finger known already, merge, store."""
    where, cover, twice, _, leave = params[:5]
    now = yield None
    try:
        slot = _place_for(module, where, cover=bool(cover))
        for number in range(1, _IMAGES + 1):
            if leave and number > 1:
                _shine(module, _FLASHES, _WHITE)
                now = yield from _until(module, now, 2 * number - 1, finger=False)
            _shine(module, _FLASHES, _BLUE)
            now = yield from _until(module, now, 2 * number - 1, finger=True)
            now = yield _step(_look(module), 2 * number - 1, 0)
            now = yield _step(_read(module, number), 2 * number, 0)
        yield _seen_before(module, allowed=bool(twice))
        yield _step(_obey(module, p.REG_MODEL), _MERGED, 0)
        done = _obey(module, p.STORE, b"\x01" + _words(slot))
        # The manual has no code of its own for a flash that cannot be written.
        done = done if done.code == c.OK else Answer(c.PACKET_ERROR)
        _shine(module, _SHINES, _GREEN)
        return _step(done, _STORED, slot)
    except _Ended as end:
        _shine(module, _SHINES, _RED)
        return Answer(end.code, bytes((end.step, 0)))


def _seen_before(module: Module, *, allowed: bool) -> Answer:
    probe = bytes((module.ram.latest,)) + _words(0, module.profile.capacity)
    known = search(module, probe)
    if known.code == c.OK and not allowed:
        raise _Ended(c.ALREADY_EXISTS, _REPEATED)
    return Answer(data=bytes((_REPEATED, 0)), busy=known.busy)


def _place_for(module: Module, where: int, *, cover: bool) -> int:
    """Left open: at which step a place that cannot be used is told; here before the first image."""
    capacity, library = module.profile.capacity, module.flash.library
    if where >= _ANYWHERE:
        free = next((slot for slot in range(min(capacity, 256)) if slot not in library), None)
        if free is None:
            raise _Ended(c.LIBRARY_FULL, 0)
        return free
    if where >= capacity:
        raise _Ended(c.OUT_OF_RANGE, 0)
    if where in library and not cover:
        # The manual calls it "template is empty", modules of the same maker "is not empty".
        raise _Ended(c.TEMPLATE_EMPTY, 0)
    return where


def _auto_identify(module: Module, params: bytes) -> Answer:
    return Answer(flow=Flow(p.AUTO_IDENTIFY, _identify(module, params), told=bool(params[3])))


def _identify(module: Module, params: bytes) -> Steps:
    """Image, features, search; after an error once more, as often as the host allows (FF: always).

    Left open: whether a finger that was not found must be lifted before it is looked at again; here
    it must.
    """
    level, start, count, _, times = params[:5]
    now, errors = (yield None), 0
    try:
        _check_range(module, level, start, count)
        while True:
            _shine(module, _BREATHES, _WHITE)
            now = yield from _until(module, now, _COLLECTED, finger=True)
            found = yield from _look_and_search(module, start, count)
            if found.code == c.OK:
                _shine(module, _SHINES, _GREEN)
                return found
            errors += 1
            _shine(module, _SHINES, _RED)
            if times != _FOR_EVER and errors >= max(1, times):
                return found
            now = yield found
            now = yield from _until(module, now, _COLLECTED, finger=False)
    except _Ended as end:
        _shine(module, _SHINES, _RED)
        return Answer(end.code, bytes((end.step, *bytes(4))))


def _check_range(module: Module, level: int, start: int, count: int) -> None:
    library = module.flash.library
    if level not in _LEVELS:
        raise _Ended(c.PACKET_ERROR, 0)
    if start >= module.profile.capacity:
        raise _Ended(c.OUT_OF_RANGE, 0)
    if not library:
        raise _Ended(c.LIBRARY_EMPTY, 0)
    if count == 1 and start not in library:
        raise _Ended(c.TEMPLATE_EMPTY, 0)


def _look_and_search(module: Module, start: int, count: int) -> Generator[Answer, float, Answer]:
    """The answer to one finger; its first two steps are told on the way."""
    nothing = bytes(4)
    image = _look(module)
    yield Answer(image.code, bytes((_COLLECTED,)) + nothing, busy=image.busy)
    features = _obey(module, p.IMAGE_TO_TEMPLATE, b"\x01")
    if features.code != c.OK:
        code = c.TOO_FEW_FEATURES
        return Answer(code, bytes((_CONVERTED,)) + nothing, busy=features.busy)
    yield Answer(data=bytes((_CONVERTED,)) + nothing, busy=features.busy)
    found = search(module, b"\x01" + _words(start, count))
    return Answer(found.code, bytes((_SEARCHED,)) + found.data, busy=found.busy)


def _cancel(module: Module, _: bytes) -> Answer:
    """Ends a flow without another word from it; without one there is nothing to end."""
    module.ram.flow = None
    return Answer()


def _until(module: Module, now: float, step: int, *, finger: bool) -> Wait:
    """The time at which a finger is there, or gone; raises _Ended if that takes too long."""
    deadline = now + module.profile.timing.patience
    while (module.glass.look() is not None) is not finger:
        if now >= deadline:
            raise _Ended(c.TIMED_OUT, step)
        now = yield None
    return now


def _look(module: Module) -> Answer:
    image = gen_image(module, b"")
    _shine(module, _SHINES, _YELLOW)
    return image


def _read(module: Module, number: int) -> Answer:
    features = _obey(module, p.IMAGE_TO_TEMPLATE, bytes((number,)))
    _shine(module, _FLASHES, _GREEN)
    return features


def _step(done: Answer, step: int, place: int) -> Answer:
    """The acknowledgement of one step that went well; raises _Ended with the flow's own code."""
    if done.code != c.OK:
        raise _Ended(_ENROLL_CODES.get(step, c.TOO_FEW_FEATURES), step)
    return Answer(data=bytes((step, place & 0xFF)), busy=done.busy)


def _shine(module: Module, control: int, colour: int) -> None:
    module.ram.light = Light(control, 0, colour, 0)


# What AutoEnroll says of a step that failed; features that cannot be read are 07.
_ENROLL_CODES = {
    **dict.fromkeys(range(1, 2 * _IMAGES, 2), c.PACKET_ERROR),
    _MERGED: c.MERGE_FAILED,
    _STORED: c.PACKET_ERROR,
}


# -- AS608 -----------------------------------------------------------------------------------------


def _gr_enroll(module: Module, _: bytes) -> Answer:
    """One image into the first free slot; the page behind the code. Whatever fails is 1E."""
    free = (n for n in range(module.profile.capacity) if n not in module.flash.library)
    if (slot := next(free, None)) is None:
        return Answer(c.LIBRARY_FULL, bytes(2))
    busy = 0.0
    steps = (p.GEN_IMAGE, b""), (p.IMAGE_TO_TEMPLATE, b"\x01"), (p.STORE, b"\x01" + _words(slot))
    for instruction, params in steps:
        done = _obey(module, instruction, params)
        busy += done.busy
        if done.code != c.OK:
            return Answer(c.ENROL_FAILED, bytes(2), busy=busy)
    return Answer(data=_words(slot), busy=busy)


def _gr_identify(module: Module, _: bytes) -> Answer:
    """One image, searched for in the whole library: page and score behind the code.

    Left open: what an image that cannot be used gets; here the code that Img2Tz has for it.
    """
    image = gen_image(module, b"")
    if image.code != c.OK:
        return Answer(image.code, bytes(4), busy=image.busy)
    features = _obey(module, p.IMAGE_TO_TEMPLATE, b"\x01")
    busy = image.busy + features.busy
    if features.code != c.OK:
        return Answer(features.code, bytes(4), busy=busy)
    found = search(module, b"\x01" + _words(0, module.profile.capacity))
    return Answer(found.code, found.data, busy=busy + found.busy)


def _obey(module: Module, instruction: int, params: bytes = b"") -> Answer:
    return CORE[instruction][1](module, params)


def _words(*values: int) -> bytes:
    return b"".join(value.to_bytes(2, "big") for value in values)


# Instruction code -> bytes of parameters needed, and who obeys.
FLOWS: dict[int, tuple[int, Callable[[Module, bytes], Answer]]] = {
    p.GR_ENROLL: (0, _gr_enroll),
    p.GR_IDENTIFY: (0, _gr_identify),
    p.CANCEL: (0, _cancel),
    p.AUTO_ENROLL: (5, _auto_enroll),
    p.AUTO_IDENTIFY: (5, _auto_identify),
}
