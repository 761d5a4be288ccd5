"""A hub whose disk died and of which no backup is left gets its directory from kiosks' files."""

from __future__ import annotations

import sqlite3
import stat

import pytest
from click.testing import CliRunner

from kiosk.handover import HandoverError, export_directory, read_all
from kiosk.outbox_commands import export
from tests.kiosk.test_hub_commands import told
from tests.sync.auth.rig import hire
from tests.sync.kiosks import Kiosk, kiosk
from tests.sync.rig import NS, ORG, SITE, TestClock, hub, until
from tests.sync.test_restore import directory, listed, person, said, same, session

NOW = 1_800_000_000 * NS


@pytest.fixture
def db(tmp_path, monkeypatch):
    monkeypatch.delenv("WHORL_HUB_TOKEN", raising=False)
    return tmp_path / "new" / "hub.db"


async def lost(tmp_path):
    """Two kiosks, the second longer in touch, of a hub that is no more."""
    hire(tmp_path / "hub.db")
    async with hub(tmp_path / "hub.db") as server:
        with kiosk(tmp_path / "a.db", server.url) as one:
            await said(server, person("p1", "Ada"), person("p2"), session("s1"))
            one.check_in(1, session="s9")
            await same(tmp_path / "hub.db", one)
        with kiosk(tmp_path / "b.db", server.url) as one:
            await said(server, person("p1", "Bea"), person("p3", active=False))
            await same(tmp_path / "hub.db", one)
    return directory(tmp_path / "hub.db")


async def test_a_hub_that_begins_anew_adopts_what_kiosks_still_know(db, tmp_path):
    before = await lost(tmp_path)
    files = [tmp_path / "a.whorl", tmp_path / "b.whorl"]
    assert export_directory(tmp_path / "a.db", files[0], NOW) == 3
    assert export_directory(tmp_path / "b.db", files[1], NOW) == 4
    assert stat.S_IMODE(files[1].stat().st_mode) == 0o600
    told(db, "init", "--org", ORG, "--site", SITE)
    assert "Have the hub say all of this?" in told(db, "adopt", *files, typed="n\n")
    assert directory(db) == {}
    done = told(db, "adopt", *files, typed="y\n")
    assert f"{ORG}/{SITE}: 3 person, 1 session that this hub does not know." in done
    assert "4 records are the hub's word now" in done
    assert "nothing that this hub does not know" in told(db, "adopt", files[0], "--yes")
    after = directory(db)
    assert {key: value for key, (_, value) in after.items()} == {
        key: value for key, (_, value) in before.items() if key[0] != "staff"
    }
    async with hub(db, TestClock(wall=NOW)) as server:
        assert (await listed(server, "people"))["p1"]["first_name"] == "Bea"
        one = Kiosk(tmp_path / "a.db", server.url)
        one.store.set_note("hub", "").result(5)  # as pairing it anew does
        one.client.start()
        try:
            await until(lambda: after.items() <= directory(one.path).items(), 20)
            await until(lambda: one.store.held()[0] == 0)
            assert all(after[key][0] > rev for key, (rev, _) in before.items() if key in after)
        finally:
            one.close()


async def test_what_the_hub_knows_stays_and_what_it_cannot_take_keeps_nobody_out(db, tmp_path):
    await lost(tmp_path)
    told(db, "init", "--org", ORG, "--site", SITE)
    first, second = tmp_path / "a.whorl", tmp_path / "b.whorl"
    export_directory(tmp_path / "a.db", first, NOW)
    with sqlite3.connect(tmp_path / "b.db") as one:
        one.execute("UPDATE directory SET value = '[7]' WHERE id = 'p3'")
    one.close()
    export_directory(tmp_path / "b.db", second, NOW)
    told(db, "adopt", first, "--yes")
    said = told(db, "adopt", second, "--yes")
    assert "person p3 is not taken" in said
    assert directory(db)["person", "p1"][1]["first_name"] == "Ada"
    assert ("person", "p2") in directory(db)


@pytest.mark.parametrize("spoil", [lambda d: d[:-9], lambda d: d.replace(b"Ada", b"Bob")])
async def test_a_file_that_was_cut_short_or_altered_is_refused_whole(tmp_path, spoil):
    await lost(tmp_path)
    file = tmp_path / "a.whorl"
    export_directory(tmp_path / "a.db", file, NOW)
    with pytest.raises(HandoverError, match="exists already"):
        export_directory(tmp_path / "a.db", file, NOW)
    file.write_bytes(spoil(file.read_bytes()))
    with pytest.raises(HandoverError, match="cut short or altered"):
        read_all([file])
    file.write_bytes(b"something else")
    with pytest.raises(HandoverError, match="not made by"):
        read_all([file])
    with pytest.raises(HandoverError, match="cannot be read"):
        read_all([tmp_path / "none"])


def test_a_kiosk_that_has_never_heard_of_a_hub_has_nothing_to_give(tmp_path):
    Kiosk(tmp_path / "kiosk.db", "").close()
    with pytest.raises(HandoverError, match="knows nothing"):
        export_directory(tmp_path / "kiosk.db", tmp_path / "x", NOW)
    settings = tmp_path / "kiosk.toml"
    settings.write_text(f'[storage]\ndirectory = "{tmp_path}"\n')
    words = ["directory", str(tmp_path / "x"), "--config", str(settings)]
    done = CliRunner().invoke(export, words)
    assert (done.exit_code, "knows nothing" in done.output) == (1, True)
    assert not (tmp_path / "x").exists()
