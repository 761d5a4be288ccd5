"""Whose address a request counts as that came through a proxy; pure."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, TypeAlias

from sync.hub.errors import ProxyError

if TYPE_CHECKING:
    from collections.abc import Iterable

    Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


class Proxies:
    """Those whose `X-Forwarded-For` is believed; without any, nobody's is.

    Whoever else writes that header could try under as many addresses as they like, or have
    another's refused.
    """

    def __init__(self, trusted: Iterable[str] = ()) -> None:
        """Addresses or networks (`10.0.0.0/8`); raises `ProxyError` for what is neither."""
        self._trusted = [_network(one) for one in trusted]

    def address(self, peer: str, forwarded: str) -> str:
        """The address behind the peer, which says (`X-Forwarded-For`) through whom it came.

        Each proxy adds on the right whom it was asked by, so that is believed for as long as a
        trusted one said it; what it says further left may be its client's invention.
        """
        if not self._trusted:
            return peer
        told = [part.strip() for part in forwarded.split(",")]
        address = peer
        while told and self._trusts(address):
            before = _plain(told.pop())
            if before is None:
                break
            address = before
        return address

    def _trusts(self, address: str) -> bool:
        try:
            found = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return False
        if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
            found = found.ipv4_mapped
        return any(found in network for network in self._trusted)


def _network(text: str) -> Network:
    try:
        return ipaddress.ip_network(text.strip(), strict=False)
    except ValueError:
        raise ProxyError(f"{text!r} is neither an address nor a network") from None


def _plain(text: str) -> str | None:
    """The address without the port and brackets that some proxies write; None if it is none."""
    host = text
    if text.startswith("["):
        host = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        host = text.partition(":")[0]
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return None
