"""A hub brought back from an old backup gets from its kiosks what it had said itself since."""

from __future__ import annotations

import contextlib
import sqlite3

import msgspec

from sync.hub.backup import back_up, restore
from tests.sync.auth.rig import ask
from tests.sync.kiosks import kiosk
from tests.sync.rig import NS, ORG, SITE, TOKEN, hub, until

PATH = f"/v1/directory?org={ORG}&site={SITE}"
BEGAN = 1_800_000_000 * NS


def person(id_, name="Mia", **more):
    return {"record": "person", "id": id_, "value": {"id": id_, "first_name": name, **more}}


def session(id_):
    value = {"id": id_, "title": "Yoga", "zone": "Europe/London"}
    value |= {"starts": BEGAN, "ends": BEGAN + 3600 * NS}
    return {"record": "session", "id": id_, "value": value}


async def said(server, *records):
    status, answer = await ask(server.url, "POST", PATH, list(records), TOKEN)
    assert status == 200, answer


def directory(path):
    """What the hub at `path` knows: (record, id) -> (rev, value)."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        rows = db.execute("SELECT record, id, rev, value FROM directory").fetchall()
    return {(record, id_): (rev, msgspec.json.decode(value)) for record, id_, rev, value in rows}


def known(one):
    """The same of a kiosk."""
    rows = one.rows("SELECT record, id, rev, value FROM directory")
    return {(record, id_): (rev, msgspec.json.decode(value)) for record, id_, rev, value in rows}


async def same(path, *kiosks):
    await until(lambda: all(known(one) == directory(path) for one in kiosks))


async def test_what_the_hub_said_after_the_backup_comes_back(tmp_path):
    db, file = tmp_path / "hub.db", tmp_path / "file"
    async with hub(db) as server:
        await said(server, person("p1"), session("s1"))
        with kiosk(tmp_path / "k.db", server.url) as one:
            await same(db, one)
            back_up(db, file)
            await said(server, person("p1", "Maja"), person("p2"), session("s2"))
            await same(db, one)
    before = directory(db)
    restore(db, file)
    assert directory(db) != before
    async with hub(db) as server:
        with kiosk(tmp_path / "k.db", server.url) as one:
            await until(lambda: directory(db) == before)
            await one.settled()
            assert known(one) == before
            await said(server, person("p1", "Mary"))
            await same(db, one)
            assert directory(db)["person", "p1"][0] > before["person", "p1"][0]
