"""Histories of a site, worked out by hand: sessions that close, and what staff are asked."""

from __future__ import annotations

import pytest

from kiosk.model import Author, Flag, Human, Presence, Status
from sync.merge import (
    explain,
    saw_for_scan,
)
from sync.merge.items import item_id
from tests.sync.histories import (
    ADA,
    INES,
    NAMES,
    OLU,
    TAKER,
    Log,
    at,
    told,
    words,
)

ON_THE_DAY = "on 27 March 2026"


@pytest.fixture
def log():
    return Log().directory()


def ann(state):
    return state.rows["class", "ann"]


def bob(state):
    return state.rows["class", "bob"]


# -- closing and reopening -------------------------------------------------------------------------


def test_closing_makes_absent_whoever_is_still_expected_and_nobody_else(log):
    log.scan("c", "a", 0)
    log.closed("x", "a", 60)
    state = told(log)
    assert (ann(state).status, bob(state).status) == (Status.PRESENT, Status.ABSENT)
    assert state.sessions["class"].closed == at(60)
    assert state.sessions["class"].decisions == ("x",)
    assert words(state) == []


def test_while_the_session_is_open_nobody_is_absent(log):
    state = told(log)
    assert state.rows == {}
    assert state.sessions["class"].is_open


def test_closing_without_a_roster_makes_absent_every_active_member():
    log = Log().directory(roster=None)
    log.record("d-cy", "person", "cy", 1, {"id": "cy", "first_name": "Cy", "active": False})
    log.write("v", "visitor", "a", 1, person="v-1", name="Vera")
    log.closed("x", "a", 60)
    state = told(log)
    assert {person: row.status for (_, person), row in state.rows.items()} == {
        "ann": Status.ABSENT,
        "bob": Status.ABSENT,
        "v-1": Status.PRESENT,
    }


def test_close_against_an_offline_kiosk_that_had_let_somebody_in_before(log):
    log.closed("x", "t", 60)
    log.scan("c", "a", 20)
    state = told(log)
    assert (ann(state).status, ann(state).flags) == (Status.LATE, ())
    assert words(state) == []


def test_close_against_an_offline_kiosk_that_lets_people_in_afterwards(log):
    log.closed("x", "t", 60)
    log.scan("c1", "a", 65)
    log.scan("c2", "a", 70, person="bob")
    state = told(log)
    assert (ann(state).status, ann(state).flags) == (Status.LATE, (Flag.AFTER_CLOSE,))
    (item,) = state.waiting
    assert (item.human, item.device, item.people) == (Human.BATCH, "a", ("ann", "bob"))
    assert item.ids == ("c1", "c2")
    assert words(state) == [
        (
            "Front door did not know that Yoga was closed: 2 people came in there afterwards,"
            f" between 10:05 {ON_THE_DAY} and 10:10 {ON_THE_DAY}. They count as having come."
        )
    ]


def test_two_offline_kiosks_after_a_close_are_two_items(log):
    log.closed("x", "t", 60)
    log.scan("c1", "a", 65)
    log.scan("c2", "b", 70, person="bob")
    assert sorted(item.device for item in told(log).waiting) == ["a", "b"]


def test_a_kiosk_that_knew_of_the_close_let_somebody_in_on_purpose(log):
    log.closed("x", "a", 60)
    log.scan("c", "a", 65)
    state = told(log)
    assert (ann(state).status, ann(state).flags) == (Status.LATE, (Flag.AFTER_CLOSE,))
    assert state.waiting[0].human is Human.INFORMED
    assert words(state) == [
        (
            f"Ann A. came in at Front door, at 10:05 {ON_THE_DAY}, after the session was closed,"
            " and Front door knew that. Shown as late."
        )
    ]


def test_a_scan_names_the_close_that_its_kiosk_had_heard_of(log):
    log.closed("x", "t", 60)
    heads = told(log).sessions["class"].heads
    log.scan("c", "a", 65, saw=saw_for_scan(None, heads))
    assert told(log).waiting[0].human is Human.INFORMED


def test_a_check_in_that_may_have_begun_before_the_close_counts_without_a_word(log):
    log.closed("x", "t", 60)
    log.scan("c", "a", 55, width=10)
    assert ann(told(log)).flags == ()


def test_a_close_that_knew_the_check_in_leaves_it_whatever_the_clocks_say(log):
    log.scan("c", "a", 70)
    log.closed("x", "a", 60)
    state = told(log)
    assert (ann(state).status, ann(state).flags) == (Status.LATE, ())


def test_close_and_reopen_that_did_not_know_of_each_other_leave_it_open(log):
    log.closed("x1", "a", 50)
    log.reopened("o", "b", 55, "x1", by=OLU)
    log.closed("x2", "c", 56, "x1")
    state = told(log)
    assert state.sessions["class"].is_open
    assert state.sessions["class"].heads == ("o", "x2")
    assert bob_is_not_there(state)
    assert state.waiting[0].human is Human.INFORMED
    assert words(state) == [
        (
            "Yoga was closed and reopened by people who did not know of each other:"
            " Olu reopened it and Ines closed it. It is open."
        )
    ]


def bob_is_not_there(state):
    return ("class", "bob") not in state.rows


def test_a_close_that_knew_the_reopening_closes_again(log):
    log.closed("x1", "a", 50)
    log.reopened("o", "b", 55, "x1")
    log.closed("x2", "c", 60, "x1", "o")
    state = told(log)
    assert state.sessions["class"].closed == at(60)
    assert bob(state).status is Status.ABSENT


def test_of_two_closes_the_later_one_counts(log):
    log.closed("x1", "a", 50)
    log.closed("x2", "t", 60)
    log.scan("c", "b", 55)
    state = told(log)
    assert (state.sessions["class"].closed, ann(state).flags) == (at(60), ())


def test_undoing_a_close_opens_the_session_again(log):
    log.closed("x", "a", 50)
    log.undo("u", "a", "x", person=None)
    assert told(log).sessions["class"].is_open


def test_a_lower_rank_does_not_undo_a_close(log):
    log.closed("x", "a", 50, by=INES)
    log.undo("u", "b", "x", by=TAKER, person=None)
    assert not told(log).sessions["class"].is_open


def test_an_undo_in_another_session_leaves_a_close_as_it_is(log):
    log.closed("x", "a", 50)
    log.undo("u", "a", "x", person=None, session="other")
    assert not told(log).sessions["class"].is_open


def test_a_quarantined_close_closes_nothing_and_is_shown(log):
    log.closed("x", "a", 50, by=TAKER, verdict="quarantined", code="rank")
    state = told(log)
    assert state.sessions.keys() == {"class"}
    assert state.sessions["class"].is_open
    assert words(state) == [
        (
            "An entry of Front door (closing, by Tess) was set apart: its author may not decide"
            " that. It is kept and does not count."
        )
    ]


def test_an_override_stands_in_a_closed_session(log):
    log.says("o", "a", "excused", person="bob")
    log.closed("x", "a", 60)
    assert bob(told(log)).status is Status.EXCUSED


def test_an_absence_that_did_not_know_a_scan_after_the_close_asks_both_questions(log):
    log.closed("x", "t", 60)
    log.says("o", "t", "absent")
    log.scan("c", "a", 65)
    state = told(log)
    assert (ann(state).status, ann(state).flags) == (
        Status.LATE,
        (Flag.SCAN_UNSEEN, Flag.AFTER_CLOSE),
    )
    assert {item.human for item in state.waiting} == {Human.YES, Human.BATCH}


def test_who_only_checked_out_is_absent_from_a_closed_session(log):
    log.out("x", "a", 20)
    log.closed("z", "a", 60)
    row = ann(told(log))
    assert (row.status, row.presence, row.departure) == (Status.ABSENT, Presence.LEFT, None)


# -- review items ----------------------------------------------------------------------------------


def disputed(log):
    log.scan("c", "a", 2)
    log.says("o", "t", "absent")
    return log


def test_a_scan_that_the_instructor_did_not_know_of_asks_for_a_decision(log):
    state = told(disputed(log))
    (item,) = state.waiting
    assert (item.kind, item.human, item.ids) == (Flag.SCAN_UNSEEN, Human.YES, ("c", "o"))
    assert item.id == item_id(Flag.SCAN_UNSEEN, ("class", "ann"), ("c", "o"))
    assert words(state) == [
        (
            "Ines marked Ann A. absent without knowing that Ann A. came in at Front door, at 09:02"
            f" {ON_THE_DAY}. Shown as present until somebody decides again."
        )
    ]


def test_deciding_again_in_sight_of_all_ends_the_question(log):
    disputed(log).says("o2", "t", "absent", "c", "o")
    state = told(log)
    assert (ann(state).status, state.waiting) == (Status.ABSENT, [])


def test_a_resolve_acknowledges_and_settles_no_status(log):
    item = told(disputed(log)).waiting[0].id
    log.resolved("r", "t", item)
    state = told(log)
    assert (state.waiting, state.items[item].resolved) == ([], ("r",))
    assert (ann(state).status, ann(state).flags) == (Status.PRESENT, (Flag.SCAN_UNSEEN,))


def test_two_resolves_race_and_both_are_right(log):
    item = told(disputed(log)).waiting[0].id
    log.resolved("r2", "t", item)
    log.resolved("r1", "b", item, by=OLU)
    assert told(log).items[item].resolved == ("r1", "r2")


def test_a_resolve_that_arrives_before_its_item(log):
    item = told(disputed(Log().directory())).waiting[0].id
    log.resolved("r", "t", item)
    assert told(log).items == {}
    disputed(log)
    assert told(log).waiting == []


def test_new_evidence_makes_a_new_item(log):
    item = told(disputed(log)).waiting[0].id
    log.resolved("r", "t", item)
    log.scan("c2", "b", 5)
    state = told(log)
    assert [i.ids for i in state.waiting] == [("c", "c2", "o")]
    assert item not in state.items


def test_a_resolve_of_an_item_that_later_vanishes_does_no_harm(log):
    item = told(disputed(log)).waiting[0].id
    log.resolved("r", "t", item)
    log.undo("u", "t", "o")
    state = told(log)
    assert (state.items, ann(state).flags) == ({}, ())


def test_a_resolve_taken_back_makes_the_item_wait_again(log):
    item = told(disputed(log)).waiting[0].id
    log.resolved("r", "t", item)
    log.undo("u", "t", "r", person=None)
    assert [i.id for i in told(log).waiting] == [item]


def test_a_quarantined_resolve_acknowledges_nothing(log):
    item = told(disputed(log)).waiting[0].id
    log.resolved("r", "t", item, verdict="quarantined", code="revoked")
    state = told(log)
    assert item in {i.id for i in state.waiting}
    assert (
        "An entry of t (acknowledgement, by Ines) was set apart: its device was revoked."
        " It is kept and does not count."
    ) in words(state)


def test_an_undone_override_cannot_be_redone_by_undoing_the_undo(log):
    log.says("o1", "t", "excused")
    log.says("o2", "t", "absent", "o1")
    log.undo("u", "t", "o2", "o1", "o2")
    log.undo("uu", "t", "u", "u", by=ADA)
    state = told(log)
    assert (ann(state).status, ann(state).winner) == (Status.EXCUSED, "o1")


def test_an_outranked_decision_is_told_to_whom_it_was_taken_from(log):
    log.says("o1", "a", "present", by=TAKER)
    log.says("o2", "b", "absent", by=ADA)
    state = told(log)
    assert (ann(state).status, state.waiting[0].human) == (Status.ABSENT, Human.INFORMED)
    assert words(state) == [
        (
            "Decisions on Ann A. were made without knowledge of each other: Tess said present and"
            " Ada said absent. That of Ada has the higher rank. Shown as absent."
        )
    ]


def test_two_instructors_who_disagree_are_both_shown(log):
    log.says("o1", "a", "excused", by=OLU)
    log.says("o2", "b", "late", by=INES)
    state = told(log)
    assert (ann(state).status, state.waiting[0].human) == (Status.LATE, Human.YES)
    assert words(state) == [
        (
            "Decisions on Ann A. were made without knowledge of each other: Olu said excused and"
            " Ines said late. Shown as late until somebody decides again."
        )
    ]


def test_of_three_instructors_the_one_who_agrees_with_the_winner_is_shown_too(log):
    log.says("o1", "a", "present", by=OLU)
    log.says("o2", "b", "present", by=INES)
    log.says("o3", "c", "absent", by=Author("staff", "uma", 2))
    state = told(log)
    assert (ann(state).status, state.waiting[0].ids) == (Status.PRESENT, ("o1", "o2", "o3"))
    assert words(state) == [
        (
            "Decisions on Ann A. were made without knowledge of each other: Olu said present, Ines"
            " said present and uma said absent. Shown as present until somebody decides again."
        )
    ]


def test_an_arrival_after_absence_is_explained_and_asks_nobody(log):
    log.says("o", "t", "absent")
    log.scan("c", "a", 12, saw=["o"])
    state = told(log)
    assert state.items.keys() - {item.id for item in state.waiting}
    assert words(state) == []
    (note,) = state.notes["class", "ann"]
    assert explain(note, NAMES) == (
        f"Ines marked Ann A. absent; Ann A. came in after that, at 09:12 {ON_THE_DAY}."
        " Shown as late."
    )
