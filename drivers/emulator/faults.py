"""What can go wrong with one reply, on demand."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from drivers.packets import encode

if TYPE_CHECKING:
    from drivers.emulator.module import Reply


@dataclass(frozen=True, slots=True)
class Mishap:
    """Spoils the next reply (only one to `instruction`, if given), once.

    `code` replaces the confirmation code without the data that would follow it; `address` is
    claimed instead of the module's own; `noise` goes before the reply; `cut` keeps that many of
    its bytes; `delay` holds it back, in seconds; `silent` drops it, but not the noise.
    """

    instruction: int | None = None
    silent: bool = False
    noise: bytes = b""
    cut: int | None = None
    bad_checksum: bool = False
    address: int | None = None
    code: int | None = None
    delay: float = 0.0

    def fits(self, reply: Reply) -> bool:
        return self.instruction in {None, reply.instruction}

    def wire(self, reply: Reply) -> bytes:
        """The spoilt reply's bytes."""
        packets = list(reply.packets)
        if self.code is not None:
            packets = [replace(packets[0], content=bytes((self.code,)))]
        if self.address is not None:
            packets = [replace(packet, address=self.address) for packet in packets]
        data = bytearray(b"".join(map(encode, packets)))
        if self.bad_checksum:
            data[-1] ^= 0x01
        return self.noise + (b"" if self.silent else bytes(data[: self.cut]))
