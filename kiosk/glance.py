"""A kiosk's records as another process may read them, while it runs or not; changes nothing."""

from __future__ import annotations

import contextlib
import fcntl
import sqlite3
from typing import TYPE_CHECKING, Any

from drivers.slots import Binding
from kiosk.entries import readable
from kiosk.model import UNREADABLE
from kiosk.peek import peek
from kiosk.record_kinds import EVENT, PERSON, SESSION
from kiosk.records import sound_binding, sound_slots
from kiosk.slots import entries_of
from kiosk.storefile import StoreError, translated

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from drivers.slots import Entry
    from kiosk.model import Event, Kind, Person, Session
    from kiosk.records import SensorBinding, Slot
# Only whole numbers: text that a card has made of a time is more than any of them.
_HEARD = (
    """SELECT person, MAX(high) FROM event
    WHERE person IS NOT NULL AND typeof(high) = 'integer' GROUP BY person""",
    """SELECT person, MAX(arrival) FROM attendance
    WHERE typeof(arrival) = 'integer' GROUP BY person""",
)


class Glance:
    """What one connection sees, or nothing; use it within `glance`.

    Also a `drivers.slots.SlotTable` for whoever only reads.
    """

    def __init__(self, database: sqlite3.Connection | None) -> None:
        """None stands for a kiosk that was never started."""
        self._db = database

    @property
    def device(self) -> str:
        """This kiosk's id; "" before its first start."""
        rows = self._rows("SELECT value FROM meta WHERE key = 'device'")
        return str(rows[0][0]) if rows else ""

    def people(self) -> list[Person]:
        """Every person of the directory, active or not."""
        rows = self._rows("SELECT value FROM directory WHERE record = 'person'")
        return readable(rows, PERSON)

    def sessions(self) -> list[Session]:
        """Every session of the directory."""
        rows = self._rows("SELECT value FROM directory WHERE record = 'session'")
        return readable(rows, SESSION)

    def slots(self) -> list[Slot]:
        """The slot table, of all sensors ever seen here."""
        return sound_slots(self._rows("SELECT * FROM slot"))

    def sensor_binding(self) -> SensorBinding | None:
        """The sensor that the slots speak of now."""
        rows = self._rows("SELECT sensor, generation, weak FROM binding")
        return sound_binding(rows)

    def personal_events(self, person: str, kind: Kind) -> list[Event]:
        """A person's events of one kind that belong to no session, in the order written here."""
        query = "SELECT body FROM event WHERE session IS NULL AND person = ? AND kind = ?"
        rows = self._rows(f"{query} ORDER BY seq", (person, kind))
        return readable(rows, EVENT)

    def latest(self, kind: Kind, most: int) -> list[Event]:
        """The last `most` events of one kind that this kiosk itself wrote, newest first."""
        query = "SELECT body FROM event WHERE kind = ? AND device = ? ORDER BY seq DESC LIMIT ?"
        return readable(self._rows(query, (kind, self.device, most)), EVENT)

    def last_heard_of(self) -> dict[str, int]:
        """When there was last anything about each person (UTC ns): an event, or an arrival."""
        about: dict[str, int] = {}
        for query in _HEARD:
            for person, at in self._rows(query):
                about[person] = max(about.get(person, 0), at)
        return about

    # -- as a slot table ---------------------------------------------------------------------------

    def binding(self) -> Binding | None:
        bound = self.sensor_binding()
        return Binding(bound.sensor, bound.generation, bound.weak) if bound else None

    def entries(self, sensor: str) -> dict[int, Entry]:
        return entries_of(self.slots(), sensor)

    def bind(self, binding: Binding) -> None:
        raise sqlite3.OperationalError(f"{binding.sensor} is only looked at")

    def put(self, sensor: str, entry: Entry, generation: int | None = None) -> None:
        raise sqlite3.OperationalError(f"{sensor} is only looked at: {entry.slot} {generation}")

    def drop(self, sensor: str, slot: int, generation: int | None = None) -> None:
        raise sqlite3.OperationalError(f"{sensor} is only looked at: {slot} {generation}")

    def _rows(self, query: str, args: tuple[str | int, ...] = ()) -> list[Any]:
        return self._db.execute(query, args).fetchall() if self._db is not None else []


@contextlib.contextmanager
def glance(path: Path) -> Iterator[Glance]:
    """Look into a kiosk's database; raises `StoreError`, also while it is used."""
    try:
        if not path.exists() or not path.stat().st_size:
            yield Glance(None)
            return
        with peek(path) as database:
            yield Glance(database)
    except sqlite3.Error as error:
        raise translated(error, path) from error
    except UNREADABLE as error:
        raise StoreError(f"a row of {path} cannot be read: {error}") from error


def kiosk_runs(path: Path) -> bool:
    """Whether some process holds the database at `path`; leaves its lock as it is."""
    try:
        with path.with_name(path.name + ".lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False
