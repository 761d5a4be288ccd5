"""The demo's two ways: a window with a panel to play with, or a morning that checks itself.

The script kills the hub for its middle third and counts afterwards, in the databases themselves,
whether anything was lost or doubled.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from kiosk.app import run_on_qt, until_told
from kiosk.model import Attendance, Kind, Outcome, OutcomeKind, Reason
from kiosk.script import Act, Step, cast, morning
from kiosk.stage import DemoError, Stage, clear, demo_config, sample_people

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_SETTLE = 0.3  # seconds until the ring has closed, before a picture is taken
_WORDS = {
    OutcomeKind.ACCEPTED: "checked in",
    OutcomeKind.ALREADY_IN: "is in already",
    OutcomeKind.REFUSED: "not known",
    OutcomeKind.TRY_AGAIN: "asked to try again",
}


@dataclass(slots=True)
class Report:
    """What the morning came to: the demo's last line of output."""

    arrivals: int = 0
    checked_in: int = 0
    already_in: int = 0
    unknown: int = 0
    held_max: int = 0
    hub_events: int = 0
    second_kiosk_rows: int = 0
    lost: int = 0
    doubled: int = 0
    kiosk_db: str = ""
    hub_db: str = ""
    pictures: list[str] = field(default_factory=list)


def run_window(out: Path, people: int, seed: int) -> None:
    """Open the kiosk's window and the demo panel; returns when the window is closed."""
    from ui.demo_panel import DemoPanel  # noqa: PLC0415  only the demo with a display needs it

    async def play() -> None:
        clear(out)
        stage = Stage(demo_config(out), cast(sample_people(), people, seed), seed)
        try:
            await stage.open()
            panel = DemoPanel(stage)
            try:
                await until_told()
            finally:
                panel.close()
        finally:
            stage.close()

    run_on_qt(play())


def run_script(
    out: Path, seconds: float, people: int, seed: int, say: Callable[[str], None]
) -> tuple[Report, list[str]]:
    """Play the scripted morning offscreen; the report, and what does not agree (empty if all does).

    Raises `DemoError` when something that must happen does not.
    """
    return run_on_qt(_Morning(out, seconds, people, seed, say).play())


class _Morning:
    def __init__(
        self, out: Path, seconds: float, people: int, seed: int, say: Callable[[str], None]
    ) -> None:
        self._out = out
        self._seconds = seconds
        self._say = say
        self._report = Report()
        self._taken: set[str] = set()
        self._people = cast(sample_people(), people, seed)
        self._names = {person.id: person.public_name for person in self._people}
        self._steps = morning([person.id for person in self._people], seconds, seed)
        clear(out)
        (out / "pictures").mkdir(exist_ok=True)
        self._seed = seed
        self._unlike = 0
        self._up = True
        self._stage: Stage

    async def play(self) -> tuple[Report, list[str]]:
        late_after = self._seconds * 0.75
        self._stage = Stage(demo_config(self._out), self._people, self._seed, late_after)
        try:
            await self._stage.open()
            self._say(f"{len(self._people)} people enrolled; the door is open")
            await self._picture("idle")
            await self._arrivals()
            rows = await self._agreement()
            await self._picture("end")
        finally:
            self._stage.close()
        return self._counted(rows)

    async def _arrivals(self) -> None:
        """Play the steps at their times; the hub is gone for the middle third of them."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        third = max(1, len(self._steps) // 3)
        for number, step in enumerate(self._steps):
            await asyncio.sleep(max(0.0, began + step.at - loop.time()))
            if number == third:
                self._line(up=False)
            if number == 2 * third:
                self._line(up=True)
            await self._step(step)
        self._line(up=True)
        if (took := loop.time() - began) > self._seconds * 1.1:
            self._say(f"so many people took {took:.0f} s instead of {self._seconds:.0f} s")

    def _line(self, *, up: bool) -> None:
        if up != self._up:
            self._up = up
            self._stage.set_line(up=up)
            self._say("the hub was started again" if up else "the hub was killed")

    async def _step(self, step: Step) -> None:
        if step.act is Act.UNPLUG:
            await self._unplug()
            return
        if step.act is Act.DRY:
            await self._finger(step.who, "dry")
        await self._finger(step.who, "good")

    async def _finger(self, who: str, quality: str) -> None:
        answer = await self._stage.finger(who, quality)
        report, stage = self._report, self._stage
        report.arrivals += quality == "good"
        report.checked_in += answer.kind is OutcomeKind.ACCEPTED
        report.already_in += answer.kind is OutcomeKind.ALREADY_IN
        report.unknown += answer.reason is Reason.UNKNOWN_FINGER
        held, _ = stage.app.store.held()
        stage.held_max = max(stage.held_max, held)
        self._say(f"{self._names.get(who, 'A stranger')} {_WORDS[answer.kind]} ({held} held)")
        await self._picture(_scene(answer))
        if held and "offline" not in self._taken:
            stage.app.desk.dismiss()
            await self._picture("offline")

    async def _unplug(self) -> None:
        stage = self._stage
        stage.emulator.unplug()
        await stage.until(lambda: not stage.sensor_ready(), "the unplugged sensor to be missed")
        stage.app.desk.dismiss()
        self._say("the sensor was unplugged")
        await self._picture("out-of-order")
        stage.emulator.replug()
        await stage.until(stage.sensor_ready, "the sensor to come back")
        self._say("the sensor is back")

    async def _agreement(self) -> int:
        """Wait until nothing is held and both kiosks' rosters are the same; its rows."""
        stage = self._stage
        kiosks = (stage.app.store, stage.second)

        def rosters() -> list[dict[str, Attendance]]:
            return [{row.person: row for row in k.attendance(stage.session.id)} for k in kiosks]

        def agreed() -> bool:
            first, second = rosters()
            return first == second and kiosks[0].held()[0] == 0

        with contextlib.suppress(DemoError):
            await stage.until(agreed, "both kiosks to agree")
        first, second = rosters()
        self._unlike = sum(first.get(who) != second.get(who) for who in {*first, *second})
        return len(second)

    async def _picture(self, scene: str) -> None:
        if not scene or scene in self._taken or self._stage.app.shell is None:
            return
        self._taken.add(scene)
        await asyncio.sleep(_SETTLE)
        path = self._out / "pictures" / f"{len(self._taken):02}-{scene}.png"
        self._stage.app.shell.grab(path)
        self._report.pictures.append(str(path))

    def _counted(self, rows: int) -> tuple[Report, list[str]]:
        """Compare the closed databases themselves, event by event."""
        config, report, stage = self._stage.config, self._report, self._stage
        kiosk_db, hub_db = config.database, config.hub_database
        device = (stage.app.store.identity.device,)
        own = _rows(kiosk_db, "SELECT id, kind, person FROM event WHERE device = ?", device)
        there = _rows(hub_db, "SELECT id, incarnation, kseq FROM entry WHERE device = ?", device)
        own_ids, hub_ids = {row[0] for row in own}, {row[0] for row in there}
        came = {row[2] for row in own if row[1] == Kind.CHECK_IN}
        report.second_kiosk_rows = rows
        report.held_max = stage.held_max
        report.hub_events = _rows(hub_db, "SELECT count(*) FROM event", ())[0][0]
        report.lost = len(own_ids - hub_ids) + max(0, report.checked_in - len(came))
        report.doubled = len(there) - len({row[1:] for row in there}) + len(hub_ids - own_ids)
        report.kiosk_db, report.hub_db = str(kiosk_db), str(hub_db)
        wrong = []
        if own_ids != hub_ids:
            wrong.append(f"the kiosk's events and the hub's differ by {len(own_ids ^ hub_ids)}")
        if self._unlike:
            wrong.append(f"{self._unlike} rows differ between the two kiosks")
        if report.lost or report.doubled:
            wrong.append(f"{report.lost} lost, {report.doubled} doubled")
        return report, wrong


def as_line(report: Report) -> str:
    """The report as one line of JSON."""
    return json.dumps(asdict(report))


def _rows(database: Path, query: str, args: tuple[str, ...]) -> list[tuple[Any, ...]]:
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
        return db.execute(query, args).fetchall()


def _scene(answer: Outcome) -> str:
    """What a picture of this answer is called."""
    if answer.kind is OutcomeKind.ACCEPTED:
        return "late" if answer.late else "accepted"
    if answer.kind is OutcomeKind.REFUSED:
        return "unknown"
    return answer.kind.value.replace("_", "-")
