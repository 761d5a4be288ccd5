"""What a module remembers: flash that survives a power cycle, and RAM that does not."""

from __future__ import annotations

from dataclasses import dataclass, field

from drivers.emulator.fingers import Quality
from drivers.packets import DEFAULT_ADDRESS


@dataclass(slots=True)
class Flash:
    """What survives a power cycle; `library` and `notepad` by slot and page."""

    address: int = DEFAULT_ADDRESS
    password: int = 0
    security_level: int = 3
    packet_code: int = 2
    baud_code: int = 6
    library: dict[int, bytes] = field(default_factory=dict)
    notepad: dict[int, bytes] = field(default_factory=dict)

    @property
    def baudrate(self) -> int:
        return 9600 * self.baud_code


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


@dataclass(slots=True)
class Ram:
    """What a power cycle clears."""

    image: Image | None = None
    buffers: dict[int, bytes] = field(default_factory=dict)
    verified: bool = False
    matched: bool = False
    download: Download | None = None
    data_failed: bool = False
