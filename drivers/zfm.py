"""ZFM, R30x, AS608 and R503 sensors: every command, each safe to lose the answer of."""

from __future__ import annotations

import contextlib
import logging
import time
from typing import TYPE_CHECKING

from PIL import Image

from drivers import codes
from drivers import profiles as p
from drivers.errors import (
    Cancelled,
    ConfirmationError,
    Disconnected,
    LibraryFull,
    PasswordRequired,
    PortBusy,
    ProtocolError,
    Refused,
    ResponseTimeout,
    SensorError,
    SlotOutOfRange,
    TemplateNotFound,
    UnexpectedReply,
    WrongPassword,
)
from drivers.exchange import SYNC_TRY, Exchange
from drivers.extras import Effect, ProductInfo
from drivers.packets import DEFAULT_ADDRESS, PacketKind
from drivers.ports import resolve_port

if TYPE_CHECKING:
    from collections.abc import Callable

    from drivers.extras import Light
    from drivers.profiles import Profile

_LOG = logging.getLogger(__name__)
# After these nobody knows whether the module has done what it was told.
_UNCERTAIN = (ResponseTimeout, ProtocolError)
# A module that changes how it is spoken to, but says no, would never be heard of again.
_DOUBTFUL = (*_UNCERTAIN, ConfirmationError)
_BAUDRATE, _PACKET_SIZE = 4, 6
# With 256 bytes to a packet uploads are known to fail on R30x clones.
_SAFE_PACKET_CODE = 2
_BUSY_WAIT, _BUSY_TRY = 0.5, 0.02
_LIGHTS = frozenset({p.AURA_LED, p.LED_ON, p.LED_OFF})


class ZfmSensor(Exchange):
    """One module, ready for use from one thread at a time.

    Inherits every public method of pyfingerprint 1.5; where that raises bare Exceptions or sits
    silent, this raises `drivers.errors.SensorError`s, each within its command's deadline. A command
    that changes the module is never sent twice: if its answer is lost, what the module holds is
    read back, and the command counts as done if that shows it. `captures` counts the images taken.
    """

    captures = 0
    _lacks: frozenset[int] = frozenset()

    @property
    def capacity(self) -> int:
        """How many templates the library holds."""
        return self.getSystemParameters()[2]

    @property
    def model(self) -> str:
        """The profile's name, or what the module calls itself, or its system id and capacity."""
        if self.profile is not None:
            return self.profile.name
        if (info := self.product_info()) is not None and info.model:
            return info.model.lower()
        _, system, capacity, *_ = self.getSystemParameters()
        return f"zfm-{system:04x}-{capacity}"

    def find(self, start: int = 0, count: int = 0, *, fast: bool = False) -> tuple[int, int] | None:
        """(slot, comparison score) of the template that fits CharBuffer1, or None.

        Searches `count` slots from `start`, 0 for the rest of the library. `fast` uses
        HiSpeedSearch (R30x manual, 0x1B) where the module has it.
        """
        where = b"\x01" + _words(start, count or self.capacity - start)
        try:
            reply = self._optional(bytes((p.HI_SPEED_SEARCH,)) + where) if fast else None
            reply = reply or self._exchange(bytes((p.SEARCH,)) + where)
        except TemplateNotFound as nothing:
            if nothing.code != codes.LIBRARY_EMPTY:
                raise
            return None
        if reply[0] != codes.OK:
            # What some modules send behind "not found" is no slot.
            return None
        return int.from_bytes(reply[1:3], "big"), int.from_bytes(reply[3:5], "big")

    # -- what pyfingerprint lacks ------------------------------------------------------------------

    def read_notepad(self, page: int) -> bytes:
        """One page of 32 bytes; raises Refused where there is none (R30x manual, 0x19)."""
        return self.exchange(bytes((p.READ_NOTEPAD, page)))

    def write_notepad(self, page: int, data: bytes) -> None:
        """Overwrite one page, padded to 32 bytes with zeros (R30x manual, 0x18)."""
        if len(data) > p.NOTEPAD_PAGE:
            raise ValueError(f"a notepad page holds {p.NOTEPAD_PAGE} bytes, not {len(data)}")
        whole = data.ljust(p.NOTEPAD_PAGE, b"\0")
        try:
            self.exchange(bytes((p.WRITE_NOTEPAD, page)) + whole)
        except _UNCERTAIN as error:
            self._unless(error, lambda: self.read_notepad(page) == whole)

    def ping(self) -> None:
        """Ask whether the module is there: HandShake (R503, 0x40) or VfyPwd; raises SensorError."""
        if self._optional(bytes((p.HANDSHAKE,))) is None and not self.verifyPassword():
            raise WrongPassword(codes.WRONG_PASSWORD, "the module's password has changed")

    def check_sensor(self) -> bool:
        """Whether the module can say that its sensor is sound (R503, 0x36); SensorFaulty if not."""
        return self._optional(bytes((p.CHECK_SENSOR,))) is not None

    def product_info(self) -> ProductInfo | None:
        """What the module says of itself (R503, 0x3C); None where it cannot."""
        reply = self._optional(bytes((p.PRODUCT_INFO,)))
        return None if reply is None else ProductInfo.parse(reply[1:])

    def soft_reset(self) -> bool:
        """Restart the module and shake hands again (R503, 0x3D); False where it cannot."""
        # The boot byte may have run into the acknowledgement.
        with contextlib.suppress(ProtocolError):
            if self._optional(bytes((p.SOFT_RESET,))) is None:
                return False
        self.link.settle()
        self.handshake()
        return True

    def show(self, light: Light) -> bool:
        """Set the ring, or the backlight of models that have only that; whether it was done.

        Best effort: a refusal or a lost answer is not raised, and not asked for again on this
        line. Raises Disconnected and Cancelled like any other command.
        """
        plain = p.LED_OFF if light.effect is Effect.OFF else p.LED_ON
        for command in (light.command(), bytes((plain,))):
            try:
                if self._optional(command) is not None:
                    return True
            except (Refused, ProtocolError) as error:
                self._lacks |= {command[0]}
                _LOG.info("no light by %#04x: %s", command[0], error)
        return False

    def send_template(self, buffer: int, data: bytes) -> None:
        """DownChar: put a template's bytes into character buffer `buffer` (1 or 2).

        A module set to packets of 256 bytes is set to 128 first. Nothing acknowledges the data:
        read them back before they are relied upon.
        """
        if self.getSystemParameters()[5] > _SAFE_PACKET_CODE:
            self.setSystemParameter(_PACKET_SIZE, _SAFE_PACKET_CODE)
        size = self.getMaxPacketSize()
        self.exchange(bytes((p.DOWN_CHAR, buffer)))
        for start in range(0, len(data), size):
            last = start + size >= len(data)
            self._send_data(PacketKind.END if last else PacketKind.DATA, data[start : start + size])

    # -- pyfingerprint's methods, made safe --------------------------------------------------------

    def readImage(self) -> bool:  # noqa: N802 - pyfingerprint's name
        """As inherited; counted in `captures` if there was a finger."""
        if not super().readImage():
            return False
        self.captures += 1
        return True

    def downloadImage(self, imageDestination: str) -> None:  # noqa: N802, N803 - pyfingerprint's name
        """Save the image taken last (UpImage), 256x288 or another model's size; OSError.

        It shows a person's finger in the clear: for trying a sensor out, never for a kiosk.
        """
        data = self._read_stream(bytes((p.UP_IMAGE,)))
        known = self.profile.image if self.profile else None
        sizes = {known} if known else {one.image for one in p.PROFILES.values()}
        size = next((size for size in sizes if size[0] * size[1] == 2 * len(data)), None)
        if size is None:
            raise UnexpectedReply(f"an image of {len(data)} bytes, which is no model's")
        # Two pixels to a byte, sixteen levels of grey.
        pixels = bytes(level * 17 for byte in data for level in (byte >> 4, byte & 0x0F))
        Image.frombytes("L", size, pixels).save(imageDestination)

    def storeTemplate(self, positionNumber: int = -1, charBufferNumber: int = 1) -> int:  # noqa: N802, N803 - pyfingerprint's names
        """As inherited; raises LibraryFull if -1 finds no free slot, or SlotOutOfRange."""
        slot = self._first_free() if positionNumber == -1 else positionNumber
        if not 0 <= slot < self.capacity:
            raise SlotOutOfRange(codes.OUT_OF_RANGE, f"slot {slot} of {self.capacity}")
        try:
            return super().storeTemplate(slot, charBufferNumber)
        except _UNCERTAIN as error:
            self._unless(error, lambda: self._slot_holds_buffer(slot, charBufferNumber))
            return slot

    def deleteTemplate(self, positionNumber: int, count: int = 1) -> bool:  # noqa: N802, N803 - pyfingerprint's names
        """As inherited."""
        try:
            return super().deleteTemplate(positionNumber, count)
        except _UNCERTAIN as error:
            wanted = range(positionNumber, positionNumber + count)
            self._unless(error, lambda: not any(map(self.holds, wanted)))
            return True

    def clearDatabase(self) -> bool:  # noqa: N802 - pyfingerprint's name
        """As inherited."""
        try:
            return super().clearDatabase()
        except _UNCERTAIN as error:
            self._unless(error, lambda: self.getTemplateCount() == 0)
            return True

    def setPassword(self, newPassword: int) -> bool:  # noqa: N802, N803 - pyfingerprint's names
        """As inherited."""
        old: int = self._PyFingerprint__password
        try:
            return super().setPassword(newPassword)
        except _DOUBTFUL as error:
            self._unless(error, lambda: self._answers(self._use_password, newPassword, old))
            return True

    def setAddress(self, newAddress: int) -> bool:  # noqa: N802, N803 - pyfingerprint's names
        """As inherited; the link speaks to the new address from then on."""
        old = self.link.address
        self._answering = (newAddress, old)
        try:
            super().setAddress(newAddress)
            self._use_address(newAddress)
        except _DOUBTFUL as error:
            self._answering = ()
            self._unless(error, lambda: self._answers(self._use_address, newAddress, old))
        finally:
            self._answering = ()
            self._parameters = self._fixed
        return True

    def setSystemParameter(self, parameterNumber: int, parameterValue: int) -> bool:  # noqa: N802, N803 - pyfingerprint's names
        """As inherited; after a change of baud rate the link follows the module."""
        old = self.link.baudrate
        try:
            super().setSystemParameter(parameterNumber, parameterValue)
            if parameterNumber == _BAUDRATE:
                self.link.set_baudrate(9600 * parameterValue)
        except _DOUBTFUL as error:
            if parameterNumber == _BAUDRATE:
                rates = 9600 * parameterValue, old
                self._unless(error, lambda: self._answers(self.link.set_baudrate, *rates))
            else:
                self._unless(error, lambda: self._fresh(parameterNumber) == parameterValue)
        finally:
            self._parameters = self._fixed
        return True

    def holds(self, slot: int) -> bool:
        """Whether the module's index table says that `slot` holds a template."""
        page, bit = divmod(slot, 256)
        return self.getTemplateIndex(page)[bit]

    # -- inside ------------------------------------------------------------------------------------

    def _first_free(self) -> int:
        for page in range(-(-self.capacity // 256)):
            for bit, used in enumerate(self.getTemplateIndex(page)):
                if not used and page * 256 + bit < self.capacity:
                    return page * 256 + bit
        raise LibraryFull(codes.LIBRARY_FULL, f"all {self.capacity} slots are in use")

    def _optional(self, content: bytes) -> bytes | None:
        """The answer, code first, to an instruction of some models only; None where it is unknown.

        What is unknown once is not asked again. 0x01 also means a damaged command, and silence a
        lost answer: both are asked twice, but for lights, which nobody is to wait for.
        """
        if content[0] in self._lacks:
            return None
        for _ in range(2):
            try:
                return self._exchange(content)
            except ResponseTimeout:
                if content[0] in _LIGHTS:
                    break
            except Refused as refusal:
                if refusal.code == codes.UNSUPPORTED:
                    break
                if refusal.code != codes.PACKET_ERROR:
                    raise
        self._lacks |= {content[0]}
        return None

    def _read_stream(self, content: bytes) -> bytes:
        """What comes in data packets behind the acknowledgement of one command."""
        self._exchange(content)
        data, kind = b"", 0
        while kind != PacketKind.END:
            kind, packet = self._PyFingerprint__readPacket()
            data += packet
        return data

    def _unless(self, error: SensorError, obeyed: Callable[[], bool]) -> None:
        """Raise `error`, unless reading back shows that the command was obeyed all the same."""
        try:
            done = obeyed()
        except (Cancelled, Disconnected, PasswordRequired):
            raise
        except SensorError as another:
            _LOG.warning("reading back failed as well: %s", another)
            done = False
        if not done:
            raise error
        _LOG.warning("an answer was lost (%s), but the module had obeyed", error)

    def _slot_holds_buffer(self, slot: int, buffer: int) -> bool:
        """Whether `slot` holds what `buffer` holds; overwrites the other buffer."""
        if not self.holds(slot):
            return False
        stored, other = self.downloadCharacteristics(buffer), 3 - buffer
        self.loadTemplate(slot, other)
        return self.downloadCharacteristics(other) == stored

    def _fresh(self, parameter: int) -> int:
        self._parameters = None
        return self.getSystemParameters()[{5: 3, 6: 5}[parameter]]

    def _use_password(self, password: int) -> None:
        self._PyFingerprint__password = password

    def _use_address(self, address: int) -> None:
        self._PyFingerprint__address = self.link.address = address

    def _answers(self, use: Callable[[int], object], new: int, old: int) -> bool:
        """Whether the module answers to `new`; if not, `old` is used again."""
        for value in (new, old, new):
            use(value)
            self.link.settle()
            try:
                self._verify(SYNC_TRY)
            except (ResponseTimeout, ProtocolError, WrongPassword):
                continue
            return value == new
        use(old)
        return False


def open_zfm(
    port: str,
    baudrate: int = 57_600,
    address: int = DEFAULT_ADDRESS,
    password: int = 0,
    profile: Profile | str | None = None,
) -> ZfmSensor:
    """A sensor that is open, has answered and is in step; raises SensorError, port closed.

    `port` is a path, or `usb:VID:PID[:SERIAL]` (see `drivers.ports`). `profile` is needed only for
    a module that does not tell its parameters (R308; without it: ModelUnknown), as itself or by
    its built-in name; None and "" let the module speak for itself. ValueError for unknown names.
    A busy port is tried for half a second: a closed `Reader` holds its own for less than that.
    """
    model = p.profile_named(profile) if isinstance(profile, str) else profile
    deadline = time.monotonic() + _BUSY_WAIT
    while True:
        try:
            sensor = ZfmSensor(resolve_port(port), baudrate, address, password, model)
            break
        except PortBusy:
            if time.monotonic() >= deadline:
                raise
            time.sleep(_BUSY_TRY)
    try:
        sensor.handshake()
    except BaseException:
        sensor.close()
        raise
    return sensor


def reset_zfm(port: str, baudrate: int = 57_600, address: int = DEFAULT_ADDRESS) -> None:
    """Tell a module that does not answer to restart (R503, 0x3D), and wait until it has booted.

    Cancel (0x30) goes first: a module that another host left in AutoEnroll or AutoIdentify hears
    nothing else. Nothing says whether it worked; modules without the two ignore them. Raises a
    TransportError if the port cannot be had.
    """
    with ZfmSensor(resolve_port(port), baudrate, address) as sensor:
        for instruction in (p.CANCEL, p.SOFT_RESET):
            sensor.link.command(bytes((instruction,)))
            sensor.link.settle()


def _words(*values: int) -> bytes:
    return b"".join(value.to_bytes(2, "big") for value in values)
