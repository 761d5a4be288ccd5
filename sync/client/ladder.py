"""Which transport to try next: the best that gets through; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from sync.client.wires import ClimbedError, UnfitError

if TYPE_CHECKING:
    from collections.abc import Sequence

TRANSPORTS = ("websocket", "sse", "polling")

_HINTS = 2  # handshakes that time out before plain HTTP is tried
_SHORT_LIVES = 3  # connections cut before they had proven themselves, the same
_NOT_A_BLOCK = (401, 403, 429)  # the hub's own answers


class Ladder:
    """Steps down once something suggests that a transport is blocked, not that the hub is away.

    Whether it is shows itself below: where not even a greeting gets through by plain HTTP, the hub
    cannot be reached at all, and the next try is at the top again.
    """

    def __init__(self, rungs: Sequence[str] = TRANSPORTS) -> None:
        self.rungs = tuple(rungs)
        self.rung = 0
        self._hints = 0.0

    @property
    def transport(self) -> str:
        """The one to try now."""
        return self.rungs[self.rung]

    def climbed(self, rung: int) -> None:
        """A better one was found to work."""
        self.rung = rung
        self._hints = 0

    def ended(self, error: Exception, *, greeted: bool, proven: bool) -> bool:
        """A try on this rung is over; whether the next is on another, and should come at once."""
        if isinstance(error, ClimbedError):
            return True
        if self.rung > 0:
            return self._ended_below(error, greeted=greeted)
        hints = self._hint(error, greeted=greeted, proven=proven)
        self._hints = self._hints + hints if hints else 0
        if self._hints < 1 or self.rung + 1 >= len(self.rungs):
            return False
        self.rung, self._hints = self.rung + 1, 0
        return True

    def _ended_below(self, error: Exception, *, greeted: bool) -> bool:
        if greeted and isinstance(error, UnfitError) and self.rung + 1 < len(self.rungs):
            self.rung += 1
            return True
        if not greeted:
            self.rung = 0
        return False

    def _hint(self, error: Exception, *, greeted: bool, proven: bool) -> float:
        """How much this speaks for a WebSocket that is blocked: 1 is enough."""
        if greeted:
            cut = isinstance(error, (ConnectionClosed, OSError)) and _nobody_said_why(error)
            return 1 / _SHORT_LIVES if cut and not proven else 0
        if isinstance(error, InvalidStatus):
            return 0 if error.response.status_code in _NOT_A_BLOCK else 1
        if isinstance(error, InvalidHandshake):
            return 1
        if isinstance(error, TimeoutError) or (
            isinstance(error, ConnectionClosed) and _nobody_said_why(error)
        ):
            return 1 / _HINTS
        return 0


def _nobody_said_why(error: Exception) -> bool:
    return not isinstance(error, ConnectionClosed) or error.rcvd is None
