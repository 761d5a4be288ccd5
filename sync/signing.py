"""Who wrote a stretch of a device's chain: one Ed25519 signature (RFC 8032) over all of it; pure.

An event's hash covers its bytes and the hash of the event before it. So the hash of the last event
stands for the whole stretch, and one signature over it lets anybody carry the stretch, but nobody
else write it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sync.protocol import Signed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kiosk.model import Event

_PURPOSE = "whorl stretch 1"


class Signer:
    """Signs for one incarnation of a device with its private key of 32 bytes."""

    def __init__(self, seed: bytes) -> None:
        """Raises `ValueError` unless `seed` has 32 bytes."""
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        raw = self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.public = raw.hex()

    def prove(self, message: bytes) -> str:
        """A signature (hex) over any message that cannot be taken for a stretch."""
        return self._key.sign(message).hex()

    def sign(self, org: str, stretch: Signed) -> str:
        """The signature that belongs into `stretch`, hex."""
        return self._key.sign(statement(org, stretch)).hex()


def signed_by(key: str, org: str, stretch: Signed) -> bool:
    """Whether the holder of the public `key` (hex) signed it; never raises."""
    public, signature = _decoded(key), _decoded(stretch.signature)
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, statement(org, stretch))
    except (InvalidSignature, ValueError):
        return False
    return True


def alone(event: Event, key: str = "", signature: str = "", at: int = 0) -> Signed:
    """A stretch of one event, at place `at` of a push; unsigned if not said otherwise."""
    first = last = event.kseq
    return Signed(at, event.device, event.incarnation, first, last, event.hash, signature, key)


def is_key(text: str) -> bool:
    """Whether `text` is a public key as they are written here: 32 bytes in hex."""
    return len(_decoded(text)) == 32


def statement(org: str, stretch: Signed) -> bytes:
    """What is signed; as JSON, so that no two statements have the same bytes."""
    s = stretch
    fields: Sequence[object] = (
        _PURPOSE,
        org,
        s.device,
        s.incarnation,
        s.first,
        s.last,
        s.head,
    )
    return msgspec.json.encode(fields)


def _decoded(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""
