"""Pure decisions at the door: which session is open, who may check in, what a repeat means."""

from __future__ import annotations

import datetime as dt
from enum import Enum, auto
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import msgspec

from kiosk.clock import EARLIEST, LATEST, NS
from kiosk.model import (
    OutcomeKind,
    Presence,
    Reason,
    Session,
    Status,
    session_id,
    undated_id,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kiosk.model import Attendance, Person

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
ALL_DAY = "all-day"
_MOST_CHOICES = 5  # what a screen can show as large buttons, beside the way out
_NEAR = 36 * 3600 * NS


class Schedule(msgspec.Struct, frozen=True):
    """A session that comes back on certain days; `start` and `end` are local "HH:MM".

    An `end` at or before the `start` is on the next day. `late_after` is in minutes after the
    start, None if nobody is ever late.
    """

    id: str
    title: str
    start: str
    end: str
    days: tuple[str, ...] = DAYS
    place: str = ""
    late_after: int | None = None


class Site(msgspec.Struct, frozen=True):
    """Where the kiosk stands, as far as its days and sessions are concerned."""

    org: str
    site: str
    zone: str
    schedules: tuple[Schedule, ...] = ()
    all_day_title: str = "Open today"
    opens_before: int = 30  # minutes before its start that a session takes check-ins


class Verdict(Enum):
    """What the desk is to do with an identified person."""

    RECORD = auto()  # a first check-in
    REPEAT = auto()  # in already: keep the scan as evidence, answer "already in"
    IGNORE = auto()  # in already, moments ago on this kiosk: answer, but write nothing
    REFUSE = auto()


class Decision(msgspec.Struct, frozen=True):
    """The verdict, the answer at the door and why."""

    verdict: Verdict
    outcome: OutcomeKind
    reason: Reason = Reason.NONE


def decide(
    person: Person | None, row: Attendance | None, seconds_since_last: float | None, repeat: float
) -> Decision:
    """Whether this person may check in now.

    `row` is their attendance in the open session, `seconds_since_last` how long ago this very
    kiosk last recorded them in it, `repeat` for how many seconds a repeat is not worth an event.
    """
    if person is None:
        return Decision(Verdict.REFUSE, OutcomeKind.REFUSED, Reason.UNKNOWN_FINGER)
    if not person.active:
        return Decision(Verdict.REFUSE, OutcomeKind.REFUSED, Reason.NOT_ACTIVE)
    if row is None or not is_in(row):
        return Decision(Verdict.RECORD, OutcomeKind.ACCEPTED)
    if seconds_since_last is not None and seconds_since_last < repeat:
        return Decision(Verdict.IGNORE, OutcomeKind.ALREADY_IN)
    return Decision(Verdict.REPEAT, OutcomeKind.ALREADY_IN)


def is_in(row: Attendance) -> bool:
    """Whether a further check-in would only say what is known.

    Somebody marked present by staff who never came to a reader is not in yet: their first scan is
    a check-in like any other.
    """
    return row.presence is Presence.INSIDE and row.status is not Status.ABSENT


def sessions_around(site: Site, now: int) -> list[Session]:
    """The scheduled sessions of yesterday, today and tomorrow (site's zone), by start."""
    today = local_date(now, site.zone)
    days = [today + dt.timedelta(days=n) for n in (-1, 0, 1)]
    found = [
        on_date(site, schedule, day)
        for schedule in site.schedules
        for day in days
        if DAYS[day.weekday()] in schedule.days
    ]
    return sorted(found, key=lambda session: session.starts)


def open_session(site: Site, known: Iterable[Session], now: int) -> Session:
    """The session that takes check-ins now: the latest started open one, else the all-day one.

    A session takes check-ins from `opens_before` its start until its end. Two kiosks of a site
    come to the same answer without talking: ties break by id.
    """
    early = site.opens_before * 60 * NS
    merged = {session.id: session for session in sessions_around(site, now)}
    merged.update({session.id: session for session in known})
    open_now = [
        session
        for session in merged.values()
        if not session.all_day and session.starts - early <= now < session.ends
    ]
    started = [session for session in open_now if session.starts <= now]
    if started:
        return max(started, key=lambda session: (session.starts, session.id))
    if open_now:
        return min(open_now, key=lambda session: (session.starts, session.id))
    return all_day(site, now)


def all_day(site: Site, now: int) -> Session:
    """The session of a whole local day, for check-ins that belong to no other."""
    day = local_date(now, site.zone)
    return Session(
        id=session_id(site.org, site.site, ALL_DAY, day),
        title=site.all_day_title,
        zone=site.zone,
        starts=_utc(day, dt.time(), site.zone),
        ends=_utc(day + dt.timedelta(days=1), dt.time(), site.zone),
        roster=(),
        all_day=True,
    )


def undated(site: Site, boot: str, schedule: Schedule | None = None) -> Session:
    """The session of a boot in which nobody knows the day; nothing is guessed of its times."""
    return Session(
        id=undated_id(site.org, site.site, schedule.id if schedule else ALL_DAY, boot),
        title=schedule.title if schedule else site.all_day_title,
        zone=site.zone,
        starts=EARLIEST,
        ends=LATEST,
        place=schedule.place if schedule else "",
        roster=(),
        all_day=True,
    )


def choices(site: Site, known: Iterable[Session], now: int, boot: str) -> list[Session]:
    """What may be on where the clock is not to be believed: to be asked, the likeliest of each day.

    If `now` cannot even be near, those are the site's schedules, of no known day.
    """
    if now < EARLIEST:
        return [undated(site, boot, schedule) for schedule in site.schedules][:_MOST_CHOICES]
    found = {session.id: session for session in (*sessions_around(site, now), all_day(site, now))}
    found.update({one.id: one for one in known if one.dated and abs(one.starts - now) < _NEAR})
    nearest = sorted(found.values(), key=lambda one: (_distance(one, now), one.starts, one.id))
    return sorted(nearest[:_MOST_CHOICES], key=lambda one: (one.starts, one.id))


def on_date(site: Site, schedule: Schedule, day: dt.date) -> Session:
    """One dated session of a schedule."""
    start, end = dt.time.fromisoformat(schedule.start), dt.time.fromisoformat(schedule.end)
    last = day if end > start else day + dt.timedelta(days=1)
    starts = _utc(day, start, site.zone)
    late = schedule.late_after
    return Session(
        id=session_id(site.org, site.site, schedule.id, day),
        title=schedule.title,
        zone=site.zone,
        starts=starts,
        ends=_utc(last, end, site.zone),
        place=schedule.place,
        late_at=None if late is None else starts + late * 60 * NS,
    )


def _distance(session: Session, now: int) -> int:
    """How far a session is from being on; 0 while it is."""
    return max(session.starts - now, now - session.ends, 0)


def local_date(now: int, zone: str) -> dt.date:
    """The calendar day at `now` (UTC ns) in an IANA zone."""
    return dt.datetime.fromtimestamp(now / NS, ZoneInfo(zone)).date()


def _utc(day: dt.date, time: dt.time, zone: str) -> int:
    # A time that daylight saving skips or doubles is read by PEP 495's fold 0: one rule everywhere.
    local = dt.datetime.combine(day, time, ZoneInfo(zone))
    return int(local.timestamp()) * NS
