"""The sensor itself, without a wire: packets in, replies out, flash and RAM behind them.

Instructions and confirmation codes: ZFM-20 manual V2.0, 6.1 to 6.4, and the R30x manual for the
notepad. Where they leave a case open, the choice is named beside it.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

from drivers import codes as c
from drivers import profiles as p
from drivers.emulator import fingers
from drivers.emulator.fingers import Finger, Quality
from drivers.emulator.memory import Download, Flash, Image, Ram
from drivers.packets import MAX_CONTENT, Fault, FaultKind, Packet, PacketKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from drivers.profiles import Profile

_QUALITY_CODES = {Quality.PARTIAL: c.TOO_FEW_FEATURES, Quality.SMUDGED: c.TOO_MESSY}
_MOISTURE_CODES = {Quality.DRY: c.TOO_DRY, Quality.WET: c.TOO_WET}
# A module without codes of their own sees too little of a dry finger and too much of a wet one.
_WITHOUT_MOISTURE_CODES = {Quality.DRY: c.TOO_FEW_FEATURES, Quality.WET: c.TOO_MESSY}


@dataclass(frozen=True, slots=True)
class Reply:
    """Packets to send after thinking for `busy` seconds; `after` is done once they are sent."""

    instruction: int
    packets: tuple[Packet, ...]
    busy: float = 0.0
    after: Callable[[], None] | None = None


@dataclass(frozen=True, slots=True)
class _Answer:
    code: int = c.OK
    data: bytes = b""
    stream: bytes = b""
    busy: float = 0.0
    after: Callable[[], None] | None = None


class _Handler(Protocol):
    def __call__(self, module: Module, params: bytes, /) -> _Answer: ...


class Module:
    """One module of `profile`; `finger` is what lies on its glass. Not thread-safe."""

    def __init__(self, profile: Profile, seed: int = 0) -> None:
        self.profile = profile
        self.flash = Flash(
            security_level=profile.security_level,
            packet_code=profile.packet_code,
            baud_code=profile.baud_code,
        )
        self.finger: Finger | None = None
        self.ram = Ram()
        self._random = random.Random(seed)  # noqa: S311 - repeatable on purpose, nothing secret

    def power_on(self) -> None:
        """Start with an empty RAM."""
        self.ram = Ram()

    def enrol(self, name: str, slot: int) -> None:
        """Put the named finger's template into the library, as if enrolled here; ValueError."""
        if not 0 <= slot < self.profile.capacity:
            raise ValueError(f"slot {slot} is not in 0 to {self.profile.capacity - 1}")
        self.flash.library[slot] = self._impression(Finger(name).identity)

    def on_packet(self, packet: Packet) -> Reply | None:
        """What the module answers, if anything."""
        if packet.kind is PacketKind.ACK:
            return None
        if packet.address != self.flash.address:
            answered = packet.kind is PacketKind.COMMAND and self.profile.answers_wrong_address
            return self._reply(packet.content[0], _Answer(c.ADDRESS_ERROR)) if answered else None
        if packet.kind is not PacketKind.COMMAND:
            self._absorb(packet)
            return None
        return self._reply(packet.content[0], self._obey(packet.content))

    def on_fault(self, fault: Fault) -> Reply | None:
        """A damaged frame is acknowledged with 01 if its checksum is all that is wrong."""
        if fault.kind is not FaultKind.CHECKSUM or fault.address != self.flash.address:
            return None
        return self._reply(fault.raw[9], _Answer(c.PACKET_ERROR))

    def _obey(self, content: bytes) -> _Answer:
        instruction, params = content[0], content[1:]
        if self.ram.download is not None or self.ram.data_failed:
            self.ram.download, self.ram.data_failed = None, False
            return _Answer(c.DATA_FAILED)
        locked = self.flash.password != 0 and not self.ram.verified
        if locked and instruction != p.VERIFY_PASSWORD:
            return _Answer(c.PASSWORD_NEEDED)
        if instruction not in self.profile.instructions or instruction not in self._HANDLERS:
            return _Answer(self.profile.unknown_code)
        needed, handler = self._HANDLERS[instruction]
        return handler(self, params) if len(params) >= needed else _Answer(c.PACKET_ERROR)

    def _reply(self, instruction: int, answer: _Answer) -> Reply:
        address = self.flash.address
        packets = [Packet(PacketKind.ACK, bytes((answer.code,)) + answer.data, address)]
        size = min(p.PACKET_SIZES[self.flash.packet_code], MAX_CONTENT)
        for start in range(0, len(answer.stream), size):
            last = start + size >= len(answer.stream)
            kind = PacketKind.END if last else PacketKind.DATA
            packets.append(Packet(kind, answer.stream[start : start + size], address))
        return Reply(instruction, tuple(packets), answer.busy, answer.after)

    def _absorb(self, packet: Packet) -> None:
        download = self.ram.download
        if download is None:
            return
        download.data += packet.content
        if len(download.data) > download.limit:
            self.ram.download, self.ram.data_failed = None, True
        elif packet.kind is PacketKind.END:
            self.ram.download = None
            self._accept(download)

    def _accept(self, download: Download) -> None:
        data = bytes(download.data).ljust(download.limit, b"\0")
        if download.buffer is None:
            self.ram.image = Image(fingers.identity_of(data), pixels=data)
        else:
            self.ram.buffers[download.buffer] = data

    # -- capture -----------------------------------------------------------------------------------

    def _gen_image(self, _: bytes) -> _Answer:
        timing = self.profile.timing
        if self.finger is None:
            return _Answer(c.NO_FINGER, busy=timing.image_miss)
        self.ram.image = Image(self.finger.identity, self.finger.quality)
        if self.profile.image_clears_buffers:
            self.ram.buffers.clear()
        return _Answer(busy=self._random.uniform(*timing.image_hit))

    def _convert(self, params: bytes) -> _Answer:
        image, busy = self.ram.image, self.profile.timing.convert
        if image is None:
            return _Answer(c.NO_IMAGE)
        if image.identity is None:
            return _Answer(c.TOO_FEW_FEATURES, busy=busy)
        if (code := self._quality_code(image.quality)) != c.OK:
            return _Answer(code, busy=busy)
        self.ram.buffers[self._buffer(params[0])] = self._impression(image.identity)
        return _Answer(busy=busy)

    def _quality_code(self, quality: Quality) -> int:
        moisture = _MOISTURE_CODES if self.profile.moisture_codes else _WITHOUT_MOISTURE_CODES
        return (_QUALITY_CODES | moisture).get(quality, c.OK)

    def _impression(self, identity: bytes) -> bytes:
        number = self._random.getrandbits(32)
        return fingers.template(identity, number, self.profile.template_size)

    def _buffer(self, number: int) -> int:
        """A BufferID the module does not have means CharBuffer2."""
        return number if 1 <= number <= self.profile.buffers else 2

    # -- templates ---------------------------------------------------------------------------------

    def _match(self, _: bytes) -> _Answer:
        first, second = self.ram.buffers.get(1), self.ram.buffers.get(2)
        score = fingers.compare(first, second, self.profile.scores) if first and second else 0
        self.ram.matched = score > 0
        return _Answer(c.OK if score else c.NO_MATCH, score.to_bytes(2, "big"))

    def _search(self, params: bytes) -> _Answer:
        probe = self.ram.buffers.get(self._buffer(params[0]))
        start, count = _word(params, 1), _word(params, 3)
        timing, library = self.profile.timing, self.flash.library
        busy = timing.search + timing.search_each * len(library)
        hits = (
            (slot, fingers.compare(probe or b"", library[slot], self.profile.scores))
            for slot in sorted(library)
            if start <= slot < start + count
        )
        slot, score = next((hit for hit in hits if hit[1]), (self.profile.page_when_missed, 0))
        self.ram.matched = score > 0
        data = slot.to_bytes(2, "big") + score.to_bytes(2, "big")
        return _Answer(c.OK if score else c.NOT_FOUND, data, busy=busy)

    def _reg_model(self, _: bytes) -> _Answer:
        first, second = self.ram.buffers.get(1), self.ram.buffers.get(2)
        if first is None or second is None:
            return _Answer(c.MERGE_FAILED)
        if not fingers.compare(first, second, self.profile.scores):
            if not self.profile.merges_strangers:
                return _Answer(c.MERGE_FAILED)
            # A chimera of two fingers, which neither of them finds again.
            identity = bytes(a ^ b for a, b in zip(first, second, strict=True))[-16:]
            first = fingers.template(identity, 0, len(first))
        merged = fingers.merge(first, second)
        self.ram.buffers[1] = self.ram.buffers[2] = merged
        return _Answer()

    def _store(self, params: bytes) -> _Answer:
        slot, content = _word(params, 1), self.ram.buffers.get(self._buffer(params[0]))
        if slot >= self.profile.capacity:
            return _Answer(c.OUT_OF_RANGE)
        if content is None:
            # Left open by the manuals; nothing valid can be written.
            return _Answer(c.FLASH_ERROR)
        self.flash.library[slot] = content
        return _Answer(busy=self.profile.timing.store)

    def _load(self, params: bytes) -> _Answer:
        slot = _word(params, 1)
        if slot >= self.profile.capacity:
            return _Answer(c.OUT_OF_RANGE)
        if (content := self.flash.library.get(slot)) is None:
            return _Answer(c.TEMPLATE_INVALID)
        self.ram.buffers[self._buffer(params[0])] = content
        return _Answer()

    def _delete(self, params: bytes) -> _Answer:
        first, count = _word(params, 0), _word(params, 2)
        if first + count > self.profile.capacity:
            return _Answer(c.DELETE_FAILED)
        for slot in range(first, first + count):
            self.flash.library.pop(slot, None)
        return _Answer(busy=self.profile.timing.store)

    def _empty(self, _: bytes) -> _Answer:
        self.flash.library.clear()
        return _Answer(busy=self.profile.timing.empty)

    def _count(self, _: bytes) -> _Answer:
        return _Answer(data=len(self.flash.library).to_bytes(2, "big"))

    def _index(self, params: bytes) -> _Answer:
        if params[0] > 3:
            return _Answer(c.PACKET_ERROR)
        table = bytearray(32)
        for slot in self.flash.library:
            page, bit = divmod(slot, 256)
            if page == params[0]:
                table[bit // 8] |= 1 << bit % 8
        return _Answer(data=bytes(table))

    # -- data phases -------------------------------------------------------------------------------

    def _up_char(self, params: bytes) -> _Answer:
        content = self.ram.buffers.get(self._buffer(params[0]))
        return _Answer(c.UPLOAD_FAILED) if content is None else _Answer(stream=content)

    def _down_char(self, params: bytes) -> _Answer:
        self.ram.download = Download(self._buffer(params[0]), self.profile.template_size)
        return _Answer()

    def _up_image(self, _: bytes) -> _Answer:
        image = self.ram.image
        if image is None or image.identity is None:
            return _Answer(c.IMAGE_UPLOAD_FAILED)
        return _Answer(stream=image.pixels or fingers.image(image.identity, self.profile.image))

    def _down_image(self, _: bytes) -> _Answer:
        width, height = self.profile.image
        self.ram.download = Download(None, width * height // 2)
        return _Answer()

    # -- system ------------------------------------------------------------------------------------

    def _set_parameter(self, params: bytes) -> _Answer:
        number, value = params[0], params[1]
        if number not in _PARAMETERS:
            return _Answer(c.BAD_REGISTER)
        name, allowed = _PARAMETERS[number]
        if value not in allowed:
            return _Answer(c.BAD_SETTING)
        return _Answer(after=lambda: setattr(self.flash, name, value))

    def _read_parameters(self, _: bytes) -> _Answer:
        ram, flash = self.ram, self.flash
        status = ram.matched << 1 | ram.verified << 2 | (ram.image is not None) << 3
        words = (status, self.profile.system_id, self.profile.capacity, flash.security_level)
        tail = (flash.packet_code, flash.baud_code)
        return _Answer(data=_words(words) + flash.address.to_bytes(4, "big") + _words(tail))

    def _set_password(self, params: bytes) -> _Answer:
        self.flash.password = int.from_bytes(params[:4], "big")
        return _Answer(busy=self.profile.timing.store)

    def _verify_password(self, params: bytes) -> _Answer:
        self.ram.verified = int.from_bytes(params[:4], "big") == self.flash.password
        return _Answer(c.OK if self.ram.verified else c.WRONG_PASSWORD)

    def _set_address(self, params: bytes) -> _Answer:
        self.flash.address = int.from_bytes(params[:4], "big")
        return _Answer(busy=self.profile.timing.store)

    def _random_code(self, _: bytes) -> _Answer:
        return _Answer(data=self._random.randbytes(4))

    def _write_notepad(self, params: bytes) -> _Answer:
        if params[0] >= self.profile.notepad_pages:
            return _Answer(c.BAD_NOTEPAD_PAGE)
        self.flash.notepad[params[0]] = params[1 : 1 + p.NOTEPAD_PAGE]
        return _Answer(busy=self.profile.timing.store)

    def _read_notepad(self, params: bytes) -> _Answer:
        if params[0] >= self.profile.notepad_pages:
            return _Answer(c.BAD_NOTEPAD_PAGE)
        return _Answer(data=self.flash.notepad.get(params[0], bytes(p.NOTEPAD_PAGE)))

    # Instruction code -> bytes of parameters needed, and who obeys.
    _HANDLERS: ClassVar[dict[int, tuple[int, _Handler]]] = {
        p.GEN_IMAGE: (0, _gen_image),
        p.IMAGE_TO_TEMPLATE: (1, _convert),
        p.MATCH: (0, _match),
        p.SEARCH: (5, _search),
        p.HI_SPEED_SEARCH: (5, _search),
        p.REG_MODEL: (0, _reg_model),
        p.STORE: (3, _store),
        p.LOAD_CHAR: (3, _load),
        p.UP_CHAR: (1, _up_char),
        p.DOWN_CHAR: (1, _down_char),
        p.UP_IMAGE: (0, _up_image),
        p.DOWN_IMAGE: (0, _down_image),
        p.DELETE_CHAR: (4, _delete),
        p.EMPTY: (0, _empty),
        p.SET_SYS_PARA: (2, _set_parameter),
        p.READ_SYS_PARA: (0, _read_parameters),
        p.SET_PASSWORD: (4, _set_password),
        p.VERIFY_PASSWORD: (4, _verify_password),
        p.GET_RANDOM: (0, _random_code),
        p.SET_ADDRESS: (4, _set_address),
        p.TEMPLATE_COUNT: (0, _count),
        p.READ_INDEX: (1, _index),
        p.WRITE_NOTEPAD: (1 + p.NOTEPAD_PAGE, _write_notepad),
        p.READ_NOTEPAD: (1, _read_notepad),
    }


_PARAMETERS = {
    4: ("baud_code", range(1, 13)),
    5: ("security_level", range(1, 6)),
    6: ("packet_code", range(4)),
}


def _word(params: bytes, at: int) -> int:
    return int.from_bytes(params[at : at + 2], "big")


def _words(values: tuple[int, ...]) -> bytes:
    return b"".join(value.to_bytes(2, "big") for value in values)
