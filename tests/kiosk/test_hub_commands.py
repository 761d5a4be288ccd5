from __future__ import annotations

import asyncio
import contextlib
import functools
import re
import sqlite3
import stat

import pytest
from click.testing import CliRunner

from kiosk.clock import SystemClock
from kiosk.hub_commands import hub
from kiosk.pairing import invitation, read_invitation
from sync import protocol as p
from sync.hub.auth import pins
from sync.hub.auth.keys import hub_keys, key_path
from sync.hub.auth.register import register_path
from sync.hub.tokens import token_path, url_path
from tests.sync.auth.rig import stage
from tests.sync.rig import ORG, SITE, TOKEN, hello

CODE = re.compile(r"Code: ([0-9A-Z]{4}-[0-9A-Z]{4}) ")
PIN = "274951"


@pytest.fixture
def db(tmp_path, monkeypatch):
    monkeypatch.delenv("WHORL_HUB_TOKEN", raising=False)
    return tmp_path / "new" / "hub.db"


def told(db, *words, typed="", code=0):
    """What a command says; `typed` comes on stdin."""
    command = [str(word) for word in ("--db", db, *words)]
    done = CliRunner().invoke(hub, command, input=typed, catch_exceptions=False)
    assert done.exit_code == code, done.output
    assert "Traceback" not in done.output
    return done.output


def initialised(db):
    told(db, "init", "--org", ORG, "--site", SITE)
    return db


def test_init_makes_files_for_their_owner_only_and_harms_nothing_the_second_time(db):
    said = told(db, "init", "--org", ORG)
    assert "kiosk hub pair" in said
    files = (key_path(db), token_path(db), register_path(db))
    before = [file.read_bytes() for file in files[:2]]
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in (db, *files))
    told(db, "init")
    assert [file.read_bytes() for file in files[:2]] == before
    assert before[1].decode().strip() not in said


def test_an_empty_list_of_staff_says_so(db):
    assert told(initialised(db), "staff", "list") == "No staff yet: kiosk hub staff add\n"


def test_another_organisation_is_not_taken_without_a_word(db):
    initialised(db)
    said = told(db, "init", "--org", "other", "--url", "http://10.0.0.1:8765")
    assert f"org was {ORG} and is other now" in said
    assert "url" not in said
    assert "was" not in told(db, "init", "--org", "other")


async def test_a_hub_that_was_made_for_one_site_need_not_be_told_which(db):
    initialised(db)
    async with stage(db.parent, SystemClock()) as running:
        assert (await running.get("/v1/people", TOKEN))[0] == 200
    told(db, "init", "--site", "south")
    async with stage(db.parent, SystemClock()) as running:
        assert (await running.get("/v1/people", TOKEN))[0] == 200
        assert (await running.post("/v1/hello", p.encode(hello()), TOKEN))[0] == 200
    async with stage(db.parent, SystemClock()) as running:
        status, answer = await running.get("/v1/people", TOKEN)
    assert status == 400
    assert "say which site" in answer["error"]


def test_no_code_is_given_out_where_there_is_no_hub(db):
    initialised(db)
    typo = db.with_name("hbu.db")
    assert f"no hub at {typo}" in told(typo, "pair", code=1)
    assert {file.name for file in db.parent.iterdir() if "hbu" in file.name} == set()


def test_without_a_command_a_database_must_be_named(db):
    done = CliRunner().invoke(hub, [])
    assert done.exit_code == 2
    assert "Missing option '--db'" in done.output


@pytest.mark.parametrize(
    "words", [[], ["pair"], ["staff"], ["devices"], ["people"], ["restore"], ["time"]]
)
def test_every_command_says_what_it_is_for(words):
    done = CliRunner().invoke(hub, [*words, "--help"])
    assert done.exit_code == 0
    assert "Options:" in done.output


async def test_a_code_that_is_printed_pairs_a_kiosk(db):
    initialised(db)
    said = told(db, "pair", "--url", "https://hub.example", "--name", "Front door")
    code = CODE.search(said)[1]
    assert f"kiosk pair https://hub.example {code}" in said
    assert "█" in said  # the QR code
    async with stage(db.parent, SystemClock()) as running:
        status, answer = await running.post("/v1/pair", running.wish(code))
    assert (status, answer["name"]) == (200, "Front door")
    assert "Front door" in told(db, "devices")
    elsewhere = CODE.search(told(db, "pair", "--site", "south"))[1]
    async with stage(db.parent, SystemClock()) as running:
        assert (await running.post("/v1/pair", running.wish(elsewhere)))[0] == 403
    assert "forbidden" in told(db, "denials")


def test_what_the_qr_code_says_is_read_back():
    said = invitation("https://hub.example:8765/x", "K7QM-2XTA")
    assert read_invitation(f" {said}\n") == ("https://hub.example:8765/x", "K7QM-2XTA")


async def test_devices_are_named_revoked_and_found_by_name_or_id(db):
    initialised(db)
    assert "No kiosk" in told(db, "devices", "list")
    async with stage(db.parent, SystemClock()) as running:
        for device in ("aa-1", "ab-2"):
            await running.paired(device, name=device.upper())
    told(db, "devices", "rename", "aa", "Gate")
    assert "revoked" in told(db, "devices", "revoke", "Gate")
    told(db, "revoke", "ab-2")
    lines = told(db, "devices").splitlines()
    assert ["Gate" in line and "revoked" in line for line in lines] == [True, False]
    assert "AB-2" in lines[1]
    assert "2 kiosks" in told(db, "revoke", "a", code=1)
    assert "no kiosk" in told(db, "revoke", "zz", code=1)


async def test_a_kiosk_is_given_a_place_and_keeps_its_name(db):
    initialised(db)
    async with stage(db.parent, SystemClock()) as running:
        await running.paired("aa-1", name="Gate")
    words = ("devices", "place", "Gate")
    assert "South hall=10" in told(db, *words, "N", "--minutes", "x", code=2)
    said = told(db, *words, "North hall", "--minutes", "South hall=10")
    assert "Gate (aa-1) is at North hall." in said
    async with stage(db.parent, SystemClock()) as running:
        where = f"/v1/devices/aa-1?org={ORG}&site={SITE}"
        status, record = await running.get(where, TOKEN)
    assert status == 200
    assert record["value"] == {
        "id": "aa-1", "name": "Gate", "revoked": False,
        "place": "North hall", "travel": {"South hall": 10},
    }  # fmt: skip


async def test_staff_are_added_sign_in_and_are_removed(db):
    initialised(db)
    told(db, "staff", "add", "ada", "--name", "Ada L", "--rank", "instructor", typed=PIN + "\n")
    assert "instructor" in told(db, "staff")
    async with stage(db.parent, SystemClock()) as running:
        answer = await running.signed_in("ada")
        assert (answer["rank"], answer["name"]) == (2, "Ada L")
        told(db, "staff", "pin", "ada", typed="correct horse\n")
        await running.gate.look()
        assert (await running.post("/v1/renew", token=answer["token"]))[0] == 401
        await running.signed_in("ada", "correct horse")
        verifiers = running.gate.roll.staff["ada"].verifiers
        assert pins.fits("correct horse", verifiers[SITE], hub_keys(db).pepper(ORG, SITE))
        told(db, "staff", "remove", "ada")
        await running.gate.look()
        wish = {"staff": "ada", "secret": "correct horse"}
        assert (await running.post("/v1/login", wish))[0] == 401
    assert told(db, "staff").startswith("No staff yet")
    assert "no member of staff" in told(db, "staff", "pin", "ada", typed=PIN, code=1)


@pytest.mark.parametrize("typed", ["123456\n", "12345\n", "", "short\n"])
def test_a_weak_pin_is_one_line_and_changes_nothing(db, typed):
    initialised(db)
    assert "Error: " in told(db, "staff", "add", "eve", typed=typed, code=1)
    assert told(db, "staff").startswith("No staff yet")


def test_staff_need_a_site(db):
    told(db, "init")
    assert "--site" in told(db, "staff", "add", "ada", typed=PIN, code=2)


def test_a_backup_is_made_and_brought_back(db, tmp_path):
    initialised(db)
    file = tmp_path / "hub.backup"
    assert "0 events" in told(db, "backup", file)
    assert "--replace" in told(db, "backup", file, code=1)
    told(db, "backup", file, "--replace")
    assert "former database is kept" in told(db, "restore", file)
    people = tmp_path / "people.csv"
    people.write_text("id,first_name,last_name,kind,code\nm1,Mia,Moss,member,4711\n")
    told(db, "people", "import", people)
    said = told(db, "restore", file)
    assert "1 records (people" in said
    assert "come back from kiosks" in said
    assert "no backup" in told(db, "restore", tmp_path / "nothing", code=1)
    assert "no hub" in told(tmp_path / "none.db", "backup", tmp_path / "x", code=1)


@pytest.mark.parametrize(
    ("noted", "told_as"),
    [
        ("http://127.0.0.1:8765", "http://127.0.0.1:8765"),
        ("https://0.0.0.0:443", "URL"),
        ("https://[::]:443", "URL"),
        ("https://hub.example.org", "https://hub.example.org"),
        ("", "URL"),
    ],
)
def test_an_address_that_means_everywhere_is_told_to_no_kiosk(db, noted, told_as):
    initialised(db)
    url_path(db).write_text(noted)
    assert f"kiosk pair {told_as} " in told(db, "pair")


def test_people_and_sessions_reach_a_hub_that_does_not_run(db, tmp_path):
    initialised(db)
    people = tmp_path / "people.csv"
    people.write_text("id,first_name,last_name,kind,code\nm1,Mia,Moss,member,4711\n")
    assert told(db, "people", "import", people).startswith("1 people")
    assert "Mia Moss" in told(db, "people", "list")
    # The option may stand wherever somebody puts it.
    for words in (("people", "list", "--db", db), ("people", "--db", db, "list")):
        done = CliRunner().invoke(hub, [str(word) for word in words], catch_exceptions=False)
        assert (done.exit_code, "Mia Moss" in done.output) == (0, True), done.output
    times = ("--start", "2026-03-29T00:30", "--end", "2026-03-29T03:30")
    told(db, "sessions", "add", "Night", *times, "--zone", "Europe/London")
    assert "2026-03-29 00:30  Night" in told(db, "sessions", "list")
    backwards = ("--start", "2026-03-29T03:30", "--end", "2026-03-29T00:30", "--zone", "UTC")
    assert "--end" in told(db, "sessions", "add", "Night", *backwards, code=2)
    assert "no such zone" in told(db, "sessions", "add", "N", *times, "--zone", "Mars", code=2)
    with contextlib.closing(sqlite3.connect(db)) as log, log:
        # As an earlier version, or another machine's list of zones, may have let in.
        log.execute("UPDATE directory SET value = replace(value, 'Europe/London', 'Mars/Base')")
    assert "2026-03-29 00:30 UTC  Night" in told(db, "sessions", "list")


async def test_staff_vouch_for_the_time_of_a_hub_that_no_server_tells_it(db, monkeypatch):
    initialised(db)
    monkeypatch.setenv("WHORL_HUB_TOKEN", TOKEN)

    async def said(*words, **given):
        work = functools.partial(told, db, "time", *words, **given)
        return await asyncio.get_running_loop().run_in_executor(None, work)

    async with stage(db.parent) as running:
        running.clock.trusted = False
        url_path(db).write_text(running.url)
        assert "kiosks are not told" in await said("show")
        for wrong in ("soon", "2031-03-01T18:30", "1931-03-01T18:30Z"):
            assert "Error" in await said("confirm", "--at", wrong, code=2)
        assert "nothing was confirmed" in await said("confirm", typed="n\n", code=1)
        assert "kiosks are not told" in await said("show")
        at = ("--at", "2031-03-01T18:30+01:00")
        assert await said("confirm", *at, typed="y\n") != ""
        assert await said("show") == "2031-03-01 17:30:00 UTC; kiosks are told.\n"
    async with stage(db.parent) as again:
        again.clock.trusted = False
        url_path(db).write_text(again.url)
        assert "17:30:00 UTC; kiosks are told" in await said("show"), "in the same boot it holds"


async def test_only_who_administers_all_of_a_hub_says_what_time_it_is(tmp_path):
    async with stage(tmp_path) as served:
        served.clock.trusted = False
        assert (await served.get("/v1/time", TOKEN))[1]["trusted"] is False
        kiosk = (await served.paired())["token"]
        wish = {"time": 1_900_000_000 * 10**9}
        assert (await served.post("/v1/time", wish, kiosk))[0] == 403
        assert (await served.get("/v1/time", kiosk))[1]["trusted"] is False
        for bad in ({}, {"time": -1}, {"time": "now"}, []):
            assert (await served.post("/v1/time", bad, TOKEN))[0] == 400
        status, answer = await served.post("/v1/time", wish, TOKEN)
        assert (status, answer["trusted"]) == (200, True)
        assert answer["time"] >= wish["time"]
