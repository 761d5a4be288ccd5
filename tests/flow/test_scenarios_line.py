"""What a kiosk promises, scenario by scenario, with real stores and a real hub (15 to 27)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from dataclasses import replace

import aiohttp
import jwt
import msgspec
import pytest

from drivers.badge import BadgeFormat, BadgeParser
from kiosk.clock import NS
from kiosk.model import Kind, LinkState, OutcomeKind, Status, decode_event, session_room
from sync import protocol as p
from sync.client.pacing import Backoff, Pacing
from tests.flow.scene import (
    BEGAN,
    TRANSPORTS,
    WHO,
    directed,
    door,
    moved,
    person,
    port_of,
    records,
    same,
    viewing,
)
from tests.kiosk.test_hub_commands import PIN, told
from tests.sync.auth.rig import stage
from tests.sync.auth.test_transports import READING, ask_any
from tests.sync.false_hubs import accept_then_close, false_hub, junk_after_welcome
from tests.sync.kiosks import QUICK
from tests.sync.proxy import proxied
from tests.sync.rig import (
    ORG,
    ROOM,
    SITE,
    SITE_ROOM,
    TOKEN,
    Author,
    TestClock,
    hello,
    hub,
    joined,
    one_by_one,
    opened,
    until,
)
from tests.sync.test_hub_http import asked

SCREENLESS = True


@pytest.fixture
def path(tmp_path):
    return tmp_path / "hub.db"


async def test_15_a_burst_of_1000_reaches_a_slow_viewer_whole(path):
    narrow = socket.socket()
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    async with hub(path) as server, joined(server.url) as author:
        narrow.connect(("127.0.0.1", port_of(server.url)))
        greeting = hello("slow", key="")
        async with joined(server.url, greeting, sock=narrow, max_queue=1) as slow:
            await slow.follow()
            (line,) = [one for one in server._core.connections.values() if one._who.key == ""]
            sending = line._transport.get_extra_info("socket")
            sending.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
            writer = Author()
            for _ in range(20):
                await author.push(*(writer.body(data={"note": "x" * 2000}) for _ in range(50)))
            assert server._core.rooms.lagged
            offsets = []
            while len(offsets) < 1000:
                page = await slow.get(p.Events)
                assert page.after == len(offsets)
                offsets += [item.envelope.offset for item in page.items]
        assert offsets == list(range(1, 1001))


async def test_16_after_any_end_the_line_comes_back_for_ever_and_climbs_to_the_websocket(
    path, tmp_path
):
    pacing = replace(QUICK, connect=1.0, greeting=1.0, silence=1.5, climb=0.2)
    async with hub(path) as server:
        await directed(server)
        port = port_of(server.url)
        first = door(tmp_path, server.url, "a", pacing=pacing)
        one = await first.__aenter__()
        await one.opens()
        await one.settled()
    try:
        await one.reaches(LinkState.OFFLINE)
        await until(lambda: one.status.attempt >= 8)  # a long outage
        await one.tap(0)
        async with hub(path, port=port) as server:
            await one.settled()
            assert one.status.transport == "websocket"
    finally:
        await first.__aexit__(None, None, None)
    for code in (1000, 1001, 1012, 1013):
        async with (
            false_hub(lambda socket, code=code: socket.close(code)) as leaving,
            door(tmp_path, leaving.url, "a", pacing=pacing),
        ):
            await until(lambda leaving=leaving: len(leaving.times) >= 3)
    waits = Backoff(Pacing(), lambda low, high: high)
    assert [waits.wait() for _ in range(500)][-1] == 60
    async with (
        hub(path) as server,
        proxied(server.url, refuse=502) as proxy,
        door(tmp_path, proxy.url, "a", pacing=pacing) as one,
    ):
        await one.reaches(LinkState.LIMITED_SSE)
        proxy.refuse = None
        await one.tap(1)
        await one.settled()
        assert one.status.transport == "websocket"


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")  # such are guessed
@pytest.mark.parametrize("way", READING)
async def test_17_who_may_come_in_is_the_same_on_every_transport_and_the_reason_is_seen(
    tmp_path, way
):
    async with stage(tmp_path) as shop:
        token = (await shop.paired())["token"]
        assert await way(shop, token) is None  # from a client without an Origin
        claims = jwt.decode(token, options={"verify_signature": False})
        header = jwt.get_unverified_header(token)
        for secret in ("", "default_secret", "secret", "changeme"):
            with contextlib.suppress(jwt.InvalidKeyError):
                forged = jwt.encode(claims, secret, "HS256", header | {"alg": "HS256"})
                assert await way(shop, forged) is p.Close.TOKEN
        unsigned = jwt.encode(claims, None, "none", header | {"alg": "none"})
        for wrong in (None, "nonsense", unsigned):
            assert await way(shop, wrong) is p.Close.TOKEN
        assert await way(shop, token, session_room("evil", "s1")) is p.Close.REVOKED
        async with opened(shop.url, token) as peer:
            await peer.say(hello(key=""))
            await peer.get(p.Welcome)
            shop.clock.now += 90 * 86_400 * NS
            assert await peer.closed() == p.Close.TOKEN  # in mid-connection, and visibly
        assert await way(shop, token) is p.Close.TOKEN


async def test_18_a_half_open_socket_is_found_by_the_missing_pong_and_the_pill_says_so(
    path, tmp_path
):
    pacing = replace(QUICK, ping=0.3, connect=0.5, greeting=0.5, climb=0.2)
    async with hub(path) as server, proxied(server.url) as proxy:
        await directed(server)
        async with door(tmp_path, proxy.url, "a", pacing=pacing) as one:
            await one.opens()
            await one.settled()
            assert one.status.state is LinkState.ONLINE
            exchanged = one.status.last_exchange
            proxy.silent = True
            moved(60, one.clock)
            await one.reaches(LinkState.OFFLINE, 5)
            assert (one.status.transport, one.status.last_exchange) == ("", exchanged)
            await one.tap(0)
            await until(lambda: one.status.held == 1)
            proxy.silent = False
            proxy.cut()
            await one.settled()
            assert one.status.held == 0


async def test_19_an_event_stream_resumes_by_last_event_id_beats_and_is_not_held_back(
    path, monkeypatch
):
    monkeypatch.setattr("sync.hub.streams._BEAT_EVERY", 0.05)
    monkeypatch.setattr("sync.hub.server._TICK", 0.05)
    mine, others = Author("kiosk-1"), Author("kiosk-2")
    async with asked(path) as web, joined(web.url, hello("kiosk-2")) as noise:
        await web.push(*mine.bodies(2))
        async with web.listening(ROOM) as stream:
            headers = stream.response.headers
            assert (headers["Cache-Control"], headers["X-Accel-Buffering"]) == ("no-store", "no")
            last, page = await stream.get(p.Events)
            assert last == f"{page.epoch}:2"
            elsewhere = {"room": ROOM + "x", "session": "s1x"}
            await noise.push(*(others.body(**elsewhere) for _ in range(300)))
            await until(lambda: web.server._core.rooms)
            await web.push(mine.body())
            assert [i.envelope.offset for i in (await stream.get(p.Events))[1].items] == [3]
            while b": beat" not in stream.comments:
                line = await asyncio.wait_for(stream.response.content.readline(), 5)
                stream.comments.append(line.rstrip(b"\n"))
        await web.push(*mine.bodies(2))
        async with web.listening(ROOM, headers={"Last-Event-ID": last}) as stream:
            page = (await stream.get(p.Events))[1]
            assert [item.envelope.offset for item in page.items] == [3, 4, 5]


async def test_20_acks_find_their_pushes_with_several_in_flight(path):
    author = Author()
    batches = [author.bodies(n) for n in (3, 1, 5)]
    batches[1].append(b'"junk"')
    async with asked(path) as web, joined(web.url) as peer:
        for number, batch in enumerate(batches, 70):
            raw = [p.msgspec.Raw(body) for body in batch]
            await peer.say(p.Push(number, raw, [], one_by_one(batch)))
        acks = [await peer.get(p.Ack) for _ in batches]
        posted = await asyncio.gather(*(web.push(*batch) for batch in batches))
    for number, (batch, ack) in enumerate(zip(batches, acks, strict=True), 70):
        wanted = [decode_event(b).id if b != b'"junk"' else "" for b in batch]
        assert (ack.batch, [v.id for v in ack.verdicts]) == (number, wanted)
        verdicts = [v["id"] for v in posted[number - 70][1]["verdicts"]]
        assert verdicts == wanted


async def test_21_one_person_at_two_doors_in_the_same_moment_is_one_attendance(path, tmp_path):
    async with hub(path) as server:
        await directed(server)
        async with door(tmp_path, server.url, "a") as a, door(tmp_path, server.url, "b") as b:
            for one in (a, b):
                await until(lambda one=one: len(one.store.people()) == 4)
                await one.hang_up()
            outcomes = await asyncio.gather(a.tap(0), b.tap(0))
            assert {outcome.kind for outcome in outcomes} == {OutcomeKind.ACCEPTED}
            for one in (a, b):
                one.call_again()
            await until(lambda: len(a.events(0)) == len(b.events(0)) == 2)
            await until(lambda: same(a, b))
            for one in (a, b):
                await one.settled()
                assert one.desk.state.counts.present == 1
            assert {event.device for event in a.events(0)} == {
                one.store.identity.device for one in (a, b)
            }
            assert a.row(0).arrival[0] <= BEGAN <= a.row(0).arrival[1]


async def test_22_a_second_scan_moves_no_arrival_and_is_told_already_in(path, tmp_path):
    house = TestClock()
    async with hub(path, house) as server:
        await directed(server)
        async with (
            door(tmp_path, server.url, "a", repeat=0.0) as a,
            door(tmp_path, server.url, "b") as b,
        ):
            assert (await a.tap(0)).kind is OutcomeKind.ACCEPTED
            await b.shows(0, Status.PRESENT)
            await until(lambda: same(a, b) and a.store.held()[0] == 0)
            arrival = a.row(0).arrival
            moved(900, house, a.clock, b.clock)
            for one in (a, b):
                outcome = await one.tap(0)
                assert outcome.kind is OutcomeKind.ALREADY_IN
                assert outcome.since == arrival[0]
            await until(lambda: len(a.events(0)) == len(b.events(0)) == 3)
            await until(lambda: same(a, b))
            assert a.row(0).arrival == b.row(0).arrival == arrival


async def test_23_the_next_persons_badge_within_a_second_is_not_dropped(path, tmp_path):
    keys, at = BadgeParser(BadgeFormat()), 100.0
    async with hub(path) as server:
        await directed(server)
        async with door(tmp_path, server.url, "a") as one:
            await until(lambda: len(one.desk.roster()) == 4)
            await one.opens()
            for n in range(4):
                at += 0.2
                for character in f"B-{person(n).code}\r":
                    at += 0.004
                    if (token := keys.key(character, at, None).token) is not None:
                        one.desk.badge(token)
            await until(lambda: all(one.row(n) for n in range(4)))
            await one.settled()
        async with viewing("polling", server) as viewer:
            events = [decode_event(item.event) for item in await viewer.items(4)]
        assert [(e.person, e.data["method"]) for e in events if e.kind == Kind.CHECK_IN] == [
            (f"p{n}", "badge") for n in range(4)
        ]


async def test_24_the_day_turns_at_the_sites_midnight_also_when_clocks_go_back(path, tmp_path):
    saturday = 1_792_882_770 * NS  # 2026-10-24 23:59:30 in London; summer time ends on the 25th
    house = TestClock(saturday)
    clocks = {name: TestClock(saturday, boot=name) for name in "ab"}
    async with hub(path, house) as server:
        await directed(server, starts=saturday + 30 * 86_400 * NS)
        async with (
            door(tmp_path, server.url, "a", clock=clocks["a"]) as a,
            door(tmp_path, server.url, "b", clock=clocks["b"]) as b,
        ):
            days = []
            for seconds in (0, 60, 24 * 3600 - 60, 3600, 60):
                moved(seconds, house, *clocks.values())
                for one in (a, b):
                    one.desk._tick()
                assert a.desk.state.session == b.desk.state.session
                days.append(a.desk.state.session)
                await a.tap(len(days) % 4, days[-1].id)
            first, sunday, still, late, monday = days
            assert len({first.id, sunday.id, monday.id}) == 3
            assert sunday.id == still.id == late.id
            assert sunday.ends - sunday.starts == 25 * 3600 * NS
            assert first.ends == sunday.starts
            await a.settled()
            for day, n in ((first, 1), (sunday, 2), (monday, 1)):
                await until(lambda day=day, n=n: b.row(n, day.id))
                async with viewing("sse", server, session_room(ORG, day.id)) as viewer:
                    items = await viewer.items(1)
                assert {decode_event(item.event).session for item in items} == {day.id}


async def test_25_a_kiosk_sees_little_keeps_no_pin_and_has_no_say_over_the_directory(tmp_path):
    where = f"?org={ORG}&site={SITE}"
    async with stage(tmp_path) as shop:
        told(shop.db, "init", "--org", ORG)
        for name, site in (("ada", SITE), ("bob", "south")):
            told(shop.db, "staff", "add", name, "--site", site, typed=PIN + "\n")
        await shop.gate.look()
        token = (await shop.paired())["token"]
        assert (await shop.post("/v1/directory" + where, records(), TOKEN))[0] == 200
        assert (await shop.post("/v1/hello", p.encode(hello(key="")), token))[0] == 200

        async def read(path):
            status, answer = await ask_any(shop.url, "GET", path + where, None, token, {})
            assert status == 200
            return {item["id"]: item["value"] for item in answer["items"]}

        people = await read("/v1/people")
        assert {key for one in people.values() for key in one} == {
            "id", "first_name", "code", "badges"}  # fmt: skip
        staff = await read("/v1/staff")
        while "ada" not in staff:
            await asyncio.sleep(0.02)  # why: the hub's writer is asked through the log only
            staff = await read("/v1/staff")
        assert list(staff) == ["ada"]
        assert PIN not in json.dumps(staff)
        assert staff["ada"]["verifier"].startswith("$argon2id$")
        wrong = [{"staff": "ada", "secret": f"00000{n}"} for n in range(5)]
        tries = [await shop.post("/v1/login", wish) for wish in wrong]
        assert [status for status, _ in tries] == [401] * 3 + [429] * 2
        assert tries[-1][1]["after"] >= 29
        for method, path, body in (
            ("POST", "/v1/directory", b"[]"),
            ("PUT", "/v1/people/p0", b'{"id":"p0","first_name":"X"}'),
            ("GET", "/v1/pairings", None),
            ("POST", "/v1/pairings/kiosk-1/revoke", None),
            ("GET", "/v1/denials", None),
        ):
            status, _ = await ask_any(shop.url, method, path + where, body, token, {})
            assert status == 403, path


async def test_26_one_serialiser_speaks_on_every_transport(path):
    async with hub(path) as server, joined(server.url) as peer:
        await directed(server, people=2)
        body = Author().body(data={"note": 'quote " and ü'})
        (verdict,) = await peer.push(body)
        found = {}
        for transport in TRANSPORTS:
            async with (
                viewing(transport, server) as viewer,
                viewing(transport, server, SITE_ROOM, name="other") as site,
            ):
                found[transport] = p.encode(await viewer.next()), await site.items(3)
        assert len({page for page, _ in found.values()}) == 1
        page = p.decode_from_hub(found["polling"][0])
        assert bytes(page.items[0].event) == body
        assert page.items[0].envelope == verdict.envelope
        async with (
            aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as session,
            session.get(f"{server.url}/v1/people/p1", params=WHO) as response,
        ):
            record = await response.json()
        for _, items in found.values():
            told = [msgspec.json.decode(bytes(item.event))["data"] for item in items]
            (one,) = [data for data in told if data["id"] == "p1"]
            assert (one["rev"], one["value"]) == (record["rev"], record["value"])


async def test_27_malformed_frames_end_neither_hub_nor_kiosk_nor_their_neighbours(path, tmp_path):
    async with hub(path) as server, joined(server.url, hello("neighbour")) as neighbour:
        await directed(server)
        await neighbour.follow()
        async with joined(server.url) as peer:
            author = Author()
            said = await peer.push(b'"junk"', b"{}", author.body())  # items, not frames
            assert [v.verdict for v in said] == ["quarantined"] * 2 + ["ok"]
            await peer.socket.send("no message", text=True)
            assert await peer.closed() == p.Close.BAD_MESSAGE
        async with asked_of(server) as post:
            assert await post("/v1/push?device=kiosk-1&incarnation=inc-1", b"no message") == 400
        assert len((await neighbour.get(p.Events)).items) == 1
        where = []
        async with door(tmp_path, lambda: where[-1], "a", start=False) as one:
            one.check_in(3)
            for behave in (junk_after_welcome, accept_then_close):
                async with false_hub(behave) as bad:
                    where.append(bad.url)
                    one.client.kick() if one.said else one.client.start()
                    await until(lambda bad=bad: len(bad.times) >= 2)
            assert one.store.held()[0] == 3
            where.append(server.url)
            one.client.kick()
            await one.settled()
        assert len((await neighbour.get(p.Events)).items) == 3


@contextlib.asynccontextmanager
async def asked_of(server):
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as session:

        async def post(path, data):
            async with session.post(server.url + path, params=WHO, data=data) as response:
                return response.status

        yield post
