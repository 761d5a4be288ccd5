"""What a kiosk promises, scenario by scenario, with real stores, lines and a real hub (1 to 14)."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from urllib.parse import urlencode

import aiohttp
import pytest

from kiosk.model import (
    Kind,
    LinkState,
    OutcomeKind,
    Presence,
    Reason,
    Status,
    decode_event,
)
from kiosk.store import Draft
from sync import protocol as p
from tests.flow.scene import (
    BEGAN,
    INES,
    TRANSPORTS,
    WHO,
    answering,
    directed,
    door,
    moved,
    same,
    viewing,
)
from tests.sync.kiosks import held_by
from tests.sync.proxy import proxied
from tests.sync.rig import (
    NS,
    ROOM,
    TOKEN,
    Author,
    TestClock,
    hello,
    hub,
    joined,
    one_by_one,
    until,
)

SCREENLESS = True
MILLI = NS // 1000


@pytest.fixture
def path(tmp_path):
    return tmp_path / "hub.db"


def check_ins(path):
    """Check-ins in a hub's log: (id, person), in the order of the log."""
    held = [decode_event(body) for body in bodies(path)]
    return [(event.id, event.person) for event in held if event.kind == Kind.CHECK_IN]


def bodies(path):
    with closing(sqlite3.connect(path)) as db:
        return [row[0] for row in db.execute("SELECT body FROM event ORDER BY place")]


async def pushed_by_post(server, number, *events):
    """A push over plain HTTP; its verdicts."""
    raw = [p.msgspec.Raw(body) for body in events]
    message = p.encode(p.Push(number, raw, [], one_by_one(events)))
    who = urlencode(WHO | {"device": "kiosk-1", "incarnation": "inc-1"})
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as session,
        session.post(f"{server.url}/v1/push?{who}", data=message) as response,
    ):
        ack = p.decode_from_hub(await response.read())
    assert ack.batch == number
    return ack.verdicts


async def test_01_same_tap_three_times_over_different_transports_is_one_record(path):
    async with hub(path) as server, viewing("sse", server) as viewer:
        body = Author().body()
        async with joined(server.url) as peer:
            (first,) = await peer.push(body)
        (second,) = await pushed_by_post(server, 2, body)
        async with joined(server.url, hello("relay"), token=TOKEN) as peer:
            (third,) = await peer.push(body)
            await peer.push(Author("relay").body())
        assert [v.verdict for v in (first, second, third)] == ["ok", "dup", "dup"]
        assert first.id == second.id == third.id == decode_event(body).id
        assert first.envelope == second.envelope == third.envelope
        assert [bytes(item.event) == body for item in await viewer.items(2)] == [True, False]
    assert len(held_by(path)) == 2


async def test_02_saved_during_a_sync_in_flight_both_survive(path, tmp_path):
    async with hub(path) as server, proxied(server.url) as proxy:
        await directed(server)
        async with door(tmp_path, proxy.url, "a") as one:
            await one.tap(0)
            await one.settled()
            proxy.silent = True
            await one.tap(1)
            await until(lambda: one.client._exchange._uploads._flying)
            await one.tap(2)
            assert one.store.held()[0] == 2
            proxy.silent = False
            await one.settled()
            assert [who for _, who in check_ins(path)] == ["p0", "p1", "p2"]


async def test_03_crashed_with_an_item_in_flight_it_is_sent_again(path, tmp_path):
    async with hub(path) as server, proxied(server.url) as proxy:
        await directed(server)
        async with door(tmp_path, proxy.url, "a") as one:
            await one.tap(0)
            await one.settled()
            proxy.silent = True
            await one.tap(1)
            await until(lambda: one.client._exchange._uploads._flying)
            shutil.copytree(tmp_path / "a", tmp_path / "crashed")  # as the power cut leaves it
        assert len(check_ins(path)) == 1
        async with door(tmp_path, server.url, "crashed") as after:
            await after.settled()
        assert [who for _, who in check_ins(path)] == ["p0", "p1"]


async def test_04_errors_keep_the_queue_a_poison_item_is_shown_and_age_deletes_nothing(
    path, tmp_path
):
    where = []
    async with (
        answering(500) as ill,
        answering(401) as shut,
        answering(429, Retry_After="0") as busy,
        hub(path) as server,
        door(tmp_path, lambda: where[-1], "a", start=False) as one,
    ):
        ids = one.check_in(4)
        where.append("http://127.0.0.1:9")
        one.client.start()
        for status in (ill, shut, busy):
            await one.reaches(LinkState.SIGN_IN if status is busy else LinkState.OFFLINE)
            where.append(status.url)
            one.client.kick()
            await until(lambda status=status: status.count >= 3)
            assert one.store.held()[0] == 4
        spoil = "UPDATE event SET body = replace(body, 'p1', 'px') WHERE id = ?"
        one.store._execute((spoil, (ids[1],))).result(5)
        moved(500 * 86_400, one.clock)
        where.append(server.url)
        one.client.kick()
        await one.settled()
        await until(lambda: one.status.quarantined == 1)
        assert sorted(held_by(path)) == sorted([ids[0], *ids[2:]])
        assert one.store.event_ids() == ids


async def test_05_the_queue_survives_sign_out_restart_and_full_disk_and_no_success_is_a_lie(
    path, tmp_path
):
    async with hub(path) as server:
        await directed(server, people=40)
        async with door(tmp_path, server.url, "a") as one:
            await until(lambda: len(one.store.people()) == 40)
        welcomed = set()
        async with door(tmp_path, server.url, "a", token="") as one:  # signed out
            assert (await one.tap(0)).kind is OutcomeKind.ACCEPTED
            await one.reaches(LinkState.SIGN_IN)
        async with door(tmp_path, "http://127.0.0.1:9", "a") as one:
            assert one.store.held()[0] >= 1
            db = one.store._db
            count = one.store._submit(0, lambda _: db.execute("PRAGMA page_count").fetchone())
            one.store._execute((f"PRAGMA max_page_count = {count.result()[0]}", ())).result()
            outcomes = [await one.tap(n) for n in range(1, 40)]
            welcomed = {o.person.id for o in outcomes if o.kind is OutcomeKind.ACCEPTED}
            refused = {o.person.id for o in outcomes if o.reason is Reason.NOT_SAVED}
            assert refused
            assert welcomed | refused == {f"p{n}" for n in range(1, 40)}
        async with door(tmp_path, server.url, "a") as one:
            await one.settled()
        assert {who for _, who in check_ins(path)} == welcomed | {"p0"}


async def test_06_an_offline_check_in_keeps_its_time_and_lateness_is_judged_by_it(path, tmp_path):
    house = TestClock()
    async with hub(path, house) as server:
        await directed(server, starts=BEGAN, late=600)
        async with door(tmp_path, server.url, "a") as one, door(tmp_path, server.url, "b") as other:
            await one.settled()
            await until(lambda: len(one.store.people()) == 4)
            await one.hang_up()
            moved(300, house, one.clock, other.clock)
            assert not (await one.tap(0)).late
            moved(301, house, one.clock, other.clock)
            assert (await one.tap(1)).late
            moved(3 * 3600, house, one.clock, other.clock)
            one.call_again()
            await other.shows(0, Status.PRESENT)
            await other.shows(1, Status.LATE)
            low, high = other.row(0).arrival
            assert low <= BEGAN + 300 * NS <= high
            assert high - low < 5 * NS
            await until(lambda: same(one, other))


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_07_replay_is_complete_per_room_and_a_gap_is_said(path, transport):
    mine, others = Author(), Author("kiosk-2")
    async with hub(path) as server:
        async with joined(server.url) as peer, joined(server.url, hello("kiosk-2")) as noise:
            foreign = {"room": ROOM + "x", "session": "s1x"}
            wanted = []
            for _ in range(4):
                await noise.push(*(others.body(**foreign) for _ in range(300)))
                wanted += (batch := mine.bodies(150))
                await peer.push(*batch)
            epoch = peer.welcome.epoch
        async with viewing(transport, server) as viewer:
            assert [bytes(item.event) for item in await viewer.items(600)] == wanted
        async with viewing(transport, server, cursor=p.Cursor(epoch, 599)) as viewer:
            page = await viewer.next()
            assert ([item.envelope.offset for item in page.items], page.live) == ([600], True)
        async with viewing(transport, server, cursor=p.Cursor("an older log", 599)) as viewer:
            assert isinstance(await viewer.next(), p.Reset)
            assert [bytes(item.event) for item in await viewer.items(600)] == wanted


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_08_live_and_replayed_events_are_alike_and_known_ones_change_nothing(
    path, tmp_path, transport
):
    async with hub(path) as server:
        await directed(server)
        async with viewing(transport, server) as viewer, joined(server.url) as peer:
            await viewer.next()  # live from here on
            await peer.push(*Author().bodies(3))
            live = await viewer.items(3)
        async with viewing(transport, server) as viewer:
            assert await viewer.items(3) == live
        async with door(tmp_path, server.url, "a") as one:
            await until(lambda: one.cursor(ROOM) is not None and one.cursor(ROOM)[1] == 3)
            before = one.rows("SELECT * FROM entry ORDER BY id")
            one.store._execute(("DELETE FROM cursor", ())).result()
            await one.hang_up()
            one.call_again()
            await until(lambda: one.cursor(ROOM) is not None and one.cursor(ROOM)[1] == 3)
            assert one.rows("SELECT * FROM entry ORDER BY id") == before


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_09_a_rejected_write_is_not_broadcast(path, transport):
    author, clone = Author(), Author()
    async with hub(path) as server, joined(server.url) as peer:
        await peer.push(good := author.body(), author.body())
        async with viewing(transport, server) as viewer:
            await viewer.items(2)
            stale = clone.event(), clone.event(kind="override", data={"status": "absent"})
            forged = author.body().replace(b'"person":"p3"', b'"person":"px"')
            said = await peer.push(p.msgspec.json.encode(stale[1]), forged, b'"junk"')
            assert {v.verdict for v in said} == {"quarantined"}
            await peer.push(last := author.body())
            assert [bytes(item.event) for item in await viewer.items(1)] == [last]
    assert bodies(path)[0] == good
    assert len(held_by(path)) == 3


async def test_10_moments_apart_are_told_apart_whatever_the_clocks_say(path, tmp_path):
    house = TestClock()
    fast = TestClock(BEGAN + 10 * 365 * 86_400 * NS, ticks=9 * NS, boot="boot-fast")
    slow = TestClock(7 * NS, ticks=90_000 * NS, boot="boot-slow")
    async with hub(path, house) as server:
        await directed(server)
        async with (
            door(tmp_path, server.url, "a", clock=fast) as a,
            door(tmp_path, server.url, "b", clock=slow) as b,
        ):
            for one in (a, b):
                await one.settled()
                await until(lambda one=one: one.store.anchors() and "s1" in str(one.store.rooms()))
                await one.hang_up()
            moved(60, house, fast, slow)
            b.record(Kind.CHECK_IN, 0, data={"method": "code"})
            moved(0.3, house, fast, slow)
            a.record(Kind.CHECK_IN, 0, data={"method": "code"})
            a.call_again()  # whoever comes first to the hub was not first at the door
            await a.settled()
            b.call_again()
            await until(lambda: same(a, b) and a.row(0).device == b.store.identity.device)
            low, high = a.row(0).arrival
            assert low <= BEGAN + 60 * NS <= high < BEGAN + 60 * NS + 300 * MILLI
            async with joined(server.url, hello("mute")) as peer:
                timeless = Author("mute").body(person="p1", wall=0, ticks=0, boot="", synced=False)
                assert [v.verdict for v in await peer.push(timeless)] == ["ok"]
            await until(lambda: same(a, b) and a.row(1))
            assert a.row(1).presence is Presence.INSIDE


async def test_11_an_override_outlasts_a_stale_queue_and_a_later_check_in(path, tmp_path):
    async with hub(path) as server:
        await directed(server)
        async with (
            door(tmp_path, server.url, "a") as gate,
            door(tmp_path, server.url, "b") as office,
        ):
            await gate.settled()
            await until(lambda: len(gate.store.people()) == 4)
            await gate.hang_up()
            await gate.tap(0)  # the stale queue
            decided = office.decide(0, "excused", reason="funeral")
            await office.settled()
            gate.call_again()
            await until(lambda: same(gate, office) and gate.row(0).winner == decided.id)
            await gate.tap(0)
            gate.record(Kind.CHECK_IN, 0, data={"method": "code"})
            await gate.settled()
            await until(lambda: len(office.events(0)) == 3)
            for one in (gate, office):
                row = one.row(0)
                assert (row.status, row.presence) == (Status.EXCUSED, Presence.INSIDE)
                (winner,) = [e for e in one.events(0) if e.id == row.winner]
                assert winner.data["reason"] == "funeral"


async def test_12_in_out_and_in_again_within_half_a_second_ends_in(path, tmp_path):
    async with hub(path) as server:
        await directed(server)
        async with door(tmp_path, server.url, "a") as one, door(tmp_path, server.url, "b") as other:
            await until(lambda: len(one.store.people()) == 4)
            first = await one.tap(0)
            moved(0.2, one.clock)
            one.desk.not_you()
            await until(lambda: one.row(0).status is Status.EXPECTED)
            moved(0.2, one.clock)
            second = await one.tap(0)
            assert (first.kind, second.kind) == (OutcomeKind.ACCEPTED, OutcomeKind.ACCEPTED)
            await one.settled()
            await until(lambda: len(other.events(0)) == 3)
            assert [e.kind for e in one.events(0)] == [Kind.CHECK_IN, Kind.RETRACT, Kind.CHECK_IN]
            await until(lambda: same(one, other))
            assert other.row(0).status is Status.PRESENT


async def test_13_what_is_taken_back_or_refused_gives_way_to_what_was_before(path, tmp_path):
    async with hub(path) as server:
        await directed(server)
        async with door(tmp_path, server.url, "a") as one:
            await until(lambda: one.cursor(ROOM) is not None)
            kept = one.decide(0, "excused", reason="ill")
            undone = one.decide(0, "absent")
            await one.shows(0, Status.ABSENT)
            one.record(Kind.RETRACT, 0, data={"target": undone.id}, by=INES)
            await one.shows(0, Status.EXCUSED)
            assert one.row(0).winner == kept.id
            await one.settled()
            server._log.revoked = frozenset({one.store.identity.device})
            one.decide(0, "absent")
            assert one.row(0).status is Status.ABSENT  # until the hub has spoken
            await until(lambda: one.status.quarantined == 1)
            await one.shows(0, Status.EXCUSED)
            assert one.row(0).winner == kept.id


async def test_14_every_change_is_broadcast_late_excused_left_and_in_bulk(path, tmp_path):
    async with hub(path) as server:
        await directed(server, people=60, late=-1)
        async with (
            viewing("sse", server) as viewer,
            door(tmp_path, server.url, "a") as one,
            door(tmp_path, server.url, "b") as other,
        ):
            await until(lambda: len(one.store.people()) == 60)
            assert (await one.tap(0)).late
            await other.shows(0, Status.LATE)
            one.decide(0, "excused")
            await other.shows(0, Status.EXCUSED)
            one.record(Kind.CHECK_OUT, 0)
            await until(lambda: other.row(0).presence is Presence.LEFT)
            drafts = [
                Draft(Kind.OVERRIDE, "s1", f"p{n}", data={"status": "absent"}) for n in range(1, 60)
            ]
            one.store.record_many(drafts).result()
            await other.shows(59, Status.ABSENT)
            await until(lambda: same(one, other))
            kinds = [decode_event(i.event).kind for i in await viewer.items(62)]
        assert kinds[:3] == [Kind.CHECK_IN, Kind.OVERRIDE, Kind.CHECK_OUT]
        assert kinds[3:] == [Kind.OVERRIDE] * 59
