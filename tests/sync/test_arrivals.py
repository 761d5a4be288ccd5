"""The two ways in of a WebSocket, which nobody outside can tell apart."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from sync import protocol as p
from tests.sync.fuzz import UPGRADE, frame
from tests.sync.rig import ORG, ROOM, SITE, TOKEN, Author, hub, joined

GREETING = frame(1, p.encode(p.Hello(p.VERSION, ORG, SITE, "screen", "v", viewer=True)))
FOLLOWING = frame(1, p.encode(p.Subscribe(ROOM)))


def asked(target=p.PATH, token=TOKEN, **more):
    headers = {"Host": "hub", "Authorization": f"Bearer {token}"} | UPGRADE | more
    lines = [f"GET {target} HTTP/1.1", *(f"{n}: {v}" for n, v in headers.items()), "", ""]
    return "\r\n".join(lines).encode()


WAYS = {
    "plain": [asked() + GREETING + FOLLOWING],
    "plain, then speaking": [asked(), GREETING + FOLLOWING],
    "plain, byte by byte after it": [asked(), *(bytes([b]) for b in GREETING + FOLLOWING)],
    "in two parts": [asked()[:70], asked()[70:] + GREETING + FOLLOWING],
    "with a query": [asked(p.PATH + "?x=1") + GREETING, FOLLOWING],
    "with a protocol": [asked(**{"Sec-WebSocket-Protocol": "chat"}), GREETING + FOLLOWING],
}


@contextlib.asynccontextmanager
async def said(server, parts):
    """What the hub answers to these parts, sent one by one; a reader of it."""
    port = int(server.url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0)
        yield reader, writer
    finally:
        writer.transport.abort()


async def message(reader):
    """The next frame's payload, or a close code."""
    first, size = await asyncio.wait_for(reader.readexactly(2), 5)
    if size > 125:
        size = int.from_bytes(await reader.readexactly(2 if size == 126 else 8))
    payload = await reader.readexactly(size)
    return int.from_bytes(payload[:2]) if first & 15 == 8 else p.decode_from_hub(payload)


@pytest.mark.parametrize("way", WAYS)
async def test_however_it_is_worded_the_same_is_said_in_the_same_order(tmp_path, way):
    async with hub(tmp_path / "hub.db") as server, joined(server.url) as peer:
        await peer.push(*Author().bodies(3))
        async with said(server, WAYS[way]) as (reader, writer):
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
            assert head.startswith(b"HTTP/1.1 101 ")
            assert isinstance(await message(reader), p.Welcome)
            page = await message(reader)
            assert (len(page.items), page.live) == (3, True)
            await peer.push(Author("kiosk-1", "inc-2").body())
            assert len((await message(reader)).items) == 1
            writer.write(frame(8, (1000).to_bytes(2, "big")))
            assert await message(reader) == 1000
            assert await asyncio.wait_for(reader.read(), 5) == b""


@pytest.mark.parametrize("target", [p.PATH, p.PATH + "?x=1"])
async def test_whoever_is_refused_sees_the_close_code_on_both(tmp_path, target):
    async with hub(tmp_path / "hub.db") as server:
        async with said(server, [asked(target, "wrong") + GREETING]) as (reader, _):
            await reader.readuntil(b"\r\n\r\n")
            assert (await message(reader)).code == "token"
            assert await message(reader) == p.Close.TOKEN
        async with said(server, [asked(target, Origin="https://evil.example")]) as (reader, _):
            assert b" 403 " in await asyncio.wait_for(reader.readline(), 5)
        async with said(server, [asked(target, Origin="http://hub") + GREETING]) as (reader, _):
            assert b" 101 " in await asyncio.wait_for(reader.readline(), 5)
        assert len(server._core.talks) <= 1


@pytest.mark.parametrize("target", [p.PATH, p.PATH + "?x=1"])
async def test_a_crowd_beyond_what_is_served_is_told_to_come_back_on_both(
    tmp_path, target, monkeypatch
):
    monkeypatch.setattr("sync.hub.server._MOST_SOCKETS", 0)
    async with hub(tmp_path / "hub.db") as server, contextlib.AsyncExitStack() as stack:
        lines = []
        for _ in range(2):
            reader, _ = await stack.enter_async_context(said(server, [asked(target)]))
            lines.append(await asyncio.wait_for(reader.readline(), 5))
        assert b" 429 " in lines[1]


async def test_a_hub_that_stops_says_so_to_all_whether_or_not_they_have_greeted(tmp_path):
    async with contextlib.AsyncExitStack() as stack:
        async with hub(tmp_path / "hub.db") as server:
            silent, _ = await stack.enter_async_context(said(server, []))
            begun, _ = await stack.enter_async_context(said(server, [asked()]))
            greeted, _ = await stack.enter_async_context(said(server, [asked() + GREETING]))
            for reader in (begun, greeted):
                await reader.readuntil(b"\r\n\r\n")
            assert isinstance(await message(greeted), p.Welcome)
        for reader in (begun, greeted):
            assert await message(reader) == p.Close.GOING_AWAY
        assert await asyncio.wait_for(silent.read(), 5) == b""
