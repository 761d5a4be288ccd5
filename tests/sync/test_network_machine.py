"""Hypothesis plays the network: people, staff and faults in any order, then all must agree.

So must a screen that is given rows in place of events, whose line is cut and loses messages, too.
What must hold is in `kiosk.simulation.verdict`; a failing run shrinks to the few steps that matter.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kiosk.model import Author, Kind
from kiosk.simulation.disk import Death
from kiosk.simulation.loop import VirtualLoop
from kiosk.simulation.people import Crowd
from kiosk.simulation.play import settled
from kiosk.simulation.scene import Blanks, Day, Scene
from kiosk.simulation.trouble import Trouble
from kiosk.simulation.verdict import judged
from kiosk.store import Draft
from tests.sync.watching import Screen

KIOSKS, PEOPLE = st.integers(0, 1), st.integers(0, 2)
STAFF = st.sampled_from([Author("staff", "ana", 2), Author("staff", "ben", 2)])


class Network(RuleBasedStateMachine):
    """A hub, two kiosks and a screen, on virtual time."""

    def __init__(self):
        super().__init__()
        self._open = contextlib.ExitStack()
        folder = Path(self._open.enter_context(tempfile.TemporaryDirectory()))
        logging.disable(logging.CRITICAL)
        self._open.callback(logging.disable, logging.NOTSET)
        self.folder, self.loop, self.scene = folder, None, None

    @initialize(seed=st.integers(0, 2**32))
    def begin(self, seed):
        day = Day(seed, kiosks=2, people=3, hours=1.0)
        self.loop = VirtualLoop(day.chance("loop"))
        self._open.callback(self.loop.close)
        self.scene = Scene(day, self.folder, self.loop, Blanks.made(self.folder))
        self.crowd, self.trouble = Crowd(self.scene), Trouble(self.scene)
        self._run(self.scene.open())
        self.screen = self._run(self._switched_on())
        self.wait(1.0)

    async def _switched_on(self):
        return Screen(self.scene)

    def _run(self, work):
        return self.loop.run_until_complete(work)

    @rule(seconds=st.sampled_from([0.01, 0.1, 1.0, 20.0, 120.0]))
    def wait(self, seconds):
        self._run(asyncio.sleep(seconds))

    @rule(kiosk=KIOSKS, person=PEOPLE, kind=st.sampled_from([Kind.CHECK_IN, Kind.CHECK_OUT]))
    def scan(self, kiosk, person, kind):
        self._do(kiosk, Draft(kind, "s0", f"p{person}", data={"method": "finger"}))

    @rule(kiosk=KIOSKS, person=PEOPLE, by=STAFF, status=st.sampled_from(["present", "absent"]))
    def decide(self, kiosk, person, by, status):
        self._do(kiosk, Draft(Kind.OVERRIDE, "s0", f"p{person}", by, {"status": status}))

    @rule(kiosk=KIOSKS, person=PEOPLE, by=STAFF, pick=st.integers(0, 5))
    def take_back(self, kiosk, person, by, pick):
        if self.scene.kiosks[kiosk].up:
            events = self.scene.kiosks[kiosk].store.row_events("s0", f"p{person}")
            if pick < len(events):
                data = {"target": events[pick].id}
                self._do(kiosk, Draft(Kind.RETRACT, "s0", f"p{person}", by, data))

    @rule(name=st.sampled_from(["line_cut", "line_stalled", "line_down"]))
    def spoil_a_line(self, name):
        self._strike(name)

    @rule(lose=st.booleans(), messages=st.integers(0, 2))
    def spoil_the_screens_line(self, lose, messages):
        self.screen.losing = messages
        if not messages:
            self.screen.cut(lose=lose)

    @rule(name=st.sampled_from(["kiosk_killed", "kiosk_power", "hub_killed", "hub_power"]))
    def kill(self, name):
        self._strike(name)

    @rule(name=st.sampled_from(["clock_jump", "hub_untrusted", "disk_refused", "line_slow"]))
    def confuse(self, name):
        self._strike(name)

    @rule()
    def back_up(self):
        self._strike("hub_backup")

    @rule()
    def restore(self):
        self._strike("hub_restored")

    def _strike(self, name):
        async def strike():
            self.trouble.strike(name)

        self._run(strike())

    def _do(self, kiosk, draft):
        machine = self.scene.kiosks[kiosk]
        if machine.up and machine.disk.left is None:
            self.crowd.do(machine, draft)

    @precondition(lambda self: self.scene is not None)
    @invariant()
    def what_was_announced_is_held(self):
        """Custody: whoever was greeted is on a disk that is in use, at every instant."""
        here = {id_ for k in self.scene.kiosks if k.up for id_ in k.store.event_ids()}
        dark = any(not kiosk.up for kiosk in self.scene.kiosks)
        missing = {id_ for id_, _ in self.crowd.told.events.values()} - here
        assert dark or not missing

    def teardown(self):
        try:
            if self.scene is not None:
                self._finish()
        finally:
            self._open.close()

    def _finish(self):
        try:
            self._run(self.trouble.heal())
            assert self._run(settled(self.scene)) == []
            shown, meant = self._run(self.screen.settled())
            assert shown == meant
            verdict, _ = judged(self.scene, self.crowd.told)
            assert verdict.good, (verdict.lost, verdict.doubled, verdict.diverged)
            assert self.scene.broken == []
        finally:
            self._run(self.screen.off())
            self.scene.close()
            self._run(asyncio.sleep(120))


TestNetwork = Network.TestCase
TestNetwork.settings = settings(
    max_examples=20,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize("how", list(Death))
def test_the_machine_itself_can_be_played_by_hand(how):
    network = Network()
    try:
        network.begin(seed=3)
        network.scan(0, 1, Kind.CHECK_IN)
        network.wait(1.0)
        network.scene.kiosks[0].kill(how)
        network.what_was_announced_is_held()
        network.wait(300.0)
        network.what_was_announced_is_held()
        assert len(network.crowd.told.events) == 1
    finally:
        network.teardown()


def test_a_message_of_rows_that_nobody_heard_of_is_found_out():
    network = Network()
    try:
        network.begin(seed=5)
        network.wait(5.0)
        network.spoil_the_screens_line(lose=False, messages=1)
        network.scan(0, 1, Kind.CHECK_IN)
        network.wait(60.0)
        assert network.screen.losing == 0
        assert network.screen.found_out
        assert network.screen.view.rows["p1"]["presence"] == "inside"
        assert network.screen.view.snapshots == 1
    finally:
        network.teardown()
