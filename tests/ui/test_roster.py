"""The roster model against a plain sorted list."""

from __future__ import annotations

import random

import msgspec
import pytest
from PySide6.QtCore import QAbstractItemModel
from PySide6.QtTest import QSignalSpy

from kiosk.model import Status
from tests.ui import staged
from tests.ui.conftest import until
from ui.roster import Role, RosterModel
from ui.words import Words


@pytest.fixture
def words(qapp):
    return Words("en")


@pytest.fixture
def model(desk, words):
    return RosterModel(desk, words)


def shown(model, role=Role.NAME):
    return [model.index(i).data(role) for i in range(model.rowCount())]


def changed(row, time, status=Status.PRESENT):
    arrival = time if time is None else (staged.at(time), staged.at(time))
    return msgspec.structs.replace(
        row, row=msgspec.structs.replace(row.row, arrival=arrival, status=status, method="finger")
    )


def merged(row, into):
    """As the desk says that a person was merged into another."""
    return msgspec.structs.replace(row, row=into.row)


def test_newest_on_top_then_exceptions_then_expected_by_name(words):
    desk = staged.StagedDesk(
        staged.club().state,
        [
            staged.row("Zoe A"),
            staged.row("ada B"),
            staged.row("Exc C", status=Status.EXCUSED, winner="o"),
            staged.row("Old D", "17:00"),
            staged.row("New E", "18:00", status=Status.LATE),
        ],
    )
    model = RosterModel(desk, words)
    assert shown(model) == ["New E.", "Old D.", "Exc C.", "ada B.", "Zoe A."]
    assert shown(model, Role.TIME) == ["18:00", "17:00", "–", "–", "–"]
    assert shown(model, Role.NEWEST) == [True, False, False, False, False]
    assert shown(model, Role.LABEL) == ["Late", "Present", "Excused", "Expected", "Expected"]
    assert shown(model, Role.METHOD) == ["mark", "mark", "pencil", "", ""]
    assert shown(model, Role.CHIP) == ["clock", "tick", "info", "", ""]


def test_is_a_sound_model(model, qtmodeltester):
    qtmodeltester.check(model)


def test_role_names_are_what_the_row_requires(model):
    assert {bytes(name).decode() for name in model.roleNames().values()} == {
        *("name", "method", "status", "label", "chip", "time", "newest")
    }


async def test_one_emission_for_all_that_comes_within_a_batch(desk, model):
    spy = QSignalSpy(model.dataChanged)
    moved = QSignalSpy(model.rowsMoved)
    expected = [row for row in desk.roster() if row.row.arrival is None][:3]
    for minute, row in enumerate(expected):
        model.change([changed(row, f"18:0{minute + 5}")])
    assert spy.count() == 0
    await until(lambda: spy.count() > 0)
    assert spy.count() == 1
    assert moved.count() == 3
    assert shown(model)[:3] == [row.person.public_name for row in reversed(expected)]
    assert shown(model, Role.NEWEST)[:4] == [True, False, False, False]


async def test_a_flood_is_told_in_slices(desk, words):
    rows = [staged.row(f"P{n:04} X", number=n) for n in range(1000)]
    model = RosterModel(staged.StagedDesk(desk.state, rows), words)
    slices = []
    model.dataChanged.connect(lambda *_: slices.append(shown(model, Role.STATUS).count("present")))
    model.change([changed(row, "18:01") for row in rows[:200]])
    await until(lambda: len(slices) >= 4)
    assert slices == [64, 128, 192, 200]


async def test_the_last_word_about_a_person_counts(desk, model):
    spy = QSignalSpy(model.dataChanged)
    row = next(row for row in desk.roster() if row.row.arrival is None)
    model.change([changed(row, "18:05")])
    model.change([changed(row, None, Status.EXPECTED)])
    await until(lambda: spy.count() == 1)
    assert shown(model).index(row.person.public_name) >= 18


async def test_rows_of_another_session_are_not_shown(desk, model):
    spy = QSignalSpy(model.dataChanged)
    model.change([staged.row("Stranger Z", "18:05", session="other")])
    model.change([changed(desk.roster()[0], "18:06")])
    await until(lambda: spy.count() == 1)
    assert "Stranger Z." not in shown(model)


async def test_never_reset_within_a_session_and_loaded_anew_for_the_next(desk, model):
    resets = QSignalSpy(model.modelReset)
    spy = QSignalSpy(model.dataChanged)
    desk.watch(model.show, model.change)
    desk.arrive(staged.row("Walk In", "18:07"))
    desk.stage(organisation="Renamed")
    await until(lambda: spy.count() == 1)
    assert resets.count() == 0
    assert shown(model)[0] == "Walk I."
    desk.open(staged.session(name="next"), [staged.row("Only One", session="next")])
    assert resets.count() == 1
    assert shown(model) == ["Only O."]


async def test_any_sequence_of_changes_ends_as_the_sorted_list(desk, words):
    chance = random.Random(7)
    rows = {n: staged.row(f"P{n:02} X", number=n) for n in range(40)}
    model = RosterModel(staged.StagedDesk(desk.state, list(rows.values())[:25]), words)
    resets = QSignalSpy(model.modelReset)
    mirror = Mirror(model)
    for _ in range(12):
        for n in chance.sample(sorted(rows), chance.randint(1, 12)):
            time = chance.choice([None, f"18:{chance.randint(0, 59):02}"])
            rows[n] = changed(rows[n], time, Status.PRESENT if time else Status.EXPECTED)
            model.change([rows[n]])
        model._flush()
    model.change(list(rows.values()))
    model._flush()

    def order(row):
        arrived = row.row.arrival
        return (0, -sum(arrived)) if arrived else (2, 0), row.person.public_name

    assert shown(model) == [row.person.public_name for row in sorted(rows.values(), key=order)]
    assert mirror.names == shown(model)
    assert resets.count() == 0
    model._batch.stop()


class Mirror:
    """A view of one's own: follows inserts and moves, and would miss any row not announced."""

    def __init__(self, model):
        self.model = model
        self.names = shown(model)
        model.rowsInserted.connect(self._inserted)
        model.rowsMoved.connect(self._moved)
        model.rowsRemoved.connect(self._removed)

    def _inserted(self, _parent, first, last):
        for at in range(first, last + 1):
            self.names.insert(at, self.model.index(at).data(Role.NAME))

    def _removed(self, _parent, first, last):
        del self.names[first : last + 1]

    def _moved(self, _parent, first, last, _target_parent, target):
        assert first == last
        name = self.names.pop(first)
        self.names.insert(target - (target > first), name)


async def test_a_line_that_is_somebody_elses_now_vanishes_at_once(desk, model, qtmodeltester):
    resets, spy = QSignalSpy(model.modelReset), QSignalSpy(model.rowsRemoved)
    mirror = Mirror(model)
    desk.watch(model.show, model.change)
    one, other, top = (desk.roster()[n] for n in (3, 4, 0))
    desk.arrive(merged(one, other), changed(other, "18:09"))
    await until(lambda: spy.count() == 1)
    assert shown(model)[0] == other.person.public_name
    assert one.person.public_name not in shown(model)
    desk.arrive(merged(top, other))
    await until(lambda: spy.count() == 2)
    assert mirror.names == shown(model)
    assert len(shown(model)) == len(desk.roster()) - 2
    qtmodeltester.check(model)
    # It was a mistake: they are two again.
    desk.arrive(one)
    await until(lambda: one.person.public_name in shown(model))
    assert mirror.names == shown(model)
    assert resets.count() == 0


def test_a_roster_may_become_empty(desk, words):
    row = staged.row("Only One", "18:00")
    model = RosterModel(staged.StagedDesk(desk.state, [row]), words)
    model.change([merged(row, staged.row("Somebody Else"))])
    model._flush()
    model.change([merged(row, staged.row("Somebody Else"))])
    model._flush()
    assert shown(model) == []
    model._batch.stop()


def test_another_language_renames_the_statuses_only(model, words):
    spy = QSignalSpy(model.dataChanged)
    words.choose("de")
    assert spy.count() == 1
    assert spy.at(0)[2] == [Role.LABEL]
    assert shown(model, Role.LABEL)[0] == "Da"


def test_an_empty_roster_takes_its_first_row(desk, words):
    model = RosterModel(staged.StagedDesk(desk.state, []), words)
    model.change([staged.row("First One", "18:00")])
    model._flush()
    assert shown(model) == ["First O."]
    assert isinstance(model, QAbstractItemModel)
    model._batch.stop()
