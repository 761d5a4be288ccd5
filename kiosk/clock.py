"""Wall, boot and hub-anchored time; every caller is handed a clock, so tests own the hours."""

from __future__ import annotations

import ctypes
import time
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

NS = 1_000_000_000
# A quartz oscillator may drift this much between two contacts with the hub (100 ppm).
DRIFT_PER_NS = 1e-4

# 2025-01-01 UTC, before this program was written: nothing that it recorded is older.
EARLIEST = 1_735_689_600 * NS
# 2125-01-01 UTC: the end of an interval that has none.
LATEST = 4_891_363_200 * NS

_STA_UNSYNC = 0x0040  # adjtimex(2): the kernel does not believe its clock
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Clock(Protocol):
    """What the program asks of time; all in nanoseconds but `monotonic` (seconds)."""

    @property
    def boot(self) -> str:
        """Identity of this boot of the machine; ticks of two boots never compare."""

    def wall(self) -> int:
        """UTC since 1970 as this machine believes it: evidence, never trusted for order."""

    def ticks(self) -> int:
        """Time since boot, suspend included (CLOCK_BOOTTIME)."""

    def monotonic(self) -> float:
        """Seconds for timers, cooldowns and back-off."""

    def synced(self) -> bool:
        """Whether the kernel says its wall clock is synchronised."""


class SystemClock:
    """The machine's own clocks."""

    def __init__(self) -> None:
        self.boot = _BOOT_ID.read_text().strip() if _BOOT_ID.exists() else "unknown-boot"
        self._libc = ctypes.CDLL(None)

    def wall(self) -> int:
        return time.time_ns()

    def ticks(self) -> int:
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME)

    def monotonic(self) -> float:
        return time.monotonic()

    def synced(self) -> bool:
        # struct timex starts with `modes` (0 = only read), then three longs, then `status`.
        timex = (ctypes.c_long * 32)()
        if not hasattr(self._libc, "adjtimex") or self._libc.adjtimex(timex) < 0:
            return False
        status = ctypes.c_int.from_buffer(timex, 4 * ctypes.sizeof(ctypes.c_long))
        return not status.value & _STA_UNSYNC


class Anchor(msgspec.Struct, frozen=True, omit_defaults=True):
    """One good hub round trip of one boot: at `ticks` the hub's clock read `hub`.

    `since` are the ticks at which the database came to that machine, if that was running already.
    `device` is whose boot it was, "" for that of whoever sends it.
    """

    boot: str
    ticks: int
    hub: int
    round_trip: int
    since: int = 0
    device: str = ""


class HubClock:
    """A machine's clocks, its wall clock set right by what is known of the hub's time.

    After a contact in this boot the wall time is the hub's plus the elapsed boot time. Before it,
    the time is at least the latest that was ever heard from a hub: a kiosk without a battery clock
    wakes up in the past. For what people are shown and for choosing a session; events keep the
    machine's own wall clock as evidence.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._anchor: Anchor | None = None
        self._floor = 0
        self.boot = clock.boot

    def learn(self, anchors: Iterable[Anchor]) -> None:
        """Take the anchors of all boots; an older one of this boot never replaces a later one."""
        for anchor in anchors:
            self._floor = max(self._floor, anchor.hub)
            known = self._anchor
            if anchor.boot == self.boot and (known is None or anchor.ticks >= known.ticks):
                self._anchor = anchor

    def wall(self) -> int:
        if self._anchor is not None:
            return self._anchor.hub + self._clock.ticks() - self._anchor.ticks
        return max(self._clock.wall(), self._floor)

    def ticks(self) -> int:
        return self._clock.ticks()

    def monotonic(self) -> float:
        return self._clock.monotonic()

    def synced(self) -> bool:
        return self._anchor is not None or self._clock.synced()


def bounds(
    boot: str, ticks: int, floor: int, anchors: Iterable[Anchor], received: int, since: int = 0
) -> tuple[int, int]:
    """The interval (low, high; UTC ns) of an event of a boot in which no hub was heard.

    `floor` is the latest time that the device had heard before, so the boot began after it. An
    anchor later than that is of a later boot, so the event is older than that boot. `received` is
    when the hub got it. Nothing of the machine's own wall clock goes into this.

    A database that comes to a running machine (its disk was moved, cloned or rescued) finds a boot
    that may be older than what it has heard. All that is sure is that the time heard of was over
    when it came, at the boot's ticks `since`; likewise with a later anchor and its own `since`.
    `anchors` must all be of the event's device: the boots of two say nothing of each other.
    """
    running = int(max(ticks - since, 0) * (1 - DRIFT_PER_NS))
    low = max(floor, EARLIEST) + running
    high = received
    for anchor in anchors:
        if anchor.boot != boot and anchor.hub > floor:
            age = anchor.ticks - anchor.since
            began = anchor.hub - age
            slack = anchor.round_trip // 2 + int(abs(age) * DRIFT_PER_NS)
            high = min(high, began + slack)
    return min(low, high), high


def unheard(boot: str, ticks: int, floor: int, since: int = 0) -> tuple[int, int]:
    """The interval of an event that is known to be later than something, and nothing else.

    So it is with a clock that nobody keeps, before any hub was heard; arguments as of `bounds`.
    """
    return bounds(boot, ticks, floor, (), LATEST, since)


def effective(
    wall: int, boot: str, ticks: int, anchor: Anchor | None, ceiling: int | None = None
) -> tuple[int, int]:
    """The interval (low, high) of UTC nanoseconds in which an event truly happened.

    With an anchor of the same boot the wall clock is not used at all: hub time plus elapsed boot
    time, give or take half the round trip and the drift since. Without one the wall clock is the
    best there is, and `ceiling` (the hub's time of receipt) caps it, for nothing arrives before it
    happened.
    """
    if anchor is not None and anchor.boot == boot:
        elapsed = ticks - anchor.ticks
        middle = anchor.hub + elapsed
        slack = anchor.round_trip // 2 + int(abs(elapsed) * DRIFT_PER_NS)
        low, high = middle - slack, middle + slack
    else:
        low = high = wall
    if ceiling is not None:
        low, high = min(low, ceiling), min(high, ceiling)
    return low, high
