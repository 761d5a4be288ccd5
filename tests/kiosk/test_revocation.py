"""Revocation and decommissioning: gone here, confirmed, and finished after a cut anywhere."""

from __future__ import annotations

import pytest

from drivers import errors
from drivers.emulator import Emulator
from drivers.library import read_stamp
from drivers.reconcile import adopt, reconcile
from drivers.slots import SlotState
from drivers.zfm import open_zfm
from kiosk import revocation
from kiosk.model import Author, Kind, encode_event
from kiosk.revocation import (
    Certificate,
    decommission,
    open_orders,
    resume,
    revoke,
    revoked_since,
)
from kiosk.slots import StoredSlots
from kiosk.templates import TemplateStore
from kiosk.vault import KeyRing
from tests.fakes import NOON
from tests.killed import killed_at_call, quick_folder
from tests.kiosk.library import found, keep, know, put_in, revocations
from tests.kiosk.test_store import envelope, foreign


@pytest.fixture
def tmp_path():
    with quick_folder() as folder:
        yield folder


@pytest.fixture
def enrolled(store, emulator, sensor, slots, templates):
    """Ann with two fingers and Bob with one, all kept."""
    know(store, "ann", "bob")
    for name, impression in (("ann", 1), ("ann", 2), ("bob", 1)):
        put_in(sensor, slots, name, impression)
        keep(sensor, templates, name, impression)


def owners(slots):
    return {e.owner for e in slots.entries(slots.binding().sensor).values()}


@pytest.mark.usefixtures("enrolled")
def test_a_revoked_person_is_nowhere_and_the_log_says_so(store, emulator, sensor, slots, templates):
    staff = Author("staff", "s1", 3)
    done = revoke(
        store, slots, "ann", sensor=sensor, templates=templates, by=staff, reason="withdrawn"
    )
    assert (done.slots, done.templates, done.elsewhere, done.done) == (2, 2, (), True)
    assert emulator.slots == {2}
    assert owners(slots) == {"bob"}
    assert {k.person for k in templates.kept()} == {"bob"}
    assert [found(emulator, sensor, slots, name) for name in ("ann", "bob")] == [None, "bob"]
    assert revocations(store, "ann") == [
        {"state": "ordered", "reason": "withdrawn"},
        {"state": "done", "slots": 2, "templates": 2},
    ]
    order, confirmed = store.personal_events("ann", Kind.TEMPLATE_REVOKED)
    assert order.by == staff
    assert confirmed.data["order"] == order.id
    assert open_orders(store) == []
    assert resume(store, slots, sensor=sensor, templates=templates) == []


@pytest.mark.usefixtures("enrolled")
def test_without_its_sensor_an_order_waits_and_nobody_is_named_meanwhile(
    store, emulator, sensor, slots, templates
):
    done = revoke(store, slots, "ann", sensor=None, templates=templates)
    assert (done.slots, done.templates, done.done) == (0, 2, False)
    assert emulator.slots == {0, 1, 2}
    assert found(emulator, sensor, slots, "ann") is None
    assert [order.person for order in open_orders(store)] == ["ann"]
    (later,) = resume(store, slots, sensor=sensor, templates=templates)
    assert (later.slots, later.done) == (2, True)
    assert emulator.slots == {2}


@pytest.mark.usefixtures("enrolled")
def test_an_order_from_another_kiosk_is_carried_out_and_confirmed(store, sensor, slots, templates):
    know(store, "zoe", consent=False)
    said = [("bob", {"state": "ordered"}), ("zoe", {"state": "ordered"})]
    # What another kiosk has confirmed for itself says nothing of this one.
    said.append(("bob", {"state": "done", "order": "order-0"}))
    for at, (person, data) in enumerate(said):
        event = foreign(f"order-{at}", at, Kind.TEMPLATE_REVOKED, person, None, data=data)
        store.apply_remote("r", "e1", [(encode_event(event), envelope(at))], at).result()
    done = resume(store, slots, sensor=sensor, templates=templates)
    assert [(r.person, r.slots, r.templates, r.done) for r in done] == [
        ("bob", 1, 1, True),
        ("zoe", 0, 0, True),
    ], "also who has nothing here is confirmed"
    assert owners(slots) == {"ann"}


@pytest.mark.usefixtures("enrolled")
def test_a_sensor_in_a_drawer_loses_it_when_it_is_adopted_again(
    store, emulator, sensor, slots, templates, tmp_path
):
    first = slots.binding().sensor
    with Emulator("r307", tmp_path / "second", seed=9) as other, open_zfm(other.port) as second:
        adopt(second, slots)
        put_in(second, slots, "ann")
        done = revoke(store, slots, "ann", sensor=second, templates=templates)
        assert (done.slots, done.elsewhere, done.done) == (1, (first,), True)
        assert other.slots == frozenset()
    assert emulator.slots == {0, 1, 2}
    adopt(sensor, slots)
    assert emulator.slots == {2}
    assert owners(slots) == {"bob"}


@pytest.mark.usefixtures("enrolled")
def test_a_strange_sensor_is_not_touched(store, slots, templates, tmp_path):
    with Emulator("r307", tmp_path / "second", seed=9) as other, open_zfm(other.port) as second:
        other.enrol("eve", 0)
        with pytest.raises(errors.SensorIdentityMismatch):
            revoke(store, slots, "ann", sensor=second, templates=templates)
        assert other.slots == {0}
    assert [order.person for order in open_orders(store)] == ["ann"]


@pytest.mark.usefixtures("enrolled")
def test_a_sensor_that_does_not_let_go_is_not_confirmed(
    store, sensor, slots, templates, monkeypatch
):
    with monkeypatch.context() as patch:
        patch.setattr(sensor, "deleteTemplate", lambda *_: False)
        with pytest.raises(errors.FlashError):
            revoke(store, slots, "ann", sensor=sensor, templates=templates)
    assert revocations(store, "ann") == [{"state": "ordered", "reason": ""}]
    assert resume(store, slots, sensor=sensor, templates=templates)[0].done


def test_a_revocation_is_known_by_when_it_was_ordered(store, slots, clock):
    know(store, "ann")
    assert not revoked_since(store, "ann", NOON)
    clock.advance(60)
    revoke(store, slots, "ann", sensor=None, templates=None)
    assert revoked_since(store, "ann", NOON)
    clock.advance(60)
    assert not revoked_since(store, "ann", clock.wall())


# -- killed ----------------------------------------------------------------------------------------


class Rig:
    """A sensor, a store and a vault of one folder, opened anew for each process."""

    def __init__(self, folder, clock, open_store, seed):
        self.folder, self.clock, self.open_store = folder, clock, open_store
        self.emulator = Emulator("r307", folder / "sensor", seed=seed)

    def open(self):
        self.store = self.open_store(self.folder / "kiosk.db")
        self.slots = StoredSlots(self.store, self.clock)
        ring = KeyRing(self.folder / "vault.key", {})
        self.templates = TemplateStore.open(self.folder / "templates.db", ring, self.clock)
        self.sensor = open_zfm(self.emulator.port)

    def close(self):
        self.sensor.close()
        self.templates.close()
        self.store.close()

    def prepare(self):
        self.open()
        know(self.store, "ann", "bob")
        reconcile(self.sensor, self.slots)
        for name in ("ann", "bob"):
            put_in(self.sensor, self.slots, name)
            keep(self.sensor, self.templates, name)
        self.close()

    def killed(self, step, work):
        def child(counted):
            self.open()
            counted(self.store, "record")
            counted(self.slots, "put", "drop")
            counted(self.templates, "forget")
            counted(self.sensor, "deleteTemplate", "clearDatabase", "write_notepad")
            work(self)

        return killed_at_call(child, step)


def at_every_step(tmp_path, clock, open_store, work):
    """A rig after `work` was killed at step 0, 1, 2 ..., and whether it lived, until it did."""
    lived, step = False, 0
    while not lived:
        folder = tmp_path / str(step)
        folder.mkdir()
        rig = Rig(folder, clock, open_store, step)
        with rig.emulator:
            rig.prepare()
            lived = rig.killed(step, work)
            rig.open()
            yield lived, rig
            rig.close()
        step += 1


def test_a_revocation_killed_at_any_step_is_finished_by_the_next_start(tmp_path, clock, open_store):
    def work(rig):
        revoke(rig.store, rig.slots, "ann", sensor=rig.sensor, templates=rig.templates)

    seen = []
    for _, rig in at_every_step(tmp_path, clock, open_store, work):
        orders = open_orders(rig.store, rig.templates)
        reconcile(rig.sensor, rig.slots)
        resume(rig.store, rig.slots, sensor=rig.sensor, templates=rig.templates)
        left = rig.templates.kept("ann"), rig.emulator.slots, owners(rig.slots)
        states = [said["state"] for said in revocations(rig.store, "ann")]
        seen.append(len(orders))
        if len(seen) == 1:
            assert (states, len(left[0]), left[1]) == ([], 1, {0, 1}), "it had not begun"
            continue
        assert left == ([], {1}, {"bob"})
        assert states == ["ordered", "done"]
        assert found(rig.emulator, rig.sensor, rig.slots, "bob") == "bob"
        assert len(rig.templates.of("bob")) == 1
    assert seen == [0, *[1] * (len(seen) - 2), 0]
    assert len(seen) >= 8


def test_a_decommissioning_killed_at_any_step_is_finished_by_the_next(tmp_path, clock, open_store):
    def work(rig):
        decommission(rig.store, rig.slots, rig.sensor, NOON)

    steps = 0
    for _, rig in at_every_step(tmp_path, clock, open_store, work):
        done = decommission(rig.store, rig.slots, rig.sensor, NOON)
        assert done.notepad
        assert rig.emulator.slots == frozenset()
        assert read_stamp(rig.sensor) is None
        assert rig.store.slots() == []
        for name in ("ann", "bob"):
            assert revocations(rig.store, name) == [{"state": "sensor", "reason": "decommissioned"}]
        assert open_orders(rig.store) == []
        steps += 1
    assert steps >= 10


# -- decommissioning -------------------------------------------------------------------------------


@pytest.mark.usefixtures("enrolled")
def test_a_decommissioned_sensor_is_proved_empty(store, emulator, sensor, slots):
    uuid = slots.binding().sensor
    emulator.enrol("mallory", 9)
    reconcile(sensor, slots)
    assert decommission(store, slots, sensor, NOON) == Certificate(
        uuid, "zfm-0009-1000", templates=4, people=2, notepad=True, at=NOON
    )
    assert emulator.slots == frozenset()
    assert sensor.read_notepad(0) == sensor.read_notepad(1) == bytes(32)
    assert store.slots() == []


@pytest.mark.usefixtures("enrolled")
def test_templates_that_stay_in_it_are_no_certificate(store, emulator, sensor, slots, monkeypatch):
    monkeypatch.setattr(sensor, "clearDatabase", lambda: True)
    with pytest.raises(errors.FlashError, match="left"):
        decommission(store, slots, sensor, NOON)
    states = {e.state for e in slots.entries(slots.binding().sensor).values()}
    assert states == {SlotState.PENDING_DELETE}, "but they name nobody any more"
    assert revocations(store, "ann") == []


def test_the_last_look_is_what_counts(store, emulator, sensor, slots, monkeypatch):
    monkeypatch.setattr(revocation, "_make_blank", lambda _: emulator.enrol("eve", 0))
    with pytest.raises(errors.FlashError, match="left"):
        decommission(store, slots, sensor, NOON)
    monkeypatch.setattr(revocation, "_make_blank", lambda _: sensor.clearDatabase())
    with pytest.raises(errors.LibraryMismatch, match="stamp"):
        decommission(store, slots, sensor, NOON)


def test_a_sensor_of_another_kiosk_can_be_emptied_too(store, emulator, sensor, slots):
    for page in (0, 1):
        sensor.write_notepad(page, b"WHRL" + bytes(28))
    emulator.enrol("eve", 4)
    done = decommission(store, slots, sensor, NOON)
    assert (done.sensor, done.templates, done.people, done.notepad) == ("", 1, 0, True)
    assert emulator.slots == frozenset()


def test_one_without_a_notepad_is_certified_without(store, slots, tmp_path):
    with Emulator("zfm20", tmp_path / "weak", seed=1) as weak, open_zfm(weak.port) as sensor:
        reconcile(sensor, slots)
        put_in(sensor, slots, "ann")
        done = decommission(store, slots, sensor, NOON)
        assert (done.templates, done.people, done.notepad) == (1, 1, False)
        assert weak.slots == frozenset()
    assert store.slots() == []


def test_enrolled_again_a_later_decommissioning_is_noted_again(store, sensor, slots, clock):
    for _ in range(2):
        clock.advance(60)
        adopt(sensor, slots)
        put_in(sensor, slots, "ann")
        clock.advance(60)
        decommission(store, slots, sensor, NOON)
    assert len(revocations(store, "ann")) == 2
