"""All rows folded anew after a change of the rules: newest first, a few at a time, door open.

How far that has come stands in the database, in the transaction that folds, so it may be cut short
anywhere. Until it comes to them, rows stay as the rules before had them; whatever is written
meanwhile is folded by the new ones.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import time
from typing import TYPE_CHECKING

import msgspec

from kiosk.model import ROW_KINDS, Kind, decode_event
from kiosk.storefile import StoreError, is_of_the_disk

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future
    from typing import Any

    from kiosk.folding import Touched
    from kiosk.model import Event

    TakeRecord = Callable[[Event, Touched], None]
    Work = Callable[[Touched], int]

_LOG = logging.getLogger(__name__)

FOLDED = "folded"  # the note that tells by which rules the rows were folded
RULES = "1"  # to be another whenever the same events come to other rows
SLICE = 50  # events in one transaction: who checks in meanwhile waits for no more
_PAUSE = 0.002  # seconds between two
_MISREAD = frozenset({Kind.MERGED, Kind.VISITOR})  # records that an earlier version passed over
# A row is folded at its last event, whatever else there is of it.
_SLICE = f"""
SELECT e.seq, e.kind, e.session, e.person, e.body, EXISTS (
    SELECT 1 FROM event l WHERE l.session = e.session AND l.person = e.person AND l.seq > e.seq
    AND l.kind IN ({", ".join(f"'{kind.value}'" for kind in sorted(ROW_KINDS))}))
FROM event e WHERE e.seq < ? ORDER BY e.seq DESC LIMIT ?
"""  # noqa: S608  our own words


class Refold:
    """How far the rows have been folded by the present rules; `due` while that is not all."""

    def __init__(self, db: sqlite3.Connection, take_record: TakeRecord) -> None:
        self._db = db
        self._take_record = take_record
        self._size = SLICE
        kept = db.execute("SELECT value FROM meta WHERE key = ?", (FOLDED,)).fetchone()
        rules, _, place = str(kept[0] if kept else "").partition(" ")
        last = db.execute("SELECT max(seq) FROM event").fetchone()[0] or 0
        self._below = int(place) if rules == RULES and place.isdigit() else last + 1
        if kept != (RULES,) and not last:
            self._note(RULES)
        self.due = kept != (RULES,) and last > 0
        self.begun = False

    def slice(self, touched: Touched) -> int:
        """Take the next events, in the caller's transaction; what to tell `reached` then."""
        found = self._db.execute(_SLICE, (self._below, self._size)).fetchall()
        for _, kind, session, person, body, later in found:
            if kind in _MISREAD:
                with contextlib.suppress(msgspec.MsgspecError, ValueError, RecursionError):
                    self._take_record(decode_event(body), touched)
            if kind in ROW_KINDS and session is not None and person is not None and not later:
                touched.keys[session, person] = None
        below: int = found[-1][0] if len(found) == self._size else 0
        self._note(f"{RULES} {below}" if below else RULES)
        return below

    def reached(self, below: int) -> None:
        """The slice is committed."""
        self._below, self.due, self._size = below, below > 0, SLICE

    def failed(self) -> None:
        """The slice could not be folded for what it holds: take one by one, and leave that out."""
        if self._size > 1:
            self._size = 1
            return
        row = self._db.execute(_SLICE, (self._below, 1)).fetchone()
        _LOG.error("the row of event %s cannot be folded anew; it stays as it was", row and row[0])
        self._below = row[0] if row else 0
        self.due = self._below > 0

    def _note(self, value: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (FOLDED, value))


def go_on(
    refold: Refold,
    submit: Callable[[Work], Future[int]],
    on_commit: Callable[[Callable[[Any], None]], None],
) -> None:
    """Have it begun, in the writer's idle time; after trouble with the disk, once that takes again.

    `submit` has a slice done behind everything else that waits.
    """
    waits = False

    def ask() -> None:
        nonlocal waits
        waits = False
        if refold.due:
            with contextlib.suppress(StoreError):  # closed: the next start goes on
                submit(refold.slice).add_done_callback(done)

    def done(slice_: Future[int]) -> None:
        nonlocal waits
        try:
            _take(refold, slice_)
        except (StoreError, sqlite3.Error) as error:
            _LOG.error("rows cannot be folded anew until the disk takes it: %s", error)
            waits = True
        else:
            ask()

    def committed(_: object) -> None:
        if waits:
            ask()

    if refold.due and not refold.begun:
        refold.begun = True
        on_commit(committed)
        ask()


def _take(refold: Refold, slice_: Future[int]) -> None:
    """Go by what became of a slice; raises what is the disk's trouble."""
    error = slice_.exception()
    if error is None:
        refold.reached(slice_.result())
        time.sleep(_PAUSE)
    elif isinstance(cause := error.__cause__ or error, Exception) and is_of_the_disk(cause):
        raise error
    else:
        refold.failed()
