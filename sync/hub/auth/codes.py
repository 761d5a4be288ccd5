"""One-time codes for pairing: short enough to be typed, of signs that nobody confuses; pure."""

from __future__ import annotations

import hashlib
import hmac
import secrets

# Crockford's base 32, without I, L, O and U.
_SIGNS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_READ_AS = str.maketrans("OIL", "011")
LENGTH = 8  # signs, 40 bits: at ten tries a minute, nobody guesses one while it is good


def new_code() -> str:
    """A code as it is shown: `K7QM-2XTA`."""
    signs = "".join(secrets.choice(_SIGNS) for _ in range(LENGTH))
    return f"{signs[:4]}-{signs[4:]}"


def plain(typed: str) -> str | None:
    """The code that was meant, whatever its case, spaces and dashes; None if it cannot be one."""
    code = "".join(sign for sign in typed.upper() if sign not in " -").translate(_READ_AS)
    good = len(code) == LENGTH and all(sign in _SIGNS for sign in code)
    return code if good else None


def digest(code: str, key: bytes) -> bytes:
    """What is kept of a code: without the hub's key, nobody can try all codes against it."""
    return hmac.digest(key, code.encode(), hashlib.sha256)
