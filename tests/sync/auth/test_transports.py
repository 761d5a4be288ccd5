"""The same rights on every transport there is: WebSocket, SSE, polling, POST and REST."""

from __future__ import annotations

import asyncio
import http.client
import json
import time
from urllib.parse import urlencode, urlsplit

import pytest
from websockets.exceptions import ConnectionClosed

from kiosk.clock import NS
from kiosk.model import Author as By
from kiosk.model import Rank, session_room, site_room
from kiosk.tasks import spawn
from sync import protocol as p
from sync.hub.auth.limits import Limits, Rate
from sync.protocol import Close
from tests.sync.auth.rig import SEED, ask, public, stage
from tests.sync.rig import ORG, SITE, TOKEN, Author, hello, one_by_one, opened, signer, until

OWN = site_room(ORG, SITE)
SESSION = session_room(ORG, "s1")
FOREIGN = [site_room(ORG, "south"), site_room("evil", SITE), session_room("evil", "s1")]
STATUS = {401: Close.TOKEN, 403: Close.REVOKED, 429: Close.TRY_LATER}


def query(device="kiosk-1", org=ORG, site=SITE, **more):
    return urlencode({"org": org, "site": site, "device": device, "incarnation": "inc-1"} | more)


async def websocket(hub, token, room=OWN, device="kiosk-1", org=ORG, site=SITE, origin=None):
    headers = {"Origin": origin} if origin else None
    greeting = replace_hello(hello(device, org=org, key=""), site)
    async with opened(hub.url, token, headers) as peer:
        try:
            await peer.say(greeting)
            await peer.say(p.Subscribe(room))
            while True:
                message = await peer.hear()
                if isinstance(message, p.Error) and message.code == "room":
                    return Close.REVOKED
                if isinstance(message, p.Events):
                    return None
        except ConnectionClosed as error:  # the code says why
            return Close(error.rcvd.code)


def replace_hello(greeting, site):
    return p.msgspec.structs.replace(greeting, site=site)


async def poll(hub, token, room=OWN, device="kiosk-1", org=ORG, site=SITE, origin=None):
    path = "/v1/poll?" + query(device, org, site, room=room)
    return await _asked(hub, "GET", path, None, token, origin)


async def post_poll(hub, token, room=OWN, device="kiosk-1", org=ORG, site=SITE, origin=None):
    body = p.encode(p.Poll([p.Subscribe(room)]))
    return await _asked(hub, "POST", "/v1/poll?" + query(device, org, site), body, token, origin)


async def sse(hub, token, room=OWN, device="kiosk-1", org=ORG, site=SITE, origin=None):
    path = "/v1/sse?" + query(device, org, site, room=room)

    def work():
        parts = urlsplit(hub.url)
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=10)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        connection.request("GET", path, headers=headers | ({"Origin": origin} if origin else {}))
        try:
            return connection.getresponse().status
        finally:
            connection.close()

    status = await asyncio.get_running_loop().run_in_executor(None, work)
    return STATUS.get(status) if status != 200 else None


async def _asked(hub, method, path, body, token, origin=None):
    headers = {"Origin": origin} if origin else {}
    status, answer = await ask_any(hub.url, method, path, body, token, headers)
    assert status in (200, *STATUS), answer
    return STATUS.get(status)


async def ask_any(url, method, path, body, token, headers):
    def work():
        parts = urlsplit(url)
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=10)
        given = headers | ({"Authorization": f"Bearer {token}"} if token else {})
        try:
            connection.request(method, path, body, given)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read() or b"null")
        finally:
            connection.close()

    return await asyncio.get_running_loop().run_in_executor(None, work)


READING = [websocket, sse, poll, post_poll]


# -- scenario 17: role and room checks identical on WebSocket, SSE, polling and REST -------------


@pytest.mark.parametrize("way", READING)
async def test_a_kiosks_token_opens_its_rooms_and_no_others(tmp_path, way):
    async with stage(tmp_path) as hub:
        token = (await hub.paired())["token"]
        assert await way(hub, token) is None
        assert await way(hub, token, SESSION) is None
        for room in FOREIGN:
            assert await way(hub, token, room) is Close.REVOKED, room


@pytest.mark.parametrize("way", READING)
async def test_whoever_is_not_let_in_sees_why_in_the_same_words(tmp_path, way):
    async with stage(tmp_path) as hub:
        token = (await hub.paired())["token"]
        other = (await hub.paired("kiosk-2"))["token"]
        assert await way(hub, None) is Close.TOKEN
        assert await way(hub, "wrong") is Close.TOKEN
        assert await way(hub, other) is Close.TOKEN  # of another device
        assert await way(hub, token, site_room(ORG, "south"), site="south") is Close.TOKEN
        assert await way(hub, token, site_room("evil", SITE), org="evil") is Close.TOKEN
        assert await way(hub, token) is None
        hub.clock.now += 90 * 86_400 * NS
        assert await way(hub, token) is Close.TOKEN
        again = (await hub.paired())["token"]
        await hub.post("/v1/pairings/kiosk-1/revoke", token=TOKEN)
        assert await way(hub, again) is Close.REVOKED
        assert await way(hub, TOKEN) is Close.REVOKED  # nor with the hub's own


@pytest.mark.parametrize("way", READING)
async def test_a_foreign_page_is_refused_and_no_origin_is_welcome(tmp_path, way):
    async with stage(tmp_path) as hub:
        token = (await hub.paired())["token"]
        assert await way(hub, token, origin=hub.url) is None
        if way is websocket:  # refused before there is a WebSocket to close
            with pytest.raises(Exception, match="403"):
                await way(hub, token, origin="https://evil.example")
        else:
            assert await way(hub, token, origin="https://evil.example") is Close.REVOKED


@pytest.mark.parametrize("way", READING)
async def test_an_address_that_guesses_waits_on_every_transport(tmp_path, way):
    async with stage(tmp_path, limits=Limits(strangers=Rate(2, 0.01))) as hub:
        token = (await hub.paired())["token"]
        found = [await way(hub, "wrong") for _ in range(4)]
        assert found == [Close.TOKEN] * 2 + [Close.TRY_LATER] * 2
        assert await way(hub, token) is None


@pytest.mark.parametrize("way", READING)
async def test_staff_read_the_rooms_of_their_sites(tmp_path, way):
    async with stage(tmp_path) as hub:
        hub.hire(sites=(SITE,))
        await hub.gate.look()
        one = await hub.signed_in()
        who = {"device": one["device"]}
        assert await way(hub, one["token"], **who) is None
        assert await way(hub, one["token"], device="kiosk-1") is Close.TOKEN
        assert await way(hub, one["token"], FOREIGN[0], site="south", **who) is Close.TOKEN


async def test_rest_is_for_those_who_may(tmp_path):
    async with stage(tmp_path) as hub:
        hub.hire("ada", Rank.INSTRUCTOR)
        hub.hire("bob", Rank.ADMIN)
        await hub.gate.look()
        kiosk = (await hub.paired())["token"]
        ada, bob = [(await hub.signed_in(name))["token"] for name in ("ada", "bob")]
        where = f"?org={ORG}&site={SITE}"
        value = {"id": "m1", "first_name": "Mia"}
        record = json.dumps([{"record": "person", "id": "m1", "value": value}]).encode()
        person = json.dumps(value).encode()
        told = {}
        for name, token in (("kiosk", kiosk), ("ada", ada), ("bob", bob), ("hub", TOKEN)):
            told[name] = [
                (await ask_any(hub.url, method, path + where, body, token, {}))[0]
                for method, path, body in (
                    ("POST", "/v1/directory", record),
                    ("PUT", "/v1/people/m1", person),
                    ("GET", "/v1/people", None),
                    ("GET", "/v1/staff", None),
                )
            ]
        assert told == {
            "kiosk": [403, 403, 200, 200],
            "ada": [403, 403, 200, 403],
            "bob": [200, 200, 200, 200],
            "hub": [200, 200, 200, 200],
        }
        south = f"/v1/people?org={ORG}&site=south"
        assert (await ask_any(hub.url, "GET", south, None, bob, {}))[0] == 401


# -- pushes --------------------------------------------------------------------------------------


def seed_of(device):
    return signer(device, "inc-1")._key.private_bytes_raw()


async def _pushed(hub, token, bodies, device="kiosk-1"):
    message = p.Push(1, [p.msgspec.Raw(b) for b in bodies], [], one_by_one(bodies))
    path = "/v1/push?" + query(device)
    status, answer = await ask_any(hub.url, "POST", path, p.encode(message), token, {})
    return status, answer


async def test_a_paired_kiosk_pushes_and_its_key_is_the_pairings(tmp_path):
    async with stage(tmp_path) as hub:
        thief = replace_hello(hello(key=public(SEED)), SITE)
        assert (await hub.post("/v1/hello", p.encode(thief), TOKEN))[0] == 200
        token = (await hub.paired(seed=seed_of("kiosk-1")))["token"]
        assert (await hub.post("/v1/hello", p.encode(hello()), token))[0] == 200
        assert (await hub.post("/v1/hello", p.encode(thief), token))[0] == 401
        status, answer = await _pushed(hub, token, Author().bodies(2))
        assert status == 200
        assert [v["verdict"] for v in answer["verdicts"]] == ["ok", "ok"]
        assert (await _pushed(hub, token, Author("kiosk-2").bodies(1), "kiosk-2"))[0] == 401


async def test_staff_write_as_themselves_with_their_own_rank(tmp_path):
    async with stage(tmp_path) as hub:
        hub.hire("ada", Rank.INSTRUCTOR)
        await hub.gate.look()
        one = await hub.signed_in()
        author, given = Author(one["device"]), {"kind": "override", "data": {"status": "present"}}
        claims = [("ada", 2), ("ada", 3), ("bob", 2), (None, 0)]
        bodies = [author.body(by=By("staff", who, rank), **given) for who, rank in claims]
        bodies.append(Author("kiosk-7").body(by=By("staff", "ada", 2), **given))
        greeting = p.encode(hello(one["device"]))
        assert (await hub.post("/v1/hello", greeting, one["token"]))[0] == 200
        status, answer = await _pushed(hub, one["token"], bodies, one["device"])
        assert status == 200
        found = [(v["verdict"], v.get("code", "")) for v in answer["verdicts"]]
        assert found == [("ok", ""), *[("quarantined", "right")] * 4]


async def test_what_others_bring_of_a_revoked_kiosk_is_set_apart(tmp_path):
    async with stage(tmp_path) as hub:
        await hub.paired("stolen", seed=seed_of("stolen"))
        bodies = Author("stolen").bodies(2)
        status, answer = await _pushed(hub, TOKEN, bodies[:1])
        assert [v["verdict"] for v in answer["verdicts"]] == ["ok"]
        await hub.post("/v1/pairings/stolen/revoke", token=TOKEN)
        status, answer = await _pushed(hub, TOKEN, bodies[1:])
        assert status == 200
        assert [(v["verdict"], v["code"]) for v in answer["verdicts"]] == [
            ("quarantined", "revoked")
        ]


# -- in mid-connection ---------------------------------------------------------------------------


async def _lines_of(hub, token):
    """An open event stream, as a reader of its lines."""
    parts = urlsplit(hub.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    path = "/v1/sse?" + query(device="", room=OWN)  # a viewer: it is not superseded
    head = f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nAuthorization: Bearer {token}\r\n\r\n"
    writer.write(head.encode())
    assert b"200" in await reader.readline()
    return reader, writer


async def _end_of(hub, token):
    """A cursor behind which there is nothing yet, so that a poll waits."""
    pages = (await hub.get("/v1/poll?" + query(device="", room=OWN), token))[1]
    return f"{pages[-1]['epoch']}:{pages[-1]['offset']}"


@pytest.mark.parametrize("cause", ["revoked", "expired"])
async def test_live_connections_end_within_five_seconds_with_the_reason(tmp_path, cause):
    async with stage(tmp_path) as hub:
        token = (await hub.paired())["token"]
        code = Close.REVOKED if cause == "revoked" else Close.TOKEN
        reader, writer = await _lines_of(hub, token)
        path = "/v1/poll?" + query(device="", room=OWN, cursor=await _end_of(hub, token), wait="30")
        waiting = spawn(hub.get(path, token), "poll")
        await until(lambda: hub.server._core.transports()["polling"] == 1)
        try:
            async with opened(hub.url, token) as peer:
                await peer.say(hello(key=""))
                await peer.get(p.Welcome)
                began = time.monotonic()
                if cause == "revoked":
                    hub.register.revoke("kiosk-1", hub.clock.now)  # as a command does
                else:
                    hub.clock.now += 90 * 86_400 * NS
                assert await peer.closed() == code
                rest = await asyncio.wait_for(reader.read(), 10)
                status, answer = await asyncio.wait_for(waiting, 10)
                assert time.monotonic() - began < 5
            told = {"revoked": (403, "revoked"), "expired": (401, "token")}
            assert (status, answer["code"]) == told[cause]
            assert f"closed {code.value}".encode() in rest
        finally:
            writer.close()


async def test_a_renewed_token_keeps_the_connection(tmp_path):
    async with stage(tmp_path) as hub:
        one = await hub.paired()
        async with opened(hub.url, one["token"]) as peer:
            await peer.say(hello(key=""))
            await peer.get(p.Welcome)
            hub.clock.now += (one["expires_in"] - 1) * NS
            assert (await hub.post("/v1/renew", token=one["token"]))[0] == 200
            hub.clock.now += 2 * NS
            await hub.gate.look()
            await peer.say(p.Ping(7))
            assert (await peer.get(p.Pong)).echo == 7


async def test_a_device_that_connects_all_the_time_is_told_1013_and_when(tmp_path):
    async with stage(tmp_path, limits=Limits(devices=Rate(1, 0.1))) as hub:
        token = (await hub.paired())["token"]
        for code in (None, Close.TRY_LATER):
            async with opened(hub.url, token) as peer:
                await peer.say(hello(key=""))
                if code is None:
                    await peer.get(p.Welcome)
                else:
                    assert 5 < (await peer.get(p.Error)).after <= 10
                    assert await peer.closed() == code


@pytest.mark.parametrize("way", READING)
async def test_a_device_that_asks_too_much_waits_whatever_it_asks_by(tmp_path, way):
    async with stage(tmp_path, limits=Limits(requests=Rate(8, 0.01))) as hub:
        token, other = (await hub.paired())["token"], (await hub.paired("kiosk-2"))["token"]
        for path, body in (("/v1/ping", p.Ping(1)), (f"/v1/push?{query()}", p.Push(1, []))) * 4:
            assert (await hub.post(path, p.encode(body), token))[0] == 200
        for path in ("/v1/ping", f"/v1/push?{query()}"):
            status, answer = await hub.post(path, p.encode(p.Ping(1)), token)
            assert (status, answer["code"]) == (429, "busy")
            assert 0 < answer["after"] <= 100
        assert await way(hub, token) is Close.TRY_LATER
        assert await way(hub, other, device="kiosk-2") is None


async def test_the_first_kiosk_of_a_site_finds_its_staff_and_its_own_name_there(tmp_path):
    async with stage(tmp_path) as hub:
        hub.hire()
        token = (await hub.paired())["token"]
        path = f"/v1/%s?org={ORG}&site={SITE}"
        found = {}
        async with asyncio.timeout(10):
            while not ("staff" in found and "devices" in found):
                for kind in ("staff", "devices"):
                    items = (await ask(hub.url, "GET", path % kind, None, token))[1]["items"]
                    found |= {kind: items[0]["value"]} if items else {}
                await asyncio.sleep(0.02)  # why: the hub's writer is asked by its answers only
        assert (found["staff"]["id"], found["staff"]["rank"]) == ("ada", 2)
        assert found["devices"]["id"] == "kiosk-1"


async def test_staff_and_devices_are_told_to_their_sites_kiosks(tmp_path):
    async with stage(tmp_path) as hub:
        token = (await hub.paired())["token"]
        assert (await hub.post("/v1/hello", p.encode(hello(key="")), token))[0] == 200
        hub.hire()
        await hub.gate.look()
        path = "/v1/poll?" + query(room=OWN)

        async def told():
            pages = (await ask(hub.url, "GET", path, None, token))[1]
            items = [item["event"]["data"] for page in pages for item in page.get("items", ())]
            return {item["record"]: item["value"] for item in items}

        found = await told()
        while "staff" not in found:
            await asyncio.sleep(0.02)  # why: the hub's writer is asked through the log only
            found = await told()
        assert (found["staff"]["id"], found["staff"]["rank"]) == ("ada", 2)


async def test_refusals_name_the_device_and_the_way_it_came(tmp_path):
    async with stage(tmp_path) as hub:
        for way in READING:
            await way(hub, "wrong", device="kiosk-9")
        await hub.gate.look()
        await until(lambda: len(hub.register.denials(9)) == len(READING))
        found = {(d.what, d.code, d.address) for d in hub.register.denials(9)}
        assert found == {
            ("GET /v1/ws", "token", "127.0.0.1"),
            ("GET /v1/sse", "token", "127.0.0.1"),
            ("GET /v1/poll", "token", "127.0.0.1"),
            ("POST /v1/poll", "token", "127.0.0.1"),
        }
