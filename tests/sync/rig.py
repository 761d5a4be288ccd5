"""What the tests of agreement share: a clock, chained events, a bare peer, a hub to talk to."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
import uuid

from msgspec.structs import replace
from websockets.asyncio.client import connect

from kiosk.model import Event, decode_event, encode_event, sealed, session_room, site_room, uuid7
from sync import protocol as p
from sync.hub.auth.keys import key_path
from sync.hub.server import Hub
from sync.signing import Signer

TOKEN = "a-token-for-tests"  # noqa: S105  of no real hub
ORG, SITE = "acme", "north"
ROOM = session_room(ORG, "s1")
SITE_ROOM = site_room(ORG, SITE)
NS = 1_000_000_000


class TestClock:
    """A clock that is moved by hand, and trusted by the kernel unless said otherwise."""

    __test__ = False

    def __init__(self, wall=1_800_000_000 * NS, ticks=500 * NS, boot="boot-1"):
        self.boot = boot
        self.now, self.up, self.trusted = wall, ticks, True

    def wall(self):
        return self.now

    def ticks(self):
        return self.up

    def monotonic(self):
        return time.monotonic()

    def synced(self):
        return self.trusted


class Author:
    """A device that writes a chain of events, with no store behind it."""

    def __init__(self, device="kiosk-1", incarnation="inc-1"):
        self.device, self.incarnation = device, incarnation
        self.kseq, self.prev = 0, ""

    def event(self, **given):
        self.kseq += 1
        fields = {
            "id": uuid7(time.time_ns(), uuid.uuid4().bytes),
            "device": self.device,
            "incarnation": self.incarnation,
            "kseq": self.kseq,
            "kind": "check_in",
            "org": ORG,
            "room": ROOM,
            "wall": 1_799_999_000 * NS,
            "zone": "Europe/London",
            "boot": "boot-1",
            "ticks": 400 * NS,
            "synced": True,
            "session": "s1",
            "person": f"p{self.kseq}",
            "prev": self.prev,
        }
        event = sealed(Event(**fields | given))
        self.prev = event.hash
        return event

    def body(self, **given):
        return encode_event(self.event(**given))

    def bodies(self, count):
        return [self.body() for _ in range(count)]


class Peer:
    """One bare connection: what it sends and gets are protocol messages."""

    def __init__(self, socket):
        self.socket = socket
        self.batch = 0
        self.aside = []

    async def say(self, message):
        await self.socket.send(p.encode(message), text=True)

    async def hear(self):
        async with asyncio.timeout(10):
            return p.decode_from_hub(await self.socket.recv(decode=False))

    async def get(self, kind):
        """The next message of a kind; others are kept aside in order."""
        for i, message in enumerate(self.aside):
            if isinstance(message, kind):
                return self.aside.pop(i)
        while not isinstance(message := await self.hear(), kind):
            self.aside.append(message)
        return message

    async def push(self, *bodies, anchors=(), signed=None):
        """Push and get the verdicts; the authors sign each event unless `signed` is given."""
        self.batch += 1
        raw = [p.msgspec.Raw(body) for body in bodies]
        signed = one_by_one(bodies) if signed is None else signed
        await self.say(p.Push(self.batch, raw, list(anchors), signed))
        ack = await self.get(p.Ack)
        assert ack.batch == self.batch
        return ack.verdicts

    async def follow(self, room=ROOM, cursor=None, **given):
        """Subscribe and read until live; every item on the way."""
        await self.say(p.Subscribe(room, cursor, **given))
        items = []
        while True:
            page = await self.get(p.Events)
            items += page.items
            if page.live:
                return items

    async def closed(self):
        """Read to the end; the close code."""
        with contextlib.suppress(Exception):
            while True:
                self.aside.append(await self.hear())
        await asyncio.wait_for(self.socket.wait_closed(), 10)
        return self.socket.close_code


def hello(device="kiosk-1", incarnation="inc-1", version=p.VERSION, org=ORG, token=None, key=None):
    key = signer(device, incarnation).public if key is None else key
    return p.Hello(version, org, SITE, device, incarnation, "a kiosk", token, key=key)


def signer(device="kiosk-1", incarnation="inc-1"):
    """The key that everybody here knows a device's incarnation by."""
    return Signer(hashlib.sha256(f"{device}/{incarnation}".encode()).digest())


def signed(events, at=0, by=None, org=ORG):
    """One signature over events (a stretch of one chain) that begin at place `at` of the push."""
    first, last = events[0], events[-1]
    by = by or signer(last.device, last.incarnation)
    stretch = p.Signed(
        at, last.device, last.incarnation, first.kseq, last.kseq, last.hash, "", by.public
    )
    return replace(stretch, signature=by.sign(org, stretch))


def one_by_one(bodies):
    """A signature for each of these bodies that is an event at all."""
    found = []
    for at, body in enumerate(bodies):
        with contextlib.suppress(p.msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            event = decode_event(body)
            if event.kseq > 0:
                found.append(signed([event], at, org=event.org))
    return found


@contextlib.asynccontextmanager
async def joined(url, greeting=None, token=TOKEN, headers=None, **given):
    """A peer that has been welcomed, with `welcome` on it."""
    async with opened(url, token, headers, **given) as peer:
        await peer.say(greeting or hello())
        peer.welcome = await peer.get(p.Welcome)
        yield peer


@contextlib.asynccontextmanager
async def opened(url, token=TOKEN, headers=None, **given):
    """A peer that has not said hello yet."""
    headers = dict(headers or {})
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    where = url.replace("http", "ws", 1) + p.PATH
    given.setdefault("max_size", None)
    async with connect(
        where, additional_headers=headers, compression=None, proxy=None, close_timeout=1, **given
    ) as socket:
        yield Peer(socket)


def same_secret(path, other):
    """Let the hub at `other` be the one at `path`, whose database was lost but not its secret."""
    key_path(other).write_bytes(key_path(path).read_bytes())
    key_path(other).chmod(0o600)


@contextlib.asynccontextmanager
async def hub(path, clock=None, port=0, token=TOKEN, **given):
    """A hub of this process, `url` on it."""
    server = Hub(path, token, "127.0.0.1", port, clock or TestClock(), **given)
    server.url = await server.start()
    try:
        yield server
    finally:
        await server.stop()


async def until(condition, seconds=10.0):
    """Wait for something that has no event of its own; fails with what it last was."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"still {found!r}"
        await asyncio.sleep(0.01)
    return found
