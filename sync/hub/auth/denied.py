"""The one way in which a hub says no, whatever transport asked."""

from __future__ import annotations

from sync.hub.errors import HubError
from sync.protocol import Close

_STATUS = {Close.TOKEN: 401, Close.REVOKED: 403, Close.TRY_LATER: 429}


class DeniedError(HubError):
    """The bearer may not: `close` for a WebSocket, `status` for HTTP, `after` seconds to wait.

    `noted` once it is among the refusals that are kept.
    """

    def __init__(self, code: str, message: str, close: Close, after: float | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.close = close
        self.after = after
        self.noted = False

    @property
    def status(self) -> int:
        return _STATUS[self.close]
