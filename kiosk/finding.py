"""One line of `kiosk doctor`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: what was looked at, whether it is well, and what was seen.

    `mind` is for what works and yet wants somebody's attention.
    """

    name: str
    well: bool
    seen: str
    mind: bool = False

    def line(self) -> str:
        mark = "FAIL" if not self.well else "mind" if self.mind else "ok  "
        return f"{mark} {self.name:<9} {self.seen}"
