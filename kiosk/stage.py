"""The demo's stage: a whole kiosk with an emulated sensor, sample people and a second kiosk.

It is the product itself that runs; only the sensor's module is emulated, byte for byte, on a
pseudo-terminal.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from typing import TYPE_CHECKING

from drivers.emulator import Emulator
from drivers.events import Lifted, ReaderEvent, SensorUp
from drivers.reconcile import reconcile
from drivers.slots import Entry, SlotState
from drivers.templates import digest_of, read_template
from drivers.zfm import open_zfm
from kiosk import config as settings
from kiosk.app import App
from kiosk.badges import BadgeKey
from kiosk.clock import NS, Clock, SystemClock
from kiosk.directory import HubClient
from kiosk.errors import KioskError
from kiosk.model import (
    Author,
    DeskState,
    Event,
    Kind,
    Outcome,
    Person,
    SensorState,
    Session,
    session_id,
)
from kiosk.people_file import read_people
from kiosk.rules import local_date
from kiosk.slots import StoredSlots
from kiosk.store import Draft, Store, StoreBusyError
from kiosk.storefile import take_lock
from kiosk.tasks import spawn
from kiosk.templates import open_templates
from sync.client import SyncClient

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from drivers.library import Stamp
    from drivers.zfm import ZfmSensor
    from kiosk.config import Config

ORG, SITE = "demo", "main"
PATIENCE = 30.0  # seconds for anything that must happen
_QUARTER = 15 * 60 * NS
_CONSENT = {"text": "demo-1", "language": "en", "answer": "yes"}
_FILES = ("kiosk.db", "hub.db", "second.db")
_MARKER = "whorl-demo"
# Markers this process holds; the kernel lets go of them when it ends, however it ends.
_taken: dict[Path, int] = {}


class DemoError(KioskError):
    """The demo could not go on; one line says what did not happen."""


class _StageClock(SystemClock):
    """This machine's clocks, taken to be right: nobody on a stage could be asked for the day."""

    def synced(self) -> bool:
        return True


class Stage:
    """A kiosk, its sensor, its hub and a second kiosk, to be played by hand or by script.

    Also what the demo panel drives (`press`, `set_sensor`, `set_line` and so on).
    """

    def __init__(
        self,
        config: Config,
        people: Sequence[Person],
        seed: int,
        late_after: float = 900,
        *,
        room: int | None = None,
    ) -> None:
        """Nothing runs yet; `late_after` is in seconds from now.

        With `room` only so many people are enrolled in the sensor; of the others a template is
        kept (which the settings must allow), as if they had come when it was full.
        """
        self.config = config
        self._room = len(people) if room is None else room
        self.people = list(people)
        self.names = [person.public_name for person in people]
        self.clock: Clock = _StageClock()
        self.session = _session(config.site.zone, self.clock.wall(), late_after)
        self.emulator = Emulator("r307", config.sensor.port, seed=seed)
        self.lifted = 0
        self.held_max = 0
        self._answer: Outcome | None = None
        self._moved = asyncio.Event()
        self._second_client: SyncClient | None = None
        self.app = App(config, self.clock, self._heard)
        self.second = Store.open(
            config.directory / "second.db",
            org=ORG,
            site=SITE,
            clock=self.clock,
            zone=config.site.zone,
        )

    async def open(self) -> None:
        """Enrol everybody, start the kiosk and its hub, hand people and session to the hub."""
        self.emulator.start()
        self._enrol_all()
        self.app.start()
        desk = self.app.desk
        desk.watch(self._seen, lambda _: self._moved.set())
        hub = self.app.hub
        if hub is None:
            raise DemoError("the demo needs a hub of its own")
        await self.until(lambda: hub.url is not None, "the hub to listen")
        people = HubClient(hub.url or "", self.app.token, ORG, SITE)
        # Not the loop's own executor: qasync's is made of QThreads that must not outlive Qt.
        with ThreadPoolExecutor(1) as worker:
            await asyncio.wrap_future(worker.submit(people.send_people, self.people))
            await asyncio.wrap_future(worker.submit(people.send_sessions, [self.session]))
        await self.until(
            lambda: len(desk.roster()) == len(self.people) and self.sensor_ready(),
            "people, session and sensor",
        )
        await self.until(lambda: not self.app.store.held()[0], "the enrolments to reach the hub")
        self.held_max = 0
        self._second_client = client = SyncClient(
            self.second, lambda: hub.url, self.app.token, self.clock, SITE, "second", lambda _: None
        )
        self.second.on_commit(lambda _: client.wake())
        client.start()

    def close(self) -> None:
        """Stop everything; the databases stay."""
        if self._second_client is not None:
            self._second_client.stop()
        self.app.stop()
        self.second.close()
        self.emulator.stop()

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until something is so, looking again whenever the kiosk moved.

        Raises `DemoError` naming `what` after `PATIENCE` seconds.
        """
        try:
            async with asyncio.timeout(PATIENCE):
                while not condition():
                    self._moved.clear()
                    # Not everything announces itself, a second kiosk's rows for one.
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._moved.wait(), 0.05)
        except TimeoutError as error:
            raise DemoError(f"waited {PATIENCE:.0f} s in vain for {what}") from error

    def sensor_ready(self) -> bool:
        return self.app.desk.state.sensor.state is SensorState.READY

    async def finger(self, name: str, quality: str = "good") -> Outcome:
        """Place a virtual finger, wait for the door's answer, lift it; the answer."""
        before, lifted = self._answer, self.lifted
        self.emulator.place(name, quality)
        await self.until(lambda: self._answer is not before, f"an answer to {name}'s finger")
        answer = self._answer
        self.emulator.lift()
        await self.until(lambda: self.lifted > lifted, "the finger to be lifted")
        if answer is None:
            raise DemoError("the door took its answer back")
        return answer

    def second_check_in(self, person: str) -> Event:
        """Somebody comes in by the second kiosk's door."""
        draft = Draft(Kind.CHECK_IN, self.session.id, person, data={"method": "finger"})
        return self.second.record(draft).result()

    # -- for the demo panel ------------------------------------------------------------------------

    def press(self, name: str) -> None:
        """Somebody puts an enrolled finger on the reader."""
        person = self.people[self.names.index(name)]
        spawn(self.finger(person.id), "demo-press")

    def press_unknown(self) -> None:
        """Somebody nobody enrolled."""
        spawn(self.finger("stranger"), "demo-press")

    def press_dry(self) -> None:
        """A finger too dry to read."""
        spawn(self.finger(self.people[0].id, "dry"), "demo-press")

    def set_sensor(self, plugged: bool) -> None:  # noqa: FBT001  a switch on the panel
        """Pull the sensor's cable, or put it back."""
        (self.emulator.replug if plugged else self.emulator.unplug)()

    def set_line(self, up: bool) -> None:  # noqa: FBT001  a switch on the panel
        """Cut the line by killing the hub, or bring the hub back."""
        if self.app.hub is not None:
            (self.app.hub.start if up else self.app.hub.kill)()

    # -- inside ------------------------------------------------------------------------------------

    def _seen(self, state: DeskState) -> None:
        self._answer = state.outcome or self._answer
        self.held_max = max(self.held_max, state.link.held)
        self._moved.set()

    def _heard(self, event: ReaderEvent) -> None:
        # A reader that has begun anew has seen a free glass, and tells of no lift.
        self.lifted += isinstance(event, (Lifted, SensorUp))
        self._moved.set()

    def _enrol_all(self) -> None:
        """Put everybody's template into the sensor and note whose it is, with their consent."""
        store, table = self.app.store, StoredSlots(self.app.store, self.clock)
        with open_zfm(self.config.sensor.port) as sensor:
            stamp = reconcile(sensor, table).stamp
            for slot, person in enumerate(self.people):
                self.emulator.enrol(person.id, slot)
            digests = [digest_of(sensor, slot) for slot in range(len(self.people))]
            self._keep_beyond(sensor, stamp)
        staff = Author("staff", "demo")
        for slot, person in enumerate(self.people):
            placed = {"sensor": stamp.sensor, "slot": slot}
            drafts = [
                Draft(Kind.CONSENT, person=person.id, by=staff, data=_CONSENT),
                Draft(Kind.ENROLLED, person=person.id, by=staff, data=placed),
            ]
            store.record_many(drafts).result()
            if slot < self._room:
                table.put(stamp.sensor, Entry(slot, SlotState.ACTIVE, person.id, digests[slot]))

    def _keep_beyond(self, sensor: ZfmSensor, stamp: Stamp) -> None:
        """Take the templates of those for whom there is no room out of the sensor, to keep them."""
        if not (beyond := self.people[self._room :]):
            return
        with contextlib.closing(open_templates(self.config, self.clock)) as kept:
            for slot, person in enumerate(beyond, self._room):
                template = read_template(sensor, slot)
                sensor.deleteTemplate(slot)
                kept.put(person.id, template, sensor=stamp.sensor, generation=stamp.generation)


def demo_config(out: Path) -> Config:
    """Settings for a demo that keeps everything it makes in one folder."""
    return settings.Config(
        organisation=settings.Organisation(ORG, "Northgate Boxing Club"),
        site=settings.SiteSection(SITE, _local_zone()),
        kiosk=settings.Kiosk("front-door"),
        storage=settings.Storage(str(out)),
        sensor=settings.Sensor(str(out / "sensor")),
        screen=settings.Screen(fullscreen=False, size="1280x800"),
    )


def clear(out: Path) -> None:
    """Take a folder for this process's demo, and away what an earlier demo left in it.

    Raises `DemoError` for a folder that holds anything but a demo's files, and while another demo
    or kiosk uses it; then nothing in it has been changed.
    """
    _take(out)
    with contextlib.ExitStack() as locks:
        try:
            for name in _FILES:
                locks.enter_context(take_lock(out / name))
        except StoreBusyError as error:
            raise DemoError(str(error)) from error
        _sweep(out)


def _sweep(out: Path) -> None:
    for name in _FILES:
        for path in out.glob(f"{name}*"):
            # Whoever waits for a lock must find the same file again.
            if path.suffix != ".lock":
                path.unlink()
    for path in (out / "pictures").glob("*.png"):
        path.unlink()


def _take(out: Path) -> None:
    """Mark the folder as a demo's and hold its marker until this process ends."""
    out.mkdir(parents=True, exist_ok=True)
    marker = (out / _MARKER).resolve()
    # The log is begun before the folder is looked at.
    if not marker.exists() and any(path.name != "log" for path in out.iterdir()):
        raise DemoError(f"{out} is not a demo's folder: it holds other files; choose an empty one")
    if marker in _taken:
        return
    descriptor = os.open(marker, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise DemoError(f"another demo is running in {out}") from error
    _taken[marker] = descriptor


def sample_people() -> list[Person]:
    """The people that come with Whorl."""
    with resources.as_file(resources.files("resources") / "people.csv") as path:
        return [row.person for row in read_people(path, BadgeKey(ORG).hashes)]


def _session(zone: str, now: int, late_after: float) -> Session:
    """Today's session, which began at the last full quarter of an hour."""
    day = local_date(now, zone)
    starts = now - now % _QUARTER
    return Session(
        id=session_id(ORG, SITE, "demo", day),
        title="Evening training",
        zone=zone,
        starts=starts,
        ends=starts + 6 * _QUARTER,
        place="Main hall",
        late_at=now + int(late_after * NS),
    )


def _local_zone() -> str:
    """This machine's IANA zone, so that the demo's clock is the one on the wall."""
    link = os.path.realpath("/etc/localtime")
    _, found, name = link.partition("zoneinfo/")
    return name if found and settings.is_zone(name) else "UTC"
