"""Rows in place of events: what is shown, and who is told what."""

from __future__ import annotations

import asyncio
import json

import pytest

from kiosk.model import Author as By
from kiosk.model import session_room
from sync import protocol as p
from tests.sync.auth.rig import stage
from tests.sync.rig import NS, ROOM, SITE_ROOM, Author, hello, hub, joined, until
from tests.sync.rowviews import START, View, direct, follow, meant, person, plain, shows, sitting
from tests.sync.test_hub_http import WHO, asked

STAFF = By("staff", "ines", 2)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "hub.db"


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
