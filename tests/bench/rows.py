"""Rows to thousands of viewers, against a bare `asyncio.Protocol` in the same run.

From publishing a check-in to the last viewer's row, in a session of two thousand people; and how
long the first reader of a session of a hundred thousand events waits for everybody.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import asdict
from pathlib import Path

import uvloop

from kiosk.clock import SystemClock
from kiosk.model import Presence, Status
from sync import protocol as p
from sync.hub.frames import framed
from sync.hub.log import Log
from sync.hub.transaction import Submission
from tests.bench.crowd import TOKEN, Crowd, Publisher, Server, masked, server, settle, upgrade
from tests.bench.fanout import BLOCKS, of_blocks, published
from tests.bench.line import Line
from tests.sync.rig import NS, ORG, ROOM, SITE, SITE_ROOM, Author, signed, signer

SIZES = (100, 1_000)
PEOPLE, ROUNDS = 2_000, 40
EVENTS, MANY, BATCH, READS = 100_000, 10_000, 500, 3
_FRAME = b'{"type":"rows"'


def run() -> list[Line]:
    """Everything of this module comes from one process of viewers, on a processor of its own."""
    command = [sys.executable, "-m", "tests.bench.rows"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return [Line(**json.loads(line)) for line in done.stdout.splitlines()]


async def _measure() -> list[Line]:
    with tempfile.TemporaryDirectory() as name, server("bare") as bare:
        with server("hub", f"{name}/few.db") as hub:
            lines = await _fan_out(hub, bare)
        _fill(Path(name, "many.db"))
        took = []
        for _ in range(READS):  # a new hub each time, for the fold is kept
            with server("hub", f"{name}/many.db") as hub:
                took.append(await _snapshot(hub))
        return [*lines, Line("rows_snapshot_100k", round(statistics.median(took), 3), "s")]


def greeting() -> bytes:
    """What a viewer of rows says first."""
    who = p.Hello(p.VERSION, ORG, SITE, "screen", "v", viewer=True)
    return masked(who) + masked(p.Subscribe(ROOM, rows=True))


# -- publish to the last ---------------------------------------------------------------------------


async def _fan_out(hub: Server, bare: Server) -> list[Line]:
    _describe(hub)
    ours = Crowd(hub.address, upgrade(), kind=_FRAME)
    floor = Crowd(bare.address, upgrade(), kind=_FRAME)
    kiosk = Publisher()
    await kiosk.connect(hub.address)
    writer = (await asyncio.open_connection(*bare.address))[1]
    lines = []
    for size in SIZES:
        await ours.grow(size, greeting())
        await floor.grow(size)
        for viewer in floor.viewers:
            viewer.live = True
        blocks = []
        for _ in range(BLOCKS):
            found: tuple[list[float], list[float]] = ([], [])
            for push in kiosk.pushes(ROUNDS):
                found[0].append(await published(ours, kiosk.transport, push))
                found[1].append(await published(floor, writer.transport, _SAMPLE))
            blocks.append(found)
        mid, last = (of_blocks(blocks, share) for share in (0.5, 0.99))
        must, extreme = (2.0, 1.2) if size == 1_000 else (None, None)
        lines += [
            Line(f"rows_{size}_p50", mid[0], "ms", mid[1]),
            Line(f"rows_{size}_p99", last[0], "ms", last[1], "lower", must, extreme),
        ]
    writer.close()
    await ours.leave()
    await floor.leave()
    return lines


def _describe(hub: Server) -> None:
    """The session, and everybody whom the kiosk is going to see."""
    now = time.time_ns()
    session = {"id": "s1", "title": "Yoga", "zone": "Europe/London"}
    session |= {"starts": now, "ends": now + 3600 * NS}
    records = [{"record": "session", "id": "s1", "value": session}]
    for n in range(1, PEOPLE + 1):
        person = {"id": f"p{n}", "first_name": f"Ada{n}", "last_name": "Lovelace"}
        records.append({"record": "person", "id": f"p{n}", "value": person})
    request = urllib.request.Request(  # noqa: S310  our own server
        f"{hub.url}/v1/directory?org={ORG}&site={SITE}",
        json.dumps(records).encode(),
        {"Authorization": f"Bearer {TOKEN}"},
    )
    with urllib.request.urlopen(request) as answer:  # noqa: S310  the same
        assert json.load(answer)["events"] == len(records)


def _sample() -> bytes:
    """A frame as the hub sends it for one check-in, but for the digits of its numbers."""
    now = time.time_ns()
    row = p.Row("p100", Status.PRESENT, Presence.INSIDE, "Ada100 Lovelace", (now, now))
    tally = p.Tally(1_900, 100, inside=100)
    message = p.Rows(ROOM, "b1946ac9" * 4, 100, 100, now, now, live=True, rows=[row], counts=tally)
    return framed(p.encode(message))


_SAMPLE = _sample()


# -- all at once -----------------------------------------------------------------------------------


def _fill(path: Path) -> None:
    """A log with one session of so many events, and its people."""
    log, author = Log(path, SystemClock()), Author()
    people = [
        ("person", f"p{n}", {"id": f"p{n}", "first_name": f"Ada{n}", "last_name": "Lovelace"})
        for n in range(MANY)
    ]
    log.begin()
    log.direct(ORG, SITE_ROOM, people)
    log.commit()
    data = {"method": "finger", "slot": 7, "score": 120}
    key = signer().public
    for first in range(0, EVENTS, BATCH):
        events = [
            author.event(person=f"p{n * 7 % MANY}", data=data) for n in range(first, first + BATCH)
        ]
        bodies = [p.msgspec.json.encode(event, order="deterministic") for event in events]
        stretch = p.msgspec.structs.replace(signed(events), key=key)
        log.begin()
        verdicts = log.submit(Submission(ORG, "kiosk-1", bodies, signed=[stretch]))
        assert {one.verdict for one in verdicts} == {"ok"}
        log.commit()
    log.close()


async def _snapshot(hub: Server) -> float:
    """Seconds until a first reader has all rows."""
    crowd = Crowd(hub.address, upgrade(), kind=_FRAME)
    took = await crowd.grow(1, greeting())
    await crowd.leave()
    return took


if __name__ == "__main__":
    settle(1)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as _runner:
        for _line in _runner.run(_measure()):
            print(json.dumps(asdict(_line)), flush=True)
