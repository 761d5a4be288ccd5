"""What only some modules have: a ring of light, and a description of themselves."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum

from drivers.profiles import AURA_LED

_PRODUCT = struct.Struct(">16s4s8s2s8s4H")


class Effect(IntEnum):
    """What the ring does (R503 manual, AuraLedConfig)."""

    BREATHE = 1
    FLASH = 2
    ON = 3
    OFF = 4
    FADE_ON = 5
    FADE_OFF = 6


class Colour(IntEnum):
    """The ring's colour; the last four only on RGB rings."""

    RED = 1
    BLUE = 2
    PURPLE = 3
    GREEN = 4
    YELLOW = 5
    CYAN = 6
    WHITE = 7


@dataclass(frozen=True, slots=True)
class Light:
    """How the ring is to look; `speed` 0 (fast) to 255 (about 5 s), `count` 0 for ever."""

    effect: Effect = Effect.ON
    colour: Colour = Colour.BLUE
    speed: int = 0x60
    count: int = 0

    def command(self) -> bytes:
        return bytes((AURA_LED, self.effect, self.speed, self.colour, self.count))


DARK = Light(Effect.OFF)


@dataclass(frozen=True, slots=True)
class ProductInfo:
    """What a module says of itself (R503 manual, ReadProdInfo); sizes in pixels and bytes."""

    model: str
    batch: str
    serial: str
    hardware: tuple[int, int]
    sensor: str
    image: tuple[int, int]
    template_size: int
    capacity: int

    @classmethod
    def parse(cls, data: bytes) -> ProductInfo:
        """From the 46 bytes behind the confirmation code."""
        model, batch, serial, hardware, sensor, width, height, size, total = _PRODUCT.unpack(data)
        return cls(
            _text(model),
            _text(batch),
            _text(serial),
            (hardware[0], hardware[1]),
            _text(sensor),
            (width, height),
            size,
            total,
        )


def _text(field: bytes) -> str:
    """The field without its padding; a serial number that is no text in hexadecimal."""
    bare = field.strip(b"\0\xff ")
    text = bare.decode("ascii", "replace")
    return text if text.isprintable() and "\ufffd" not in text else bare.hex()
