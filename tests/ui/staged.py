"""A desk that shows what it is told and keeps what it was asked: the other side of the screen."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import msgspec

from kiosk.model import (
    Attendance,
    Counts,
    DeskState,
    LinkState,
    LinkStatus,
    Person,
    Presence,
    RosterRow,
    SensorState,
    SensorStatus,
    Session,
    Status,
)

NS = 1_000_000_000
ZONE = "Europe/London"


def at(time, day="2025-11-21", zone=ZONE):
    """UTC nanoseconds of a local time."""
    return (
        int(dt.datetime.fromisoformat(f"{day} {time}").replace(tzinfo=ZoneInfo(zone)).timestamp())
        * NS
    )


class StillClock:
    """A clock that stands until it is moved; monotonic time goes along with the wall."""

    boot = "staged"

    def __init__(self, wall):
        self._wall = wall
        self._start = wall

    def wall(self):
        return self._wall

    def ticks(self):
        return self._wall - self._start

    def monotonic(self):
        return self.ticks() / NS

    def synced(self):
        return True

    def advance(self, seconds):
        self._wall += int(seconds * NS)


class StagedDesk:
    """Same contract as the real desk; `stage` alters the state, `arrive` the roster."""

    def __init__(self, state, rows=(), clock=None):
        self.clock = clock or StillClock(at("18:04"))
        self.state = state
        self.calls = []
        self._rows = {row.person.id: row for row in rows}
        self._watchers = []

    def roster(self):
        return tuple(self._rows.values())

    def watch(self, on_state, on_rows):
        watcher = (on_state, on_rows)
        self._watchers.append(watcher)
        return lambda: self._watchers.remove(watcher)

    def stage(self, **changes):
        self.state = msgspec.structs.replace(self.state, **changes)
        for on_state, _ in list(self._watchers):
            on_state(self.state)

    def open(self, session, rows):
        self._rows = {row.person.id: row for row in rows}
        self.stage(session=session)

    def arrive(self, *rows):
        self._rows.update({row.person.id: row for row in rows})
        for _, on_rows in list(self._watchers):
            on_rows(rows)

    def enter_code(self, code):
        self.calls.append(("enter_code", code))

    def badge(self, token):
        self.calls.append(("badge", token))

    def not_you(self):
        self.calls.append(("not_you",))

    def dismiss(self):
        self.calls.append(("dismiss",))

    def choose_session(self, session):
        self.calls.append(("choose_session", session))

    def try_now(self):
        self.calls.append(("try_now",))


def person(name, number=0):
    first, _, last = name.partition(" ")
    return Person(id=f"p-{number}-{name}", first_name=first, last_name=last)


def row(
    name, time=None, *, method="finger", status=Status.PRESENT, session="s", number=0, winner=None
):
    """A roster row; without a time, an expected person unless another status is given."""
    arrival = (at(time), at(time)) if time else None
    return RosterRow(
        person=person(name, number),
        row=Attendance(
            session=session,
            person=f"p-{number}-{name}",
            status=status if time or status is not Status.PRESENT else Status.EXPECTED,
            presence=Presence.INSIDE if time else Presence.NONE,
            arrival=arrival,
            method=method if time else "",
            winner=winner,
        ),
    )


def session(title="Evening training", start="18:00", end="19:30", place="Main hall", name="s"):
    return Session(id=name, title=title, zone=ZONE, starts=at(start), ends=at(end), place=place)


READY = SensorStatus(state=SensorState.READY, sensor="r503", capacity=200, used=32)
ONLINE = LinkStatus(state=LinkState.ONLINE, transport="websocket", last_exchange=at("18:04"))


EARLIER = (
    *("Hana Sato", "Jonas Meyer", "Aisha Diallo", "Peter Vance", "Mei Lin", "Rafael Moreno"),
    *("Grace Adeyemi", "Siobhán Daly", "Omar Farouk", "Elif Demir", "Ivan Petrov", "Nora Lund"),
    *("Kofi Mensah", "Leila Haddad", "Marek Novák", "Zofia Wrona"),
)
LATER = (
    *("Daniel Wood", "Ella Moss", "Hannah Frey", "Ben Archer", "Carla Nunes", "Dmitri Orlov"),
    *("Esther Cole", "Farid Aziz", "Greta Holm", "Hugo Lang", "Ines Costa", "Jakub Zając"),
    *("Karin Ek", "Liam Byrne"),
)


def club():
    """A boxing club at four minutes past six, 18 of 32 present."""
    rows = [
        row("Amara Okafor", "18:04"),
        row("Lukas Brandt", "18:03"),
        row("Chidi Nwosu", "18:01", method="badge"),
        row("Maeve Casey", "17:58"),
        row("Sofia Reyes", "17:57", method="code"),
        row("Tomás García", "17:56"),
        row("Yusuf Kaya", "17:52", method="staff", winner="o"),
        *(row(name, f"17:{50 - i}") for i, name in enumerate(EARLIER[:11])),
        *(row(name) for name in LATER[:14]),
    ]
    state = DeskState(
        organisation="Northgate Boxing Club",
        session=session(),
        sensor=READY,
        link=ONLINE,
        counts=Counts(present=18, expected=14),
    )
    return StagedDesk(state, rows)


def school():
    """A breakfast club at two minutes past eight, some of them late."""
    rows = [
        row("Priya Shah", "08:02", status=Status.LATE),
        row("Oskar Lind", "08:01", status=Status.LATE, method="code"),
        row("Ruby Turner", "07:54"),
        row("Imran Ali", "07:53"),
        row("Noor Haddad", "07:51", method="badge"),
        *(row(name, f"07:{50 - i}") for i, name in enumerate(EARLIER)),
        *(row(name) for name in LATER[:6]),
    ]
    state = DeskState(
        organisation="Harrow Lane School",
        session=session("Breakfast club", "07:45", "08:40", "Dining hall"),
        sensor=READY,
        link=ONLINE,
        counts=Counts(present=21, late=4, expected=6),
    )
    return StagedDesk(state, rows, StillClock(at("08:02")))


def crowd(people):
    """A hall of so many people, every second of them inside."""
    now = at("18:00")
    rows = [
        RosterRow(
            Person(id=f"p{n}", first_name=f"First{n}", last_name="Last"),
            Attendance(
                session="s",
                person=f"p{n}",
                status=Status.PRESENT if n % 2 else Status.EXPECTED,
                arrival=(now - n * NS, now - n * NS) if n % 2 else None,
                method="finger" if n % 2 else "",
            ),
        )
        for n in range(people)
    ]
    half = people // 2
    state = msgspec.structs.replace(
        club().state, counts=Counts(present=half, expected=people - half)
    )
    return StagedDesk(state, rows)
