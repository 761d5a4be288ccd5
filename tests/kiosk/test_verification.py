"""Claim and 1:1: the one person, nobody else, and nothing left in the sensor."""

from __future__ import annotations

import pytest

from drivers import errors
from drivers.emulator import Emulator, Mishap
from drivers.profiles import DELETE_CHAR, MATCH, SEARCH, STORE
from drivers.reconcile import reconcile
from drivers.slots import SlotState
from drivers.zfm import open_zfm
from kiosk.slots import StoredSlots
from kiosk.templates import NoTemplateError
from kiosk.verification import Verdict, VerificationTiming, claim, verify
from tests.killed import killed_at_call, quick_folder
from tests.kiosk.library import keep, put_in, template_of, touch

QUICK = VerificationTiming(poll=0.001, patience=0.2)
NO_MATCH = 0x08


def claimed(emulator, sensor, slots, templates, person, finger, quality="good"):
    return claim(sensor, slots, templates, person, QUICK, lambda: emulator.place(finger, quality))


def test_whoever_claims_to_be_ann_must_have_her_finger(emulator, sensor, slots, templates):
    keep(sensor, templates, "ann"), keep(sensor, templates, "bob")
    well = claimed(emulator, sensor, slots, templates, "ann", "ann")
    assert (well.verdict, well.quality) == (Verdict.MATCHED, None)
    low, high = emulator.profile.scores
    assert low <= well.score <= high
    for finger in ("bob", "eve"):
        ill = claimed(emulator, sensor, slots, templates, "ann", finger)
        assert (ill.verdict, ill.score) == (Verdict.NOT_MATCHED, None)
    assert emulator.slots == frozenset()
    assert STORE not in emulator.history


def test_any_of_a_persons_fingers_will_do(emulator, sensor, slots, templates):
    keep(sensor, templates, "ann")
    templates.put("ann", template_of("ann left", sensor), sensor="s", generation=0)
    for finger in ("ann", "ann left"):
        seen = claimed(emulator, sensor, slots, templates, "ann", finger)
        assert seen.verdict is Verdict.MATCHED


@pytest.mark.parametrize("quality", ["dry", "wet", "partial", "smudged"])
def test_a_finger_that_cannot_be_read_is_neither(emulator, sensor, slots, templates, quality):
    keep(sensor, templates, "ann")
    seen = claimed(emulator, sensor, slots, templates, "ann", "ann", quality)
    assert (seen.verdict, seen.quality) == (Verdict.UNREADABLE, quality)
    assert MATCH not in emulator.history


def test_nobody_comes(sensor, slots, templates):
    keep(sensor, templates, "ann")
    assert claim(sensor, slots, templates, "ann", QUICK).verdict is Verdict.NO_FINGER


def test_without_a_template_no_finger_is_asked_for(emulator, sensor, slots, templates):
    other = template_of("ann", format_="r503/1536")
    templates.put("ann", other, sensor="s", generation=0)
    asked = []
    for person in ("ann", "nobody"):
        with pytest.raises(NoTemplateError, match="zfm-0009-1000"):
            claim(sensor, slots, templates, person, QUICK, lambda: asked.append(1))
    assert not asked


def test_a_template_of_another_format_is_refused(emulator, sensor):
    touch(emulator, sensor, "ann")
    with pytest.raises(errors.TemplateFormatMismatch):
        verify(sensor, template_of("ann", format_="r503/1536"))


# -- where Match is not to be trusted --------------------------------------------------------------


@pytest.fixture
def tmp_path():
    with quick_folder() as folder:
        yield folder


@pytest.fixture
def r503(tmp_path):
    with Emulator("r503", tmp_path / "r503", seed=3) as running:
        yield running


@pytest.fixture
def round_sensor(r503, slots):
    with open_zfm(r503.port) as opened:
        reconcile(opened, slots)
        yield opened


def test_a_match_refused_on_an_r503_is_looked_at_again_by_search(r503, round_sensor, slots):
    sensor, template = round_sensor, template_of("ann", round_sensor)
    put_in(sensor, slots, "bob")
    touch(r503, sensor, "ann")
    assert verify(sensor, template, slots)
    assert SEARCH not in r503.history
    r503.refuse(NO_MATCH, MATCH, times=3)
    assert verify(sensor, template) is None, "without a table there is no scratch slot"
    assert verify(sensor, template, slots)
    touch(r503, sensor, "eve")
    assert verify(sensor, template, slots) is None
    assert r503.slots == {0}
    assert [e.owner for e in slots.entries(slots.binding().sensor).values()] == ["bob"]
    assert reconcile(sensor, slots).stamp.generation == slots.binding().generation


def test_other_models_are_believed(emulator, sensor, slots):
    touch(emulator, sensor, "ann")
    emulator.refuse(NO_MATCH, MATCH)
    assert verify(sensor, template_of("ann", sensor), slots) is None
    assert STORE not in emulator.history


def test_a_full_sensor_has_no_scratch_slot_and_the_refusal_stands(r503, round_sensor, slots):
    r503.fill()
    touch(r503, round_sensor, "ann")
    r503.refuse(NO_MATCH, MATCH)
    assert verify(round_sensor, template_of("ann", round_sensor), slots) is None
    assert len(r503.slots) == 200


def test_a_scratch_slot_that_is_not_let_go_stays_on_record(r503, round_sensor, slots):
    sensor = round_sensor
    touch(r503, sensor, "ann")
    r503.refuse(NO_MATCH, MATCH)
    # Lost commands: the template stays in the slot.
    r503.inject(*[Mishap(DELETE_CHAR, unheard=True)] * 3)
    with pytest.raises(errors.SensorError):
        verify(sensor, template_of("ann", sensor), slots)
    assert r503.slots == {0}
    (entry,) = slots.entries(slots.binding().sensor).values()
    assert (entry.state, entry.owner) == (SlotState.PENDING_DELETE, "")
    r503.heal()
    reconcile(sensor, slots)
    assert r503.slots == frozenset()
    assert not slots.entries(slots.binding().sensor)


def test_killed_at_any_step_the_scratch_slot_is_cleared_by_the_next_start(r503, open_store, clock):
    seen, lived, step = set(), False, 0
    while not lived:
        r503.place("ann")
        r503.heal()
        r503.refuse(NO_MATCH, MATCH)
        lived = killed_at_call(_verify_in_a_process(r503.port, open_store, clock), step)
        store = open_store()
        table = StoredSlots(store, clock)
        left = len(table.entries(table.binding().sensor)) if table.binding() else 0
        seen.add((left, len(r503.slots)))
        with open_zfm(r503.port) as sensor:
            assert not reconcile(sensor, table).used
        assert not table.entries(table.binding().sensor)
        assert r503.slots == frozenset()
        store.close()
        step += 1
    assert step == 5, "reserve, store, delete, drop, and once whole"
    assert seen == {(0, 0), (1, 0), (1, 1)}


def _verify_in_a_process(port, open_store, clock):
    def work(step):
        table = StoredSlots(open_store(), clock)
        with open_zfm(port) as sensor:
            reconcile(sensor, table)
            template = template_of("ann", sensor)
            assert sensor.readImage()
            sensor.convertImage()
            step(table, "put", "drop")
            step(sensor, "storeTemplate", "deleteTemplate")
            assert verify(sensor, template, table)

    return work
