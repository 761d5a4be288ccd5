"""Unsent events on a stick: exported, carried to another kiosk or the hub, forged by nobody."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import sqlite3

import msgspec
import pytest
from click.testing import CliRunner

from kiosk.carrier import deliver, hand_over
from kiosk.carry import CarryError, export_unsent, import_into, read_bundle, unsent_beyond
from kiosk.config import Config, Organisation, SiteSection, Storage
from kiosk.devicekey import FILE
from kiosk.outbox_commands import export, import_events, reset
from kiosk.pairing import Applicant, keep, pair
from kiosk.rescue import open_store
from tests.sync.auth.rig import stage
from tests.sync.kiosks import Kiosk, held_by
from tests.sync.rig import NS, ORG, SITE, TOKEN, TestClock, hub


@pytest.fixture
def path(tmp_path):
    return tmp_path / "hub.db"


@pytest.fixture
def kiosks(tmp_path):
    """Makes kiosks, each with a folder of its own; closes them at the end."""
    made = []

    def make(name, url="http://127.0.0.1:9", **given):
        (tmp_path / name).mkdir(exist_ok=True)
        made.append(Kiosk(tmp_path / name / "kiosk.db", url, **given))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def stick(tmp_path):
    return tmp_path / "unsent.whorl"


def rows(path, query):
    with contextlib.closing(sqlite3.connect(path)) as db:
        return db.execute(query).fetchall()


# -- the road --------------------------------------------------------------------------------------


async def test_what_another_kiosk_carries_reaches_the_hub_as_its_authors(
    path, kiosks, stick, tmp_path
):
    house = TestClock()
    async with hub(path, house) as server:
        old = kiosks("old", server.url, clock=TestClock(wall=7 * NS))
        old.client.start()
        await old.settled()  # so that its clock is anchored
        old.client.stop()
        ids = old.check_in(700)
        assert export_unsent(old.store, stick) == (700, 0)
        assert old.store.held()[0] == 700
        other = kiosks("other", server.url)
        assert import_into(other.store, read_bundle(stick)) == 700
        assert import_into(other.store, read_bundle(stick)) == 0
        ids_of_other = other.check_in(2, session="s9")
        other.client.start()
        await other.settled()
        assert sorted(held_by(path)) == sorted([*ids, *ids_of_other])
        devices = rows(path, "SELECT device, count(*) FROM entry GROUP BY 1 ORDER BY 2")
        assert devices == [
            (other.store.identity.device, 2),
            (old.store.identity.device, 700),
        ]
        # Its anchors came along: a wrong clock did no harm.
        (low,) = rows(path, "SELECT min(json_extract(CAST(envelope AS TEXT), '$.low')) FROM event")
        assert low[0] > house.now - 60 * NS
        # The author itself finds them known, and its chain goes on.
        more = old.check_in(1, session="s9")
        late = Kiosk.over(old.store, server.url)
        late.client.start()
        await late.settled()
        late.client.stop()
        assert sorted(held_by(path)) == sorted([*ids, *ids_of_other, *more])
        assert rows(path, "SELECT count(*) FROM quarantine") == [(0,)]
        assert rows(old.path, "SELECT count(*) FROM entry WHERE envelope IS NULL") == [(0,)]


async def test_a_hub_takes_a_bundle_of_a_kiosk_it_never_met_twice_without_harm(path, kiosks, stick):
    old = kiosks("old")
    ids = old.check_in(3)
    export_unsent(old.store, stick)
    bundle = read_bundle(stick)
    async with hub(path) as server:
        first = await in_thread(deliver, server.url, TOKEN, bundle, bundle.events)
        again = await in_thread(deliver, server.url, TOKEN, bundle, bundle.events)
        assert (dict(first), dict(again)) == ({"ok": 3}, {"dup": 3})
        late = Kiosk.over(old.store, server.url)
        late.client.start()
        await late.settled()
        late.client.stop()
    assert sorted(held_by(path)) == sorted(ids)


async def test_a_paired_kiosk_hands_a_stick_to_the_hub_as_itself(path, kiosks, stick, tmp_path):
    old, other = kiosks("old"), kiosks("other")
    ids = old.check_in(3)
    async with stage(tmp_path) as house:
        for one in (old, other):
            folder = one.path.parent
            config = Config(Organisation(ORG), SiteSection(SITE), storage=Storage(str(folder)))
            who = one.store.identity
            signer = one.store.keys.signer(who.incarnation)
            applicant = Applicant(
                ORG, SITE, who.device, who.incarnation, "k", signer.public, signer.prove
            )
            keep(folder, await in_thread(pair, house.url, house.code(), applicant))
        export_unsent(old.store, stick)
        for said in ("3 new and 0 known", "0 new and 3 known"):
            assert said in await in_thread(hand_over, config, read_bundle(stick))
    assert sorted(set(held_by(path)) & set(ids)) == sorted(ids)
    assert rows(path, "SELECT count(*) FROM quarantine") == [(0,)]


async def test_a_carried_bundle_can_be_carried_on(path, kiosks, stick, tmp_path):
    a, b, c = (kiosks(name) for name in "abc")
    ids = a.check_in(2)
    export_unsent(a.store, stick)
    import_into(b.store, read_bundle(stick))
    second = tmp_path / "second.whorl"
    export_unsent(b.store, second)
    import_into(c.store, read_bundle(second))
    async with hub(path) as server:
        last = Kiosk.over(c.store, server.url)
        last.client.start()
        await last.settled()
        last.client.stop()
    assert sorted(held_by(path)) == sorted(ids)


async def in_thread(call, *given):
    return await asyncio.get_running_loop().run_in_executor(None, call, *given)


# -- what is no honest file ------------------------------------------------------------------------


@pytest.mark.parametrize("keep", [0, 5, 40, 300, -2, -30])
def test_a_truncated_file_is_one_line_and_nothing_is_taken(kiosks, stick, keep):
    one = kiosks("a")
    one.check_in(3)
    export_unsent(one.store, stick)
    stick.write_bytes(stick.read_bytes()[:keep])
    with pytest.raises(CarryError) as caught:
        read_bundle(stick)
    assert "\n" not in str(caught.value)


def resealed(lines):
    """The file of these lines with a fitting end: whoever forges can count and hash as well."""
    body = b"\n".join(lines) + b"\n"
    digest = hashlib.blake2b(body, digest_size=16).hexdigest()
    return body + msgspec.json.encode({"end": len(lines) - 2, "digest": digest}) + b"\n"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (b'"person":"p0"', b'"person":"px"', "altered"),
        (b'"kseq":1', b'"kseq":9', "altered"),
        (b'"signature":"', b'"signature":"00', "not signed by its author"),
        (b'"key":"', b'"key":"zz', "not signed by its author"),
        (b'"org":"acme","room"', b'"org":"evil","room"', "altered"),
    ],
)
def test_a_forged_event_spoils_the_whole_file(kiosks, stick, old, new, said):
    one = kiosks("a")
    one.check_in(3)
    export_unsent(one.store, stick)
    lines = stick.read_bytes().splitlines()[:-1]
    assert old in lines[2]
    lines[2] = lines[2].replace(old, new, 1)
    stick.write_bytes(resealed(lines))
    with pytest.raises(CarryError, match=said):
        read_bundle(stick)


async def test_who_signs_with_a_key_of_their_own_is_found_out_at_the_hub(path, kiosks, stick):
    one = kiosks("a")
    one.check_in(1)
    key = one.path.with_name(FILE)
    async with hub(path) as server:
        honest = Kiosk.over(one.store, server.url)
        honest.client.start()
        await honest.settled()
        honest.client.stop()
        # A thief writes on as this very kiosk, with another key.
        one.store.keys._signers.clear()
        incarnation = one.store.identity.incarnation
        key.write_text(f"{incarnation} {'A' * 43}=\n")
        one.check_in(1, session="s2")
        export_unsent(one.store, stick)
        bundle = read_bundle(stick)
        assert dict(await in_thread(deliver, server.url, TOKEN, bundle, bundle.events)) == {
            "quarantined": 1
        }
    assert rows(path, "SELECT code FROM quarantine") == [("signature",)]
    assert len(held_by(path)) == 1


def test_events_of_another_organisation_are_not_passed_on(kiosks, stick, tmp_path):
    one = kiosks("a")
    one.check_in(1)
    export_unsent(one.store, stick)
    bundle = read_bundle(stick)
    foreign = bundle._replace(whose=msgspec.structs.replace(bundle.whose, org="evil"))
    with pytest.raises(CarryError, match="evil"):
        import_into(kiosks("b").store, foreign)


def test_nothing_unsent_and_a_file_that_is_there_are_said(kiosks, stick):
    one = kiosks("a")
    with pytest.raises(CarryError, match="nothing is unsent"):
        export_unsent(one.store, stick)
    one.check_in(1)
    stick.touch()
    with pytest.raises(CarryError, match="exists already"):
        export_unsent(one.store, stick)


# -- the commands ----------------------------------------------------------------------------------


@pytest.fixture
def settings(tmp_path):
    file = tmp_path / "kiosk.toml"
    file.write_text(
        f'[organisation]\nid = "{ORG}"\n[site]\nid = "{SITE}"\n'
        f'zone = "Europe/London"\n[storage]\ndirectory = "{tmp_path}/a"\n'
    )
    return file


def test_a_reset_is_refused_while_anything_is_unsent_and_not_saved(kiosks, settings, stick):
    def command(what, *words):
        return CliRunner().invoke(what, [*map(str, words), "--config", str(settings)])

    one = kiosks("a")
    one.check_in(3)
    before = one.store.identity
    one.store.close()
    refused = command(reset, "--yes")
    assert refused.exit_code == 1
    assert "3 events are unsent" in refused.output
    assert command(export, "unsent", stick).output == f"3 unsent events in {stick}\n"
    again = kiosks("a")
    assert again.store.identity.device == before.device
    again.check_in(1, session="s2")
    assert unsent_beyond(again.store, read_bundle(stick)) == 1
    again.store.close()
    assert "1 events are unsent" in command(reset, "--yes", "--exported", stick).output
    second = stick.with_name("second")
    command(export, "unsent", second)
    assert command(reset, "--yes", "--exported", second).exit_code == 0
    fresh = kiosks("a")
    assert fresh.store.identity.device != before.device
    fresh.store.close()
    # And what was saved can come back by the same road.
    assert "4 new of 4 events" in command(import_events, second).output
    assert "0 new of 4 events" in command(import_events, second).output
    refused = command(import_events, settings)
    assert refused.exit_code == 1
    assert refused.output.count("\n") == 1


async def test_a_rescue_keeps_the_signatures_of_what_was_carried(path, kiosks, stick):
    author = kiosks("a")
    ids = author.check_in(3)
    export_unsent(author.store, stick)
    carrier = kiosks("b")
    import_into(carrier.store, read_bundle(stick))
    carrier.store.close()
    # A damaged first page: nothing but the header is hurt.
    with carrier.path.open("r+b") as file:
        file.write(b"\0" * 100)
    where = {"org": ORG, "site": SITE, "clock": TestClock(), "zone": "Europe/London"}
    rescued = open_store(carrier.path, **where, machine="")
    async with hub(path) as server:
        one = Kiosk.over(rescued, server.url)
        one.client.start()
        try:
            await one.settled()
        finally:
            one.close()
    assert sorted(held_by(path)) == sorted(ids)
    assert rows(path, "SELECT count(*) FROM quarantine") == [(0,)]
