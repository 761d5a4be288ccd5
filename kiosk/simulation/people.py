"""Who comes and goes, and two instructors who decide by what each of them happens to see."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from kiosk.model import Author, Kind
from kiosk.store import Draft, StoreWriteError

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from kiosk.model import Event
    from kiosk.simulation.doors import Kiosk
    from kiosk.simulation.scene import Scene

_INSTRUCTORS = (Author("staff", "ana", 2), Author("staff", "ben", 2))
_ADMIN, _TAKER = Author("staff", "chief", 3), Author("staff", "tom", 1)
_RANKS = (*_INSTRUCTORS, _ADMIN, _TAKER)
_OFTEN = (35, 35, 15, 15)  # how often each of them decides
_STATUSES = ("present", "late", "excused", "absent", "absent")
_PATIENCE = 4  # times somebody tries again where nothing was saved


@dataclass(slots=True)
class Told:
    """Acts whose writing was announced: the event's id, and when it truly was (UTC ns)."""

    events: dict[int, tuple[str, int]] = field(default_factory=dict)
    acts: int = 0


class Crowd:
    """Everybody who touches a kiosk on this day; all of it is drawn before it begins."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._chance = scene.day.chance("people")
        self._end = scene.day.hours * 3600
        self.told = Told()

    def come(self) -> None:
        """Put everybody's plans on the calendar."""
        for session in range(len(self._scene.sessions)):
            for person in range(len(self._scene.people)):
                if self._chance.random() < 0.85:
                    self._visit(session, person)
        for _ in range(4 + len(self._scene.people) * len(self._scene.sessions) // 2):
            self._decision()
        for session in range(len(self._scene.sessions)):
            self._closing(session)
        for _ in range(2):
            self._renaming()
        if len(self._scene.people) > 2 and self._chance.random() < 0.4:
            self._merging()

    # -- at the door -------------------------------------------------------------------------------

    def _visit(self, session: int, person: int) -> None:
        chance = self._chance
        length = self._end / len(self._scene.sessions)
        at = length * session + chance.uniform(0, length * 0.6)
        self._scan(at, Kind.CHECK_IN, session, person)
        if chance.random() < 0.3:
            self._scan(at + chance.choice((2.0, 60.0, 900.0)), Kind.CHECK_IN, session, person)
        if chance.random() < 0.5:
            self._scan(at + chance.uniform(60, length / 2), Kind.CHECK_OUT, session, person)

    def _scan(self, at: float, kind: Kind, session: int, person: int) -> None:
        data = {"direction": "auto"} if self._chance.random() < 0.1 else {}
        draft = Draft(
            kind,
            self._scene.sessions[session].id,
            self._scene.people[person].id,
            data={"method": "finger"} | data,
        )
        self._at(at, lambda kiosk: self.do(kiosk, draft))

    # -- staff -------------------------------------------------------------------------------------

    def _decision(self) -> None:
        chance = self._chance
        by = chance.choices(_RANKS, _OFTEN)[0]
        session = chance.choice(self._scene.sessions).id
        person = chance.choice(self._scene.people).id
        at = chance.uniform(0, self._end)
        roll, pick = chance.random(), chance.random()
        draft = Draft(Kind.OVERRIDE, session, person, by, {"status": chance.choice(_STATUSES)})
        if roll < 0.6:
            self._at(at, lambda kiosk: self.do(kiosk, draft))
        elif roll < 0.8:
            thinks = chance.uniform(5, 600)
            self._at(at, lambda kiosk: self._look_and_decide(kiosk, draft, thinks))
        else:
            kind = Kind.RETRACT if roll < 0.95 else Kind.RESOLVE
            self._at(at, lambda kiosk: self._take_back(kiosk, replace(draft, kind=kind), pick))

    def _look_and_decide(self, kiosk: Kiosk, draft: Draft, thinks: float) -> None:
        """Decide by what was shown when the screen was opened, not by what has come since."""
        saw = tuple(sorted(event.id for event in _row(kiosk, draft)))
        seen = replace(draft, saw=saw)
        self._scene.loop.call_later(thinks, self._do_later, kiosk, seen, 0)

    def _take_back(self, kiosk: Kiosk, draft: Draft, pick: float) -> None:
        events = _row(kiosk, draft)
        if events:
            target = events[int(pick * len(events))].id
            self.do(kiosk, replace(draft, data={"target": target}))

    def _closing(self, session: int) -> None:
        chance = self._chance
        length = self._end / len(self._scene.sessions)
        at = length * (session + 0.8)
        name = self._scene.sessions[session].id
        for kind in (Kind.SESSION_CLOSED, Kind.SESSION_REOPENED, Kind.SESSION_CLOSED):
            if chance.random() < 0.5:
                self._turn(kind, name, at + chance.uniform(0, length * 0.3))
        if chance.random() < 0.3:
            # Two at once, at doors that may not hear of each other.
            race = at + chance.uniform(0, length * 0.2)
            for kind in (Kind.SESSION_CLOSED, Kind.SESSION_REOPENED):
                self._turn(kind, name, race + chance.uniform(0, 5.0))

    def _turn(self, kind: Kind, session: str, at: float) -> None:
        draft = Draft(kind, session, by=self._chance.choices(_RANKS, _OFTEN)[0])
        self._at(at, partial(self.do, draft=draft))

    def _renaming(self) -> None:
        """The office learns somebody's other name."""
        chance, people = self._chance, self._scene.people
        place, name = chance.randrange(len(people)), f"Name {chance.randrange(1000)}"

        def rename() -> None:
            people[place] = msgspec.structs.replace(people[place], first_name=name)
            self._scene.publish(people[place])

        self._scene.loop.call_at(chance.uniform(60.0, self._end), rename)

    def _merging(self) -> None:
        """The office finds that two are one; and sometimes that they are not, after all."""
        chance, scene = self._chance, self._scene
        one, other = (person.id for person in chance.sample(scene.people, 2))
        at = chance.uniform(60.0, self._end)
        scene.loop.call_at(at, scene.merge, one, other)
        if chance.random() < 0.3:
            scene.loop.call_at(at + chance.uniform(1.0, 900.0), scene.merge, one, None)

    # -- doing it ----------------------------------------------------------------------------------

    def _at(self, seconds: float, act: Callable[[Kiosk], None]) -> None:
        """Do it then, at some kiosk; whoever finds it dark goes to another, or comes again."""
        first = self._chance.randrange(len(self._scene.kiosks))
        last = self._end - 1.0
        self._scene.loop.call_at(min(seconds, last), self._try, act, first, 0)

    def _try(self, act: Callable[[Kiosk], None], first: int, tried: int) -> None:
        kiosks = self._scene.kiosks
        for step in range(len(kiosks)):
            kiosk = kiosks[(first + step) % len(kiosks)]
            if kiosk.up and kiosk.disk.left is None:
                act(kiosk)
                return
        if tried < _PATIENCE:
            self._scene.loop.call_later(30.0, self._try, act, first, tried + 1)

    def do(self, kiosk: Kiosk, draft: Draft, tried: int = 0) -> None:
        """Have it recorded at this kiosk; tried again a few times if its disk refuses."""
        self.told.acts += 1
        act = self.told.acts
        marked = replace(draft, data=draft.data | {"act": act})

        def done(future: Future[Event]) -> None:
            error = future.exception()
            if error is None:
                self.told.events[act] = (future.result().id, kiosk.clock.truth())
                self._look_whether_it_saw(kiosk, draft, future.result())
            elif not isinstance(error, StoreWriteError):
                self._scene.broken.append(f"act {act} was refused: {error!r}")
            elif tried < _PATIENCE:
                self._scene.loop.call_later(2.0, self._do_later, kiosk, draft, tried + 1)

        kiosk.disk.approach()
        kiosk.store.record(marked).add_done_callback(done)

    def _look_whether_it_saw(self, kiosk: Kiosk, draft: Draft, event: Event) -> None:
        """A decision made by what is shown says that it knew all of it."""
        if draft.kind in (Kind.OVERRIDE, Kind.RETRACT) and draft.saw is None and kiosk.up:
            unseen = {one.id for one in _row(kiosk, draft)} - {event.id, *event.saw}
            self._scene.broken += [
                f"{event.id} was decided without {one}" for one in sorted(unseen)
            ]

    def _do_later(self, kiosk: Kiosk, draft: Draft, tried: int) -> None:
        if kiosk.up:
            self.do(kiosk, draft, tried)


def _row(kiosk: Kiosk, draft: Draft) -> list[Event]:
    if draft.session is None or draft.person is None or not kiosk.up:
        return []
    return kiosk.store.row_events(draft.session, draft.person)
