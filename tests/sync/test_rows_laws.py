"""Whatever happens, a reader's rows are the batch fold of what the hub's log then holds."""

from __future__ import annotations

import asyncio
import contextlib
import json
import tempfile
from pathlib import Path
from unittest import mock

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from kiosk.model import Author as By
from sync import protocol as p
from sync.hub import rowframes
from tests.sync.rig import NS, ORG, SITE_ROOM, Author, hello, joined
from tests.sync.rowviews import View, meant, plain
from tests.sync.test_hub_http import asked

START = 1_799_999_000 * NS
MINUTE = 60 * NS
DEVICES, PEOPLE = st.integers(0, 2), st.sampled_from(["ann", "bob", "cyd", "who"])
BY = st.sampled_from([By("staff", "ines", 2), By("staff", "ada", 3), By("staff", "tess", 1)])
WHEN = st.integers(-20, 60)


def scans(kind):
    return st.tuples(st.just(kind), DEVICES, PEOPLE, WHEN)


PUSHED = st.one_of(
    scans("check_in"),
    scans("check_in"),
    scans("check_out"),
    scans("visitor"),
    st.tuples(st.just("unsure"), DEVICES, PEOPLE, WHEN),
    st.tuples(st.just("elsewhere"), DEVICES, PEOPLE, WHEN),
    st.tuples(st.just("forked"), DEVICES, PEOPLE, WHEN),
    st.tuples(
        st.just("override"), DEVICES, PEOPLE, BY, st.sampled_from(["present", "absent", "late"])
    ),
    st.tuples(st.sampled_from(["retract", "resolve"]), DEVICES, PEOPLE, BY, st.integers(0, 9)),
    st.tuples(st.sampled_from(["session_closed", "session_reopened"]), DEVICES, BY),
    st.tuples(st.just("merged"), PEOPLE, PEOPLE),
    st.tuples(st.sampled_from(["help", "enrolled", "news"]), DEVICES),
)
TOLD = st.one_of(
    st.tuples(st.just("person"), PEOPLE, st.sampled_from(["Ann", "Eve"]), st.booleans()),
    st.tuples(
        st.just("session"),
        st.sampled_from([None, 0, 10]),
        st.sampled_from([None, (), ("ann",), ("bob", "cyd")]),
    ),
    st.tuples(st.just("policy"), st.sampled_from([None, 5]), st.sampled_from([None, 1])),
    st.tuples(st.just("device"), DEVICES, st.sampled_from(["", "gate", "pool"])),
)
STEPS = st.one_of(
    st.lists(PUSHED, min_size=1, max_size=6).map(lambda several: ("push", several)),
    st.lists(PUSHED, min_size=1, max_size=3).map(lambda several: ("push", several)),
    st.lists(TOLD, min_size=1, max_size=3).map(lambda several: ("tell", several)),
    st.sampled_from([("gone",), ("back",), ("polled",), ("let_go",), ("begin",)]),
)


class Site:
    """Three kiosks and a hub's office, as the steps have them write."""

    def __init__(self, web, peers, waiting):
        self.web, self.peers, self.waiting = web, peers, waiting
        self.authors = [Author(f"kiosk-{n}", f"inc-{n}") for n in range(3)]
        self.written, self.rev = [], 0

    async def push(self, several):
        by_device = {}
        for wish in several:
            device, body = self._event(*wish)
            by_device.setdefault(device, []).append(body)
        for device, bodies in by_device.items():
            await self.peers[device].push(*bodies)

    async def tell(self, several):
        records = [self._record(*wish) for wish in several]
        status, _ = await self.web.ask("POST", "/v1/directory", json.dumps(records).encode())
        assert status == 200

    def _event(self, kind, *wish):
        if kind == "merged":
            self.rev += 1
            data = {"person": wish[0], "into": wish[1], "rev": self.rev}
            return 0, self._write(0, "merged", SITE_ROOM, None, data=data)
        device, *wish = wish
        if kind in ("session_closed", "session_reopened"):
            saw = tuple(e.id for e in self.written if e.kind.startswith("session_"))[-1:]
            body = self._write(device, kind, by=wish[0], saw=saw)
        elif kind in ("retract", "resolve", "override"):
            body = self._decide(kind, device, *wish)
        elif kind in ("help", "enrolled", "news"):
            body = self._write(device, kind, SITE_ROOM, None)
        else:
            body = self._scan(kind, device, *wish)
        return device, body

    def _decide(self, kind, device, person, by, what):
        given, saw = {}, ()
        if kind == "override":
            saw = tuple(e.id for e in self.written if e.person == person)[::2]
            given["status"] = what
        elif kind == "retract" and self.written:
            target = self.written[-1 - what % len(self.written)]
            person, given["target"] = target.person, target.id
        elif kind == "resolve" and (waiting := self.waiting()):
            person, given["item"] = None, waiting[what % len(waiting)]
        return self._write(device, kind, person=person, by=by, data=given, saw=saw)

    def _scan(self, kind, device, person, minute):
        wall = START + minute * MINUTE
        if kind == "elsewhere":
            room, session = f"org/{ORG}/session/s2", "s2"
            return self._write(device, "check_in", room, session, person=person, wall=wall)
        if kind == "unsure":
            return self._write(device, "check_in", person=person, wall=wall, synced=False)
        if kind == "forked":
            author = self.authors[device]
            kept = author.kseq, author.prev
            author.kseq = max(author.kseq - 1, 0)
            body = self._write(device, "check_in", person=person, wall=wall)
            author.kseq, author.prev = max(kept[0], author.kseq), kept[1]
            return body
        data = {"name": f"{person.title()} Of Elsewhere"} if kind == "visitor" else {}
        return self._write(device, kind, person=person, wall=wall, data=data)

    def _write(self, device, kind, room=f"org/{ORG}/session/s1", session="s1", **given):
        given.setdefault("person", None)
        event = self.authors[device].event(kind=kind, room=room, session=session, **given)
        if session == "s1":
            self.written.append(event)
        return p.msgspec.json.encode(event, order="deterministic")

    def _record(self, record, *wish):
        match record:
            case "person":
                id_, first, active = wish
                value = {"id": id_, "first_name": first, "last_name": "Lee", "active": active}
            case "session":
                late, roster = wish
                value = {"id": "s1", "title": "Yoga", "zone": "Europe/London", "starts": START}
                value |= {"ends": START + 60 * MINUTE, "roster": roster}
                id_ = "s1"
                if late is not None:
                    value["late_at"] = START + late * MINUTE
            case "policy":
                id_, value = "site", {"late_after": wish[0], "capacity": wish[1], "travel": 30}
            case "device":
                id_, value = f"kiosk-{wish[0]}", {"place": wish[1]}
        return {"record": record, "id": id_, "value": value}


class Reader:
    """One reader over a WebSocket, which comes and goes and keeps its cursor."""

    def __init__(self, url, name, **given):
        self.url, self.name, self.given = url, name, given
        self.view = View()
        self.peer = None
        self._open = contextlib.AsyncExitStack()

    async def back(self):
        if self.peer is None:
            greeting = p.msgspec.structs.replace(hello(self.name), viewer=True)
            self.peer = await self._open.enter_async_context(joined(self.url, greeting))
        await self.peer.say(self.view.wish(**self.given))

    async def gone(self):
        await self._open.aclose()
        self.peer = None

    async def shows(self, path, *, full):
        """Read until all is shown that must be; what does not fit must not come at all."""
        wanted = meant(path, full=full)
        async with asyncio.timeout(10):
            while not self.view.live or self.view.shown != wanted:
                message = await self.peer.hear()
                if isinstance(message, p.Rows):
                    assert self.view.take(plain(message))


class Play:
    """A hub, who writes to it, a reader that stays, one that comes and goes, one that polls."""

    def __init__(self, path, web, peers):
        self.path, self.web = path, web
        self.steady, self.other = Reader(web.url, "a"), Reader(web.url, "b", names="public")
        self.polling = View()
        self.site = Site(web, peers, self._waiting)
        self.push, self.tell = self.site.push, self.site.tell
        self.gone, self.back = self.other.gone, self.other.back

    async def begin(self):
        await self.other.gone()
        self.other.view.cursor = None
        await self.other.back()

    async def let_go(self):
        """As if its time was over."""
        rosters = self.web.server._core.rooms.rosters
        for roster in list(rosters._all.values()):
            if not roster.members:
                rosters.drop(roster)

    async def polled(self):
        self.polling.live = False
        while not self.polling.live:
            _, found = await self.web.ask("POST", "/v1/poll", p.Poll([self.polling.wish()]))
            assert all(self.polling.take(message) for message in found)
        assert self.polling.shown == meant(self.path, full=True)

    async def all_show_what_they_must(self):
        for one, full in ((self.steady, True), (self.other, False)):
            if one.peer is not None:
                await one.shows(self.path, full=full)

    def _waiting(self):
        rows = self.steady.view.rows.values()
        return sorted({item for row in rows for item in row.get("items", ())})


async def played(path, steps):
    """Play the steps; after each, whoever is connected shows the batch fold."""
    async with asked(path) as web, contextlib.AsyncExitStack() as stack:
        greetings = [hello(f"kiosk-{n}", f"inc-{n}") for n in range(3)]
        peers = [await stack.enter_async_context(joined(web.url, one)) for one in greetings]
        play = Play(path, web, peers)
        for reader in (play.steady, play.other):
            stack.push_async_callback(reader.gone)
            await reader.back()
        for what, *wish in [*steps, ("back",), ("polled",)]:
            await getattr(play, what)(*wish)
            await play.all_show_what_they_must()
        await play.begin()
        await play.all_show_what_they_must()


INES = By("staff", "ines", 2)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@example(
    rows=500,
    steps=[
        ("tell", [("session", 10, None), ("person", "ann", "Ann", True)]),
        ("push", [("check_in", 0, "ann", 0), ("check_in", 1, "bob", 20)]),
        ("gone",),
        ("push", [("override", 0, "ann", INES, "absent"), ("check_in", 2, "ann", 5)]),
        ("tell", [("person", "ann", "Eve", True), ("person", "bob", "Bob", True)]),
        ("push", [("session_closed", 0, INES), ("merged", "bob", "ann")]),
        ("polled",),
        ("back",),
        ("push", [("forked", 1, "cyd", 3), ("unsure", 2, "cyd", 9), ("resolve", 0, "", INES, 0)]),
    ],
)
@given(steps=st.lists(STEPS, min_size=1, max_size=10), rows=st.sampled_from([1, 2, 500]))
def test_readers_show_the_batch_fold_after_every_step(steps, rows):
    """`rows` are how many go into one message: with few, everything comes in pages."""
    with tempfile.TemporaryDirectory() as folder, mock.patch.object(rowframes, "PAGE_ROWS", rows):
        asyncio.run(played(Path(folder) / "hub.db", steps))
