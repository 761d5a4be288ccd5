from __future__ import annotations

import logging
import time

import pytest

from kiosk.clock import NS
from kiosk.model import Rank
from sync.hub.auth import gate as gates
from sync.hub.auth.gate import Caller, DeniedError, Visit
from sync.hub.auth.limits import Limits, Rate
from sync.protocol import Close
from tests.sync.auth.rig import TOKEN, stage
from tests.sync.rig import ORG, SITE, until

HERE = Caller("10.0.0.9", "test", "somebody")


async def test_the_hubs_own_token_may_do_everything_and_wrong_ones_nothing(tmp_path):
    async with stage(tmp_path) as hub:
        assert hub.gate.admit(TOKEN, HERE).may_administer()
        for token in (None, "", "x", TOKEN + "x"):
            with pytest.raises(DeniedError) as caught:
                hub.gate.admit(token, HERE)
            assert (caught.value.close, caught.value.status) == (Close.TOKEN, 401)


async def test_a_kiosk_greets_as_itself_only(tmp_path):
    async with stage(tmp_path) as hub:
        grant = hub.gate.admit((await hub.paired())["token"], HERE)
        hub.gate.check(grant, ORG, SITE, "kiosk-1", HERE)
        for org, site, device in (
            (ORG, SITE, "kiosk-2"),
            (ORG, "south", "kiosk-1"),
            ("evil", SITE, "kiosk-1"),
        ):
            with pytest.raises(DeniedError) as caught:
                hub.gate.check(grant, org, site, device, HERE)
            assert caught.value.close is Close.TOKEN


async def test_an_address_that_fails_often_is_sent_away_but_not_the_good_ones_there(tmp_path):
    async with stage(tmp_path, limits=Limits(strangers=Rate(3, 0.1))) as hub:
        codes = []
        for _ in range(5):
            with pytest.raises(DeniedError) as caught:
                hub.gate.admit("wrong", HERE)
            codes.append(caught.value.close)
        assert codes == [Close.TOKEN] * 3 + [Close.TRY_LATER] * 2
        assert caught.value.after > 5
        assert hub.gate.admit(TOKEN, HERE)
        with pytest.raises(DeniedError) as caught:
            hub.gate.admit("wrong", Caller("10.0.0.10", "test"))
        assert caught.value.close is Close.TOKEN


async def test_one_subscribers_ipv6_addresses_are_one_stranger(tmp_path):
    async with stage(tmp_path, limits=Limits(strangers=Rate(3, 0.1))) as hub:
        hub.hire()
        await hub.gate.changed()
        codes = []
        for n in range(5):
            with pytest.raises(DeniedError) as caught:
                hub.gate.admit("wrong", Caller(f"2001:db8:1:2::{n}", "test"))
            codes.append(caught.value.close)
        assert codes == [Close.TOKEN] * 3 + [Close.TRY_LATER] * 2
        with pytest.raises(DeniedError) as caught:
            hub.gate.admit("wrong", Caller("2001:db8:1:3::1", "test"))
        assert caught.value.close is Close.TOKEN


async def test_a_device_that_greets_all_the_time_is_told_to_wait(tmp_path):
    async with stage(tmp_path, limits=Limits(devices=Rate(2, 0.5))) as hub:
        hub.gate.paced("kiosk-1", HERE)
        hub.gate.paced("kiosk-1", HERE)
        with pytest.raises(DeniedError) as caught:
            hub.gate.paced("kiosk-1", HERE)
        assert (caught.value.status, caught.value.close) == (429, Close.TRY_LATER)
        hub.gate.paced("kiosk-2", HERE)


async def test_those_that_share_a_token_are_counted_each(tmp_path):
    async with stage(tmp_path, limits=Limits(requests=Rate(2, 0.5))) as hub:
        grant = hub.gate.admit(TOKEN, HERE)
        for device in ("kiosk-1", "kiosk-2"):
            for _ in range(2):
                hub.gate.check(grant, ORG, SITE, device, HERE)
        with pytest.raises(DeniedError) as caught:
            hub.gate.check(grant, ORG, SITE, "kiosk-1", HERE)
        assert caught.value.close is Close.TRY_LATER
        for _ in range(9):  # those that only read have no device to be counted by
            hub.gate.check(grant, ORG, SITE, "", HERE)


async def test_revoking_ends_live_connections_soon_whoever_revokes(tmp_path):
    async with stage(tmp_path) as hub:
        grant = hub.gate.admit((await hub.paired())["token"], HERE)
        ended = []
        hub.gate.enter(Visit(grant, lambda code, why: ended.append((code, why, time.monotonic()))))
        began = time.monotonic()
        hub.register.revoke("kiosk-1", hub.clock.now)  # as another process does
        await until(lambda: ended, seconds=5)
        code, why, at = ended[0]
        assert (code, why) == (Close.REVOKED, "this device has been revoked")
        assert at - began < 2 * gates.LOOK_EVERY + 0.5
        assert len(ended) == 1


async def test_revoking_over_http_needs_no_look(tmp_path):
    async with stage(tmp_path) as hub:
        grant = hub.gate.admit((await hub.paired())["token"], HERE)
        ended = []
        hub.gate.enter(Visit(grant, lambda code, why: ended.append(code)))
        assert (await hub.post("/v1/pairings/kiosk-1/revoke", token=TOKEN))[0] == 200
        assert ended == [Close.REVOKED]


async def test_a_revoked_kiosk_is_out_even_with_the_hubs_own_token(tmp_path):
    async with stage(tmp_path) as hub:
        await hub.paired()
        await hub.post("/v1/pairings/kiosk-1/revoke", token=TOKEN)
        grant = hub.gate.admit(TOKEN, HERE)
        with pytest.raises(DeniedError) as caught:
            hub.gate.check(grant, ORG, SITE, "kiosk-1", HERE)
        assert caught.value.close is Close.REVOKED


async def test_a_token_that_expires_in_mid_connection_ends_it_unless_renewed(tmp_path):
    async with stage(tmp_path) as hub:
        first, second = await hub.paired("kiosk-1"), await hub.paired("kiosk-2")
        ended = []
        for answer in (first, second):
            grant = hub.gate.admit(answer["token"], HERE)
            hub.gate.enter(Visit(grant, lambda code, why, d=grant.device: ended.append((d, code))))
        hub.clock.now += (first["expires_in"] - 1) * NS
        await hub.gate.look()
        assert ended == []
        assert (await hub.post("/v1/renew", token=second["token"]))[0] == 200
        hub.clock.now += NS
        await hub.gate.look()
        assert ended == [("kiosk-1", Close.TOKEN)]


async def test_a_visit_that_ended_is_not_ended_again(tmp_path):
    async with stage(tmp_path) as hub:
        grant = hub.gate.admit((await hub.paired())["token"], HERE)
        ended = []
        visit = Visit(grant, lambda code, why: ended.append(code))
        hub.gate.enter(visit)
        hub.gate.leave(visit)
        await hub.post("/v1/pairings/kiosk-1/revoke", token=TOKEN)
        assert ended == []


async def test_refusals_are_kept_and_logged_without_secrets(tmp_path, caplog):
    async with stage(tmp_path) as hub:
        for name in ("eve\n\x1b[31m", "x" * 500):
            with pytest.raises(DeniedError):
                hub.gate.admit("wrong-token-of-eve", Caller("10.0.0.9", "GET /v1/ws", name))
        with caplog.at_level(logging.WARNING):
            await hub.gate.look()
        status, answer = await hub.get("/v1/denials", TOKEN)
        assert status == 200
        assert [d["code"] for d in answer] == ["token", "token"]
        assert answer[1]["subject"] == "eve??[31m"
        assert len(answer[0]["subject"]) == 120
        assert "wrong-token-of-eve" not in str(answer) + caplog.text
        assert "10.0.0.9" in caplog.text


async def test_a_flood_of_refusals_is_counted_not_kept(tmp_path, caplog):
    async with stage(tmp_path) as hub:
        for n in range(2000):
            with pytest.raises(DeniedError):
                hub.gate.admit("wrong", Caller(f"10.0.{n % 7}.{n % 251}", "test"))
        with caplog.at_level(logging.WARNING):
            await hub.gate.look()
        assert len(hub.register.denials(10_000)) == gates._MOST_DENIALS
        assert len(caplog.records) == gates._MOST_LINES + 1
        assert "1990 more" in caplog.text


async def test_devices_are_listed_and_renamed_by_admins_of_their_site_only(tmp_path):
    async with stage(tmp_path) as hub:
        await hub.paired("kiosk-1")
        await hub.paired("kiosk-2", site="south")
        hub.hire("ada", Rank.INSTRUCTOR)
        hub.hire("bob", Rank.ADMIN)
        await hub.gate.look()
        kiosk = (await hub.paired("kiosk-3"))["token"]
        ada, bob = [(await hub.signed_in(name))["token"] for name in ("ada", "bob")]
        for token, status in ((kiosk, 403), (ada, 403), (bob, 200), (TOKEN, 200), (None, 401)):
            assert (await hub.get("/v1/pairings", token))[0] == status
        seen = (await hub.get("/v1/pairings", bob))[1]
        assert [d["id"] for d in seen] == ["kiosk-1", "kiosk-3"]
        path = "/v1/pairings/kiosk-{}/name"
        assert (await hub.post(path.format(1), {"name": "Gate"}, bob))[0] == 200
        assert (await hub.post(path.format(2), {"name": "Gate"}, bob))[0] == 404
        assert hub.register.roll().devices["kiosk-1"].name == "Gate"
        assert (await hub.get("/v1/denials", bob))[0] == 403
