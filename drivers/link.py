"""Framed, half-duplex serial link: whole packets in and out, each wait with one deadline."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import termios
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

import serial

from drivers.errors import (
    Cancelled,
    ChecksumError,
    Disconnected,
    FrameError,
    NotSerial,
    PortBusy,
    PortForbidden,
    PortMissing,
    ResponseTimeout,
    TransportError,
    UnexpectedReply,
)
from drivers.packets import DEFAULT_ADDRESS, Decoder, Fault, FaultKind, Packet, PacketKind, encode

if TYPE_CHECKING:
    from collections.abc import Container

# termios.error is no OSError, and a port that vanishes can turn pyserial's descriptor into None.
_LOST = (OSError, termios.error, TypeError, ValueError)
_CHUNK = 4096


@dataclass(frozen=True, slots=True)
class LinkTiming:
    """Waits in seconds. `gap` ends a frame that stalls; `quiet` ends a late reply's tail."""

    gap: float = 0.25
    write: float = 1.0
    quiet: float = 0.15
    settle: float = 1.0


class Link:
    """One port, open and locked for this process, speaking to one module address.

    `command`, `data` and `receive` belong to one thread; `cancel` may be called from any other.
    An exchange that is not closed with `done` leaves the link `suspect`: a late reply may still
    come, so the caller must `settle` and re-synchronise before the next real command.
    """

    def __init__(
        self,
        port: str,
        baudrate: int = 57_600,
        address: int = DEFAULT_ADDRESS,
        timing: LinkTiming = LinkTiming(),
    ) -> None:
        """Open `port`; raises PortMissing, PortBusy, PortForbidden, NotSerial or Disconnected."""
        self.port = port
        self.address = address
        self.suspect = False
        self._timing = timing
        self._decoder = Decoder()
        self._ready: deque[Packet | Fault] = deque()
        self._serial = _open(port, baudrate)
        self._fd = self._serial.fileno()
        self._closing = threading.Lock()
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        self._poll = select.poll()
        self._poll.register(self._fd, select.POLLIN)
        self._poll.register(self._wake_read, select.POLLIN)

    @property
    def baudrate(self) -> int:
        return self._serial.baudrate

    @property
    def closed(self) -> bool:
        return self._fd < 0

    def close(self) -> None:
        """Give the port back; further use raises Disconnected."""
        with self._closing:
            if self._fd < 0:
                return
            with contextlib.suppress(*_LOST):
                # A pseudo-terminal would remember it as long as anyone else has it open.
                fcntl.ioctl(self._fd, termios.TIOCNXCL)
            self._fd = -1
            with contextlib.suppress(*_LOST):
                self._serial.close()
            os.close(self._wake_read)
            os.close(self._wake_write)

    def set_baudrate(self, baudrate: int) -> None:
        """Go on at another speed; raises Disconnected."""
        try:
            self._serial.baudrate = baudrate
        except _LOST as error:
            self._lost(error)

    def command(self, content: bytes) -> None:
        """Throw away what is left of earlier replies and send one command in one write."""
        self._drain()
        self.suspect = True
        self._write(encode(Packet(PacketKind.COMMAND, content, self.address)))

    def data(self, kind: PacketKind, content: bytes) -> None:
        """Send one data or end packet; the module does not acknowledge these."""
        self._write(encode(Packet(kind, content, self.address)))

    def receive(self, seconds: float, addresses: Container[int] = ()) -> Packet:
        """The next packet from our module (or from one of `addresses`).

        Noise and other modules' packets are skipped. Raises ResponseTimeout when the deadline or,
        inside a frame, the gap passes; ChecksumError, FrameError or UnexpectedReply when what came
        instead was damaged or foreign; Cancelled; Disconnected.
        """
        accepted = addresses or (self.address,)
        deadline = time.monotonic() + seconds
        wrong: FrameError | UnexpectedReply | None = None
        while True:
            while self._ready:
                item = self._ready.popleft()
                if isinstance(item, Packet):
                    if item.address in accepted:
                        return item
                    wrong = UnexpectedReply(f"a reply from address {item.address:08x}")
                elif item.kind is FaultKind.CHECKSUM:
                    raise ChecksumError(f"checksum wrong in a frame of {len(item.raw)} bytes")
                elif item.kind is not FaultKind.NOISE:
                    wrong = FrameError(f"impossible {item.kind} field: {item.raw.hex()}")
            left = deadline - time.monotonic()
            begun = wrong is not None or self._decoder.pending > 0
            wait = min(left, self._timing.gap) if begun else left
            if wait <= 0 or not self._fill(wait):
                raise wrong or self._timeout(seconds)

    def done(self) -> None:
        """The exchange is complete: nothing that belongs to it can still arrive."""
        self.suspect = False

    def settle(self) -> None:
        """Wait until the line has been quiet for a while, and forget whatever came."""
        deadline = time.monotonic() + self._timing.settle
        while time.monotonic() < deadline and self._fill(self._timing.quiet):
            pass
        self._drain()

    def cancel(self) -> None:
        """End the wait in hand, or else the next one, with Cancelled; from any thread."""
        with self._closing:
            if self._fd >= 0:
                with contextlib.suppress(BlockingIOError):
                    os.write(self._wake_write, b"x")

    # -- bytes -------------------------------------------------------------------------------------

    def _fill(self, seconds: float) -> bool:
        """Read what comes within `seconds`; False if nothing did."""
        if self._fd < 0:
            self._lost(None)  # the numbers in `_poll` may be someone else's by now
        try:
            events = self._poll.poll(seconds * 1000)
            if not events:
                return False
            if any(fd == self._wake_read for fd, _ in events):
                os.read(self._wake_read, _CHUNK)
                raise Cancelled
            chunk = os.read(self._fd, _CHUNK)
        except BlockingIOError:
            return True
        except _LOST as error:
            self._lost(error)
        if not chunk:
            # A device that is gone is always ready and never has anything.
            self._lost(None)
        self._ready.extend(self._decoder.feed(chunk))
        return True

    def _write(self, frame: bytes) -> None:
        deadline = time.monotonic() + self._timing.write
        try:
            rest = frame[self._offer(frame) :]
            while rest:
                _, writable, _ = select.select(
                    [], [self._fd], [], max(0.0, deadline - time.monotonic())
                )
                if not writable:
                    raise ResponseTimeout("the port takes no more bytes")
                rest = rest[self._offer(rest) :]
        except _LOST as error:
            self._lost(error)

    def _offer(self, data: bytes) -> int:
        try:
            return os.write(self._fd, data)
        except BlockingIOError:
            return 0

    def _drain(self) -> None:
        try:
            termios.tcflush(self._fd, termios.TCIFLUSH)
        except _LOST as error:
            self._lost(error)
        self._ready.clear()
        self._decoder.reset()

    def _timeout(self, seconds: float) -> ResponseTimeout:
        if self._decoder.pending:
            return ResponseTimeout(f"the reply stopped after {self._decoder.pending} bytes")
        return ResponseTimeout(f"no reply within {seconds:g} s")

    def _lost(self, error: BaseException | None) -> NoReturn:
        raise Disconnected(f"{self.port}: {error or 'closed'}") from error


def _open(port: str, baudrate: int) -> serial.Serial:
    try:
        opened = serial.Serial(port, baudrate, timeout=0, write_timeout=1, exclusive=True)
    except (OSError, termios.error) as error:
        raise _refusal(port, error) from error
    try:
        # The lock above binds only those who ask for it; this one binds everybody but root.
        fcntl.ioctl(opened.fileno(), termios.TIOCEXCL)
    except (OSError, termios.error) as error:
        opened.close()
        raise Disconnected(f"{port}: {error}") from error
    return opened


def _refusal(port: str, error: OSError | termios.error) -> TransportError:
    number = _number(error)
    if number in {errno.EBUSY, errno.EAGAIN}:
        return PortBusy(f"{port}: {error}")
    if number in {errno.EACCES, errno.EPERM}:
        return PortForbidden(f"{port}: {error}")
    if number in {errno.ENOENT, errno.ENXIO, errno.ENODEV}:
        return PortMissing(f"{port}: {error}")
    if number in {errno.ENOTTY, errno.EISDIR}:
        return NotSerial(f"{port}: {error}")
    return Disconnected(f"{port}: {error}")


def _number(error: BaseException | None) -> int | None:
    """The system's errno; pyserial keeps that of a port it cannot configure in the context only."""
    while error is not None:
        number = getattr(error, "errno", None)
        if isinstance(error, termios.error) and error.args:
            number = error.args[0]
        if isinstance(number, int):
            return number
        error = error.__context__
    return None
