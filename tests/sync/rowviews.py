"""A reader of rows made of what docs/protocol.md says of them, and what it must come to show."""

from __future__ import annotations

import contextlib
import json
import sqlite3

import msgspec

from kiosk.model import Entry, decode_envelope, decode_event
from sync import merge
from sync import protocol as p
from sync.merge.directory import Records
from tests.sync.rig import NS, ROOM, SITE_ROOM
from tests.sync.test_hub import post

START = 1_799_999_000 * NS


class View:
    """Takes messages as plain JSON; `cursor` is what it would ask with."""

    def __init__(self, room=ROOM):
        self.room = room
        self.rows, self.session, self.counts = {}, {}, {}
        self.cursor, self.live, self.missing = None, False, 0
        self.snapshots = self.frames = 0

    def wish(self, **given):
        cursor = self.cursor and msgspec.convert(self.cursor, p.Cursor)
        return p.Subscribe(self.room, cursor, rows=True, **given)

    def take(self, message):
        """Whether all is well; False if something is missing."""
        have = self.cursor["received"] if self.cursor else -1
        if message["type"] == "position":
            return message["received"] <= have
        assert message["type"] == "rows", message
        self.frames += 1
        if message.get("snapshot"):
            self.rows.clear()
            self.snapshots += 1
        elif message.get("since", 0) > have:
            return False
        self.rows.update((row["person"], row) for row in message.get("rows", ()))
        for person in message.get("gone", ()):
            self.rows.pop(person, None)
        self.session = message.get("session", self.session)
        self.counts = message.get("counts", self.counts)
        self.missing = message.get("missing", 0)
        names = ("epoch", "offset", "received", "part")
        self.cursor = {name: message[name] for name in names if name in message}
        self.live = message.get("live", False)
        return True

    @property
    def shown(self):
        return self.rows, self.session, self.counts


def plain(message):
    """A message as the JSON it came as."""
    return json.loads(p.encode(message))


def meant(db, room=ROOM, site=SITE_ROOM, *, full=False):
    """What a reader must show: the batch fold of what the hub's log holds of both rooms."""
    query = "SELECT body, envelope FROM event e JOIN room r ON r.number = e.place >> 40"
    with contextlib.closing(sqlite3.connect(db)) as connection:
        found = connection.execute(query + " WHERE r.name IN (?, ?)", (room, site)).fetchall()
    entries = []
    for body, stamp in found:
        envelope = decode_envelope(stamp)
        entries.append(Entry(decode_event(body), envelope.low, envelope.high, envelope))
    return comes_to(entries, room.partition("/session/")[2], full=full)


def comes_to(entries, name, *, full=False):
    """The same of any entries and one of their sessions."""
    records = Records()
    for entry in entries:
        records.apply(entry)
    state, one = merge.fold(entries), records.of("session").get(name)
    rows = {person: row for (session, person), row in state.rows.items() if session == name}
    for person in _expected(one, state):
        rows.setdefault(person, None)
    waiting = [item for item in state.waiting if item.session == name]
    shown = {
        person: _row(person, row, state.people.get(person), waiting, full=full)
        for person, row in rows.items()
    }
    return shown, _session(one, state.sessions.get(name), waiting), _counts(shown)


def _expected(one, state):
    if one is None:
        return set()
    people = one.roster
    if people is None:
        people = [id_ for id_, p in state.people.items() if p.active and p.kind != "visitor"]
    return {state.aliases.get(person, person) for person in people}


def _row(person, row, record, waiting, *, full):
    name = ""
    if record is not None:
        name = record.full_name if full else _public(record)
    return {
        "person": person,
        "status": row.status.value if row else "expected",
        "presence": row.presence.value if row else "none",
    } | _said(
        name=name,
        arrival=row and row.arrival and list(row.arrival),
        departure=row and row.departure and list(row.departure),
        flags=row and list(row.flags),
        items=[i.id for i in waiting if person in i.people and i.kind != "unknown_session"][:20],
    )


def _public(record):
    first, *rest = record.full_name.split() or [""]
    if record.last_name:
        first, rest = record.first_name, [record.last_name]
    return f"{first} {rest[-1][0]}." if rest else first


def _session(one, state, waiting):
    items = [i.id for i in waiting if not i.people or i.kind == "unknown_session"][:20]
    found = _said(items=items, closed=state and state.closed and list(state.closed))
    if one is None:
        return found
    told = _said(title=one.title, zone=one.zone, place=one.place)
    for key, value in (
        ("starts", one.starts),
        ("ends", one.ends),
        ("late_at", state.late_at),
        ("capacity", state.capacity),
    ):
        if value is not None:
            told[key] = value
    return found | told


def _counts(shown):
    found = dict.fromkeys(("expected", "present", "late", "excused", "absent", "inside"), 0)
    for row in shown.values():
        found[row["status"]] += 1
        found["inside"] += row["presence"] == "inside"
    return found


def _said(**fields):
    return {name: value for name, value in fields.items() if value}


# -- words of a directory, and a reader over a WebSocket -------------------------------------------


def record(kind, id_, **value):
    return {"record": kind, "id": id_, "value": {"id": id_} | value}


def person(n, **value):
    return record("person", f"p{n}", **{"first_name": f"Ada{n}", "last_name": "Lovelace"} | value)


def sitting(**value):
    given = {"title": "Yoga", "zone": "Europe/London", "starts": START, "ends": START + 3600 * NS}
    return record("session", "s1", **given | value)


async def direct(url, *records):
    assert (await post(url, json.dumps(records).encode()))[0] == 200


async def follow(peer, view, **given):
    """Subscribe with the view's cursor and read until it is live."""
    view.live = False
    await peer.say(view.wish(**given))
    while not view.live:
        assert view.take(plain(await peer.get(p.Rows)))


async def shows(peer, view, path, **given):
    """Read until the view shows what it must."""
    while view.shown != meant(path, **given):
        assert view.take(plain(await peer.get(p.Rows)))
