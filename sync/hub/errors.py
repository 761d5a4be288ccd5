"""What can keep a hub from running.

HubError
+-- LogError         the hub's database cannot be opened or read
+-- LogBusyError     another hub works on this database
+-- TokenError       the file of a token or of the hub's secret cannot be used
+-- RegisterError    the register of devices and staff cannot be used
+-- BackupError      a backup cannot be made, or brought back
+-- ListenError      the address cannot be listened on
+-- ProxyError       a proxy to be trusted is named by no address
"""

from __future__ import annotations


class HubError(Exception):
    """Root of what the hub raises; its text is one line, fit to be shown as it is."""


class LogError(HubError):
    """The hub's database cannot be opened or read."""


class LogBusyError(HubError):
    """Another hub works on this database."""


class TokenError(HubError):
    """The file of a token or of the hub's secret cannot be used."""


class RegisterError(HubError):
    """The register of devices and staff cannot be used."""


class BackupError(HubError):
    """A backup cannot be made, or brought back."""


class ListenError(HubError):
    """The address cannot be listened on."""


class ProxyError(HubError):
    """A proxy to be trusted is named by no address."""
