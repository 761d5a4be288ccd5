"""True times from machines that do not know the time: wherever a hub was heard, and where not."""

from __future__ import annotations

import pytest

from kiosk.clock import EARLIEST, Anchor, bounds
from sync import protocol as p
from sync.hub.houseclock import HouseClock
from tests.sync.kiosks import Kiosk
from tests.sync.rig import NS, TestClock, hub, joined

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


def test_a_clock_that_jumps_within_a_boot_moves_no_bound():
    anchors = [Anchor("later", 100 * NS, EARLIEST + 50 * HOUR, 0)]
    low, high = bounds("b", 60 * NS, EARLIEST + HOUR, anchors, EARLIEST + 99 * HOUR)
    assert low == EARLIEST + HOUR + int(60 * NS * (1 - 1e-4))
    assert high == EARLIEST + 50 * HOUR - 100 * NS + 10_000_000


def test_an_anchor_of_an_earlier_boot_says_nothing_of_the_end():
    earlier = Anchor("earlier", 0, EARLIEST + HOUR, 0)
    found = bounds("b", 0, EARLIEST + HOUR, [earlier], EARLIEST + 9 * HOUR)
    assert found == (EARLIEST + HOUR, EARLIEST + 9 * HOUR)


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
