"""What the hub said of an event, as the rows of the stamp table keep it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from msgspec.structs import replace

from kiosk.model import EVIDENCE, ROW_KINDS, Envelope, Kind, encode_envelope

if TYPE_CHECKING:
    from kiosk.records import Settled

_LOG = logging.getLogger(__name__)
Row: TypeAlias = tuple[int, int, int, bytes | None, str | None]
_DECISIONS = ROW_KINDS | {Kind.RESOLVE, Kind.SESSION_CLOSED, Kind.SESSION_REOPENED}
_CODE = b'"code":'  # an encoded envelope has it only if there is something to say
INT64 = (1 << 63) - 1  # the largest integer that SQLite keeps


class Known(NamedTuple):
    """An event already here, as a further word of the hub about it needs it."""

    seq: int
    id: str
    kind: str
    session: str | None
    person: str | None
    low: int
    high: int
    envelope: bytes | None
    quarantined: str | None


def fit(*numbers: int) -> bool:
    """Whether columns can hold these numbers."""
    return min(numbers) >= -INT64 and max(numbers) <= INT64


def sound(verdict: Settled) -> Settled:
    """The verdict without an envelope that no column could hold: its event must not come again."""
    stamp = verdict.envelope
    if stamp is None or (-INT64 <= stamp.low <= INT64 and -INT64 <= stamp.high <= INT64):
        return verdict
    _LOG.warning("the hub's envelope for %s is not understood", verdict.id)
    return replace(verdict, envelope=None)


def matters(event: Known, row: Row) -> bool:
    """Whether this word of the hub may change the event's row of attendance, or others by it."""
    if event.kind not in EVIDENCE:
        return event.kind in _DECISIONS  # it may have got another rank
    # A scan that the hub accepts and times just as this kiosk did tells the fold nothing new.
    same = row[1:3] == (event.low, event.high) and row[4] is None and not remarked(row[3])
    return not (same and event.envelope is None and event.quarantined is None)


def remarked(envelope: bytes | None) -> bool:
    """Whether the hub says something of an accepted event, such as that its place was taken."""
    return envelope is not None and _CODE in envelope


def code_of(verdict: Settled) -> str | None:
    """Why the hub set a pushed event apart; None if it did not."""
    return (verdict.code or "unknown") if verdict.verdict == "quarantined" else None


def stamp_row(seq: int, envelope: Envelope) -> Row:
    """The row that keeps an envelope."""
    body = encode_envelope(envelope)
    return seq, envelope.low, envelope.high, body, quarantine(envelope)


def quarantine(envelope: Envelope | None) -> str | None:
    """Why the hub keeps the event apart; None for one that counts."""
    if envelope is None or envelope.verdict != "quarantined":
        return None
    return envelope.code or "unknown"
