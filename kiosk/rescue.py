"""A damaged database is moved aside, never thrown away, and what it still holds unsent is saved."""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from kiosk.clock import NS
from kiosk.store import SensorBinding, Slot, Store, StoreDamagedError

if TYPE_CHECKING:
    from pathlib import Path

    from kiosk.clock import Clock

_LOG = logging.getLogger(__name__)
NOTE = "rescue"


class Rescue(msgspec.Struct, frozen=True):
    """What happened to a damaged database; kept in the new one until staff have seen to it.

    `unsent` events were found still waiting and queued again; `complete` is False if the old file
    could not be read to its end, so that there may have been more.
    """

    moved_to: str
    unsent: int
    complete: bool

    @property
    def sentence(self) -> str:
        """One line for whoever looks after the kiosk."""
        told = f"The database was damaged and is kept as {self.moved_to}; "
        saved = f"{self.unsent} unsent check-ins were saved from it"
        return told + saved + ("." if self.complete else ", but there may have been more.")


@dataclass(frozen=True, slots=True)
class _Salvage:
    bodies: list[bytes]
    slots: list[Slot]
    binding: list[SensorBinding]
    complete: bool


def open_store(path: Path, *, org: str, site: str, clock: Clock, zone: str) -> Store:
    """Open the database; if it is damaged, move it aside with its date and begin a new one.

    Every unsent event that can still be read is queued in the new database, which also keeps a
    `Rescue` under the note "rescue". Raises other `StoreError`s as they are.
    """
    try:
        return Store.open(path, org=org, site=site, clock=clock, zone=zone)
    except StoreDamagedError as error:
        _LOG.error("%s", error)
    moved = _move_aside(path, clock)
    salvage = _salvage(moved)
    store = Store.open(path, org=org, site=site, clock=clock, zone=zone)
    unsent = store.adopt(salvage.bodies).result()
    for slot in salvage.slots:
        store.set_slot(slot).result()
    for binding in salvage.binding:
        store.bind_sensor(binding).result()
    rescue = Rescue(str(moved), unsent, salvage.complete)
    store.set_note(NOTE, msgspec.json.encode(rescue).decode()).result()
    _LOG.error("%s", rescue.sentence)
    return store


def rescue_note(store: Store) -> Rescue | None:
    """The rescue this database began with, while the damaged file is still there to be seen to."""
    text = store.note(NOTE)
    if text is None:
        return None
    rescue = msgspec.json.decode(text, type=Rescue)
    return rescue if store.path.with_name(_name(rescue.moved_to)).exists() else None


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _move_aside(path: Path, clock: Clock) -> Path:
    date = dt.datetime.fromtimestamp(clock.wall() / NS, dt.UTC).strftime("%Y%m%dT%H%M%SZ")
    moved = path.with_name(f"{path.name}.damaged-{date}")
    for suffix in ("", "-wal", "-shm"):
        # The write-ahead log goes along: it may hold the newest check-ins.
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(moved.with_name(moved.name + suffix))
    return moved


def _salvage(path: Path) -> _Salvage:
    """What a damaged file still yields: the unsent events, whose finger is in which slot."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        slots, _ = _readable(db, "SELECT sensor, slot, person, status, enrolled, digest FROM slot")
        query = "SELECT body FROM event WHERE seq IN (SELECT seq FROM outbox) ORDER BY seq"
        rows, complete = _readable(db, query)
        bound, _ = _readable(db, "SELECT sensor, generation, weak FROM binding")
        if not complete:
            # The outbox cannot be trusted: take every event from both ends up to the damage. The
            # hub answers "dup" to what it has.
            up, _ = _readable(db, "SELECT body FROM event ORDER BY seq")
            down, _ = _readable(db, "SELECT body FROM event ORDER BY seq DESC")
            rows = list(dict.fromkeys(rows + up + down[::-1]))
    return _Salvage(
        [bytes(row[0]) for row in rows],
        [Slot(*row) for row in slots],
        [SensorBinding(row[0], row[1], bool(row[2])) for row in bound],
        complete,
    )


def _readable(db: sqlite3.Connection, query: str) -> tuple[list[tuple[Any, ...]], bool]:
    """The rows up to the first that cannot be read, and whether those were all."""
    rows: list[tuple[Any, ...]] = []
    try:
        for row in db.execute(query):
            rows.append(row)  # noqa: PERF402  what came before the damage must be kept
    except sqlite3.Error as error:
        _LOG.error("a damaged database can be read no further: %s", error)
        return rows, False
    return rows, True
