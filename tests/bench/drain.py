"""Emptying a full outbox, durable at both ends, against a bare WebSocket and against plain POSTs.

Ours: a real store and line here, a real hub in another process, the whole protocol. The floor: the
same events, batches and window over bare `websockets` between two plain tables. The POSTs: one
request and one commit at each end per check-in, over a connection that is kept.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import msgspec
import uvloop
from aiohttp import web
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve as serve_websockets

from kiosk.clock import Anchor, SystemClock
from kiosk.devicekey import FILE
from kiosk.model import Kind, Session
from kiosk.store import Draft, Store
from sync.client import SyncClient
from sync.hub.serve import serve as serve_hub
from tests.bench.line import Line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

EVENTS, POSTS, ROUNDS = 10_000, 1_000, 7
MANY, ROUNDS_OF_MANY = 100_000, 3
BATCH, WINDOW = 500, 4
SESSIONS = 10
_TOKEN = "bench"  # noqa: S105  of no real hub
_PLACE = ("acme", "north")


def run() -> list[Line]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        full = folder / "full.db"
        _fill(full, EVENTS)
        bodies = _bodies(full)
        ours, floor, posts = [], [], []
        spent: list[tuple[float, float]] = []
        for number in range(ROUNDS + 1):
            here = folder / str(number)
            here.mkdir()
            measured = (
                _drain(full, here, len(bodies), spent),
                _bare(bodies, here),
                _post(bodies[:POSTS], here),
            )
            if number:  # the first round warms the machine
                for figures, seconds, count in zip(
                    (ours, floor, posts), measured, (len(bodies), len(bodies), POSTS), strict=True
                ):
                    figures.append(count / seconds)
            shutil.rmtree(here)
    value, bare, post = (round(statistics.median(figures)) for figures in (ours, floor, posts))
    return [
        Line("drain_10k", value, "events/s", bare, "higher", 0.4, 0.65),
        Line("drain_vs_post", value, "events/s", post, "higher", 25, 45),
        *_cpu("drain_10k", spent[1:], len(bodies)),
        *_many(),
    ]


def _cpu(name: str, spent: list[tuple[float, float]], events: int) -> list[Line]:
    """What each side's process worked for an event, from the kiosk's first try to the last ack."""
    sides = zip(("kiosk", "hub"), zip(*spent, strict=True), strict=True)
    return [
        Line(f"{name}_{side}_cpu", round(statistics.median(took) / events * 1e6, 1), "us/event")
        for side, took in sides
    ]


def _many() -> list[Line]:
    """The same after a month, checkpoints of the WAL included."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        full = folder / "full.db"
        _fill(full, MANY)
        bodies = _bodies(full)
        ours, floor = [], []
        spent: list[tuple[float, float]] = []
        for number in range(ROUNDS_OF_MANY):
            here = folder / str(number)
            here.mkdir()
            ours.append(len(bodies) / _drain(full, here, len(bodies), spent))
            floor.append(len(bodies) / _bare(bodies, here))
            shutil.rmtree(here)
    value, bare = (round(statistics.median(figures)) for figures in (ours, floor))
    line = Line("drain_100k", value, "events/s", bare, "higher", 0.4, 0.65)
    return [line, *_cpu("drain_100k", spent, len(bodies))]


def _fill(path: Path, events: int) -> None:
    """A kiosk's database after an outage: some sessions, a check-in of everybody in each.

    The outage began after a first contact in this boot, as an outage does.
    """
    clock = SystemClock()
    store = Store.open(path, org=_PLACE[0], site=_PLACE[1], clock=clock, zone="UTC")
    store.save_anchor(Anchor(clock.boot, clock.ticks(), clock.wall(), 1_000_000)).result()
    people = events // SESSIONS
    for number in range(SESSIONS):
        id_ = f"0f8fad5b-d9cb-469f-a165-70867728950{number}"
        session = msgspec.to_builtins(Session(id_, "Choir", "UTC", 0, 1))
        drafts = [Draft(Kind.SESSION_OPENED, id_, data=session)]
        drafts += [
            Draft(
                Kind.CHECK_IN,
                id_,
                f"7c9e6679-7425-40de-944b-e07fc1{n:06}",
                data={"method": "finger", "sensor": "r503-01", "slot": n, "score": 120},
            )
            for n in range(people)
        ]
        store.record_many(drafts).result()
    store.close()


def _bodies(path: Path) -> list[tuple[str, bytes]]:
    with contextlib.closing(sqlite3.connect(path)) as db:
        return db.execute("SELECT id, body FROM event ORDER BY seq").fetchall()


# -- ours ------------------------------------------------------------------------------------------


def _drain(
    full: Path, here: Path, events: int, spent: list[tuple[float, float]] | None = None
) -> float:
    """Seconds from the first try to the last ack; `spent` gets the CPU's, of kiosk and hub."""
    path = here / "kiosk.db"
    shutil.copy(full, path)
    shutil.copy(full.with_name(FILE), here)
    with _server("hub", here / "hub.db") as url:
        store = Store.open(path, org=_PLACE[0], site=_PLACE[1], clock=SystemClock(), zone="UTC")
        client = SyncClient(store, url, _TOKEN, SystemClock(), _PLACE[1], "bench", lambda _: None)
        empty = threading.Event()

        def committed(_: object) -> None:
            client.wake()
            if store.held()[0] == 0:
                empty.set()

        store.on_commit(committed)
        (hub,) = children()
        before = _clocks(hub)
        try:
            began = time.perf_counter()
            client.start()
            if not empty.wait(60):
                raise RuntimeError(f"{store.held()[0]} events were not drained")
            took = time.perf_counter() - began
            kiosk, other = (now - then for now, then in zip(_clocks(hub), before, strict=True))
            if spent is not None:
                spent.append((kiosk, other))
        finally:
            client.stop()
            store.close()
    _check(here / "hub.db", events)
    return took


def children() -> list[int]:
    """This process's children."""
    own = Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="ascii")
    return [int(pid) for pid in own.split()]


def _clocks(hub: int) -> tuple[float, float]:
    """CPU seconds of this process and of the hub's, all threads together."""
    # The clock of another process, as clock_getcpuclockid(3) makes its number.
    return time.process_time(), time.clock_gettime((~hub << 3) | 2)


def _check(path: Path, events: int) -> None:
    """A drain that lost something is no result."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        found = db.execute("SELECT count(*) FROM event").fetchone()[0]
    if found != events:
        raise RuntimeError(f"{found} events arrived")


# -- the floor -------------------------------------------------------------------------------------


def _bare(bodies: list[tuple[str, bytes]], here: Path) -> float:
    db = _outbox(here / "bare.db", bodies)
    with contextlib.closing(db), _server("bare", here / "bare-hub.db") as url:
        return asyncio.run(_bare_client(db, url))


async def _bare_client(db: sqlite3.Connection, url: str) -> float:
    began = time.perf_counter()
    async with connect(url, compression=None, proxy=None, max_size=None) as socket:
        flying: list[int] = []
        after = 0
        while True:
            while len(flying) < WINDOW:
                rows = db.execute(
                    "SELECT seq, id, body FROM outbox WHERE seq > ? ORDER BY seq LIMIT ?",
                    (after, BATCH),
                ).fetchall()
                if not rows:
                    break
                after = rows[-1][0]
                flying.append(after)
                pairs = [(id_, msgspec.Raw(body)) for _, id_, body in rows]
                await socket.send(msgspec.json.encode(pairs))
            if not flying:
                return time.perf_counter() - began
            await socket.recv()
            db.execute("DELETE FROM outbox WHERE seq <= ?", (flying.pop(0),))


async def _bare_server(path: Path) -> None:
    db = _database(path, "CREATE TABLE event (id TEXT PRIMARY KEY, body BLOB NOT NULL)")
    decoder = msgspec.json.Decoder(list[tuple[str, msgspec.Raw]])

    async def handle(socket) -> None:
        async for frame in socket:
            db.execute("BEGIN IMMEDIATE")
            rows = [(id_, bytes(body)) for id_, body in decoder.decode(frame)]
            db.executemany("INSERT INTO event VALUES (?, ?)", rows)
            db.execute("COMMIT")
            await socket.send(b"ok")

    async with serve_websockets(handle, "127.0.0.1", 0, compression=None, max_size=None) as server:
        _say_ready(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        await server.serve_forever()


# -- one POST per check-in -------------------------------------------------------------------------


def _post(bodies: list[tuple[str, bytes]], here: Path) -> float:
    db = _outbox(here / "post.db", bodies)
    with contextlib.closing(db), _server("post", here / "post-hub.db") as url:
        return asyncio.run(_post_client(db, url))


async def _post_client(db: sqlite3.Connection, url: str) -> float:
    began = time.perf_counter()
    async with aiohttp.ClientSession() as session:
        while row := db.execute("SELECT seq, body FROM outbox ORDER BY seq LIMIT 1").fetchone():
            async with session.post(url, data=row[1]) as response:
                response.raise_for_status()
            db.execute("DELETE FROM outbox WHERE seq = ?", (row[0],))
    return time.perf_counter() - began


async def _post_server(path: Path) -> None:
    db = _database(path, "CREATE TABLE event (id TEXT PRIMARY KEY, body BLOB NOT NULL)")

    async def take(request: web.Request) -> web.Response:
        body = await request.read()
        db.execute("INSERT INTO event VALUES (?, ?)", (msgspec.json.decode(body)["id"], body))
        return web.Response(text="ok")

    app = web.Application()
    app.router.add_post("/", take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    _say_ready(f"http://127.0.0.1:{runner.addresses[0][1]}/")
    await asyncio.Event().wait()


# -- what they share -------------------------------------------------------------------------------


def _database(path: Path, table: str) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute(table)
    return db


def _outbox(path: Path, bodies: list[tuple[str, bytes]]) -> sqlite3.Connection:
    db = _database(path, "CREATE TABLE outbox (seq INTEGER PRIMARY KEY, id TEXT, body BLOB)")
    db.execute("BEGIN")
    db.executemany("INSERT INTO outbox (id, body) VALUES (?, ?)", bodies)
    db.execute("COMMIT")
    return db


@contextlib.contextmanager
def _server(kind: str, path: Path) -> Iterator[str]:
    """Another process, as it says where it listens; killed at the end."""
    command = [sys.executable, "-m", "tests.bench.drain", kind, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().removeprefix("ready ").strip()
        finally:
            process.kill()


def _say_ready(url: str) -> None:
    print(f"ready {url}", flush=True)


def _serve(kind: str, path: Path) -> None:
    if kind == "hub":
        serve_hub(path, "127.0.0.1", 0, _TOKEN, child=False, insecure_lan=False)
        return
    servers: dict[str, Callable] = {"bare": _bare_server, "post": _post_server}
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(servers[kind](path))


if __name__ == "__main__":
    _serve(sys.argv[1], Path(sys.argv[2]))
