"""How a room's cursor is kept in the store, whose cursors have an epoch and an offset only; pure.

The store takes the epoch for opaque text, so `received` travels in it: `EPOCH#RECEIVED`, decimal.
Text without it, as earlier versions wrote, is a plain epoch.
"""

from __future__ import annotations

from sync.protocol import Cursor

_MARK = "#"


def kept(cursor: Cursor) -> tuple[str, int]:
    """The epoch's text and the offset to hand to the store."""
    epoch = f"{cursor.epoch}{_MARK}{cursor.received}" if cursor.received else cursor.epoch
    return epoch, cursor.offset


def read(saved: tuple[str, int] | None) -> Cursor | None:
    """The cursor that the store holds; None if there is none."""
    if saved is None:
        return None
    text, offset = saved
    epoch, mark, received = text.rpartition(_MARK)
    if mark and epoch and received.isascii() and received.isdigit():
        return Cursor(epoch, offset, int(received))
    return Cursor(text, offset)
