"""PINs and passwords of staff as argon2id verifiers (RFC 9106) under a pepper."""

from __future__ import annotations

import hashlib
import hmac

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

SHORTEST_PIN = 6
SHORTEST_PASSWORD = 8
LONGEST = 128
_KEYPAD = ("01234567890", "09876543210")
# RFC 9106, 4: the second recommended option, 64 MiB and three passes.
_HASHER = PasswordHasher(time_cost=3, memory_cost=64 * 1024, parallelism=4)


def problem(secret: str) -> str:
    """Why this cannot be anybody's PIN or password, in words; empty if it can."""
    if len(secret) > LONGEST:
        return f"longer than {LONGEST} characters"
    if secret.isdigit():
        if len(secret) < SHORTEST_PIN:
            return f"a PIN has at least {SHORTEST_PIN} digits"
        if len(set(secret)) == 1 or any(secret in row for row in _KEYPAD):
            return "that PIN is the first that anybody would try"
        return ""
    if len(secret) < SHORTEST_PASSWORD:
        return (
            f"a password has at least {SHORTEST_PASSWORD} characters, a PIN {SHORTEST_PIN} digits"
        )
    return ""


def verifier(secret: str, pepper: bytes) -> str:
    """What is kept of a PIN or password; takes about 100 ms and 64 MiB, so never on a loop."""
    return _HASHER.hash(_peppered(secret, pepper))


def fits(secret: str, kept: str, pepper: bytes) -> bool:
    """Whether it is the one; as slow as `verifier`."""
    try:
        return _HASHER.verify(kept, _peppered(secret, pepper))
    except (Argon2Error, InvalidHashError):
        return False


def _peppered(secret: str, pepper: bytes) -> bytes:
    return hmac.digest(pepper, secret.encode(errors="surrogatepass"), hashlib.sha256)
