"""What one transaction on the kiosk's database does: facts in, outbox and folded rows with them.

Runs in the store's writer thread only; `kiosk.store` is the door to it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar, cast

import msgspec

from kiosk import bulk, hubs, pruning
from kiosk.adoption import adopt_place, adopt_small
from kiosk.anchors import CAME, arrivals, known, rescued
from kiosk.clock import DRIFT_PER_NS, Anchor, Clock, effective, unheard
from kiosk.entries import SPOILT, readable
from kiosk.folding import Folding, Touched
from kiosk.incarnation import begun
from kiosk.model import (
    MAX_EVENT,
    Change,
    Envelope,
    Event,
    Kind,
    Person,
    Session,
    decode_event,
    encode_event,
    sealed,
    session_room,
    site_room,
    uuid7,
)
from kiosk.outbox import Outbox
from kiosk.record_kinds import JUDGED_BY, RECORDS, record_of, understood
from kiosk.refold import Refold
from kiosk.stamps import INT64, Known, Row, code_of, matters, quarantine, sound, stamp_row
from kiosk.storefile import EventTooLargeError, is_of_the_disk

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kiosk.devicekey import DeviceKeys
    from kiosk.records import Carried, Draft, Salvage, Settled
    from kiosk.storefile import Identity

T = TypeVar("T")
_LOG = logging.getLogger(__name__)
_JSON = msgspec.json.Encoder(order="deterministic")
_STAMP = "INSERT OR REPLACE INTO stamp"
# Rows that newly stamped events may change: see `matters`, of which this is the set-based form.
_TOUCHED = """
SELECT DISTINCT e.kind, e.session, e.person FROM stamp s JOIN event e ON e.seq = s.seq
WHERE s.seq BETWEEN ? AND ? AND e.session IS NOT NULL AND (
    e.kind IN ('override', 'retract', 'session_closed', 'session_reopened')
    OR e.kind IN ('check_in', 'check_out', 'visitor')
    AND (s.low <> e.low OR s.high <> e.high OR s.quarantined IS NOT NULL
        OR instr(s.envelope, CAST('"code":' AS BLOB))))
"""
_CHAIN = msgspec.json.Decoder(tuple[str, int, str])
# A fresher anchor must tighten the interval by this much to be worth a write to an SD card.
_WORTH_SAVING = 10_000_000


class Ledger:
    """The log on one connection, and the little it remembers between transactions."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        identity: Identity,
        clock: Clock,
        zone: str,
        entropy: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._db = connection
        self.identity = identity
        self._clock = clock
        self._zone = zone
        self._entropy = entropy
        self._kseq, self._head = self._end_of_chain()
        self._anchor = next((one for one in known(connection) if one.boot == clock.boot), None)
        self._floor = self._latest_heard()
        self.since = arrivals(connection).get(clock.boot, 0)
        self._outbox = Outbox(connection)
        self._folding = Folding(connection)
        self.refold = Refold(connection, self._take_record)

    @property
    def unsent(self) -> int:
        """How many events the outbox held after the last commit."""
        return self._outbox.length

    def transact(self, work: Callable[[Touched], T]) -> tuple[T, Change]:
        """Run `work` and the refold of what it touched as one transaction.

        Raises what `work` or SQLite raised; then nothing at all has been changed.
        """
        touched = Touched()
        before = self.identity, self._kseq, self._head, self._anchor, self._floor, self.since
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._folding.renew()
            result = work(touched)
            self._folding.refold(touched)
            self._db.execute("COMMIT")
        except BaseException:
            self._folding.rolled_back()
            self._outbox.rolled_back()
            self.identity, self._kseq, self._head, self._anchor, self._floor, self.since = before
            self._roll_back()
            raise
        self._folding.committed()
        self._outbox.committed()
        return result, touched.change()

    def _roll_back(self) -> None:
        # A full disk makes SQLite roll back by itself; then there is nothing left to do.
        if self._db.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")

    def record(self, draft: Draft, touched: Touched) -> Event:
        identity, clock = self.identity, self._clock
        org, wall = identity.org, clock.wall()
        room = session_room(org, draft.session) if draft.session else site_room(org, identity.site)
        event = sealed(
            Event(
                id=uuid7(wall, self._entropy(10)),
                device=identity.device,
                incarnation=identity.incarnation,
                kseq=self._kseq + 1,
                kind=draft.kind,
                org=org,
                # Who opens a session must be heard by those who do not know it yet.
                room=site_room(org, identity.site) if draft.kind is Kind.SESSION_OPENED else room,
                wall=draft.wall or wall,
                zone=self._zone,
                boot=clock.boot,
                ticks=draft.ticks or clock.ticks(),
                synced=clock.synced(),
                session=draft.session,
                person=draft.person,
                by=draft.by,
                saw=self._folding.saw(draft) if draft.saw is None else draft.saw,
                data=draft.data,
                # Once this boot has an anchor, that says it better.
                floor=0 if self._anchor else self._floor,
                since=0 if self._anchor else self.since,
                prev=self._head,
            )
        )
        body = encode_event(event)
        if len(body) > MAX_EVENT:
            much = f"{len(body)} bytes, and the most is {MAX_EVENT}"
            raise EventTooLargeError(f"a {event.kind} event would have {much}: nothing was written")
        self._kseq, self._head = event.kseq, event.hash
        seq = self._insert(event, body, None, touched)
        self._outbox.add(seq)
        return event

    def _insert(
        self,
        event: Event,
        body: bytes,
        envelope: Envelope | None,
        touched: Touched,
        interval: tuple[int, int] | None = None,
    ) -> int:
        low, high = interval or self._guessed(event)
        cursor = self._db.execute(
            "INSERT INTO event (id, device, incarnation, kseq, kind, session, person, wall, low,"
            " high, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                event.id,
                event.device,
                event.incarnation,
                event.kseq,
                event.kind,
                event.session,
                event.person,
                event.wall,
                low,
                high,
                body,
            ),
        )
        seq = cast("int", cursor.lastrowid)
        if envelope is not None:
            kept = hubs.keep(self._db, seq, envelope)
            bulk.insert(self._db, _STAMP, [stamp_row(seq, kept)])
        self._note_effects(event, envelope, touched)
        return seq

    def _guessed(self, event: Event) -> tuple[int, int]:
        """When it happened, until the hub says better: many machines wake up in the past."""
        anchor = self._anchor
        if event.synced or (anchor is not None and anchor.boot == event.boot):
            return effective(event.wall, event.boot, event.ticks, anchor)
        return unheard(event.boot, event.ticks, event.floor, event.since)

    def _note_effects(self, event: Event, envelope: Envelope | None, touched: Touched) -> None:
        touched.note(event.kind, event.session, event.person)
        touched.review |= quarantine(envelope) is not None
        if event.kind in RECORDS and not quarantine(envelope):
            self._take_record(event, touched)

    def _take_record(self, event: Event, touched: Touched) -> None:
        """Keep a directory record if it is newer than what is known; a bad one is logged."""
        try:
            record, id_, rev, value = record_of(event)
            encoded = _JSON.encode(value)
            self._keep_record(record, id_, rev, event.id, encoded, touched)
        except (KeyError, TypeError, ValueError, OverflowError, msgspec.MsgspecError) as error:
            _LOG.warning("directory event %s is not understood: %s", event.id, error)

    def _keep_record(
        self, record: str, id_: str, rev: int, event: str, value: bytes, touched: Touched
    ) -> None:
        """Keep it if it is newer; raises `msgspec.MsgspecError` or `ValueError` for a bad one."""
        said = understood(record, value)
        if said is not None and said.id != id_:
            raise ValueError("it is named otherwise than what it describes")
        newer = self._db.execute(
            "INSERT INTO directory VALUES (?, ?, ?, ?, ?) ON CONFLICT (record, id) DO UPDATE"
            " SET rev = excluded.rev, event = excluded.event, value = excluded.value"
            " WHERE (excluded.rev, excluded.event) > (rev, event)",
            (record, id_, rev, event, value),
        ).rowcount
        if not newer:
            return
        touched.records.update({record} & JUDGED_BY)
        if isinstance(said, Person):
            touched.people.append(said)
        if isinstance(said, Session):
            touched.sessions[said.id] = said

    def settle(self, verdicts: Sequence[Settled], touched: Touched) -> None:
        """Take a batch of verdicts with few statements: a long outage ends in many."""
        final = {verdict.seq: sound(verdict) for verdict in verdicts if verdict.verdict != "retry"}
        if not final:
            return
        span = min(final), max(final)
        stamped = self._db.execute("SELECT seq FROM stamp WHERE seq BETWEEN ? AND ?", span)
        before = {row[0] for row in stamped}
        plain = [
            stamp_row(seq, verdict.envelope)
            for seq, verdict in final.items()
            if verdict.envelope is not None and seq not in before
        ]
        bulk.insert(self._db, "INSERT INTO stamp", plain)
        touched.review |= any(row[4] is not None for row in plain)
        for kind, session, person in self._db.execute(_TOUCHED, span) if plain else ():
            touched.note(kind, session, person)
        done = {row[0] for row in plain}
        rest = {verdict.id: verdict for seq, verdict in final.items() if seq not in done}
        judged = [(event, rest[event.id]) for event in self._known(list(rest))]
        self._put_stamps([(event, v.envelope, code_of(v)) for event, v in judged], touched)
        self._outbox.drop(final)

    def _known(self, ids: list[str]) -> list[Known]:
        rows = self._db.execute(
            "SELECT e.seq, e.id, e.kind, e.session, e.person, e.low, e.high, s.envelope,"
            " s.quarantined FROM event e LEFT JOIN stamp s ON s.seq = e.seq"
            " WHERE e.id IN (SELECT value FROM json_each(?))",
            (_JSON.encode(ids).decode(),),
        )
        return [Known(*row) for row in rows]

    def _put_stamps(
        self, judged: Sequence[tuple[Known, Envelope | None, str | None]], touched: Touched
    ) -> None:
        """Keep what the hub said; a row is folded again only if that can change it."""
        rows: list[Row] = []
        for event, envelope, code in judged:
            if envelope is not None:
                row = stamp_row(event.seq, envelope)
            elif code is not None:
                row = (event.seq, event.low, event.high, None, code)
            else:
                continue
            if row[3:] == (event.envelope, event.quarantined):
                continue
            rows.append(row)
            touched.review |= row[4] != event.quarantined
            if matters(event, row):
                touched.note(event.kind, event.session, event.person)
        bulk.insert(self._db, _STAMP, rows)

    def apply(
        self,
        room: str,
        epoch: str,
        items: Sequence[tuple[bytes, Envelope]],
        offset: int,
        touched: Touched,
    ) -> None:
        """Unite with a page; only the disk's trouble is raised, a bad item is put aside."""
        if self._attempt(items, touched) is not None:
            for body, envelope in items:
                if (error := self._attempt([(body, envelope)], touched)) is not None:
                    self._put_aside(room, body, envelope, error)
        self._db.execute("INSERT OR REPLACE INTO cursor VALUES (?, ?, ?)", (room, epoch, offset))

    def _attempt(
        self, items: Sequence[tuple[bytes, Envelope]], touched: Touched
    ) -> Exception | None:
        """Take all of these and fold their rows, or none: then why not, if not for the disk."""
        part = Touched()
        self._folding.renew()
        self._db.execute("SAVEPOINT items")
        try:
            self._unite(items, part)
            self._folding.refold(part)
        except Exception as error:
            self._folding.rolled_back()
            if is_of_the_disk(error):
                raise
            self._db.execute("ROLLBACK TO items")
            self._db.execute("RELEASE items")
            return error
        self._db.execute("RELEASE items")
        touched.add(part)
        return None

    def _unite(self, items: Sequence[tuple[bytes, Envelope]], touched: Touched) -> None:
        fresh = [(decode_event(body), bytes(body), envelope) for body, envelope in items]
        ids = [event.id for event, _, _ in fresh]
        seen = {event.id for event in self._known(ids)}
        again: dict[str, Envelope] = {}
        for event, body, envelope in fresh:
            if event.id in seen:
                again[event.id] = envelope
            else:
                seen.add(event.id)
                self._insert(event, body, envelope, touched)
        stamps = [
            (event, hubs.keep(self._db, event.seq, again[event.id]), None)
            for event in self._known(list(again))
        ]
        self._put_stamps(stamps, touched)

    def _put_aside(self, room: str, body: bytes, envelope: Envelope, error: Exception) -> None:
        offset = min(max(envelope.offset, -1), INT64)
        _LOG.warning("an event in %s at %d cannot be taken: %s", room, offset, error)
        row = (room, offset, bytes(body))
        self._db.execute("INSERT OR IGNORE INTO undecodable VALUES (?, ?, ?)", row)

    def beside(self, work: Callable[[], T]) -> T:
        """Run `work`, which writes to tables by itself, also to the outbox."""
        result = work()
        self._outbox.recount()
        return result

    def reoffer(self, incarnation: str, above: int) -> int:
        # The present incarnation's are gapless, so it is known how many there are.
        most = self._kseq - above if incarnation == self.identity.incarnation else None
        return self._outbox.again(incarnation, above, most)

    def adopt(
        self, salvage: Salvage, notes: Callable[[int], dict[str, str]], touched: Touched
    ) -> int:
        """Unite what a damaged database held with what is here; what is here wins."""
        for record in salvage.records:
            self._adopt_record(record, touched)
        known = {row[0] for row in self._db.execute("SELECT id FROM event")}
        queued = 0
        for one in salvage.events:
            try:
                event = decode_event(one.body)
            except SPOILT:
                continue  # whoever read the file has told
            if event.id in known:
                continue
            known.add(event.id)
            seq = self._insert(event, one.body, None, touched, (one.low, one.high))
            queued += adopt_place(self._db, seq, one)
        self._outbox.recount()
        self._adopt_small(salvage)
        put = "INSERT OR REPLACE INTO meta VALUES (?, ?)"
        self._db.executemany(put, notes(queued).items())
        return queued

    def _adopt_record(self, row: tuple[str, str, int, str, bytes], touched: Touched) -> None:
        try:
            self._keep_record(*row, touched)
        except SPOILT as error:
            _LOG.warning("a rescued record of the directory is not understood: %s", error)

    def _adopt_small(self, salvage: Salvage) -> None:
        adopt_small(self._db, salvage)
        # Where the damaged file was before is not known: what it had heard may be of this boot.
        self.since = rescued(self._db, salvage.notes.get(CAME), self._clock)[self._clock.boot]
        self._floor = self._latest_heard()
        if self._anchor is None:
            here = (anchor for anchor in salvage.anchors if anchor.boot == self._clock.boot)
            self._anchor = next(here, None)

    def _latest_heard(self) -> int:
        return max((anchor.hub for anchor in known(self._db)), default=0)

    def carry(self, carried: Sequence[Carried], touched: Touched) -> int:
        """Take in events of other devices, to be passed on with their signatures; how many."""
        known = {event.id for event in self._known([one.event.id for one in carried])}
        fresh = {one.event.id: one for one in carried if one.event.id not in known}
        for one in fresh.values():
            seq = self._insert(one.event, one.body, None, touched)
            self._db.execute("INSERT INTO carried VALUES (?, ?, ?)", (seq, one.key, one.signature))
            self._outbox.add(seq)
        return len(fresh)

    def prune(self, safe: pruning.Safe, before: int) -> int:
        """See `kiosk.pruning.prune`; the end of the own chain is kept, whatever goes."""
        gone = pruning.prune(
            self._db, self.identity.org, list(self._folding.sessions.values()), safe, before
        )
        if gone:
            self._folding.pruned()
            end = msgspec.json.encode([self.identity.incarnation, self._kseq, self._head]).decode()
            self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (pruning.CHAIN, end))
        return gone

    def _end_of_chain(self) -> tuple[int, str]:
        """The kseq and hash of the last own event, also if that was let go."""
        incarnation = self.identity.incarnation
        note = self._db.execute("SELECT value FROM meta WHERE key = ?", (pruning.CHAIN,)).fetchone()
        # What was let go of may have come back, behind younger ones. Else the newest is at the end
        # of the table, and all the rest need not be read.
        order = "kseq" if note else "seq"
        query = f"SELECT kseq, body FROM event WHERE incarnation = ? ORDER BY {order} DESC LIMIT 1"  # noqa: S608  one of two names of our own
        last = self._db.execute(query, (incarnation,)).fetchone()
        end = (last[0], decode_event(last[1]).hash) if last else (0, "")
        if type(end[0]) is not int:
            raise ValueError("the end of its own chain")
        # Without the note the hub may know more than the log: then a new incarnation begins.
        for whose, kseq, head in readable([note] if note else [], _CHAIN):
            if whose == incarnation and kseq > end[0]:
                return kseq, head
        return end

    @property
    def last_kseq(self) -> int:
        """How many events the present incarnation has written."""
        return self._kseq

    def renew(self, keys: DeviceKeys, why: str) -> None:
        """Begin a new incarnation of this device, with a key and a chain of its own."""
        incarnation = uuid.UUID(bytes=self._entropy(16), version=4).hex
        notes = begun(keys, incarnation, why).items()
        self._db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", notes)
        self.identity = replace(self.identity, incarnation=incarnation)
        self._kseq, self._head = 0, ""

    def save_anchor(self, anchor: Anchor) -> None:
        best = self._anchor
        if best is not None and best.boot == anchor.boot:
            aged = best.round_trip // 2 + int((anchor.ticks - best.ticks) * DRIFT_PER_NS)
            if aged - anchor.round_trip // 2 < _WORTH_SAVING:
                return
        if anchor.boot == self._clock.boot:
            self._anchor = anchor
        self._floor = max(self._floor, anchor.hub)
        self._db.execute(
            "INSERT OR REPLACE INTO anchor VALUES (?, ?, ?, ?)",
            (anchor.boot, anchor.ticks, anchor.hub, anchor.round_trip),
        )
