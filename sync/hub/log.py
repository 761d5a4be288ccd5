"""The hub's log: what was accepted, in which order, and what was set apart.

One transaction at a time, by one thread (`sync.hub.writer`), so the offsets of a room follow
commit order and have no holes. A transaction only becomes durable, and its verdicts true, with
`commit`.
"""

from __future__ import annotations

import os
import sqlite3
from typing import TYPE_CHECKING, Any

import msgspec

from kiosk import bulk
from kiosk.model import (
    EVIDENCE,
    Envelope,
    Event,
    Kind,
    encode_envelope,
    encode_event,
)
from sync.hub import house, lookups, quarantine, returned
from sync.hub.auth.keys import hub_keys
from sync.hub.chains import Chains
from sync.hub.errors import LogError
from sync.hub.house import CANONICAL, REGISTERED, House, Proof
from sync.hub.houseclock import HouseClock
from sync.hub.judge import Place, Rejected, Trace, judge, place_of, places
from sync.hub.retention import prune
from sync.hub.tables import OFFSET_BITS, opened
from sync.hub.timing import Times
from sync.hub.transaction import Accepted, Room, Submission, Transaction
from sync.protocol import Judged
from sync.signing import is_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from kiosk.clock import Clock
    from sync.hub.auth.regained import Regained
    from sync.hub.returned import Word
    from sync.protocol import Signed

_NS_PER_MS = 1_000_000
_NO_PROOF = Proof()
# Of `meta`, what transactions change.
_NOTED = ("received", "prev", "incarnation", "floor", "restate", returned.NOTE)


class Log:
    """The writing side; for one thread. `begin`, `submit` or `direct`, then `commit`."""

    def __init__(self, path: Path, clock: Clock) -> None:
        """Open or make the log at `path`; raises `LogError` if that cannot be done.

        Raises `TokenError` if the hub's secret cannot be used, which its records are signed by.
        """
        self.clock = self._clock = HouseClock(clock)
        self._house = House(hub_keys(path, self._entropy).records)
        self._db = self._opened(path)
        self._now = Transaction()
        self._forget()
        try:
            self._go_on()
        except BaseException as error:
            self._db.close()
            if isinstance(error, sqlite3.Error):
                raise LogError(f"{path} cannot be used as the hub's database: {error}") from error
            raise
        self.clock.learn(self._meta["confirmed"])
        self.epoch: str = self._meta["epoch"]
        self.device: str = self._meta["device"]
        # Called, in the writer's thread, when kiosks have brought records of the register back.
        self.on_returned: Callable[[], None] = lambda: None
        # Devices whose events are set apart; replaced as a whole, from any thread.
        self.revoked: frozenset[str] = frozenset()
        # Devices that are kiosks for certain, and so no hub; replaced in the same way.
        self.paired: frozenset[str] = frozenset()

    # A simulation puts its own in the place of these: chance and the disk.
    _entropy = staticmethod(os.urandom)
    _opened = staticmethod(opened)

    @property
    def incarnation(self) -> str:
        """The hub's present life, under which it writes."""
        return str(self._meta["incarnation"])

    @property
    def key(self) -> str:
        """The public key (hex) that its records are signed with."""
        return self._house.key

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def heads(self) -> dict[str, int]:
        """Where each room ends."""
        return dict(self._db.execute("SELECT name, head FROM room"))

    def begin(self) -> None:
        """Start a transaction; raises `sqlite3.Error` if the disk will not have it."""
        self._db.execute("BEGIN IMMEDIATE")
        # Asked once, not for every event: that is a system call.
        before = max(self._clock.wall() - 1, self._meta["received"])
        self._now = Transaction(before, before, trusted=self._clock.synced())

    def submit(self, submission: Submission) -> list[Judged]:
        """Take a batch in; one verdict per item, in order, true once `commit` has returned."""
        org = submission.org
        judged = [judge(body, org) for body in submission.bodies]
        found = places(judged, submission.signed, org, lambda s: self._key_for(s, submission))
        self._note_signed(found)
        before = lookups.known(self._db, [one.id for one in judged if isinstance(one, Event)])
        times = Times(submission.anchors, trusted=self._now.trusted, carrier=submission.device)
        if (next_ones := self._next_of_chain(judged, found, before, submission)) is not None:
            stamps = self._enter(submission.bodies, next_ones, submission, times)
            pairs = zip(next_ones, stamps, strict=True)
            return [Judged(one.id, "ok", "", None, msgspec.Raw(stamp)) for one, stamp in pairs]
        return [
            self._again(body, one, submission)
            if isinstance(one, Event) and (one.id in before or one.id in self._now.ids)
            else self._admit(body, one, place.signed, submission, times)
            if isinstance(one, Event) and place.proven
            else self._doubt(index, one, place, submission)
            for index, (body, one, place) in enumerate(
                zip(submission.bodies, judged, found, strict=True)
            )
        ]

    def vouch(self, device: str, incarnation: str, key: str) -> None:
        """Pin the key that a device proved to hold when it was paired, whichever was pinned."""
        if device == self.device:
            return  # nobody else is paired as the hub itself
        self._db.execute(
            "DELETE FROM author WHERE device = ? AND incarnation = ?", (device, incarnation)
        )
        self._pin(device, incarnation, key)

    def prune(self, before: int, most: int) -> int:
        """Let go of sessions that ended before then (UTC ns); see `sync.hub.retention`."""
        return prune(self._db, before, most)

    def introduce(self, org: str, device: str, incarnation: str, key: str) -> bool:
        """Pin the key of a device's incarnation; False, and noted, if it has another already."""
        pinned = self.key if device == self.device else self._key(device, incarnation)
        if pinned is None and is_key(key):
            self._pin(device, incarnation, key)
            return True
        if pinned == key:
            return True
        why = "another key is pinned" if pinned else "that is no key"
        lookups.note_denial(self._db, (self._received(), org, device, incarnation, why))
        return False

    def direct(self, org: str, room: str, records: Iterable[tuple[str, str, Any]]) -> int:
        """Make `directory` events of (record, id, value) that differ from what is known; how many.

        They are the hub's own events: of its device, in its chain, signed. A record's rev is the
        hub's wall clock (UTC ms) when it was made, but at least one above the last rev known here,
        and above all that a restored hub had given before: so it outdoes what kiosks bring back.
        What the register holds is said anew, even if it is as it was, until `restated`; and not
        while another word of it waits to be taken in (`sync.hub.returned`).
        """
        made = 0
        least = self._meta["floor"] + 1
        waits = {(word.record, word.id) for word in returned.waiting(self._meta)}
        for record, id_, said in records:
            found = self._db.execute(
                "SELECT rev, value FROM directory WHERE room = ? AND record = ? AND id = ?",
                (room, record, id_),
            ).fetchone()
            value = house.united(record, found[1] if found else b"", said)
            anew = record in REGISTERED and self._meta["restate"]
            same = found and found[1] == CANONICAL.encode(value)
            if (same and not anew) or (record, id_) in waits:
                continue
            rev = max(found[0] + 1 if found else 1, self._clock.wall() // _NS_PER_MS, least)
            self._author(org, room, {"record": record, "id": id_, "rev": rev, "value": value})
            made += 1
        return made

    def said(self, room: str, record: str) -> list[tuple[str, Any]]:
        """Id and value of all records of one kind, as they stand."""
        query = "SELECT id, value FROM directory WHERE room = ? AND record = ?"
        rows = self._db.execute(query, (room, record))
        return [(id_, msgspec.json.decode(value)) for id_, value in rows]

    def speak_above(self, rev: int) -> None:
        """Give no record a rev as low as this from now on."""
        self._meta["floor"] = max(self._meta["floor"], rev)

    def restated(self) -> None:
        """A restored hub has said anew, for every site, what its register holds."""
        self._meta["restate"] = 0

    def returned(self) -> tuple[tuple[Word, ...], list[Regained]]:
        """What kiosks brought back of the register: its places, and the records there."""
        words = returned.waiting(self._meta)
        return words, returned.regained(self._db, words)

    def heeded(self, words: tuple[Word, ...]) -> None:
        """These have been taken into the register."""
        returned.done(self._meta, words)

    def confirm_time(self, wall: int) -> None:
        """Staff say that it is `wall` (UTC ns) now: good until this machine's next boot."""
        note = self.clock.confirm(wall)
        self._db.execute("UPDATE meta SET value = ? WHERE key = 'confirmed'", (note,))

    def welcome(self, org: str, site: str) -> None:
        """Remember that a kiosk of this site has been here."""
        self._db.execute("INSERT OR IGNORE INTO site VALUES (?, ?)", (org, site))

    def commit(self) -> list[Accepted]:
        """Make it durable; what entered the log, in order. Raises `sqlite3.Error`."""
        done = self._now
        if done.received > done.began:
            self._meta["received"] = done.received
        bulk.insert(self._db, "INSERT INTO event (place, id, body, envelope)", done.rows)
        self._db.executemany(
            "UPDATE room SET head = ? WHERE number = ?",
            [(room.head, room.number) for room in done.rooms.values()],
        )
        self._chains.write()
        self._db.executemany(
            "INSERT OR IGNORE INTO signature VALUES (?, ?, ?, ?, ?, ?)",
            [(s.device, s.incarnation, s.last, s.first, s.head, s.signature) for s in done.signed],
        )
        notes = {key: self._meta[key] for key in _NOTED if self._meta[key] != self._kept[key]}
        self._db.executemany(
            "UPDATE meta SET value = ? WHERE key = ?", [(v, k) for k, v in notes.items()]
        )
        self._db.execute("COMMIT")
        self._kept |= notes
        if done.returned:
            self.on_returned()
        return done.accepted

    def rollback(self) -> None:
        """Undo what was begun, and forget what was remembered of it."""
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")
        self._forget()

    # -- inside a transaction ----------------------------------------------------------------------

    def _forget(self) -> None:
        self._meta: dict[str, Any] = dict(self._db.execute("SELECT key, value FROM meta"))
        self._kept = dict(self._meta)
        self._rooms: dict[str, Room] = {}
        self._chains = Chains(self._db)
        self._keys: dict[tuple[str, str], str] = {}

    def _go_on(self) -> None:
        """Have this life's key on record; another one if the hub's secret is no longer the same."""
        at = self._meta["device"], self.incarnation
        if (pinned := self._key(*at)) == self.key:
            return
        self.begin()
        try:
            if pinned is None:
                self._house.sign_earlier(self._db, self.incarnation, self._meta["prev"])
                self._pin(*at, self.key)
            else:
                self._renew()
            self.commit()
        except BaseException:
            self.rollback()
            raise

    def _renew(self) -> None:
        """Begin a new incarnation: the present one has gone on without this log."""
        self._meta["incarnation"], self._meta["prev"] = self._entropy(16).hex(), ""
        self._pin(self._meta["device"], self.incarnation, self.key)

    def _next_of_chain(
        self,
        judged: Sequence[Event | Rejected],
        found: Sequence[Place],
        before: set[str],
        submission: Submission,
    ) -> list[Event] | None:
        """The events, taken into their device's chain, if they are just the next ones in it.

        That is a whole push of a kiosk's own under one signature, of which nothing is known yet and
        nothing needs a decision: there is no more to each than to `_admit` it.
        """
        stretch = found[0].signed if found else None
        if stretch is None or not found[0].proven or submission.staff is not None:
            return None
        # A proof holds up to the end of its stretch.
        events = [one for one in judged if isinstance(one, Event)]
        ids = {one.id for one in events}
        chain = self._chains.of(stretch.device, stretch.incarnation)
        if (
            not len(ids) == len(judged) == stretch.last - stretch.first + 1
            or not ids.isdisjoint(before)
            or not ids.isdisjoint(self._now.ids)
            or not house.OWN.isdisjoint([one.kind for one in events])
            or stretch.device in self.revoked
            or not chain.extend(events[0], stretch.last, stretch.head)
        ):
            return None
        return events

    def _admit(
        self,
        body: bytes,
        event: Event,
        signed: Signed | None,
        submission: Submission,
        times: Times,
    ) -> Judged:
        author = (event.device, event.incarnation)
        chain = self._chains.of(*author)
        hubs = event.kind in house.OWN
        ours = hubs and self._key(*author) == self.key
        code = "revoked" if event.device in self.revoked else ""
        denied = submission.exceeds(event) or (hubs and not ours and self._alien(event, submission))
        if denied and not code:
            code = "right"
        if code:
            chain.take(event.kseq, event.hash)
            return self._set_apart(body, event, submission, code)
        forked = chain.forks(event) and not quarantine.let_in(self._db, body)
        if forked and event.kind not in EVIDENCE and not ours:
            return self._set_apart(body, event, submission, "fork")
        chain.take(event.kseq, event.hash)
        proof = self._heed(event, signed, ours=ours) if hubs else _NO_PROOF
        code = "fork" if forked else ""
        (envelope,) = self._enter([body], [event], submission, times, code, proof)
        return Judged(event.id, "ok", "", None, msgspec.Raw(envelope))

    def _heed(self, event: Event, signed: Signed | None, *, ours: bool) -> Proof:
        """Take note of what a hub says; what proves that by itself."""
        if ours and event.incarnation == self.incarnation:
            self._renew()
        if event.kind == Kind.DIRECTORY and house.heed(self._db, event) and ours:
            self._note_returned(event)
        key = self._key(event.device, event.incarnation)
        if signed is None or key is None or signed.first < signed.last:
            return _NO_PROOF
        return Proof(key, signed.signature)

    def _note_returned(self, event: Event) -> None:
        if event.data["record"] in REGISTERED:
            self._now.returned = True
            returned.note(self._meta, event)

    def _alien(self, event: Event, submission: Submission) -> bool:
        """Whether it is no hub's word handed on by its owner, but a kiosk's or staff's own."""
        itself = not submission.introduces and event.device == submission.device
        return itself or submission.staff is not None or event.device in self.paired

    def _enter(
        self,
        bodies: Sequence[bytes],
        events: Sequence[Event],
        submission: Submission,
        times: Times,
        code: str = "",
        proof: Proof = _NO_PROOF,
    ) -> list[bytes]:
        """Put accepted events into their rooms; their envelopes."""
        now, epoch, origin = self._now, self.epoch, submission.origin
        received, envelopes, name = now.received, [], ""
        key, signature = proof
        for body, event in zip(bodies, events, strict=True):
            if event.room != name:
                name = event.room
                room = self._room(name)
            room.head = offset = room.head + 1
            received += 1
            low, high = times.interval(event, received)
            rank = event.by.rank if event.by.rank > 0 else 0
            envelope = encode_envelope(
                Envelope(epoch, offset, received, low, high, "accepted", code, rank, key, signature)
            )
            now.rows.append((room.number << OFFSET_BITS | offset, event.id, body, envelope))
            now.ids[event.id] = (event.hash, envelope)
            now.accepted.append(Accepted(name, offset, body, envelope, origin))
            envelopes.append(envelope)
        now.received = received
        return envelopes

    def _again(self, body: bytes, event: Event, submission: Submission) -> Judged:
        """The id is held already: by the same event, or by another that claims it."""
        if event.id in self._now.ids:
            hash_, envelope = self._now.ids[event.id]
        else:
            hash_, envelope = lookups.held(self._db, event.id)
        if hash_ != event.hash:
            return self._set_apart(body, event, submission, "fork")
        self._chains.of(event.device, event.incarnation).take(event.kseq, event.hash)
        return Judged(event.id, "dup", envelope=msgspec.Raw(envelope))

    def _doubt(
        self, index: int, one: Event | Rejected, place: Place, submission: Submission
    ) -> Judged:
        """An item that cannot be read, or that nobody's signature proves to be its author's."""
        trace = one.trace if isinstance(one, Rejected) else one
        signed = place.signed
        if isinstance(one, Event) and signed is not None and signed.first < signed.last:
            return Judged(one.id, "retry", code="unsigned", after=0.0)
        if signed is not None:
            # It was signed for, so its place in the author's chain counts as held; nobody else can
            # fill that place with something that cannot be checked.
            self._chains.of(signed.device, signed.incarnation).take(place_of(signed, index))
        code = one.code if isinstance(one, Rejected) else "signature"
        return self._set_apart(submission.bodies[index], trace, submission, code)

    def _set_apart(
        self, body: bytes, trace: Event | Trace, submission: Submission, code: str
    ) -> Judged:
        whose = submission.org, submission.device, trace.id, code
        quarantine.keep(self._db, self._received(), whose, body)
        return Judged(trace.id, "quarantined", code=code)

    def _key(self, device: str, incarnation: str) -> str | None:
        found = self._keys.get((device, incarnation))
        if found is None:
            query = "SELECT key FROM author WHERE device = ? AND incarnation = ?"
            row = self._db.execute(query, (device, incarnation)).fetchone()
            if row is None:
                return None
            found = self._keys[device, incarnation] = str(row[0])
        return found

    def _key_for(self, stretch: Signed, submission: Submission) -> str | None:
        """The key that must have signed: the pinned one, or one that may be pinned now."""
        pinned = self._key(stretch.device, stretch.incarnation)
        if pinned is not None or not stretch.key:
            return pinned
        if stretch.key == self.key:
            return self.key  # said by this hub itself, in a life that its log has lost
        if stretch.device != submission.device and (
            not submission.introduces or self._knows(stretch.device)
        ):
            # Another incarnation of a device that is known is for that device alone to begin.
            return None
        return stretch.key

    def _knows(self, device: str) -> bool:
        query = "SELECT 1 FROM author WHERE device = ?"
        return self._db.execute(query, (device,)).fetchone() is not None

    def _note_signed(self, found: Sequence[Place]) -> None:
        for stretch in {place.signed for place in found}:
            if stretch is None:
                continue
            if self._key(stretch.device, stretch.incarnation) is None:
                self._pin(stretch.device, stretch.incarnation, stretch.key)
            self._now.signed[stretch] = None

    def _pin(self, device: str, incarnation: str, key: str) -> None:
        row = (device, incarnation, key, self._received())
        self._db.execute("INSERT INTO author VALUES (?, ?, ?, ?)", row)
        self._keys[device, incarnation] = key

    def _author(self, org: str, room: str, data: dict[str, Any]) -> None:
        """Write an event of the hub's own."""
        chain = self._chains.of(self.device, self.incarnation)
        at = house.Place(
            self.device, self.incarnation, chain.contiguous + 1, str(self._meta["prev"])
        )
        event = house.written(self._clock, at, self._entropy, org, room, data)
        chain.take(event.kseq, event.hash)
        self._meta["prev"] = event.hash
        house.heed(self._db, event)
        body = encode_event(event)
        submission = Submission(org, self.device, [body])
        proof = self._house.prove(event)
        times = Times((), trusted=self._now.trusted)
        self._enter([body], [event], submission, times, "", proof)

    def _received(self) -> int:
        """The hub's own time, never twice the same and never backwards, also over restarts.

        The clock is asked once in a transaction, all of which had come by then.
        """
        self._now.received = received = self._now.received + 1
        return received

    def _room(self, name: str) -> Room:
        room = self._rooms.get(name)
        if room is None:
            query = "SELECT number, head FROM room WHERE name = ?"
            row = self._db.execute(query, (name,)).fetchone()
            if row is None:
                self._db.execute("INSERT INTO room (name, head) VALUES (?, 0)", (name,))
                row = self._db.execute(query, (name,)).fetchone()
            room = self._rooms[name] = Room(*row)
        self._now.rooms[name] = room
        return room
