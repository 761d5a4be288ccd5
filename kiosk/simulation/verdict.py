"""What must hold when everything is healed, checked from the files alone.

The rules for who knew what, and for what must never be shown, are worked out here a second time,
so that a fault in the fold is not its own judge.
"""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from kiosk.model import (
    ROW_KINDS,
    Attendance,
    Entry,
    Envelope,
    Event,
    Kind,
    Session,
    Status,
    decode_envelope,
    decode_event,
    event_hash,
)
from sync import merge

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from kiosk.simulation.machines import Kiosk
    from kiosk.simulation.people import Told
    from kiosk.simulation.scene import Scene

_QUARANTINED = "quarantined"
_DECIDES = frozenset({Kind.SESSION_CLOSED, Kind.SESSION_REOPENED, Kind.RETRACT})


@dataclass(slots=True)
class Verdict:
    """What was found: ids or descriptions, one for each thing that is wrong."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    diverged: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        return not (self.lost or self.doubled or self.diverged)


@dataclass(slots=True)
class Held:
    """One entry of the hub's log."""

    room: str
    offset: int
    body: bytes
    event: Event
    envelope: Envelope

    @property
    def entry(self) -> Entry:
        return Entry(self.event, self.envelope.low, self.envelope.high, self.envelope)


def judged(scene: Scene, told: Told) -> tuple[Verdict, list[Held]]:
    """Compare what was announced with what the hub and every kiosk now hold."""
    verdict = Verdict()
    log = _log(scene.hub.disk.path)
    _custody(verdict, log, told, scene)
    _rooms(verdict, log)
    _chains(verdict, log, scene)
    _times(verdict, log, told)
    rows = _rows(scene, log)
    _blind_to_walls(verdict, log)
    if not scene.doubles:
        # Of events that a device's double counted again, kseq says nothing of who knew what.
        _row_laws(verdict, log, rows)
    for kiosk in scene.kiosks:
        _same_events(verdict, kiosk, log)
        _same_rows(verdict, kiosk, scene, rows)
        _same_state(verdict, kiosk, log)
    _same_directory(verdict, scene)
    return verdict, log


def digest(scene: Scene, log: list[Held]) -> str:
    """BLAKE2b over the hub's log and every row that was folded from it."""
    made = hashlib.blake2b(digest_size=16)
    for held in log:
        made.update(f"{held.room} {held.offset} {held.envelope.low} {held.envelope.high}".encode())
        made.update(held.body)
    for _, row in sorted(_rows(scene, log).items()):
        made.update(msgspec.json.encode(row))
    return made.hexdigest()


def _log(path: Path) -> list[Held]:
    with contextlib.closing(sqlite3.connect(path)) as db:
        rows = db.execute("SELECT room, offset, body, envelope FROM entry ORDER BY room, offset")
        return [Held(r, o, b, decode_event(b), decode_envelope(e)) for r, o, b, e in rows]


# -- nothing lost, nothing doubled -----------------------------------------------------------------


def _custody(verdict: Verdict, log: list[Held], told: Told, scene: Scene) -> None:
    there = Counter(held.event.id for held in log)
    kept = there.keys() | scene.excused | _apart(scene)
    for act, (id_, _) in told.events.items():
        if id_ not in kept:
            verdict.lost.append(f"act {act}, {id_}: announced, and not in the hub's log")
    for kiosk in scene.kiosks:
        for id_ in kiosk.store.event_ids():
            if id_ not in kept:
                verdict.lost.append(f"{id_}: on {kiosk.name}, and not in the hub's log")
    acts = Counter(held.event.data["act"] for held in log if "act" in held.event.data)
    single = [h.event for h in log if h.event.device not in scene.doubles]
    places = Counter((e.device, e.incarnation, e.kseq) for e in single)
    for what, count in (*acts.items(), *places.items(), *there.items()):
        if count > 1:
            verdict.doubled.append(f"{what}: {count} times in the hub's log")


def _apart(scene: Scene) -> set[str]:
    """Decisions that the hub keeps apart, for their device had a double."""
    with contextlib.closing(sqlite3.connect(scene.hub.disk.path)) as db:
        rows = db.execute("SELECT id, device FROM quarantine WHERE code = 'fork'")
        return {id_ for id_, device in rows if device in scene.doubles}


def _rooms(verdict: Verdict, log: list[Held]) -> None:
    """Offsets count from 1 without a hole, each in the envelope too."""
    heads: Counter[str] = Counter()
    for held in log:
        heads[held.room] += 1
        if not held.offset == heads[held.room] == held.envelope.offset:
            verdict.diverged.append(f"{held.room}: offset {held.offset} after {heads[held.room]}")
        if held.envelope.verdict == _QUARANTINED:
            verdict.diverged.append(f"{held.event.id} is quarantined: {held.envelope.code}")


def _chains(verdict: Verdict, log: list[Held], scene: Scene) -> None:
    """Every kiosk's own events: gapless, chained, of the bytes that were hashed, in one life."""
    for kiosk in scene.kiosks:
        who = kiosk.store.identity
        if who.device in scene.doubles:
            continue
        own = sorted((h.event for h in log if h.event.device == who.device), key=lambda e: e.kseq)
        if {event.incarnation for event in own} > {who.incarnation}:
            verdict.diverged.append(f"{kiosk.name} began a new incarnation")
        prev = ""
        for place, event in enumerate(own, 1):
            if event.kseq != place or event.prev != prev or event_hash(event) != event.hash:
                verdict.diverged.append(f"{kiosk.name}: the chain breaks at {event.kseq}")
                break
            prev = event.hash


def _times(verdict: Verdict, log: list[Held], told: Told) -> None:
    """Whatever the wall clocks said, an interval that claims to know holds the true time."""
    truth = dict(told.events.values())
    for held in log:
        true = truth.get(held.event.id)
        low, high = held.envelope.low, held.envelope.high
        if true is not None and low < high and not low <= true <= high:
            off = (true - low) / 1e9
            verdict.diverged.append(f"{held.event.id}: truly {off:.3f} s after its interval began")


def _blind_to_walls(verdict: Verdict, log: list[Held]) -> None:
    """What devices believed the time to be changes nothing, once the hub has said when it was."""
    garbled = (
        replace(held.entry, event=replace(held.event, wall=-held.event.wall)) for held in log
    )
    if merge.fold(garbled).rows != merge.fold(held.entry for held in log).rows:
        verdict.diverged.append("other wall clocks make other rows")


# -- all see the same ------------------------------------------------------------------------------


def _rows(scene: Scene, log: list[Held]) -> dict[tuple[str, str], Attendance]:
    """Every row, folded at once from the whole log, in an order that is not the log's."""
    sessions = _sessions_of(scene.kiosks[0])
    found: dict[tuple[str, str], list[Entry]] = {}
    decided: dict[str, list[Entry]] = {}
    mixed = list(log)
    scene.day.chance("order").shuffle(mixed)
    for held in mixed:
        event = held.event
        if event.kind in ROW_KINDS and event.session and event.person:
            found.setdefault((event.session, event.person), []).append(held.entry)
        elif event.kind in _DECIDES and event.session:
            decided.setdefault(event.session, []).append(held.entry)
    terms = {name: merge.terms_for(one, decided.get(name, ())) for name, one in sessions.items()}
    rows = {
        (session, person): merge.fold_row(
            sessions.get(session), person, entries, session, terms.get(session)
        )
        for (session, person), entries in found.items()
    }
    for name, one in sessions.items():
        if terms[name].closing is not None:
            everybody = [person.id for person in scene.people if person.active]
            for person in one.roster if one.roster is not None else everybody:
                rows.setdefault((name, person), Attendance(name, person, Status.ABSENT))
    return rows


def _sessions_of(kiosk: Kiosk) -> dict[str, Session]:
    return {session.id: session for session in kiosk.store.sessions()}


def _same_events(verdict: Verdict, kiosk: Kiosk, log: list[Held]) -> None:
    with contextlib.closing(sqlite3.connect(kiosk.disk.path)) as db:
        query = "SELECT e.id, s.envelope FROM event e LEFT JOIN stamp s ON s.seq = e.seq"
        here = dict(db.execute(query).fetchall())
        waiting = db.execute("SELECT count(*) FROM outbox").fetchone()[0]
        aside = db.execute("SELECT count(*) FROM undecodable").fetchone()[0]
    if waiting or aside:
        verdict.diverged.append(f"{kiosk.name}: {waiting} unsent, {aside} not understood")
    for held in log:
        if held.event.id not in here:
            verdict.diverged.append(f"{kiosk.name} lacks {held.event.id} of {held.room}")
        elif here[held.event.id] is None:
            verdict.diverged.append(f"{kiosk.name} has no envelope for {held.event.id}")


def _same_rows(
    verdict: Verdict, kiosk: Kiosk, scene: Scene, rows: dict[tuple[str, str], Attendance]
) -> None:
    for session in scene.sessions:
        shown = _telling(kiosk.store.attendance(session.id))
        meant = _telling(row for row in rows.values() if row.session == session.id)
        for person in shown.keys() | meant.keys():
            if shown.get(person) != meant.get(person):
                verdict.diverged.append(
                    f"{kiosk.name}, {session.id}, {person}:"
                    f" shows {shown.get(person)}, must be {meant.get(person)}"
                )


def _telling(rows: Iterable[Attendance]) -> dict[str, Attendance]:
    """By person, without rows of which nothing is left, as of a decision that does not count."""
    return {row.person: row for row in rows if row != Attendance(row.session, row.person)}


def _same_state(verdict: Verdict, kiosk: Kiosk, log: list[Held]) -> None:
    """Rows, sessions and review items: entry by entry in this kiosk's order, or all at once."""
    site = merge.SiteFold()
    with contextlib.closing(sqlite3.connect(kiosk.disk.path)) as db:
        query = "SELECT body, low, high, envelope FROM entry WHERE quarantined IS NULL ORDER BY seq"
        for body, low, high, envelope in db.execute(query):
            stamp = decode_envelope(envelope) if envelope else None
            site.apply(Entry(decode_event(body), low, high, stamp))
    here, meant = site.state, merge.fold(held.entry for held in log)
    for what in ("rows", "sessions", "items"):
        if getattr(here, what) != getattr(meant, what):
            verdict.diverged.append(f"{kiosk.name} folds other {what} than the hub's log comes to")


def _same_directory(verdict: Verdict, scene: Scene) -> None:
    people = {person.id: person for person in scene.people}
    sessions = {session.id: session for session in scene.sessions}
    for kiosk in scene.kiosks:
        if {p.id: p for p in kiosk.store.people()} != people:
            verdict.diverged.append(f"{kiosk.name} knows other people")
        if _sessions_of(kiosk) != sessions:
            verdict.diverged.append(f"{kiosk.name} knows other sessions")


# -- what must never be shown ----------------------------------------------------------------------


def _row_laws(verdict: Verdict, log: list[Held], rows: dict[tuple[str, str], Attendance]) -> None:
    by_row: dict[tuple[str, str], list[Event]] = {}
    for held in log:
        event = held.event
        if event.kind in ROW_KINDS and event.session and event.person:
            by_row.setdefault((event.session, event.person), []).append(event)
    for key, row in rows.items():
        verdict.diverged += [f"{key}: {what}" for what in _breaches(row, by_row.get(key, []))]


def _breaches(row: Attendance, events: list[Event]) -> Iterator[str]:
    """What a row shows against the laws; of events that somebody retracts nothing is asked."""
    retracted = {event.data.get("target") for event in events if event.kind == Kind.RETRACT}
    live = [event for event in events if event.id not in retracted]
    winner = next((event for event in events if event.id == row.winner), None)
    scans = [event for event in live if event.kind == Kind.CHECK_IN]
    if row.status == Status.ABSENT:
        known = _known(events, winner)
        for scan in scans:
            if scan.id not in known:
                yield f"absent, but the check-in {scan.id} was never seen"
    if scans and row.status == Status.EXPECTED:
        yield "checked in, and still expected"
    for other in live:
        if other.kind == Kind.OVERRIDE and winner is not other:
            yield from _overruled(other, winner, events)


def _overruled(other: Event, winner: Event | None, events: list[Event]) -> Iterator[str]:
    """Why a decision should not have lost: it knew the winner, or was of higher rank, unknown."""
    if winner is None:
        yield f"the decision {other.id} is passed over"
    elif winner.id in _known(events, other):
        yield f"the decision {other.id} knew the winner {winner.id}"
    elif other.by.rank > winner.by.rank and not any(
        other.id in _known(events, event) for event in events if event.kind == Kind.OVERRIDE
    ):
        yield f"the decision {other.id} outranks the winner {winner.id}"


def _known(events: list[Event], start: Event | None) -> set[str]:
    """All that the author of an event knew of its row, by what it saw and by its own chain."""
    known: set[str] = set()
    if start is None:
        return known
    by_id = {event.id: event for event in events}
    ahead = [*start.saw]
    while ahead:
        if (name := ahead.pop()) not in known:
            known.add(name)
            ahead += by_id[name].saw if name in by_id else ()
    line = (start.device, start.incarnation)
    known |= {e.id for e in events if (e.device, e.incarnation) == line and e.kseq < start.kseq}
    return known
