"""True times from machines that do not know the time: wherever a hub was heard, and where not."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3

import pytest

from kiosk.carry import export_unsent, import_into, read_bundle
from kiosk.clock import EARLIEST, LATEST, Anchor, bounds
from kiosk.incarnation import PAIRING
from kiosk.model import Flag, Kind, Status, decode_envelope
from kiosk.rescue import open_store
from kiosk.store import Draft, Store
from sync import protocol as p
from sync.hub.houseclock import HouseClock
from sync.merge import explain
from tests.sync.kiosks import Kiosk
from tests.sync.rig import NS, ORG, SITE, TestClock, hub, joined

HOUR = 3600 * NS
WRONG = {"1970": 7 * NS, "2038": (2**31 - 1) * NS}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "hub.db"


class Pi:
    """A kiosk without a battery clock: it may be switched off and on, and believes anything."""

    def __init__(self, path):
        self.path = path
        self.boots = 0

    def boot(self, wall, url, *, trusted=False):
        self.boots += 1
        clock = TestClock(wall=wall, ticks=20 * NS, boot=f"boot-{self.boots}")
        clock.trusted = trusted
        return Kiosk(self.path, url, clock=clock)


def opened(path, url, machine, boot, ticks, wall=7 * NS):
    """A kiosk whose database is opened on a machine that has been running for so long."""
    clock = TestClock(wall=wall, ticks=ticks, boot=boot)
    clock.trusted = False
    where = {"org": ORG, "site": SITE, "clock": clock, "zone": "Europe/London"}
    store = Store.open(path, **where, machine=machine)
    store.set_note(PAIRING, "").result(5)  # as if it had been paired anew
    return Kiosk(path, url, clock=clock, store=store)


async def heard(one):
    """Let it have contact, and end it."""
    one.client.start()
    await one.settled()
    one.close()


def spans(one):
    return {row[0]: row[1:] for row in one.rows("SELECT id, low, high FROM entry")}


@pytest.mark.parametrize("wall", WRONG.values(), ids=WRONG)
async def test_a_pi_that_boots_in_the_wrong_age_gives_right_times_after_its_first_contact(
    path, tmp_path, wall
):
    house = TestClock()
    async with hub(path, house) as server:
        one = Pi(tmp_path / "k.db").boot(wall, server.url)
        (before,) = one.check_in()
        one.clock.up += HOUR
        one.client.start()
        try:
            await one.settled()
            one.clock.up += 60 * NS
            one.clock.now = 3 * NS  # and jumps on the way
            house.now += 60 * NS
            (after,) = one.check_in(session="s2")
            await one.settled()
            found = spans(one)
        finally:
            one.close()
    for id_, true in ((before, house.now - 60 * NS - HOUR), (after, house.now)):
        low, high = found[id_]
        assert low <= true <= high
        assert high - low < NS


async def test_a_boot_that_never_had_contact_lies_between_what_is_known_before_and_after_it(
    path, tmp_path
):
    house = TestClock()
    pi = Pi(tmp_path / "k.db")
    async with hub(path, house) as server:
        first = pi.boot(7 * NS, server.url)
        first.client.start()
        await first.settled()
        first.close()
        heard = house.now
        house.now += 10 * HOUR
        silent = pi.boot(7 * NS, server.url)
        silent.clock.up = 600 * NS
        (id_,) = silent.check_in()
        # Until the hub has stamped it: not before what the kiosk had heard.
        assert spans(silent)[id_][0] >= heard - NS
        silent.close()
        house.now += 5 * HOUR
        last = pi.boot((2**31) * NS, server.url)
        began = house.now - last.clock.up
        last.client.start()
        try:
            await last.settled()
            low, high = spans(last)[id_]
        finally:
            last.close()
    assert heard + 599 * NS <= low < heard + 601 * NS
    assert began <= high < began + NS


LIMIT = {"id": "s1", "title": "Choir", "zone": "UTC", "starts": EARLIEST, "ends": LATEST}


@pytest.mark.parametrize(
    "wall", [7 * NS, EARLIEST + HOUR, 2**31 * NS], ids=["1970", "2025", "2038"]
)
def test_without_a_clock_or_a_hub_nothing_is_late_and_no_time_is_made_up(tmp_path, wall):
    """A clock that nobody keeps may be anything, however likely it looks."""
    one = Pi(tmp_path / "k.db").boot(wall, "")
    try:
        opened = Draft(Kind.SESSION_OPENED, "s1", data=LIMIT | {"late_at": EARLIEST + 60 * NS})
        one.store.record(opened).result(5)
        one.check_in()
        (row,) = one.store.attendance("s1")
        assert (row.status, row.flags) == (Status.PRESENT, (Flag.TIME_UNCERTAIN,))
        assert row.arrival[0] <= EARLIEST + 20 * NS
        assert row.arrival[1] == LATEST
        (said,) = [item for item in one.store.review_items() if item.kind == "time_uncertain"]
        assert "some time after 00:00 on 1 January 2025" in explain(said, one.store.names())
    finally:
        one.close()


async def test_neither_kiosk_nor_hub_knows_the_time_and_neither_says_so(path, tmp_path):
    house = TestClock(wall=9 * NS)
    house.trusted = False
    async with hub(path, house) as server:
        one = Pi(tmp_path / "k.db").boot(7 * NS, server.url)
        (id_,) = one.check_in()
        one.client.start()
        try:
            await one.settled()
            low, high = spans(one)[id_]
        finally:
            one.close()
    assert low <= EARLIEST + 20 * NS
    assert high == LATEST


async def test_a_synchronised_wall_clock_is_believed_as_far_as_it_can_be(path, tmp_path):
    house = TestClock()
    async with hub(path, house) as server:
        pi = Pi(tmp_path / "k.db")
        good = pi.boot(house.now - HOUR, server.url, trusted=True)
        (kept,) = good.check_in()
        good.close()
        wrong = pi.boot(house.now + 9 * HOUR, server.url, trusted=True)
        (doubted,) = wrong.check_in(session="s2")
        wrong.close()
        later = pi.boot(0, server.url)
        later.client.start()
        try:
            await later.settled()
            found = spans(later)
        finally:
            later.close()
    assert found[kept] == (house.now - HOUR, house.now - HOUR)
    assert found[doubted][0] < house.now - HOUR
    assert found[doubted][1] <= house.now


# -- disks that come to a running machine ----------------------------------------------------------


async def test_a_database_that_came_in_the_midst_of_a_boot_gets_no_time_of_before(path, tmp_path):
    house, file = TestClock(), tmp_path / "k.db"
    async with hub(path, house) as server:
        await heard(opened(file, server.url, "a", "boot-a", 60 * NS))
        told = house.now
        house.now += 300 * NS
        moved = opened(file, server.url, "b", "boot-b", 6 * HOUR)
        moved.clock.up += 600 * NS
        house.now += 600 * NS
        (first,) = moved.check_in()
        moved.close()
        # The same boot after a restart of the program: still no older than it was.
        again = opened(file, server.url, "b", "boot-b", 6 * HOUR + 1200 * NS)
        (second,) = again.check_in(session="s2")
        again.close()
        true = {first: house.now, second: house.now + 600 * NS}
        house.now += 5 * HOUR
        last = opened(file, server.url, "b", "boot-c", 60 * NS)
        last.client.start()
        try:
            await last.settled()
            found = spans(last)
        finally:
            last.close()
    for id_, ran in ((first, 600 * NS), (second, 1200 * NS)):
        low, high = found[id_]
        assert low <= true[id_] <= high
        assert low >= told + ran - NS
        assert high <= house.now - 59 * NS


async def test_the_running_machine_that_a_disk_came_to_does_not_date_what_was_written_before(
    path, tmp_path
):
    house, file = TestClock(), tmp_path / "k.db"
    async with hub(path, house) as server:
        await heard(opened(file, server.url, "a", "boot-a", 60 * NS))
        house.now += HOUR
        silent = opened(file, server.url, "a", "boot-a2", 60 * NS)
        (id_,) = silent.check_in()
        silent.close()
        true, came = house.now, house.now + 300 * NS
        house.now += HOUR
        moved = opened(file, server.url, "b", "boot-b", 9 * HOUR)
        moved.clock.up += HOUR - 300 * NS
        moved.client.start()
        try:
            await moved.settled()
            low, high = spans(moved)[id_]
        finally:
            moved.close()
    assert low <= true <= high
    assert high >= came  # the machine had run for hours, but without this disk


async def test_a_clone_and_its_original_are_each_dated_by_their_own_machine(path, tmp_path):
    house = TestClock()
    one, other = tmp_path / "a" / "k.db", tmp_path / "b" / "k.db"
    one.parent.mkdir()
    async with hub(path, house) as server:
        await heard(opened(one, server.url, "a", "boot-a", 60 * NS))
        shutil.copytree(one.parent, other.parent)
        house.now += HOUR
        original = opened(one, server.url, "a", "boot-a2", 60 * NS)
        clone = opened(other, server.url, "b", "boot-b", 30 * HOUR)
        ids = [kiosk.check_in(session=name)[0] for kiosk, name in ((original, "s1"), (clone, "s2"))]
        true = house.now
        for kiosk in (original, clone):
            kiosk.close()
        house.now += HOUR
        for file, machine in ((one, "a"), (other, "b")):
            await heard(opened(file, server.url, machine, f"last-{machine}", 60 * NS))
    with contextlib.closing(sqlite3.connect(path)) as db:
        found = dict(db.execute("SELECT id, envelope FROM event").fetchall())
    for id_ in ids:
        stamp = decode_envelope(found[id_])
        assert stamp.low <= true <= stamp.high
        assert stamp.high - stamp.low < 2 * HOUR + 60 * NS


async def test_an_older_image_put_back_on_its_machine_gives_no_false_bound(path, tmp_path):
    house, file, image = TestClock(), tmp_path / "k.db", tmp_path / "image"
    async with hub(path, house) as server:
        await heard(opened(file, server.url, "a", "boot-a", 60 * NS))
        house.now += HOUR
        opened(file, server.url, "a", "boot-b", 60 * NS).close()
        shutil.copy(file, image)
        await heard(opened(file, server.url, "a", "boot-b", 90 * NS))
        house.now += HOUR
        shutil.copy(image, file)
        back = opened(file, server.url, "a", "boot-b", HOUR + 90 * NS)
        (id_,) = back.check_in()
        true = house.now
        back.close()
        house.now += HOUR
        last = opened(file, server.url, "a", "boot-c", 60 * NS)
        last.client.start()
        try:
            await last.settled()
            low, high = spans(last)[id_]
        finally:
            last.close()
    assert low <= true <= high


async def test_what_a_rescued_database_had_heard_bounds_what_is_written_after_it(path, tmp_path):
    house, file = TestClock(), tmp_path / "k.db"
    clock = TestClock(wall=7 * NS, ticks=3 * HOUR, boot="boot-b")
    clock.trusted = False
    async with hub(path, house) as server:
        await heard(opened(file, server.url, "", "boot-a", 60 * NS))
        told = house.now
        with file.open("r+b") as damaged:
            damaged.write(b"no database at all")
        where = {"org": ORG, "site": SITE, "clock": clock, "zone": "Europe/London"}
        rescued = Kiosk(file, "", clock=clock, store=open_store(file, **where, machine=""))
        house.now += 60 * NS
        clock.up += 60 * NS
        (id_,) = rescued.check_in()
        rescued.close()
        house.now += HOUR
        last = opened(file, server.url, "", "boot-c", 60 * NS)
        last.client.start()
        try:
            await last.settled()
            low, high = spans(last)[id_]
        finally:
            last.close()
    assert told + 59 * NS <= low <= told + 60 * NS <= high


async def test_the_boots_of_who_carries_events_do_not_date_them(path, tmp_path):
    house = TestClock()
    house.now += 10 * HOUR
    async with hub(path, house) as server:
        author = opened(tmp_path / "one.db", server.url, "a", "boot-a", 60 * NS)
        (brought,) = author.check_in()
        true = house.now
        export_unsent(author.store, tmp_path / "stick")
        author.close()
        house.now += HOUR
        # The carrier has run for longer than the event is old.
        carrier = opened(tmp_path / "two.db", server.url, "b", "boot-b", 5 * HOUR)
        import_into(carrier.store, read_bundle(tmp_path / "stick"))
        await heard(carrier)
    with contextlib.closing(sqlite3.connect(path)) as db:
        (stamp,) = db.execute("SELECT envelope FROM event WHERE id = ?", (brought,)).fetchone()
    assert decode_envelope(stamp).low <= true <= decode_envelope(stamp).high


def test_a_clock_that_jumps_within_a_boot_moves_no_bound():
    anchors = [Anchor("later", 100 * NS, EARLIEST + 50 * HOUR, 0)]
    low, high = bounds("b", 60 * NS, EARLIEST + HOUR, anchors, EARLIEST + 99 * HOUR)
    assert low == EARLIEST + HOUR + int(60 * NS * (1 - 1e-4))
    assert high == EARLIEST + 50 * HOUR - 100 * NS + 10_000_000


def test_an_anchor_of_an_earlier_boot_says_nothing_of_the_end():
    earlier = Anchor("earlier", 0, EARLIEST + HOUR, 0)
    found = bounds("b", 0, EARLIEST + HOUR, [earlier], EARLIEST + 9 * HOUR)
    assert found == (EARLIEST + HOUR, EARLIEST + 9 * HOUR)


def test_what_was_heard_before_an_arrival_is_no_older_than_the_boot_it_came_to():
    told = EARLIEST + 100 * HOUR
    low, _ = bounds("b", 7 * HOUR, told, [], told + 9 * HOUR, since=6 * HOUR)
    assert low == told + int(HOUR * (1 - 1e-4))
    later = Anchor("later", 9 * HOUR, told + 5 * HOUR, 0, since=8 * HOUR)
    _, high = bounds("b", 7 * HOUR, told, [later], told + 9 * HOUR, since=6 * HOUR)
    assert high == told + 4 * HOUR + int(HOUR * 1e-4)


def test_bounds_that_cross_are_no_inside_out_interval():
    low, high = bounds("b", 90 * HOUR, EARLIEST, [], EARLIEST + HOUR)
    assert low == high == EARLIEST + HOUR


# -- the hub's own ---------------------------------------------------------------------------------


async def test_a_hub_without_the_time_gives_none_until_staff_confirm_it(path):
    house = TestClock(wall=5 * NS)
    house.trusted = False

    async def time_given(server):
        async with joined(server.url) as peer:
            await peer.say(p.Ping(1))
            return (await peer.get(p.Pong)).hub_time

    noon = 1_800_000_000 * NS
    async with hub(path, house) as server:
        assert await time_given(server) is None
        server._log.begin()
        server._log.confirm_time(noon)
        server._log.commit()
        house.up += 30 * NS
        assert await time_given(server) == noon + 30 * NS
    # A restart of the hub is no restart of the machine.
    async with hub(path, house) as server:
        assert await time_given(server) == noon + 30 * NS
    house.boot = "boot-2"
    async with hub(path, house) as server:
        assert await time_given(server) is None


def test_a_synchronised_kernel_goes_before_what_staff_said():
    machine = TestClock()
    house = HouseClock(machine)
    house.confirm(EARLIEST)
    assert house.wall() == machine.now
    machine.trusted = False
    machine.up += NS
    assert (house.wall(), house.synced()) == (EARLIEST + NS, True)


@pytest.mark.parametrize("note", ["", "{", '{"boot":1}', "null"])
def test_a_note_that_cannot_be_read_confirms_nothing(note):
    machine = TestClock()
    machine.trusted = False
    house = HouseClock(machine)
    house.learn(note)
    assert not house.synced()
