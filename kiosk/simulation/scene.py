"""Where a day is played: the hub, the kiosks, and the office that says who and what there is."""

from __future__ import annotations

import contextlib
import random
import sqlite3
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from kiosk.carry import CarryError, export_unsent, read_bundle
from kiosk.clock import NS
from kiosk.model import (
    Author,
    Event,
    Kind,
    Person,
    Session,
    encode_event,
    sealed,
    session_room,
    site_room,
    uuid7,
)
from kiosk.simulation.clock import EPOCH
from kiosk.simulation.disk import Death, Killed, Picture
from kiosk.simulation.doors import Kiosk
from kiosk.simulation.habits import Habits
from kiosk.simulation.hubs import HubMachine
from kiosk.simulation.machines import ORG, SITE, ZONE
from kiosk.storefile import open_checked
from sync.hub.backup import back_up, restore
from sync.hub.tables import opened
from sync.hub.transaction import Submission
from sync.hub.writer import Job, NotWrittenError
from sync.signing import Signer, alone

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from kiosk.simulation.loop import VirtualLoop

_MINUTE = 60 * NS
_FOR_EVER = 1 << 62
_HEARD_WITHIN = 15 * NS  # until a hub has looked at its register again


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
        self._backed_up = self._sticks = 0
        self._directory: dict[tuple[str, str], object] = {}
        self._unsaid: dict[tuple[str, str], None] = {}
        self.merged: dict[str, str | None] = {}  # persons, and who they turned out to be
        # Devices that were shut out: from when until when (true UTC ns).
        self.revoked: dict[str, list[tuple[int, int]]] = {}
        self.poisoned: dict[str, set[str]] = {}  # ids that no hub can take, and what it may say
        self.broken_chains: set[str] = set()  # devices with a place that will never be filled
        self.carried: set[str] = set()  # ids that somebody took to another kiosk
        self.habits = Habits.drawn(day.chance("habits"))
        self.hub = HubMachine("hub", folder, loop, day.chance("hub"), self.habits)
        self.kiosks = [self._kiosk(n) for n in range(day.kiosks)]
        self.people = [
            Person(f"p{n}", f"Person {n}", code=str(1000 + n)) for n in range(day.people)
        ]
        self.sessions = _sessions(day, self.habits.sessions)

    async def open(self) -> None:
        """Switch everything on, and let the hub's office say who and what there is."""
        await self.hub.start(self._named(self._blanks.hub, self.hub.entropy, hub=True))
        for kiosk in self.kiosks:
            kiosk.start(self._named(self._blanks.kiosk, kiosk.entropy, hub=False))
        self.publish(*self.people, *self.sessions)

    def publish(self, *records: Person | Session) -> None:
        """Have the office put records into the directory."""
        for record in records:
            kind = "person" if isinstance(record, Person) else "session"
            self._change(kind, record.id, msgspec.to_builtins(record))
        self._say()

    def merge(self, person: str, into: str | None) -> None:
        """Have the office say that two are one, or that they are not."""
        self.merged[person] = into
        self._change("merged", person, into)
        self._say()

    def _change(self, record: str, id_: str, value: object) -> None:
        self._directory[record, id_] = value
        self._unsaid[record, id_] = None

    def _say(self) -> None:
        """Tell the hub what it has not said that it has, as an office does until it is told so."""
        if self.hub.up and self._unsaid:
            told = [(*key, self._directory[key]) for key in self._unsaid]
            room = site_room(ORG, SITE)
            job = Job(lambda log: log.direct(ORG, room, told), partial(self._answered, told))
            self.hub.hub.ask(job)

    def _answered(self, told: list[tuple[str, str, object]], result: object) -> None:
        if isinstance(result, NotWrittenError):
            self.loop.call_later(5.0, self._say)
            return
        for record, id_, value in told:
            if self._directory[record, id_] == value:
                self._unsaid.pop((record, id_), None)

    def _say_again_what_is_gone(self) -> None:
        """After a restore: what no kiosk has either, the office must say again."""
        query = "SELECT record, id, value FROM directory"
        here = {
            (record, id_, msgspec.json.encode(msgspec.json.decode(value), order="sorted"))
            for kiosk in self.members
            if kiosk.up and kiosk.disk.left is None
            for record, id_, value in kiosk.read(query)
        }
        for key, value in self._directory.items():
            if (*key, msgspec.json.encode(value, order="sorted")) not in here:
                self._unsaid[key] = None

    @property
    def members(self) -> list[Kiosk]:
        """The kiosks that may take part, or soon will."""
        return [k for k in self.kiosks if k.invited or not self.shut_out(k.store.identity.device)]

    def shut_out(self, device: str) -> bool:
        """Whether a device may not come in now."""
        return any(end == _FOR_EVER for _, end in self.revoked.get(device, ()))

    def shut(self, device: str) -> None:
        """Note that a device may not come in any more."""
        since = self.hub.clock.truth() + _HEARD_WITHIN
        self.revoked.setdefault(device, []).append((since, _FOR_EVER))

    def explains(self, id_: str, device: str, code: str) -> bool:
        """Whether there is a reason why an event was set apart."""
        if code in self.poisoned.get(id_, ()):
            return True
        match code:
            case "fork":
                return device in self.doubles
            case "revoked":
                return device in self.revoked
            case "signature":  # nobody vouches for the key of an incarnation never heard of
                return id_ in self.carried and (self.habits.papers or device in self.doubles)
        return False

    def has_double(self, kiosk: Kiosk) -> bool:
        """Whether two machines go by its name, which the hub lets in by turns."""
        device = kiosk.store.identity.device
        return sum(one.store.identity.device == device for one in self.kiosks) > 1

    def note_ways(self) -> None:
        """Count how often lines had to go another way than by WebSocket."""
        for kiosk in self.kiosks:
            for way in ("sse", "polling"):
                if kiosk.ways[way]:
                    self.count(f"went_by_{way}", kiosk.ways[way])

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
            self._say_again_what_is_gone()
        elif left is not None:
            await hub.start(left)
            self.broken += self._forgotten() if hub.up else []
        self._say()

    def restart_kiosk(self, kiosk: Kiosk) -> None:
        """Switch a kiosk on again."""
        left = kiosk.disk.left
        kiosk.bury()
        if left is not None:
            kiosk.start(left)

    def add_kiosk(self) -> None:
        """Start one more, with an empty disk, which must come to hold what all others do."""
        kiosk = self._kiosk(len(self.kiosks))
        self.kiosks.append(kiosk)
        kiosk.start(self._named(self._blanks.kiosk, kiosk.entropy, hub=False))

    def _kiosk(self, number: int) -> Kiosk:
        name = f"kiosk-{number}"
        chance = self.day.chance(name)
        kiosk = Kiosk(name, self._folder, self.loop, chance, self.hub, self.habits)
        kiosk.on_code = self._given_code
        return kiosk

    # -- what people do to kiosks ------------------------------------------------------------------

    def let_in(self, device: str) -> None:
        """Have a device that was shut out paired anew, as soon as that can be done."""
        for kiosk in self.kiosks:
            kiosk.invited |= kiosk.up and kiosk.store.identity.device == device

    def _given_code(self, device: str) -> None:
        now = self.hub.clock.truth()
        spans = self.revoked.get(device, [])
        spans[:] = [(begin, now if end == _FOR_EVER else end) for begin, end in spans]

    def carry(self, one: Kiosk, other: Kiosk) -> bool:
        """Take what one has not sent to another; whether there was anything."""
        self._sticks += 1
        file = self._folder / f"stick-{self._sticks}.events"
        try:
            export_unsent(one.store, file)
        except CarryError:
            return False
        bundle = read_bundle(file)
        self.carried |= {carried.event.id for carried in bundle.events}
        other.store.carry(bundle.events, bundle.whose.anchors)
        return True

    def forge(self, kiosk: Kiosk, chance: random.Random) -> bool:
        """Offer the hub a decision in a kiosk's name, with another's key; whether it is known."""
        who = kiosk.store.identity
        query = "SELECT contiguous FROM chain WHERE device = ? AND incarnation = ?"
        found = self.hub.read(query, who.device, who.incarnation)
        if not found:
            return False
        session, person = chance.choice(self.sessions).id, chance.choice(self.people).id
        event = sealed(
            Event(
                id=uuid7(self.hub.clock.truth(), chance.randbytes(10)),
                device=who.device,
                incarnation=who.incarnation,
                kseq=found[0][0] + chance.randint(1, 3),
                kind=Kind.OVERRIDE,
                org=ORG,
                room=session_room(ORG, session),
                wall=self.hub.clock.truth(),
                zone=ZONE,
                boot="nowhere",
                ticks=0,
                synced=False,
                session=session,
                person=person,
                by=Author("staff", "chief", 3),
                data={"status": "absent"},
            )
        )
        self.poisoned[event.id] = {"signature"}
        forger = Signer(chance.randbytes(32))
        signed = replace(alone(event, forger.public), signature=forger.sign(ORG, alone(event)))
        bodies = [encode_event(event)]
        offer = Submission(ORG, "stranger", bodies, signed=[signed])
        self.hub.hub.ask(Job(lambda log: log.submit(offer), lambda _: None))
        return True

    def spoil(self, kiosk: Kiosk, chance: random.Random) -> bool:
        """Spoil an unsent event on the disk of a kiosk; whether there was one."""
        who = kiosk.store.identity
        held = self.hub.held() if self.hub.up else None
        if held is None or not kiosk.weather.down:
            return False  # it may be under way
        rows = kiosk.read(
            "SELECT e.id FROM outbox o JOIN event e ON e.seq = o.seq WHERE e.device = ?1"
            " AND e.kind IN ('check_in', 'check_out')"
            # One whose chain has lost its end is rescued at its next start, which is not played.
            " AND e.seq < (SELECT max(seq) FROM event WHERE device = ?1)",
            who.device,
        )
        clean = [id_ for (id_,) in rows if id_ not in held | self.carried]
        if not clean:
            return False
        id_ = chance.choice(clean)
        with contextlib.closing(sqlite3.connect(kiosk.disk.path)) as db:
            db.execute(
                "UPDATE event SET body = CAST(replace(CAST(body AS TEXT), '\"zone\"', '\"zome\"')"
                " AS BLOB) WHERE id = ?",
                (id_,),
            )
            db.commit()
        self.poisoned[id_] = {"hash", "malformed"}
        self.broken_chains.add(who.device)
        return True

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


def _sessions(day: Day, an_hour: int) -> list[Session]:
    count = max(1, round(day.hours * an_hour))
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
