"""Tokens whose signature was found good, so that a crowd that comes back is not verified anew."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sync.hub.auth.grants import Grant
    from sync.hub.auth.passes import Passes

MOST = 4096  # tokens


class Verified:
    """Reads tokens as `Passes` does; remembers the last good ones, by digest alone.

    A signature that was good stays good. Whether the grant has expired or was taken back is for
    the gate to judge, each time. For use on the hub's loop.
    """

    def __init__(self, passes: Passes, most: int = MOST) -> None:
        self._passes = passes
        self._most = most
        self._grants: dict[bytes, Grant] = {}

    def __len__(self) -> int:
        return len(self._grants)

    def read(self, token: str) -> Grant | None:
        """What the token grants, expired or not; None if this hub never made it."""
        digest = hashlib.sha256(token.encode(errors="backslashreplace")).digest()
        grant = self._grants.get(digest)
        if grant is None:
            grant = self._passes.read(token)
            if grant is not None:
                self._grants[digest] = grant
                if len(self._grants) > self._most:
                    del self._grants[next(iter(self._grants))]
        return grant
