"""Random histories of two kiosks and two modules: no slot is told that is not owned there."""

from __future__ import annotations

import contextlib
import gc
import random
import threading
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from drivers import commands, errors, exchange
from drivers.audit import Guard
from drivers.capture import CaptureCycle, ReaderTiming
from drivers.changes import delete, enrol, provision
from drivers.emulator import Emulator, Mishap
from drivers.events import Matched, NotMatched
from drivers.link import LinkTiming
from drivers.reconcile import adopt, reconcile, wipe
from drivers.slots import SlotState
from drivers.templates import read_template
from drivers.zfm import ZfmSensor
from tests.drivers.person import QUICK, same
from tests.drivers.table import MemoryTable

NAMES = ("ann", "bob", "eve")
LINK = LinkTiming(gap=0.02, quiet=0.005, settle=0.05)

_KIOSK, _MODULE = st.integers(0, 1), st.integers(0, 1)
_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("start"), _KIOSK, _MODULE),
        st.tuples(st.just("enrol"), _KIOSK, st.sampled_from(NAMES)),
        st.tuples(st.just("delete"), _KIOSK, st.integers(0, 3)),
        st.tuples(st.just("adopt"), _KIOSK, st.none()),
        st.tuples(st.just("wipe"), _KIOSK, st.none()),
        st.tuples(st.just("backup"), _KIOSK, st.none()),
        st.tuples(st.just("restore"), _KIOSK, st.none()),
        st.tuples(st.just("provision"), _KIOSK, st.integers(0, 3)),
        # What others do to the module, behind the kiosks' backs.
        st.tuples(st.just("swap"), _MODULE, st.none()),
        st.tuples(st.just("clear"), st.none(), st.none()),
        st.tuples(st.just("foreign"), st.sampled_from(NAMES), st.integers(0, 3)),
    ),
    min_size=3,
    max_size=14,
)


# What happens between the kiosk's look at the sensor and the finger.
_BEHIND = st.one_of(
    st.tuples(st.just("swap"), _MODULE, st.none()),
    st.tuples(st.just("clear"), st.none(), st.none()),
    st.tuples(st.just("foreign"), st.sampled_from(NAMES), st.integers(0, 3)),
)


_TWO_DOORS = [("start", 0, 0), ("enrol", 0, "ann"), ("start", 1, 1), ("enrol", 1, "bob")]


class World:
    """One port, two modules that may hang on it, two kiosks that may be started there."""

    def __init__(self, emulator):
        self.emulator = emulator
        self.tables = [MemoryTable(), MemoryTable()]
        self.backups = [None, None]

    def do(self, step):
        name, first, second = step
        with contextlib.suppress(errors.SensorError):
            getattr(self, name)(first, second)
        self.emulator.lift()

    @contextlib.contextmanager
    def sensor(self):
        with ZfmSensor(self.emulator.port, timing=LINK) as sensor:
            sensor.handshake()
            yield sensor

    def start(self, kiosk, module):
        self.swap(module)
        with self.sensor() as sensor:
            reconcile(sensor, self.tables[kiosk])

    def enrol(self, kiosk, name):
        with self.sensor() as sensor:
            reconcile(sensor, self.tables[kiosk])
            enrol(sensor, self.tables[kiosk], name, same(self.emulator, name), QUICK)

    def delete(self, kiosk, slot):
        with self.sensor() as sensor:
            reconcile(sensor, self.tables[kiosk])
            delete(sensor, self.tables[kiosk], slot)

    def provision(self, kiosk, slot):
        table = self.tables[kiosk]
        with self.sensor() as sensor:
            seen = reconcile(sensor, table)
            if slot in seen.active:
                owner = table.rows[seen.stamp.sensor, slot].owner
                provision(sensor, table, owner, read_template(sensor, slot))

    def adopt(self, kiosk, _):
        with self.sensor() as sensor:
            adopt(sensor, self.tables[kiosk])

    def wipe(self, kiosk, _):
        with self.sensor() as sensor:
            wipe(sensor, self.tables[kiosk])

    def backup(self, kiosk, _):
        table = self.tables[kiosk]
        self.backups[kiosk] = (dict(table.rows), table.bound)

    def restore(self, kiosk, _):
        if self.backups[kiosk] is not None:
            rows, self.tables[kiosk].bound = self.backups[kiosk]
            self.tables[kiosk].rows = dict(rows)

    def swap(self, module, _=None):
        self.emulator.swap(module)

    def clear(self, *_):
        self.emulator.clear_library()

    def foreign(self, name, slot):
        self.emulator.enrol(name, slot)

    def told(self, kiosk, name, behind=None):
        """Whom the kiosk names when `name`'s finger is placed now: (slot, owner) or None.

        `behind` is done behind its back, once it has looked at the sensor.
        """
        table = self.tables[kiosk]
        seen = []
        with self.sensor() as sensor, contextlib.suppress(errors.SensorError):
            stamp = reconcile(sensor, table).stamp
            # An exchanged sensor is known by its stamp alone, an exchanged template by its digest.
            every = 0 if behind is not None and behind[0] == "swap" else 1
            cycle = CaptureCycle(
                sensor, stamp.sensor, seen.append, ReaderTiming(), confirm=Guard(table, every=every)
            )
            if behind is not None:
                self.do(behind)
            self.emulator.place(name)
            with contextlib.suppress(errors.PasswordRequired):
                cycle.step()
            cycle.step()
        self.emulator.lift()
        matches = [event for event in seen if isinstance(event, Matched)]
        for match in matches:
            return match.slot, table.owner_of(match.sensor, match.slot), match.sensor
        return None


@pytest.fixture(scope="module", params=["r307", "zfm20"])
def profile(request):
    return request.param


@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(_STEPS, _BEHIND)
@example(_TWO_DOORS, ("swap", 1, None))
@example(_TWO_DOORS, ("foreign", "bob", 0))
def test_no_history_makes_a_kiosk_name_the_wrong_person(tmp_path_factory, profile, steps, behind):
    folder = tmp_path_factory.mktemp("world")
    with Emulator(profile, folder / "port", seed=1) as emulator:
        world = World(emulator)
        for step in steps:
            world.do(step)
        for kiosk in (0, 1):
            for module in (0, 1):
                world.swap(module)
                for name in NAMES:
                    never_wrong(world, kiosk, name)
        for kiosk in (0, 1):
            for name in NAMES:
                world.swap(kiosk)
                never_wrong(world, kiosk, name, behind)


def never_wrong(world, kiosk, name, behind=None):
    told = world.told(kiosk, name, behind)
    if told is not None:
        slot, owner, sensor = told
        assert owner == name, f"{name} was taken for {owner}"
        entry = world.tables[kiosk].rows[sensor, slot]
        assert entry.state is SlotState.ACTIVE
        assert world.tables[kiosk].bound.sensor == sensor


_MISHAPS = (
    lambda rng: Mishap(silent=True),
    lambda rng: Mishap(unheard=True),
    lambda rng: Mishap(cut=rng.randrange(1, 16)),
    lambda rng: Mishap(bad_checksum=True),
    lambda rng: Mishap(address=rng.getrandbits(32)),
    lambda rng: Mishap(noise=rng.randbytes(rng.randrange(1, 60))),
    lambda rng: Mishap(silent=True, noise=rng.randbytes(20)),
    lambda rng: Mishap(code=rng.choice([0x01, 0x03, 0x06, 0x09, 0x18, 0x21, 0x77])),
    lambda rng: Mishap(delay=0.01),
    lambda rng: Mishap(noise=bytes.fromhex("EF01FFFFFFFF0700070000070064 0079".replace(" ", ""))),
)


def hurry(monkeypatch):
    for instruction in list(commands.DEADLINES):
        monkeypatch.setitem(commands.DEADLINES, instruction, 0.03)
    for name, value in (("DEADLINE", 0.03), ("SEARCH_FLOOR", 0.03), ("SEARCH_EACH", 0.0)):
        monkeypatch.setattr(commands, name, value)
    for name, value in (("SYNC_TRY", 0.02), ("_BOOT_TRY", 0.03), ("_BOOT_WAIT", 0.1)):
        monkeypatch.setattr(exchange, name, value)


def test_an_undisturbed_history_names_everybody(tmp_path, profile):
    """Or the property above would hold for a reader that names nobody."""
    with Emulator(profile, tmp_path / "port", seed=1) as emulator:
        world = World(emulator)
        steps = [("start", 0, 0), *(("enrol", 0, name) for name in NAMES), ("foreign", "eve", 0)]
        for step in steps[:4]:
            world.do(step)
        assert [world.told(0, name)[1] for name in NAMES] == list(NAMES)
        assert [world.told(1, name) for name in NAMES] == [None] * 3
        world.do(steps[4])
        assert world.told(0, "eve") is None, "her template is in ann's slot"


@pytest.mark.slow
def test_a_thousand_fingers_through_random_faults(tmp_path, monkeypatch):
    hurry(monkeypatch)
    rng = random.Random(4)
    table = MemoryTable()
    with Emulator("r307", tmp_path / "port", seed=4) as emulator:
        world = World(emulator)
        with world.sensor() as sensor:
            reconcile(sensor, table)
            for name in NAMES:
                enrol(sensor, table, name, same(emulator, name), QUICK)
        emulator.lift()
        soak = Soak(world, table, rng)
        soak.run(100)
        gc.collect()
        tracemalloc.start()
        before = driver_memory()
        files, threads = open_files(), threading.active_count()
        soak.run(1000)
        gc.collect()
        grown = driver_memory() - before
        tracemalloc.stop()
        assert (open_files(), threading.active_count()) == (files, threads)
    assert soak.wrong == []
    assert soak.right > 500, "most fingers are known all the same"
    assert soak.faults > 200
    assert grown < 20_000, f"{grown} bytes more"


_PASSING = (errors.TransportError, errors.ProtocolError, errors.Refused)


class Soak:
    """Fingers come and go; at random exchanges something goes wrong."""

    def __init__(self, world, table, rng):
        self.world, self.table, self.rng = world, table, rng
        self.right = self.faults = 0
        self.wrong = []

    def run(self, cycles):
        left = cycles
        while left > 0:
            with contextlib.suppress(errors.SensorError), self.world.sensor() as sensor:
                stamp = reconcile(sensor, self.table).stamp
                while left > 0:
                    left -= 1
                    self.finger(sensor, stamp.sensor)

    def finger(self, sensor, uuid):
        name = self.rng.choice([*NAMES, "mallory", "trudy"])
        seen = []
        cycle = CaptureCycle(
            sensor, uuid, seen.append, ReaderTiming(), confirm=Guard(self.table, every=20)
        )
        emulator = self.world.emulator
        emulator.place(name)
        if self.rng.random() < 0.3:
            self.faults += 1
            emulator.inject(self.rng.choice(_MISHAPS)(self.rng))
        try:
            for _ in range(4):
                if any(isinstance(event, Matched | NotMatched) for event in seen):
                    break
                with contextlib.suppress(
                    errors.TransportError, errors.ProtocolError, errors.Refused
                ):
                    cycle.step()
        finally:
            emulator.heal()
            emulator.lift()
            self.judge(name, seen)

    def judge(self, name, seen):
        for event in seen:
            if isinstance(event, Matched):
                owner = self.table.owner_of(event.sensor, event.slot)
                if owner == name:
                    self.right += 1
                else:
                    self.wrong.append((name, owner, event))


def driver_memory():
    """Bytes that the driver's own lines have allocated and not freed; the emulator has a cache."""
    filters = [
        tracemalloc.Filter(True, "*/drivers/*.py"),
        tracemalloc.Filter(False, "*/drivers/emulator/*"),
        tracemalloc.Filter(False, "*/tests/*"),
    ]
    snapshot = tracemalloc.take_snapshot().filter_traces(filters)
    return sum(trace.size for trace in snapshot.traces)


def open_files():
    return len(list(Path("/proc/self/fd").iterdir()))
