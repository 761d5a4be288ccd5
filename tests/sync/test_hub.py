from __future__ import annotations

import asyncio
import contextlib
import hashlib
import sqlite3
from itertools import chain

import aiohttp
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from kiosk.clock import EARLIEST, Anchor
from kiosk.model import decode_event, encode_event, site_room
from sync import protocol as p
from sync.hub.errors import ListenError, LogBusyError, LogError
from sync.hub.server import Hub
from tests.sync.rig import (
    NS,
    ORG,
    ROOM,
    SITE_ROOM,
    TOKEN,
    Author,
    TestClock,
    hello,
    hub,
    joined,
    opened,
)

WRONG = "not-the-token"
REV = 1_800_000_000_000  # the test clock's wall time in ms


@pytest.fixture
def path(tmp_path):
    return tmp_path / "hub.db"


def rows(path, query):
    with sqlite3.connect(path) as db:
        found = db.execute(query).fetchall()
    db.close()
    return found


# -- the door --------------------------------------------------------------------------------------


@pytest.mark.parametrize("shown", [None, WRONG])
async def test_a_missing_or_wrong_token_is_accepted_then_closed_with_4401(path, shown):
    async with hub(path) as server, opened(server.url, token=shown) as peer:
        with contextlib.suppress(ConnectionClosed):  # a wrong one does not even wait for a hello
            await peer.say(hello())
        assert await peer.closed() == p.Close.TOKEN
        assert [m.code for m in peer.aside] == ["token"]


async def test_the_token_may_come_in_the_hello(path):
    async with hub(path) as server:
        async with opened(server.url, token=None) as peer:
            await peer.say(hello(token=TOKEN))
            assert (await peer.get(p.Welcome)).version == p.VERSION
        async with opened(server.url, token=None) as peer:
            await peer.say(hello(token=WRONG))
            assert await peer.closed() == p.Close.TOKEN


async def test_another_version_is_told_so(path):
    async with hub(path) as server, opened(server.url) as peer:
        await peer.say(hello(version=99))
        assert await peer.closed() == p.Close.BAD_MESSAGE
        assert peer.aside[0].code == "version"
        assert "99" in peer.aside[0].message


async def test_welcome_tells_time_epoch_and_what_is_held(path):
    author = Author()
    async with hub(path) as server:
        async with joined(server.url) as peer:
            assert peer.welcome.received_kseq == {}
            assert peer.welcome.hub_time == 1_800_000_000 * NS
            await peer.push(*author.bodies(3))
            author.kseq += 1  # a hole
            await peer.push(author.body())
        async with joined(server.url) as peer:
            assert peer.welcome.received_kseq == {"inc-1": 3}
            hole = Author()
            hole.kseq = 3
            await peer.push(hole.body())
        async with joined(server.url) as peer:
            assert peer.welcome.received_kseq == {"inc-1": 5}


async def test_a_hub_that_distrusts_its_clock_gives_no_time(path):
    clock = TestClock()
    clock.trusted = False
    async with hub(path, clock) as server, joined(server.url) as peer:
        assert peer.welcome.hub_time is None
        await peer.say(p.Ping(7))
        assert await peer.get(p.Pong) == p.Pong(7, None)
        clock.trusted = True
        await peer.say(p.Ping(8))
        assert await peer.get(p.Pong) == p.Pong(8, clock.now)


async def test_a_second_connection_of_a_device_ends_the_first_with_4409(path):
    async with hub(path) as server, joined(server.url) as old, joined(server.url) as new:
        assert await old.closed() == p.Close.SUPERSEDED
        assert [v.verdict for v in await new.push(Author().body())] == ["ok"]


async def test_a_browser_of_a_foreign_page_is_refused(path):
    async with hub(path) as server:
        with pytest.raises(InvalidStatus) as caught:
            async with opened(server.url, headers={"Origin": "https://evil.example"}):
                pass
        assert caught.value.response.status_code == 403
        async with joined(server.url, headers={"Origin": server.url}) as peer:
            assert peer.welcome.version == p.VERSION


@pytest.mark.parametrize(
    "frame",
    [
        b"not json",
        b'{"type":"push","batch":-1,"events":[]}',
        b'{"type":"nonsense"}',
        b'{"type":"push","batch":1,"events":' + b"[" * 50_000,
        b'{"type":"hello","version":1,"org":"\xff","site":"s","device":"d","incarnation":"i"}',
        b'{"type":"hello","version":1,"org":"o","site":"s","device":"d","incarnation":"i"}',
    ],
)
async def test_a_bad_message_gets_an_error_and_4400_and_the_hub_lives_on(path, frame):
    async with hub(path) as server:
        async with joined(server.url) as peer:
            await peer.socket.send(frame)
            assert await peer.closed() == p.Close.BAD_MESSAGE
            assert peer.aside[-1].code == "malformed"
        assert server._core.metrics.malformed == 1
        async with joined(server.url) as peer:
            assert [v.verdict for v in await peer.push(Author().body())] == ["ok"]


async def test_an_oversized_frame_gets_an_error_and_4400(path):
    async with hub(path) as server:
        async with joined(server.url) as peer:
            await peer.push(Author().body())
            await peer.socket.send(b"x" * (p.MAX_MESSAGE + 1))
            assert await peer.closed() == p.Close.BAD_MESSAGE
            assert peer.aside[-1].code == "oversized"
        assert server._core.metrics.malformed == 1
        assert rows(path, "SELECT count(*) FROM event") == [(1,)]


async def test_whoever_does_not_say_hello_first_is_let_go(path):
    async with hub(path) as server, opened(server.url) as peer:
        await peer.say(p.Ping(1))
        assert await peer.closed() == p.Close.BAD_MESSAGE


# -- custody ---------------------------------------------------------------------------------------


async def test_an_event_is_kept_as_the_bytes_it_came_in(path):
    body = Author().body()
    async with hub(path) as server, joined(server.url) as peer:
        (verdict,) = await peer.push(body)
    assert verdict.verdict == "ok"
    assert verdict.id == decode_event(body).id
    assert (verdict.envelope.offset, verdict.envelope.verdict) == (1, "accepted")
    assert rows(path, "SELECT body, room, offset FROM entry") == [(body, ROOM, 1)]


async def test_the_same_event_again_is_a_dup_with_the_first_envelope(path):
    author = Author()
    body = author.body()
    async with hub(path) as server, joined(server.url) as peer:
        (first,) = await peer.push(body)
        (again,) = await peer.push(body)
        both = await peer.push(other := author.body(), other)
    assert (again.verdict, again.envelope) == ("dup", first.envelope)
    assert [v.verdict for v in both] == ["ok", "dup"]
    assert both[0].envelope == both[1].envelope
    assert rows(path, "SELECT count(*) FROM event") == [(2,)]


async def test_a_bad_item_is_set_apart_and_those_behind_it_pass(path):
    author = Author()
    good, other = author.event(), author.event()
    claims = Author().event(id=good.id, person="somebody else")
    foreign = author.event(org="other", room="org/other/session/s1")
    nowhere = author.event(room="elsewhere")
    forged = encode_event(author.event()).replace(b'"person":"p5"', b'"person":"px"')
    later = author.event()
    events = [good, claims, foreign, nowhere]
    bodies = [encode_event(e) for e in events]
    bodies += [forged, b'"junk"', b'{"id":7}', b'{"id":"x","kseq":1e99}']
    async with hub(path) as server, joined(server.url) as peer:
        verdicts = await peer.push(*bodies, encode_event(other), encode_event(later))
        again = await peer.push(*bodies)
    said = [(v.verdict, v.code) for v in verdicts]
    assert said == [
        ("ok", ""),
        ("quarantined", "fork"),
        ("quarantined", "room"),
        ("quarantined", "room"),
        ("quarantined", "hash"),
        ("quarantined", "malformed"),
        ("quarantined", "malformed"),
        ("quarantined", "malformed"),
        ("ok", ""),
        ("ok", ""),
    ]
    assert [(v.verdict, v.code) for v in again] == [("dup", ""), *said[1:8]]
    assert rows(path, "SELECT count(*) FROM event") == [(3,)]
    kept = {row[0] for row in rows(path, "SELECT body FROM quarantine")}
    assert kept == set(bodies[1:])


async def test_a_quarantined_event_is_no_hole_in_its_authors_chain(path):
    author = Author()
    first = author.body()
    bad = author.body().replace(b'"person":"p2"', b'"person":"px"')
    async with hub(path) as server:
        async with joined(server.url) as peer:
            await peer.push(first, bad, author.body())
        async with joined(server.url) as peer:
            assert peer.welcome.received_kseq == {"inc-1": 3}


async def test_of_a_cloned_disk_check_ins_count_and_decisions_do_not(path):
    original, clone = Author(), Author()
    async with hub(path) as server, joined(server.url) as peer:
        await peer.push(original.body(), original.body())
        verdicts = await peer.push(clone.body(), clone.body(kind="override"))
    assert [(v.verdict, v.code) for v in verdicts] == [("ok", ""), ("quarantined", "fork")]
    assert (verdicts[0].envelope.verdict, verdicts[0].envelope.code) == ("accepted", "fork")


async def test_an_event_of_a_later_version_keeps_its_unknown_fields(path):
    bare = Author().body()
    bare = bare[: bare.rindex(b',"hash"')] + b',"mood":"fine"}'
    hash_ = hashlib.blake2b(bare, digest_size=32).hexdigest().encode()
    body = bare[:-1] + b',"hash":"' + hash_ + b'"}'
    async with hub(path) as server, joined(server.url) as peer:
        assert [v.verdict for v in await peer.push(body)] == ["ok"]
        (item,) = await peer.follow()
    assert bytes(item.event) == body


async def test_true_time_comes_from_the_anchor_not_the_wall(path):
    clock = TestClock()
    anchor = Anchor("boot-1", ticks=450 * NS, hub=clock.now - 10 * NS, round_trip=2_000_000)
    better = Anchor("boot-1", ticks=401 * NS, hub=clock.now - 59 * NS, round_trip=2_000_000)
    author = Author()
    async with hub(path, clock) as server, joined(server.url) as peer:
        (first,) = await peer.push(author.body(wall=0), anchors=[anchor])
        (nearer,) = await peer.push(author.body(wall=0), anchors=[better])
        (unknown,) = await peer.push(author.body(boot="boot-0", wall=5 * NS))
        (future,) = await peer.push(author.body(boot="boot-0", wall=clock.now + 999 * NS))
    low, high = first.envelope.low, first.envelope.high
    assert low < clock.now - 60 * NS < high
    assert high - low == 2 * (1_000_000 + 5_000_000)
    assert nearer.envelope.high - nearer.envelope.low == 2 * (1_000_000 + 100_000)
    # Of a boot without an anchor: older than the beginning of the boot that has one.
    began = clock.now - 460 * NS
    for envelope in (unknown.envelope, future.envelope):
        assert (envelope.low, envelope.high) == (
            EARLIEST + int(400 * NS * (1 - 1e-4)),
            envelope.high,
        )
        assert began <= envelope.high < began + NS


async def test_received_never_goes_back_also_over_a_restart(path):
    clock = TestClock()
    author = Author()
    async with hub(path, clock) as server, joined(server.url) as peer:
        (first,) = await peer.push(author.body())
    clock.now -= 1000 * NS
    async with hub(path, clock) as server, joined(server.url) as peer:
        (second,) = await peer.push(author.body())
    assert second.envelope.received > first.envelope.received


async def test_a_disk_that_refuses_gets_retry_and_nothing_is_claimed(path):
    author = Author()
    async with hub(path) as server, joined(server.url) as peer:
        await peer.push(author.body())
        db = server._log._db
        pages = db.execute("PRAGMA page_count").fetchone()[0]
        db.execute(f"PRAGMA max_page_count = {pages}")
        batch = author.bodies(400)
        verdicts = await peer.push(*batch)
        assert {(v.verdict, v.code) for v in verdicts} == {("retry", "disk")}
        assert [v.id for v in verdicts] == [decode_event(b).id for b in batch]
        assert min(v.after for v in verdicts) > 0
        assert server._core.writer.failing
        db.execute("PRAGMA max_page_count = 1000000")
        verdicts = await peer.push(*batch)
    assert {v.verdict for v in verdicts} == {"ok"}
    assert [v.envelope.offset for v in verdicts] == list(range(2, 402))


async def test_a_rollback_that_fails_does_not_end_the_writer(path, monkeypatch):
    author = Author()
    async with hub(path) as server, joined(server.url) as peer:
        # The room's first entry is written behind the welcome; nothing may be queued after this.
        assert [v.verdict for v in await peer.push(author.body())] == ["ok"]
        log, rollback, calls = server._log, server._log.rollback, []

        def broken():
            calls.append("rollback")
            if len(calls) == 1:
                raise RuntimeError("no way back")
            rollback()

        def refuses():
            monkeypatch.undo()
            monkeypatch.setattr(log, "rollback", broken)
            raise sqlite3.OperationalError("disk I/O error")

        monkeypatch.setattr(log, "rollback", broken)
        monkeypatch.setattr(log, "commit", refuses)
        body = author.body()
        assert [(v.verdict, v.code) for v in await peer.push(body)] == [("retry", "disk")]
        assert [(v.verdict, v.code) for v in await peer.push(body)] == [("retry", "disk")]
        assert [v.verdict for v in await peer.push(body)] == ["ok"]
        assert len(calls) == 2


async def test_offsets_have_no_hole_under_concurrent_pushers(path):
    async def pusher(server, n):
        author = Author(f"kiosk-{n}")
        async with joined(server.url, hello(author.device)) as peer:
            offsets = []
            for _ in range(10):
                good = author.bodies(7)
                verdicts = await peer.push(good[0], b'"bad"', *good[1:])
                offsets += [v.envelope.offset for v in verdicts if v.verdict == "ok"]
            return offsets

    async with hub(path) as server:
        offsets = await asyncio.gather(*(pusher(server, n) for n in range(5)))
    assert all(mine == sorted(mine) for mine in offsets)
    assert sorted(chain.from_iterable(offsets)) == list(range(1, 351))
    assert rows(path, "SELECT count(*), max(offset) FROM entry") == [(350, 350)]
    assert rows(path, "SELECT head FROM room") == [(350,)]


# -- the directory ---------------------------------------------------------------------------------


async def post(url, body, token=TOKEN, where="?org=acme&site=north"):
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(url + "/v1/directory" + where, data=body) as response,
    ):
        return response.status, await response.json()


def done(events, unchanged):
    return 200, {"events": events, "unchanged": unchanged}


async def test_directory_records_become_events_of_the_hub_and_unchanged_ones_none(path):
    ada = b'{"record":"person","id":"p1","value":{"id":"p1","first_name":"Ada"}}'
    ben = b'{"record":"person","id":"p2","value":{"id":"p2","first_name":"Ben"}}'
    async with hub(path) as server:
        assert await post(server.url, b"[%b,%b]" % (ada, ben)) == (
            200,
            {"events": 2, "unchanged": 0},
        )
        async with joined(server.url) as peer:
            first = [decode_event(i.event) for i in await peer.follow(SITE_ROOM)]
            again = b"[%b,%b]" % (ada.replace(b"Ada", b"Eva"), ben)
            assert await post(server.url, again) == done(1, 1)
            changed = decode_event((await peer.get(p.Events)).items[0].event)
    async with hub(path) as server:
        # It knows the only site whose kiosk was here.
        assert await post(server.url, b"[%b]" % ada, where="") == (
            200,
            {"events": 1, "unchanged": 0},
        )
    assert [(e.kind, e.kseq, e.room, e.by.role) for e in first] == [
        ("directory", 1, SITE_ROOM, "hub"),
        ("directory", 2, SITE_ROOM, "hub"),
    ]
    assert first[1].prev == first[0].hash
    assert (changed.prev, changed.kseq) == (first[1].hash, 3)
    revs = [e.data["rev"] for e in (*first, changed)]
    assert revs == [REV, REV, REV + 1]
    assert changed.data["value"]["first_name"] == "Eva"


async def test_the_directory_is_kept_from_strangers_and_nonsense(path):
    async with hub(path) as server:
        assert (await post(server.url, b"[]", token=WRONG))[0] == 401
        assert (await post(server.url, b"[]", where=""))[0] == 400
        assert (await post(server.url, b'[{"record":"person"}]'))[0] == 400
        assert (await post(server.url, b"[" * 100_000))[0] == 400
        assert await post(server.url, b"[]") == done(0, 0)


@pytest.mark.parametrize(("known", "next_"), [(41, REV), (REV + 7, REV + 8)])
async def test_a_rev_that_another_hub_gave_is_continued(path, known, next_):
    value = {"id": "p1", "first_name": "Ada"}
    body = Author("old-hub").body(
        kind="directory",
        room=site_room(ORG, "north"),
        data={"record": "person", "id": "p1", "rev": known, "value": value},
    )
    async with hub(path) as server, joined(server.url) as peer:
        await peer.push(body)
        same = b'[{"record":"person","id":"p1","value":{"first_name":"Ada","id":"p1"}}]'
        assert await post(server.url, same) == done(0, 1)
        await post(server.url, same.replace(b"Ada", b"Eva"))
        items = await peer.follow(SITE_ROOM)
    assert [decode_event(i.event).data["rev"] for i in items] == [known, next_]


async def test_health_tells_how_the_hub_is(path):
    async with hub(path) as server, joined(server.url) as peer:
        await peer.push(Author().body(), b'"bad"')
        async with (
            aiohttp.ClientSession() as session,
            session.get(server.url + "/health") as response,
        ):
            health = await response.json()
    assert health["status"] == "ok"
    assert (health["events"], health["quarantined"], health["connections"]) == (1, 1, 1)


# -- opening ---------------------------------------------------------------------------------------


async def test_two_hubs_never_share_a_database(path):
    async with hub(path):
        with pytest.raises(LogBusyError):
            await Hub(path, TOKEN, "127.0.0.1", 0, TestClock()).start()


async def test_what_keeps_a_hub_from_starting_is_said(path, tmp_path):
    junk = tmp_path / "junk.db"
    junk.write_bytes(b"this is no database, but longer than a header " * 100)
    with pytest.raises(LogError, match="junk"):
        await Hub(junk, TOKEN, "127.0.0.1", 0, TestClock()).start()
    async with hub(path) as server:
        port = int(server.url.rpartition(":")[2])
        with pytest.raises(ListenError, match=str(port)):
            await Hub(tmp_path / "b.db", TOKEN, "127.0.0.1", port, TestClock()).start()


async def test_the_open_network_needs_a_word(tmp_path):
    with pytest.raises(ListenError, match="--insecure-lan"):
        await Hub(tmp_path / "a.db", TOKEN, "0.0.0.0", 0, TestClock()).start()  # noqa: S104
    server = Hub(tmp_path / "b.db", TOKEN, "0.0.0.0", 0, TestClock(), insecure_lan=True)  # noqa: S104
    assert await server.start()
    await server.stop()
