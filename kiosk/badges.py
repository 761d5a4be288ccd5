"""What is kept of a badge: a keyed hash of its token; and the pepper, which is kept elsewhere.

BadgeError            a pepper cannot be used

A badge number of six digits is found from its hash by trying all of them, in seconds. What stands
in the way is the pepper: a secret of the site in a file of its own, never in a database. It is that
of `[badge] pepper_file`, else the one that the site's hub gives its kiosks when they are paired.
"""

from __future__ import annotations

import logging
import os
import stat
import unicodedata
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from kiosk.credentials import kept_pairing
from kiosk.errors import KioskError
from sync.hub.auth.keys import key_path

if TYPE_CHECKING:
    from collections.abc import Callable

    from kiosk.config import Config

_LOG = logging.getLogger(__name__)

# What a badge says to all forms that it may be kept in, the first being the present one.
Keep: TypeAlias = "Callable[[str], tuple[str, ...]]"

_SHORTEST_PEPPER = 16
_KEY_USE, _HASH_USE = b"whorl badge key", b"whorl badge"


class BadgeError(KioskError):
    """A pepper cannot be used; one line says why."""


class BadgeKey:
    """Hashes tokens for one organisation; never changes, and never shows what it was made from.

    A pepper that is a function is asked for at first need, and may raise `BadgeError`. `former`
    are keys that badges may have been kept by before: they are still known, and made no more.
    """

    def __init__(
        self,
        org: str,
        pepper: bytes | Callable[[], bytes] = b"",
        former: tuple[BadgeKey, ...] = (),
        source: str = "",
    ) -> None:
        """`source` is where the pepper is from, in words; "" without one."""
        self.source = source
        self._org = org
        self.pepper = pepper
        self._former = former

    @cached_property
    def name(self) -> str:
        """Eight hex digits that tell this key from others, and nothing of the pepper."""
        return _blake2b(self._key, b"", 4, _KEY_USE)

    def hash(self, token: str) -> str:
        """`<name>.<32 hex digits>`: BLAKE2b-128 (RFC 7693), keyed, of the token in form NFC."""
        plain = unicodedata.normalize("NFC", token).encode("utf-8", "surrogatepass")
        return f"{self.name}.{_blake2b(plain, self._key, 16, _HASH_USE)}"

    def hashes(self, token: str) -> tuple[str, ...]:
        """All that may be kept of the token, the present form first; raises nothing."""
        return tuple(key.hash(token) for key in self._usable)

    def makes(self, hashed: str) -> bool:
        """Whether a hash is of the present pepper, as all are that are imported now."""
        return hashed.startswith(f"{self.name}.")

    def made(self, hashed: str) -> bool:
        """Whether a hash is of this organisation and a known pepper; no other is ever found."""
        return any(key.makes(hashed) for key in self._usable)

    @cached_property
    def _usable(self) -> tuple[BadgeKey, ...]:
        usable = []
        for key in (self, *self._former):
            try:
                key.name  # noqa: B018  it asks for the pepper
            except BadgeError as error:
                _LOG.error("%s", error)
            else:
                usable.append(key)
        return tuple(usable)

    @cached_property
    def _key(self) -> bytes:
        pepper = self.pepper() if callable(self.pepper) else self.pepper
        # The length keeps an organisation's id and its pepper apart.
        made_of = len(self._org.encode()).to_bytes(4, "big") + self._org.encode() + pepper
        return bytes.fromhex(_blake2b(made_of, b"", 64, _KEY_USE))


def badge_key(config: Config, *, make: bool = True) -> BadgeKey:
    """The key by the settings: the pepper of their file, of the pairing, or of the own hub.

    What was kept with another of these, or with none, is known as well. The own hub's secret is
    made at first need, unless `make` is False. Raises `BadgeError` if the file cannot be used, and
    `PairingError`.
    """
    pairing, org = kept_pairing(config), config.organisation.id
    elsewhere = bool(config.hub.url) or pairing is not None
    own = _of_hub(config.hub_database, org, config.site.id, "this kiosk's own hub")
    there = key_path(config.hub_database).exists()
    found = []
    if config.badge.pepper_file:
        found.append(_of_file(org, Path(config.badge.pepper_file).expanduser()))
    if pairing is not None and pairing.pepper:
        secret = _decoded(pairing.pepper)
        found.append(BadgeKey(org, secret, source=f"its pairing with {pairing.url}"))
    if not elsewhere and (make or there):
        found.append(own)
    found.append(BadgeKey(org))
    if elsewhere and there:
        found.append(own)
    return _united(org, found)


def badge_key_of_hub(db: Path, org: str, site: str, pepper_file: Path | None = None) -> BadgeKey:
    """The key of a site's badges on its hub's machine; as `badge_key` on each of its kiosks."""
    found = [_of_file(org, pepper_file)] if pepper_file is not None else []
    found.append(_of_hub(db, org, site, "the hub"))
    return _united(org, [*found, BadgeKey(org)])


def keeper(key: BadgeKey, pattern: str = "") -> Keep:
    """Makes of what a badge says, such as a whole web address, the hashes that it may be kept as.

    `pattern` is that of the settings. What it returns raises `BadgeError` without its pepper.
    """
    from drivers.badge import token_in  # noqa: PLC0415  the first frame needs no badge

    def keep(text: str) -> tuple[str, ...]:
        token = token_in(text, pattern)
        return key.hash(token), *key.hashes(token)[1:]

    return keep


def _united(org: str, keys: list[BadgeKey]) -> BadgeKey:
    first, *former = keys
    return BadgeKey(org, first.pepper, tuple(former), first.source)


def _of_file(org: str, path: Path) -> BadgeKey:
    return BadgeKey(org, _pepper(path), source=str(path))


def _of_hub(db: Path, org: str, site: str, source: str) -> BadgeKey:
    def pepper() -> bytes:
        from sync.hub.auth.keys import hub_keys  # noqa: PLC0415  the first frame needs no badge
        from sync.hub.errors import TokenError  # noqa: PLC0415  the same

        try:
            return hub_keys(db).pepper(org, site)
        except TokenError as error:
            raise BadgeError(f"badges cannot be kept: {error}") from error

    return BadgeKey(org, pepper, source=source)


def _decoded(pepper: str) -> bytes:
    try:
        return bytes.fromhex(pepper)
    except ValueError as error:
        raise BadgeError("the pairing's pepper is none; pair this kiosk anew") from error


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
