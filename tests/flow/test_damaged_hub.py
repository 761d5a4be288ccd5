"""A standalone kiosk whose own hub lost its database."""

from __future__ import annotations

from tests.flow.conftest import hub_ids, rows, settled
from tests.kiosk.test_hubchild import spoil

DIRECTORY = "SELECT record, id, value FROM directory"


async def test_the_kiosk_offers_its_check_ins_to_the_new_hub(stage):
    await stage.finger("amara")
    await settled(stage)
    query = "SELECT id FROM event WHERE device = ?"
    device = stage.app.store.identity.device
    own = {row[0] for row in rows(stage.config.database, query, (device,))}
    assert own
    stage.set_line(up=False)
    known = set(rows(stage.config.hub_database, DIRECTORY))
    damaged = stage.config.hub_database
    for suffix in ("-wal", "-shm"):
        damaged.with_name(damaged.name + suffix).unlink(missing_ok=True)
    spoil(damaged)
    before = damaged.read_bytes()
    stage.set_line(up=True)
    await stage.until(lambda: stage.app.hub.url, "the new hub")
    (kept,) = damaged.parent.glob("hub.db.damaged-*")
    assert kept.read_bytes() == before
    await stage.until(lambda: own <= hub_ids(stage), "the events to be offered again")
    await stage.until(lambda: known <= set(rows(damaged, DIRECTORY)), "its own records as well")
    assert known
