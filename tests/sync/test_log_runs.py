"""A push of just the next events in a chain is taken as a whole, with the same result as always."""

from __future__ import annotations

import contextlib
import random
import shutil

import msgspec
import pytest

from kiosk.clock import Anchor
from kiosk.model import Author as By
from kiosk.model import Kind, Rank, decode_event
from sync.hub.log import Log
from sync.hub.transaction import Submission
from tests.sync.rig import NS, ORG, Author, TestClock, one_by_one, signed

TABLES = ("event", "chain", "quarantine", "room", "signature", "author", "directory")
STAFF = By("staff", "boss", Rank.INSTRUCTOR)


def changed(chance, bodies):
    """Most pushes as they are; some of them with something that needs a decision."""
    at = chance.randrange(len(bodies))
    match chance.randrange(20):
        case 0:
            return bodies + bodies[-1:]
        case 1:
            return [*bodies[:at], b'{"torn"', *bodies[at + 1 :]]
        case 2:
            return bodies[at:]
        case 3:
            return list(reversed(bodies))
        case _:
            return bodies


def pushes(chance):
    """Some devices' pushes, in and out of order, some again, some with what they may not say."""
    authors = [Author(f"k{n}") for n in range(3)] + [Author("k0")]  # the last is a clone
    sent = []
    for _ in range(30):
        author = chance.choice(authors)
        kinds = chance.choice((["check_in"] * 9, ["check_in", "check_out", "override"], ["help"]))
        rooms = chance.choice(
            ([f"org/{ORG}/session/s1"], [f"org/{ORG}/session/s{n}" for n in "12"])
        )
        bodies = [
            author.body(
                kind=chance.choice(kinds),
                room=chance.choice(rooms),
                boot=chance.choice(("boot-1", "boot-2")),
                ticks=chance.randrange(1000) * NS,
            )
            for _ in range(chance.randint(1, 6))
        ]
        if chance.random() < 0.1:
            bodies.append(author.body(kind=Kind.MERGED, data={"person": "p1", "into": "p2"}))
        given = {"anchors": (Anchor("boot-1", 500 * NS, 1_799_999_000 * NS, NS),)}
        if chance.random() < 0.1:
            given["staff"] = STAFF
        bodies = changed(chance, bodies)
        whole = (
            [signed([decode_event(body) for body in bodies])] if b'{"torn"' not in bodies else []
        )
        given["signed"] = whole if chance.random() < 0.8 else one_by_one(bodies)
        sent.append(Submission(ORG, author.device, bodies, **given))
        if chance.random() < 0.2:
            sent.append(chance.choice(sent))
    return sent


def taken(path, sent, chance):
    """Verdicts and tables, with some pushes in one transaction."""
    log = Log(path, TestClock())
    log._entropy = bytes
    log.revoked = frozenset({"k2"} if chance.random() < 0.3 else ())
    verdicts, left = [], list(sent)
    with contextlib.closing(log):
        while left:
            count = chance.randint(1, 3)
            log.begin()
            verdicts += [log.submit(one) for one in left[:count]]
            accepted = log.commit()
            verdicts.append([(one.room, one.offset, one.event) for one in accepted])
            del left[:count]
        rows = [sorted(log._db.execute(f"SELECT * FROM {table}"), key=repr) for table in TABLES]  # noqa: S608  names of our own
    return msgspec.json.encode(verdicts), rows


@pytest.mark.parametrize("seed", range(10))
def test_pushes_are_judged_alike_whole_and_one_by_one(tmp_path, monkeypatch, seed):
    (tmp_path / "new").mkdir()
    Log(tmp_path / "new" / "hub.db", TestClock()).close()
    for folder in ("one", "other"):
        shutil.copytree(tmp_path / "new", tmp_path / folder)
    sent = pushes(random.Random(seed))
    whole, found = [], Log._next_of_chain

    def noted(*args):
        events = found(*args)
        whole.append(events)
        return events

    monkeypatch.setattr(Log, "_next_of_chain", noted)
    at_once = taken(tmp_path / "one" / "hub.db", sent, random.Random(seed))
    monkeypatch.setattr(Log, "_next_of_chain", lambda *_: None)
    one_by_one_ = taken(tmp_path / "other" / "hub.db", sent, random.Random(seed))
    assert at_once == one_by_one_
    assert any(whole)
    assert None in whole
