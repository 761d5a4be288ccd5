"""What a module remembers: flash that survives a power cycle, and RAM that does not."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from drivers.emulator.fingers import Quality
from drivers.packets import DEFAULT_ADDRESS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from drivers.emulator.flows import Flow


class Part(StrEnum):
    """What can be broken in a module."""

    FLASH = "flash"  # nothing can be written any more
    SENSOR = "sensor"  # no image can be taken any more


@dataclass(slots=True)
class Flash:
    """What survives a power cycle; `library` and `notepad` by slot and page.

    `serial` is the eight characters of ReadProdInfo; `revision` counts the writes.
    """

    address: int = DEFAULT_ADDRESS
    password: int = 0
    security_level: int = 3
    packet_code: int = 2
    baud_code: int = 6
    serial: bytes = b"00000000"
    library: dict[int, bytes] = field(default_factory=dict)
    notepad: dict[int, bytes] = field(default_factory=dict)
    revision: int = 0

    @property
    def baudrate(self) -> int:
        return 9600 * self.baud_code

    def configure(self, name: str, value: int) -> None:
        """Set one of the parameters above by its name."""
        setattr(self, name, value)
        self.revision += 1

    def store(self, slot: int, template: bytes) -> None:
        """Write a template, over another if there is one."""
        self.library[slot] = template
        self.revision += 1

    def erase(self, slots: Iterable[int]) -> None:
        """Free the slots; those that are free already are no error."""
        for slot in slots:
            self.library.pop(slot, None)
        self.revision += 1

    def note(self, page: int, data: bytes) -> None:
        """Overwrite a page of the notepad."""
        self.notepad[page] = data
        self.revision += 1


@dataclass(frozen=True, slots=True)
class Image:
    """What lies in the image buffer: of whom (None: nobody that can be told) and how good."""

    identity: bytes | None
    quality: Quality = Quality.GOOD
    pixels: bytes | None = None


@dataclass(slots=True)
class Download:
    """Data that the host has announced; it counts only once the end packet is there."""

    buffer: int | None  # None: the image buffer
    limit: int
    data: bytearray = field(default_factory=bytearray)


@dataclass(frozen=True, slots=True)
class Light:
    """What a module's light was last told: AuraLedConfig's four bytes, or just on and off."""

    control: int = 4
    speed: int = 0
    colour: int = 0
    count: int = 0

    @property
    def lit(self) -> bool:
        """Breathing, flashing, on and fading on are lit; off and fading off are not."""
        return self.control in {1, 2, 3, 5}


@dataclass(slots=True)
class Ram:
    """What a power cycle clears."""

    image: Image | None = None
    buffers: dict[int, bytes] = field(default_factory=dict)
    latest: int = 1  # the buffer that Img2Tz filled last
    model: bytes | None = None
    spoilt: set[int] = field(default_factory=set)  # buffers that a later GetImage made useless
    verified: bool = False
    matched: bool = False
    download: Download | None = None
    data_failed: bool = False
    light: Light = field(default_factory=Light)
    port_on: bool = True
    flow: Flow | None = None  # what it is doing by itself
