"""The emulated sensor as its users see it: plug, fingers, library, and all that can go wrong."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from drivers.emulator import state as states
from drivers.emulator.fingers import Finger, Quality
from drivers.emulator.glass import Glass
from drivers.emulator.line import Line, TimingMode
from drivers.emulator.module import Module
from drivers.emulator.trouble import Trouble
from drivers.profiles import PROFILES, Profile

if TYPE_CHECKING:
    from drivers.emulator.memory import Light

_LOG = logging.getLogger(__name__)


class Emulator(Trouble):
    """One emulated sensor. Its own thread serves the pty; every method may be called from any.

    `timing`: "instant" answers at once, "paced" takes the time the bytes need at the module's
    baud rate, "realistic" also thinks as long as a real module. `link_path` becomes a symbolic
    link to the pty. The same `seed` and the same commands give the same bytes. `state` names a
    file that keeps the flash from one process to the next; it is read now (raises StateFileError
    or OSError) and written whenever the flash changes.
    """

    def __init__(
        self,
        profile: Profile | str,
        link_path: str | Path,
        timing: TimingMode = "instant",
        seed: int = 0,
        state: str | Path | None = None,
    ) -> None:
        self.profile = PROFILES[profile] if isinstance(profile, str) else profile
        self.port = str(link_path)
        self._seed = seed
        self._glass = Glass()
        self._state = None if state is None else Path(state)
        flashes, self._plugged = states.load(self._state, self.profile) if self._state else ({}, 0)
        self._modules: dict[int, Module] = {}
        for number, flash in flashes.items():
            self._module(number).flash = flash
        self._line = Line(self._module(self._plugged), Path(link_path), timing, self._keep)
        self._kept = self._revision()

    # -- life --------------------------------------------------------------------------------------

    def start(self) -> Self:
        """Plug the sensor in and power it; raises OSError if the link cannot be made."""
        self._line.start()
        return self

    def stop(self) -> None:
        """Unplug it, remove the link and end the thread; safe to call twice."""
        self._line.stop()

    def __enter__(self) -> Self:
        return self if self._line.running else self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    # -- what people do ----------------------------------------------------------------------------

    def place(self, name: str, quality: Quality | str = Quality.GOOD) -> None:
        """Put the named finger on the glass; raises ValueError for a quality there is not."""
        finger = Finger(name, Quality(quality))
        with self._line.lock:
            self._glass.place(finger)

    def lift(self) -> None:
        """Take the finger away."""
        with self._line.lock:
            self._glass.lift()

    def enrol(self, name: str, slot: int) -> None:
        """Write the named finger's template to `slot` of the flash; raises ValueError."""
        self._change(lambda module: module.enrol(name, slot))

    def unplug(self) -> None:
        """Pull the cable: the link goes, the host's port fails, RAM is lost; RuntimeError."""
        self._line.do(self._line.unplug)

    def replug(self) -> None:
        """Put the cable back: a new pty behind the same link, a module fresh from power-up."""
        self._line.do(self._line.replug)

    def swap(self, number: int = 1) -> None:
        """Put module `number` on the cable: library, notepad, serial and parameters of its own.

        The port stays, as that of a USB adapter would. 0 is the module that was there at first;
        each number is always the same module. Raises ValueError below 0.
        """
        if number < 0:
            raise ValueError("modules are numbered from 0")

        def exchange() -> None:
            with self._line.lock:
                self._plugged = number
                self._line.module = self._module(number)
                self._keep()
            if self._line.wire.plugged:
                self._line.power_on()

        self._line.do(exchange)

    # -- what can be looked at ---------------------------------------------------------------------

    @property
    def history(self) -> list[int]:
        """Instruction codes of the commands obeyed, oldest first, the last 10,000 at most."""
        with self._line.lock:
            return list(self._line.history)

    @property
    def slots(self) -> frozenset[int]:
        """Slots of the library that hold a template."""
        with self._line.lock:
            return frozenset(self._line.module.flash.library)

    @property
    def light(self) -> Light:
        """What the module's light was last told."""
        with self._line.lock:
            return self._line.module.ram.light

    def look(self) -> dict[str, Any]:
        """All of it that fits a line, as JSON would have it."""
        with self._line.lock:
            module, flash = self._line.module, self._line.module.flash
            finger = self._glass.finger
            return {
                "profile": self.profile.name,
                "module": self._plugged,
                "plugged": self._line.wire.plugged,
                "finger": finger and f"{finger.name} {finger.quality}",
                "slots": sorted(flash.library),
                "capacity": self.profile.capacity,
                "address": f"{flash.address:08X}",
                "baudrate": flash.baudrate,
                "serial": flash.serial.decode("ascii"),
                "lit": module.ram.light.lit,
                "broken": sorted(module.broken),
                "mishaps": len(self._line.mishaps),
            }

    # -- flash -------------------------------------------------------------------------------------

    def _module(self, number: int) -> Module:
        if number not in self._modules:
            self._modules[number] = Module(self.profile, self._seed + number, self._glass)
        return self._modules[number]

    def _revision(self) -> tuple[int, int]:
        return self._plugged, self._module(self._plugged).flash.revision

    def _keep(self) -> None:
        """Write the state file if the flash has changed; the lock is held."""
        if self._state is None or self._kept == (revision := self._revision()):
            return
        flashes = {number: module.flash for number, module in self._modules.items()}
        try:
            states.save(self._state, self.profile, flashes, self._plugged)
        except OSError:
            _LOG.exception("the state could not be kept")
            return
        self._kept = revision
