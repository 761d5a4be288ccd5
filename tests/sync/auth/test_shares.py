"""How much of a hub one token may have open, so that nobody's screens keep others out."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from types import SimpleNamespace
from urllib.parse import urlencode

import pytest

from kiosk.clock import SystemClock
from sync import protocol as p
from sync.hub.auth.limits import Limits
from sync.hub.auth.register import Register, register_path
from sync.hub.tokens import VARIABLE
from sync.protocol import Close
from tests.sync.auth.rig import ask, offer, stage, wish
from tests.sync.auth.test_transports import _lines_of, query
from tests.sync.rig import ORG, ROOM, SITE, TOKEN, hello, opened, until

FEW = Limits(viewers=2)


def viewer(device="screen"):
    return p.Hello(p.VERSION, ORG, SITE, device, "v", viewer=True)


async def watched(stack, hub, token, greeting=None):
    """A connection that stays; its close code if it may not."""
    peer = await stack.enter_async_context(opened(hub.url, token))
    await peer.say(greeting or viewer())
    first = await peer.hear()
    if isinstance(first, p.Welcome):
        return peer
    assert first.code == "busy"
    assert first.after > 0
    return await peer.closed()


async def test_one_token_has_so_many_viewers_and_no_more(tmp_path):
    async with stage(tmp_path, limits=FEW) as hub, contextlib.AsyncExitStack() as stack:
        hub.hire("ada")
        hub.hire("bob")
        await hub.gate.look()
        ada, again = (await hub.signed_in("ada"))["token"], (await hub.signed_in("ada"))["token"]
        bob = (await hub.signed_in("bob"))["token"]
        kiosk = (await hub.paired())["token"]
        first = await watched(stack, hub, ada)
        assert not isinstance(await watched(stack, hub, again), int)
        for token in (ada, again):  # signing in anew makes no room
            assert await watched(stack, hub, token) == Close.TRY_LATER
        for token in (bob, kiosk, TOKEN):  # and others do not notice
            assert not isinstance(await watched(stack, hub, token), int)
        await first.socket.close()
        await until(lambda: hub.server._core.transports()["websocket"] == 4)
        assert not isinstance(await watched(stack, hub, ada), int)


async def test_event_streams_and_polls_count_too_and_are_told_429(tmp_path, monkeypatch):
    monkeypatch.setattr("sync.hub.server._TICK", 0.05)  # s; a stream's end is noticed so soon
    async with stage(tmp_path, limits=FEW) as hub, contextlib.AsyncExitStack() as stack:
        hub.hire("ada")
        await hub.gate.look()
        token = (await hub.signed_in("ada"))["token"]
        await watched(stack, hub, token)
        _, stream = await _lines_of(hub, token)
        stack.callback(stream.close)
        where = urlencode({"org": ORG, "site": SITE, "room": ROOM})
        for path in ("/v1/poll?", "/v1/sse?"):
            status, answer = await hub.get(path + where, token)
            assert (status, answer["code"]) == (429, "busy")
            assert answer["after"] > 0
        stream.close()
        await until(lambda: not hub.server._core.transports()["sse"])
        assert (await hub.get("/v1/poll?" + where, token))[0] == 200


async def test_a_kiosks_own_line_is_superseded_whatever_else_its_token_has_open(tmp_path):
    async with stage(tmp_path, limits=FEW) as hub, contextlib.AsyncExitStack() as stack:
        token = (await hub.paired())["token"]
        for _ in range(2):
            await watched(stack, hub, token)
        assert await watched(stack, hub, token) == Close.TRY_LATER
        older = await watched(stack, hub, token, hello(key=""))
        for _ in range(3):
            newer = await watched(stack, hub, token, hello(key=""))
            assert await older.closed() == Close.SUPERSEDED
            older = newer
        # Nor does it get around that by calling itself another incarnation each time.
        assert not isinstance(
            await watched(stack, hub, token, hello(incarnation="inc-2", key="")), int
        )
        for incarnation in ("inc-3", "inc-4"):
            greeting = hello(incarnation=incarnation, key="")
            assert await watched(stack, hub, token, greeting) == Close.TRY_LATER
        assert (await hub.get("/v1/poll?" + query(room=ROOM), token))[0] == 429


async def test_the_hubs_own_token_is_everybodys(tmp_path):
    async with stage(tmp_path, limits=FEW) as hub, contextlib.AsyncExitStack() as stack:
        for number in range(5):
            assert not isinstance(await watched(stack, hub, TOKEN, viewer(f"s{number}")), int)


@pytest.mark.parametrize("cause", ["gone", "thrown out"])
async def test_what_has_ended_counts_no_longer(tmp_path, cause):
    async with stage(tmp_path, limits=FEW) as hub, contextlib.AsyncExitStack() as stack:
        token = (await hub.paired())["token"]
        peers = [await watched(stack, hub, token) for _ in range(2)]
        if cause == "gone":
            for peer in peers:
                peer.socket.transport.abort()
        else:
            hub.register.revoke("kiosk-1", hub.clock.now)
            await hub.gate.look()
        await until(lambda: not hub.gate._counts)
        assert not hub.gate._visits


async def test_the_command_takes_both_settings(tmp_path):
    command = [sys.executable, "-m", "kiosk", "hub", "serve", "--db", str(tmp_path / "hub.db")]
    options = ["--port", "0", "--viewers-per-token", "1", "--trusted-proxy", "127.0.0.1"]
    wrong = await asyncio.create_subprocess_exec(
        *command, "--trusted-proxy", "nginx", stderr=asyncio.subprocess.PIPE
    )
    assert (await wrong.communicate())[1].count(b"\n") == 1
    assert wrong.returncode == 1
    clock = SystemClock()
    process = await asyncio.create_subprocess_exec(
        *command, *options, stdout=asyncio.subprocess.PIPE, env=os.environ | {VARIABLE: TOKEN}
    )
    try:
        url = (await process.stdout.readline()).decode().split()[1]
        code = offer(tmp_path / "hub.db", clock)
        token = (await ask(url, "POST", "/v1/pair", wish(code)))[1]["token"]
        async with contextlib.AsyncExitStack() as stack:
            hub = SimpleNamespace(url=url)
            assert not isinstance(await watched(stack, hub, token), int)
            assert await watched(stack, hub, token) == Close.TRY_LATER
        await ask(url, "GET", "/v1/pairings", None, "wrong", X_Forwarded_For="10.1.1.1")
    finally:
        process.terminate()
        await process.wait()
    with contextlib.closing(Register(register_path(tmp_path / "hub.db"))) as register:
        assert "10.1.1.1" in {one.address for one in register.denials(9)}
