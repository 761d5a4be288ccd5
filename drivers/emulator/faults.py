"""What can go wrong with one exchange, on demand, and the queue in which it waits."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from drivers.packets import encode

if TYPE_CHECKING:
    from drivers.emulator.reply import Reply


@dataclass(frozen=True, slots=True)
class Mishap:
    """Spoils the next reply (only one to `instruction`, if given), once.

    `code` replaces the confirmation code without the data that would follow it; `address` is
    claimed instead of the module's own; `noise` goes before the reply; `cut` keeps that many of
    its bytes; `delay` holds it back, in seconds; `silent` drops it, but not the noise; `unheard`
    loses the command itself, which is then not obeyed; `unplug` pulls the cable once the reply,
    or what `cut` left of it, is out.
    """

    instruction: int | None = None
    silent: bool = False
    noise: bytes = b""
    cut: int | None = None
    bad_checksum: bool = False
    address: int | None = None
    code: int | None = None
    delay: float = 0.0
    unheard: bool = False
    unplug: bool = False

    def fits(self, instruction: int) -> bool:
        """Whether it is meant for an answer to `instruction`."""
        return self.instruction in {None, instruction}

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


class Mishaps:
    """Mishaps that wait for their exchange, oldest first; may be used from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[Mishap] = deque()

    def __len__(self) -> int:
        with self._lock:
            return len(self._waiting)

    def add(self, *mishaps: Mishap) -> None:
        """Queue them, one exchange each."""
        with self._lock:
            self._waiting.extend(mishaps)

    def take(self, instruction: int) -> Mishap | None:
        """The oldest that fits, which is then used up."""
        with self._lock:
            found = next((one for one in self._waiting if one.fits(instruction)), None)
            if found is not None:
                self._waiting.remove(found)
            return found

    def clear(self) -> None:
        """Forget all of them."""
        with self._lock:
            self._waiting.clear()
