"""Histories of one row, each worked out by hand: what happened, and what the row must then say."""

from __future__ import annotations

import pytest

from kiosk.model import (
    Attendance,
    Author,
    Entry,
    Flag,
    Kind,
    Presence,
    Status,
)
from sync.merge import Fold, saw_for_decision
from tests.sync.one_row import (
    ADMIN,
    DOOR,
    LATE_AT,
    MINUTE,
    NINE,
    OTHER_TEACHER,
    SESSION,
    TAKER,
    TEACHER,
    at,
    entry,
    event,
    folded,
    out,
    says,
    scan,
    stamped,
    undo,
)

# -- check-ins -------------------------------------------------------------------------------------


def test_nobody_came():
    assert folded() == Attendance("class", "ann")


def test_one_check_in_on_time():
    assert folded(scan("c", "a/1", 0)) == Attendance(
        "class", "ann", Status.PRESENT, Presence.INSIDE, at(0), method="finger", device="a"
    )


def test_check_in_after_the_late_limit():
    row = folded(scan("c", "a/1", 11))
    assert (row.status, row.flags) == (Status.LATE, ())


def test_check_in_at_the_very_limit_is_on_time():
    assert folded(scan("c", "a/1", 10, width=0)).status is Status.PRESENT
    assert folded(scan("c", "a/1", 10, width=0)).flags == ()
    one_later = Entry(scan("c", "a/1", 10).event, LATE_AT + 1, LATE_AT + 1)
    assert folded(one_later).status is Status.LATE


def test_late_limit_inside_the_interval_is_benefit_of_the_doubt():
    row = folded(scan("c", "a/1", 5, width=20 * MINUTE))
    assert (row.status, row.flags) == (Status.PRESENT, (Flag.TIME_UNCERTAIN,))


def test_an_interval_that_begins_at_the_very_limit_is_still_benefit_of_the_doubt():
    row = folded(scan("c", "a/1", 10, width=1))
    assert (row.status, row.flags) == (Status.PRESENT, (Flag.TIME_UNCERTAIN,))


def test_nobody_is_late_in_an_unknown_session():
    row = folded(scan("c", "a/1", 50), session=None)
    assert (row.session, row.status, row.flags) == ("class", Status.PRESENT, ())


def test_two_kiosks_make_one_attendance_with_the_earliest_of_both_bounds():
    wide = scan("w", "a/1", -30, width=60 * MINUTE, data={"method": "badge"})
    exact = scan("x", "b/1", 5)
    row = folded(exact, wide, exact)
    assert row.arrival == (wide.low, exact.high)
    # Midpoints: the wide one stands at nine, the exact one five minutes later.
    assert (row.method, row.device) == ("badge", "a")


def test_the_earliest_check_in_is_the_one_with_the_earliest_middle():
    vague = scan("v", "a/1", -10, width=60 * MINUTE, data={"method": "badge"})
    row = folded(vague, scan("x", "b/1", 5))
    assert (row.method, row.device) == ("finger", "b")
    assert folded(vague, out("o", "b/2", 5)).presence is Presence.INSIDE


def test_the_earliest_check_in_follows_kseq_and_not_a_clock_that_jumped_back():
    first = scan("first", "a/1", 8, data={"method": "badge"})
    jumped = scan("jumped", "a/2", -60, data={"method": "code"})
    assert folded(jumped, first).method == "badge"


def test_malformed_data_of_a_check_in_never_loses_it():
    odd = scan("c", "a/1", 0, data={"method": ["?"], "direction": {"no": 1}})
    row = folded(odd)
    assert (row.status, row.presence, row.method) == (Status.PRESENT, Presence.INSIDE, "")


# -- overrides against evidence --------------------------------------------------------------------


def test_override_without_any_check_in():
    row = folded(says("o", "t/1", "excused"))
    assert row == Attendance("class", "ann", Status.EXCUSED, winner="o", method="staff")


@pytest.mark.parametrize("status", ["present", "late", "excused"])
@pytest.mark.parametrize("saw", [(), ("c",)])
def test_a_kind_override_stays_whatever_is_scanned_and_is_filled_from_it(status, saw):
    row = folded(scan("c", "a/1", 11), says("o", "t/1", status, saw), out("x", "a/2", 50))
    assert (row.status, row.flags, row.winner) == (Status(status), (), "o")
    assert (row.arrival, row.departure) == (at(11), at(50))


def test_times_given_in_an_override_replace_the_folded_ones():
    given = says("o", "t/1", "present", ("c",), arrival=NINE + 7, departure=NINE + 9)
    row = folded(scan("c", "a/1", 30), given)
    assert (row.arrival, row.departure) == ((NINE + 7, NINE + 7), (NINE + 9, NINE + 9))
    assert row.presence is Presence.INSIDE


def test_absent_that_knew_the_scan_stands():
    row = folded(scan("c", "a/1", 0), says("o", "t/1", "absent", ("c",)))
    assert (row.status, row.flags, row.arrival, row.departure) == (Status.ABSENT, (), None, None)
    assert row.presence is Presence.INSIDE


def test_absent_knew_the_scan_that_its_own_kiosk_had_written_before_it():
    assert folded(scan("c", "a/1", 0), says("o", "a/2", "absent")).status is Status.ABSENT


def test_an_incarnation_knows_nothing_of_another_one_of_its_device():
    row = folded(scan("c", "a.i1/1", 0), says("o", "a.i2/2", "absent"))
    assert (row.status, row.flags) == (Status.PRESENT, (Flag.SCAN_UNSEEN,))


def test_absent_concurrent_with_a_scan_is_provisionally_present():
    row = folded(scan("c", "a/1", 0), says("o", "t/1", "absent"))
    assert (row.status, row.flags, row.winner) == (Status.PRESENT, (Flag.SCAN_UNSEEN,), "o")
    assert row.arrival == at(0)


def test_absent_concurrent_with_a_scan_late_by_time():
    assert folded(scan("c", "a/1", 20), says("o", "t/1", "absent")).status is Status.LATE


def test_a_scan_that_knew_of_the_absence_is_an_arrival_after_it():
    row = folded(says("o", "t/1", "absent"), scan("c", "a/1", 12, saw=["o"]))
    assert (row.status, row.flags) == (Status.LATE, (Flag.ARRIVED_AFTER_ABSENT,))


def test_what_the_absence_refuted_does_not_make_a_later_arrival_on_time():
    refuted = scan("c1", "a/1", 0, data={"method": "badge"})
    absent = says("o", "t/1", "absent", ("c1",), minute=5)
    row = folded(refuted, absent, scan("c2", "b/1", 20, saw=["o"]))
    assert (row.status, row.flags) == (Status.LATE, (Flag.ARRIVED_AFTER_ABSENT,))
    assert (row.arrival, row.method, row.device) == (at(20), "finger", "b")


def test_each_scan_is_tested_on_its_own():
    row = folded(says("o", "t/1", "absent"), scan("c1", "a/1", 1), scan("c2", "b/1", 2, saw=["o"]))
    assert row.flags == (Flag.ARRIVED_AFTER_ABSENT, Flag.SCAN_UNSEEN)


def test_absent_after_a_second_look_settles_the_unseen_scan():
    history = [scan("c", "a/1", 0), says("o1", "t/1", "absent")]
    again = says("o2", "t/2", "absent", saw_for_decision(history))
    row = folded(*history, again)
    assert (row.status, row.flags, row.winner) == (Status.ABSENT, (), "o2")


def test_knowledge_reaches_through_a_decision_that_was_taken_back():
    row = folded(
        scan("c", "a/1", 0),
        says("o1", "t/1", "present", ("c",)),
        undo("u", "t/2", "o1", ("c", "o1")),
        says("o2", "s/1", "absent", ("o1",), by=OTHER_TEACHER),
    )
    assert (row.status, row.winner) == (Status.ABSENT, "o2")


def test_partial_knowledge_counts_for_what_it_covers_only():
    row = folded(
        scan("seen", "a/1", 0), scan("unseen", "b/1", 3), says("o", "t/1", "absent", ("seen",))
    )
    assert (row.status, row.flags, row.arrival) == (Status.PRESENT, (Flag.SCAN_UNSEEN,), at(3))


# -- several heads ---------------------------------------------------------------------------------


def test_the_later_decision_wins_however_mild_the_earlier_was():
    row = folded(says("o1", "t/1", "present"), says("o2", "s/1", "excused", ("o1",)))
    assert (row.status, row.flags) == (Status.EXCUSED, ())


def test_a_lower_rank_that_knew_a_higher_one_replaces_it():
    row = folded(
        says("o1", "t/1", "present", by=ADMIN), says("o2", "s/1", "late", ("o1",), by=TAKER)
    )
    assert (row.status, row.winner, row.flags) == (Status.LATE, "o2", ())


def test_concurrent_decisions_that_agree_need_nobody():
    row = folded(says("o1", "t/1", "late", by=ADMIN), says("o2", "s/1", "late", by=TAKER))
    assert (row.status, row.winner, row.flags) == (Status.LATE, "o1", ())


def test_concurrent_decisions_of_different_rank():
    row = folded(says("o1", "t/1", "absent", by=ADMIN), says("o2", "s/1", "present"))
    assert (row.status, row.winner, row.flags) == (Status.ABSENT, "o1", (Flag.OUTRANKED,))


@pytest.mark.parametrize(
    ("one", "other", "wins"),
    [
        ("present", "late", "present"),
        ("excused", "late", "late"),
        ("absent", "excused", "excused"),
        ("absent", "present", "present"),
    ],
)
def test_concurrent_decisions_of_one_rank_go_to_the_least_destructive(one, other, wins):
    row = folded(says("o1", "t/1", one), says("o2", "s/1", other, by=OTHER_TEACHER))
    assert (row.status, row.flags) == (Status(wins), (Flag.DISAGREE,))


def test_equal_heads_tie_by_the_greatest_id():
    row = folded(
        says("o1", "t/1", "present", arrival=NINE + 1),
        says("o2", "s/1", "present", arrival=NINE + 2),
    )
    assert (row.winner, row.arrival, row.flags) == ("o2", (NINE + 2, NINE + 2), ())


def test_disagreement_at_the_top_and_somebody_outranked():
    row = folded(
        says("o1", "t/1", "absent", by=ADMIN),
        says("o2", "s/1", "late", by=ADMIN),
        says("o3", "r/1", "present"),
    )
    assert (row.status, row.flags) == (Status.LATE, (Flag.OUTRANKED, Flag.DISAGREE))


def test_the_rank_at_acceptance_counts_and_not_the_one_that_was_claimed():
    claimed = stamped(says("o1", "t/1", "absent", by=ADMIN), rank=1)
    row = folded(claimed, stamped(says("o2", "s/1", "excused")))
    assert (row.winner, row.flags) == ("o2", (Flag.OUTRANKED,))


def test_decisions_forged_to_know_each_other_still_yield_one():
    row = folded(says("o1", "t/1", "late", ("o2",)), says("o2", "s/1", "absent", ("o1", "o2")))
    assert (row.status, row.winner) == (Status.LATE, "o1")


# -- taking back -----------------------------------------------------------------------------------


def test_undoing_an_override_revives_the_one_it_replaced():
    history = [
        says("o1", "t/1", "excused"),
        says("o2", "t/2", "absent", ("o1",)),
        undo("u", "t/3", "o2", ("o1", "o2")),
    ]
    assert folded(*history).status is Status.EXCUSED
    assert folded(*history).winner == "o1"


def test_a_retract_that_arrives_before_its_target():
    fold = Fold({"class": SESSION})
    fold.apply(undo("u", "t/2", "o", ("o",)))
    assert fold.row("class", "ann").status is Status.EXPECTED
    fold.apply(says("o", "t/1", "absent"))
    assert fold.row("class", "ann") == Attendance("class", "ann")


def test_the_doors_own_undo():
    row = folded(scan("c", "a/1", 0), undo("u", "a/2", "c", by=DOOR))
    assert row == Attendance("class", "ann")


def test_a_door_may_not_undo_what_another_door_wrote():
    row = folded(scan("c", "a/1", 0), undo("u", "b/1", "c", by=DOOR))
    assert row.status is Status.PRESENT


def test_a_door_may_not_undo_after_its_disk_was_cloned():
    row = folded(scan("c", "a.i1/1", 0), undo("u", "a.i2/2", "c", by=DOOR))
    assert row.status is Status.PRESENT


def test_a_door_may_not_undo_a_decision_made_on_its_own_kiosk():
    assert folded(says("o", "a/1", "absent"), undo("u", "a/2", "o", by=DOOR)).winner == "o"


def test_staff_may_undo_a_check_in_anywhere():
    row = folded(scan("c", "a/1", 0), undo("u", "t/1", "c", by=TAKER))
    assert row.status is Status.EXPECTED


def test_a_lower_rank_may_not_undo_a_higher_one_and_an_equal_may():
    decision = says("o", "t/1", "absent", by=TEACHER)
    assert folded(decision, undo("u", "s/1", "o", by=TAKER)).winner == "o"
    assert folded(decision, undo("u", "s/1", "o", by=OTHER_TEACHER)).winner is None
    assert folded(decision, undo("u", "s/1", "o", by=ADMIN)).winner is None


def test_staff_may_undo_their_own_after_they_lost_their_rank():
    demoted = Author("staff", "ines", 1)
    assert folded(says("o", "t/1", "absent"), undo("u", "t/2", "o", by=demoted)).winner is None


def test_one_valid_retract_among_invalid_ones_suffices():
    row = folded(
        says("o", "t/1", "absent", by=TEACHER),
        undo("u1", "s/1", "o", by=TAKER),
        undo("u2", "r/1", "o", by=ADMIN),
    )
    assert row.winner is None


def test_a_retract_cannot_be_retracted():
    row = folded(
        says("o", "t/1", "absent"), undo("u", "t/2", "o"), undo("uu", "t/3", "u", by=ADMIN)
    )
    assert row.winner is None


def test_a_retract_reaches_no_other_row():
    elsewhere = entry(
        event("u", Kind.RETRACT, "t/2", data={"target": "c"}, by=ADMIN, person="bob"), 1
    )
    fold = Fold({"class": SESSION})
    fold.apply(scan("c", "a/1", 0))
    fold.apply(elsewhere)
    assert fold.row("class", "ann").status is Status.PRESENT


def test_a_quarantined_retract_takes_nothing_back():
    row = folded(scan("c", "a/1", 0), stamped(undo("u", "t/1", "c"), "quarantined"))
    assert row.status is Status.PRESENT


# -- what does not count ---------------------------------------------------------------------------


def test_quarantined_events_are_left_out():
    row = folded(
        stamped(scan("c", "a/1", 0), "quarantined"),
        stamped(says("o", "t/1", "absent"), "quarantined"),
    )
    assert row == Attendance("class", "ann")


def test_knowledge_does_not_pass_through_quarantine():
    forged = stamped(says("q", "x/1", "late", ("c",)), "quarantined")
    row = folded(scan("c", "a/1", 0), forged, says("o", "t/1", "absent", ("q",)))
    assert (row.status, row.flags) == (Status.PRESENT, (Flag.SCAN_UNSEEN,))


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"status": "elsewhere"},
        {"status": "expected"},
        {"status": ["absent"]},
        {"status": None},
        {"status": "absent", "arrival": "09:00"},
        {"status": "absent", "arrival": True},
        {"status": "absent", "departure": 1.5},
    ],
)
def test_an_override_that_is_not_understood_decides_nothing(data):
    odd = entry(event("o", Kind.OVERRIDE, "t/1", data=data, by=ADMIN), 5)
    row = folded(scan("c", "a/1", 0), odd)
    assert (row.status, row.winner, row.flags) == (Status.PRESENT, None, ())


def test_what_was_seen_by_an_override_that_is_not_understood_still_counts_as_seen():
    newer = entry(event("n", Kind.OVERRIDE, "s/1", data={"status": "remote"}, saw=("c",)), 5)
    row = folded(scan("c", "a/1", 0), newer, says("o", "t/1", "absent", ("n",)))
    assert row.status is Status.ABSENT


@pytest.mark.parametrize("target", [None, 7, ["c"], {}, "nowhere", "u"])
def test_a_retract_that_is_not_understood_takes_nothing_back(target):
    row = folded(scan("c", "a/1", 0), undo("u", "t/1", target, by=ADMIN))
    assert row.status is Status.PRESENT


def test_other_kinds_are_passed_over():
    noise = entry(event("n", "teleported", "a/2", data={"status": "absent"}, by=ADMIN), 1)
    closing = entry(event("x", Kind.SESSION_CLOSED, "a/3", by=ADMIN), 2)
    assert folded(scan("c", "a/1", 0), noise, closing) == folded(scan("c", "a/1", 0))
    assert Fold().apply(noise) is None
