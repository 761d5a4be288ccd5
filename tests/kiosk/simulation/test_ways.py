"""Around a proxy that knows no WebSockets, through the real client and server of plain HTTP."""

from __future__ import annotations

import asyncio

import pytest

from kiosk.model import Kind, LinkState
from kiosk.simulation import many
from kiosk.simulation.disk import Death
from kiosk.simulation.loop import VirtualLoop
from kiosk.simulation.people import Told
from kiosk.simulation.play import settled
from kiosk.simulation.scene import Day, Scene
from kiosk.simulation.trouble import Trouble
from kiosk.simulation.verdict import judged
from kiosk.simulation.witness import Witness
from kiosk.store import Draft

SHARED, PAIRED = 2, 13  # days of kiosks that share the hub's token, and of paired ones


@pytest.fixture(scope="module")
def stage():
    with many.stage() as found:
        yield found


@pytest.fixture
def play(stage, tmp_path):
    """Play a story in a scene without any trouble of its own."""

    def played(story, seed=SHARED):
        day = Day(seed)
        loop = VirtualLoop(day.chance("loop"))
        asyncio.set_event_loop(loop)

        async def run():
            scene = Scene(day, tmp_path, loop, stage._blanks)
            trouble = Trouble(scene)
            try:
                await scene.open()
                await asyncio.sleep(60)
                return await story(scene)
            finally:
                trouble._over = True
                scene.close()
                await asyncio.sleep(120)

        try:
            return loop.run_until_complete(run())
        finally:
            asyncio.set_event_loop(None)
            loop.close()

    return played


def hinder(kiosk, proxy):
    kiosk.weather.proxy = proxy
    for connection in kiosk.connections:
        connection.cut()


async def check_in(kiosk, other, person="p1"):
    """A check-in here must be seen there, and its verdict come back."""
    draft = Draft(Kind.CHECK_IN, "s0", person, data={"method": "finger"})
    event = await asyncio.wrap_future(kiosk.store.record(draft))
    await asyncio.sleep(60)
    assert kiosk.store.held()[0] == 0
    assert other.read("SELECT 1 FROM event WHERE id = ?", event.id)


@pytest.mark.parametrize("seed", [SHARED, PAIRED])
@pytest.mark.parametrize(
    ("proxy", "transport", "state"),
    [
        ("refuses", "sse", LinkState.LIMITED_SSE),
        ("hangs", "sse", LinkState.LIMITED_SSE),
        ("buffers", "polling", LinkState.LIMITED_POLLING),
    ],
)
def test_a_kiosk_steps_down_goes_on_and_climbs_back(play, proxy, transport, state, seed):
    async def story(scene):
        one, other = scene.kiosks
        before = one.store.cursor("org/acme/site/north")
        hinder(one, proxy)
        await asyncio.sleep(400)
        assert (one.status.transport, one.status.state) == (transport, state)
        await check_in(one, other, "p1")
        await check_in(other, one, "p2")
        assert one.store.cursor("org/acme/site/north") == before, "the same cursor everywhere"
        one.weather.clear()
        await asyncio.sleep(1300)
        assert (one.status.transport, one.client.rung) == ("websocket", 0)
        await check_in(other, one, "p3")

    play(story, seed)


def test_where_websockets_do_not_last_all_comes_through_by_turns(play):
    async def story(scene):
        one, other = scene.kiosks
        hinder(one, "cuts")
        await asyncio.sleep(200)
        assert min(one.ways["sse"], one.ways["websocket"]) > 1
        await check_in(one, other, "p1")
        await check_in(other, one, "p2")

    play(story)


def test_what_a_restored_hub_lost_is_offered_again_by_plain_http_too(play):
    async def story(scene):
        one, other = scene.kiosks
        backup = scene.back_up_hub()
        hinder(one, "refuses")
        await asyncio.sleep(200)
        assert one.status.transport == "sse"
        await check_in(one, other)
        scene.hub.kill(Death.KILL, heard=False)
        await scene.restart_hub(backup)
        assert await settled(scene) == []
        await asyncio.sleep(120)
        assert one.status.transport == "sse"
        assert set(one.store.event_ids()) <= scene.hub.held()

    play(story)


def test_the_witness_sees_what_nobody_would_ever_send(play):
    async def story(scene):
        witness = Witness(scene, Told())
        one = scene.kiosks[0]
        one.weather.down = True
        for connection in one.connections:
            connection.cut()
        draft = Draft(Kind.CHECK_IN, "s0", "p1", data={"method": "finger"})
        event = await asyncio.wrap_future(one.store.record(draft))
        witness.look()
        assert not witness.wrong
        one.store._db.execute("DELETE FROM outbox")
        witness.look()
        assert [event.id in what for what in witness.wrong] == [True]

    play(story)


def test_the_verdict_sees_a_row_that_nobody_else_has(play):
    async def story(scene):
        one, other = scene.kiosks
        await check_in(one, other)
        assert await settled(scene) == []
        assert judged(scene, Told())[0].good
        other.store._db.execute("DELETE FROM attendance")
        assert judged(scene, Told())[0].diverged

    play(story)
