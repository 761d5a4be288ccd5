"""Enrol, delete and provision, cut short at every single step, by an exception and by SIGKILL."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap

import pytest

from drivers import errors
from drivers.changes import delete, enrol, provision
from drivers.emulator import Emulator, Mishap
from drivers.library import used_slots
from drivers.profiles import DELETE_CHAR, STORE, WRITE_NOTEPAD
from drivers.reconcile import reconcile
from drivers.slots import SlotState
from drivers.templates import read_template
from drivers.zfm import ZfmSensor, open_zfm
from tests.drivers.conftest import wait_until
from tests.drivers.person import QUICK, same
from tests.drivers.table import FileTable, MemoryTable


class Killed(BaseException):
    """The process has died: nothing that follows has any effect."""


class Fuse:
    """Burns down by one at each call; once it is out every call dies, before or after its work."""

    def __init__(self, calls, after):
        self.left = calls
        self.after = after

    def __call__(self, work, *args):
        if self.left <= 0 and not (self.after and self.left == 0):
            raise Killed
        self.left -= 1
        done = work(*args)
        if self.left < 0:
            raise Killed
        return done


class MortalTable(MemoryTable):
    fuse = Fuse(10**9, after=False)

    def put(self, *args):
        return self.fuse(super().put, *args)

    def drop(self, *args):
        return self.fuse(super().drop, *args)


class MortalSensor(ZfmSensor):
    """Dies at a command that changes flash, before it is sent or after it was obeyed."""

    fuse = None

    def _begin(self, content):
        if self.fuse is None:
            super()._begin(content)
        elif self.fuse.left < 0 or (self.fuse.left == 0 and not self.fuse.after):
            raise Killed
        else:
            super()._begin(content)

    def exchange(self, content):
        return self._mortal(super().exchange, content)

    def storeTemplate(self, *args):  # noqa: N802 - pyfingerprint's name
        return self._mortal(super().storeTemplate, *args)

    def deleteTemplate(self, *args):  # noqa: N802 - pyfingerprint's name
        return self._mortal(super().deleteTemplate, *args)

    def _mortal(self, work, *args):
        changes = work.__name__ != "exchange" or args[0][0] == WRITE_NOTEPAD
        return self.fuse(work, *args) if self.fuse and changes else work(*args)


def start_again(emulator, table):
    """What the next start of the kiosk does, on a fresh line."""
    table.fuse = MortalTable.fuse
    emulator.lift()
    with open_zfm(emulator.port) as sensor:
        return reconcile(sensor, table), used_slots(sensor)


def consistent(emulator, table, seen, used):
    states = table.states()
    assert not seen.unfinished
    assert not seen.quarantined
    assert not seen.missing
    assert used == seen.active == set(states) == emulator.slots
    assert set(states.values()) <= {SlotState.ACTIVE}
    assert seen.stamp.generation == table.bound.generation


def cut(emulator, mortal, table, change, fuse):
    """Do `change` with a fuse; whether it got through to its end."""
    mortal.fuse = table.fuse = fuse
    try:
        change(emulator, mortal, table)
    except Killed:
        return False
    finally:
        mortal.fuse = None
        mortal.close()
    return True


def at_every_step(tmp_path, after, prepare, change):
    """Run `change` cut at step 0, 1, 2 ... until it is not cut any more; how many steps."""
    for calls in range(40):
        table = MortalTable()
        with Emulator("r307", tmp_path / f"s{calls}", seed=calls) as emulator:
            with MortalSensor(emulator.port) as sensor:
                sensor.handshake()
                reconcile(sensor, table)
                prepare(emulator, sensor, table)
                whole = cut(emulator, sensor, table, change, Fuse(calls, after))
            seen, used = start_again(emulator, table)
            yield whole, emulator, table, seen, used
        if whole:
            return
    pytest.fail("it never came to an end")


def put_ann(emulator, sensor, table):
    enrol(sensor, table, "ann", same(emulator, "ann"), QUICK)


def put_bob(emulator, sensor, table):
    enrol(sensor, table, "bob", same(emulator, "bob"), QUICK)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_an_enrolment_killed_at_any_step_is_whole_or_was_never(tmp_path, after):
    cut_short = []
    for whole, emulator, table, seen, used in at_every_step(tmp_path, after, put_ann, put_bob):
        consistent(emulator, table, seen, used)
        owners = sorted(entry.owner for entry in table.rows.values())
        if whole:
            assert owners == ["ann", "bob"]
        else:
            cut_short.append(owners)
    # Killed after the very last commit, it is done.
    assert cut_short[: len(cut_short) - after] == [["ann"]] * (len(cut_short) - after)
    assert len(cut_short) >= 5


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_deletion_killed_at_any_step_is_finished_once_it_was_begun(tmp_path, after):
    def prepare(emulator, sensor, table):
        put_ann(emulator, sensor, table)
        put_bob(emulator, sensor, table)

    steps = 0
    for _, emulator, table, seen, used in at_every_step(
        tmp_path, after, prepare, lambda _, sensor, table: delete(sensor, table, 0)
    ):
        consistent(emulator, table, seen, used)
        owners = sorted(entry.owner for entry in table.rows.values())
        assert owners == (["ann", "bob"] if steps == 0 and not after else ["bob"])
        steps += 1
    assert steps >= 4


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_provision_killed_at_any_step_is_whole_or_known_to_be_missing(tmp_path, after):
    kept = {}

    def prepare(emulator, sensor, table):
        put_ann(emulator, sensor, table)
        kept["ann"] = read_template(sensor, 0)
        delete(sensor, table, 0)

    def change(emulator, sensor, table):
        provision(sensor, table, "ann", kept["ann"])

    known = []
    for whole, emulator, table, seen, used in at_every_step(tmp_path, after, prepare, change):
        assert not seen.unfinished | seen.quarantined
        assert used == seen.active == emulator.slots
        assert not whole or seen.active == {0}
        # Before the first step the table knows nothing; from then on nobody forgets her.
        for slot in seen.missing | seen.active:
            assert table.rows[seen.stamp.sensor, slot].owner == "ann"
        known.append((len(seen.missing), len(seen.active)))
    assert known[-1] == (0, 1)
    assert known.count((1, 0)) >= 3
    assert known.count((0, 1)) == 1 + after


@pytest.mark.parametrize("heard", [True, False])
@pytest.mark.parametrize("instruction", [STORE, WRITE_NOTEPAD, DELETE_CHAR])
def test_the_cable_pulled_in_mid_change_is_settled_on_reconnect(emulator, instruction, heard):
    table = MemoryTable()
    with open_zfm(emulator.port) as sensor:
        reconcile(sensor, table)
        put_ann(emulator, sensor, table)
        pull_at(emulator, sensor, instruction, heard=heard)
        with pytest.raises(errors.TransportError):
            change(emulator, sensor, table, instruction)
    emulator.replug()
    seen, used = start_again(emulator, table)
    consistent(emulator, table, seen, used)


def change(emulator, sensor, table, instruction):
    if instruction == DELETE_CHAR:
        delete(sensor, table, 0)
    else:
        put_bob(emulator, sensor, table)


def pull_at(emulator, sensor, instruction, *, heard):
    """Pull the cable once the command was obeyed, or lost: its answer will never come."""
    begin = sensor._begin
    emulator.inject(Mishap(instruction, silent=heard, unheard=not heard))

    def pulled(content):
        begin(content)
        if content[0] == instruction:
            wait_until(lambda: emulator.look()["mishaps"] == 0)
            emulator.unplug()

    sensor._begin = pulled


def test_a_person_who_is_enrolled_already_leaves_the_table_as_it_was(emulator, sensor):
    table = MemoryTable()
    reconcile(sensor, table)
    put_ann(emulator, sensor, table)
    with pytest.raises(errors.AlreadyEnrolled) as caught:
        enrol(sensor, table, "ann again", same(emulator, "ann"), QUICK)
    assert caught.value.slot == 0
    assert table.states() == {0: SlotState.ACTIVE}
    seen, used = reconcile(sensor, table), used_slots(sensor)
    consistent(emulator, table, seen, used)


def test_a_table_that_fails_at_the_last_step_leaves_nobody_named(emulator, sensor):
    table = MemoryTable()
    reconcile(sensor, table)
    put, calls = table.put, []

    def failing(*args):
        calls.append(args)
        if len(calls) == 2:
            raise OSError("disk full")
        put(*args)

    table.put = failing
    with pytest.raises(OSError, match="disk full"):
        put_ann(emulator, sensor, table)
    assert table.states() == {0: SlotState.PENDING}
    table.put = put
    put_bob(emulator, sensor, table)
    assert [entry.owner for entry in table.rows.values()] == ["bob"]
    consistent(emulator, table, reconcile(sensor, table), used_slots(sensor))


_VICTIM = """
    import os, signal, sys
    from drivers.changes import delete, enrol
    from drivers.library import used_slots
    from drivers.reconcile import reconcile
    from drivers.zfm import open_zfm
    from tests.drivers.person import QUICK, Person
    from tests.drivers.table import FileTable

    port, path, change, steps = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])

    class Voice:
        def place(self, name, quality):
            print("place", flush=True), sys.stdin.readline()
        def lift(self):
            print("lift", flush=True), sys.stdin.readline()

    table = FileTable(path)
    left = steps

    def step(name, work):
        def stepped(*args):
            global left
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1
            return work(*args)
        return stepped

    with open_zfm(port) as sensor:
        reconcile(sensor, table)
        for owner, names in ((table, ("put", "drop")), (sensor, ("storeTemplate", "deleteTemplate",
                             "write_notepad"))):
            for name in names:
                setattr(owner, name, step(name, getattr(owner, name)))
        if change == "enrol":
            enrol(sensor, table, "bob", Person(Voice(), "bob", "bob", "bob"), QUICK)
        else:
            delete(sensor, table, 0)
    print("whole", flush=True)
"""


def kill_in_the_middle(emulator, path, change, steps):
    """Run the change in a process of its own that kills itself; whether it lived."""
    command = [sys.executable, "-c", textwrap.dedent(_VICTIM), emulator.port, str(path), change]
    with subprocess.Popen(
        [*command, str(steps)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as victim:
        for line in victim.stdout:
            if line.strip() == "whole":
                break
            emulator.place("bob") if line.strip() == "place" else emulator.lift()
            victim.stdin.write("\n")
            victim.stdin.flush()
        victim.stdin.close()
        victim.wait(10)
    assert victim.returncode in {0, -signal.SIGKILL}
    return victim.returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("change", ["enrol", "delete"])
def test_a_process_killed_at_each_boundary_is_settled_by_the_next(tmp_path, change):
    for steps in range(12):
        path = tmp_path / f"{change}{steps}.db"
        with Emulator("r307", tmp_path / f"k{steps}", seed=steps) as emulator:
            table = FileTable(path)
            with open_zfm(emulator.port) as sensor:
                reconcile(sensor, table)
                put_ann(emulator, sensor, table)
            emulator.lift()
            table.close()
            lived = kill_in_the_middle(emulator, path, change, steps)
            emulator.lift()
            table = FileTable(path)
            with open_zfm(emulator.port) as sensor:
                seen = reconcile(sensor, table)
            owners = {e.owner for e in table.entries(seen.stamp.sensor).values()}
            table.close()
            assert not seen.unfinished | seen.quarantined | seen.missing
            assert seen.active == emulator.slots
            if change == "enrol":
                assert owners == ({"ann", "bob"} if lived else {"ann"})
            else:
                assert owners == ({"ann"} if steps == 0 else set())
        if lived:
            assert steps >= 3
            return
    pytest.fail("it was killed every time")
