"""What must hold at every instant, looked at again and again while all goes wrong.

Each look is at the files as they are on the disks just then, whatever is under way.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from kiosk.model import decode_envelope
from kiosk.simulation.laws import breaches
from kiosk.simulation.sides import entries_of, telling
from sync import merge
from sync.client import cursors

if TYPE_CHECKING:
    from kiosk.simulation.doors import Kiosk
    from kiosk.simulation.people import Told
    from kiosk.simulation.scene import Scene

_EVERY = (60.0, 240.0)  # seconds between two looks
_FOLDED = 0.15  # of the looks are at the rows, too, which takes longer
_IDS = msgspec.json.Decoder(list[str])
_STUCK = (
    "SELECT e.id FROM event e LEFT JOIN stamp s ON s.seq = e.seq WHERE e.device = ?"
    " AND s.seq IS NULL AND e.seq NOT IN (SELECT seq FROM outbox)"
)
_STAMPED = (
    "SELECT e.id, s.envelope FROM event e JOIN stamp s ON s.seq = e.seq"
    " WHERE s.envelope IS NOT NULL"
)


class Witness:
    """Looks at the hub's and the kiosks' files; `wrong` is what was found."""

    def __init__(self, scene: Scene, told: Told) -> None:
        self.wrong: dict[str, None] = {}
        self._scene = scene
        self._told = told
        self._chance = scene.day.chance("witness")
        # Which event was seen at which place of which epoch, by anybody.
        self._seen: dict[tuple[str, str, int], str] = {}

    async def look_for_ever(self) -> None:
        """Look now and then."""
        while True:
            await asyncio.sleep(self._chance.uniform(*_EVERY))
            self.look()

    def look(self) -> None:
        """Look once at every machine that is on."""
        scene = self._scene
        on = [kiosk for kiosk in scene.kiosks if kiosk.up and kiosk.disk.left is None]
        folds = self._chance.random() < _FOLDED
        for kiosk in on:
            self._stuck(kiosk)
            if folds:
                self._shown(kiosk)
        if scene.hub.up and scene.hub.disk.left is None:
            held = self._hub()
            for kiosk in on:
                self._told_apart(kiosk, held)
                self._behind_cursor(kiosk, held)
            if len(on) == len(scene.kiosks):
                self._custody(on, set(held.values()))

    def _say(self, what: str) -> None:
        self.wrong[f"at {self._scene.loop.time():.0f} s: {what}"] = None

    # -- one machine -------------------------------------------------------------------------------

    def _stuck(self, kiosk: Kiosk) -> None:
        """What has no verdict is in the outbox: else nobody would ever send it."""
        for (id_,) in kiosk.read(_STUCK, kiosk.store.identity.device):
            self._say(f"{kiosk.name} has no verdict for {id_}, and does not offer it")

    def _shown(self, kiosk: Kiosk) -> None:
        """The rows are those that its own events come to, and break no law."""
        scene = self._scene
        if scene.doubles or kiosk.read("SELECT 1 FROM pruned LIMIT 1"):
            return
        if any(kiosk.read("SELECT 1 FROM event WHERE id = ?", id_) for id_ in scene.poisoned):
            return
        entries = entries_of(kiosk)
        state = merge.fold(entries)
        for session in kiosk.store.sessions():
            shown = telling(kiosk.store.attendance(session.id))
            meant = telling(row for row in state.rows.values() if row.session == session.id)
            if shown != meant:
                self._say(f"{kiosk.name} shows other rows of {session.id} than it should")
        sessions = {one.id: one for one in kiosk.store.sessions()}
        for breach in breaches(state.rows, entries, state.aliases, sessions):
            self._say(f"{kiosk.name}: {breach}")

    def _hub(self) -> dict[tuple[str, int], str]:
        """What the hub holds, by place; offsets have no holes, and no place is another's."""
        hub = self._scene.hub
        epoch, held, heads = hub.epoch, {}, dict[str, int]()
        for room, offset, id_, _, _ in hub.log():
            held[room, offset] = id_
            heads[room] = heads.get(room, 0) + 1
            if offset != heads[room]:
                self._say(f"{room} has {offset} after {heads[room] - 1}")
            self._place(epoch, room, offset, id_, "the hub")
        if (told := {room: head for room, head in hub.heads().items() if head}) != heads:
            self._say(f"rooms end at {told}, and {heads} are there")
        return held

    def _place(self, epoch: str, room: str, offset: int, id_: str, who: str) -> None:
        known = self._seen.setdefault((epoch, room, offset), id_)
        if known != id_:
            self._say(f"{who} has {id_} where {known} was, in {room} at {offset}")

    # -- a kiosk against the hub -------------------------------------------------------------------

    def _told_apart(self, kiosk: Kiosk, held: dict[tuple[str, int], str]) -> None:
        """What the hub is said to have taken in this life, it has, and just there."""
        epoch = self._scene.hub.epoch
        rooms = {place: room for room, offset in held for place in [(held[room, offset], offset)]}
        for id_, body in kiosk.read(_STAMPED):
            stamp = decode_envelope(body)
            if stamp.verdict != "accepted" or stamp.epoch != epoch:
                continue
            if (id_, stamp.offset) not in rooms:
                self._say(f"{kiosk.name} was told that {id_} is kept, and it is not")
            else:
                self._place(epoch, rooms[id_, stamp.offset], stamp.offset, id_, kiosk.name)

    def _behind_cursor(self, kiosk: Kiosk, held: dict[tuple[str, int], str]) -> None:
        """All up to a cursor is on the kiosk."""
        epoch = self._scene.hub.epoch
        here = {id_ for (id_,) in kiosk.read("SELECT id FROM event")}
        here |= {id_ for (ids,) in kiosk.read("SELECT ids FROM pruned") for id_ in _IDS.decode(ids)}
        here |= self._scene.hub.let_go.keys()
        ends = {}
        for room, text, offset in kiosk.read("SELECT room, epoch, offset FROM cursor"):
            cursor = cursors.read((text, offset))
            if cursor is not None and cursor.epoch == epoch:
                ends[room] = cursor.offset
        aside = {room for (room,) in kiosk.read("SELECT DISTINCT room FROM undecodable")}
        for (room, offset), id_ in held.items():
            if offset <= ends.get(room, 0) and id_ not in here and room not in aside:
                self._say(f"{kiosk.name} has read {room} to {ends[room]}, and lacks {id_}")

    def _custody(self, on: list[Kiosk], held: set[str]) -> None:
        """What was announced is somewhere."""
        scene = self._scene
        there = held | scene.excused | {id_ for id_, *_ in scene.hub.apart()}
        there |= scene.hub.let_go.keys()
        lacking = {id_ for id_, _ in self._told.events.values()} - there
        for kiosk in on:
            if lacking:
                lacking -= {id_ for (id_,) in kiosk.read("SELECT id FROM event")}
        for id_ in sorted(lacking):
            self._say(f"{id_} was announced, and nobody has it")
