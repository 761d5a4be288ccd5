"""A session's rows, batch by batch, against the batch fold: of honest events, and of forged."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiosk.model import Person
from sync.hub.rows import Sheet, public_name
from tests.sync.histories import Log
from tests.sync.rowviews import comes_to
from tests.sync.test_merge_site_laws import entries


class Shown:
    """What the deltas of a sheet come to."""

    def __init__(self, session):
        self.sheet, self.wholes = Sheet(session), 0
        self.rows, self.session, self.counts = {}, {}, {}

    def take(self, several):
        self.sheet.apply(several)
        self.wholes += not self.sheet.plain
        delta = self.sheet.look()
        for name, line in delta.rows.items():
            assert line.full.person == name
            self.rows[name] = line
        for name in delta.gone:
            del self.rows[name]
        if delta.session is not None:
            self.session = _json(delta.session)
        self.counts = _json(delta.counts)
        return delta

    def all(self, *, full):
        rows = {name: _json(line[full]) for name, line in self.rows.items()}
        return rows, self.session, self.counts


def _json(one):
    return json.loads(msgspec.json.encode(one))


@given(entries(), st.lists(st.integers(1, 3), min_size=18, max_size=18), st.booleans())
@settings(max_examples=120, deadline=None)
def test_the_rows_equal_the_batch_fold_after_every_batch(several, sizes, full):
    shown, at = Shown("s"), 0
    for size in sizes:
        if at < len(several):
            shown.take(several[at : at + size])
            at += size
            assert shown.all(full=full) == comes_to(several[:at], "s", full=full)


@given(entries(codes=("",)), entries(codes=("",)))
@settings(max_examples=60, deadline=None)
def test_a_look_tells_of_nothing_that_did_not_change(several, others):
    shown = Shown("s")
    for one in [*several, *others]:
        before = dict(shown.rows)
        delta = shown.take([one])
        assert all(before.get(name) != line for name, line in delta.rows.items())
        again = shown.take([one])
        assert again == ({}, [], None, delta.counts)


def test_plain_check_ins_and_decisions_of_known_people_are_not_compared_with_everybody():
    log = Log().directory(roster=None)
    log.record("d-cyd", "person", "cyd", 1, {"id": "cyd", "first_name": "Cyd"})
    shown = Shown("class")
    shown.take(log.entries)
    assert shown.wholes == 1
    for entry in (
        log.scan("e1", "a", 1),
        log.scan("e2", "b", 20, person="bob"),
        log.out("e3", "a", 30),
        log.says("e4", "a", "excused", "e2", person="bob"),
        log.write("e5", "refused", "a", session=None, person=None),
        log.scan("e6", "a", 5, session="another"),
    ):
        delta = shown.take([entry])
        assert len(delta.rows) == (entry.event.id not in ("e5", "e6"))
        so_far = log.entries[: log.entries.index(entry) + 1]
        assert shown.all(full=True) == comes_to(so_far, "class", full=True)
    assert shown.wholes == 1
    for entry in (
        log.scan("e7", "a", 6, person="nobody"),
        log.undo("e8", "a", "e3"),
        log.record("d-ann", "person", "ann", 2, {"id": "ann", "first_name": "Annie"}),
    ):
        shown.take([entry])
        so_far = log.entries[: log.entries.index(entry) + 1]
        assert shown.all(full=True) == comes_to(so_far, "class", full=True)
    assert shown.wholes == 4


def test_a_question_that_a_check_in_widens_is_another_for_everybody_in_it():
    log = Log().directory()
    log.scan("e1", "a", 8, width=5)
    shown = Shown("class")
    shown.take(log.entries)
    asked = shown.rows["ann"].full.items
    delta = shown.take([log.scan("e2", "a", 9, width=5, person="bob")])
    assert set(delta.rows) == {"ann", "bob"}
    assert shown.rows["ann"].full.items == shown.rows["bob"].full.items != asked
    assert shown.all(full=True) == comes_to(log.entries, "class", full=True)


def test_one_more_than_there_is_room_for_is_told_of_the_session():
    log = Log().directory()
    log.record("d-policy", "policy", "site", 1, {"capacity": 1})
    log.scan("e1", "a", 1)
    shown = Shown("class")
    shown.take(log.entries)
    assert shown.session["capacity"] == 1
    assert "items" not in shown.session
    shown.take([log.scan("e2", "a", 2, person="bob")])
    assert len(shown.session["items"]) == 1
    assert shown.all(full=True) == comes_to(log.entries, "class", full=True)


@pytest.mark.parametrize(
    ("kind", "where"),
    [("refused", {"session": None, "person": None}), ("check_in", {"session": "another"})],
)
def test_a_disks_double_is_noticed_by_whatever_it_wrote(kind, where):
    log = Log().directory()
    scan = log.scan("e1", "a", 1)
    shown = Shown("class")
    shown.take(log.entries)
    shown.take([log.write("e2", kind, "a", kseq=scan.event.kseq, **where)])
    assert shown.rows["ann"].full.flags == ("forked",)
    assert shown.all(full=True) == comes_to(log.entries, "class", full=True)


@pytest.mark.parametrize(
    ("person", "name"),
    [
        (Person("p", "Ada", "Lovelace"), "Ada L."),
        (Person("p", "Mary Ann", "Evans"), "Mary Ann E."),
        (Person("p", "Grace Brewster Hopper", kind="visitor"), "Grace H."),
        (Person("p", "Vera", kind="visitor"), "Vera"),
        (Person("p", "Ada Lovelace"), "Ada L."),
        (Person("p", "", "Lovelace"), "L."),
        (Person("p", "  "), ""),
        (Person("p", "x" * 500), "x" * 200),
    ],
)
def test_a_public_name_is_the_first_name_and_an_initial(person, name):
    assert public_name(person).strip() == name
