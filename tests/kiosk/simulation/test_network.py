"""The simulated line: in order, late, silent, cut."""

from __future__ import annotations

import asyncio
import random

import pytest
from aiohttp import WSMsgType
from websockets.exceptions import ConnectionClosed

from kiosk.simulation.loop import VirtualLoop
from kiosk.simulation.network import Weather
from kiosk.simulation.sockets import WebSocket
from sync.hub.frames import framed


@pytest.fixture
def loop():
    found = VirtualLoop(random.Random(1))
    yield found
    found.close()


def _play(loop, story):
    async def run():
        return await story(WebSocket(loop, Weather(random.Random(2)), "token", "192.0.2.1"))

    return loop.run_until_complete(run())


def test_what_is_sent_arrives_in_order_and_later(loop):
    async def story(line):
        for n in range(20):
            await line.kiosk.send(b"%d" % n, text=True)
        return [(await line.hub.receive()).data for _ in range(20)]

    assert _play(loop, story) == [b"%d" % n for n in range(20)]
    assert loop.time() > 0


@pytest.mark.parametrize("size", [1, 200, 70_000])
def test_frames_come_out_as_what_was_framed(loop, size):
    async def story(line):
        line.hub.write(framed(b"x" * size))
        return await line.kiosk.recv(decode=False)

    assert _play(loop, story) == b"x" * size


def test_a_close_code_comes_behind_what_was_said_before(loop):
    async def story(line):
        line.hub.write(framed(b"last words"))
        await line.hub.close(code=4401, message=b"no")
        words = await line.kiosk.recv(decode=False)
        with pytest.raises(ConnectionClosed) as error:
            await line.kiosk.recv(decode=False)
        assert (await line.hub.receive()).type is WSMsgType.CLOSED
        return words, error.value.rcvd.code

    assert _play(loop, story) == (b"last words", 4401)


def test_a_cut_loses_what_is_under_way_and_both_ends_notice(loop):
    async def story(line):
        await line.kiosk.send(b"lost", text=True)
        line.cut()
        assert (await line.hub.receive()).type is WSMsgType.CLOSED
        with pytest.raises(ConnectionClosed) as error:
            await line.kiosk.recv(decode=False)
        assert error.value.rcvd is None

    _play(loop, story)


def test_a_short_silence_only_delays(loop):
    async def story(line):
        line.stall(10, up=True, down=True)
        await line.kiosk.send(b"late", text=True)
        line.hub.write(framed(b"x" * 100_000))
        assert line.hub.get_write_buffer_size() == 100_000
        await line.hub.drain()
        assert line.hub.get_write_buffer_size() == 0
        return (await line.hub.receive()).data

    assert _play(loop, story) == b"late"
    assert loop.time() >= 10


def test_a_long_silence_is_found_out_by_pings(loop):
    async def story(line):
        line.stall(1000, up=True, down=False)
        with pytest.raises(ConnectionClosed):
            await line.kiosk.recv(decode=False)
        assert 20 <= loop.time() <= 40

    _play(loop, story)


def test_a_kiosk_that_lost_its_power_says_nothing(loop):
    async def story(line):
        await line.kiosk.send(b"never", text=True)
        line.vanish()
        line.kiosk.abort()
        assert (await line.hub.receive()).type is WSMsgType.CLOSED
        assert loop.time() >= 20

    _play(loop, story)


def test_a_slow_line_is_slow(loop):
    async def story(line):
        line.up._weather.mean = 5.0
        for _ in range(30):
            await line.kiosk.send(b"x", text=True)
        for _ in range(30):
            await line.hub.receive()
        await asyncio.sleep(0)

    _play(loop, story)
    assert loop.time() > 5
