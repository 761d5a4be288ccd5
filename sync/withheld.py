"""What goes to the hub in the place of an event that is too large to travel.

The author's signature of that event alone goes along, so the hub can count its place as held. It
keeps the note apart, for whoever asks what was there; the event itself stays on the kiosk.
"""

from __future__ import annotations

import msgspec


class Withheld(msgspec.Struct, frozen=True):
    """Whose event it was, by its own `hash`, and how many bytes (`withheld`) it has."""

    id: str
    device: str
    incarnation: str
    kseq: int
    hash: str
    withheld: int


_DECODER = msgspec.json.Decoder(Withheld)


def encode(note: Withheld) -> bytes:
    """The note as it is pushed."""
    return msgspec.json.encode(note)


def is_withheld(body: bytes) -> bool:
    """Whether the bytes are such a note; never raises."""
    try:
        _DECODER.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return False
    return True
