"""The one door to the kiosk's SQLite file: one writer thread, one transaction per fact.

A check-in is one transaction: the event, its place in the outbox and the attendance row folded
from it (WAL, synchronous=FULL). Whoever asked is told only after the commit, and so is everyone
who listens. Writes are handed to one thread and come back as futures that end with a
`StoreError` (see `kiosk.storefile`) if nothing could be written; reads run where they are asked,
each thread on a connection of its own.
"""

from __future__ import annotations

import itertools
import logging
import os
import queue
import threading
from concurrent.futures import Future
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, TypeVar

from kiosk import gaps, hubs, outbox, pruning, records, refold, review
from kiosk.anchors import carried, keep_carried, known
from kiosk.clock import NS, Anchor, Clock
from kiosk.devicekey import FILE, DeviceKeys
from kiosk.entries import readable, readable_by_id
from kiosk.folding import Book, rows_of, slices, state_of
from kiosk.ledger import Ledger
from kiosk.model import (
    Attendance,
    Change,
    Envelope,
    Event,
    Kind,
    Person,
    ReviewItem,
    Session,
    SessionState,
    session_room,
    site_room,
)
from kiosk.record_kinds import ANYTHING, EVENT, PERSON, SESSION
from kiosk.records import Carried, Draft, Held, Logged, Salvage, SensorBinding, Settled, Slot
from kiosk.storefile import (
    EventTooLargeError,
    Identity,
    StoreBusyError,
    StoreDamagedError,
    StoreError,
    StoreForeignError,
    StoreFullError,
    StoreTooNewError,
    StoreWriteError,
    connect,
    found_at_open,
    of_the_disk_only,
    open_checked,
    translated,
)

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Collection, Sequence
    from pathlib import Path

    from kiosk.folding import Touched
    from kiosk.pruning import Safe
    from sync.merge import Names

__all__ = [
    "Carried",
    "Draft",
    "EventTooLargeError",
    "Held",
    "Identity",
    "Logged",
    "Salvage",
    "SensorBinding",
    "Settled",
    "Slot",
    "Store",
    "StoreBusyError",
    "StoreDamagedError",
    "StoreError",
    "StoreForeignError",
    "StoreFullError",
    "StoreTooNewError",
    "StoreWriteError",
]

T = TypeVar("T")
_LOG = logging.getLogger(__name__)

# Local facts overtake whatever the hub sends: somebody is standing at the door.
_LOCAL, _REMOTE, _STOP, _IDLE = 0, 1, 2, 3
KEEP_DAYS = 400.0  # events are kept at least as long, whatever the hub has


@dataclass(frozen=True, slots=True)
class _Job:
    work: Callable[[Touched], Any]
    future: Future[Any]
    meaning: Callable[[Exception, Path], Exception]


class Store:
    """The log, the outbox and the roster of one kiosk. Thread-safe; `close` ends its thread."""

    def __init__(
        self,
        path: Path,
        lock: IO[str],
        clock: Clock,
        zone: str,
        who: Identity,
        keys: DeviceKeys,
    ) -> None:
        """Use `Store.open`; this takes what it has opened."""
        self.path = path
        self.keys = keys
        self.keep_days = KEEP_DAYS
        self._lock = lock
        self._listeners: list[Callable[[Change], None]] = []
        self._jobs: queue.PriorityQueue[tuple[int, int, _Job | None]] = queue.PriorityQueue()
        self._order = itertools.count()
        self._readers: dict[int, sqlite3.Connection] = {}
        self._readers_lock = threading.Lock()
        self._closed = False
        self._clock = clock
        self._sessions: tuple[int, list[Session]] = (-1, [])
        self._sessions_version = 0
        self._db = self._opened()
        try:
            self._ledger = Ledger(self._db, who, clock, zone, self._entropy)
        except BaseException:
            self._db.close()
            raise
        self._start()

    @classmethod
    def open(
        cls, path: Path, *, org: str, site: str, clock: Clock, zone: str, machine: str = ""
    ) -> Store:
        """Open or make the database at `path`; raises a `StoreError` that says what is wrong.

        The keys of its incarnations are in the file `device.key` beside it, or systemd's (see
        `kiosk.devicekey`, whose `DeviceKeyError` is raised as well). `machine` tells this machine
        from others; "" if that is not looked at.
        """
        keys = DeviceKeys(path.with_name(FILE))
        lock, identity = open_checked(path, org, site, keys, machine, clock)
        try:
            return cls(path, lock, clock, zone, identity, keys)
        except Exception as error:
            lock.close()
            raise found_at_open(error, path) from error

    @property
    def identity(self) -> Identity:
        """Whose database this is, and its present incarnation."""
        return self._ledger.identity

    def close(self) -> None:
        """Finish what is queued, end the writer, release the file."""
        if self._closed:
            return
        self._closed = True
        self._halt()
        with self._readers_lock:
            for connection in self._readers.values():
                connection.close()
            self._readers.clear()
        self._db.close()
        self._lock.close()

    def on_commit(self, listener: Callable[[Change], None]) -> None:
        """Call `listener` in the writer thread after each commit; the first sets off `refold`."""
        self._listeners.append(listener)
        refold.go_on(self._ledger.refold, lambda w: self._submit(_IDLE, w), self._listeners.append)

    # -- writing -----------------------------------------------------------------------------------

    def record(self, draft: Draft) -> Future[Event]:
        """Write one own fact."""
        return self._submit(_LOCAL, lambda touched: self._ledger.record(draft, touched))

    def record_many(self, drafts: Sequence[Draft]) -> Future[list[Event]]:
        """Write own facts in one transaction: all or none."""
        return self._submit(
            _LOCAL, lambda touched: [self._ledger.record(draft, touched) for draft in drafts]
        )

    def settle(self, verdicts: Sequence[Settled]) -> Future[None]:
        """Take the hub's verdicts: all but `retry` leave the outbox, envelopes are kept."""
        return self._submit(_REMOTE, lambda touched: self._ledger.settle(verdicts, touched))

    def apply_remote(
        self, room: str, epoch: str, items: Sequence[tuple[bytes, Envelope]], offset: int
    ) -> Future[None]:
        """Add what the hub sent and move the room's cursor, in one transaction.

        A set union: what is known already only gains its envelope. What cannot be read, or kept
        for any reason but the disk's, is put aside and logged, and never stops those behind it.
        Only the disk's trouble ends as a `StoreError`; anything else is the page's own fault.
        """
        return self._submit(
            _REMOTE,
            lambda touched: self._ledger.apply(room, epoch, items, offset, touched),
            of_the_disk_only,
        )

    def reoffer(self, incarnation: str, above: int) -> Future[int]:
        """Queue own events above a kseq again (a restored hub may lack them); how many."""
        return self._submit(_REMOTE, lambda _: self._ledger.reoffer(incarnation, above))

    def meet(self, hub: hubs.Hub) -> Future[None]:
        """Take this hub for the kiosk's own from now on (see `kiosk.hubs`)."""
        return self._beside(_LOCAL, lambda: hubs.meet(self._db, self.identity, hub))

    def reoffer_records(self, lives: hubs.Lives) -> Future[int]:
        """Queue what the hub itself has said and a restored one may lack; how many."""
        return self._beside(_REMOTE, lambda: hubs.reoffer(self._db, lives))

    def adopt(self, salvage: Salvage, notes: Callable[[int], dict[str, str]]) -> Future[int]:
        """Unite with what a damaged database held, in one transaction; how many were queued.

        `notes` are set along with it, made from that number.
        """
        return self._submit(_LOCAL, lambda touched: self._ledger.adopt(salvage, notes, touched))

    def renew(self, why: str) -> Future[None]:
        """Begin a new incarnation (see `kiosk.incarnation`); `identity` is it from then on."""
        return self._submit(_LOCAL, lambda _: self._ledger.renew(self.keys, why))

    def carry(self, events: Sequence[Carried], anchors: Sequence[Anchor] = ()) -> Future[int]:
        """Take in events of other devices, to be passed on; how many were not here already.

        Who calls has checked that their authors signed them. `anchors` are of the authors' boots:
        they go along, and tell this kiosk nothing.
        """

        def work(touched: Touched) -> int:
            keep_carried(self._db, anchors)
            return self._ledger.carry(events, touched)

        return self._submit(_LOCAL, work)

    def carried_anchors(self) -> list[Anchor]:
        """The anchors that came along with carried events."""
        return carried(self._reader())

    def prune(self, safe: Safe, now: int) -> Future[int]:
        """Let go of what is safe at the hub and older than `keep_days` (see `kiosk.pruning`).

        `now` is the hub's time (UTC ns). How many events.
        """
        before = now - int(self.keep_days * 86_400 * NS)
        return self._submit(_REMOTE, lambda _: self._ledger.prune(safe, before))

    def last_kseq(self) -> int:
        """How many events the present incarnation has written."""
        return self._ledger.last_kseq

    @property
    def since(self) -> int:
        """The ticks at which the database came to this boot, if it was running; else 0."""
        return self._ledger.since

    def save_anchor(self, anchor: Anchor) -> Future[None]:
        """Keep a boot's best round trip: it times what is recorded from now on.

        What was recorded before in this boot is timed by the hub, to which the anchor goes along.
        """
        return self._submit(_REMOTE, lambda _: self._ledger.save_anchor(anchor))

    def set_slot(self, slot: Slot, generation: int | None = None) -> Future[None]:
        """Keep whose template a slot of a sensor holds, and the library's generation if given."""
        row = (slot.sensor, slot.slot, slot.person, slot.status, slot.enrolled, slot.digest)
        put = "INSERT OR REPLACE INTO slot VALUES (?, ?, ?, ?, ?, ?)"
        return self._execute((put, row), *_generation(slot.sensor, generation))

    def clear_slot(self, sensor: str, slot: int, generation: int | None = None) -> Future[None]:
        """Forget a slot, and keep the library's generation if given."""
        drop = "DELETE FROM slot WHERE sensor = ? AND slot = ?"
        return self._execute((drop, (sensor, slot)), *_generation(sensor, generation))

    def bind_sensor(self, binding: SensorBinding) -> Future[None]:
        """Say which sensor the slots speak of from now on; the slots of others are kept."""
        row = (1, binding.sensor, binding.generation, binding.weak)
        return self._execute(("INSERT OR REPLACE INTO binding VALUES (?, ?, ?, ?)", row))

    def set_note(self, key: str, value: str) -> Future[None]:
        """Keep a small fact about this kiosk itself, such as a rescue staff must hear of."""
        return self._execute(("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value)))

    # -- reading -----------------------------------------------------------------------------------

    def pending(self, after: int = 0, limit: int = 500, max_bytes: int = 262_144) -> list[Held]:
        """The oldest unsent events with seq > `after`, at least one if there is any."""
        return outbox.pending(self._reader(), after, limit, max_bytes)

    def signatures(self, seqs: Sequence[int]) -> dict[int, tuple[str, str]]:
        """The author's public key and signature (hex) of events that others wrote, if known."""
        return outbox.signatures(self._reader(), seqs)

    def held(self) -> tuple[int, int | None]:
        """How many events are unsent, and the wall time (UTC ns) of the oldest."""
        count = self._ledger.unsent
        return count, outbox.oldest(self._reader()) if count else None

    def quarantined(self) -> int:
        """How many own events the hub keeps apart for somebody to look at."""
        return outbox.quarantined(self._reader(), self.identity.device)

    def cursor(self, room: str) -> tuple[str, int] | None:
        """The (epoch, offset) up to which a room has been read; None before the first page."""
        rows = self._read("SELECT epoch, offset FROM cursor WHERE room = ?", (room,))
        return (str(rows[0][0]), rows[0][1]) if rows and type(rows[0][1]) is int else None

    def rooms(self) -> list[str]:
        """The rooms this kiosk follows: its site's and those of the sessions that matter now.

        These are the 64 that begin nearest to now, and any older or later one with unsent events.
        """
        org = self.identity.org
        # A kiosk without a battery clock wakes up in the past.
        now = max([self._clock.wall(), *(anchor.hub for anchor in self.anchors())])
        near = pruning.followed(self._reader(), self.sessions(), now)
        return [site_room(org, self.identity.site), *(session_room(org, one.id) for one in near)]

    def anchors(self) -> list[Anchor]:
        """The anchors of all boots of this device known here."""
        return known(self._reader())

    def people(self) -> list[Person]:
        """Every person of the directory, active or not."""
        rows = self._read("SELECT value FROM directory WHERE record = 'person'")
        return readable(rows, PERSON)

    def sessions(self) -> list[Session]:
        """Every session of the directory."""
        # The version is taken before reading: what a commit overtakes is not used again.
        version, (read_at, found) = self._sessions_version, self._sessions
        if read_at != version:
            rows = self._read("SELECT value FROM directory WHERE record = 'session'")
            found = readable(rows, SESSION)
            self._sessions = version, found
        return list(found)

    def records(self, record: str) -> dict[str, Any]:
        """The directory's records of a kind that has no type here, such as staff, by id."""
        rows = self._read("SELECT id, value FROM directory WHERE record = ?", (record,))
        return dict(readable_by_id(rows, ANYTHING))

    def attendance(self, session: str) -> list[Attendance]:
        """The folded rows of one session, in no order.

        If it is closed, those who were expected and of whom there is nothing are among them.
        """
        return rows_of(self._reader(), session)

    def session_state(self, session: str) -> SessionState:
        """Whether a session is open, and its limits by the policy in force."""
        return state_of(self._reader(), session)

    def merged(self) -> dict[str, str]:
        """Who each merged person is now."""
        return dict(Book(self._reader()).aliases)

    def review_items(self) -> list[ReviewItem]:
        """What staff have not settled or acknowledged yet, in order of id."""
        return [item for item in review.items(self._reader()) if item.waits]

    def events(self, ids: Collection[str]) -> list[Event]:
        """Those of these events that are here."""
        return review.events(self._reader(), ids)

    def names(self) -> Names:
        """What the ids in review items are called, for `sync.merge.explain`."""
        return review.names(self._reader())

    def lacking(self) -> list[tuple[Session, int]]:
        """Of which sessions how many events neither this kiosk nor the hub has any longer."""
        return gaps.lacking(self._reader(), self.identity.org, self.sessions())

    def slots(self) -> list[Slot]:
        """The slot table, of all sensors ever seen here."""
        return records.sound_slots(self._read("SELECT * FROM slot"))

    def sensor_binding(self) -> SensorBinding | None:
        """The sensor that the slots speak of now; None before the first."""
        rows = self._read("SELECT sensor, generation, weak FROM binding")
        return records.sound_binding(rows)

    def event_ids(self) -> list[str]:
        """Ids of this device's own events, in the order they were written."""
        query = "SELECT id FROM event WHERE device = ? ORDER BY seq"
        return [row[0] for row in self._read(query, (self.identity.device,))]

    def row_events(self, session: str, person: str) -> list[Event]:
        """Every event of one row, in the order they were written here."""
        return [entry.event for entry in Book(self._reader()).entries(session, person)]

    def personal_events(self, person: str, kind: Kind) -> list[Event]:
        """A person's events of one kind that belong to no session, in the order written here."""
        query = "SELECT body FROM event WHERE session IS NULL AND person = ? AND kind = ?"
        return readable(self._read(f"{query} ORDER BY seq", (person, kind)), EVENT)

    def note(self, key: str) -> str | None:
        """A small fact kept by `set_note`."""
        rows = self._read("SELECT value FROM meta WHERE key = ?", (key,))
        return rows[0][0] if rows and isinstance(rows[0][0], str) else None

    # -- the writer thread -------------------------------------------------------------------------

    # A simulation puts its own in the place of these: chance, the disk, and the thread.
    _entropy = staticmethod(os.urandom)

    def _opened(self) -> sqlite3.Connection:
        return connect(self.path)

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._write_loop, name="store-writer", daemon=True)
        self._thread.start()

    def _halt(self) -> None:
        self._jobs.put((_STOP, next(self._order), None))
        self._thread.join()

    def _execute(self, *statements: tuple[str, tuple[Any, ...]]) -> Future[None]:
        def work() -> None:
            for statement, args in statements:
                self._db.execute(statement, args)

        return self._beside(_LOCAL, work)

    def _beside(self, rank: int, work: Callable[[], T]) -> Future[T]:
        return self._submit(rank, lambda _: self._ledger.beside(work))

    def _submit(
        self,
        rank: int,
        work: Callable[[Touched], T],
        meaning: Callable[[Exception, Path], Exception] = translated,
    ) -> Future[T]:
        if self._closed:
            raise StoreError("the store is closed")
        future: Future[T] = Future()
        self._jobs.put((rank, next(self._order), _Job(work, future, meaning)))
        return future

    def _write_loop(self) -> None:
        while (job := self._jobs.get()[2]) is not None:
            self._perform(job)

    def _perform(self, job: _Job) -> None:
        # A fact is written even if whoever handed it in no longer waits for the answer.
        waiting = job.future.set_running_or_notify_cancel()
        try:
            result, change = self._ledger.transact(job.work)
        except Exception as error:  # noqa: BLE001  handed to whoever waits for this job
            failure = job.meaning(error, self.path)
            if waiting:
                job.future.set_exception(failure)
            else:
                _LOG.error("a write nobody waits for failed: %s", failure)
            return
        self._announce(change)
        if waiting:
            job.future.set_result(result)

    def _announce(self, change: Change) -> None:
        if change.sessions:
            self._sessions_version += 1
        for part in slices(change):
            for listener in self._listeners:
                try:
                    listener(part)
                except Exception:  # noqa: BLE001  one bad listener must not end the writer
                    _LOG.exception("a listener to commits failed")

    # -- the readers -------------------------------------------------------------------------------

    def _reader(self) -> sqlite3.Connection:
        key = threading.get_ident()
        connection = self._readers.get(key)
        if connection is None:
            with self._readers_lock:
                connection = self._readers[key] = connect(self.path)
                connection.execute("PRAGMA query_only = ON")
        return connection

    def _read(self, query: str, args: tuple[Any, ...] = ()) -> list[Any]:
        return self._reader().execute(query, args).fetchall()


def _generation(sensor: str, number: int | None) -> list[tuple[str, tuple[Any, ...]]]:
    if number is None:
        return []
    return [("UPDATE binding SET generation = ? WHERE sensor = ?", (number, sensor))]
