"""Who may come in and what they may do: asked in the same words by every transport.

`Access.admit` reads the token, `Access.greeted` looks whether its bearer is who it says, and `Who`
carries what was granted to wherever it is asked for: rooms, pushes, the directory.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from sync.hub.auth.denied import DeniedError
from sync.hub.auth.grants import OWNER, Grant
from sync.protocol import Close

if TYPE_CHECKING:
    from sync.hub.auth.gate import Caller, Gate
    from sync.protocol import Hello

__all__ = ["Access", "DeniedError", "Who"]


@dataclass(frozen=True, slots=True)
class Who:
    """Whom a peer speaks for. A viewer has no chain and pushes nothing.

    `grant` is what its token allows, which may be renewed while it stays the same peer.
    """

    org: str
    site: str
    device: str = ""
    incarnation: str = ""
    name: str = field(default="", compare=False)
    viewer: bool = False
    key: str = ""
    grant: Grant = field(default=OWNER, compare=False)

    @classmethod
    def of(cls, hello: Hello) -> Who:
        """The one that greets."""
        names = (hello.org, hello.site, hello.device, hello.incarnation, hello.name)
        return cls(*names, viewer=hello.viewer, key=hello.key)

    def may_follow(self, room: str) -> bool:
        """Whether the room is its site's own or one of its organisation's sessions."""
        return self.grant.may_follow(room, self.org, self.site)


class Access:
    """What every transport asks; all refusals are counted and noted by the gate behind it."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate

    @property
    def denials(self) -> dict[str, int]:
        """How many were refused, by code."""
        return self.gate.denials

    def admit(self, shown: str | None, caller: Caller) -> Grant:
        """What the token grants; raises `DeniedError`."""
        return self.gate.admit(shown, caller)

    def greeted(self, who: Who, grant: Grant, caller: Caller) -> Who:
        """The one that speaks, with its grant; raises `DeniedError` if it is not theirs to be."""
        device = "" if who.viewer else who.device
        self.gate.check(grant, who.org, who.site, device, caller)
        return replace(who, grant=grant)

    def demand(self, may: bool, what: str) -> None:  # noqa: FBT001  the very question
        """Raises `DeniedError` (403) unless the bearer may."""
        if not may:
            message = f"this token does not allow to {what}"
            raise DeniedError("forbidden", message, Close.REVOKED)

    def origin(self, origin: str | None, host: str) -> None:
        """Raises `DeniedError` for a browser sent by a foreign page; programs send no Origin."""
        if origin is not None and _host_of(origin) != host.lower():
            raise self.denied("origin", "this origin is not the hub's own", Close.REVOKED)

    def denied(
        self, code: str, message: str, close: Close, after: float | None = None
    ) -> DeniedError:
        """The error to raise."""
        return DeniedError(code, message, close, after)

    def noted(self, error: DeniedError, caller: Caller) -> DeniedError:
        """Note a refusal that comes to its end, if that was not done where it began."""
        return error if error.noted else self.gate.refused(error, caller, count=False)


def _host_of(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:  # such as a bracket that is never closed
        return None
