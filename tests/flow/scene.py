"""What acceptance is shown with: doors with a real store and line, viewers by any transport."""

from __future__ import annotations

import asyncio
import contextlib
import json
from urllib.parse import urlencode, urlsplit

import aiohttp

from kiosk import rules
from kiosk.badges import BadgeKey
from kiosk.clock import NS
from kiosk.desk import Desk, DeskSettings
from kiosk.model import Author, Kind, Person
from kiosk.store import Draft
from sync import protocol as p
from sync.client import SyncClient
from tests.sync.kiosks import QUICK, Kiosk
from tests.sync.rig import ORG, ROOM, SITE, TOKEN, TestClock, joined, until
from tests.sync.test_hub import post
from tests.sync.test_hub_http import Listener

BEGAN = 1_800_000_000 * NS  # where a TestClock stands
KEY = BadgeKey(ORG)
TRANSPORTS = ("websocket", "sse", "polling")
WHO = {"org": ORG, "site": SITE}
INES = Author("staff", "ines", 2)


def person(n):
    """The n-th of the people: code 1001, badge B-1001 and so on."""
    code = str(1001 + n)
    return Person(f"p{n}", f"P{n}", code=code, badges=(KEY.hash(f"B-{code}"),))


def records(people=4, starts=BEGAN - 600 * NS, late=1200, **session):
    """The directory of a site: its people, and the session s1, late after `late` seconds."""
    value = {
        "id": "s1",
        "title": "Choir",
        "zone": "Europe/London",
        "starts": starts,
        "ends": starts + 6 * 3600 * NS,
        "late_at": starts + late * NS,
    } | session
    found = [{"record": "session", "id": value["id"], "value": value}]
    for one in map(person, range(people)):
        built = {"id": one.id, "first_name": one.first_name, "code": one.code}
        built["badges"] = list(one.badges)
        found.append({"record": "person", "id": one.id, "value": built})
    return found


async def directed(server, **given):
    status, answer = await post(server.url, json.dumps(records(**given)).encode())
    assert status == 200, answer


def moved(seconds, *clocks):
    """True time goes by, for all machines alike."""
    for clock in clocks:
        clock.now += int(seconds * NS)
        clock.up += int(seconds * NS)


class Door(Kiosk):
    """A kiosk from the code that is typed to the hub: desk, store and line."""

    def __init__(self, folder, url, name, zone="Europe/London", repeat=60.0, **given):
        folder = folder / name
        folder.mkdir(exist_ok=True)
        given.setdefault("clock", TestClock(boot=f"boot-{name}"))
        super().__init__(folder / "kiosk.db", url, **given)
        site = rules.Site(ORG, SITE, zone)
        settings = DeskSettings("Club", repeat=repeat)
        self.desk = Desk(self.store, self.clock, site, settings, self.client.kick, KEY)
        self.desk.start(asyncio.get_running_loop())

    async def leave(self):
        self.desk.stop()
        await self.hang_up()
        self.store.close()

    async def hang_up(self):
        """Be offline from now on; the hub, on this very loop, must be free to say good-bye."""
        await asyncio.get_running_loop().run_in_executor(None, self.client.stop)

    def call_again(self):
        """Be online again, with a line of its own as after a restart."""
        old = self.client
        self.client = SyncClient(
            self.store, old._url, TOKEN, self.clock, SITE, "a kiosk", self.said.append, QUICK
        )
        self.client.start()

    @property
    def serial(self):
        outcome = self.desk.state.outcome
        return outcome.serial if outcome else 0

    async def opens(self, session="s1"):
        """Wait until this session is the one that takes check-ins."""
        await until(lambda: self.desk.state.session.id == session)

    async def tap(self, n, session="s1"):
        """The n-th person types their code; the door's answer."""
        await self.opens(session)
        await until(lambda: f"p{n}" in self.desk._roll.people)
        before = self.serial
        self.desk.enter_code(person(n).code)
        await until(lambda: self.serial > before)
        return self.desk.state.outcome

    def decide(self, n, status, by=INES, **data):
        """Staff decide on the n-th person's row, in sight of all that this kiosk holds of it."""
        draft = Draft(Kind.OVERRIDE, "s1", f"p{n}", by=by, data={"status": status} | data)
        return self.store.record(draft).result(10)

    def record(self, kind, n, **given):
        return self.store.record(Draft(kind, "s1", f"p{n}", **given)).result(10)

    def row(self, n, session="s1"):
        found = {row.person: row for row in self.store.attendance(session)}
        return found.get(f"p{n}")

    def events(self, n):
        return self.store.row_events("s1", f"p{n}")

    async def shows(self, n, status):
        await until(lambda: (row := self.row(n)) is not None and row.status is status)


@contextlib.asynccontextmanager
async def door(folder, url, name, *, start=True, **given):
    one = Door(folder, url, name, **given)
    try:
        if start:
            one.client.start()
        yield one
    finally:
        await one.leave()


def same(*doors, session="s1"):
    """Whether all of them show the same rows."""
    first, *rest = [
        sorted(one.store.attendance(session), key=lambda row: row.person) for one in doors
    ]
    return all(first == other for other in rest) and first


class Viewer:
    """Reads a room by one transport; `next` gives the messages that it brings."""

    def __init__(self, get):
        self.next = get

    async def items(self, count):
        """So many items, in the order they came."""
        found = []
        while len(found) < count:
            message = await self.next()
            if isinstance(message, p.Events):
                found += message.items
        return found


@contextlib.asynccontextmanager
async def viewing(transport, server, room=ROOM, cursor=None, name="viewer"):
    """A viewer of a room, from a cursor on (None: its beginning)."""
    if transport == "websocket":
        greeting = p.Hello(p.VERSION, ORG, SITE, name, "v", viewer=True)
        async with joined(server.url, greeting) as peer:
            await peer.say(p.Subscribe(room, cursor))
            yield Viewer(lambda: peer.get((p.Events, p.Reset)))
        return
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as session:
        if transport == "sse":
            where = f"{server.url}/v1/sse?{urlencode(_follow(room, cursor))}"
            async with session.get(where) as response:
                assert response.status == 200
                listener = Listener(response)

                async def heard():
                    return (await listener.get((p.Events, p.Reset)))[1]

                yield Viewer(heard)
        else:
            yield Viewer(_Polls(session, server.url, room, cursor).next)


def _follow(room, cursor):
    place = {"cursor": f"{cursor.epoch}:{cursor.offset}"} if cursor else {}
    return WHO | {"room": room} | place


class _Polls:
    """One poll after another, each from where the last one ended."""

    def __init__(self, session, url, room, cursor):
        self.session, self.url, self.room, self.cursor = session, url, room, cursor
        self.waiting = []

    async def next(self):
        async with asyncio.timeout(10):
            while not self.waiting:
                await self._ask()
        return self.waiting.pop(0)

    async def _ask(self):
        where = f"{self.url}/v1/poll?{urlencode(_follow(self.room, self.cursor) | {'wait': 0.2})}"
        async with self.session.get(where) as response:
            assert response.status == 200
            raw = p.msgspec.json.decode(await response.read(), type=list[p.msgspec.Raw])
            for message in (p.decode_from_hub(bytes(one)) for one in raw):
                if isinstance(message, p.Events):
                    self.cursor = p.Cursor(message.epoch, message.offset)
                    self.waiting.append(message)
                elif isinstance(message, p.Reset):
                    self.waiting.append(message)


@contextlib.asynccontextmanager
async def answering(status, **headers):
    """A server that answers every request with this status; `count` on it."""

    async def answer(reader, writer):
        server.count += 1
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            lines = [f"HTTP/1.1 {status} No", "Content-Length: 0", "Connection: close"]
            lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
            writer.write("\r\n".join([*lines, "", ""]).encode())
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    server.count = 0
    server.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        server.close()


def port_of(url):
    return urlsplit(url).port
