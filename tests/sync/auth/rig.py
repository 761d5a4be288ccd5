"""A hub with its gate at hand, and a kiosk's side of pairing."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from kiosk.clock import NS
from kiosk.model import Rank
from sync.hub.auth import codes, pins
from sync.hub.auth.keys import hub_keys
from sync.hub.auth.register import Register, Staff, Ticket, register_path
from sync.hub.server import Hub
from sync.possession import pairing_statement, prove
from tests.sync.rig import ORG, SITE, TOKEN, TestClock

PIN = "274951"
SEED = bytes(range(32))


def public(seed):
    key = Ed25519PrivateKey.from_private_bytes(seed).public_key()
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw).hex()


class Stage:
    """A hub and its gate, with the register also open as a command would have it."""

    def __init__(self, db, clock, server, url):
        self.db, self.clock, self.server, self.url = db, clock, server, url
        self.gate, self.passes = server._doors.gate, server._doors.gate.passes
        self.register = Register(register_path(db))
        self.keys = hub_keys(db)

    def code(self, ticket=Ticket(), minutes=10):  # noqa: B008  frozen
        return offer(self.db, self.clock, ticket, minutes)

    def hire(self, id_="ada", rank=Rank.INSTRUCTOR, sites=(SITE,), org=ORG, secret=PIN):
        hire(self.db, id_, rank, sites, org, secret)

    def wish(self, code, device="kiosk-1", seed=SEED, org=ORG, site=SITE, **given):
        return wish(code, device, seed, org, site, **given)

    async def post(self, path, body=None, token=None, **headers):
        return await ask(self.url, "POST", path, body, token, **headers)

    async def get(self, path, token=None, **headers):
        return await ask(self.url, "GET", path, None, token, **headers)

    async def paired(self, device="kiosk-1", **given):
        status, answer = await self.post("/v1/pair", self.wish(self.code(), device, **given))
        assert status == 200, answer
        return answer

    async def signed_in(self, id_="ada", secret=PIN):
        status, answer = await self.post("/v1/login", {"staff": id_, "secret": secret})
        assert status == 200, answer
        return answer


def offer(db, clock, ticket=Ticket(), minutes=10):  # noqa: B008  frozen
    """A pairing code, made as another process would."""
    code, now = codes.new_code(), clock.wall() // NS
    with contextlib.closing(Register(register_path(db))) as register:
        digest = codes.digest(codes.plain(code), hub_keys(db).codes)
        register.offer(digest, ticket, now, now + minutes * 60)
    return code


def hire(db, id_="ada", rank=Rank.INSTRUCTOR, sites=(SITE,), org=ORG, secret=PIN):
    verifiers = {"": pins.verifier(secret, hub_keys(db).own_pepper)}
    with contextlib.closing(Register(register_path(db))) as register:
        register.put_staff(Staff(id_, id_.title(), org, tuple(sites), rank, verifiers, since=1))


def wish(code, device="kiosk-1", seed=SEED, org=ORG, site=SITE, incarnation="inc-1", name="Door"):
    statement = pairing_statement(codes.plain(code) or code, org, site, device, incarnation)
    return {
        "code": code,
        "org": org,
        "site": site,
        "device": device,
        "incarnation": incarnation,
        "key": public(seed),
        "proof": prove(seed, statement),
        "name": name,
    }


async def ask(url, method, path, body=None, token=None, **headers):
    """One request by a plain client, off the loop; status and JSON."""
    return await asyncio.get_running_loop().run_in_executor(
        None, lambda: plain_ask(url, method, path, body, token, headers)
    )


def plain_ask(url, method, path, body=None, token=None, headers=None):
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=10)
    headers = {name.replace("_", "-"): value for name, value in (headers or {}).items()}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    try:
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        connection.request(method, path, data, headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read() or b"{}")
    finally:
        connection.close()


@contextlib.asynccontextmanager
async def stage(folder, clock=None, **given):
    db, clock = folder / "hub.db", clock or TestClock()
    server = Hub(db, TOKEN, "127.0.0.1", 0, clock, **given)
    made = Stage(db, clock, server, await server.start())
    try:
        yield made
    finally:
        made.register.close()
        await server.stop()
