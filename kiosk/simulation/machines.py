"""A computer in the simulation: one disk, one clock, and a program that dies and starts again."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

from kiosk.simulation.clock import SimulatedClock
from kiosk.simulation.disk import Death, Disk, Killed, Picture
from kiosk.simulation.loop import Life

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from random import Random

    from kiosk.simulation.loop import VirtualLoop

ORG, SITE, ZONE = "acme", "north", "Europe/London"
TOKEN = "a-token-of-the-simulation"  # noqa: S105  of no real hub


class Machine:
    """A computer with one disk, one clock and one program that can die and be started again."""

    def __init__(self, name: str, folder: Path, loop: VirtualLoop, chance: Random) -> None:
        self.name = name
        self.chance = chance
        self.loop = loop
        self.clock = SimulatedClock(loop, f"{name}-boot-0")
        self.lives = 0
        self.life = Life(loop, name)
        self._folder = folder
        self.disk = self.new_disk()
        self.up = False
        self._open = False
        self._looking: sqlite3.Connection | None = None
        self.died: Callable[[Machine, Death], None] = lambda _, __: None

    def new_disk(self) -> Disk:
        path = self._folder / f"{self.name}-{self.lives}" / "data.db"
        return Disk(path, self.chance)

    def wake(self, picture: Picture) -> None:
        """Give the next life its files."""
        self.lives += 1
        self.life = Life(self.loop, f"{self.name}-{self.lives}")
        self.disk = self.new_disk()
        picture.put(self.disk.path)
        self.up = True

    def opened(self) -> None:
        """There are open files to be closed in the end."""
        self._open = True

    def kill(self, how: Death, *, heard: bool = True) -> None:
        """End the program now; nobody switches it on again if it is not `heard`."""
        died = self.died
        if not heard:
            self.died = lambda _, __: None
        self.disk.die(how)
        self.fall()
        self.died = died

    def fall(self) -> None:
        """What a death does besides; the disk has burned already."""
        if self.up:
            self.up = False
            self.life.end()
            self.died(self, self.disk.burned)

    def soon(self, disk: Disk, work: Callable[[], None]) -> None:
        """Let a thread do this, in a moment."""
        self.loop.call_later(self.loop.turn(), self.turn, disk, work)

    def turn(self, disk: Disk, work: Callable[[], None]) -> None:
        """Do a thread's work, unless the program it was part of has died; it may die of it."""
        if self.up and disk is self.disk and disk.left is None:
            try:
                work()
            except Killed:
                # The other threads go on for a moment, and may still say what they should not.
                self.loop.call_later(self.loop.turn(), self.fall)

    def read(self, query: str, *args: str) -> list[Any]:
        """Ask its database, as one who only looks."""
        if self._looking is None:
            self._looking = sqlite3.connect(self.disk.path, isolation_level=None)
        return self._looking.execute(query, args).fetchall()

    def bury(self) -> None:
        """Close the files of a dead program, once."""
        if self._open:
            self._open = False
            if self._looking is not None:
                self._looking.close()
                self._looking = None
            self.close()

    def close(self) -> None:
        """Close the files."""
        self.disk.bury()

    def entropy(self, size: int) -> bytes:
        """Random bytes, of this machine's own share of chance."""
        return self.chance.randbytes(size)
