"""Where a day is played: the hub, the kiosks, and the office that says who and what there is."""

from __future__ import annotations

import contextlib
import random
import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from kiosk.clock import NS
from kiosk.model import Person, Session, site_room
from kiosk.simulation.clock import EPOCH
from kiosk.simulation.disk import Death, Killed, Picture
from kiosk.simulation.machines import ORG, SITE, ZONE, HubMachine, Kiosk
from kiosk.storefile import open_checked
from sync.hub.backup import back_up, restore
from sync.hub.tables import opened
from sync.hub.writer import Job, NotWrittenError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from kiosk.simulation.loop import VirtualLoop

_MINUTE = 60 * NS


@dataclass(frozen=True, slots=True)
class Day:
    """What is to be played; the same day is played the same way every time."""

    seed: int
    kiosks: int = 2
    people: int = 6
    hours: float = 1.0

    def chance(self, what: str) -> random.Random:
        """A source of chance for one purpose, so that one does not disturb the others."""
        return random.Random(f"{self.seed}/{what}")  # noqa: S311  it must come again


@dataclass(frozen=True, slots=True)
class Blanks:
    """The files of a kiosk and of a hub that have just been set up."""

    kiosk: Picture
    hub: Picture

    @classmethod
    def made(cls, folder: Path) -> Blanks:
        """As the programs themselves make them; takes a moment, and serves for many days."""
        kiosk, hub = folder / "blank-kiosk" / "data.db", folder / "blank-hub" / "data.db"
        for path in (kiosk, hub):
            path.parent.mkdir(exist_ok=True)
        lock, _ = open_checked(kiosk, ORG, SITE)
        lock.close()
        opened(hub).close()
        return cls(Picture.of(kiosk), Picture.of(hub))


class Scene:
    """The hub and the kiosks of one day."""

    def __init__(self, day: Day, folder: Path, loop: VirtualLoop, blanks: Blanks) -> None:
        self.day = day
        self.loop = loop
        self.faults: dict[str, int] = {}
        self.broken: list[str] = []  # promises that were
        loop.set_exception_handler(self._hear)
        self.excused: set[str] = set()  # ids that were on a lost disk only
        self.doubles: set[str] = set()  # devices of which an older copy was put back
        self._blanks = blanks
        self._folder = folder
        self._backed_up = 0
        self._directory: dict[tuple[str, str], object] = {}
        self.hub = HubMachine("hub", folder, loop, day.chance("hub"))
        self.kiosks = [
            Kiosk(f"kiosk-{n}", folder, loop, day.chance(f"kiosk-{n}"), self.hub)
            for n in range(day.kiosks)
        ]
        self.people = [
            Person(f"p{n}", f"Person {n}", code=str(1000 + n)) for n in range(day.people)
        ]
        self.sessions = _sessions(day)

    async def open(self) -> None:
        """Switch everything on, and let the hub's office say who and what there is."""
        await self.hub.start(self._named(self._blanks.hub, self.hub.entropy, hub=True))
        for kiosk in self.kiosks:
            kiosk.start(self._named(self._blanks.kiosk, kiosk.entropy, hub=False))
        self.publish(*self.people, *self.sessions)

    def publish(self, *records: Person | Session) -> None:
        """Have the office put records into the directory, again whenever the hub has lost them."""
        for record in records:
            kind = "person" if isinstance(record, Person) else "session"
            self._directory[kind, record.id] = msgspec.to_builtins(record)
        if self.hub.up:
            told = [(kind, id_, value) for (kind, id_), value in self._directory.items()]
            room = site_room(ORG, SITE)
            self.hub.hub.ask(Job(lambda log: log.direct(ORG, room, told), self._answered))

    def _answered(self, result: object) -> None:
        if isinstance(result, NotWrittenError):
            self.loop.call_later(5.0, self.publish)

    def count(self, fault: str, times: int = 1) -> None:
        """Note that something went wrong."""
        self.faults[fault] = self.faults.get(fault, 0) + times

    def back_up_hub(self) -> Path:
        """Have the hub backed up while it runs; the backup's file."""
        self._backed_up += 1
        file = self._folder / f"backup-{self._backed_up}.db"
        back_up(self.hub.disk.path, file)
        return file

    async def restart_hub(self, backup: Path | None = None) -> None:
        """Switch the hub on again: with the files it left, or with those of an old backup."""
        hub = self.hub
        left = hub.disk.left
        hub.bury()
        if left is not None and backup is not None:
            await hub.start(self._brought_back(left, backup))
        elif left is not None:
            await hub.start(left)
            self.broken += self._forgotten() if hub.up else []
        self.publish()

    def restart_kiosk(self, kiosk: Kiosk) -> None:
        """Switch a kiosk on again."""
        left = kiosk.disk.left
        kiosk.bury()
        if left is not None:
            kiosk.start(left)

    def add_kiosk(self) -> None:
        """Start one more, with an empty disk, which must come to hold what all others do."""
        name = f"kiosk-{len(self.kiosks)}"
        kiosk = Kiosk(name, self._folder, self.loop, self.day.chance(name), self.hub)
        self.kiosks.append(kiosk)
        kiosk.start(self._named(self._blanks.kiosk, kiosk.entropy, hub=False))

    def lose_disk(self, kiosk: Kiosk) -> None:
        """End a kiosk whose disk is no more; what only that held is gone."""
        self.doubles.add(kiosk.store.identity.device)
        self.excused |= set(kiosk.store.event_ids()) - self.hub.held()
        kiosk.kill(Death.KILL, heard=False)
        kiosk.bury()

    def put_back(self, kiosk: Kiosk, copy: Picture) -> None:
        """Start a kiosk with a disk that is a copy of some earlier one."""
        kiosk.start(copy)
        self.doubles.add(kiosk.store.identity.device)

    def close(self) -> None:
        """End everything and close all files."""
        for machine in (self.hub, *self.kiosks):
            machine.kill(Death.KILL)
            machine.bury()

    def _hear(self, _: object, context: dict[str, Any]) -> None:
        """What the loop says of a callback or a task that failed with nobody waiting for it."""
        error = context.get("exception")
        if not isinstance(error, Killed):
            self.broken.append(f"{context['message']}: {error!r}")

    def _forgotten(self) -> list[str]:
        """What kiosks were told is kept, and a hub that lost no disk does not hold."""
        held, now = self.hub.held(), self.hub.epoch
        return [
            f"{id_}: taken by the hub, and gone with its death"
            for kiosk in self.kiosks
            if kiosk.up
            for id_, epoch in kiosk.taken()
            if epoch == now and id_ not in held
        ]

    def _named(self, blank: Picture, entropy: Callable[[int], bytes], *, hub: bool) -> Picture:
        """The files with an identity of their own, drawn from the seed."""
        names = ("epoch", "device", "incarnation") if hub else ("device", "incarnation")
        return self._noted(blank, {name: entropy(16).hex() for name in names})

    def _brought_back(self, left: Picture, backup: Path) -> Picture:
        path = self._laid_out(left)
        restore(path, backup)
        # Drawn anew, for chance there is the machine's own.
        names = {name: self.hub.entropy(16).hex() for name in ("epoch", "incarnation")}
        return self._noted(Picture.of(path), names)

    def _laid_out(self, picture: Picture) -> Path:
        path = self._folder / "noted" / "data.db"
        for old in path.parent.glob("*"):
            old.unlink()
        picture.put(path)
        return path

    def _noted(self, picture: Picture, notes: dict[str, str]) -> Picture:
        path = self._laid_out(picture)
        with contextlib.closing(sqlite3.connect(path)) as db:
            db.executemany(
                "UPDATE meta SET value = ? WHERE key = ?", [(v, k) for k, v in notes.items()]
            )
            db.commit()
            return Picture.of(path)


def _sessions(day: Day) -> list[Session]:
    count = max(1, round(day.hours))
    length = int(day.hours * 3600 * NS) // count
    found = []
    for n in range(count):
        starts = EPOCH + n * length
        found.append(
            Session(
                f"s{n}",
                f"Session {n}",
                ZONE,
                starts,
                starts + length,
                late_at=starts + 15 * _MINUTE,
            )
        )
    return found
