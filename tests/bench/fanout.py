"""A hub with thousands of viewers, against a bare `asyncio.Protocol` in the same run.

From publishing to the last viewer, also while some of them stall; the memory of an idle one; all
of them coming back at once, with a hundred events missed each.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from dataclasses import asdict, replace

import uvloop

from kiosk.clock import SystemClock
from kiosk.model import Envelope, Rank, encode_envelope, session_room
from sync import protocol as p
from sync.hub.auth.grants import Grant, Role
from sync.hub.auth.keys import hub_keys
from sync.hub.auth.passes import Passes
from sync.hub.auth.register import Register, Staff, register_path
from sync.hub.frames import framed
from tests.bench.crowd import Crowd, Publisher, Server, greeting, server, settle, upgrade
from tests.bench.line import Line
from tests.sync.rig import ORG, ROOM, SITE, Author

SIZES = (100, 1_000, 2_000)
BLOCKS, ROUNDS = 5, 40
STALLED = 10  # of a thousand
PAIRS, PUSHES, LARGE = 3, 80, 4_000  # bytes of the events that stall
BACKLOG, OTHER = 40, "s2"  # pushes of fifty events each, to another room
MISSED = 100
STORMS = 3
_SCREENS = 50  # at which one member of staff has signed in
_PAUSE = 0.011  # seconds: more than what a hub under load keeps two frames of a room apart


def run() -> list[Line]:
    """Everything of this module comes from one process of viewers, on a processor of its own."""
    command = [sys.executable, "-m", "tests.bench.fanout"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return [Line(**json.loads(line)) for line in done.stdout.splitlines()]


async def _measure() -> list[Line]:
    lines: list[Line] = []
    with tempfile.TemporaryDirectory() as name, server("bare") as bare:
        for part in (_memory, _fan_out, _stalled, _storm):
            if sys.argv[1:] and part.__name__ not in sys.argv:
                continue
            with server("hub", f"{name}/{part.__name__}.db") as hub:
                lines += await part(hub, bare)
    return lines


# -- publish to the last ---------------------------------------------------------------------------


async def _fan_out(hub: Server, bare: Server) -> list[Line]:
    ours, floor = Crowd(hub.address, upgrade()), Crowd(bare.address, upgrade())
    kiosk = Publisher()
    await kiosk.connect(hub.address)
    told = asyncio.open_connection(*bare.address)
    writer = (await told)[1]
    lines = []
    for size in SIZES:
        await ours.grow(size, greeting())
        await floor.grow(size)
        for viewer in floor.viewers:
            viewer.live = True
        blocks = [await _block(ours, floor, kiosk, writer) for _ in range(BLOCKS)]
        mid, last = (of_blocks(blocks, share) for share in (0.5, 0.99))
        must, extreme = (2.0, 1.2) if size == 1_000 else (None, None)
        lines += [
            Line(f"fanout_{size}_p50", mid[0], "ms", mid[1]),
            Line(f"fanout_{size}_p99", last[0], "ms", last[1], "lower", must, extreme),
        ]
    writer.close()
    await ours.leave()
    await floor.leave()
    return lines


async def _block(
    ours: Crowd, floor: Crowd, kiosk: Publisher, writer: asyncio.StreamWriter
) -> tuple[list[float], list[float]]:
    found: tuple[list[float], list[float]] = ([], [])
    for push in kiosk.pushes(ROUNDS):
        found[0].append(await published(ours, kiosk.transport, push))
        found[1].append(await published(floor, writer.transport, _SAMPLE))
    return found


async def published(crowd: Crowd, transport: asyncio.WriteTransport, frame: bytes) -> float:
    """Milliseconds from writing a frame to the last viewer's."""
    crowd.goal.set(len(crowd.viewers))
    await asyncio.sleep(_PAUSE)
    began = time.perf_counter()
    transport.write(frame)
    return (await crowd.goal.reached() - began) * 1000


def of_blocks(blocks: list[tuple[list[float], list[float]]], share: float) -> tuple[float, float]:
    """The median over the blocks of a quantile in each, of both sides."""
    ours = statistics.median(_quantile(block[0], share) for block in blocks)
    floor = statistics.median(_quantile(block[1], share) for block in blocks)
    return round(ours, 3), round(floor, 3)


def _quantile(figures: list[float], share: float) -> float:
    return sorted(figures)[min(int(len(figures) * share), len(figures) - 1)]


def _sample() -> bytes:
    """A frame as the hub sends it for one event, to the byte but for the digits of its numbers."""
    body = Author().body(data={"method": "finger", "slot": 7, "score": 120})
    now = time.time_ns()
    envelope = encode_envelope(Envelope("b1946ac9", 100, now, now, now))
    page = p.Page(ROOM, "b1946ac9", 99, 100, 100, True, p.kept([(body, envelope)]))
    return framed(p.encode(page))


_SAMPLE = _sample()


# -- while some stall ------------------------------------------------------------------------------


async def _stalled(hub: Server, _: Server) -> list[Line]:
    healthy = Crowd(hub.address, upgrade())
    kiosk = Publisher()
    await kiosk.connect(hub.address)
    for push in kiosk.pushes(BACKLOG, events=50, padding=LARGE, session=OTHER):
        kiosk.transport.write(push)
    await asyncio.sleep(1.0)
    await healthy.grow(1_000 - STALLED, greeting())
    calm, troubled = [], []
    for _ in range(PAIRS):
        calm += await _served(healthy, kiosk)
        idle = Crowd(hub.address, upgrade())
        # What they missed elsewhere fills what the kernel holds for each of them.
        await idle.connect(STALLED, greeting(None, session_room(ORG, OTHER)), window=4096)
        troubled += await _served(healthy, kiosk)
        await idle.leave()
    if hub.counter("whorl_lagged_total") < STALLED:
        raise RuntimeError("nobody stalled")
    await healthy.leave()
    value, floor = (round(_quantile(figures, 0.99), 3) for figures in (troubled, calm))
    return [Line("stalled_p99", value, "ms", floor, "lower", 1.5, 1.1)]


async def _served(healthy: Crowd, kiosk: Publisher) -> list[float]:
    pushes = kiosk.pushes(PUSHES, padding=LARGE)
    return [await published(healthy, kiosk.transport, push) for push in pushes]


# -- what one costs --------------------------------------------------------------------------------


async def _memory(hub: Server, _: Server) -> list[Line]:
    crowd = Crowd(hub.address, *map(upgrade, await _tokens(hub, 2_000)))
    kiosk = Publisher()
    await kiosk.connect(hub.address)
    for push in kiosk.pushes(20):
        kiosk.transport.write(push)
    await asyncio.sleep(0.5)
    cursor = p.Cursor(_epoch(hub), 20)
    await crowd.grow(100, greeting(cursor))
    await asyncio.sleep(1.0)
    before = hub.memory()
    await crowd.grow(2_000, greeting(cursor))
    await asyncio.sleep(1.0)
    each = (hub.memory() - before) / 1_900 / 1024
    await crowd.leave()
    return [Line("idle_viewer", round(each, 2), "KiB", must=20, extreme=8)]


async def _tokens(hub: Server, count: int) -> list[str]:
    """A token each, as staff get by signing in; it has them sign in at a few dozen screens."""
    passes, now = Passes(hub_keys(hub.db).signing, SystemClock()), int(time.time())
    grants = []
    with contextlib.closing(Register(register_path(hub.db))) as register:
        for number in range(0, count, _SCREENS):
            one = Staff(f"staff-{number}", "Ada L", ORG, (SITE,), Rank.TAKER, {}, since=now)
            register.put_staff(one)
            grant = Grant(Role.STAFF, one.id, "", ORG, (SITE,), rank=one.rank, stamp=now)
            grants += [replace(grant, device=uuid.uuid4().hex) for _ in range(_SCREENS)]
    await asyncio.sleep(1.5)  # until the hub has looked at its register
    return [passes.make(grant)[0] for grant in grants[:count]]


# -- all at once -----------------------------------------------------------------------------------


async def _storm(hub: Server, bare: Server) -> list[Line]:
    kiosk = Publisher()
    await kiosk.connect(hub.address)
    kiosk.transport.write(kiosk.pushes(1, events=200)[0])
    await asyncio.sleep(0.5)
    cursor = p.Cursor(_epoch(hub), _head(hub) - MISSED)
    ours, floor, reads = [], [], []
    for number in range(STORMS + 1):
        ours_, floor_ = Crowd(hub.address, upgrade()), Crowd(bare.address, upgrade())
        before = hub.counter("whorl_page_reads_total")
        took = await ours_.grow(2_000, greeting(cursor), at_once=2_000)
        read = hub.counter("whorl_page_reads_total") - before
        bare_took = await floor_.grow(2_000, at_once=2_000)
        await ours_.leave()
        await floor_.leave()
        await asyncio.sleep(0.5)
        if number:
            ours.append(took)
            floor.append(bare_took)
        reads.append(read)
    value, least = (round(statistics.median(figures), 3) for figures in (ours, floor))
    return [
        Line("storm_2000", value, "s", least, "lower", 3.0),
        Line("storm_reads", max(reads), "reads", must=4, extreme=1),
    ]


def _epoch(hub: Server) -> str:
    return json.loads(_health(hub))["epoch"]


def _head(hub: Server) -> int:
    return json.loads(_health(hub))["events"]


def _health(hub: Server) -> bytes:
    with urllib.request.urlopen(hub.url + "/health") as answer:  # noqa: S310  our own server
        return answer.read()


if __name__ == "__main__":
    settle(1)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as _runner:
        for _line in _runner.run(_measure()):
            print(json.dumps(asdict(_line)), flush=True)
