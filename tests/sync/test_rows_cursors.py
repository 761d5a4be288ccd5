"""How a reader of rows goes on from its cursor, on every transport."""

from __future__ import annotations

import asyncio

import pytest

from kiosk.model import Author as By
from kiosk.model import session_room
from sync import protocol as p
from tests.sync.rig import NS, ORG, ROOM, SITE_ROOM, Author, TestClock, hello, hub, joined, until
from tests.sync.rowviews import View, direct, follow, meant, person, plain, shows, sitting
from tests.sync.test_hub_http import KIOSK, WHO, asked

STAFF = By("staff", "ines", 2)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "hub.db"


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


async def test_after_a_restart_a_cursor_is_good_if_nothing_has_happened(path):
    author, view = Author(), View()
    async with hub(path) as server, joined(server.url) as peer:
        await direct(server.url, sitting(), person(1), person(2))
        await peer.push(author.body())
        await direct(server.url, person(1, first_name="Eve"))  # of both rooms the last counts
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
