"""The emulator's end of the line: a pseudo-terminal behind a stable name, as exact as a UART."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import struct
import sys
import termios
import time
import tty
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

# struct termios2 (asm-generic/termbits.h): four flags, line, 19 control characters, two speeds.
_TCGETS2 = 0x802C542A
_TERMIOS2 = struct.Struct("=4I20x2I")
_DRAIN_STEP = 0.02
BITS_PER_BYTE = 10  # a start bit, eight data bits, a stop bit


class Wire:
    """A pty whose slave is found through the symbolic link `path`; unplugged until `plug`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.master = -1
        self.plugs = 0  # how often it was plugged in; a descriptor's number comes back
        self._slave = -1
        self._target = ""

    @property
    def plugged(self) -> bool:
        return self.master >= 0

    def plug(self) -> None:
        """Open a new pty and point the link at it; raises OSError, also for a path in use."""
        if self.path.exists() and not self.path.is_symlink():
            raise FileExistsError(f"{self.path} exists and is no symbolic link")
        # Holding the slave open keeps the master alive between two hosts.
        self.master, self._slave = os.openpty()
        self.plugs += 1
        tty.setraw(self._slave)
        os.set_blocking(self.master, False)
        self._target = os.ttyname(self._slave)
        fresh = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(self._target)
        fresh.replace(self.path)

    def unplug(self) -> None:
        """Take the link away and hang up on whoever has it open."""
        if not self.plugged:
            return
        if self.path.is_symlink() and str(self.path.readlink()) == self._target:
            self.path.unlink()
        os.close(self._slave)
        os.close(self.master)
        self.master = self._slave = -1

    def baudrate(self) -> int:
        """The speed that the host has set on its side."""
        raw = fcntl.ioctl(self._slave, _TCGETS2, bytes(_TERMIOS2.size))
        return int(_TERMIOS2.unpack(raw)[-1])

    def read(self) -> bytes:
        """What has arrived, or nothing."""
        with contextlib.suppress(BlockingIOError):
            return os.read(self.master, 4096)
        return b""

    def write(self, data: bytes) -> None:
        """Send everything; bytes that the host leaves unread for a second are lost."""
        while data:
            with contextlib.suppress(BlockingIOError):
                data = data[os.write(self.master, data) :]
            if data and not select.select([], [self.master], [], 1.0)[1]:
                return

    def drain(self, seconds: float) -> None:
        """Give the host so long to read what was written; a pty that closes throws it away."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            time.sleep(_DRAIN_STEP)
            waiting = fcntl.ioctl(self._slave, termios.FIONREAD, bytes(4))
            if not int.from_bytes(waiting, sys.byteorder):
                return

    def forget_host(self) -> None:
        """Drop the exclusive flag that a host which died has left behind.

        A real port drops it with its last user; this one still has us.
        """
        fcntl.ioctl(self._slave, termios.TIOCNXCL)


def resample(data: bytes, sent: int, heard: int) -> bytes:
    """What a receiver at `heard` baud makes of 8N1 bytes sent at `sent` baud.

    At 0 baud, which is how a host hangs up, nobody hears anything.
    """
    if not sent or not heard:
        return b""
    line = [bit for byte in data for bit in (0, *(byte >> i & 1 for i in range(8)), 1)]
    line += [1] * BITS_PER_BYTE
    step = sent / heard
    found, at = bytearray(), 0.0
    while int(at) < len(line):
        if line[int(at)]:
            if (edge := _falling_edge(line, int(at))) is None:
                break
            at = float(edge)
        samples = (int(at + (1.5 + i) * step) for i in range(8))
        found.append(sum((line[s] if s < len(line) else 1) << i for i, s in enumerate(samples)))
        at += 9.5 * step
    return bytes(found)


def _falling_edge(line: list[int], at: int) -> int | None:
    try:
        return line.index(0, at)
    except ValueError:
        return None
