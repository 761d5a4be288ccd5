from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import ipaddress
import sqlite3
import ssl
import time
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from kiosk.directory import DirectoryError, HubClient, health
from kiosk.model import LinkState, Person
from kiosk.pairing import Applicant, PairingError, pair
from sync.client import SyncClient
from sync.hub.members import Member
from tests.sync.kiosks import QUICK, kiosk
from tests.sync.proxy import proxied
from tests.sync.rig import ORG, ROOM, SITE, TOKEN, Author, hello, hub, joined, until
from tests.sync.test_client import SESSION
from tests.sync.test_hub import post

# As the real one, but climbing is asked for and nobody waits long for what does not come.
PACING = replace(
    QUICK, connect=0.6, greeting=0.6, silence=1.5, poll_wait=1.0, poll_pause=0.02, climb=600.0
)
WRONG = "not-the-token"
LIMITED = {"sse": LinkState.LIMITED_SSE, "polling": LinkState.LIMITED_POLLING}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "hub.db"


@pytest.fixture(autouse=True)
def _beats(monkeypatch):
    monkeypatch.setattr("sync.hub.streams._BEAT_EVERY", 0.3)
    monkeypatch.setattr("sync.hub.server._TICK", 0.2)


def pushed(path):
    """What kiosks pushed: all but the hub's own."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        query = "SELECT id FROM entry WHERE kind = 'check_in' ORDER BY room, offset"
        return [row[0] for row in db.execute(query)]


@contextlib.asynccontextmanager
async def on(transport, path, tmp_path, pacing=PACING):
    """A hub, a proxy that lets only this transport through, and a kiosk that has found it."""
    async with hub(path, position_every=0.3) as server, proxied(server.url) as proxy:
        assert (await post(server.url, SESSION))[0] == 200
        proxy.refuse = None if transport == "websocket" else 400
        proxy.buffer = transport == "polling"
        with kiosk(tmp_path / "k.db", proxy.url, pacing=pacing) as one:
            await one.reaches(LIMITED.get(transport, LinkState.ONLINE), 15)
            assert one.status.transport == transport
            one.server, one.proxy = server, proxy
            yield one


async def told(one, transport):
    await until(lambda: one.status.transport == transport, 15)


@pytest.mark.parametrize("transport", ["sse", "polling"])
async def test_events_go_up_and_down_where_a_websocket_does_not_get_through(
    path, tmp_path, transport
):
    async with on(transport, path, tmp_path) as one, joined(one.server.url, hello("other")) as peer:
        ids = one.check_in(1200)
        await until(lambda: one.store.held()[0] == 0, 20)
        assert sorted(pushed(path)) == sorted(ids)
        assert one.status.state is LIMITED[transport]
        author = Author("other")
        await peer.push(*author.bodies(300))
        await until(lambda: one.cursor(ROOM) and one.cursor(ROOM)[1] == 1500, 15)
        live = author.body()
        started = time.monotonic()
        await peer.push(live)
        await until(lambda: one.cursor(ROOM)[1] == 1501)
        assert time.monotonic() - started < 1
        assert one.rows(
            "SELECT count(DISTINCT id), count(*) FROM event WHERE kind = 'check_in'"
        ) == [(1501, 1501)]
        assert one.rows("SELECT count(*) FROM entry WHERE envelope IS NULL") == [(0,)]


@pytest.mark.parametrize("transport", ["websocket", "sse", "polling"])
async def test_a_drain_over_a_line_that_is_cut_again_and_again_doubles_and_loses_nothing(
    path, tmp_path, transport
):
    async with on(transport, path, tmp_path) as one:
        one.proxy.cut_after = 60_000
        ids = one.check_in(2000)
        for _ in range(6):
            await asyncio.sleep(0.1)
            one.proxy.cut()
        one.proxy.cut_after = None
        await until(lambda: one.store.held()[0] == 0, 30)
        found = pushed(path)
        assert len(found) == len(set(found))
        assert set(found) == set(ids)
        await until(lambda: one.status.transport != "", 15)
        assert one.rows("SELECT count(*) FROM entry WHERE envelope IS NULL") == [(0,)]


@pytest.mark.parametrize("transport", ["sse", "polling"])
async def test_try_now_climbs_back_to_the_websocket_without_losing_anything(
    path, tmp_path, transport
):
    async with on(transport, path, tmp_path) as one:
        ids = one.check_in(50)
        one.client.kick()  # still blocked: it stays where it is
        await until(lambda: one.store.held()[0] == 0)
        assert one.status.transport == transport
        one.proxy.refuse, one.proxy.buffer = None, False
        one.client.kick()
        more = one.check_in(50)
        await told(one, "websocket")
        await one.settled()
        assert pushed(path) == ids + more
        assert one.status.state is LinkState.ONLINE
        states = [s for s in one.states if s not in (LinkState.ONLINE, LinkState.SYNCING)]
        assert states[-1] is LIMITED[transport]  # never said to be offline on the way up


async def test_it_climbs_by_itself_after_a_while(path, tmp_path):
    async with on("sse", path, tmp_path, replace(PACING, climb=0.2)) as one:
        one.proxy.refuse = None
        await told(one, "websocket")


@pytest.mark.parametrize("spoilt", [{"refuse": 502}, {"swallow": True}, {"refuse": 200}])
async def test_however_the_upgrade_is_spoilt_plain_http_is_found(path, tmp_path, spoilt):
    pacing = replace(PACING, connect=0.3, greeting=0.3)
    async with hub(path) as server, proxied(server.url, **spoilt) as proxy:
        with kiosk(tmp_path / "k.db", proxy.url, pacing=pacing) as one:
            await one.reaches(LinkState.LIMITED_SSE, 15)
            assert LinkState.ONLINE not in one.states


async def test_a_hub_that_is_away_is_offline_and_not_limited(path, tmp_path):
    async with hub(path) as server, proxied(server.url) as proxy:
        with kiosk(tmp_path / "k.db", proxy.url, pacing=PACING) as one:
            await one.settled()
            proxy.silent = True
            proxy.cut()
            await one.reaches(LinkState.OFFLINE)
            await until(lambda: one.status.attempt >= 3, 20)
            assert not {LinkState.LIMITED_SSE, LinkState.LIMITED_POLLING} & set(one.states)
            proxy.silent = False
            proxy.cut()
            # A hub that comes back between a handshake and the greeting looks like a proxy's doing.
            await until(lambda: one.status.transport, 15)


async def test_a_refused_token_is_no_reason_for_another_transport(path, tmp_path):
    async with hub(path) as server:
        with kiosk(tmp_path / "k.db", server.url, token=WRONG, pacing=PACING) as one:
            await until(lambda: one.status and one.status.attempt >= 3)
            assert set(one.states) == {LinkState.SIGN_IN}


@pytest.mark.parametrize("transport", ["websocket", "sse", "polling"])
async def test_a_half_open_line_is_found_out_and_left(path, tmp_path, transport):
    pacing = replace(PACING, ping=0.4, ack=0.8, poll_wait=0.4)
    async with on(transport, path, tmp_path, pacing) as one:
        one.proxy.silent = True
        await until(lambda: one.status.transport == "", 15)
        assert one.status.state is LinkState.OFFLINE
        ids = one.check_in(20)
        one.proxy.silent = False
        one.proxy.cut()
        one.client.kick()
        await until(lambda: one.store.held()[0] == 0, 15)
        assert pushed(path) == ids


async def test_pushes_that_fail_do_not_stop_the_listening(path, tmp_path):
    async with on("sse", path, tmp_path) as one, joined(one.server.url, hello("other")) as peer:
        one.proxy.cut_path, one.proxy.cut_after = b"/v1/push", 10
        one.check_in(10)
        await peer.push(*Author("other").bodies(5))
        await until(lambda: one.cursor(ROOM) and one.cursor(ROOM)[1] == 5)
        assert one.store.held()[0] == 10
        assert one.status.state is LinkState.LIMITED_SSE
        one.proxy.cut_after = None
        await until(lambda: one.store.held()[0] == 0)
        assert len(pushed(path)) == 15


async def test_listening_that_fails_does_not_stop_the_pushes(path, tmp_path, monkeypatch):
    async with on("sse", path, tmp_path) as one:

        async def never(self, wish):
            raise AssertionError("nobody listens")

        monkeypatch.setattr(Member, "subscribe", never)
        ids = one.check_in(30)
        await until(lambda: one.store.held()[0] == 0)
        assert pushed(path) == ids


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for this machine that signs itself, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + dt.timedelta(days=1))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "hub.pem", folder / "hub.key"
    paths[0].write_bytes(made.public_bytes(Encoding.PEM))
    plain = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    paths[1].write_bytes(plain)
    return paths


@pytest.mark.parametrize("transport", ["websocket", "sse", "polling"])
async def test_every_transport_goes_over_tls_and_trusts_the_given_authority_only(
    path, tmp_path, certificate, transport, monkeypatch
):
    monkeypatch.setattr(SyncClient, "_transports", (transport,))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(*certificate)
    async with hub(path, tls=tls) as server:
        assert server.url.startswith("https://")
        with kiosk(tmp_path / "k.db", server.url, pacing=PACING, ca=certificate[0]) as one:
            ids = one.check_in(600)
            await until(lambda: one.store.held()[0] == 0)
            assert pushed(path) == ids
        with kiosk(tmp_path / "stranger.db", server.url, pacing=PACING) as stranger:
            await stranger.reaches(LinkState.ATTENTION)
            assert "certificate" in stranger.status.reason


async def test_commands_trust_the_given_authority_only(path, certificate):
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(*certificate)
    ca, loop = certificate[0], asyncio.get_running_loop()
    who = Applicant(ORG, SITE, "k", "i", "a kiosk", "", lambda _: "")
    async with hub(path, tls=tls) as server:

        def with_and_without():
            assert health(server.url, ca=ca)["status"] == "ok"
            people = HubClient(server.url, TOKEN, ORG, SITE, ca)
            assert people.send_people([Person("a", "Ada")]).changed == 1
            with pytest.raises(PairingError, match="the hub refused"):
                pair(server.url, "no code", who, ca=ca)
            with pytest.raises(DirectoryError, match="certificate"):
                HubClient(server.url, TOKEN, ORG, SITE).look()
            with pytest.raises(PairingError, match="certificate"):
                pair(server.url, "no code", who)

        await loop.run_in_executor(None, with_and_without)
