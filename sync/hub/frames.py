"""What the hub sends, encoded once and framed once for all who get it by the same transport."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, NamedTuple

from sync.protocol import encode

if TYPE_CHECKING:
    from sync.protocol import Message

_TEXT = 0x81  # FIN, opcode 1
_COMPRESSED = 0x40  # RSV1 (RFC 7692, 6)
_WORTH_IT = 256  # bytes; what is shorter is not worth deflating
_TAIL = b"\x00\x00\xff\xff"  # left out of a compressed message (RFC 7692, 7.2.1)
_SHORT = struct.Struct("!BB")
_MEDIUM = struct.Struct("!BBH")
_LONG = struct.Struct("!BBQ")


class Mark(NamedTuple):
    """Where in a room its reader stands once it has taken the message in.

    Of rows, `received` says it; of events it is 0.
    """

    room: str
    epoch: str
    offset: int
    received: int = 0

    @property
    def text(self) -> str:
        """The offset as it stands in the id of a server-sent event."""
        return f"{self.offset}.{self.received}" if self.received else str(self.offset)


class Parcel:
    """One message, and the forms it takes on each transport, made when first asked for."""

    __slots__ = ("_deflated", "_framed", "_sse", "mark", "news", "payload")

    def __init__(self, message: Message, mark: Mark | None = None, *, news: bool = True) -> None:
        """`news` is False for what a peer that asks again and again need not be told at once."""
        self.payload = encode(message)
        self.mark = mark
        self.news = news
        self._framed: bytes | None = None
        self._deflated: bytes | None = None
        self._sse: bytes | None = None

    @property
    def framed(self) -> bytes:
        """A plain WebSocket frame."""
        if self._framed is None:
            self._framed = framed(self.payload)
        return self._framed

    @property
    def deflated(self) -> bytes:
        """A frame for peers that negotiated permessage-deflate; no context is kept between two."""
        if len(self.payload) < _WORTH_IT:
            return self.framed
        if self._deflated is None:
            deflater = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
            data = deflater.compress(self.payload) + deflater.flush(zlib.Z_SYNC_FLUSH)
            self._deflated = framed(data.removesuffix(_TAIL), _TEXT | _COMPRESSED)
        return self._deflated

    @property
    def sse(self) -> bytes:
        """The data of a server-sent event (WHATWG HTML, 9.2.6), still without id and blank line.

        Bodies are kept as they were pushed, so there may be line ends between their tokens.
        """
        if self._sse is None:
            lines = self.payload.replace(b"\r", b" ").replace(b"\n", b"\ndata: ")
            self._sse = b"data: " + lines + b"\n"
        return self._sse


def framed(payload: bytes, first: int = _TEXT) -> bytes:
    """One unmasked, unfragmented frame (RFC 6455, 5.2)."""
    size = len(payload)
    if size < 126:
        return _SHORT.pack(first, size) + payload
    if size < 1 << 16:
        return _MEDIUM.pack(first, 126, size) + payload
    return _LONG.pack(first, 127, size) + payload
