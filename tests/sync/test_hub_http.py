from __future__ import annotations

import asyncio
import contextlib
import json
import re
from pathlib import Path
from typing import get_args

import aiohttp
import msgspec
import pytest

from sync import protocol as p
from tests.sync.rig import (
    ORG,
    ROOM,
    SITE,
    SITE_ROOM,
    TOKEN,
    Author,
    hello,
    hub,
    joined,
    one_by_one,
    until,
)

WHO = {"org": ORG, "site": SITE}
KIOSK = WHO | {"device": "kiosk-1", "incarnation": "inc-1"}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "hub.db"


class Web:
    """Plain requests to a hub."""

    def __init__(self, url, session):
        self.url, self.session = url, session

    async def ask(self, method, path, body=None, params=WHO, **given):
        data = p.encode(body) if isinstance(body, msgspec.Struct) else body
        async with self.session.request(
            method, self.url + path, data=data, params=params, **given
        ) as response:
            answer = await response.read()
            kind = response.content_type
            return response.status, json.loads(answer) if answer and "json" in kind else answer

    async def push(self, *bodies, params=KIOSK):
        raw = [p.msgspec.Raw(body) for body in bodies]
        return await self.ask("POST", "/v1/push", p.Push(7, raw, [], one_by_one(bodies)), params)

    @contextlib.asynccontextmanager
    async def listening(self, *rooms, headers=None, **more):
        params = [*WHO.items(), *(("room", room) for room in rooms), *more.items()]
        async with self.session.get(
            self.url + "/v1/sse", params=params, headers=headers
        ) as response:
            assert response.status == 200, await response.text()
            assert response.content_type == "text/event-stream"
            yield Listener(response)


class Listener:
    """An event stream as a browser reads it: blocks of lines."""

    def __init__(self, response):
        self.response = response
        self.comments = []

    async def event(self):
        """The next event with data: its id and the message."""
        id_, data = None, []
        async with asyncio.timeout(10):
            while line := await self.response.content.readline():
                line = line.rstrip(b"\n")
                if line.startswith(b":"):
                    self.comments.append(line)
                elif line.startswith(b"id: "):
                    id_ = line[4:].decode()
                elif line.startswith(b"data: "):
                    data.append(line[6:])
                elif not line and data:
                    return id_, p.decode_from_hub(b"\n".join(data))
        raise EOFError

    async def get(self, kind):
        while not isinstance((found := await self.event())[1], kind):
            pass
        return found


@contextlib.asynccontextmanager
async def asked(path, **given):
    async with hub(path, **given) as server:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with aiohttp.ClientSession(headers=headers) as session:
            web = Web(server.url, session)
            web.server = server
            yield web


# -- one word on every transport -------------------------------------------------------------------


async def test_an_event_has_the_same_bytes_on_every_transport(path):
    body = Author("kiosk-1").body(data={"note": 'quote " and ü'})
    async with asked(path) as web, joined(web.url, hello("viewer")) as peer:
        await peer.follow()
        async with web.listening(ROOM) as stream:
            await stream.get(p.Events)
            waiting = asyncio.ensure_future(  # noqa: TID251  a request that is under way
                web.ask("GET", "/v1/poll", params=WHO | {"room": ROOM, "wait": "10"})
            )
            await until(lambda: web.server._core.transports()["polling"] == 1)
            status, ack = await web.push(body)
            over_websocket = await peer.get(p.Events)
            over_sse = (await stream.get(p.Events))[1]
            status, polled = await waiting
        assert (status, ack["batch"], ack["verdicts"][0]["verdict"]) == (200, 7, "ok")
        over_poll = p.decode_from_hub(json.dumps(polled[-1]))
        assert bytes(over_websocket.items[0].event) == bytes(over_sse.items[0].event) == body
        assert p.encode(over_sse) == p.encode(over_websocket)
        assert msgspec.json.decode(bytes(over_poll.items[0].event)) == msgspec.json.decode(body)
        assert over_poll.items[0].envelope == over_sse.items[0].envelope
        assert msgspec.to_builtins(over_sse.items[0].envelope) == ack["verdicts"][0]["envelope"]


async def test_a_deflated_frame_says_the_same(path):
    bodies = Author().bodies(20)
    async with hub(path) as server:
        async with joined(server.url) as plain:
            await plain.push(*bodies)
            expected = await plain.follow()
        where = server.url.replace("http", "ws") + p.PATH
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.ws_connect(where, compress=15) as socket,
        ):
            assert socket.compress == 15
            await socket.send_bytes(p.encode(hello("viewer")))
            await socket.receive(10)
            for _ in range(2):  # the second would fail if a context were kept on one side only
                await socket.send_bytes(p.encode(p.Subscribe(ROOM)))
                page = p.decode_from_hub((await socket.receive(10)).data)
                assert [bytes(i.event) for i in page.items] == [bytes(i.event) for i in expected]
            await socket.send_bytes(b"not json")
            error = p.decode_from_hub((await socket.receive(10)).data)
            assert error.code == "malformed"


async def test_a_stream_tells_ids_that_resume_all_its_rooms(path):
    author = Author()
    async with asked(path) as web:
        await web.push(*author.bodies(3), author.body(room=SITE_ROOM, session=None))
        async with web.listening(ROOM, SITE_ROOM) as stream:
            seen = {}
            while len(seen) < 2:
                id_, page = await stream.get(p.Events)
                seen[page.room] = page.offset
            epoch = page.epoch
            assert id_ == f"{epoch}:3,1"
        await web.push(author.body())
        async with web.listening(ROOM, SITE_ROOM, headers={"Last-Event-ID": id_}) as stream:
            pages = [(await stream.get(p.Events))[1] for _ in range(2)]
            found = {page.room: [i.envelope.offset for i in page.items] for page in pages}
            assert found == {ROOM: [4], SITE_ROOM: []}
        async with web.listening(ROOM, cursor=f"{epoch}:2") as stream:
            id_, page = await stream.get(p.Events)
            assert [item.envelope.offset for item in page.items] == [3, 4]
            assert id_ == f"{epoch}:4"


async def test_a_silent_stream_shows_that_it_lives_and_where_its_rooms_end(path, monkeypatch):
    monkeypatch.setattr("sync.hub.streams._BEAT_EVERY", 0.05)
    monkeypatch.setattr("sync.hub.server._TICK", 0.05)
    async with asked(path, position_every=0.3) as web, web.listening(ROOM) as stream:
        assert (await stream.get(p.Position))[1].head == 0
        assert stream.comments[0] == b": open"
        assert b": beat" in stream.comments


async def test_a_browsers_token_may_come_in_the_address_of_a_stream_only(path):
    async with hub(path) as server, aiohttp.ClientSession() as session:
        web = Web(server.url, session)
        async with web.listening(ROOM, access_token=TOKEN) as stream:
            await stream.get(p.Events)
        with_token = WHO | {"room": ROOM, "access_token": TOKEN}
        assert (await web.ask("GET", "/v1/poll", params=with_token))[0] == 401


async def test_a_poll_answers_at_once_what_is_missed_and_waits_for_what_is_new(path):
    author = Author()
    async with asked(path) as web:
        await web.push(*author.bodies(300))
        cursor, seen = None, []
        while len(seen) < 300:
            wish = p.Poll([p.Subscribe(ROOM, cursor)], 5)
            _, messages = await web.ask("POST", "/v1/poll", wish)
            for message in messages:
                page = p.decode_from_hub(json.dumps(message))
                seen += [item.envelope.offset for item in page.items]
                cursor = p.Cursor(page.epoch, page.offset)
        assert seen == list(range(1, 301))
        _status, messages = await web.ask(
            "GET", "/v1/poll", params=WHO | {"room": ROOM, "cursor": f"{cursor.epoch}:300"}
        )
        assert [m["type"] for m in messages] == ["events"]
        assert messages[0]["live"]
        _, messages = await web.ask(
            "GET", "/v1/poll", params=WHO | {"room": ROOM, "cursor": "another:5"}
        )
        assert [m["type"] for m in messages][:2] == ["reset", "events"]


# -- who may what ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "where"),
    [
        ("POST", "/v1/push"),
        ("GET", "/v1/sse"),
        ("GET", "/v1/poll"),
        ("POST", "/v1/subscribe"),
        ("GET", "/v1/people"),
        ("PUT", "/v1/people/p1"),
        ("POST", "/v1/directory"),
        ("GET", "/metrics"),
        ("GET", "/health/websocket"),
    ],
)
async def test_without_the_token_nothing_is_told_or_taken(path, method, where):
    async with hub(path) as server, aiohttp.ClientSession() as session:
        web = Web(server.url, session)
        status, answer = await web.ask(method, where)
        assert (status, answer["code"]) == (401, "token")
        foreign = {"Authorization": f"Bearer {TOKEN}", "Origin": "https://evil.example"}
        status, answer = await web.ask(method, where, headers=foreign)
        assert (status, answer["code"]) == (403, "origin")


@pytest.mark.parametrize("room", ["org/other/site/north", "org/acme/site/south", "nonsense"])
async def test_rooms_of_others_are_refused_on_every_transport(path, room):
    async with asked(path) as web, joined(web.url) as peer:
        for where in ("/v1/sse", "/v1/poll"):
            status, answer = await web.ask("GET", where, params=WHO | {"room": room})
            assert (status, answer["code"]) == (403, "room")
        await peer.say(p.Subscribe(room))
        assert (await peer.get(p.Error)).code == "room"


async def test_a_viewer_follows_and_pushes_nothing(path):
    async with asked(path) as web:
        assert (await web.push(Author().body(), params=WHO))[0] == 400
        greeting = msgspec.structs.replace(hello("screen"), viewer=True)
        async with joined(web.url, greeting) as one, joined(web.url, greeting) as two:
            await two.follow()
            raw = p.msgspec.Raw(Author().body())
            await one.say(p.Push(1, [raw]))
            assert (await one.get(p.Error)).code == "viewer"
            await web.push(Author().body())
            assert (await two.get(p.Events)).offset == 1


# -- what can be asked for -------------------------------------------------------------------------


async def test_only_the_kinds_that_were_asked_for_come_and_offsets_count_on(path):
    author = Author()
    async with asked(path) as web, joined(web.url, hello("viewer")) as peer:
        await web.push(author.body(), author.body(kind="check_out"), author.body())
        items = await peer.follow(kinds=["check_out"])
        assert [item.envelope.offset for item in items] == [2]
        await web.push(author.body(), author.body(kind="check_out"))
        page = await peer.get(p.Events)
        assert (page.after, page.offset, len(page.items)) == (3, 5, 1)
        await web.push(author.body())
        page = await peer.get(p.Events)
        assert (page.after, page.offset, page.items) == (5, 6, [])
        assert page.received > 0


async def test_a_subscription_with_a_time_to_live_ends_and_says_so(path):
    author = Author()
    async with asked(path, position_every=0.05) as web, joined(web.url, hello("viewer")) as peer:
        await web.push(author.body())
        await peer.follow(ttl=0.1)
        assert await peer.get(p.Unsubscribed) == p.Unsubscribed(ROOM, peer.welcome.epoch, 1)
        await web.push(author.body())
        await peer.say(p.Ping(1))
        await peer.get(p.Pong)
        assert not any(isinstance(m, p.Events) for m in peer.aside)


async def test_unsubscribed_means_no_more_events(path):
    async with asked(path) as web, joined(web.url, hello("viewer")) as peer:
        await peer.follow()
        await peer.say(p.Unsubscribe(ROOM))
        await peer.say(p.Ping(1))
        await peer.get(p.Pong)
        await web.push(Author().body())
        await peer.say(p.Ping(2))
        await peer.get(p.Pong)
        assert not any(isinstance(m, p.Events) for m in peer.aside)


async def test_presence_tells_which_kiosks_come_and_go(path):
    async with hub(path) as server, joined(server.url, hello("desk")) as watcher:
        await watcher.say(p.Subscribe(ROOM, presence=True))
        here = await watcher.get(p.Presence)
        assert (here.change, [k.device for k in here.kiosks]) == ("here", ["desk"])
        async with joined(server.url, hello("door")) as door:
            await door.follow()
            change = await watcher.get(p.Presence)
            assert (change.change, change.kiosks) == ("join", [p.Kiosk("door", "a kiosk")])
            await door.follow()  # anew: neither a leave nor a join
        assert (await watcher.get(p.Presence)).change == "leave"


# -- the directory ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("people", {"id": "a/b", "first_name": "Ada"}),
        (
            "sessions",
            {"id": "a/b", "title": "Choir", "zone": "Europe/London", "starts": 1, "ends": 2},
        ),
        ("devices", {"place": "North", "travel": {"South": 10}}),
    ],
)
async def test_records_are_put_read_and_listed_and_each_change_is_an_event(path, kind, value):
    async with asked(path) as web, joined(web.url) as peer:
        await peer.follow(SITE_ROOM)
        where = f"/v1/{kind}/a%2Fb"
        status, made = await web.ask("PUT", where, json.dumps(value).encode())
        assert (status, made["value"], made["id"]) == (200, value, "a/b")
        page = await peer.get(p.Events)
        assert msgspec.json.decode(page.items[0].event)["data"]["value"] == value
        assert await web.ask("GET", where) == (200, made)
        assert await web.ask("PUT", where, json.dumps(value).encode()) == (200, made)
        status, listed = await web.ask("GET", f"/v1/{kind}")
        assert listed == {"items": [made], "next": None}
        assert (await web.ask("GET", f"/v1/{kind}/nobody"))[0] == 404
        assert (await web.ask("PUT", where, b"[1]"))[0] == 400


async def test_a_long_list_comes_in_pages(path):
    async with asked(path) as web:
        records = [
            {"record": "person", "id": f"p{n:03}", "value": {"id": f"p{n:03}", "first_name": "A"}}
            for n in range(25)
        ]
        await web.ask("POST", "/v1/directory", json.dumps(records).encode())
        found, after = [], ""
        while after is not None:
            page = (
                await web.ask("GET", "/v1/people", params=WHO | {"limit": "10", "after": after})
            )[1]
            found += [item["id"] for item in page["items"]]
            after = page["next"]
        assert found == [f"p{n:03}" for n in range(25)]


# -- how it is -------------------------------------------------------------------------------------


async def test_the_openapi_document_is_what_the_router_does(path):
    async with asked(path) as web:
        status, document = await web.ask("GET", "/openapi.json")
        described = {
            (method.upper(), where)
            for where, methods in document["paths"].items()
            for method in methods
        }
        app = web.server._runner.app
        routed = {
            (route.method, route.resource.canonical)
            for route in app.router.routes()
            if route.method != "HEAD"
        }
        assert described == routed
        schemas = document["components"]["schemas"]
        event = {"$ref": "#/components/schemas/Event"}
        assert schemas["Push"]["properties"]["events"]["items"] == event
        assert {"kseq", "prev", "hash"} <= schemas["Event"]["properties"].keys()
        text = json.dumps(document)
        for name in re.findall(r'"#/components/schemas/([^"]+)"', text):
            assert name in document["components"]["schemas"]
        for method, where in described:
            operation = document["paths"][where][method.lower()]
            named = {q["name"] for q in operation["parameters"] if q["in"] == "path"}
            assert named == set(re.findall(r"{(\w+)}", where))
            async with aiohttp.ClientSession() as session:
                bare = Web(web.url, session)
                status, _ = await bare.ask(method, where.replace("{id}", "x"), params={})
                assert status in (401, 429) or not operation["security"]


async def test_metrics_and_health_count_what_happens(path):
    async with asked(path) as web, joined(web.url) as peer:
        await peer.follow()
        await web.push(*Author("kiosk-2").bodies(3), b'{"junk":1}')
        async with web.listening(ROOM) as stream:
            await stream.get(p.Events)
            _status, live = await web.ask("GET", "/health/websocket")
            assert (live["transports"]["websocket"], live["transports"]["sse"]) == (1, 1)
            assert live["rooms"] == {ROOM: 2}
            await web.ask("GET", "/v1/poll", params=WHO | {"room": "nonsense"})
            _, text = await web.ask("GET", "/metrics")
        lines = dict(
            line.rsplit(" ", 1) for line in text.decode().splitlines() if not line.startswith("#")
        )
        assert lines['whorl_events_total{verdict="ok"}'] == "3.0"
        assert lines['whorl_events_total{verdict="quarantined"}'] == "1.0"
        assert lines['whorl_connections{transport="sse"}'] == "1.0"
        assert lines['whorl_denials_total{code="room"}'] == "1.0"
        assert float(lines["whorl_commit_seconds_count"]) >= 1


def test_the_page_on_the_protocol_names_every_message_close_code_and_request():
    text = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text()
    for kind in (*get_args(p.FromKiosk), *get_args(p.FromHub)):
        assert f'"type":"{kind.__struct_config__.tag}"' in text
        for field in kind.__struct_fields__:
            assert field in text, (kind, field)
    for code in p.Close:
        assert str(code.value) in text
    for path in ("hello", "push", "ping", "sse", "subscribe", "poll", "directory", "people", "ws"):
        assert f"/v1/{path}" in text
