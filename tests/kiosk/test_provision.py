"""Copies out of a sensor and back into one: none twice, none altered, none of another format."""

from __future__ import annotations

from dataclasses import replace

import pytest

from drivers import errors
from drivers.emulator import Emulator
from drivers.profiles import R307, UP_CHAR
from drivers.reconcile import reconcile, wipe
from drivers.slots import SlotState
from drivers.zfm import open_zfm
from kiosk.provision import (
    back_up,
    bring,
    bring_all,
    copies_of,
    fits,
    format_for,
    kept_for,
)
from kiosk.survey import survey
from tests.kiosk.library import found, keep, put_in, template_of


def states(slots):
    return {s: e.state.value for s, e in slots.entries(slots.binding().sensor).items()}


def test_every_active_template_is_backed_up_once(emulator, sensor, slots, templates):
    put_in(sensor, slots, "ann"), put_in(sensor, slots, "bob")
    assert back_up(sensor, slots, templates).copied == 2
    assert [t for _, t in templates.of("ann")] == [template_of("ann", sensor)]
    assert templates.kept("ann")[0].label.generation == slots.binding().generation
    before = emulator.history.count(UP_CHAR)
    assert back_up(sensor, slots, templates).copied == 0
    assert emulator.history.count(UP_CHAR) == before, "what is kept is not read again"


def test_a_template_that_changed_by_itself_is_not_copied(emulator, sensor, slots, templates):
    put_in(sensor, slots, "ann"), put_in(sensor, slots, "bob")
    emulator.alter(0)
    done = back_up(sensor, slots, templates)
    assert (done.copied, done.altered) == (1, (0,))
    copies, left_out = copies_of(sensor, slots, lambda slot: slot * 10, lambda _: True)
    assert ([(c.person, c.taken) for c in copies], left_out) == ([("bob", 10)], 1)


def test_only_who_is_allowed_is_exported(sensor, slots):
    put_in(sensor, slots, "ann"), put_in(sensor, slots, "bob")
    copies, left_out = copies_of(sensor, slots, lambda _: 0, lambda person: person == "ann")
    assert ([c.person for c in copies], left_out) == (["ann"], 1)


def test_a_wiped_sensor_gets_everybody_back_where_they_were(emulator, sensor, slots, templates):
    for name in ("ann", "bob", "eve"):
        put_in(sensor, slots, name)
    slots_before = slots.entries(slots.binding().sensor)
    back_up(sensor, slots, templates)
    wipe(sensor, slots)
    templates.forget("eve")
    done = bring_all(sensor, slots, kept_for(sensor, templates))
    assert (done.placed, done.lost) == (2, ("eve",))
    entries = slots.entries(slots.binding().sensor)
    assert {s: e for s, e in entries.items() if e.owner != "eve"} == {
        s: e for s, e in slots_before.items() if e.owner != "eve"
    }
    assert [found(emulator, sensor, slots, n) for n in ("ann", "bob", "eve")] == [
        "ann", "bob", None,
    ]  # fmt: skip
    again = bring_all(sensor, slots, kept_for(sensor, templates))
    assert (again.placed, again.there) == (0, 2)


def test_a_new_sensor_gets_those_who_are_let_in(sensor, slots, templates):
    for name in ("ann", "bob"):
        keep(sensor, templates, name)
    done = bring_all(sensor, slots, kept_for(sensor, templates), lambda person: person == "bob")
    assert (done.placed, done.refused) == (1, 1)
    assert [e.owner for e in slots.entries(slots.binding().sensor).values()] == ["bob"]


def test_what_does_not_fit_is_counted_and_lost_slots_go_first(tmp_path, slots, templates):
    small = replace(R307, capacity=2)
    with Emulator(small, tmp_path / "small") as emulator, open_zfm(emulator.port) as sensor:
        reconcile(sensor, slots)
        put_in(sensor, slots, "ann")
        for name in ("ann", "bob", "eve"):
            keep(sensor, templates, name)
        emulator.clear_library()
        reconcile(sensor, slots)
        done = bring_all(sensor, slots, kept_for(sensor, templates))
        assert (done.placed, done.full, done.lost) == (2, 1, ())
        assert states(slots) == {0: "active", 1: "active"}
        assert slots.entries(slots.binding().sensor)[0].owner == "ann"


def test_another_models_templates_are_not_even_looked_at(sensor, slots, templates, tmp_path):
    other = template_of("ann", format_="r503/1536")
    templates.put("ann", other, sensor="s", generation=0)
    assert kept_for(sensor, templates) == []
    assert format_for(sensor) == "zfm-0009-1000/?"
    assert fits(sensor, "zfm-0009-1000/512")
    assert not any(fits(sensor, f) for f in ("", "/", "x/512", "r503/1536"))
    with pytest.raises(errors.TemplateFormatMismatch):
        bring(sensor, slots, "ann", other)
    with Emulator("r503", tmp_path / "r503") as emulator, open_zfm(emulator.port) as round_one:
        assert format_for(round_one).endswith("/1536")
        assert not fits(round_one, format_for(round_one).replace("1536", "768"))


# -- a look without touching -----------------------------------------------------------------------


def seen(sensor, slots):
    """The survey, having changed neither the sensor nor the records."""
    before = slots.binding(), slots.entries(slots.binding().sensor) if slots.binding() else {}
    found = survey(sensor, slots)
    assert before == (
        slots.binding(),
        slots.entries(slots.binding().sensor) if slots.binding() else {},
    )
    return found


def test_a_library_in_order(emulator, sensor, slots):
    put_in(sensor, slots, "ann")
    look = seen(sensor, slots)
    assert (look.used, look.count, look.stamp_state, look.verdict) == (1, 1, "sound", "1 active")
    assert look.well
    assert look.lines()[5] == "capacity    [--------------------] 1 of 1000 used"
    assert look.lines()[4] == "generation  1"


def test_a_library_out_of_order_says_how(emulator, sensor, slots):
    put_in(sensor, slots, "ann"), put_in(sensor, slots, "bob")
    sensor.deleteTemplate(0)
    emulator.enrol("mallory", 500)
    uuid = slots.binding().sensor
    bob = slots.entries(uuid)[1]
    slots.put(uuid, replace(bob, state=SlotState.PENDING_DELETE))
    look = seen(sensor, slots)
    assert look.verdict == "0 active, 1 nobody's, 1 missing, 1 unfinished"
    assert not look.well


def test_a_stranger_a_blank_and_a_damaged_one(emulator, sensor, slots):
    put_in(sensor, slots, "ann")
    emulator.swap(1)
    blank = seen(sensor, slots)
    assert (blank.stamp, blank.stamp_state, blank.well) == (None, "blank", False)
    assert blank.verdict.startswith("closed (blank)")
    for page in (0, 1):
        sensor.write_notepad(page, b"WHRL" + bytes(28))
    damaged = seen(sensor, slots)
    assert "damaged" in damaged.stamp_state
    assert damaged.verdict.startswith("closed")
