"""Review items as a kiosk's database gives them: the same that the fold of the whole log gives.

What is to be said of single rows is kept with them; the rest is few, and worked out when asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from kiosk.entries import SPOILT, decisions_of, readable, readable_by_id
from kiosk.folding import Book
from kiosk.model import (
    ROW_KINDS,
    Entry,
    Envelope,
    Flag,
    Kind,
    ReviewItem,
    decode_envelope,
    decode_event,
)
from kiosk.record_kinds import ANYTHING, EVENT, PERSON
from sync import merge
from sync.merge import items as kinds
from sync.merge.decisions import may_retract
from sync.merge.entries import NO_FORKS, forked
from sync.merge.evidence import too_far_across
from sync.merge.rows import passages
from sync.merge.sessions import close_state

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Iterator

    from kiosk.model import Event

_NOTES = msgspec.json.Decoder(tuple[ReviewItem, ...])
_APART = """
SELECT e.body, s.low, s.high, s.envelope, s.quarantined FROM stamp s JOIN event e ON e.seq = s.seq
WHERE s.quarantined IS NOT NULL
"""
_CAME = """
SELECT session, person FROM attendance
WHERE presence <> 'none' OR json_valid(CAST(body AS TEXT))
AND json_extract(CAST(body AS TEXT), '$.winner') IS NOT NULL
"""
_INSIDE = """
SELECT session, count(*) FROM attendance WHERE presence = 'inside' GROUP BY session
"""
# Whoever was at one device and soon after at another, merged persons as one: few of all, and of
# those it is worth reading everything.
_HASTY = """
WITH seen AS (
    SELECT coalesce(a.value, e.person) AS who, e.device, e.low FROM entry e
    LEFT JOIN json_each(?) a ON a.key = e.person
    WHERE e.kind IN ('check_in', 'check_out', 'visitor') AND e.quarantined IS NULL
    AND e.person IS NOT NULL AND e.session IS NOT NULL
    AND e.device IN (SELECT key FROM json_each(?)))
SELECT DISTINCT who FROM (
    SELECT who, device, low, lag(device) OVER w AS before, lag(low) OVER w AS since FROM seen
    WINDOW w AS (PARTITION BY who ORDER BY low))
WHERE before <> device AND low - since < ?
"""
_TWICE = """
SELECT incarnation, kseq, json_group_array(id) FROM event e LEFT JOIN stamp s ON s.seq = e.seq
WHERE e.device = ? AND (s.quarantined IS NULL OR s.quarantined = 'fork')
GROUP BY incarnation, kseq HAVING count(*) > 1 ORDER BY incarnation, kseq
"""


def items(db: sqlite3.Connection) -> list[ReviewItem]:
    """Every review item, also those acknowledged, in order of id."""
    book, decisions = Book(db), decisions_of(db)
    resolved = _resolved(decisions)
    found = [*_of_rows(db, book), *_of_sessions(db, book, decisions), *_strangers(db, book)]
    found += _across(db, book)
    found += _doubles(db, found)
    return sorted(
        (
            msgspec.structs.replace(item, resolved=resolved.get(item.id, ()))
            for item in {item.id: item for item in found}.values()
        ),
        key=lambda item: item.id,
    )


def events(db: sqlite3.Connection, ids: Collection[str]) -> list[Event]:
    """Those of these events that are here and can be read."""
    query = "SELECT body FROM event WHERE id IN (SELECT value FROM json_each(?))"
    found = db.execute(query, (msgspec.json.encode(list(ids)).decode(),)).fetchall()
    return readable(found, EVENT)


def names(db: sqlite3.Connection) -> merge.Names:
    """What the ids of people, staff, devices and sessions are called here."""
    rows = db.execute("SELECT id, value FROM directory WHERE record = 'person'")
    people = dict(readable_by_id(rows, PERSON))
    sessions = Book(db).sessions
    zone = next(iter(sessions.values())).zone if sessions else "UTC"
    return merge.Names(
        people={id_: person.full_name or id_ for id_, person in people.items()},
        staff=_named(db, "staff"),
        devices=_named(db, "device"),
        sessions={id_: session.title for id_, session in sessions.items()},
        zone=zone,
    )


def _named(db: sqlite3.Connection, record: str) -> dict[str, str]:
    query = "SELECT id, value FROM directory WHERE record = ?"
    values: dict[str, Any] = dict(readable_by_id(db.execute(query, (record,)), ANYTHING))
    return {
        id_: value["name"]
        for id_, value in values.items()
        if isinstance(value, dict) and isinstance(value.get("name"), str)
    }


def _of_rows(db: sqlite3.Connection, book: Book) -> Iterator[ReviewItem]:
    notes = readable(db.execute("SELECT items FROM review").fetchall(), _NOTES)
    yield from kinds.batched(note for several in notes for note in several)
    for body, low, high, envelope, code in db.execute(_APART):
        try:
            event = decode_event(body)
            # A verdict that came without an envelope sets apart all the same.
            bare = Envelope("", 0, 0, low, high, "quarantined", str(code))
            entry = Entry(event, low, high, decode_envelope(envelope) if envelope else bare)
        except SPOILT:
            continue  # spoilt on this disk: counted as set apart, but nothing can be told of it
        key = None
        if event.kind in ROW_KINDS and event.session is not None and event.person is not None:
            key = event.session, book.aliases.get(event.person, event.person)
        yield kinds.set_apart(entry, key)


def _of_sessions(
    db: sqlite3.Connection, book: Book, decisions: list[Entry]
) -> Iterator[ReviewItem]:
    for entry in decisions:
        event = entry.event
        of_a_row = event.kind in ROW_KINDS and event.session and event.person
        if forked(entry, NO_FORKS) and not of_a_row:
            yield kinds.set_apart(entry)
    by_session: dict[str, list[Entry]] = {}
    for entry in decisions:
        if entry.event.session is not None:
            by_session.setdefault(entry.event.session, []).append(entry)
    for name, entries in by_session.items():
        settled = close_state(entries)
        if settled.disputed:
            yield kinds.close_reopened(name, settled)
    for name, inside in db.execute(_INSIDE):
        capacity = book.policy(name).capacity
        if capacity is not None and inside > capacity:
            yield kinds.over_capacity(book.state(name, close_state(())), inside)


def _strangers(db: sqlite3.Connection, book: Book) -> Iterator[ReviewItem]:
    known, unknown = book.known(), dict[str, list[str]]()
    for session, person in db.execute(_CAME):
        if session not in book.sessions:
            unknown.setdefault(session, []).append(person)
        if person not in known:
            yield kinds.unknown_person((session, person))
    for session, people in unknown.items():
        yield kinds.unknown_session(session, people)


def _across(db: sqlite3.Connection, book: Book) -> Iterator[ReviewItem]:
    """Those who were at two places in two sessions with too little time between."""
    if not book.places.reach:
        return
    aliases, devices = (msgspec.json.encode(of).decode() for of in (book.aliases, book.places.of))
    found = db.execute(_HASTY, (aliases, devices, book.places.reach)).fetchall()
    for (person,) in found:
        rows = db.execute("SELECT session FROM attendance WHERE person = ?", (person,)).fetchall()
        moves = [move for (session,) in rows for move in passages(book.entries(session, person))]
        if far := too_far_across(moves, book.places):
            yield kinds.two_places_across(person, far)


def _doubles(db: sqlite3.Connection, found: list[ReviewItem]) -> list[ReviewItem]:
    """The devices' own items: where a hub said of an event that its place was taken."""
    devices = {item.device for item in found if item.kind == Flag.FORKED}
    devices |= {item.device for item in found if item.args.get("code") == "fork"}
    lines: dict[tuple[str, str], ReviewItem] = {}
    for device in sorted(devices):
        for incarnation, kseq, ids in db.execute(_TWICE, (device,)):
            line = (device, incarnation)
            if line not in lines:
                lines[line] = kinds.forked_line(
                    line, kseq, msgspec.json.decode(ids, type=list[str])
                )
    return list(lines.values())


def _resolved(decisions: list[Entry]) -> dict[str, tuple[str, ...]]:
    decisions = [entry for entry in decisions if not forked(entry, NO_FORKS)]
    retracts = [entry for entry in decisions if entry.event.kind == Kind.RETRACT]
    found: dict[str, list[str]] = {}
    for entry in decisions:
        event = entry.event
        item = event.data.get("item")
        undone = any(_takes_back(retract, entry) for retract in retracts)
        if event.kind == Kind.RESOLVE and isinstance(item, str) and not undone:
            found.setdefault(item, []).append(event.id)
    return {item: tuple(sorted(ids)) for item, ids in found.items()}


def _takes_back(retract: Entry, entry: Entry) -> bool:
    one, other = retract.event, entry.event
    return (
        one.data.get("target") == other.id
        and one.session == other.session
        and may_retract(retract, entry)
    )
