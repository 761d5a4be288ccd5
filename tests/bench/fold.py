"""How long the fold takes: a season's log at once, and one check-in as it happens."""

from __future__ import annotations

import gc
import random
import statistics
import time
from contextlib import contextmanager

from kiosk.model import Author, Entry, Envelope, Event, Session
from sync.merge import Fold, SiteFold
from tests.bench.line import Line

EVENTS = 100_000
PEOPLE = 2_000
ROUNDS = 5
SECOND = 1_000_000_000
INSTRUCTOR = Author("staff", "ines", 2)


def run() -> list[Line]:
    """`fold_100k`: to apply all and read every row; `apply_us`: to apply one and read its row.

    `site_` is the same of a whole site: sessions that were closed, people, review items.
    """
    several = season(EVENTS)
    sessions = {
        event.session: Session(event.session, "Yoga", "UTC", 0, 1, late_at=0)
        for event in (entry.event for entry in several)
    }
    coming = [entry for entry in several if entry.event.kind == "check_in"][-10_000:]
    known = several[: EVENTS // 2]
    with only_our_garbage():
        whole = statistics.median(fold_all(several, sessions) for _ in range(ROUNDS))
        each = statistics.median(fold_each(known, coming, sessions) for _ in range(ROUNDS))
        site = statistics.median(fold_site(several + about(several)) for _ in range(ROUNDS))
        one = statistics.median(fold_site_each(known, coming) for _ in range(ROUNDS))
    return [
        Line("fold_100k", round(whole, 4), "s", must=1.0, extreme=0.3),
        Line("apply_us", round(each * 1e6, 2), "us", must=20.0, extreme=8.0),
        Line("site_fold_100k", round(site, 4), "s", must=1.0, extreme=0.3),
        Line("site_apply_us", round(one * 1e6, 2), "us", must=20.0, extreme=8.0),
    ]


def fold_all(several, sessions):
    """Seconds from an empty fold to every row."""
    gc.collect()
    fold = Fold(sessions)
    start = time.perf_counter()
    for entry in several:
        fold.apply(entry)
    rows = fold.rows
    took = time.perf_counter() - start
    assert len(rows) > EVENTS // 2
    return took


def fold_each(known, coming, sessions):
    """Seconds for one of the coming entries, its row read at once."""
    fold = Fold(sessions)
    for entry in known:
        fold.apply(entry)
    assert fold.rows
    gc.collect()
    start = time.perf_counter()
    for entry in coming:
        fold.apply(entry)
        fold.row(entry.event.session, entry.event.person)
    return (time.perf_counter() - start) / len(coming)


def fold_site(several):
    """Seconds from an empty site to its whole state."""
    gc.collect()
    site = SiteFold()
    start = time.perf_counter()
    for entry in several:
        site.apply(entry)
    state = site.state
    took = time.perf_counter() - start
    assert len(state.rows) > EVENTS // 2
    assert not any(session.is_open for session in state.sessions.values())
    return took


def fold_site_each(known, coming):
    """Seconds for one of the coming entries, its row read at once."""
    site = SiteFold()
    for entry in [*known, *about(known)]:
        site.apply(entry)
    assert site.state
    gc.collect()
    start = time.perf_counter()
    for entry in coming:
        site.apply(entry)
        site.row(entry.event.session, entry.event.person)
    return (time.perf_counter() - start) / len(coming)


@contextmanager
def only_our_garbage():
    """Takes the input out of the collector's sight: to walk it is not the fold's work."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def season(size):
    """A log as five doors write it: check-ins, some twice, some check-outs and decisions."""
    chance = random.Random(7)
    made = []
    kseqs = dict.fromkeys(("door-0", "door-1", "door-2", "door-3", "door-4", "desk"), 0)

    def write(visit, kind, device, after=0, **more):
        kseqs[device] += 1
        at = (visit * 10 + after) * SECOND
        rank = more.get("by", Author()).rank
        event = Event(
            id=f"{len(made):012x}",
            device=device,
            incarnation="first",
            kseq=kseqs[device],
            kind=kind,
            org="club",
            room="room",
            wall=at,
            zone="UTC",
            boot="boot",
            ticks=at,
            synced=True,
            session=f"session-{visit // PEOPLE}",
            person=f"person-{visit % PEOPLE}",
            **({"data": {"method": "finger", "slot": visit % PEOPLE}} | more),
        )
        envelope = Envelope("epoch", len(made), at, at, at + SECOND // 20, rank=rank)
        made.append(Entry(event, envelope.low, envelope.high, envelope))
        return event.id

    visit = 0
    while len(made) < size:
        visit += 1
        door, other = chance.sample(sorted(kseqs)[1:], 2)
        first = write(visit, "check_in", door)
        what = chance.random()
        if what < 0.125:
            write(visit, "check_in", other, 3)
        elif what < 0.2:
            write(visit, "check_out", door, 3_600)
        elif what < 0.215:
            say = {"status": "excused"}
            write(visit, "override", "desk", 60, data=say, saw=(first,), by=INSTRUCTOR)
        elif what < 0.22:
            write(visit, "retract", door, 4, data={"target": first})
    return made[:size]


def about(several):
    """What else a hub knows: the people, and of each session that it was and was closed."""
    told = []

    def write(kind, device, at, **more):
        event = Event(
            id=f"about-{len(told)}",
            device=device,
            incarnation="first",
            kseq=1_000_000 + len(told),
            kind=kind,
            org="club",
            room="room",
            wall=at,
            zone="UTC",
            boot="boot",
            ticks=at,
            synced=True,
            **more,
        )
        told.append(Entry(event, at, at, Envelope("epoch", len(told), at, at, at)))

    def record(kind, id_, value):
        data = {"record": kind, "id": id_, "rev": 1, "value": value}
        write("directory", "hub", 0, data=data)

    for person in sorted({entry.event.person for entry in several}):
        record("person", person, {"id": person, "first_name": "Ann"})
    for session in sorted({entry.event.session for entry in several}):
        times = {"starts": 0, "ends": 1, "late_at": 0, "roster": []}
        record("session", session, {"id": session, "title": "Yoga", "zone": "UTC"} | times)
        last = max(e.high for e in several if e.event.session == session)
        write("session_closed", "desk", last, session=session, by=INSTRUCTOR)
    return told


if __name__ == "__main__":
    for line in run():
        print(line.json())
