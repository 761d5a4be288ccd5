"""Who may come in and what they may do: asked in the same words by every transport."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from kiosk.model import site_room
from sync.hub.errors import HubError
from sync.hub.judge import belongs
from sync.hub.tokens import same
from sync.protocol import Close

if TYPE_CHECKING:
    from sync.protocol import Hello

_STATUS = {Close.TOKEN: 401, Close.REVOKED: 403, Close.TRY_LATER: 429}


class DeniedError(HubError):
    """The bearer may not: `close` for a WebSocket, `status` for HTTP, `after` seconds to wait."""

    def __init__(self, code: str, message: str, close: Close, after: float | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.close = close
        self.after = after

    @property
    def status(self) -> int:
        return _STATUS[self.close]


@dataclass(frozen=True, slots=True)
class Who:
    """Whom a peer speaks for, as it says itself. A viewer has no chain and pushes nothing."""

    org: str
    site: str
    device: str = ""
    incarnation: str = ""
    name: str = ""
    viewer: bool = False
    key: str = ""

    @classmethod
    def of(cls, hello: Hello) -> Who:
        """The one that greets."""
        names = (hello.org, hello.site, hello.device, hello.incarnation, hello.name)
        return cls(*names, viewer=hello.viewer, key=hello.key)

    def may_follow(self, room: str) -> bool:
        """Whether the room is its site's own or one of its organisation's sessions."""
        if room == site_room(self.org, self.site):
            return True
        return room.startswith(f"org/{self.org}/session/") and belongs(room, self.org)


class Access:
    """The hub's one token, whose bearer may do everything; denials are counted."""

    def __init__(self, token: str) -> None:
        self._token = token
        self.denials: dict[str, int] = {}

    def admit(self, shown: str | None) -> None:
        """Raises `DeniedError` unless the token is this hub's."""
        if not same(shown, self._token):
            raise self.denied("token", "the token is missing or not this hub's", Close.TOKEN)

    def origin(self, origin: str | None, host: str) -> None:
        """Raises `DeniedError` for a browser sent by a foreign page; programs send no Origin."""
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            raise self.denied("origin", "this origin is not the hub's own", Close.REVOKED)

    def denied(
        self, code: str, message: str, close: Close, after: float | None = None
    ) -> DeniedError:
        """Count a refusal; the error to raise."""
        self.denials[code] = self.denials.get(code, 0) + 1
        return DeniedError(code, message, close, after)
