"""What carries an exchange: a WebSocket, or one of the ways around those who will not let it pass.

AnsweredError       the hub, or somebody in its place, refused a request; `status` is HTTP's
UnfitError          plain requests get through, but this way of listening does not
ClimbedError        a better way was found: the exchange ends to go on there
"""

from __future__ import annotations

from typing import Protocol

from sync.protocol import ProtocolError


class AnsweredError(ProtocolError):
    """A request was answered with a refusal; `after` (seconds) is when to try again, if known."""

    code = "answered"

    def __init__(self, status: int, reason: str = "", after: float = 0.0) -> None:
        super().__init__(f"status {status} {reason}".strip())
        self.status = status
        self.reason = reason
        self.after = after


class UnfitError(ProtocolError):
    """Requests get through, but what should be heard does not come."""

    code = "unfit"


class ClimbedError(ProtocolError):
    """The exchange goes on over a better transport."""

    code = "climbed"


class Wire(Protocol):
    """Messages to and from a hub, encoded; what `websockets` offers of it."""

    async def send(self, message: bytes, *, text: bool) -> None:
        """Hand one over. Raises an error of the transport."""

    async def recv(self, *, decode: bool) -> bytes:
        """The next one. Raises an error of the transport once it has ended."""
