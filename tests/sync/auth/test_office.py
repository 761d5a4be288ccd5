from __future__ import annotations

import asyncio
import sqlite3
import threading

import pytest

from kiosk.clock import NS
from kiosk.model import Rank
from sync.hub.auth import pins
from sync.hub.auth.gate import Caller, DeniedError
from sync.hub.auth.limits import Limits, Rate
from sync.hub.auth.register import Ticket, register_path
from sync.possession import prove, renewal_statement
from tests.sync.auth.rig import PIN, SEED, TOKEN, stage
from tests.sync.rig import ORG, SITE, until

HERE = Caller("10.0.0.9", "test")


# -- pairing ------------------------------------------------------------------------------------


async def test_a_kiosk_with_a_code_gets_a_token_for_itself(tmp_path):
    async with stage(tmp_path) as hub:
        answer = await hub.paired()
        grant = hub.gate.admit(answer["token"], HERE)
        assert (grant.role, grant.subject, grant.device) == ("device", "kiosk-1", "kiosk-1")
        assert (grant.org, grant.sites) == (ORG, (SITE,))
        assert answer["pepper"] == hub.keys.pepper(ORG, SITE).hex()
        assert 0 < answer["renew_in"] < answer["expires_in"]


async def test_a_code_is_good_once_but_its_answer_may_get_lost(tmp_path):
    async with stage(tmp_path) as hub:
        code = hub.code()
        wish = hub.wish(code)
        assert (await hub.post("/v1/pair", wish))[0] == 200
        status, again = await hub.post("/v1/pair", wish)
        assert status == 200
        hub.gate.admit(again["token"], HERE)
        for other in (hub.wish(code, "kiosk-2"), hub.wish(code, seed=bytes(32))):
            status, answer = await hub.post("/v1/pair", other)
            assert (status, answer["code"]) == (401, "code")
        assert list(hub.register.roll().devices) == ["kiosk-1"]


async def test_two_kiosks_that_race_for_a_code_do_not_both_get_it(tmp_path):
    async with stage(tmp_path) as hub:
        code = hub.code()
        wishes = [hub.wish(code, f"kiosk-{n}") for n in range(6)]
        answers = await asyncio.gather(*(hub.post("/v1/pair", wish) for wish in wishes))
        assert sorted(status for status, _ in answers) == [200, *[401] * 5]
        assert len(hub.register.roll().devices) == 1


async def test_an_old_or_unknown_code_and_a_false_proof_get_nothing(tmp_path):
    async with stage(tmp_path) as hub:
        code = hub.code(minutes=10)
        forged = hub.wish(code) | {"proof": hub.wish(code, seed=bytes(32))["proof"]}
        assert (await hub.post("/v1/pair", forged))[1]["code"] == "proof"
        moved = hub.wish(code) | {"site": "south"}
        assert (await hub.post("/v1/pair", moved))[1]["code"] == "proof"
        assert (await hub.post("/v1/pair", hub.wish("AAAA-AAAA")))[1]["code"] == "code"
        hub.clock.now += 601 * NS
        assert (await hub.post("/v1/pair", hub.wish(code)))[1]["code"] == "code"
        assert hub.register.roll().devices == {}


async def test_a_code_for_one_site_is_none_for_another(tmp_path):
    async with stage(tmp_path) as hub:
        code = hub.code(Ticket(ORG, "south", "Back door"))
        status, answer = await hub.post("/v1/pair", hub.wish(code))
        assert status == 403
        assert "acme/south" in answer["error"]
        status, answer = await hub.post("/v1/pair", hub.wish(code, site="south"))
        assert (status, answer["name"]) == (200, "Back door")


async def test_codes_are_not_in_the_file(tmp_path):
    async with stage(tmp_path) as hub:
        code = hub.code()
        files = [p.read_bytes() for p in tmp_path.iterdir()]
        for form in (code, code.replace("-", "")):
            assert not any(form.encode() in data for data in files)


async def test_guessing_codes_is_slow_and_hinders_nobody_with_a_token(tmp_path):
    async with stage(tmp_path, limits=Limits(strangers=Rate(5, 0.1))) as hub:
        good = await hub.paired()
        answers = [await hub.post("/v1/pair", hub.wish("0000-0000")) for _ in range(7)]
        assert [status for status, _ in answers] == [401] * 5 + [429] * 2
        assert answers[-1][1]["after"] > 5
        assert (await hub.post("/v1/renew", token=good["token"]))[0] == 200


async def test_pairing_again_voids_the_older_token_and_ends_a_revocation(tmp_path):
    async with stage(tmp_path) as hub:
        old = await hub.paired()
        hub.register.revoke("kiosk-1", hub.clock.now)
        hub.clock.now += NS
        new = await hub.paired(seed=bytes(32))
        hub.gate.admit(new["token"], HERE)
        with pytest.raises(DeniedError, match="paired again"):
            hub.gate.admit(old["token"], HERE)


async def test_a_revoked_kiosk_does_not_come_back_with_the_code_it_was_paired_with(tmp_path):
    async with stage(tmp_path) as hub:
        wish = hub.wish(hub.code(minutes=24 * 60))
        assert (await hub.post("/v1/pair", wish))[0] == 200
        assert (await hub.post("/v1/pairings/kiosk-1/revoke", token=TOKEN))[0] == 200
        status, answer = await hub.post("/v1/pair", wish)
        assert (status, answer["code"]) == (401, "code")
        assert hub.register.roll().devices["kiosk-1"].revoked is not None


async def test_a_code_of_one_site_takes_no_kiosk_away_from_another(tmp_path):
    async with stage(tmp_path) as hub:
        here = await hub.paired()
        code = hub.code(Ticket(ORG, "south"))
        thief = hub.wish(code, "kiosk-1", bytes(32), site="south")
        status, answer = await hub.post("/v1/pair", thief)
        assert (status, answer["code"]) == (403, "forbidden")
        hub.gate.admit(here["token"], HERE)
        await hub.post("/v1/pairings/kiosk-1/revoke", token=TOKEN)
        assert (await hub.post("/v1/pair", thief))[0] == 200


async def test_a_full_disk_is_no_wrong_pin_and_no_crash(tmp_path):
    async with stage(tmp_path) as hub:
        hub.hire()
        await hub.gate.changed()
        token = (await hub.paired())["token"]
        register = hub.gate.register._db
        register.execute("PRAGMA query_only = ON")
        asked = (
            ("/v1/pair", hub.wish(hub.code(), "kiosk-2"), None),
            ("/v1/login", {"staff": "ada", "secret": PIN}, None),
            ("/v1/pairings/kiosk-1/revoke", {}, TOKEN),
        )
        for path, body, shown in asked:
            status, answer = await hub.post(path, body, shown)
            assert (status, answer["code"]) == (429, "disk"), path
            assert answer["after"] > 0
        assert (await hub.post("/v1/renew", token=token))[0] == 200
        register.execute("PRAGMA query_only = OFF")
        assert await hub.signed_in()


# -- renewal ------------------------------------------------------------------------------------


async def test_a_token_is_renewed_before_it_expires(tmp_path):
    async with stage(tmp_path) as hub:
        old = await hub.paired()
        hub.clock.now += old["renew_in"] * NS
        status, new = await hub.post("/v1/renew", token=old["token"])
        assert status == 200
        hub.clock.now += (old["expires_in"] - old["renew_in"]) * NS
        with pytest.raises(DeniedError, match="expired"):
            hub.gate.admit(old["token"], HERE)
        hub.gate.admit(new["token"], HERE)


async def test_an_expired_kiosk_proves_its_key_and_goes_on(tmp_path):
    async with stage(tmp_path) as hub:
        token = (await hub.paired())["token"]
        hub.clock.now += 400 * 86_400 * NS
        status, answer = await hub.post("/v1/renew", token=token)
        assert (status, answer["code"]) == (401, "expired")
        statement = renewal_statement(answer["challenge"])
        body = {"challenge": answer["challenge"], "proof": prove(bytes(32), statement)}
        assert (await hub.post("/v1/renew", body, token))[1]["code"] == "proof"
        body["proof"] = prove(SEED, statement)
        status, answer = await hub.post("/v1/renew", body, token)
        assert status == 200
        hub.gate.admit(answer["token"], HERE)


async def test_no_proof_renews_what_was_revoked(tmp_path):
    async with stage(tmp_path) as hub:
        token = (await hub.paired())["token"]
        hub.register.revoke("kiosk-1", hub.clock.now)
        await hub.gate.look()
        status, answer = await hub.post("/v1/renew", token=token)
        assert (status, answer["code"]) == (403, "revoked")


async def test_staff_whose_token_expired_sign_in_again(tmp_path):
    async with stage(tmp_path) as hub:
        hub.hire()
        await hub.gate.look()
        token = (await hub.signed_in())["token"]
        assert (await hub.post("/v1/renew", token=token))[0] == 200
        hub.clock.now += 13 * 3600 * NS
        status, answer = await hub.post("/v1/renew", token=token)
        assert status == 401
        assert "challenge" not in answer


# -- staff --------------------------------------------------------------------------------------


async def test_staff_sign_in_with_their_rank_each_login_a_device_of_its_own(tmp_path):
    async with stage(tmp_path) as hub:
        hub.hire("ada", Rank.INSTRUCTOR)
        hub.hire("bob", Rank.ADMIN, secret="correct horse")  # noqa: S106  of nobody
        await hub.gate.look()
        one, two = await hub.signed_in(), await hub.signed_in()
        assert one["device"] != two["device"]
        grant = hub.gate.admit(one["token"], HERE)
        assert (grant.role, grant.rank, grant.subject) == ("staff", Rank.INSTRUCTOR, "ada")
        admin = await hub.signed_in("bob", "correct horse")
        assert hub.gate.admit(admin["token"], HERE).may_administer()


async def test_wrong_name_and_wrong_pin_sound_the_same(tmp_path):
    async with stage(tmp_path) as hub:
        hub.hire()
        await hub.gate.look()
        told = [
            await hub.post("/v1/login", {"staff": name, "secret": "000001"})
            for name in ("ada", "eve")
        ]
        assert told[0] == told[1]
        assert told[0][0] == 401


async def test_wrong_pins_are_counted_over_restarts_and_wait_ever_longer(tmp_path):
    async with stage(tmp_path) as hub:
        hub.hire()
        await hub.gate.look()
        for _ in range(3):
            assert (await hub.post("/v1/login", {"staff": "ada", "secret": "111112"}))[0] == 401
        clock = hub.clock
    async with stage(tmp_path, clock) as hub:
        status, answer = await hub.post("/v1/login", {"staff": "ada", "secret": PIN})
        assert (status, answer["after"]) == (429, 30.0)
        clock.now += 30 * NS
        assert (await hub.post("/v1/login", {"staff": "ada", "secret": "111112"}))[0] == 401
        clock.now += 59 * NS
        assert (await hub.post("/v1/login", {"staff": "ada", "secret": PIN}))[0] == 429
        clock.now += NS
        await hub.signed_in()
        assert hub.register.failures("ada") == (0, 0)


async def test_guesses_side_by_side_get_no_more_tries(tmp_path):
    async with stage(tmp_path) as hub:
        hub.hire()
        await hub.gate.look()
        wishes = [{"staff": "ada", "secret": f"11111{n}"} for n in range(8)]
        answers = await asyncio.gather(*(hub.post("/v1/login", wish) for wish in wishes))
        assert sorted(status for status, _ in answers) == [401] * 3 + [429] * 5


async def test_a_pin_is_hashed_off_the_loop(tmp_path, monkeypatch):
    threads, real = [], pins.fits

    def fits(*given):
        threads.append(threading.current_thread().name)
        return real(*given)

    monkeypatch.setattr(pins, "fits", fits)
    async with stage(tmp_path) as hub:
        hub.hire()
        await hub.gate.look()
        await hub.signed_in()
        assert (await hub.post("/v1/login", {"staff": "eve", "secret": PIN}))[0] == 401
    assert len(threads) == 2
    assert all(name.startswith("hub-hashing") for name in threads)


async def test_removed_staff_and_those_with_a_new_pin_are_out(tmp_path):
    async with stage(tmp_path) as hub:
        hub.hire()
        await hub.gate.look()
        token = (await hub.signed_in())["token"]
        with sqlite3.connect(register_path(hub.db)) as db:
            db.execute("UPDATE staff SET since = since + 1")
        db.close()
        await until(lambda: hub.gate.roll.staff["ada"].since == 2)
        with pytest.raises(DeniedError, match="sign in again"):
            hub.gate.admit(token, HERE)


# -- whatever is sent ---------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/v1/pair", "/v1/login", "/v1/renew", "/v1/pairings/x/name"])
@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"code":1}', b"\xff\xfe", b"[" * 5000, b'{"staff":""}']
)
async def test_whatever_is_sent_is_answered(tmp_path, path, body):
    async with stage(tmp_path) as hub:
        status, answer = await hub.post(path, body, TOKEN)
        assert status in (400, 401, 404)
        assert answer["error"]


async def test_a_body_too_large_is_not_read(tmp_path):
    async with stage(tmp_path) as hub:
        assert (await hub.post("/v1/login", b" " * 20_000))[0] == 413
