"""What a module sees when it looks: a finger, the print that one left behind, or a ghost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from drivers.emulator.memory import Image

if TYPE_CHECKING:
    from drivers.emulator.fingers import Finger


@dataclass(slots=True)
class Glass:
    """The sensor's surface. A module that is swapped keeps nothing of it; the glass does."""

    finger: Finger | None = None
    last: Finger | None = None
    latent: Finger | None = None
    ghost: bool = False
    stuck: bool = False

    def place(self, finger: Finger) -> None:
        """Put a finger down, over whatever is there."""
        self.finger = self.last = finger

    def lift(self) -> None:
        """Take the finger away, unless it is stuck."""
        if not self.stuck:
            self.finger = None

    def wipe(self) -> None:
        """Clean it: no latent print, no ghost, nothing stuck; a finger that lies there stays."""
        self.latent, self.ghost, self.stuck = None, False, False

    def look(self) -> Image | None:
        """The image that would be taken now."""
        if (seen := self.finger or self.latent) is not None:
            return Image(seen.identity, seen.quality)
        return Image(None) if self.ghost else None
