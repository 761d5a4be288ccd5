"""WebSocket framing of what the hub sends (RFC 6455, 5.2), so that one frame serves many."""

from __future__ import annotations

import struct

_TEXT = 0x81  # FIN, opcode 1
_SHORT = struct.Struct("!BB")
_MEDIUM = struct.Struct("!BBH")
_LONG = struct.Struct("!BBQ")


def framed(payload: bytes) -> bytes:
    """One unmasked, unfragmented text frame."""
    size = len(payload)
    if size < 126:
        return _SHORT.pack(_TEXT, size) + payload
    if size < 1 << 16:
        return _MEDIUM.pack(_TEXT, 126, size) + payload
    return _LONG.pack(_TEXT, 127, size) + payload
