"""The sync server: an ordered log per room, and everybody who follows it."""

from sync.hub.errors import HubError, ListenError, LogBusyError, LogError, TokenError
from sync.hub.server import Hub
from sync.hub.tokens import hub_token

__all__ = [
    "Hub",
    "HubError",
    "ListenError",
    "LogBusyError",
    "LogError",
    "TokenError",
    "hub_token",
]
