"""Artificial fingerprint images: ridges along an orientation field, with minutiae, from a name.

No image shows a person's finger. The phase of the ridges is the distance to a core (a point, a
short segment or a half-line: whorls and loops) or the height over a swell (arches), bent by slow
waves; each minutia turns it once around itself, so that a ridge ends or forks there
(frequency-modulated ridge model, Larkin and Fletcher, Optics Express 15, 2007).
"""

from __future__ import annotations

import cmath
import functools
import math
import random
from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING

from drivers.emulator.fingers import LABEL, Quality

if TYPE_CHECKING:
    from collections.abc import Callable

_QUALITIES = tuple(Quality)
_IDENTITY = slice(len(LABEL), len(LABEL) + 16)
_QUALITY_AT = _IDENTITY.stop
_WHITE = 15
# The field is worked out on every second pixel of every second row; a ridge is 8 pixels or more.
_STEP = 2
_MINUTIAE = (24, 40)


def image(identity: bytes | None, quality: Quality, size: tuple[int, int]) -> bytes:
    """The picture as it goes over the wire: two 4-bit pixels to a byte, row by row, 15 is white.

    Always the same for the same input. The first bytes of the first row are not ridges but a
    label, the identity and the quality, so that an image sent back to a module is still the same
    finger. Nobody's image (None) is an empty glass.
    """
    width, height = size
    if identity is None:
        return bytes((_WHITE << 4 | _WHITE,)) * (width * height // 2)
    head = LABEL + identity + bytes((_QUALITIES.index(quality),))
    return head + _picture(identity, quality, width, height)[len(head) :]


def signature(pixels: bytes) -> tuple[bytes | None, Quality]:
    """Whose image this is and how good, by its label; nobody's for any other image."""
    if not pixels.startswith(LABEL) or len(pixels) <= _QUALITY_AT:
        return None, Quality.GOOD
    return pixels[_IDENTITY], _QUALITIES[pixels[_QUALITY_AT] % len(_QUALITIES)]


@dataclass(frozen=True, slots=True)
class _Look:
    """What a quality does to ridges: their width, contrast, gaps, and how much of them is there."""

    bias: float = 0.0
    contrast: float = 1.0
    gaps: float = 0.0
    reach: float = 1.0


_LOOKS = {
    Quality.GOOD: _Look(),
    Quality.DRY: _Look(bias=0.45, gaps=0.35),
    Quality.WET: _Look(bias=-0.7),
    Quality.PARTIAL: _Look(reach=0.45),
    Quality.SMUDGED: _Look(contrast=0.3),
}


@functools.lru_cache(maxsize=16)
def _picture(identity: bytes, quality: Quality, width: int, height: int) -> bytes:
    dice = random.Random(identity)  # noqa: S311 - the same finger has the same ridges
    distance = _distance(dice, width, height)
    turns = _minutiae(dice, width, height)
    pitch = 2 * math.pi / dice.uniform(8.0, 10.0)
    look = _LOOKS[quality]
    rows = [
        _row(y, width, height, lambda z: pitch * distance(z) + turns(z), look)
        for y in range(0, height + _STEP, _STEP)
    ]
    packed = bytearray()
    for y in range(height):
        above, below = rows[y // _STEP], rows[y // _STEP + y % _STEP]
        packed += _pack(above, below, width, dice, look)
    return bytes(packed)


def _row(
    y: int, width: int, height: int, phase: Callable[[complex], float], look: _Look
) -> array[float]:
    """Blackness, -1 to 1, at every second pixel; -1 outside the finger's outline."""
    values = array("d")
    for x in range(0, width + 2 * _STEP, _STEP):
        inside = math.hypot((x / width - 0.5) / 0.47, (y / height - 0.5) / 0.49 / look.reach)
        if inside >= 1:
            values.append(-1.0)
            continue
        edge = min(1.0, 8 * (1 - inside))
        wave = math.cos(phase(complex(x, y))) * look.contrast - look.bias
        values.append(max(-1.0, min(1.0, wave)) * edge - (1 - edge))
    return values


def _pack(
    above: array[float], below: array[float], width: int, dice: random.Random, look: _Look
) -> bytes:
    """One row of pixels between two rows of the field, with the grain of a real sensor."""
    grain, packed = dice.random, bytearray()
    for at in range(width // _STEP):
        here, beyond = above[at] + below[at], above[at + 1] + below[at + 1]
        byte = 0
        for value in (here / 2, (here + beyond) / 4):
            dark = -1.0 if look.gaps and grain() < look.gaps else value
            level = int((1 - dark) * 7 + grain() * 2)
            byte = byte << 4 | min(level, _WHITE)
        packed.append(byte)
    return bytes(packed)


def _distance(dice: random.Random, width: int, height: int) -> Callable[[complex], float]:
    """The field whose level lines the ridges follow: arch, loop or whorl, as the finger has it."""
    core = complex(width * dice.uniform(0.42, 0.58), height * dice.uniform(0.38, 0.5))
    bend = _bend(dice, width)
    kind = dice.choices(("loop", "whorl", "arch"), (60, 30, 10))[0]
    if kind == "arch":
        swell, spread = height * dice.uniform(0.1, 0.2), width * dice.uniform(0.2, 0.3)

        def over_swell(z: complex) -> float:
            z = bend(z) - core
            return z.imag + swell * math.exp(-((z.real / spread) ** 2))

        return over_swell
    lean = cmath.rect(1, dice.choice((-1, 1)) * dice.uniform(0.3, 0.7))
    length = math.inf if kind == "loop" else height * dice.uniform(0.02, 0.12)
    flat = dice.uniform(0.75, 0.95)

    def from_core(z: complex) -> float:
        z = (bend(z) - core) * lean
        along = min(max(z.imag, 0.0), length)
        return math.hypot(z.real, (z.imag - along) * flat)

    return from_core


def _bend(dice: random.Random, width: int) -> Callable[[complex], complex]:
    """Slow waves, as skin has them: the plane, shifted by a few pixels here and there."""
    waves = [
        (dice.uniform(0.5, 1.5) * 2 * math.pi / width, dice.uniform(0, 6.28), dice.uniform(3, 7))
        for _ in range(2)
    ]
    (f1, p1, a1), (f2, p2, a2) = waves

    def bend(z: complex) -> complex:
        return z + complex(a1 * math.sin(f1 * z.imag + p1), a2 * math.sin(f2 * z.real + p2))

    return bend


def _minutiae(dice: random.Random, width: int, height: int) -> Callable[[complex], float]:
    """The phase that minutiae add; as many turn one way as the other, so far away they cancel."""
    pairs = [
        (_spot(dice, width, height), _spot(dice, width, height))
        for _ in range(dice.randint(*_MINUTIAE) // 2)
    ]

    def turns(z: complex) -> float:
        product = 1 + 0j
        for one, other in pairs:
            product *= (z - one) * (z - other).conjugate()
            product /= abs(product) or 1.0
        return cmath.phase(product)

    return turns


def _spot(dice: random.Random, width: int, height: int) -> complex:
    # Between the pixels, where no phase is asked for.
    return complex(dice.uniform(0.15, 0.85) * width + 0.37, dice.uniform(0.1, 0.9) * height + 0.37)
