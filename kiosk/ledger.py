"""What one transaction on the kiosk's database does: facts in, outbox and folded rows with them.

Runs in the store's writer thread only; `kiosk.store` is the door to it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import uuid
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar, cast

import msgspec

from kiosk import pruning
from kiosk.adoption import adopt_place, adopt_small
from kiosk.clock import DRIFT_PER_NS, Anchor, Clock, effective
from kiosk.entries import by_session, entries_of
from kiosk.incarnation import begun
from kiosk.model import (
    EVIDENCE,
    ROW_KINDS,
    Attendance,
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
from kiosk.stamps import INT64, Known, Row, code_of, fit, matters, quarantine, sound, stamp_row
from kiosk.storefile import is_of_the_disk
from sync import merge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from kiosk.devicekey import DeviceKeys
    from kiosk.records import Carried, Draft, Salvage, Settled
    from kiosk.storefile import Identity

T = TypeVar("T")
_LOG = logging.getLogger(__name__)
_JSON = msgspec.json.Encoder(order="deterministic")
_ATTENDANCE = msgspec.json.Decoder(Attendance)
_PERSON = msgspec.json.Decoder(Person)
_SESSION = msgspec.json.Decoder(Session)
_STAMP = "INSERT OR REPLACE INTO stamp VALUES (?, ?, ?, ?, ?)"
# Rows that newly stamped events may change: see `matters`, of which this is the set-based form.
_TOUCHED = """
SELECT DISTINCT e.session, e.person FROM stamp s JOIN event e ON e.seq = s.seq
WHERE s.seq BETWEEN ? AND ? AND e.session IS NOT NULL AND e.person IS NOT NULL AND (
    e.kind IN ('override', 'retract') OR e.kind IN ('check_in', 'check_out', 'visitor')
    AND (s.low <> e.low OR s.high <> e.high OR s.quarantined IS NOT NULL
        OR instr(s.envelope, CAST('"code":' AS BLOB))))
"""
# A fresher anchor must tighten the interval by this much to be worth a write to an SD card.
_WORTH_SAVING = 10_000_000


@dataclass(slots=True)
class Touched:
    """What a transaction altered so far; becomes a `Change` once it is committed."""

    keys: dict[tuple[str, str], None] = field(default_factory=dict)
    rows: list[Attendance] = field(default_factory=list)
    people: list[Person] = field(default_factory=list)
    sessions: dict[str, Session] = field(default_factory=dict)

    def change(self) -> Change:
        return Change(tuple(self.rows), tuple(self.people), tuple(self.sessions.values()))


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
        last = connection.execute(
            "SELECT kseq, body FROM event WHERE incarnation = ? ORDER BY seq DESC LIMIT 1",
            (identity.incarnation,),
        ).fetchone()
        self._kseq: int = last[0] if last else 0
        self._head = decode_event(last[1]).hash if last else ""
        self._go_on_behind_pruned()
        self._pruned = bool(
            connection.execute("SELECT EXISTS (SELECT 1 FROM pruned)").fetchone()[0]
        )
        anchors = connection.execute("SELECT * FROM anchor WHERE boot = ?", (clock.boot,))
        self._anchor = next((Anchor(*row) for row in anchors), None)
        self._floor: int = connection.execute("SELECT max(hub) FROM anchor").fetchone()[0] or 0
        records = connection.execute("SELECT value FROM directory WHERE record = 'session'")
        self._sessions = {s.id: s for s in (_SESSION.decode(row[0]) for row in records)}

    def transact(self, work: Callable[[Touched], T]) -> tuple[T, Change]:
        """Run `work` and the refold of what it touched as one transaction.

        Raises what `work` or SQLite raised; then nothing at all has been changed.
        """
        touched = Touched()
        before = self.identity, self._kseq, self._head, self._anchor
        try:
            self._db.execute("BEGIN IMMEDIATE")
            result = work(touched)
            self._refold(touched)
            self._db.execute("COMMIT")
        except BaseException:
            self.identity, self._kseq, self._head, self._anchor = before
            self._roll_back()
            raise
        self._sessions.update(touched.sessions)
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
                saw=self._saw(draft) if draft.saw is None else draft.saw,
                data=draft.data,
                # Once this boot has an anchor, that says it better.
                floor=0 if self._anchor else self._floor,
                prev=self._head,
            )
        )
        self._kseq, self._head = event.kseq, event.hash
        seq = self._insert(event, encode_event(event), None, touched)
        self._db.execute("INSERT INTO outbox VALUES (?)", (seq,))
        return event

    def _saw(self, draft: Draft) -> tuple[str, ...]:
        if draft.session is None or draft.person is None or draft.kind not in ROW_KINDS:
            return ()
        if draft.kind in EVIDENCE:
            row = self._row(draft.session, draft.person)
            return merge.saw_for_scan(row) if row else ()
        here = entries_of(self._db, draft.session, [draft.person])[draft.person]
        gone = pruning.ids_of(self._db, draft.session, draft.person)
        return tuple(dict.fromkeys((*gone, *merge.saw_for_decision(here))))

    def _insert(
        self,
        event: Event,
        body: bytes,
        envelope: Envelope | None,
        touched: Touched,
        interval: tuple[int, int] | None = None,
    ) -> int:
        # The best guess until the hub has stamped it: many machines wake up in the past.
        wall = event.wall if event.synced else max(event.wall, event.floor)
        low, high = interval or effective(wall, event.boot, event.ticks, self._anchor)
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
            self._db.execute(_STAMP, stamp_row(seq, envelope))
        self._note_effects(event, envelope, touched)
        return seq

    def _note_effects(self, event: Event, envelope: Envelope | None, touched: Touched) -> None:
        if event.kind in ROW_KINDS and event.session and event.person:
            touched.keys[event.session, event.person] = None
        elif event.kind in (Kind.DIRECTORY, Kind.SESSION_OPENED) and not quarantine(envelope):
            self._take_record(event, touched)

    def _take_record(self, event: Event, touched: Touched) -> None:
        """Keep a directory record if it is newer than what is known; a bad one is logged."""
        data = event.data
        if event.kind == Kind.SESSION_OPENED:
            data = {"record": "session", "id": event.session, "rev": 0, "value": event.data}
        try:
            record, id_, rev = str(data["record"]), str(data["id"]), int(data["rev"])
            self._keep_record(record, id_, rev, event.id, _JSON.encode(data["value"]), touched)
        except (KeyError, TypeError, ValueError, OverflowError, msgspec.MsgspecError) as error:
            _LOG.warning("directory event %s is not understood: %s", event.id, error)

    def _keep_record(
        self, record: str, id_: str, rev: int, event: str, value: bytes, touched: Touched
    ) -> None:
        """Keep it if it is newer; raises `msgspec.MsgspecError` or `ValueError` for a bad one."""
        person = _PERSON.decode(value) if record == "person" else None
        session = _SESSION.decode(value) if record == "session" else None
        if session and not fit(session.starts, session.ends, session.late_at or 0):
            raise ValueError("times that no calendar has")
        newer = self._db.execute(
            "INSERT INTO directory VALUES (?, ?, ?, ?, ?) ON CONFLICT (record, id) DO UPDATE"
            " SET rev = excluded.rev, event = excluded.event, value = excluded.value"
            " WHERE (excluded.rev, excluded.event) > (rev, event)",
            (record, id_, rev, event, value),
        ).rowcount
        if newer and person:
            touched.people.append(person)
        if newer and session:
            touched.sessions[session.id] = session
            touched.keys.update(dict.fromkeys(self._keys_of(session.id)))

    def _keys_of(self, session: str) -> list[tuple[str, str]]:
        rows = self._db.execute("SELECT person FROM attendance WHERE session = ?", (session,))
        return [(session, row[0]) for row in rows]

    def _refold(self, touched: Touched) -> None:
        folded = []
        for session, people in by_session(touched.keys).items():
            known = touched.sessions.get(session) or self._sessions.get(session)
            if self._pruned:
                still = pruning.frozen(self._db, session, people)
                people = [person for person in people if person not in still]  # noqa: PLW2901
            for person, entries in entries_of(self._db, session, people).items():
                row = merge.fold_row(known, person, entries, session)
                touched.rows.append(row)
                arrival, departure = row.arrival, row.departure
                folded.append(
                    (
                        session,
                        person,
                        row.status,
                        row.presence,
                        _kept(arrival),
                        _kept(departure),
                        _JSON.encode(row),
                    )
                )
        put = "INSERT OR REPLACE INTO attendance VALUES (?, ?, ?, ?, ?, ?, ?)"
        self._db.executemany(put, folded)

    def _row(self, session: str, person: str) -> Attendance | None:
        found = self._db.execute(
            "SELECT body FROM attendance WHERE session = ? AND person = ?", (session, person)
        ).fetchone()
        return _ATTENDANCE.decode(found[0]) if found else None

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
        self._db.executemany("INSERT INTO stamp VALUES (?, ?, ?, ?, ?)", plain)
        for session, person in self._db.execute(_TOUCHED, span) if plain else ():
            touched.keys[session, person] = None
        done = {row[0] for row in plain}
        rest = {verdict.id: verdict for seq, verdict in final.items() if seq not in done}
        judged = [(event, rest[event.id]) for event in self._known(list(rest))]
        self._put_stamps([(event, v.envelope, code_of(v)) for event, v in judged], touched)
        self._dequeue(final, span)

    def _dequeue(self, seqs: Iterable[int], span: tuple[int, int]) -> None:
        found = list(seqs)
        if len(found) == span[1] - span[0] + 1:
            self._db.execute("DELETE FROM outbox WHERE seq BETWEEN ? AND ?", span)
        else:
            self._db.executemany("DELETE FROM outbox WHERE seq = ?", [(seq,) for seq in found])

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
            if event.session and event.person and matters(event, row):
                touched.keys[event.session, event.person] = None
        self._db.executemany(_STAMP, rows)

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
        part = Touched(sessions=dict(touched.sessions))
        self._db.execute("SAVEPOINT items")
        try:
            self._unite(items, part)
            self._refold(part)
        except Exception as error:
            if is_of_the_disk(error):
                raise
            self._db.execute("ROLLBACK TO items")
            self._db.execute("RELEASE items")
            return error
        self._db.execute("RELEASE items")
        touched.rows += part.rows
        touched.people += part.people
        touched.sessions |= part.sessions
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
        self._put_stamps([(e, again[e.id], None) for e in self._known(list(again))], touched)

    def _put_aside(self, room: str, body: bytes, envelope: Envelope, error: Exception) -> None:
        offset = min(max(envelope.offset, -1), INT64)
        _LOG.warning("an event in %s at %d cannot be taken: %s", room, offset, error)
        row = (room, offset, bytes(body))
        self._db.execute("INSERT OR IGNORE INTO undecodable VALUES (?, ?, ?)", row)

    def reoffer(self, incarnation: str, above: int) -> int:
        return self._db.execute(
            "INSERT OR IGNORE INTO outbox SELECT seq FROM event WHERE incarnation = ? AND kseq > ?",
            (incarnation, above),
        ).rowcount

    def adopt(self, salvage: Salvage, touched: Touched) -> int:
        """Unite what a damaged database held with what is here; what is here wins."""
        for record in salvage.records:
            self._adopt_record(record, touched)
        known = {row[0] for row in self._db.execute("SELECT id FROM event")}
        queued = 0
        for one in salvage.events:
            try:
                event = decode_event(one.body)
            except msgspec.MsgspecError:
                continue  # whoever read the file has told
            if event.id in known:
                continue
            known.add(event.id)
            seq = self._insert(event, one.body, None, touched, (one.low, one.high))
            queued += adopt_place(self._db, seq, one)
        self._adopt_small(salvage)
        return queued

    def _adopt_record(self, row: tuple[str, str, int, str, bytes], touched: Touched) -> None:
        try:
            self._keep_record(*row, touched)
        except (msgspec.MsgspecError, ValueError) as error:
            _LOG.warning("a rescued record of the directory is not understood: %s", error)

    def _adopt_small(self, salvage: Salvage) -> None:
        adopt_small(self._db, salvage)
        if self._anchor is None:
            here = (anchor for anchor in salvage.anchors if anchor.boot == self._clock.boot)
            self._anchor = next(here, None)

    def carry(self, carried: Sequence[Carried], touched: Touched) -> int:
        """Take in events of other devices, to be passed on with their signatures; how many."""
        known = {event.id for event in self._known([one.event.id for one in carried])}
        fresh = {one.event.id: one for one in carried if one.event.id not in known}
        for one in fresh.values():
            seq = self._insert(one.event, one.body, None, touched)
            self._db.execute("INSERT INTO carried VALUES (?, ?, ?)", (seq, one.key, one.signature))
            self._db.execute("INSERT INTO outbox VALUES (?)", (seq,))
        return len(fresh)

    def prune(self, safe: pruning.Safe, before: int) -> int:
        """See `kiosk.pruning.prune`; the end of the own chain is kept, whatever goes."""
        gone = pruning.prune(self._db, self.identity.org, self._sessions.values(), safe, before)
        if gone:
            self._pruned = True
            end = msgspec.json.encode([self.identity.incarnation, self._kseq, self._head]).decode()
            self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (pruning.CHAIN, end))
        return gone

    def _go_on_behind_pruned(self) -> None:
        query = "SELECT value FROM meta WHERE key = ?"
        row = self._db.execute(query, (pruning.CHAIN,)).fetchone()
        if row is not None:
            incarnation, kseq, head = msgspec.json.decode(row[0], type=tuple[str, int, str])
            if incarnation == self.identity.incarnation and kseq > self._kseq:
                self._kseq, self._head = kseq, head

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


def _kept(interval: tuple[int, int] | None) -> int | None:
    """Its beginning, if a column can hold it: a decision's times are whatever its author sent."""
    return interval[0] if interval and fit(interval[0]) else None
