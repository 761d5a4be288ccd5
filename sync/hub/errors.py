"""What can keep a hub from running.

HubError
+-- LogError         the hub's database cannot be opened or read
+-- LogBusyError     another hub works on this database
+-- TokenError       the token's file cannot be used
+-- ListenError      the address cannot be listened on
"""

from __future__ import annotations


class HubError(Exception):
    """Root of what the hub raises; its text is one line, fit to be shown as it is."""


class LogError(HubError):
    """The hub's database cannot be opened or read."""


class LogBusyError(HubError):
    """Another hub works on this database."""


class TokenError(HubError):
    """The token's file cannot be used."""


class ListenError(HubError):
    """The address cannot be listened on."""
