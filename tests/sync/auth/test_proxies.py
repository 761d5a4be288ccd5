from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import pytest

from sync.hub.auth.limits import Limits, Rate
from sync.hub.auth.proxies import Proxies
from sync.hub.errors import ProxyError
from sync.hub.server import Hub
from sync.protocol import Close
from tests.sync.auth.rig import TOKEN, stage
from tests.sync.auth.test_transports import READING
from tests.sync.rig import TestClock, opened


@pytest.mark.parametrize(
    ("trusted", "peer", "told", "address"),
    [
        ((), "127.0.0.1", "6.6.6.6", "127.0.0.1"),
        (("127.0.0.1",), "127.0.0.1", "", "127.0.0.1"),
        (("127.0.0.1",), "127.0.0.1", "6.6.6.6, 10.1.1.1", "10.1.1.1"),
        (("127.0.0.1",), "10.0.0.9", "6.6.6.6", "10.0.0.9"),
        (("127.0.0.1",), "127.0.0.1", "6.6.6.6, nonsense", "127.0.0.1"),
        (("127.0.0.1", "10.0.0.0/8"), "127.0.0.1", "6.6.6.6, 7.7.7.7, 10.1.1.1", "7.7.7.7"),
        (("127.0.0.1", "10.0.0.0/8"), "127.0.0.1", "10.2.2.2, 10.1.1.1", "10.2.2.2"),
        (("127.0.0.1", "10.0.0.0/8"), "127.0.0.1", "6.6.6.6, x, 10.1.1.1", "10.1.1.1"),
        (("::1", "fd00::/8"), "fd00::7%eth0", "2001:db8::1", "2001:db8::1"),
        (("127.0.0.1",), "::ffff:127.0.0.1", "6.6.6.6", "6.6.6.6"),
        (("127.0.0.1",), "127.0.0.1", "6.6.6.6:4711", "6.6.6.6"),
        (("127.0.0.1",), "127.0.0.1", "[2001:db8::1]:4711", "2001:db8::1"),
        (("127.0.0.1",), "not an address", "6.6.6.6", "not an address"),
    ],
)
def test_only_what_trusted_proxies_add_is_believed(trusted, peer, told, address):
    assert Proxies(trusted).address(peer, told) == address


def test_a_proxy_must_be_an_address_or_a_network(tmp_path):
    with pytest.raises(ProxyError, match="'nginx' is neither"):
        Proxies(["10.0.0.1", "nginx"])
    with pytest.raises(ProxyError):
        Hub(tmp_path / "hub.db", TOKEN, "127.0.0.1", 0, TestClock(), trusted_proxies=["nginx"])


async def refused_as(hub):
    await hub.gate.look()
    return [d.address for d in hub.register.denials(9)]


async def test_nobody_is_believed_unless_said_so(tmp_path):
    async with stage(tmp_path) as hub:
        await hub.get("/v1/pairings", "wrong", X_Forwarded_For="6.6.6.6, 10.1.1.1")
        async with opened(hub.url, "wrong", {"X-Forwarded-For": "10.1.1.1"}) as peer:
            assert await peer.closed() == Close.TOKEN
        assert await refused_as(hub) == ["127.0.0.1", "127.0.0.1"]


async def test_a_trusted_proxy_tells_whom_it_speaks_for_on_every_way_in(tmp_path):
    async with stage(tmp_path, trusted_proxies=["127.0.0.0/8"]) as hub:
        await hub.get("/v1/pairings", "wrong", X_Forwarded_For="6.6.6.6, 10.1.1.1")
        await hub.get("/v1/pairings", "wrong", X_Forwarded_For="nonsense")
        async with opened(hub.url, "wrong", {"X-Forwarded-For": "10.1.1.2"}) as peer:
            assert await peer.closed() == Close.TOKEN
        # What a client sent, and what the proxy added in a line of its own.
        await raw(
            hub, "GET", "/v1/pairings", "X-Forwarded-For: 6.6.6.6", "X-Forwarded-For: 10.1.1.3"
        )
        assert await refused_as(hub) == ["10.1.1.3", "10.1.1.2", "127.0.0.1", "10.1.1.1"]


async def raw(hub, method, path, *lines):
    """One request worded by hand; the first line of its answer."""
    parts = urlsplit(hub.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    head = [f"{method} {path} HTTP/1.1", "Host: hub", "Authorization: Bearer wrong", *lines, "", ""]
    writer.write("\r\n".join(head).encode())
    try:
        return await asyncio.wait_for(reader.readline(), 5)
    finally:
        writer.close()


async def tried(hub, address):
    """A wrong token's answer, over HTTP and over a WebSocket, from somebody who says so."""
    answer = await hub.get("/v1/pairings", "wrong", X_Forwarded_For=address)
    async with opened(hub.url, "wrong", {"X-Forwarded-For": address}) as peer:
        return answer[0], await peer.closed()


async def test_by_a_header_nobody_gets_around_a_limit_or_others_into_it(tmp_path):
    async with stage(tmp_path, limits=Limits(strangers=Rate(2, 0.01))) as hub:
        assert await tried(hub, "10.0.0.1") == (401, Close.TOKEN)
        assert await tried(hub, "10.0.0.2") == (429, Close.TRY_LATER)
    limits = Limits(strangers=Rate(2, 0.01))
    async with stage(tmp_path, limits=limits, trusted_proxies=["127.0.0.1"]) as hub:
        assert await tried(hub, "10.0.0.1") == (401, Close.TOKEN)
        assert await tried(hub, "10.0.0.1") == (429, Close.TRY_LATER)
        assert await tried(hub, "10.0.0.2") == (401, Close.TOKEN)


@pytest.mark.parametrize("way", READING)
async def test_an_honest_token_comes_in_through_a_proxy(tmp_path, way):
    async with stage(tmp_path, trusted_proxies=["127.0.0.1"]) as hub:
        assert await way(hub, (await hub.paired())["token"]) is None
