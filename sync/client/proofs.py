"""Whether a hub has signed what it is said to have, looked at before a record is kept so."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from kiosk.model import Envelope, decode_event, event_hash
from sync.signing import alone, signed_by

if TYPE_CHECKING:
    from collections.abc import Sequence

_LOG = logging.getLogger(__name__)


def proven(items: Sequence[tuple[bytes, Envelope]]) -> list[tuple[bytes, Envelope]]:
    """The same items, without the signatures that prove nothing. About 0.15 ms for each signed."""
    return [(body, _proven(body, envelope)) for body, envelope in items]


def _proven(body: bytes, envelope: Envelope) -> Envelope:
    return envelope if not envelope.signature or _fits(body, envelope) else _unsigned(envelope)


def _fits(body: bytes, envelope: Envelope) -> bool:
    try:
        event = decode_event(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return False
    stretch = alone(event, envelope.key, envelope.signature)
    return event_hash(event) == event.hash and signed_by(envelope.key, event.org, stretch)


def _unsigned(envelope: Envelope) -> Envelope:
    _LOG.warning("the hub's signature of the record at %d is not good", envelope.offset)
    return replace(envelope, key="", signature="")
