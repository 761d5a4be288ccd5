"""However often a hub is backed up, restored or put back by hand: what kiosks hold comes back.

Logs, backups and restores are the real ones on real files; a kiosk is what it was told, and offers
what `welcome` says the hub lacks.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import tempfile
from pathlib import Path

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from kiosk.model import decode_envelope, decode_event
from sync.hub.backup import back_up, restore
from sync.hub.log import Log, Submission
from sync.signing import alone
from tests.killed import quick_folder
from tests.sync.rig import NS, ORG, SITE_ROOM, TestClock

RECORDS = ["p1", "p2", "p3"]
KIOSKS = 3

step = st.one_of(
    st.tuples(st.just("say"), st.sampled_from(RECORDS)),
    st.tuples(st.just("meet"), st.integers(0, KIOSKS - 1)),
    st.tuples(st.just("back up"), st.none()),
    st.tuples(st.just("restore"), st.integers(0, 2)),
    st.tuples(st.just("move"), st.integers(0, 2)),
    st.tuples(st.just("put back"), st.integers(0, 2)),
    st.tuples(st.just("clock"), st.integers(-50, 50)),
)


class World:
    """A hub's machine, its backups, and kiosks: each a dictionary of what it was told, by id."""

    def __init__(self, folder):
        self.folder = folder
        self.db = folder / "0" / "hub.db"
        self.db.parent.mkdir()
        self.clock = TestClock()
        self.kiosks = [{} for _ in range(KIOSKS)]
        self.cursors = [None] * KIOSKS
        self.backups, self.copies, self.said = [], [], 0

    @contextlib.contextmanager
    def log(self):
        log = Log(self.db, self.clock)
        try:
            yield log
        finally:
            log.close()

    def rows(self, query):
        with contextlib.closing(sqlite3.connect(self.db)) as db:
            return db.execute(query).fetchall()

    def say(self, id_):
        self.said += 1
        with self.log() as log:
            log.begin()
            known = dict(log._db.execute("SELECT id, rev FROM directory"))
            log.direct(ORG, SITE_ROOM, [("person", id_, {"id": id_, "n": self.said})])
            log.commit()
            (rev,) = log._db.execute("SELECT rev FROM directory WHERE id = ?", (id_,)).fetchone()
        assert rev > known.get(id_, 0)

    def meet(self, number):
        """The kiosk offers what the hub lacks, then is told all."""
        mine = self.kiosks[number]
        with self.log() as log:
            held = dict(
                log._db.execute(
                    "SELECT a.incarnation, coalesce(c.contiguous, 0) FROM author a"
                    " LEFT JOIN chain c USING (device, incarnation) WHERE a.key = ?",
                    (log.key,),
                )
            )
            # A log that was put back within its epoch answers a cursor with a reset.
            upto = self.cursors[number]
            put_back = upto and upto[0] == log.epoch and upto not in self.places()
            lacking = [
                (event, body, stamp)
                for event, body, stamp in mine.values()
                if put_back
                or (
                    event.kseq > held.get(event.incarnation, 0)
                    and (event.incarnation == log.incarnation or stamp.epoch != log.epoch)
                )
            ]
            log.begin()
            verdicts = log.submit(
                Submission(
                    ORG,
                    f"kiosk-{number}",
                    [body for _, body, _ in lacking],
                    signed=[
                        alone(event, stamp.key, stamp.signature, at)
                        for at, (event, _, stamp) in enumerate(lacking)
                    ],
                    introduces=False,
                )
            )
            log.commit()
            assert {verdict.verdict for verdict in verdicts} <= {"ok", "dup"}
        ((epoch,),) = self.rows("SELECT value FROM meta WHERE key = 'epoch'")
        for body, envelope in self.rows("SELECT body, envelope FROM event ORDER BY place"):
            event, stamp = decode_event(body), decode_envelope(envelope)
            assert stamp.signature
            mine[event.id] = (event, body, stamp)
            self.cursors[number] = (epoch, stamp.offset, stamp.received)

    def places(self):
        """Every cursor that means something in the hub's log."""
        ((epoch,),) = self.rows("SELECT value FROM meta WHERE key = 'epoch'")
        stamps = [decode_envelope(row[0]) for row in self.rows("SELECT envelope FROM event")]
        return {(epoch, stamp.offset, stamp.received) for stamp in stamps}

    def back_up(self, _):
        if self.db.exists():
            file = self.folder / f"backup-{len(self.backups)}"
            back_up(self.db, file)
            self.backups.append(file)
            self.copies.append(file.with_suffix(".copy"))
            shutil.copy(self.db, self.copies[-1])

    def restore(self, number):
        if self.backups:
            restore(self.db, self.backups[number % len(self.backups)])

    def move(self, number):
        """The machine is gone; another takes its place, from a backup."""
        if self.backups:
            self.db = self.folder / str(len(list(self.folder.iterdir()))) / "hub.db"
            self.db.parent.mkdir()
            self.restore(number)

    def put_back(self, number):
        """Somebody copies an older file over the hub's database."""
        if self.copies and self.db.exists():
            shutil.copy(self.copies[number % len(self.copies)], self.db)
            self.tick(60)  # later than all that was said

    def tick(self, seconds):
        self.clock.now += seconds * NS


@settings(max_examples=30, deadline=None)
@given(st.lists(step, max_size=14))
def test_what_kiosks_hold_comes_back_and_nothing_else_counts(steps):
    with quick_folder() as folder:
        world = World(Path(tempfile.mkdtemp(dir=folder)))
        acts = {
            "say": world.say,
            "meet": world.meet,
            "back up": world.back_up,
            "restore": world.restore,
            "move": world.move,
            "put back": world.put_back,
            "clock": world.tick,
        }
        for name, argument in steps:
            acts[name](argument)
        with world.log():
            pass
        mine = [decode_event(body) for (body,) in world.rows("SELECT body FROM event")]
        everything = {event.id: event for event in mine}
        for kiosk in world.kiosks:
            everything |= {id_: event for id_, (event, _, _) in kiosk.items()}
        for number in (*range(KIOSKS), *range(KIOSKS)):
            world.meet(number)
        ids = [row[0] for row in world.rows("SELECT id FROM event")]
        assert sorted(ids) == sorted(everything)
        assert world.rows("SELECT * FROM quarantine") == []
        assert {
            id_: (rev, msgspec.json.decode(value))
            for id_, rev, value in world.rows("SELECT id, rev, value FROM directory")
        } == _folded(everything.values())
        assert all(sorted(kiosk) == sorted(ids) for kiosk in world.kiosks)


def _folded(events):
    """The highest rev of each record, then the highest id."""
    best = {}
    for event in events:
        data = event.data
        mark = (data["rev"], event.id)
        if data["id"] not in best or best[data["id"]][0] < mark:
            best[data["id"]] = (mark, data["value"])
    return {id_: (mark[0], value) for id_, (mark, value) in best.items()}
