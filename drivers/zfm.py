"""ZFM, R30x and AS608 sensors: pyfingerprint's commands over our own link and error tree.

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
from drivers import profiles as p
from drivers.errors import (
    LibraryFull,
    ProtocolError,
    ResponseTimeout,
    SlotOutOfRange,
    UnexpectedReply,
    confirmation_error,
)
from drivers.link import Link
from drivers.packets import DEFAULT_ADDRESS, PacketKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from drivers.profiles import Profile

Parameters = tuple[int, int, int, int, int, int, int]

# Seconds a module may think before its acknowledgement; not listed: `_DEADLINE`.
_DEADLINE = 1.0
_DEADLINES = {
    p.GEN_IMAGE: 2.0,
    p.IMAGE_TO_TEMPLATE: 2.0,
    p.STORE: 2.0,
    p.DELETE_CHAR: 2.0,
    p.WRITE_NOTEPAD: 2.0,
    p.EMPTY: 5.0,
}
_SEARCH_FLOOR = 3.0
_SEARCH_EACH = 0.01
_BOOT_WAIT = 1.0
_BOOT_TRY = 0.3
_SYNC_TRIES = 3
_SYNC_TRY = 0.5
# A whole image may still be on its way when the link is told to get into step again.
_STALE_REPLIES = 400

# Bytes of a successful acknowledgement, code included; not listed: the code alone.
_SHAPES = {
    p.MATCH: 3,
    p.SEARCH: 5,
    p.READ_SYS_PARA: 17,
    p.GET_RANDOM: 5,
    p.READ_NOTEPAD: 1 + p.NOTEPAD_PAGE,
    p.TEMPLATE_COUNT: 3,
    p.READ_INDEX: 33,
}
# Refusals that pyfingerprint turns into a return value; all others are raised from here.
_RETURNED = {
    p.VERIFY_PASSWORD: codes.WRONG_PASSWORD,
    p.GEN_IMAGE: codes.NO_FINGER,
    p.REG_MODEL: codes.MERGE_FAILED,
    p.SEARCH: codes.NOT_FOUND,
    p.DELETE_CHAR: codes.DELETE_FAILED,
    p.EMPTY: codes.CLEAR_FAILED,
    p.MATCH: codes.NO_MATCH,
}
_STREAMED = frozenset({p.UP_CHAR, p.UP_IMAGE})
# Modules drop data packets that follow each other without a pause.
_DATA_PAUSE = 0.005
_STREAM = frozenset({PacketKind.DATA, PacketKind.END})


class ZfmSensor(PyFingerprint):
    """One module, ready for use from one thread at a time.

    Inherits every public method of pyfingerprint 1.5; where that raises bare Exceptions or sits
    silent, this raises `drivers.errors.SensorError`s, each within its command's deadline. After a
    failed exchange the next command first re-synchronises. `captures` counts the images taken.
    """

    def __init__(
        self,
        port: str,
        baudRate: int = 57_600,  # noqa: N803 - pyfingerprint's name
        address: int = DEFAULT_ADDRESS,
        password: int = 0,
        profile: Profile | None = None,
    ) -> None:
        """Open the port; `profile` is needed only for a module without ReadSysPara (R308).

        Raises PortMissing, PortBusy, PortForbidden or Disconnected. The module itself is not
        spoken to: `handshake` does that, and `open_zfm` both.
        """
        self._link = Link(port, baudRate, address)
        self._PyFingerprint__address = address
        self._PyFingerprint__password = password
        self._fixed = _fixed_parameters(profile, address, baudRate)
        self._parameters: Parameters | None = self._fixed
        self._instruction = 0
        self._streaming = False
        self._answering: tuple[int, ...] = ()
        self.captures = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the port back; safe to call twice."""
        self._link.close()

    def cancel(self) -> None:
        """End the exchange in hand, or the next one, with Cancelled; from any thread."""
        self._link.cancel()

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
                self._link.settle()
        self._synchronise()

    @property
    def port(self) -> str:
        return self._link.port

    @property
    def capacity(self) -> int:
        """How many templates the library holds."""
        return self.getSystemParameters()[2]

    def find(self) -> tuple[int, int] | None:
        """(slot, comparison score) of the template that fits CharBuffer1, or None."""
        slot, score = self.searchTemplate()
        return None if slot < 0 else (slot, score)

    def read_notepad(self, page: int) -> bytes:
        """One page of 32 bytes; raises Refused where there is none (R30x manual, 0x19)."""
        return self._exchange(bytes((p.READ_NOTEPAD, page)))[1:]

    def write_notepad(self, page: int, data: bytes) -> None:
        """Overwrite one page, padded to 32 bytes with zeros (R30x manual, 0x18)."""
        if len(data) > p.NOTEPAD_PAGE:
            raise ValueError(f"a notepad page holds {p.NOTEPAD_PAGE} bytes, not {len(data)}")
        self._exchange(bytes((p.WRITE_NOTEPAD, page)) + data.ljust(p.NOTEPAD_PAGE, b"\0"))

    # -- pyfingerprint's methods, made safe --------------------------------------------------------

    def getSystemParameters(self) -> Parameters:  # noqa: N802 - pyfingerprint's name
        """As inherited, but asked for once: they change only through `setSystemParameter`."""
        if self._parameters is None:
            self._parameters = super().getSystemParameters()
        return self._parameters

    def setSystemParameter(self, parameterNumber: int, parameterValue: int) -> bool:  # noqa: N802, N803 - pyfingerprint's names
        """As inherited; after a change of baud rate the link follows the module."""
        done = super().setSystemParameter(parameterNumber, parameterValue)
        self._parameters = self._fixed
        if parameterNumber == 4:
            self._link.set_baudrate(9600 * parameterValue)
        return done

    def setAddress(self, newAddress: int) -> bool:  # noqa: N802, N803 - pyfingerprint's names
        """As inherited; the link speaks to the new address from then on."""
        self._answering = (newAddress, self._link.address)
        try:
            done = super().setAddress(newAddress)
        finally:
            self._answering = ()
        self._link.address = newAddress
        self._parameters = self._fixed
        return done

    def readImage(self) -> bool:  # noqa: N802 - pyfingerprint's name
        """As inherited; counted in `captures` if there was a finger."""
        if not super().readImage():
            return False
        self.captures += 1
        return True

    def storeTemplate(self, positionNumber: int = -1, charBufferNumber: int = 1) -> int:  # noqa: N802, N803 - pyfingerprint's names
        """As inherited; raises LibraryFull if -1 finds no free slot, or SlotOutOfRange."""
        slot = self._first_free() if positionNumber == -1 else positionNumber
        if not 0 <= slot < self.capacity:
            raise SlotOutOfRange(codes.OUT_OF_RANGE, f"slot {slot} of {self.capacity}")
        return super().storeTemplate(slot, charBufferNumber)

    def _first_free(self) -> int:
        for page in range(-(-self.capacity // 256)):
            for bit, used in enumerate(self.getTemplateIndex(page)):
                if not used and page * 256 + bit < self.capacity:
                    return page * 256 + bit
        raise LibraryFull(codes.LIBRARY_FULL, f"all {self.capacity} slots are in use")

    # -- the wire ----------------------------------------------------------------------------------

    def _PyFingerprint__writePacket(self, packetType: int, packetPayload: Sequence[int]) -> None:  # noqa: N802, N803 - pyfingerprint's names
        content = bytes(packetPayload)
        if packetType != PacketKind.COMMAND:
            time.sleep(_DATA_PAUSE)
            self._link.data(PacketKind(packetType), content)
            return
        if self._link.suspect:
            self._link.settle()
            self._synchronise()
        self._begin(content)

    def _PyFingerprint__readPacket(self) -> tuple[int, bytes]:  # noqa: N802 - pyfingerprint's name
        link, instruction = self._link, self._instruction
        packet = link.receive(self._deadline(), self._answering)
        if self._streaming:
            if packet.kind not in _STREAM:
                raise UnexpectedReply(f"{packet.kind.name} where data was due")
            if packet.kind is PacketKind.END:
                link.done()
            return packet.kind, packet.content
        if packet.kind is not PacketKind.ACK:
            raise UnexpectedReply(f"{packet.kind.name} in answer to instruction {instruction:#04x}")
        code = packet.content[0]
        if code == codes.OK:
            if len(packet.content) != _SHAPES.get(instruction, 1):
                raise UnexpectedReply(
                    f"{len(packet.content)} bytes in answer to instruction {instruction:#04x}"
                )
            self._streaming = instruction in _STREAMED
            if not self._streaming:
                link.done()
            return packet.kind, packet.content
        link.done()
        if _RETURNED.get(instruction) != code:
            raise confirmation_error(code, instruction)
        return packet.kind, packet.content

    def _begin(self, content: bytes) -> None:
        self._instruction = content[0]
        self._streaming = False
        self._link.command(content)

    def _verify(self, seconds: float) -> None:
        """VfyPwd, by itself: it must work before the link is in step."""
        password: int = self._PyFingerprint__password
        self._begin(bytes((p.VERIFY_PASSWORD,)) + password.to_bytes(4, "big"))
        packet = self._link.receive(seconds)
        if packet.kind is not PacketKind.ACK or len(packet.content) != 1:
            raise UnexpectedReply("not what VfyPwd is answered with")
        self._link.done()
        if packet.content[0] != codes.OK:
            raise confirmation_error(packet.content[0], p.VERIFY_PASSWORD)

    def _synchronise(self) -> None:
        """Get into step by ReadSysPara, whose answer has a length like no other's.

        Shorter acknowledgements that come first are late ones; 0x0E says that the module gave up
        a download, and swallowed the command with it.
        """
        for _ in range(_SYNC_TRIES - 1):
            with contextlib.suppress(ResponseTimeout, ProtocolError):
                self._read_parameters()
                return
            # A module that is still busy with the last command has not heard this one.
            self._link.settle()
        self._read_parameters()

    def _read_parameters(self) -> None:
        if self._fixed is not None:
            self._verify(_SYNC_TRY)
            return
        self._begin(bytes((p.READ_SYS_PARA,)))
        for _ in range(_STALE_REPLIES):
            packet = self._link.receive(_SYNC_TRY)
            code = packet.content[0]
            if packet.kind is not PacketKind.ACK:
                continue
            if code == codes.DATA_FAILED:
                self._begin(bytes((p.READ_SYS_PARA,)))
            elif code == codes.OK and len(packet.content) == _SHAPES[p.READ_SYS_PARA]:
                self._parameters = _parameters(packet.content)
                self._link.done()
                return
            elif code == codes.PASSWORD_NEEDED:
                self._link.done()
                raise confirmation_error(code, p.READ_SYS_PARA)
        raise UnexpectedReply("nothing that came was an answer to ReadSysPara")

    def _exchange(self, content: bytes) -> bytes:
        """One command of our own; the acknowledgement's content."""
        self._PyFingerprint__writePacket(PacketKind.COMMAND, content)
        return self._PyFingerprint__readPacket()[1]

    def _deadline(self) -> float:
        if self._instruction == p.SEARCH:
            slots = self._parameters[2] if self._parameters else 0
            return max(_SEARCH_FLOOR, slots * _SEARCH_EACH)
        return _DEADLINES.get(self._instruction, _DEADLINE)


def open_zfm(
    port: str, baudrate: int = 57_600, address: int = DEFAULT_ADDRESS, password: int = 0
) -> ZfmSensor:
    """A sensor that is open, has answered and is in step; raises SensorError, port closed."""
    sensor = ZfmSensor(port, baudrate, address, password)
    try:
        sensor.handshake()
    except BaseException:
        sensor.close()
        raise
    return sensor


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
