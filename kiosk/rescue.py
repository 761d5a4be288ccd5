"""A damaged database is moved aside, never thrown away, and what it still holds is saved.

The new database names the moved files whose contents it has, in the transaction that takes them
in. A file that no database accounts for is read again at the next start, so that a rescue may be
cut short at any step.
"""

from __future__ import annotations

import datetime as dt
import itertools
import logging
import os
from typing import TYPE_CHECKING

import msgspec

from kiosk.clock import NS
from kiosk.incarnation import machine_id
from kiosk.model import UNREADABLE
from kiosk.store import Store, StoreDamagedError
from kiosk.storefile import take_lock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from kiosk.clock import Clock

_LOG = logging.getLogger(__name__)
NOTE = "rescue"
_READ = "rescued"  # the note with the names of all moved files that were taken in
_SUFFIXES = ("-wal", "-journal", "-shm", "")


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


def open_store(
    path: Path, *, org: str, site: str, clock: Clock, zone: str, machine: str | None = None
) -> Store:
    """Open the database; if it is damaged, move it aside with its date and begin a new one.

    All that can still be read is taken into the new database, what was unsent is queued there, and
    it keeps a `Rescue` under the note "rescue". `machine` None asks the machine itself. Raises
    other `StoreError`s as they are, and `DeviceKeyError`.
    """
    machine = machine_id() if machine is None else machine
    _go_on_moving(path)
    try:
        store = Store.open(path, org=org, site=site, clock=clock, zone=zone, machine=machine)
    except StoreDamagedError as error:
        _LOG.error("%s", error)
        _move_aside(path, clock)
        store = Store.open(path, org=org, site=site, clock=clock, zone=zone, machine=machine)
    try:
        _take_in(store)
    except BaseException:
        store.close()
        raise
    return store


def rescue_note(store: Store) -> Rescue | None:
    """The last rescue taken in here, while the damaged file is still there to be seen to."""
    text = store.note(NOTE)
    if text is None:
        return None
    rescue = read_rescue(text)
    if rescue is None:
        return None
    return rescue if store.path.with_name(_name(rescue.moved_to)).exists() else None


def read_rescue(note: str) -> Rescue | None:
    """What the note says; None if it cannot be read any more."""
    try:
        return msgspec.json.decode(note, type=Rescue)
    except UNREADABLE:
        return None


# -- moving aside ----------------------------------------------------------------------------------


def _move_aside(path: Path, clock: Clock) -> None:
    """Move the database and all that belongs to it; the marker lets the next start go on."""
    with take_lock(path):
        marker = _marker(path)
        with marker.open("w", encoding="ascii") as file:
            file.write(_free_name(path, clock).name)
            file.flush()
            os.fsync(file.fileno())
        # A database that is lost leaves an empty one, so that what belongs together has one name.
        path.touch()
        _move(path)


def _go_on_moving(path: Path) -> None:
    if _marker(path).exists():
        with take_lock(path):
            _move(path)


def _move(path: Path) -> None:
    marker = _marker(path)
    name = marker.read_text(encoding="ascii")
    for suffix in _SUFFIXES if name else ():
        # The write-ahead log goes along: it may hold the newest check-ins.
        source = path.with_name(path.name + suffix)
        if source.exists():
            source.rename(path.with_name(name + suffix))
    marker.unlink()


def _marker(path: Path) -> Path:
    return path.with_name(f"{path.name}.moving")


def _free_name(path: Path, clock: Clock) -> Path:
    date = dt.datetime.fromtimestamp(clock.wall() / NS, dt.UTC).strftime("%Y%m%dT%H%M%SZ")
    dated = f"{path.name}.damaged-{date}"
    names = itertools.chain([dated], (f"{dated}-{n}" for n in itertools.count(2)))
    taken = {found.name for found in _damaged(path)}
    free = (name for name in names if not any(name + suffix in taken for suffix in _SUFFIXES))
    return path.with_name(next(free))


def _damaged(path: Path) -> list[Path]:
    return sorted(path.parent.glob(f"{path.name}.damaged-*"))


# -- taking in -------------------------------------------------------------------------------------


def _take_in(store: Store) -> None:
    """Unite the database with every moved file that it does not account for, newest first."""
    while (moved := next(_unread(store), None)) is not None:
        from kiosk.salvage import salvage  # noqa: PLC0415  rarely needed, and never to be waited for

        found = salvage(moved)
        read = {*_names(store.note(_READ)), *_names(found.notes.get(_READ)), moved.name}
        kept = {key: value for key, value in found.notes.items() if key not in {NOTE, _READ}}
        accounts = _accounts(moved, read, complete=found.complete)
        store.adopt(msgspec.structs.replace(found, notes=kept), accounts).result()
        rescue = rescue_note(store)
        _LOG.error("%s", rescue.sentence if rescue else moved)


def _accounts(moved: Path, read: set[str], *, complete: bool) -> Callable[[int], dict[str, str]]:
    def notes(unsent: int) -> dict[str, str]:
        rescue = Rescue(str(moved), unsent, complete)
        return {NOTE: _json(rescue), _READ: _json(sorted(read))}

    return notes


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _unread(store: Store) -> Iterator[Path]:
    names = [f for f in _damaged(store.path) if not f.name.endswith(_SUFFIXES[:-1])]
    read = _names(store.note(_READ)) if names else ()
    return (file for file in reversed(names) if file.name not in read)


def _names(note: str | None) -> list[str]:
    return msgspec.json.decode(note, type=list[str]) if note else []


def _name(path: str) -> str:
    return path.rpartition("/")[2]
