"""Rows in place of events: snapshots, changes, cursors on every transport; who is told what."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import sqlite3
from concurrent.futures import ThreadPoolExecutor

import pytest

from kiosk.model import Author as By
from kiosk.model import session_room
from sync import protocol as p
from sync.hub import rows
from tests.sync.auth.rig import stage
from tests.sync.rig import NS, ORG, ROOM, SITE_ROOM, Author, TestClock, hello, hub, joined, until
from tests.sync.rowviews import View, meant, plain
from tests.sync.test_hub import post
from tests.sync.test_hub_http import KIOSK, WHO, asked

START = 1_799_999_000 * NS
STAFF = By("staff", "ines", 2)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "hub.db"


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


# -- what is shown ---------------------------------------------------------------------------------


async def test_a_snapshot_then_only_what_changes(path):
    author, view = Author(), View()
    async with hub(path) as server, joined(server.url) as peer:
        await direct(server.url, sitting(), *(person(n) for n in range(1, 5)))
        await peer.push(author.body(), author.body())
        await follow(peer, view)
        assert view.shown == meant(path, full=True)
        assert view.rows["p1"] == {
            "person": "p1",
            "status": "present",
            "presence": "inside",
            "name": "Ada1 Lovelace",
            "arrival": [START, START],
        }
        assert view.rows["p4"]["status"] == "expected"
        assert view.counts == {
            "expected": 2,
            "present": 2,
            "late": 0,
            "excused": 0,
            "absent": 0,
            "inside": 2,
        }
        assert (view.session["title"], view.cursor["offset"], view.snapshots) == ("Yoga", 2, 1)
        before = view.cursor["received"]
        await peer.push(author.body(kind="check_out", person="p1"))
        frame = plain(await peer.get(p.Rows))
        assert (frame["since"], frame["offset"], frame["head"]) == (before, 3, 3)
        assert [row["presence"] for row in frame["rows"]] == ["left"]
        assert frame["counts"]["inside"] == 1
        assert "session" not in frame
        assert view.take(frame)
        assert view.shown == meant(path, full=True)


async def test_what_the_site_says_reaches_its_sessions_too(path):
    author, view = Author(), View()
    async with (
        hub(path) as server,
        joined(server.url) as peer,
        joined(server.url, hello("s")) as hq,
    ):
        await direct(server.url, sitting(), person(1), person(2), person(3))
        await peer.push(author.body(wall=START + 600 * NS))
        await follow(peer, view)
        for records in (
            [person(1, last_name="King")],
            [sitting(title="Yoga 2", late_at=START)],
            [{"record": "policy", "id": "site", "value": {"late_after": 30}}],
            [person(3, active=False)],
            [sitting(roster=["p2", "p3"])],
        ):
            cursor = view.cursor
            await direct(server.url, *records)
            await shows(peer, view, path, full=True)
            assert view.cursor["offset"] == cursor["offset"]
            assert view.cursor["received"] > cursor["received"]
        two = Author("hq", "inc-9")
        data = {"person": "p1", "into": "p2", "rev": 1}
        await hq.push(two.body(kind="merged", room=SITE_ROOM, session=None, person=None, data=data))
        await shows(peer, view, path, full=True)
        assert "p1" not in view.rows
        assert view.rows["p2"]["presence"] == "inside"
        assert view.snapshots == 1


async def test_closing_makes_absent_whoever_was_expected_and_reopening_undoes_it(path):
    author, view = Author(), View()
    async with hub(path) as server, joined(server.url) as peer:
        await direct(server.url, sitting(), person(1), person(2))
        await peer.push(author.body())
        await follow(peer, view)
        closing = author.event(kind="session_closed", person=None, by=STAFF)
        await peer.push(p.msgspec.json.encode(closing, order="deterministic"))
        await shows(peer, view, path, full=True)
        assert view.rows["p2"]["status"] == "absent"
        assert view.session["closed"]
        opening = {"kind": "session_reopened", "person": None, "by": STAFF, "saw": (closing.id,)}
        await peer.push(author.body(**opening))
        await shows(peer, view, path, full=True)
        assert view.rows["p2"]["status"] == "expected"
        assert "closed" not in view.session


async def test_review_items_are_named_on_the_rows_they_are_about_until_somebody_settles_them(path):
    author, view = Author(), View()
    async with hub(path) as server, joined(server.url) as peer:
        await direct(server.url, sitting(), person(1))
        await peer.push(author.body(person="p1"), author.body(person="stranger"))
        await follow(peer, view)
        assert view.shown == meant(path, full=True)
        (item,) = view.rows["stranger"]["items"]
        assert view.rows["stranger"].get("name") is None
        resolve = {"kind": "resolve", "person": None, "by": STAFF, "data": {"item": item}}
        await peer.push(author.body(**resolve))
        await shows(peer, view, path, full=True)
        assert "items" not in view.rows["stranger"]


async def test_of_a_session_that_nobody_described_the_rows_are_shown_all_the_same(path):
    view = View()
    async with hub(path) as server, joined(server.url) as peer:
        await follow(peer, view)
        assert view.shown == ({}, {}, dict.fromkeys(view.counts, 0))
        await peer.push(Author().body())
        await shows(peer, view, path, full=True)
        assert "title" not in view.session
        assert view.session["items"]
        assert view.snapshots == 1


async def test_only_a_sessions_room_has_rows(path):
    async with asked(path) as web, joined(web.url) as peer:
        await peer.say(p.Subscribe(SITE_ROOM, rows=True))
        assert (await peer.get(p.Error)).code == "rows"
        assert await peer.follow(ROOM) == []  # and the connection goes on
        where = WHO | {"room": [ROOM, SITE_ROOM], "rows": "1"}
        status, found = await web.ask("GET", "/v1/poll", params=where)
        assert (status, [m["type"] for m in found]) == (200, ["events", "rows"])


# -- who is told what ------------------------------------------------------------------------------


async def names(url, token, who, **given):
    async with joined(url, who, token=token) as peer:
        view = View()
        await follow(peer, view, **given)
        return {row.get("name") for row in view.rows.values()}


async def test_only_staff_are_told_full_names_and_of_visitors_too(tmp_path):
    public = {"Ada1 L.", "Grace H.", "Vera"}
    full = {"Ada1 Lovelace", "Grace Brewster Hopper", "Vera"}
    async with stage(tmp_path / "hub.db") as one:
        await direct(one.url, sitting(), person(1))
        author = Author("other", "inc-7")
        async with joined(one.url, hello("other", "inc-7")) as peer:
            for who, name in (("v1", "Grace Brewster Hopper"), ("v2", "Vera")):
                await peer.push(author.body(kind="visitor", person=who, data={"name": name}))
        one.hire()
        kiosk = await one.paired()
        async with asyncio.timeout(10):
            staff = await one.signed_in()
        door, screen = hello(key=""), hello("screen", "x", key="")
        viewer = p.msgspec.structs.replace(screen, viewer=True)
        as_staff = p.msgspec.structs.replace(viewer, device=staff["device"])
        assert await names(one.url, kiosk["token"], door) == public
        assert await names(one.url, kiosk["token"], viewer) == public
        assert await names(one.url, staff["token"], as_staff) == full
        assert await names(one.url, staff["token"], as_staff, names="public") == public


async def test_a_room_that_a_token_is_not_for_gives_no_rows_either(path):
    foreign = session_room("evil", "s1")
    async with asked(path) as web, joined(web.url) as peer:
        await peer.say(p.Subscribe(foreign, rows=True))
        assert (await peer.get(p.Error)).code == "room"
        for way in ("poll", "sse"):
            where = WHO | {"room": foreign, "rows": "1"}
            assert (await web.ask("GET", f"/v1/{way}", params=where))[0] == 403
        wish = p.Poll([p.Subscribe(foreign, rows=True)])
        assert (await web.ask("POST", "/v1/poll", wish))[0] == 403


async def test_all_readers_of_one_kind_get_the_same_bytes(path, monkeypatch):
    author, made = Author(), []
    async with hub(path) as server, joined(server.url) as peer:
        await direct(server.url, sitting(), person(1), person(2))
        readers = [hello(f"v{n}") for n in range(4)]
        async with (
            joined(server.url, readers[0]) as a,
            joined(server.url, readers[1]) as b,
            joined(server.url, readers[2]) as c,
            joined(server.url, readers[3]) as d,
        ):
            for one, which in ((a, "full"), (b, "full"), (c, "public"), (d, "public")):
                await follow(one, View(), names=which)
            encode = p.encode
            monkeypatch.setattr(
                "sync.hub.frames.encode", lambda m: (made.append(type(m)), encode(m))[1]
            )
            await peer.push(author.body())
            heard = [p.encode(await one.get(p.Rows)) for one in (a, b, c, d)]
        assert heard[0] == heard[1] != heard[2] == heard[3]
        assert made.count(p.Rows) == 2


async def test_rows_have_the_same_bytes_on_every_transport(path):
    async with asked(path) as web, joined(web.url, hello("viewer")) as peer:
        await direct(web.url, sitting(), person(1))
        await follow(peer, View())
        view = View()
        _, found = await web.ask("POST", "/v1/poll", p.Poll([view.wish()]))
        assert all(view.take(message) for message in found)
        async with web.listening(ROOM, rows="1") as stream:
            await stream.get(p.Rows)
            waiting = asyncio.ensure_future(  # noqa: TID251  a request that is under way
                web.ask("POST", "/v1/poll", p.Poll([view.wish()], 10))
            )
            await until(lambda: web.server._core.transports()["polling"] == 1)
            await web.push(Author().body())
            over_websocket = p.encode(await peer.get(p.Rows))
            assert p.encode((await stream.get(p.Rows))[1]) == over_websocket
            assert json.dumps((await waiting)[1][-1], separators=(",", ":")).encode() == (
                over_websocket
            )


# -- cursors ---------------------------------------------------------------------------------------


async def test_a_short_gap_is_answered_by_what_changed_meanwhile(path):
    author, view = Author(), View()
    async with hub(path) as server, joined(server.url) as peer:
        await direct(server.url, sitting(), *(person(n) for n in range(1, 8)))
        async with joined(server.url, hello("reader")) as reader:
            await follow(reader, view)
        await peer.push(author.body(), author.body())
        await direct(server.url, person(6, first_name="Eve"))
        async with joined(server.url, hello("reader")) as reader:
            await reader.say(view.wish())
            frame = plain(await reader.get(p.Rows))
            assert {row["person"] for row in frame["rows"]} == {"p1", "p2", "p6"}
            assert view.take(frame)
            assert view.live
            assert view.shown == meant(path, full=True)
        async with joined(server.url, hello("reader")) as reader:
            await reader.say(view.wish())
            frame = plain(await reader.get(p.Rows))
            assert (frame.get("rows"), frame["live"]) == (None, True)
        assert view.snapshots == 1


async def test_a_browser_keeps_fewer_digits_of_its_cursor(path):
    clock, author, view = TestClock(), Author(), View()
    async with hub(path, clock) as server, joined(server.url) as peer:
        await direct(server.url, sitting(), *(person(n) for n in range(1, 4)))
        clock.now += NS + 1
        await peer.push(author.body())
        await follow(peer, view)
        exact = view.cursor["received"]
        view.cursor["received"] = int(float(exact))
        assert view.cursor["received"] != exact
        async with joined(server.url, hello("reader")) as reader:
            await reader.say(view.wish())
            assert not (await reader.get(p.Rows)).snapshot
        # Which of several it means cannot be told: then it is told everything.
        await peer.push(author.body())
        async with joined(server.url, hello("reader")) as reader:
            await reader.say(view.wish())
            assert (await reader.get(p.Rows)).snapshot


@pytest.mark.parametrize(
    "wrong",
    [{"epoch": "another"}, {"received": 17}, {"received": 2**62}, {"part": 1}, {"part": 2**40}],
)
async def test_a_cursor_that_means_nothing_brings_a_snapshot(path, wrong):
    view = View()
    async with hub(path) as server, joined(server.url) as peer:
        await direct(server.url, sitting(), person(1))
        await peer.push(Author().body())
        await follow(peer, view)
        view.cursor |= wrong
        async with joined(server.url, hello("reader")) as reader:
            await follow(reader, view)
        assert view.snapshots == 2
        assert view.shown == meant(path, full=True)


async def test_after_a_restart_a_cursor_is_good_if_nothing_has_happened(
    path,
):
    author, view = Author(), View()
    async with hub(path) as server, joined(server.url) as peer:
        await direct(server.url, sitting(), person(1), person(2))
        await peer.push(author.body())
        await follow(peer, view)
    async with hub(path) as server, joined(server.url, hello("reader")) as reader:
        await follow(reader, view)
        assert view.snapshots == 1
    async with hub(path) as server, joined(server.url) as peer:
        await peer.push(author.body())
        async with joined(server.url, hello("reader")) as reader:
            await follow(reader, view)
        assert view.snapshots == 2
        assert view.shown == meant(path, full=True)


async def test_a_large_roster_comes_in_pages_and_a_large_change_as_well(path, monkeypatch):
    monkeypatch.setattr("sync.hub.rowframes.PAGE_ROWS", 10)
    author, view = Author(), View()
    async with hub(path) as server, joined(server.url) as peer:
        await direct(server.url, sitting(), *(person(n) for n in range(1, 36)))
        await peer.say(view.wish())
        first = plain(await peer.get(p.Rows))
        assert (first["snapshot"], len(first["rows"]), first["part"]) == (True, 10, 10)
        assert "live" not in first
        assert view.take(first)
        while not view.live:
            assert view.take(plain(await peer.get(p.Rows)))
        assert (view.frames, view.snapshots) == (4, 1)
        assert view.shown == meant(path, full=True)
        # More at once than a frame takes: everybody gets it as a snapshot, nobody half of it.
        await peer.push(author.body(kind="session_closed", person=None, by=STAFF))
        await shows(peer, view, path, full=True)
        assert view.counts["absent"] == 35
        assert view.snapshots == 2
        assert view.live


async def test_a_poll_goes_on_within_a_snapshot(path, monkeypatch):
    monkeypatch.setattr("sync.hub.rowframes.PAGE_ROWS", 10)
    monkeypatch.setattr("sync.hub.polls.LAGGING", 2500)
    view, answers = View(), 0
    async with asked(path) as web:
        await direct(web.url, sitting(), *(person(n) for n in range(1, 96)))
        while not view.live:
            at = view.cursor
            cursor = at and f"{at['epoch']}:{at['offset']}.{at['received']}.{at.get('part', 0)}"
            where = WHO | {"room": ROOM, "cursor": cursor or "", "rows": "1"}
            status, found = await web.ask("GET", "/v1/poll", params=where)
            assert status == 200
            assert all(view.take(message) for message in found)
            answers += 1
        assert answers > 2
        assert view.snapshots == 1
        assert view.shown == meant(path, full=True)


async def test_a_stream_resumes_by_its_last_event_id(path):
    author, view, other = Author(), View(), session_room(ORG, "s2")
    async with asked(path) as web:
        await direct(web.url, sitting(), person(1), person(2))
        async with web.listening(ROOM, rows="1") as stream:
            id_, message = await stream.get(p.Rows)
            assert view.take(plain(message))
            at = view.cursor
            assert id_ == f"{at['epoch']}:0.{at['received']}"
            await web.push(author.body())
            id_, message = await stream.get(p.Rows)
            assert view.take(plain(message))
        await web.push(author.body())
        async with web.listening(ROOM, rows="1", headers={"Last-Event-ID": id_}) as stream:
            id_, message = await stream.get(p.Rows)
            assert [row.person for row in message.rows] == ["p2"]
            assert view.take(plain(message))
        assert view.shown == meant(path, full=True)
        assert view.snapshots == 1
        # Several rooms, of which one has none: the id speaks of all in the request's order.
        async with web.listening(SITE_ROOM, ROOM, other, rows="1") as stream:
            live = set()
            while live < {SITE_ROOM, ROOM, other}:
                id_, message = await stream.event()
                live |= {message.room} if message.live else set()
        site, ours, theirs = id_.partition(":")[2].split(",")
        assert (site, ours) == ("3", f"2.{view.cursor['received']}")
        assert theirs.startswith("0.")
        last = {"Last-Event-ID": id_}
        async with web.listening(SITE_ROOM, ROOM, other, rows="1", headers=last) as stream:
            found = [(await stream.event())[1] for _ in range(3)]
        assert not any(getattr(message, "snapshot", False) for message in found)


async def test_a_poll_waits_for_news_and_is_told_only_that(path):
    author, view = Author(), View()
    async with asked(path) as web:
        await direct(web.url, sitting(), person(1))
        assert (await web.ask("POST", "/v1/poll", p.Poll([view.wish()])))[0] == 200
        _, found = await web.ask("POST", "/v1/poll", p.Poll([view.wish()]))
        assert all(view.take(message) for message in found)
        waiting = asyncio.ensure_future(  # noqa: TID251  a request that is under way
            web.ask("POST", "/v1/poll", p.Poll([view.wish()], 10))
        )
        await until(lambda: web.server._core.transports()["polling"] == 1)
        await web.push(author.body(), params=KIOSK)
        _, found = await waiting
        assert all(view.take(message) for message in found)
        assert view.shown == meant(path, full=True)
        assert view.snapshots == 1


async def test_positions_tell_a_reader_of_rows_where_they_are(path):
    view = View()
    async with hub(path, position_every=0.05) as server, joined(server.url) as peer:
        await direct(server.url, sitting(), person(1))
        await follow(peer, view)
        position = await peer.get(p.Position)
        assert (position.head, position.received) == (0, view.cursor["received"])
        await direct(server.url, person(1, first_name="Eve"))
        await shows(peer, view, path, full=True)
        while (position := await peer.get(p.Position)).received != view.cursor["received"]:
            assert position.received < view.cursor["received"]
        assert view.take(plain(position))


async def test_rows_and_events_of_one_room_take_turns_as_they_are_asked_for(path):
    author, view = Author(), View()
    async with hub(path) as server, joined(server.url) as peer:
        await direct(server.url, sitting(), person(1))
        await follow(peer, view)
        assert await peer.follow(ROOM) == []
        await peer.push(author.body())
        assert len((await peer.get(p.Events)).items) == 1
        await follow(peer, view)
        assert view.shown == meant(path, full=True)
        await peer.push(author.body())
        await shows(peer, view, path, full=True)
        await peer.say(p.Unsubscribe(ROOM))
        await peer.push(author.body())
        await peer.say(p.Ping(1))
        await peer.get(p.Pong)
        assert not [m for m in peer.aside if isinstance(m, p.Rows | p.Events)]


async def test_rows_end_with_their_time_as_events_do(path):
    async with hub(path, position_every=0.05) as server, joined(server.url) as peer:
        await direct(server.url, sitting(), person(1))
        view = View()
        await follow(peer, view, ttl=0.1)
        assert (await peer.get(p.Unsubscribed)).room == ROOM
        await peer.push(Author().body())
        await follow(peer, view)
        assert view.shown == meant(path, full=True)
        assert view.snapshots == 1


# -- what it costs ---------------------------------------------------------------------------------


async def test_a_fold_is_shared_and_ends_a_while_after_its_last_reader(path, monkeypatch):
    monkeypatch.setattr("sync.hub.roster.LINGER", 0.05)
    async with hub(path) as server:
        rosters = server._core.rooms.rosters
        async with joined(server.url, hello("a")) as a, joined(server.url, hello("b")) as b:
            await follow(a, View())
            await follow(b, View())
            assert len(rosters._all) == 1
        await until(lambda: not rosters._all)
        assert not rosters._by_room


async def test_what_the_site_says_is_read_and_decoded_once_for_all_its_sessions(path, monkeypatch):
    author, views = Author(), [View(session_room(ORG, f"s{n}")) for n in range(1, 4)]
    decoded = []
    entry_of = rows.entry_of
    for where in ("roster", "sources"):
        monkeypatch.setattr(
            f"sync.hub.{where}.entry_of",
            lambda *both: (decoded.append(both[0]), entry_of(*both))[1],
        )
    async with hub(path) as server, joined(server.url) as peer:
        await direct(server.url, sitting(), person(1))
        readers = contextlib.AsyncExitStack()
        async with readers:
            for n, view in enumerate(views):
                one = await readers.enter_async_context(joined(server.url, hello(f"r{n}")))
                await follow(one, view)
                view.peer = one
            assert len(decoded) == 2
            await direct(server.url, person(1, first_name="Eve"), person(2))
            for view in views[:1]:
                await shows(view.peer, view, path, full=True)
            other = View(session_room(ORG, "s9"))
            await follow(peer, other)
            assert len(decoded) == len(set(decoded)) == 4
            await peer.push(author.body())
            await shows(views[0].peer, views[0], path, full=True)
            assert len(decoded) == 5
        rosters = server._core.rooms.rosters
        await peer.say(p.Unsubscribe(other.room))
        await until(lambda: not any(one.members for one in rosters._all.values()))
        rosters.close()
        await until(lambda: gc.collect() >= 0 and not rosters._sources)


async def test_folds_that_nobody_follows_make_room_and_then_it_is_full(path, monkeypatch):
    monkeypatch.setattr("sync.hub.rosters.MOST_EVENTS", 5)
    author, views = Author(), [View(session_room(ORG, f"s{n}")) for n in range(3)]
    async with hub(path) as server, joined(server.url) as peer:
        for view in views:
            name = view.room.rpartition("/")[2]
            await peer.push(*(author.body(room=view.room, session=name) for _ in range(3)))
        async with joined(server.url, hello("a")) as reader:
            await follow(reader, views[0])
        await follow(peer, views[1])
        assert len(server._core.rooms.rosters._all) == 1
        await peer.say(views[2].wish())
        error = await peer.get(p.Error)
        assert (error.code, error.after) == ("busy", 30.0)


async def test_a_fold_that_fails_sends_its_readers_away_and_is_made_anew(path, monkeypatch):
    author, view = Author(), View()
    async with hub(path) as server, joined(server.url) as peer:
        await direct(server.url, sitting(), person(1))
        async with joined(server.url, hello("a")) as reader:
            await follow(reader, view)
            with monkeypatch.context() as broken:
                broken.setattr("sync.hub.rows.Sheet.look", lambda _: 1 / 0)
                await peer.push(author.body())
                assert await reader.closed() == p.Close.TRY_LATER
        async with joined(server.url, hello("a")) as reader:
            await follow(reader, view)
            assert view.shown == meant(path, full=True)


async def test_neither_the_writer_nor_events_wait_for_a_slow_fold(path, monkeypatch):
    author, view, held = Author(), View(), []
    async with hub(path) as server, joined(server.url) as peer:
        await direct(server.url, sitting(), person(1), person(2))
        async with joined(server.url, hello("a")) as reader:
            await follow(reader, view)
            work = server._core.pages.work
            gate = asyncio.Event()

            async def later(do):
                held.append(do)
                await gate.wait()
                return await work(do)

            monkeypatch.setattr(server._core.pages, "work", later)
            await peer.follow(ROOM)
            await direct(server.url, person(1, first_name="Eve"))
            await until(lambda: held)
            await peer.push(author.body())
            assert len((await peer.get(p.Events)).items) == 1
            gate.set()
            await shows(reader, view, path, full=True)


async def test_a_plain_check_in_looks_at_its_row_only_and_wakes_no_thread(path, monkeypatch):
    author, view = Author(), View()
    async with hub(path) as server, joined(server.url) as peer:
        await direct(server.url, sitting(), *(person(n) for n in range(1, 4)))
        await follow(peer, view)
        monkeypatch.setattr("sync.hub.rows.Sheet._all", None)
        monkeypatch.setattr(server._core.pages, "work", None)
        await peer.push(author.body(), author.body(kind="check_out", person="p2"))
        await peer.push(
            author.body(kind="override", person="p1", by=STAFF, data={"status": "late"})
        )
        await peer.push(author.body(kind="help", room=SITE_ROOM, session=None, person=None))
        await shows(peer, view, path, full=True)
        assert view.rows["p1"]["status"] == "late"


async def test_a_reader_that_lags_recovers_by_its_cursor(path, monkeypatch):
    monkeypatch.setattr("sync.hub.members.LAGGING", -1)
    author, view = Author(), View()
    async with hub(path) as server, joined(server.url) as peer:
        await direct(server.url, sitting(), person(1), person(2))
        await follow(peer, view)
        await peer.push(author.body())
        await peer.push(author.body())
        await shows(peer, view, path, full=True)
        assert server._core.rooms.lagged
        assert view.snapshots == 1


async def test_what_was_let_go_of_is_said_and_the_rest_is_folded(path):
    author, view = Author(), View()
    async with hub(path) as server, joined(server.url) as peer:
        await direct(server.url, sitting(), person(1), person(3))
        await peer.push(*author.bodies(3))
    with sqlite3.connect(path) as db:
        db.execute("DELETE FROM event WHERE id IN (SELECT id FROM entry WHERE person = 'p1')")
    db.close()
    async with hub(path) as server, joined(server.url) as peer:
        await follow(peer, view)
        assert view.missing == 1
        assert view.rows["p1"]["status"] == "expected"
        assert view.shown == meant(path, full=True)


def test_the_fold_has_threads_of_its_own():
    """Pages are read while rows are folded: the two share no pool."""
    from sync.hub.pages import Pages  # noqa: PLC0415

    pages = Pages("nowhere")
    try:
        assert isinstance(pages._workers, ThreadPoolExecutor)
        assert pages._workers is not pages._pool
    finally:
        pages.close()
