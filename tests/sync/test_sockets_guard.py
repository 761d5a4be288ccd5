"""The hub takes WebSockets over from aiohttp by names that aiohttp does not promise to keep."""

from __future__ import annotations

import aiohttp
from aiohttp import web
from aiohttp._websocket.reader import WebSocketDataQueue
from aiohttp.web_protocol import RequestHandler


def test_aiohttp_still_has_what_taking_a_socket_over_needs():
    assert aiohttp.__version__.split(".")[:2] == ["3", "14"]
    assert callable(web.WebSocketResponse._handshake)
    assert callable(RequestHandler.set_parser)
    assert callable(RequestHandler.connection_lost)
    for name in ("feed_data", "feed_eof", "read"):
        assert callable(getattr(WebSocketDataQueue, name))


async def test_what_nobody_reads_any_more_can_be_thrown_away():
    class Nobody:
        _reading_paused = False

    queue = WebSocketDataQueue(Nobody(), 1024, loop=None)
    assert len(queue._buffer) == 0
    queue._buffer.append(("a message", 1))
    assert queue._buffer.popleft() == ("a message", 1)
