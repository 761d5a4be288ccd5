"""Instants as the clock on the wall of a session's own zone tells them."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from PySide6.QtCore import QDate, QLocale

_NS = 1_000_000_000


def local(wall: int, zone: str | None) -> dt.datetime:
    """UTC nanoseconds as local time of an IANA zone; of this machine's own if None or unknown."""
    instant = dt.datetime.fromtimestamp(wall // _NS, tz=dt.UTC)
    try:
        return instant.astimezone(ZoneInfo(zone) if zone else None)
    except (ZoneInfoNotFoundError, ValueError):
        return instant.astimezone()


def clock(wall: int, zone: str | None) -> str:
    """ "18:04"."""
    return f"{local(wall, zone):%H:%M}"


def date(wall: int, zone: str | None, language: str, pattern: str) -> str:
    """The day in a language, by a QLocale date pattern such as "dddd d MMMM"."""
    day = local(wall, zone)
    return QLocale(language).toString(QDate(day.year, day.month, day.day), pattern)


def to_next_minute(wall: int) -> int:
    """Milliseconds until the clock's next minute, at least 1."""
    return max(1, 60_000 - wall // 1_000_000 % 60_000)
