"""Tokens as JWTs (RFC 7519), signed with HS256 (RFC 7518, 3.2).

Only the hub that signs them ever reads them, so a public key would serve nobody, and a MAC over
256 random bits is checked in a tenth of the time.
"""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import jwt
import msgspec

from kiosk.clock import NS
from kiosk.model import Rank
from sync.hub.auth.grants import Grant, Role

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kiosk.clock import Clock

_ALGORITHM = "HS256"
_ISSUER = "whorl"
_LONGEST = 4096  # characters of a token; an honest one has some 400
DEVICE_LIFE = 90 * 86_400  # s
STAFF_LIFE = 12 * 3_600  # s
CHALLENGE_LIFE = 60  # s
LIVES = {Role.DEVICE: DEVICE_LIFE, Role.STAFF: STAFF_LIFE, Role.ADMIN: STAFF_LIFE}

_Text = Annotated[str, msgspec.Meta(max_length=500)]


class _Claims(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a token says; `use` keeps a challenge from passing for a token."""

    iss: str
    sub: _Text
    jti: _Text
    iat: int
    exp: int
    use: str = "access"
    role: Role = Role.DEVICE
    device: _Text = ""
    org: _Text = ""
    sites: tuple[_Text, ...] = ()
    rooms: tuple[_Text, ...] | None = None
    rank: Rank = Rank.NONE
    stamp: int = 0


class Passes:
    """Makes tokens, good for `lives` (seconds), and reads them again; for any thread."""

    lives: Mapping[Role, int] = LIVES

    def __init__(self, signing: bytes, clock: Clock) -> None:
        self._signing = signing
        self._clock = clock

    def now(self) -> int:
        """The hub's own time, UTC s: no bearer's clock is ever asked."""
        return self._clock.wall() // NS

    def make(self, grant: Grant, life: int | None = None) -> tuple[str, Grant]:
        """A token for the grant, good for `life` seconds, and the grant as the token has it."""
        now = self.now()
        life = self.lives[grant.role] if life is None else life
        full = replace(grant, expires=now + life)
        claims = _Claims(
            iss=_ISSUER,
            sub=full.subject,
            jti=uuid.uuid4().hex,
            iat=now,
            exp=now + life,
            role=full.role,
            device=full.device,
            org=full.org,
            sites=full.sites,
            rooms=full.rooms,
            rank=full.rank,
            stamp=full.stamp,
        )
        return self._signed(claims), full

    def read(self, token: str) -> Grant | None:
        """What the token grants, expired or not; None if this hub never made it."""
        claims = self._claims(token)
        if claims is None or claims.use != "access":
            return None
        return Grant(
            role=claims.role,
            subject=claims.sub,
            device=claims.device,
            org=claims.org,
            sites=claims.sites,
            rooms=claims.rooms,
            rank=claims.rank,
            stamp=claims.stamp,
            expires=claims.exp,
        )

    def challenge(self, device: str) -> str:
        """Something fresh for a device to sign, good for a minute."""
        now, id_ = self.now(), uuid.uuid4().hex
        return self._signed(_Claims(_ISSUER, device, id_, now, now + CHALLENGE_LIFE, "challenge"))

    def answers(self, challenge: str, device: str) -> bool:
        """Whether this is a challenge given to that device less than a minute ago."""
        claims = self._claims(challenge)
        if claims is None or claims.use != "challenge":
            return False
        return claims.sub == device and self.now() < claims.exp

    def _signed(self, claims: _Claims) -> str:
        return jwt.encode(msgspec.to_builtins(claims), self._signing, _ALGORITHM)

    def _claims(self, token: str) -> _Claims | None:
        if len(token) > _LONGEST or not token.isascii():
            return None
        # The times are compared with the injected clock, and by those who want them.
        unchecked = {"verify_exp": False, "verify_iat": False, "verify_nbf": False}
        options: Any = unchecked | {"require": ["exp", "iat", "sub", "jti", "iss"]}
        try:
            found = jwt.decode(token, self._signing, [_ALGORITHM], options=options, issuer=_ISSUER)
            return msgspec.convert(found, _Claims)
        except (jwt.InvalidTokenError, msgspec.ValidationError, ValueError, RecursionError):
            return None
