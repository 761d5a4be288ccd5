"""One exchange at a time with a ZFM module: command out, acknowledgement and data in, in step.

pyfingerprint 1.5 keeps its command logic; the two private methods that touch the wire are
replaced here, because the originals lose step with the module and believe stale replies.
"""

from __future__ import annotations

import contextlib
import struct
import time
from typing import TYPE_CHECKING, Self

from pyfingerprint.pyfingerprint import PyFingerprint

from drivers import codes
from drivers import commands as c
from drivers import profiles as p
from drivers.errors import (
    ModelUnknown,
    PasswordRequired,
    ProtocolError,
    Refused,
    ResponseTimeout,
    UnexpectedReply,
    confirmation_error,
)
from drivers.link import Link, LinkTiming
from drivers.packets import DEFAULT_ADDRESS, Packet, PacketKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from drivers.profiles import Profile

Parameters = tuple[int, int, int, int, int, int, int]

_BOOT_WAIT = 1.0
_BOOT_TRY = 0.3
_SYNC_TRIES = 3
SYNC_TRY = 0.5
# A whole image may still be on its way when the link is told to get into step again.
_SYNC_LIMIT = 10.0
_STREAM_GAP = 1.0
# Modules drop data packets that follow each other without a pause.
_DATA_PAUSE = 0.005
_UNTOLD = "the module has no ReadSysPara: it must be opened with its profile ([sensor] profile)"
_DOWNLOADS = frozenset({p.DOWN_CHAR, p.DOWN_IMAGE})
_STREAM = frozenset({PacketKind.DATA, PacketKind.END})


class Exchange(PyFingerprint):
    """One module's line; `link` is open until `close`. For one thread at a time, but for `cancel`.

    Whatever fails ends within its command's deadline with a `drivers.errors.SensorError`. After a
    failed exchange the next command first gets into step again, and after 0x21, which says that
    the module has restarted, it first shows the password again.
    """

    def __init__(
        self,
        port: str,
        baudRate: int = 57_600,  # noqa: N803 - pyfingerprint's name
        address: int = DEFAULT_ADDRESS,
        password: int = 0,
        profile: Profile | None = None,
        timing: LinkTiming | None = None,
    ) -> None:
        """Open the port; `profile` is needed only for a module without ReadSysPara (R308).

        Raises PortMissing, PortBusy, PortForbidden, NotSerial or Disconnected. The module itself
        is not spoken to: `handshake` does that, and `drivers.zfm.open_zfm` both.
        """
        self.profile = profile
        self.link = Link(port, baudRate, address, timing or LinkTiming())
        self._PyFingerprint__address = address
        self._PyFingerprint__password = password
        self._fixed = _fixed_parameters(profile, address, baudRate)
        self._parameters: Parameters | None = self._fixed
        self._instruction = 0
        self._until = self._line_free = 0.0
        self._streaming: int | None = None
        self._answering: tuple[int, ...] = ()
        self._restarted = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the port back; safe to call twice."""
        self.link.close()

    def cancel(self) -> None:
        """End the exchange in hand, or the next one, with Cancelled; from any thread."""
        self.link.cancel()

    @property
    def port(self) -> str:
        return self.link.port

    def handshake(self) -> None:
        """Wait for the module to boot, verify the password, read the parameters.

        Raises WrongPassword, ResponseTimeout if nothing answers, or any other SensorError.
        """
        deadline = time.monotonic() + _BOOT_WAIT
        while True:
            try:
                self._verify(_BOOT_TRY)
                break
            except (ResponseTimeout, ProtocolError):
                if time.monotonic() >= deadline:
                    raise
                self.link.settle()
        self._restarted = False
        self._synchronise()

    def exchange(self, content: bytes) -> bytes:
        """Send one command (instruction first); the acknowledgement's data behind the code.

        For instructions that pyfingerprint lacks. Raises the SensorError of any other code.
        """
        return self._exchange(content)[1:]

    def getSystemParameters(self) -> Parameters:  # noqa: N802 - pyfingerprint's name
        """As inherited, but asked for once: they change only through `setSystemParameter`."""
        if self._parameters is None:
            self._parameters = super().getSystemParameters()
        return self._parameters

    # -- the wire ----------------------------------------------------------------------------------

    def _PyFingerprint__writePacket(self, packetType: int, packetPayload: Sequence[int]) -> None:  # noqa: N802, N803 - pyfingerprint's names
        content = bytes(packetPayload)
        if packetType != PacketKind.COMMAND:
            self._send_data(PacketKind(packetType), content)
            return
        if self._restarted:
            self.handshake()
        elif self.link.suspect:
            self.link.settle()
            self._synchronise()
        self._begin(content)

    def _PyFingerprint__readPacket(self) -> tuple[int, bytes]:  # noqa: N802 - pyfingerprint's name
        left = self._until - time.monotonic()
        if self._streaming is None:
            return self._acknowledged(self.link.receive(left, self._answering))
        packet = self.link.receive(min(left, _STREAM_GAP))
        if packet.kind not in _STREAM:
            raise UnexpectedReply(f"{packet.kind.name} where data was due")
        self._streaming += len(packet.content)
        if self._streaming > c.STREAMS[self._instruction]:
            raise UnexpectedReply(f"more than {c.STREAMS[self._instruction]} bytes of data")
        if packet.kind is PacketKind.END:
            self.link.done()
        return packet.kind, packet.content

    def _acknowledged(self, packet: Packet) -> tuple[int, bytes]:
        instruction, code = self._instruction, packet.content[0]
        if packet.kind is not PacketKind.ACK:
            raise UnexpectedReply(f"{packet.kind.name} in answer to instruction {instruction:#04x}")
        if code != codes.OK:
            # A module that refuses a download may yet take the next command for data.
            if instruction not in _DOWNLOADS:
                self.link.done()
            if c.RETURNED.get(instruction) != code:
                raise self._refusal(code)
        elif len(packet.content) != c.SHAPES.get(instruction, 1):
            raise UnexpectedReply(
                f"{len(packet.content)} bytes in answer to instruction {instruction:#04x}"
            )
        elif instruction in c.STREAMS:
            self._streaming = 0
            self._until += c.stream_seconds(instruction, self.link.baudrate)
        else:
            self.link.done()
        return packet.kind, packet.content

    def _refusal(self, code: int) -> Exception:
        refusal = confirmation_error(code, self._instruction)
        self._restarted = self._restarted or isinstance(refusal, PasswordRequired)
        return refusal

    def _begin(self, content: bytes) -> None:
        capacity = self._parameters[2] if self._parameters else 0
        self._instruction = content[0]
        self._streaming = None
        self._until = time.monotonic() + c.deadline_of(content[0], capacity)
        self._line_free = 0.0
        self.link.command(content)

    def _exchange(self, content: bytes) -> bytes:
        self._PyFingerprint__writePacket(PacketKind.COMMAND, content)
        return self._PyFingerprint__readPacket()[1]

    def _send_data(self, kind: PacketKind, content: bytes) -> None:
        """One data packet, once the one before has left the wire and the module has digested it."""
        time.sleep(max(0.0, self._line_free - time.monotonic()) + _DATA_PAUSE)
        # A module that still expects data takes the next command for some of it.
        self.link.suspect = True
        self.link.data(kind, content)
        if kind is PacketKind.END:
            self.link.done()
        self._line_free = time.monotonic() + (len(content) + 11) * 10 / self.link.baudrate

    # -- getting into step -------------------------------------------------------------------------

    def _verify(self, seconds: float) -> None:
        """VfyPwd, by itself: it must work before the link is in step."""
        password: int = self._PyFingerprint__password
        command = bytes((p.VERIFY_PASSWORD,)) + password.to_bytes(4, "big")
        self._begin(command)
        packet = self.link.receive(seconds)
        if packet.content[0] == codes.DATA_FAILED:
            # The module gave up a download, and swallowed the command with it.
            self._begin(command)
            packet = self.link.receive(seconds)
        if packet.kind is not PacketKind.ACK or len(packet.content) != 1:
            raise UnexpectedReply("not what VfyPwd is answered with")
        self.link.done()
        if packet.content[0] != codes.OK:
            raise confirmation_error(packet.content[0], p.VERIFY_PASSWORD)

    def _synchronise(self) -> None:
        """Get into step by ReadSysPara, whose answer has a length like no other's."""
        for _ in range(_SYNC_TRIES - 1):
            with contextlib.suppress(ResponseTimeout, ProtocolError, Refused):
                self._read_parameters()
                return
            # A module that is still busy with the last command has not heard this one.
            self.link.settle()
        self._read_parameters()

    def _read_parameters(self) -> None:
        """ReadSysPara, by itself; raises ModelUnknown if the module does not know it.

        Shorter acknowledgements that come first are late ones; 0x0E says that the module gave up
        a download, and swallowed the command with it.
        """
        if self._fixed is not None:
            self._verify(SYNC_TRY)
            return
        self._begin(bytes((p.READ_SYS_PARA,)))
        deadline, refused = time.monotonic() + _SYNC_LIMIT, False
        while time.monotonic() < deadline:
            try:
                packet = self.link.receive(SYNC_TRY)
            except ResponseTimeout:
                if refused:
                    raise ModelUnknown(codes.PACKET_ERROR, _UNTOLD) from None
                raise
            code = packet.content[0]
            if packet.kind is not PacketKind.ACK:
                continue
            if code == codes.DATA_FAILED:
                self._begin(bytes((p.READ_SYS_PARA,)))
            elif code == codes.OK and len(packet.content) == c.SHAPES[p.READ_SYS_PARA]:
                self._parameters = _parameters(packet.content)
                self.link.done()
                return
            elif code == codes.PASSWORD_NEEDED:
                self.link.done()
                raise self._refusal(code)
            refused = refused or code == codes.PACKET_ERROR
        raise UnexpectedReply("nothing that came was an answer to ReadSysPara")


def _parameters(content: bytes) -> Parameters:
    """ReadSysPara's acknowledgement as pyfingerprint returns it (ZFM-20 manual, 6.1.5)."""
    status, system, capacity, level, address, packet, baud = struct.unpack(">4HI2H", content[1:])
    if packet >= len(p.PACKET_SIZES):
        raise UnexpectedReply(f"packet size code {packet}")
    return status, system, capacity, level, address, packet, baud


def _fixed_parameters(profile: Profile | None, address: int, baudrate: int) -> Parameters | None:
    """What a module without ReadSysPara would have answered; None for one that has it."""
    if profile is None or p.READ_SYS_PARA in profile.instructions:
        return None
    return (
        0,
        profile.system_id,
        profile.capacity,
        profile.security_level,
        address,
        profile.packet_code,
        baudrate // 9600,
    )
