"""One day from its first check-in until everything is healed, and what came of it."""

from __future__ import annotations

import asyncio
import logging
import tempfile
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from kiosk.simulation.loop import VirtualLoop
from kiosk.simulation.people import Crowd
from kiosk.simulation.scene import Blanks, Scene
from kiosk.simulation.trouble import Trouble
from kiosk.simulation.verdict import Verdict, digest, judged
from kiosk.simulation.witness import Witness
from kiosk.tasks import spawn
from sync.client import cursors

if TYPE_CHECKING:
    from kiosk.simulation.doors import Kiosk
    from kiosk.simulation.scene import Day

_HEALING = 1800.0  # seconds until everything must have settled by itself
_CLIMBING = 1500.0  # until whoever had to step down is back on a WebSocket
_GLANCE = 5.0


class Report(msgspec.Struct, frozen=True):
    """A day in one line; nothing in it depends on anything but the day."""

    seed: int
    kiosks: int
    people: int
    hours: float
    events: int
    faults: dict[str, int]
    lost: int
    doubled: int
    diverged: int
    digest: str

    @property
    def good(self) -> bool:
        return not (self.lost or self.doubled or self.diverged)

    def line(self) -> str:
        """The report as one JSON object."""
        return msgspec.json.encode(self).decode()


@dataclass(frozen=True, slots=True)
class Played:
    """A report, and in words whatever is wrong."""

    report: Report
    wrong: tuple[str, ...]


class Stage:
    """Plays days one after another; what they share is made once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._blanks = Blanks.made(folder)

    def play(self, day: Day) -> Played:
        """Play one day to its end. Sets no clock, starts no thread, leaves no file."""
        with tempfile.TemporaryDirectory(dir=self._folder) as folder:
            try:
                return self._play(day, Path(folder))
            except Exception as error:  # noqa: BLE001  that a day cannot be played is a finding
                return _broken(day, error)

    def _play(self, day: Day, folder: Path) -> Played:
        loop = VirtualLoop(day.chance("loop"))
        # Cancelled work of the dead logs what it would never have lived to say.
        logging.disable(logging.CRITICAL)
        try:
            asyncio.set_event_loop(loop)
            return loop.run_until_complete(_day(Scene(day, folder, loop, self._blanks)))
        finally:
            _end(loop)
            logging.disable(logging.NOTSET)
            asyncio.set_event_loop(None)
            loop.close()


def _end(loop: VirtualLoop) -> None:
    """Cancel what would wait for ever, and hold the whole day in memory meanwhile."""
    loop.set_exception_handler(None)
    while left := asyncio.all_tasks(loop):
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.wait(left))


async def _day(scene: Scene) -> Played:
    await scene.open()
    crowd, trouble = Crowd(scene), Trouble(scene)
    witness = Witness(scene, crowd.told)
    crowd.come()
    trouble.plan()
    looking = spawn(witness.look_for_ever(), "witness")
    try:
        await asyncio.sleep(scene.day.hours * 3600)
        await trouble.heal()
        late = await settled(scene)
        scene.add_kiosk()
        late += await climbed(scene) + await settled(scene)
        witness.look()
        verdict, log = judged(scene, crowd.told)
        verdict.lost += scene.broken
        verdict.diverged += [*late, *witness.wrong]
        scene.note_ways()
        made = digest(scene, log)
    finally:
        looking.cancel()
        scene.close()
        await asyncio.sleep(120.0)  # whoever still waits for an answer gives up
    return _played(scene, verdict, len(log), made)


async def settled(scene: Scene) -> list[str]:
    """Wait until every outbox is empty and every room read to its end; who is not by then."""
    deadline = scene.loop.time() + _HEALING
    while (late := _late(scene)) and scene.loop.time() < deadline:  # noqa: ASYNC110  virtual time
        await asyncio.sleep(_GLANCE)
    return late


async def climbed(scene: Scene) -> list[str]:
    """Wait until every line is a WebSocket again; whose is not by then."""
    deadline = scene.loop.time() + _CLIMBING
    while (below := _below(scene)) and scene.loop.time() < deadline:  # noqa: ASYNC110  virtual time
        await asyncio.sleep(_GLANCE)
    return below


def _below(scene: Scene) -> list[str]:
    members = (kiosk for kiosk in scene.members if not scene.has_double(kiosk))
    return [f"{one.name} goes by {one.status.transport}" for one in members if one.client.rung]


def _late(scene: Scene) -> list[str]:
    late = []
    heads, epoch = scene.hub.heads(), scene.hub.epoch
    for kiosk in scene.members:
        if held := kiosk.store.held()[0]:
            late.append(f"{kiosk.name} still holds {held}")
        late += [f"{kiosk.name} has not read {room}" for room in _unread(kiosk, heads, epoch)]
    return late


def _unread(kiosk: Kiosk, heads: dict[str, int], epoch: str) -> list[str]:
    found = []
    for room in kiosk.store.rooms():
        cursor = cursors.read(kiosk.store.cursor(room))
        if cursor is None or (cursor.epoch, cursor.offset) != (epoch, heads.get(room, 0)):
            found.append(room)
    return found


def _broken(day: Day, error: Exception) -> Played:
    """Something raised that nothing should: a file that cannot be opened, a program that ended."""
    report = Report(
        day.seed, day.kiosks, day.people, day.hours, 0, {}, lost=0, doubled=0, diverged=1, digest=""
    )
    where = "".join(traceback.format_exception(error)[-3:])
    return Played(report, (f"the day broke off: {error!r}\n{where}",))


def _played(scene: Scene, verdict: Verdict, events: int, made: str) -> Played:
    day = scene.day
    report = Report(
        seed=day.seed,
        kiosks=day.kiosks,
        people=day.people,
        hours=day.hours,
        events=events,
        faults=dict(sorted(scene.faults.items())),
        lost=len(verdict.lost),
        doubled=len(verdict.doubled),
        diverged=len(verdict.diverged),
        digest=made,
    )
    return Played(report, (*verdict.lost, *verdict.doubled, *verdict.diverged))
