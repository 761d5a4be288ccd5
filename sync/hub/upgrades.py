"""A WebSocket upgrade (RFC 6455, 4.2) as nearly every client words it: read and answered; pure.

Thousands of viewers that come back at once all send the same few lines, for which an HTTP server
makes a request, a task and two timers each. What is worded in any other way is left to it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import NamedTuple

from aiohttp.http_websocket import WS_KEY, ws_ext_gen, ws_ext_parse

from sync.protocol import PATH

_FIRST = f"GET {PATH} HTTP/1.1\r\n".encode()
_LONGEST = 8 * 1024  # bytes of a head
_MOST = 64  # headers
# Whoever sends these wants more than an upgrade, or has more to say before it.
_MORE = frozenset({"Content-Length", "Transfer-Encoding", "Expect", "Sec-Websocket-Protocol"})


class Upgrade(NamedTuple):
    """What was asked for, by header (`Names-Like-This`), and what came right behind it."""

    headers: dict[str, str]
    key: bytes
    rest: bytes


def upgrade_in(data: bytes) -> Upgrade | None:
    """The upgrade that begins the data; None unless it is there whole and says nothing unusual."""
    if not data.startswith(_FIRST):
        return None
    head, end, rest = data.partition(b"\r\n\r\n")
    if not end or len(head) > _LONGEST:
        return None
    headers = _headers(head[len(_FIRST) :])
    if headers is None or not _MORE.isdisjoint(headers) or not headers.get("Host"):
        return None
    wanted = (headers.get("Upgrade", "").lower(), headers.get("Sec-Websocket-Version"))
    options = headers.get("Connection", "").lower().replace(" ", "").split(",")
    key = headers.get("Sec-Websocket-Key", "")
    if wanted != ("websocket", "13") or "upgrade" not in options or not _is_key(key):
        return None
    return Upgrade(headers, key.encode(), rest)


def answer(upgrade: Upgrade) -> tuple[bytes, int]:
    """The answer that accepts, and the bits of the window to deflate with; 0 is not at all."""
    window, bare = ws_ext_parse(upgrade.headers.get("Sec-Websocket-Extensions"), isserver=True)
    accepted = base64.b64encode(hashlib.sha1(upgrade.key + WS_KEY).digest())  # noqa: S324  RFC 6455
    lines = b"Upgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Accept: %b\r\n" % accepted
    if window:
        agreed = ws_ext_gen(compress=window, isserver=True, server_notakeover=bare)
        lines += f"Sec-WebSocket-Extensions: {agreed}\r\n".encode()
    return b"HTTP/1.1 101 Switching Protocols\r\n%b\r\n" % lines, window


def _headers(data: bytes) -> dict[str, str] | None:
    """None if a line is not plainly `Name: value`, in visible ASCII, or a name comes twice."""
    headers: dict[str, str] = {}
    try:
        lines = data.decode("ascii").split("\r\n")
    except UnicodeDecodeError:
        return None
    for line in lines:
        name, colon, value = line.partition(":")
        name = name.title()
        if not (colon and name.replace("-", "").isalnum() and line.isprintable()):
            return None
        if name in headers:
            return None
        headers[name] = value.strip(" ")
    return headers if len(headers) <= _MOST else None


def _is_key(key: str) -> bool:
    try:
        return len(binascii.a2b_base64(key, strict_mode=True)) == 16  # RFC 6455, 4.1
    except binascii.Error:
        return False
