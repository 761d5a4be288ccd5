"""Everything that can be made to go wrong with an emulated sensor, as methods of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drivers.emulator.faults import Mishap
from drivers.emulator.fingers import Finger, Quality, altered
from drivers.emulator.memory import Part
from drivers.packets import Packet, PacketKind, encode

if TYPE_CHECKING:
    from collections.abc import Callable

    from drivers.emulator.glass import Glass
    from drivers.emulator.line import Line
    from drivers.emulator.module import Module

NOISE = bytes.fromhex("5500FFEF7E0113A0EF")


class Trouble:
    """Faults of the line, the glass and the module; each may be called from any thread.

    The first group spoils one exchange each, `times` of them; with an `instruction`, only answers
    to that one. The others last until `heal` or the method named beside them.
    """

    _line: Line
    _glass: Glass
    _keep: Callable[[], None]

    # -- one exchange ------------------------------------------------------------------------------

    def inject(self, *mishaps: Mishap) -> None:
        """Spoil the next exchanges, one mishap each."""
        self._line.mishaps.add(*mishaps)

    def silence(self, instruction: int | None = None, times: int = 1) -> None:
        """The command is obeyed, its reply is lost."""
        self.inject(*[Mishap(instruction, silent=True)] * times)

    def lose(self, instruction: int | None = None, times: int = 1) -> None:
        """The command itself is lost: not obeyed, not answered."""
        self.inject(*[Mishap(instruction, unheard=True)] * times)

    def slow(self, seconds: float, instruction: int | None = None, times: int = 1) -> None:
        """The reply comes `seconds` later, whatever the timing mode."""
        self.inject(*[Mishap(instruction, delay=seconds)] * times)

    def cut(self, count: int, instruction: int | None = None, times: int = 1) -> None:
        """Only the first `count` bytes of the reply, data packets included, are sent."""
        self.inject(*[Mishap(instruction, cut=count)] * times)

    def garbage(
        self,
        data: bytes = NOISE,
        instruction: int | None = None,
        times: int = 1,
        *,
        instead: bool = False,
    ) -> None:
        """Noise before the reply, or instead of it."""
        self.inject(*[Mishap(instruction, noise=data, silent=instead)] * times)

    def wrong_checksum(self, instruction: int | None = None, times: int = 1) -> None:
        """The last packet of the reply has a wrong checksum."""
        self.inject(*[Mishap(instruction, bad_checksum=True)] * times)

    def wrong_address(
        self, address: int = 0x12345678, instruction: int | None = None, times: int = 1
    ) -> None:
        """The reply claims to come from another module."""
        self.inject(*[Mishap(instruction, address=address)] * times)

    def refuse(self, code: int, instruction: int | None = None, times: int = 1) -> None:
        """The reply is this confirmation code and nothing else (the command is obeyed)."""
        self.inject(*[Mishap(instruction, code=code)] * times)

    def unplug_mid_reply(self, count: int, instruction: int | None = None) -> None:
        """The cable is pulled once `count` bytes of the reply are out; `replug` puts it back."""
        self.inject(Mishap(instruction, cut=count, unplug=True))

    def stale(self, content: bytes = b"\0") -> None:
        """Send, now, an acknowledgement to which there was no command; RuntimeError unplugged."""
        address = self._line.module.flash.address
        self.send(encode(Packet(PacketKind.ACK, content, address)))

    def send(self, data: bytes) -> None:
        """Send bytes that nobody has asked for; raises RuntimeError while unplugged."""
        self._line.do(lambda: self._line.volunteer(data))

    # -- the glass ---------------------------------------------------------------------------------

    def stick(self, name: str | None = None) -> None:
        """The finger on the glass, or the named one, stays whatever `lift` does; until `wipe`.

        Raises ValueError if there is none.
        """
        with self._line.lock:
            if name is not None:
                self._glass.place(Finger(name))
            if self._glass.finger is None:
                raise ValueError("no finger is on the glass")
            self._glass.stuck = True

    def leave_latent(self, name: str | None = None, quality: Quality | str = Quality.GOOD) -> None:
        """A print on the glass is taken for a finger when nobody is there; until `wipe`.

        It is the named finger's, or that of the last one placed; raises ValueError if none was.
        """
        finger = None if name is None else Finger(name, Quality(quality))
        with self._line.lock:
            latent = finger or self._glass.last
            if latent is None:
                raise ValueError("no finger was on the glass yet")
            self._glass.latent = latent

    def haunt(self) -> None:
        """GetImage succeeds although nobody is there, and Img2Tz finds nothing; until `wipe`."""
        with self._line.lock:
            self._glass.ghost = True

    def wipe(self) -> None:
        """Clean the glass: no latent print, no ghost, nothing stuck."""
        with self._line.lock:
            self._glass.wipe()

    # -- the module --------------------------------------------------------------------------------

    def fill(self) -> None:
        """Strangers' templates fill every free slot: the library is full."""

        def fill(module: Module) -> None:
            for slot in set(range(module.profile.capacity)) - module.flash.library.keys():
                module.enrol(f"stranger {slot}", slot)

        self._change(fill)

    def clear_library(self) -> None:
        """Another host empties the library; the notepad stays."""
        self._change(lambda module: module.flash.erase(list(module.flash.library)))

    def alter(self, slot: int) -> None:
        """The stored template changes by itself: it still matches, but its bytes are others.

        Raises ValueError for an empty slot.
        """

        def alter(module: Module) -> None:
            if (content := module.flash.library.get(slot)) is None:
                raise ValueError(f"slot {slot} is empty")
            module.flash.store(slot, altered(content, module.random.getrandbits(32)))

        self._change(alter)

    def ruin(self, slot: int) -> None:
        """The stored template turns into bytes that match nothing; ValueError for an empty slot."""

        def ruin(module: Module) -> None:
            if slot not in module.flash.library:
                raise ValueError(f"slot {slot} is empty")
            module.flash.store(slot, module.random.randbytes(module.profile.template_size))

        self._change(ruin)

    def set_baudrate(self, baudrate: int) -> None:
        """The module speaks at another rate than its host thinks; raises ValueError."""

        def change(module: Module) -> None:
            code, rest = divmod(baudrate, 9600)
            if rest or code not in module.profile.baud_codes:
                raise ValueError(f"a {module.profile.name} has no {baudrate} baud")
            module.flash.configure("baud_code", code)

        self._change(change)

    def set_password(self, password: int) -> None:
        """Another host sets a password: everything gets 21 until it is verified; 0: none."""
        self._change(lambda module: module.flash.configure("password", password & 0xFFFFFFFF))

    def set_address(self, address: int) -> None:
        """Another host gives the module another address: it no longer answers to the old one."""
        self._change(lambda module: module.flash.configure("address", address & 0xFFFFFFFF))

    def restart(self) -> None:
        """The module restarts behind a live port: RAM lost, password to verify, boot byte sent."""
        self._line.do(self._line.power_on)

    def break_part(self, part: Part | str) -> None:
        """Break it: "flash" (18 to every write) or "sensor" (03 to GetImage); until `mend`."""
        with self._line.lock:
            self._line.module.broken.add(Part(part))

    def mend(self, part: Part | str) -> None:
        """Undo `break_part`."""
        with self._line.lock:
            self._line.module.broken.discard(Part(part))

    def heal(self) -> None:
        """No mishap waits, nothing is broken, the glass is clean; cable and flash stay as is."""
        self._line.mishaps.clear()
        with self._line.lock:
            self._line.module.broken.clear()
            self._glass.wipe()

    def _change(self, change: Callable[[Module], None]) -> None:
        with self._line.lock:
            change(self._line.module)
            self._keep()
