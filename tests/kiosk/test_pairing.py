from __future__ import annotations

import asyncio
import logging
import stat
import threading

import pytest

from kiosk import log, pairing
from kiosk.clock import NS
from kiosk.config import PAIRING_FILE, Config, HubSection, Storage
from kiosk.credentials import paired, pairing_of, token_of
from kiosk.pairing import Applicant, Pairing, PairingError, Renewer
from sync.hub.auth.gate import Caller
from sync.possession import prove
from tests.sync.auth.rig import SEED, public, stage
from tests.sync.rig import ORG, SITE

HERE = Caller("10.0.0.9", "test")
GIVEN = Pairing("https://hub.example", "head.body.seal-of-a-hub", "k1", "inc-1", "00ff", "Gate")


def applicant(seed=SEED, device="kiosk-1"):
    return Applicant(
        ORG, SITE, device, "inc-1", "Door", public(seed), lambda what: prove(seed, what)
    )


def sign(incarnation, statement):
    assert incarnation == "inc-1"
    return prove(SEED, statement)


async def off_loop(work, *args, **given):
    return await asyncio.get_running_loop().run_in_executor(None, lambda: work(*args, **given))


@pytest.fixture(autouse=True)
def _no_token(monkeypatch):
    monkeypatch.delenv("WHORL_HUB_TOKEN", raising=False)
    monkeypatch.setattr(log, "_SECRETS", set())


async def test_a_code_however_typed_gives_a_token_that_the_hub_takes(tmp_path):
    async with stage(tmp_path) as hub:
        typed = hub.code().lower().replace("-", " ").replace("0", "o").replace("1", "l")
        done = await off_loop(pairing.pair, hub.url + "/", typed, applicant())
        assert hub.gate.admit(done.token, HERE).subject == "kiosk-1"
        assert (done.url, done.device, done.name) == (hub.url, "kiosk-1", "Door")
        assert done.pepper == hub.keys.pepper(ORG, SITE).hex()
        with pytest.raises(PairingError, match="unknown, used or too old"):
            await off_loop(pairing.pair, hub.url, typed, applicant(device="kiosk-2"))


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://hub.example", "not https"),
        ("http://10.0.0.1:8765", "not https"),
        ("ftp://hub", "http"),
        ("http://127.0.0.1:1", "does not answer"),
    ],
)
def test_a_hub_that_cannot_be_trusted_or_reached_is_one_line(url, problem):
    with pytest.raises(PairingError, match=problem) as caught:
        pairing.pair(url, "AAAA-AAAA", applicant())
    assert "\n" not in str(caught.value)


def test_a_pairing_is_kept_for_its_owner_only(tmp_path):
    assert pairing.kept(tmp_path) is None
    pairing.keep(tmp_path, GIVEN)
    path = tmp_path / PAIRING_FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert pairing.kept(tmp_path) == GIVEN
    path.chmod(0o640)
    with pytest.raises(PairingError, match="chmod 600"):
        pairing.kept(tmp_path)
    path.chmod(0o600)
    path.write_bytes(b'{"url":"x"')
    with pytest.raises(PairingError, match="cannot be read"):
        pairing.kept(tmp_path)
    assert pairing.forget(tmp_path)
    assert not pairing.forget(tmp_path)


def test_a_paired_kiosk_goes_to_that_hub_and_its_settings_may_name_no_other(tmp_path, monkeypatch):
    pairing.keep(tmp_path, GIVEN)
    plain = Config(storage=Storage(str(tmp_path)))
    assert paired(plain).hub.url == GIVEN.url
    assert token_of(paired(plain)) == GIVEN.token
    record = logging.LogRecord("a", logging.INFO, "", 1, "shown: %s", (GIVEN.token,), None)
    assert GIVEN.token not in log.Redact().format(record)
    same = Config(storage=Storage(str(tmp_path)), hub=HubSection(f"{GIVEN.url}/"))
    assert token_of(paired(same)) == GIVEN.token
    other = Config(storage=Storage(str(tmp_path)), hub=HubSection("https://other"))
    for ask in (paired, pairing_of, token_of):
        with pytest.raises(PairingError, match=f"the hub https://other, but .* with {GIVEN.url}"):
            ask(other)
    monkeypatch.setenv("WHORL_HUB_TOKEN", "given")
    assert token_of(paired(plain)) == "given"
    with pytest.raises(PairingError, match="kiosk unpair"):
        paired(other)  # whosever token it is, it goes to no hub by mistake


async def test_a_token_is_renewed_and_kept_before_and_after_it_expired(tmp_path):
    async with stage(tmp_path) as hub:
        first = await off_loop(pairing.pair, hub.url, hub.code(), applicant())
        renewer = Renewer(tmp_path, first, sign)
        hub.clock.now += 60 * NS
        assert 0 < await off_loop(renewer.renew) <= 7 * 86_400
        second = pairing.kept(tmp_path)
        assert second.token == renewer.token() != first.token
        assert (second.pepper, second.name) == (first.pepper, first.name)
        hub.clock.now += 500 * 86_400 * NS  # a kiosk that was put away
        await off_loop(renewer.renew)
        hub.gate.admit(renewer.token(), HERE)


async def test_a_revoked_kiosk_keeps_its_token_and_says_why(tmp_path):
    async with stage(tmp_path) as hub:
        first = await off_loop(pairing.pair, hub.url, hub.code(), applicant())
        hub.register.revoke("kiosk-1", 1)
        await hub.gate.look()
        renewer = Renewer(tmp_path, first, sign)
        with pytest.raises(PairingError, match="403"):
            await off_loop(renewer.renew)
        assert renewer.token() == first.token


async def test_the_thread_renews_at_once_and_when_the_hub_refuses(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(pairing, "_SHORTEST", 0.01)
    async with stage(tmp_path) as hub:
        first = await off_loop(pairing.pair, hub.url, hub.code(), applicant())
        news = threading.Semaphore(0)
        renewer = Renewer(tmp_path, first, sign, news.release)
        renewer.start()
        try:
            assert await off_loop(news.acquire, timeout=10)
            hub.clock.now += 500 * 86_400 * NS
            renewer.refused()
            assert await off_loop(news.acquire, timeout=10)
            hub.gate.admit(renewer.token(), HERE)
        finally:
            await off_loop(renewer.stop)
    assert not caplog.records


async def test_what_is_refused_for_another_reason_than_its_age_is_not_renewed_for_ever(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(pairing, "_SHORTEST", 0.01)
    async with stage(tmp_path) as hub:
        first = await off_loop(pairing.pair, hub.url, hub.code(), applicant())
        news = threading.Semaphore(0)

        def refused_again():  # as a line is that the new token does not help
            news.release()
            renewer.refused()

        renewer = Renewer(tmp_path, first, sign, refused_again)
        renewer.start()
        try:
            assert await off_loop(news.acquire, timeout=10)
            assert await off_loop(news.acquire, timeout=10)
            assert not await off_loop(news.acquire, timeout=0.5)
        finally:
            await off_loop(renewer.stop)


def test_a_hub_that_is_away_is_told_once_and_tried_again(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(pairing, "_SHORTEST", 0.01)
    monkeypatch.setattr(pairing, "_AGAIN", 0.01)
    tries = threading.Semaphore(0)

    def away(*_):
        tries.release()
        raise PairingError("the hub does not answer")

    monkeypatch.setattr(pairing, "_posted", away)
    renewer = Renewer(tmp_path, GIVEN, sign)
    with caplog.at_level(logging.WARNING):
        renewer.start()
        assert all(tries.acquire(timeout=10) for _ in range(4))
        renewer.stop()
    assert len(caplog.records) == 1
