"""A fingerprint sensor on a pseudo-terminal, exact to the byte, with fingers made from names."""

from __future__ import annotations

from drivers.emulator.device import Emulator
from drivers.emulator.faults import Mishap
from drivers.emulator.fingers import Quality
from drivers.emulator.line import TimingMode
from drivers.emulator.memory import Part
from drivers.emulator.state import StateFileError

__all__ = ["Emulator", "Mishap", "Part", "Quality", "StateFileError", "TimingMode"]
