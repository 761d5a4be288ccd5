"""Sans-IO codec of the ZFM packet protocol: packets to bytes, and bytes back to packets."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum

HEADER = b"\xef\x01"
DEFAULT_ADDRESS = 0xFFFFFFFF
MAX_CONTENT = 256
# Header, address, identifier and length; the checksum's two bytes are counted by the length field.
_PREFIX = 9
MAX_FRAME = _PREFIX + MAX_CONTENT + 2


class PacketKind(IntEnum):
    """The package identifier (ZFM-20 manual, chapter 5)."""

    COMMAND = 0x01
    DATA = 0x02
    ACK = 0x07
    END = 0x08


class FaultKind(StrEnum):
    """Why bytes were given up."""

    NOISE = "noise"  # no header in them
    IDENTIFIER = "identifier"  # a header, then no known package identifier
    LENGTH = "length"  # a length field that no module may send
    CHECKSUM = "checksum"


@dataclass(frozen=True, slots=True)
class Packet:
    """One frame's meaning; `content` holds 1 to 256 bytes, the instruction or code first."""

    kind: PacketKind
    content: bytes
    address: int = DEFAULT_ADDRESS


@dataclass(frozen=True, slots=True)
class Fault:
    """Bytes that were no packet; `raw` is all of the frame that can be told (noise: all of it)."""

    kind: FaultKind
    raw: bytes

    @property
    def address(self) -> int | None:
        """The address that a damaged frame claims, or None for noise."""
        return None if self.kind is FaultKind.NOISE else int.from_bytes(self.raw[2:6], "big")


def encode(packet: Packet) -> bytes:
    """The packet's frame, checksum included; raises ValueError if the content cannot be sent."""
    if not 1 <= len(packet.content) <= MAX_CONTENT:
        raise ValueError(f"content of {len(packet.content)} bytes, 1 to {MAX_CONTENT} are allowed")
    length = (len(packet.content) + 2).to_bytes(2, "big")
    head = HEADER + packet.address.to_bytes(4, "big") + bytes((packet.kind,)) + length
    total = checksum(packet.kind, packet.content)
    return head + packet.content + total.to_bytes(2, "big")


def checksum(kind: int, content: bytes) -> int:
    """Sum of identifier, both length bytes and content, modulo 65,536."""
    length = len(content) + 2
    return (kind + (length >> 8) + (length & 0xFF) + sum(content)) & 0xFFFF


class Decoder:
    """Bytes in, packets and faults out, in order; never raises, keeps less than one frame.

    After a fault it looks for the next header inside what it gave up, so a frame that was cut
    short does not take the whole one behind it along.
    """

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = b""

    @property
    def pending(self) -> int:
        """How many bytes wait for the rest of their frame; always below `MAX_FRAME`."""
        return len(self._buffer)

    def reset(self) -> None:
        """Forget a frame that was begun."""
        self._buffer = b""

    def feed(self, data: bytes) -> list[Packet | Fault]:
        """Everything that `data` completes."""
        buffer = self._buffer + data
        found: list[Packet | Fault] = []
        position = 0
        while True:
            start = _header_at(buffer, position)
            if start > position:
                found.append(Fault(FaultKind.NOISE, buffer[position:start]))
            item, position = _frame_at(buffer, start)
            if item is None:
                self._buffer = buffer[position:]
                return found
            found.append(item)


def _header_at(buffer: bytes, position: int) -> int:
    start = buffer.find(HEADER, position)
    if start >= 0:
        return start
    # The last byte may be the first half of a header.
    return len(buffer) - 1 if buffer[position:].endswith(HEADER[:1]) else len(buffer)


def _frame_at(buffer: bytes, start: int) -> tuple[Packet | Fault | None, int]:
    """What begins at `start` and where to go on; None if the rest has not arrived."""
    if len(buffer) - start < _PREFIX:
        return None, start
    rescan = start + len(HEADER)
    if (kind := _KINDS.get(buffer[start + 6])) is None:
        return Fault(FaultKind.IDENTIFIER, buffer[start : start + _PREFIX]), rescan
    length = int.from_bytes(buffer[start + 7 : start + _PREFIX], "big")
    if not 3 <= length <= MAX_CONTENT + 2:
        return Fault(FaultKind.LENGTH, buffer[start : start + _PREFIX]), rescan
    end = start + _PREFIX + length
    if len(buffer) < end:
        return None, start
    content = buffer[start + _PREFIX : end - 2]
    if int.from_bytes(buffer[end - 2 : end], "big") != checksum(kind, content):
        return Fault(FaultKind.CHECKSUM, buffer[start:end]), rescan
    return Packet(kind, content, int.from_bytes(buffer[start + 2 : start + 6], "big")), end


_KINDS = {int(kind): kind for kind in PacketKind}
