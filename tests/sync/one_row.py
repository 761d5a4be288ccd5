"""Builders of one row's history: who wrote what on which kiosk, and when after nine."""

from __future__ import annotations

from kiosk.model import (
    Author,
    Entry,
    Envelope,
    Event,
    Kind,
    Session,
)
from sync.merge import Fold, fold_row

MINUTE = 60 * 1_000_000_000
NINE = 1_767_000_000_000_000_000
LATE_AT = NINE + 10 * MINUTE
SLACK = MINUTE // 100

SESSION = Session("class", "Yoga", "Europe/London", NINE, NINE + 60 * MINUTE, late_at=LATE_AT)
TAKER, TEACHER, ADMIN = (
    Author("staff", "tess", 1),
    Author("staff", "ines", 2),
    Author("staff", "ada", 3),
)
OTHER_TEACHER = Author("staff", "olu", 2)
DOOR = Author()


def event(name, kind, where, *, data=None, saw=(), by=DOOR, session="class", person="ann"):
    """An event of `where`, written as device/kseq or device.incarnation/kseq."""
    line, kseq = where.split("/")
    device, _, incarnation = line.partition(".")
    return Event(
        id=name,
        device=device,
        incarnation=incarnation or "i1",
        kseq=int(kseq),
        kind=kind,
        org="org",
        room=f"org/org/session/{session}",
        wall=0,
        zone="UTC",
        boot="boot",
        ticks=0,
        synced=False,
        session=session,
        person=person,
        by=by,
        saw=tuple(saw),
        data=data or {},
    )


def entry(made, minute, width=SLACK, envelope=None):
    """The event in the interval of `width` that starts `minute` after nine."""
    low = NINE + int(minute * MINUTE)
    return Entry(made, low, low + width, envelope)


def scan(name, where, minute, width=SLACK, **more):
    data = {"method": "finger"} | more.pop("data", {})
    return entry(event(name, Kind.CHECK_IN, where, data=data, **more), minute, width)


def out(name, where, minute, width=SLACK, **more):
    return entry(event(name, Kind.CHECK_OUT, where, **more), minute, width)


def says(name, where, status, saw=(), by=TEACHER, minute=30, **data):
    made = event(name, Kind.OVERRIDE, where, data={"status": status} | data, saw=saw, by=by)
    return entry(made, minute)


def undo(name, where, target, saw=(), by=TEACHER):
    return entry(event(name, Kind.RETRACT, where, data={"target": target}, saw=saw, by=by), 40)


def stamped(plain, verdict="accepted", received=0, low=None, high=None, rank=None):
    """The entry as the hub sends it back."""
    low = plain.low if low is None else low
    high = plain.high if high is None else high
    rank = plain.event.by.rank if rank is None else rank
    envelope = Envelope("epoch", received, NINE + received, low, high, verdict, "", rank)
    return Entry(plain.event, low, high, envelope)


def folded(*entries, session=SESSION):
    """The row, which the incremental fold must give as well, forwards and backwards."""
    row = fold_row(session, "ann", entries, "class")
    for order in (entries, entries[::-1]):
        fold = Fold({session.id: session} if session else {})
        for each in order:
            fold.apply(each)
        if entries:
            assert fold.row("class", "ann") == row
    return row


def at(minute, width=SLACK):
    low = NINE + int(minute * MINUTE)
    return (low, low + width)
