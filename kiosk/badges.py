"""What is kept of a badge: a keyed hash of its token; and the pepper, which is kept elsewhere.

BadgeError            the file of the pepper cannot be used

A badge number of six digits is found from its hash by trying all of them, in seconds. What stands
in the way is the pepper: a secret of the site in a file of its own, never in a database.
"""

from __future__ import annotations

import os
import stat
import unicodedata
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from kiosk.errors import KioskError

if TYPE_CHECKING:
    from collections.abc import Callable

    from kiosk.config import Config

_SHORTEST_PEPPER = 16
_KEY_USE, _HASH_USE = b"whorl badge key", b"whorl badge"


class BadgeError(KioskError):
    """The file of the pepper cannot be used; one line says why."""


class BadgeKey:
    """Hashes tokens for one organisation; never changes, and never shows what it was made from."""

    def __init__(self, org: str, pepper: bytes = b"") -> None:
        # The length keeps an organisation's id and its pepper apart.
        self._made_of = len(org.encode()).to_bytes(4, "big") + org.encode() + pepper

    @cached_property
    def name(self) -> str:
        """Eight hex digits that tell this key from others, and nothing of the pepper."""
        return _blake2b(self._key, b"", 4, _KEY_USE)

    def hash(self, token: str) -> str:
        """`<name>.<32 hex digits>`: BLAKE2b-128 (RFC 7693), keyed, of the token in form NFC."""
        plain = unicodedata.normalize("NFC", token).encode("utf-8", "surrogatepass")
        return f"{self.name}.{_blake2b(plain, self._key, 16, _HASH_USE)}"

    def made(self, hashed: str) -> bool:
        """Whether a hash came from this organisation and pepper; no other is ever found."""
        return hashed.startswith(f"{self.name}.")

    @cached_property
    def _key(self) -> bytes:
        return bytes.fromhex(_blake2b(self._made_of, b"", 64, _KEY_USE))


def badge_key(config: Config) -> BadgeKey:
    """The key by the settings; raises `BadgeError` if the pepper file cannot be used."""
    path = config.badge.pepper_file
    pepper = _pepper(Path(path).expanduser()) if path else b""
    return BadgeKey(config.organisation.id, pepper)


def keeper(config: Config) -> Callable[[str], str]:
    """Makes of what a badge says, such as a whole web address, the hash that is kept of it."""
    from drivers.badge import token_in  # noqa: PLC0415  the first frame needs no badge

    key, pattern = badge_key(config), config.badge.pattern
    return lambda text: key.hash(token_in(text, pattern))


def _pepper(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            pepper = file.read().strip()
    except OSError as error:
        raise BadgeError(f"the badge pepper {path} cannot be used: {error.strerror}") from error
    if mode & 0o077:
        raise BadgeError(f"the badge pepper {path} can be read by others; do: chmod 600 {path}")
    if len(pepper) < _SHORTEST_PEPPER:
        raise BadgeError(f"the badge pepper {path} is shorter than {_SHORTEST_PEPPER} characters")
    return pepper


def _blake2b(data: bytes, key: bytes, size: int, use: bytes) -> str:
    import hashlib  # noqa: PLC0415  the first frame need not wait for OpenSSL

    return hashlib.blake2b(data, key=key, digest_size=size, person=use).hexdigest()
