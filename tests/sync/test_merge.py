"""Histories of one row, each worked out by hand: what happened, and what the row must then say."""

from __future__ import annotations

import pytest

from kiosk.model import (
    Attendance,
    Author,
    Entry,
    Envelope,
    Event,
    Flag,
    Kind,
    Presence,
    Session,
    Status,
)
from sync.causality import Causality
from sync.merge import Fold, fold_row, saw_for_decision, saw_for_scan

MINUTE = 60 * 1_000_000_000
NINE = 1_767_000_000_000_000_000
LATE_AT = NINE + 10 * MINUTE
SLACK = MINUTE // 100

SESSION = Session("class", "Yoga", "Europe/London", NINE, NINE + 60 * MINUTE, late_at=LATE_AT)
TAKER, TEACHER, ADMIN = (
    Author("staff", "tess", 1),
    Author("staff", "ines", 2),
    Author("staff", "ada", 3),
)
OTHER_TEACHER = Author("staff", "olu", 2)
DOOR = Author()


def event(name, kind, where, *, data=None, saw=(), by=DOOR, session="class", person="ann"):
    """An event of `where`, written as device/kseq or device.incarnation/kseq."""
    line, kseq = where.split("/")
    device, _, incarnation = line.partition(".")
    return Event(
        id=name,
        device=device,
        incarnation=incarnation or "i1",
        kseq=int(kseq),
        kind=kind,
        org="org",
        room=f"org/org/session/{session}",
        wall=0,
        zone="UTC",
        boot="boot",
        ticks=0,
        synced=False,
        session=session,
        person=person,
        by=by,
        saw=tuple(saw),
        data=data or {},
    )


def entry(made, minute, width=SLACK, envelope=None):
    """The event in the interval of `width` that starts `minute` after nine."""
    low = NINE + int(minute * MINUTE)
    return Entry(made, low, low + width, envelope)


def scan(name, where, minute, width=SLACK, **more):
    data = {"method": "finger"} | more.pop("data", {})
    return entry(event(name, Kind.CHECK_IN, where, data=data, **more), minute, width)


def out(name, where, minute, width=SLACK, **more):
    return entry(event(name, Kind.CHECK_OUT, where, **more), minute, width)


def says(name, where, status, saw=(), by=TEACHER, minute=30, **data):
    made = event(name, Kind.OVERRIDE, where, data={"status": status} | data, saw=saw, by=by)
    return entry(made, minute)


def undo(name, where, target, saw=(), by=TEACHER):
    return entry(event(name, Kind.RETRACT, where, data={"target": target}, saw=saw, by=by), 40)


def stamped(plain, verdict="accepted", received=0, low=None, high=None, rank=None):
    """The entry as the hub sends it back."""
    low = plain.low if low is None else low
    high = plain.high if high is None else high
    rank = plain.event.by.rank if rank is None else rank
    envelope = Envelope("epoch", received, NINE + received, low, high, verdict, "", rank)
    return Entry(plain.event, low, high, envelope)


def folded(*entries, session=SESSION):
    """The row, which the incremental fold must give as well, forwards and backwards."""
    row = fold_row(session, "ann", entries, "class")
    for order in (entries, entries[::-1]):
        fold = Fold({session.id: session} if session else {})
        for each in order:
            fold.apply(each)
        if entries:
            assert fold.row("class", "ann") == row
    return row


def at(minute, width=SLACK):
    low = NINE + int(minute * MINUTE)
    return (low, low + width)


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


# -- presence --------------------------------------------------------------------------------------


def test_excused_who_came_in_is_inside():
    row = folded(says("o", "t/1", "excused"), scan("c", "a/1", 3, saw=["o"]))
    assert (row.status, row.presence) == (Status.EXCUSED, Presence.INSIDE)


def test_out_and_in_again():
    history = [scan("c1", "a/1", 0), out("x", "a/2", 20)]
    left = folded(*history)
    assert (left.presence, left.departure) == (Presence.LEFT, at(20))
    back = folded(*history, scan("c2", "a/3", 30))
    assert (back.presence, back.departure, back.arrival) == (Presence.INSIDE, None, at(0))


def test_a_check_out_on_its_own_leaves_but_never_arrived():
    row = folded(out("x", "a/1", 20))
    assert (row.status, row.presence, row.departure) == (Status.EXPECTED, Presence.LEFT, at(20))


def test_two_check_outs_depart_with_the_later_one():
    row = folded(scan("c", "a/1", 0), out("x1", "a/2", 20), out("x2", "b/1", 25))
    assert row.departure == at(25)


def test_a_check_out_that_may_have_come_first_leaves_them_inside():
    row = folded(scan("c", "a/1", 0, width=40 * MINUTE), out("x", "b/1", 30))
    assert (row.presence, row.departure) == (Presence.INSIDE, None)


def test_in_and_out_at_one_instant_on_two_kiosks_is_inside():
    row = folded(scan("c", "a/1", 5, width=0), out("x", "b/1", 5, width=0))
    assert row.presence is Presence.INSIDE
    row = folded(scan("c", "a/1", 5, width=0), out("x", "a/2", 5, width=0))
    assert row.presence is Presence.LEFT


def test_one_kiosk_orders_its_own_whatever_its_intervals():
    row = folded(scan("c", "a/1", 0, width=40 * MINUTE), out("x", "a/2", -5, width=40 * MINUTE))
    assert row.presence is Presence.LEFT


def test_a_check_in_that_knew_the_check_out_came_after_it_whatever_the_clocks_say():
    row = folded(
        out("x", "a/1", 30),
        says("o", "t/1", "excused", ("x",)),
        scan("c", "b/1", 0, saw=["o"]),
    )
    assert row.presence is Presence.INSIDE


def toggle(name, where, minute, **more):
    return scan(name, where, minute, data={"direction": "auto"}, **more)


def test_an_automatic_door_toggles():
    passes = [toggle(f"p{n}", f"a/{n}", n) for n in range(1, 5)]
    wanted = [Presence.INSIDE, Presence.LEFT, Presence.INSIDE, Presence.LEFT]
    assert [folded(*passes[:n]).presence for n in range(1, 5)] == wanted
    assert folded(*passes).departure == at(4)
    assert folded(*passes).arrival == at(1)


def test_an_automatic_door_after_a_plain_check_in_and_a_plain_check_out():
    history = [scan("c", "a/1", 0), toggle("p1", "b/1", 10)]
    assert folded(*history).presence is Presence.LEFT
    history += [toggle("p2", "b/2", 20), out("x", "a/2", 30)]
    assert folded(*history).presence is Presence.LEFT
    assert folded(*history, toggle("p3", "b/3", 40)).presence is Presence.INSIDE


def test_a_retracted_check_in_is_nowhere():
    row = folded(scan("c", "a/1", 0), undo("u", "a/2", "c", by=DOOR), out("x", "a/3", 5))
    assert (row.status, row.presence) == (Status.EXPECTED, Presence.LEFT)


# -- envelopes -------------------------------------------------------------------------------------


def test_the_envelope_replaces_the_kiosks_own_guess_in_either_order():
    guess = scan("c", "a/1", 40)
    sure = stamped(guess, low=NINE, high=NINE + 5)
    assert folded(guess, sure).arrival == (NINE, NINE + 5)
    assert folded(guess, sure).status is Status.PRESENT


def test_a_later_guess_replaces_an_earlier_one():
    guess, better = scan("c", "a/1", 40), scan("c", "a/1", 2)
    assert fold_row(SESSION, "ann", [guess, better]).arrival == at(2)


def test_two_envelopes_of_a_restored_hub_intersect():
    plain = scan("c", "a/1", 0)
    first = stamped(plain, low=NINE, high=NINE + 50)
    second = stamped(plain, received=9, low=NINE + 20, high=NINE + 90)
    row = folded(first, second)
    assert (row.arrival, row.flags) == ((NINE + 20, NINE + 50), ())


def test_two_envelopes_with_nothing_in_common_give_their_hull_and_say_so():
    plain = scan("c", "a/1", 0)
    first = stamped(plain, low=NINE, high=NINE + 10)
    second = stamped(plain, received=9, low=NINE + 70, high=NINE + 90)
    row = folded(first, second)
    assert (row.arrival, row.flags) == ((NINE, NINE + 90), (Flag.TIME_UNCERTAIN,))


def test_the_verdict_received_last_holds():
    plain = scan("c", "a/1", 0)
    first, second = stamped(plain), stamped(plain, "quarantined", received=9)
    assert folded(first, second).status is Status.EXPECTED


# -- what decisions and scans carry ----------------------------------------------------------------


def test_a_decision_carries_the_ids_of_all_it_was_made_in_sight_of():
    history = [scan("c2", "a/1", 0), scan("c1", "b/1", 0), stamped(scan("c1", "b/1", 0))]
    assert saw_for_decision(history) == ("c1", "c2")
    assert saw_for_decision([]) == ()


def test_a_scan_carries_the_winning_decision():
    assert saw_for_scan(folded(says("o", "t/1", "absent"))) == ("o",)
    assert saw_for_scan(folded(scan("c", "a/1", 0))) == ()
    assert saw_for_scan(None) == ()


def test_knowing_is_by_saw_and_by_one_devices_own_count():
    a = event("a", Kind.CHECK_IN, "k/1")
    b = event("b", Kind.CHECK_IN, "k/2")
    c = event("c", Kind.OVERRIDE, "t/1", saw=("b",))
    d = event("d", Kind.OVERRIDE, "s/1", saw=("c",))
    knew = Causality([a, b, c, d]).knew
    assert knew(b, a)
    assert not knew(a, b)
    assert knew(d, b)
    assert not knew(b, d)
    # Only `saw` is followed: what the kiosk of `b` had written earlier was not shown to `d`.
    assert not knew(d, a)


# -- the incremental fold --------------------------------------------------------------------------


def test_apply_names_the_row_that_learned_something():
    fold = Fold()
    first = scan("c", "a/1", 0)
    assert fold.apply(first) == ("class", "ann")
    assert fold.apply(first) is None
    assert fold.apply(stamped(first)) == ("class", "ann")
    assert fold.apply(stamped(first)) is None
    assert fold.apply(first) is None
    assert fold.apply(scan("d", "a/2", 0, session=None)) is None
    assert fold.apply(scan("e", "a/3", 0, person=None)) is None
    assert fold.row("class", "bob") is None
    assert dict(fold.rows) == {("class", "ann"): fold.row("class", "ann")}


def test_a_session_that_becomes_known_later_refolds_its_rows():
    fold = Fold()
    fold.apply(scan("c", "a/1", 11))
    assert fold.row("class", "ann").status is Status.PRESENT
    fold.sessions = {"class": SESSION}
    assert fold.rows["class", "ann"].status is Status.LATE
    assert fold.sessions["class"] == SESSION
    fold.sessions = {}
    assert fold.row("class", "ann").status is Status.PRESENT
