"""How often one may try: buckets for requests, doubling waits for wrong PINs; pure."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from dataclasses import dataclass

FREE_FAILURES = 3
FIRST_WAIT = 30  # s
LONGEST_WAIT = 3_600  # s
_MOST_KEYS = 10_000


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `burst` at once, and `per_second` for ever."""

    burst: float
    per_second: float


@dataclass(frozen=True, slots=True)
class Limits:
    """How often strangers, devices and sign-ins may try, and how much one token may have open."""

    strangers: Rate = Rate(20, 1 / 6)  # wrong tokens and codes, per address
    logins: Rate = Rate(30, 1 / 2)  # per address; each costs a tenth of a second
    devices: Rate = Rate(60, 2.0)  # greetings and renewals, per device
    requests: Rate = Rate(1000, 200.0)  # over HTTP, per device: as its WebSocket is read
    viewers: int = 64  # connections of one kiosk's or member of staff's, besides the kiosk's line


class Buckets:
    """A token bucket per key, for as many keys as memory is meant for them.

    The key longest unused is forgotten first: somebody with many addresses gets many buckets, but
    no more memory.
    """

    def __init__(self, rate: Rate, most: int = _MOST_KEYS) -> None:
        self._rate = rate
        self._most = most
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str, now: float, cost: float = 1.0) -> float:
        """Take so many; 0.0 if there was one, else the seconds until there will be.

        What costs more than is left is let by, and whoever comes next waits the longer.
        """
        wait = self.wait(key, now)
        if wait == 0.0:
            self._left[key] = (self._filled(key, now) - cost, now)
            self._left.move_to_end(key)
            while len(self._left) > self._most:
                self._left.popitem(last=False)
        return wait

    def wait(self, key: str, now: float) -> float:
        """Seconds until one can be taken; takes none."""
        lacking = 1.0 - self._filled(key, now)
        return lacking / self._rate.per_second if lacking > 0 else 0.0

    def _filled(self, key: str, now: float) -> float:
        left, at = self._left.get(key, (self._rate.burst, now))
        return min(self._rate.burst, left + max(0.0, now - at) * self._rate.per_second)


def neighbourhood(address: str) -> str:
    """Whose tries are counted together: an IPv4 address, or 64 bits of an IPv6 one.

    That is what one subscriber is given (RFC 6177), to make as many addresses of as they like.
    """
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if (mapped := found.ipv4_mapped) is not None:
        return str(mapped)
    return str(ipaddress.IPv6Network((found, 64), strict=False))


def wait_after(failures: int) -> int:
    """Seconds to wait after so many wrong PINs in a row: none, then 30, doubling up to an hour."""
    if failures < FREE_FAILURES:
        return 0
    # The exponent is capped, or a patient attacker would make a number without end.
    return min(FIRST_WAIT << min(failures - FREE_FAILURES, 16), LONGEST_WAIT)


def still_waiting(until: int, now: int) -> int:
    """Seconds left of a wait; a clock that was set back never makes it longer than the longest."""
    return max(0, min(until - now, LONGEST_WAIT))
