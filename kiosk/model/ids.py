"""Names that every kiosk and hub makes alike: ids of events and sessions, and rooms."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import datetime as dt

_SESSIONS = "6f1ab2a4-58a5-5c0c-9f4e-3d4f0f1c7a10"


def uuid7(wall: int, entropy: bytes) -> str:
    """A UUIDv7 (RFC 9562, 5.7) from UTC nanoseconds and at least 10 random bytes."""
    millis = (wall // 1_000_000) & ((1 << 48) - 1)
    rand = int.from_bytes(entropy[:10], "big")
    value = millis << 80 | 0x7 << 76 | (rand >> 68) << 64 | 0b10 << 62 | rand & ((1 << 62) - 1)
    digits = f"{value:032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def session_id(org: str, site: str, schedule: str, date: dt.date) -> str:
    """The id that every kiosk of a site gives the same dated session, even offline (UUIDv5)."""
    import uuid  # noqa: PLC0415  a hundredth of a second that the first frame need not wait

    name = "\x1f".join((org, site, schedule, date.isoformat()))
    return str(uuid.uuid5(uuid.UUID(_SESSIONS), name))


def undated_id(org: str, site: str, schedule: str, boot: str) -> str:
    """The id of a session of a day that nobody knows: of one boot of one machine (UUIDv5)."""
    import uuid  # noqa: PLC0415  as above

    name = "\x1f".join((org, site, schedule, "boot", boot))
    return str(uuid.uuid5(uuid.UUID(_SESSIONS), name))


def site_room(org: str, site: str) -> str:
    """Room of a site's directory and of whatever belongs to no session."""
    return f"org/{org}/site/{site}"


def session_room(org: str, session: str) -> str:
    """Room of one session's events."""
    return f"org/{org}/session/{session}"
