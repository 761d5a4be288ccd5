"""The hub's shared token: where it is kept, and whether what a peer shows is it."""

from __future__ import annotations

import hmac
import os
import secrets
import stat
from typing import TYPE_CHECKING

from sync.hub.auth.keys import write_new
from sync.hub.errors import TokenError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

VARIABLE = "WHORL_HUB_TOKEN"
_BEARER = "bearer "


def hub_token(db: Path, environ: Mapping[str, str]) -> str:
    """The token from `WHORL_HUB_TOKEN`, else from `<db>.token`, which is made if missing.

    Raises `TokenError` if others than the owner can read the file, or if the token is empty or no
    header can carry it.
    """
    if given := environ.get(VARIABLE, "").strip():
        return _checked(given, f"the token in {VARIABLE}")
    path = token_path(db)
    try:
        made = _made(path)
    except OSError as error:
        raise _unusable(path, error) from error
    return made or read_token(path)


def token_path(db: Path) -> Path:
    """The file beside a hub's database that its token is kept in."""
    return db.with_name(db.name + ".token")


def url_path(db: Path) -> Path:
    """The file beside a hub's database that says where it listens while it runs."""
    return db.with_name(db.name + ".url")


def read_token(path: Path) -> str:
    """The token in a file; raises `TokenError` as `hub_token` does."""
    try:
        with path.open(encoding="utf-8") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            token = file.read().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise _unusable(path, error) from error
    if mode & 0o077:
        raise TokenError(f"the token file {path} can be read by others; do: chmod 600 {path}")
    if not token:
        raise TokenError(f"the token file {path} is empty")
    return _checked(token, f"the token in {path}")


def bearer(header: str | None) -> str | None:
    """The token in an Authorization header (RFC 6750, 2.1); None if there is none."""
    if header is None or not header.lower().startswith(_BEARER):
        return None
    return header[len(_BEARER) :].strip()


def same(shown: str | None, token: str) -> bool:
    """Whether the shown token is the hub's, in a time that tells nothing of it."""
    if shown is None:
        return False
    # A header may hold bytes that are no text, which arrive as lone surrogates.
    return hmac.compare_digest(shown.encode(errors="backslashreplace"), token.encode())


def _checked(token: str, what: str) -> str:
    """The token, if an Authorization header can carry it (RFC 6750, 2.1)."""
    if not all("!" <= sign <= "~" for sign in token):
        raise TokenError(f"{what} must be of visible ASCII characters only, without spaces")
    return token


def _made(path: Path) -> str | None:
    """A new token, on disk whole or not at all; None if there is one."""
    if path.exists():
        return None
    token = secrets.token_urlsafe(32)
    return token if write_new(path, token.encode() + b"\n") else None


def _unusable(path: Path, error: Exception) -> TokenError:
    why = error.strerror if isinstance(error, OSError) else error
    return TokenError(f"the token file {path} cannot be used: {why}")
