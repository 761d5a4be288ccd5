"""Virtual time: it jumps, keeps order, and says when nothing can happen any more."""

from __future__ import annotations

import asyncio
import random
import time

import pytest

from kiosk.simulation.loop import DeadlockError, Life, VirtualLoop
from kiosk.tasks import spawn


@pytest.fixture
def loop():
    found = VirtualLoop(random.Random(1))
    yield found
    found.close()


def test_a_day_takes_no_time(loop):
    began = time.monotonic()
    loop.run_until_complete(asyncio.sleep(86_400))
    assert loop.time() == pytest.approx(86_400)
    assert time.monotonic() - began < 1


def test_timers_come_in_their_order(loop):
    come = []
    for delay in (3.0, 1.0, 2.0):
        loop.call_later(delay, lambda delay=delay: come.append((delay, loop.time())))
    loop.run_until_complete(asyncio.sleep(5))
    assert come == [(d, pytest.approx(d)) for d in (1.0, 2.0, 3.0)]


def test_a_timeout_is_virtual_too(loop):
    async def wait():
        async with asyncio.timeout(600):
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        loop.run_until_complete(wait())
    assert loop.time() == pytest.approx(600)


def test_an_executor_runs_inline_a_moment_later(loop):
    assert loop.run_until_complete(loop.run_in_executor(None, sum, (1, 2))) == 3
    assert 0 < loop.time() < 0.1
    with pytest.raises(ZeroDivisionError):
        loop.run_until_complete(loop.run_in_executor(None, lambda: 1 / 0))


def test_waiting_for_what_never_comes_is_said(loop):
    task = loop.create_task(asyncio.Event().wait())
    with pytest.raises(DeadlockError):
        loop.run_until_complete(task)
    task.cancel()
    loop.run_until_complete(asyncio.sleep(0))


def test_a_life_ends_with_all_that_it_began(loop):
    ended = []

    async def child(name):
        try:
            await asyncio.sleep(3600)
        finally:
            ended.append(name)

    async def parent():
        spawn(child("child"), "child")
        await child("parent")

    async def story():
        life = Life(loop, "a machine")
        life.begin(parent(), "parent")
        outside = spawn(child("outside"), "outside")
        await asyncio.sleep(1)
        life.end()
        await asyncio.sleep(1)
        assert sorted(ended) == ["child", "parent"]
        outside.cancel()
        await asyncio.sleep(0)

    loop.run_until_complete(story())
    assert ended[-1] == "outside"
