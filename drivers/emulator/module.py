"""The sensor itself, without a wire: packets in, replies out, flash and RAM behind them.

Packets and gates: ZFM-20 manual V2.0, 4.5 and chapter 5. What each instruction does is in
`instructions` (every model), `extensions` (families) and `flows` (what they do by themselves).
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from drivers import codes as c
from drivers import profiles as p
from drivers.emulator import fingers, ridges
from drivers.emulator.extensions import EXTENSIONS
from drivers.emulator.fingers import Finger, Quality
from drivers.emulator.flows import FLOWS
from drivers.emulator.glass import Glass
from drivers.emulator.instructions import CORE
from drivers.emulator.memory import Download, Flash, Image, Part, Ram
from drivers.emulator.reply import Answer, Reply
from drivers.packets import MAX_CONTENT, Fault, FaultKind, Packet, PacketKind

if TYPE_CHECKING:
    from drivers.profiles import Profile

_HANDLERS = CORE | EXTENSIONS | FLOWS
_KIND_AT = 6
_CONTENT_AT = 9


class Module:
    """One module of `profile`, looking at `glass`. Not thread-safe.

    The same `seed` and the same packets give the same replies; the seed also makes the serial
    number that ReadProdInfo tells.
    """

    def __init__(self, profile: Profile, seed: int = 0, glass: Glass | None = None) -> None:
        self.profile = profile
        self.random = random.Random(seed)  # noqa: S311 - repeatable on purpose, nothing secret
        self.flash = Flash(
            security_level=profile.security_level,
            packet_code=profile.packet_code,
            baud_code=profile.baud_code,
            serial=b"%08d" % (seed % 10**8),
        )
        self.glass = Glass() if glass is None else glass
        self.broken: set[Part] = set()
        self.ram = Ram()

    def power_on(self) -> None:
        """Start with an empty RAM."""
        self.ram = Ram()

    def enrol(self, name: str, slot: int) -> None:
        """Put the named finger's template into the library, as if enrolled here; ValueError."""
        if not 0 <= slot < self.profile.capacity:
            raise ValueError(f"slot {slot} is not in 0 to {self.profile.capacity - 1}")
        self.flash.store(slot, self.impression(Finger(name).identity))

    def instruction_of(self, item: Packet | Fault) -> int | None:
        """The instruction to which `react` would answer; None if it would stay silent."""
        if isinstance(item, Fault):
            free = self.ram.flow is None
            damaged = (
                free and item.kind is FaultKind.CHECKSUM and item.address == self.flash.address
            )
            answered = damaged and item.raw[_KIND_AT] == PacketKind.COMMAND
            return item.raw[_CONTENT_AT] if answered else None
        mine = item.address == self.flash.address or self.profile.answers_wrong_address
        heard = mine and item.kind is PacketKind.COMMAND and not self._absorbed_in_a_flow(item)
        return item.content[0] if heard else None

    def react(self, item: Packet | Fault) -> Reply | None:
        """What the module answers to whatever came over the line, if anything."""
        return self.on_fault(item) if isinstance(item, Fault) else self.on_packet(item)

    def on_packet(self, packet: Packet) -> Reply | None:
        """What the module answers, if anything."""
        if self._absorbed_in_a_flow(packet):
            return None
        if packet.address != self.flash.address:
            answered = packet.kind is PacketKind.COMMAND and self.profile.answers_wrong_address
            return self._reply(packet.content[0], Answer(c.ADDRESS_ERROR)) if answered else None
        if packet.kind is PacketKind.COMMAND:
            return self._reply(packet.content[0], self._obey(packet.content))
        if packet.kind is not PacketKind.ACK:
            self._absorb(packet)
        return None

    def on_fault(self, fault: Fault) -> Reply | None:
        """A command whose checksum is wrong gets 01; damaged data spoils its download."""
        if (instruction := self.instruction_of(fault)) is not None:
            return self._reply(instruction, Answer(c.PACKET_ERROR))
        if fault.kind is FaultKind.CHECKSUM and self.ram.download is not None:
            self.ram.download, self.ram.data_failed = None, True
        return None

    def advance(self, now: float) -> Reply | None:
        """What a flow that is under way has to say at `now` (seconds, of any clock), if anything.

        A reply without packets is thought that is not told.
        """
        if (flow := self.ram.flow) is None or (answer := flow.advance(now)) is None:
            return None
        if flow.over:
            self.ram.flow = None
        return self._reply(flow.instruction, answer)

    # -- for the instructions ----------------------------------------------------------------------

    def buffer(self, number: int) -> int:
        """A BufferID the module does not have means CharBuffer2."""
        return number if 1 <= number <= self.profile.buffers else 2

    def fill_buffer(self, number: int, template: bytes) -> None:
        """Put a template, from flash or from the host, into a buffer."""
        self.ram.buffers[number] = self.ram.model = template
        self.ram.spoilt.discard(number)

    def impression(self, identity: bytes) -> bytes:
        """A template of one more look at that finger."""
        return fingers.template(identity, self.random.getrandbits(32), self.profile.template_size)

    def quality_code(self, quality: Quality) -> int:
        """What Img2Tz says of such an image."""
        moisture = _MOISTURE_CODES if self.profile.moisture_codes else _WITHOUT_MOISTURE_CODES
        return (_QUALITY_CODES | moisture).get(quality, c.OK)

    def write_fails(self) -> bool:
        """Whether the flash is broken."""
        return Part.FLASH in self.broken

    def _absorbed_in_a_flow(self, packet: Packet) -> bool:
        """Left open by the manuals: what other commands get meanwhile; here nothing."""
        return self.ram.flow is not None and packet.content[0] != p.CANCEL

    # -- packets -----------------------------------------------------------------------------------

    def _obey(self, content: bytes) -> Answer:
        instruction, params = content[0], content[1:]
        if self.ram.download is not None or self.ram.data_failed:
            self.ram.download, self.ram.data_failed = None, False
            return Answer(c.DATA_FAILED)
        locked = self.flash.password != 0 and not self.ram.verified
        if locked and instruction != p.VERIFY_PASSWORD:
            return Answer(c.PASSWORD_NEEDED)
        if not self.profile.supports(instruction) or instruction not in _HANDLERS:
            return Answer(self.profile.unknown_code)
        needed, handler = _HANDLERS[instruction]
        if len(params) < needed:
            return Answer(c.PACKET_ERROR)
        answer = handler(self, params)
        self.ram.flow = answer.flow
        return answer

    def _reply(self, instruction: int, answer: Answer) -> Reply:
        if answer.silent or answer.flow is not None:
            return Reply(instruction, (), answer.busy)
        address = self.flash.address
        packets = [Packet(PacketKind.ACK, bytes((answer.code,)) + answer.data, address)]
        size = min(p.PACKET_SIZES[self.flash.packet_code], MAX_CONTENT)
        for start in range(0, len(answer.stream), size):
            last = start + size >= len(answer.stream)
            kind = PacketKind.END if last else PacketKind.DATA
            packets.append(Packet(kind, answer.stream[start : start + size], address))
        return Reply(instruction, tuple(packets), answer.busy, answer.after, answer.resets)

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
            self.ram.image = Image(*ridges.signature(data), pixels=data)
        else:
            self.fill_buffer(download.buffer, data)


_QUALITY_CODES = {Quality.PARTIAL: c.TOO_FEW_FEATURES, Quality.SMUDGED: c.TOO_MESSY}
_MOISTURE_CODES = {Quality.DRY: c.TOO_DRY, Quality.WET: c.TOO_WET}
# A module without codes of their own sees too little of a dry finger and too much of a wet one.
_WITHOUT_MOISTURE_CODES = {Quality.DRY: c.TOO_FEW_FEATURES, Quality.WET: c.TOO_MESSY}
