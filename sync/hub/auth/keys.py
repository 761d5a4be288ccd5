"""The hub's secrets, each in a file of its own beside the database that only its owner can read."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat
from typing import TYPE_CHECKING

from sync.hub.errors import TokenError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_BYTES = 32


class Keys:
    """What is derived from one random secret of 256 bits; immutable, for any thread.

    There is no default: a hub without a secret makes one, and one that others may read is refused.
    """

    def __init__(self, secret: bytes) -> None:
        if len(secret) != _BYTES:
            raise TokenError(f"a hub's secret must have {_BYTES} bytes")
        self.secret = secret
        self.signing = _derived(secret, "tokens")
        self.codes = _derived(secret, "pairing codes")
        self.records = _derived(secret, "records")

    def pepper(self, org: str, site: str) -> bytes:
        """What a site's PINs are hashed with besides their salt; given to its kiosks at pairing."""
        return _derived(self.secret, f"pepper\x1f{org}\x1f{site}")

    @property
    def own_pepper(self) -> bytes:
        """The same for the verifiers that never leave the hub."""
        return _derived(self.secret, "pepper of the hub")


def key_path(db: Path) -> Path:
    """The file beside a hub's database that its secret is kept in."""
    return db.with_name(db.name + ".key")


def hub_keys(db: Path, entropy: Callable[[int], bytes] = secrets.token_bytes) -> Keys:
    """The keys of the hub at `db`, made at first need; raises `TokenError` if they cannot be used.

    A file that anybody but its owner may read is refused, for it may have been read.
    """
    path = key_path(db)
    try:
        if path.exists():  # also on a full disk
            return _read(path)
        made = write_new(path, entropy(_BYTES).hex().encode() + b"\n")
        return Keys(bytes.fromhex(made.decode())) if made else _read(path)
    except OSError as error:
        raise TokenError(f"the hub's secret {path} cannot be used: {error.strerror}") from error


def write_new(path: Path, data: bytes) -> bytes | None:
    """Make a file of mode 0600, durably; None if there is one already. Raises OSError."""
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        # A link, because it is there whole or not at all, and never replaces another's.
        path.hardlink_to(fresh)
    except FileExistsError:
        return None
    finally:
        fresh.unlink(missing_ok=True)
    return data


def _read(path: Path) -> Keys:
    with path.open("rb") as file:
        if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
            raise TokenError(f"the hub's secret {path} can be read by others; do: chmod 600 {path}")
        text = file.read(4 * _BYTES)
    try:
        return Keys(bytes.fromhex(text.decode("ascii").strip()))
    except ValueError:
        raise TokenError(f"the hub's secret {path} is not one: 64 hex digits") from None


def _derived(secret: bytes, purpose: str) -> bytes:
    """One key per purpose (HMAC as a PRF, NIST SP 800-108r1), so that none stands for another."""
    return hmac.digest(secret, b"whorl hub 1\x1f" + purpose.encode(), hashlib.sha256)
