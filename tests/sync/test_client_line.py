"""The line itself: refusals, hubs that misbehave, retries and their pace."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from itertools import pairwise

import msgspec
import pytest

from kiosk.model import LinkState, session_room
from sync import protocol as p
from sync.client.pacing import Backoff, Pacing
from tests.sync.false_hubs import (
    accept_then_close,
    false_hub,
    foreign_ack,
    half_a_frame,
    junk,
    junk_after_welcome,
    short_ack,
    slam,
    welcome,
)
from tests.sync.kiosks import QUICK, Kiosk, held_by, kiosk
from tests.sync.rig import (
    ORG,
    ROOM,
    SITE_ROOM,
    hub,
    until,
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "hub.db"


async def test_a_wrong_token_asks_for_sign_in_and_keeps_the_queue(path, tmp_path):
    async with hub(path) as server:
        with kiosk(tmp_path / "k.db", server.url, token="wrong") as one:  # noqa: S106  is not one
            one.check_in(3)
            await one.reaches(LinkState.SIGN_IN)
            await until(lambda: one.status.attempt >= 3)
            assert one.status.held == 3
            assert one.status.retry_at is not None
            assert LinkState.ONLINE not in one.states


async def test_the_same_refusal_is_logged_once_for_each_change(path, tmp_path, caplog):
    def told():
        lines = [record.getMessage() for record in caplog.records]
        return [line.split("(")[1].split(")")[0] for line in lines if "line is down" in line]

    with caplog.at_level(logging.INFO, "sync.client.line"):
        async with hub(path) as server:
            where, wrong = [server.url], "no-token-of-this-hub"
            with kiosk(tmp_path / "k.db", lambda: where[0], token=wrong) as one:
                await one.reaches(LinkState.SIGN_IN)
                await until(lambda: one.status.attempt >= 4)
                assert told() == ["sign_in"]
                where[0] = "http://127.0.0.1:1"
                await one.reaches(LinkState.OFFLINE)
                tries = one.status.attempt
                await until(lambda: one.status.attempt >= tries + 3)
    assert told() == ["sign_in", "offline"]


async def test_another_version_needs_attention_and_keeps_the_queue(path, tmp_path, monkeypatch):
    monkeypatch.setattr("sync.client.exchange.VERSION", 99)
    async with hub(path) as server:
        with kiosk(tmp_path / "k.db", server.url) as one:
            one.check_in(3)
            await one.reaches(LinkState.ATTENTION)
            assert "version 99" in one.status.reason
            await until(lambda: one.status.held == 3)


async def test_kick_tries_at_once_and_not_later(path, tmp_path):
    where = [None]
    patient = Pacing(first_retry=1000.0, last_retry=1000.0)
    with kiosk(tmp_path / "k.db", lambda: where[0], pacing=patient) as one:
        await one.reaches(LinkState.OFFLINE)
        async with hub(path) as server:
            where[0] = server.url
            one.client.kick()
            await one.settled(5)


def test_stop_is_quick_and_may_come_at_any_time(tmp_path):
    for url in (None, "http://127.0.0.1:9", "http://192.0.2.1:80"):
        one = Kiosk(tmp_path / "k.db", lambda url=url: url)
        one.client.start()
        started = time.monotonic()
        one.close()
        assert time.monotonic() - started < 2
        assert not any(t.name == "sync-client" for t in threading.enumerate())
    one = Kiosk(tmp_path / "k.db", None)
    one.client.kick()
    one.close()


@pytest.mark.parametrize(
    "behave",
    [junk, junk_after_welcome, foreign_ack, short_ack, half_a_frame, accept_then_close, slam],
)
async def test_a_misbehaving_hub_costs_nothing_but_tries(path, tmp_path, behave):
    async with false_hub(behave) as bad:
        where = [bad.url]
        with kiosk(tmp_path / "k.db", lambda: where[0]) as one:
            ids = one.check_in(3)
            await until(lambda: len(bad.times) >= 3)
            await until(lambda: one.status.state is LinkState.OFFLINE)
            assert one.store.held()[0] == 3
            async with hub(path) as server:
                where[0] = server.url
                one.client.kick()
                await one.settled()
            assert held_by(path) == ids


async def test_a_hub_that_answers_no_push_is_given_up(tmp_path):
    async def mute(socket):
        await welcome(socket)
        async for _ in socket:
            pass

    pacing = Pacing(first_retry=0.05, last_retry=0.1, ack=0.2, sweep=0.1)
    async with false_hub(mute) as bad:
        with kiosk(tmp_path / "k.db", bad.url, pacing=pacing) as one:
            one.check_in(3)
            await until(lambda: len(bad.times) >= 2)
            assert one.store.held()[0] == 3


async def test_a_server_that_accepts_and_closes_is_not_hammered(tmp_path):
    pacing = Pacing(first_retry=0.1, last_retry=10.0)
    async with false_hub(accept_then_close) as bad:
        with kiosk(tmp_path / "k.db", bad.url, pacing=pacing) as one:
            await until(lambda: one.status is not None and one.status.attempt >= 1)
            await asyncio.sleep(1.5)  # the test is of how little happens
            assert len(bad.times) < 12
            assert one.states == [LinkState.OFFLINE]


async def test_retry_after_is_honoured(tmp_path):
    async def busy(socket):
        await socket.recv()
        await socket.send(p.encode(p.Error("busy", "full", after=0.7)), text=True)
        await socket.close(1013)

    async with false_hub(busy) as bad:
        with kiosk(tmp_path / "k.db", bad.url):
            await until(lambda: len(bad.times) >= 3)
            assert min(b - a for a, b in pairwise(bad.times)) >= 0.7


async def test_retry_verdicts_come_again_and_do_not_hold_up_others(tmp_path):
    verdicts = {}
    seen = []

    async def moody(socket):
        await welcome(socket)
        async for frame in socket:
            message = p.decode_from_kiosk(frame)
            if not isinstance(message, p.Push):
                continue
            ids = [msgspec.json.decode(raw)["id"] for raw in message.events]
            seen.append(ids)
            answers = []
            for id_ in ids:
                verdicts[id_] = verdicts.get(id_, 0) + 1
                again = len(verdicts) == 1 and verdicts[id_] < 3
                answers.append(
                    p.Verdict(id_, "retry", "mood", 0.05) if again else p.Verdict(id_, "ok")
                )
            await socket.send(p.encode(p.Ack(message.batch, answers)), text=True)

    async with false_hub(moody) as bad:
        with kiosk(tmp_path / "k.db", bad.url) as one:
            (first,) = one.check_in()
            await until(lambda: verdicts.get(first))
            others = one.check_in(3)
            await until(lambda: one.store.held()[0] == 0)
            assert {*others, first} == verdicts.keys()
            assert all(verdicts[id_] == 1 for id_ in others)


def test_backoff_is_full_jitter_up_to_a_minute_for_ever():
    asked = []
    backoff = Backoff(Pacing(), lambda low, high: asked.append((low, high)) or high)
    waits = [backoff.wait() for _ in range(2000)]
    assert waits[:8] == [0.5, 1, 2, 4, 8, 16, 32, 60]
    assert {low for low, _ in asked} == {0.0}
    assert max(waits) == 60
    assert backoff.attempt == 2000
    backoff.reset()
    assert backoff.wait(at_least=30) == 30.5


async def test_kiosks_do_not_come_back_in_step(path, tmp_path):
    pacing = Pacing(first_retry=1.0, last_retry=1.0)
    with contextlib.ExitStack() as stack:
        waits = []
        for n in range(6):
            one = stack.enter_context(
                kiosk(tmp_path / f"{n}.db", "http://127.0.0.1:9", pacing=pacing)
            )
            await one.reaches(LinkState.OFFLINE)
            waits.append(one.said[0].retry_at - time.monotonic())
        assert max(waits) - min(waits) > 0.1
        assert len({round(wait, 2) for wait in waits}) > 3


async def test_rooms_are_those_of_the_own_organisation(path, tmp_path):
    async with hub(path) as server:
        with kiosk(tmp_path / "k.db", server.url, pacing=QUICK) as one:
            await one.settled()
            await until(lambda: one.cursor(SITE_ROOM) is not None)
            assert one.store.rooms() == [SITE_ROOM]
            assert session_room(ORG, "s1") == ROOM
