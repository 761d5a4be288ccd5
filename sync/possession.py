"""Proof that a kiosk holds its device key, for pairing and for renewing an expired token; pure.

What is signed names its purpose, so that no proof passes for another or for a stretch of the log.
"""

from __future__ import annotations

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey


def pairing_statement(code: str, org: str, site: str, device: str, incarnation: str) -> bytes:
    """What a kiosk signs to be paired; `code` as `sync.hub.auth.codes.plain` reads it."""
    return msgspec.json.encode(("whorl pairing 1", code, org, site, device, incarnation))


def renewal_statement(challenge: str) -> bytes:
    """What a kiosk signs to get a new token for one that has expired."""
    return msgspec.json.encode(("whorl renewal 1", challenge))


def prove(seed: bytes, statement: bytes) -> str:
    """The Ed25519 signature (RFC 8032) in hex; raises `ValueError` unless `seed` has 32 bytes."""
    return Ed25519PrivateKey.from_private_bytes(seed).sign(statement).hex()


def proven(key: str, statement: bytes, proof: str) -> bool:
    """Whether the holder of the public `key` (hex) signed the statement; never raises."""
    try:
        public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(key))
        public.verify(bytes.fromhex(proof), statement)
    except (InvalidSignature, ValueError):
        return False
    return True
