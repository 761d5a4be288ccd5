"""A hub's database of an earlier schema opens, and what comes later is signed."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import stat
from pathlib import Path

import pytest

from sync.hub.errors import LogError
from sync.hub.serve import serve
from sync.hub.tables import SCHEMA, opened
from tests.sync.rig import TOKEN, Author, hub, joined

FIRST = Path(__file__).parents[1] / "schemas" / "hub" / "1.db"


async def test_a_hub_of_the_first_schema_goes_on_where_it_was(tmp_path):
    path = tmp_path / "hub.db"
    shutil.copy(FIRST, path)
    author = Author()
    author.event()
    author.prev = "not known to a hub that kept no hashes"
    author.kseq = 2
    async with hub(path) as server, joined(server.url) as peer:
        assert peer.welcome.received_kseq == {"inc-1": 2}
        (verdict,) = await peer.push(author.body())
        assert (verdict.verdict, verdict.envelope.code) == ("ok", "")
        assert len(await peer.follow()) == 3
    with contextlib.closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (SCHEMA,)
        # The kiosk's key and the hub's own.
        assert db.execute("SELECT count(*) FROM author").fetchone() == (2,)


def test_a_hub_of_a_later_schema_is_refused(tmp_path):
    path = tmp_path / "hub.db"
    shutil.copy(FIRST, path)
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {SCHEMA + 1}")
    with pytest.raises(LogError, match="newer hub"):
        opened(path)


async def test_who_came_when_is_for_the_hubs_user_only_also_in_files_of_earlier_versions(tmp_path):
    path = tmp_path / "hub.db"
    shutil.copy(FIRST, path)
    path.chmod(0o644)
    for db in (path, tmp_path / "new.db"):
        async with hub(db) as server, joined(server.url) as peer:
            await peer.push(Author().body())
            files = [f for f in tmp_path.iterdir() if f.name in (db.name, db.name + "-wal")]
            assert len(files) == 2
            assert {stat.S_IMODE(f.stat().st_mode) for f in files} == {0o600}


@pytest.mark.parametrize("key", ["epoch", "incarnation", "received", "confirmed", "stable"])
def test_a_hub_whose_words_have_rotted_says_so_in_one_line(tmp_path, capsys, key):
    db = tmp_path / "hub.db"
    with contextlib.closing(opened(db)) as log:
        log.execute("UPDATE meta SET value = CAST(x'fffe' AS TEXT) WHERE key = ?", (key,))
    assert serve(db, "127.0.0.1", 0, TOKEN, child=True, insecure_lan=False) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert f"{db} is damaged" in said
    assert "restore" in said
