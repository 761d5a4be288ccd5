"""Histories of a site, worked out by hand: who is who, policy, places, clocks and clones."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from kiosk.model import Flag, Human, Policy, Presence, ReviewItem, Session, Status
from sync.merge import (
    Names,
    Terms,
    explain,
    fold_row,
    session_state,
    terms_for,
)
from tests.sync.histories import (
    DOOR,
    HUB,
    LATE,
    MINUTE,
    NAMES,
    NINE,
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


# -- who is who ------------------------------------------------------------------------------------


def test_a_person_merged_while_checked_in_is_one_who_is_inside(log):
    log.scan("c1", "a", 0, person="ann-2")
    log.scan("c2", "b", 5)
    log.merged("m", "ann-2", "ann")
    state = told(log)
    assert state.aliases == {"ann-2": "ann"}
    assert [(row.person, row.arrival) for row in state.rows.values()] == [("ann", at(0))]
    assert words(state) == []


def test_an_absence_of_the_one_id_did_not_know_a_scan_of_the_other(log):
    log.says("o", "t", "absent")
    log.scan("c", "a", 0, person="ann-2")
    log.merged("m", "ann-2", "ann")
    assert ann(told(log)).flags == (Flag.SCAN_UNSEEN,)


def test_merges_in_a_chain_and_in_a_ring(log):
    log.scan("c", "a", 0, person="x")
    log.merged("m1", "x", "y")
    log.merged("m2", "y", "ann")
    assert told(log).aliases == {"x": "ann", "y": "ann"}
    log.merged("m3", "ann", "x")
    state = told(log)
    assert state.aliases == {"x": "ann", "y": "ann"}
    assert [row.person for row in state.rows.values()] == ["ann"]


def test_a_merge_taken_back_parts_them_again(log):
    log.scan("c1", "a", 0, person="bob")
    log.scan("c2", "b", 5)
    log.merged("m1", "bob", "ann")
    assert told(log).rows.keys() == {("class", "ann")}
    log.merged("m2", "bob", None, rev=2)
    state = told(log)
    assert (ann(state).arrival, bob(state).arrival) == (at(5), at(0))


def test_a_merged_person_on_the_roster_is_absent_once(log):
    log.merged("m", "bob", "ann")
    log.closed("x", "a", 60)
    assert [row.person for row in told(log).rows.values()] == ["ann"]


def test_somebody_nobody_knows_is_let_in_and_asked_about(log):
    log.scan("c", "a", 0, person="zoe")
    state = told(log)
    assert state.rows["class", "zoe"].status is Status.PRESENT
    assert words(state) == [
        "Somebody with the id zoe came to Yoga and is not in the directory. The entry is kept."
    ]
    log.record("d-zoe", "person", "zoe", 1, {"id": "zoe", "first_name": "Zoe"})
    assert told(log).waiting == []


def test_a_session_nobody_knows_takes_check_ins_and_is_asked_about(log):
    log.scan("c", "a", 90, session="secret")
    state = told(log)
    assert state.rows["secret", "ann"].status is Status.PRESENT
    assert words(state) == [
        (
            "1 person came to a session with the id secret that is not known here."
            " The entries are kept."
        )
    ]


def test_a_session_opened_at_a_door_is_known_until_the_hub_says_otherwise():
    log = Log()
    opened = {"id": "class", "title": "Yoga", "zone": "UTC", "starts": NINE, "ends": NINE + 1}
    log.write("s", "session_opened", "a", person=None, **opened, late_at=NINE)
    log.scan("c", "a", 5)
    assert ann(told(log)).status is Status.LATE
    log.record("d", "session", "class", 0, opened | {"late_at": None})
    assert ann(told(log)).status is Status.PRESENT


def test_a_visitor_walks_in_is_counted_and_leaves(log):
    log.write("v", "visitor", "a", 3, person="v-1", name="Vera")
    state = told(log)
    row = state.rows["class", "v-1"]
    assert (row.status, row.presence, row.method) == (Status.PRESENT, Presence.INSIDE, "visitor")
    assert (state.people["v-1"].first_name, state.people["v-1"].kind) == ("Vera", "visitor")
    assert words(state) == []
    log.out("x", "b", 30, person="v-1")
    assert told(log).rows["class", "v-1"].presence is Presence.LEFT


def test_a_visitor_who_turns_out_to_be_a_member(log):
    log.write("v", "visitor", "a", 3, person="v-1", name="Vera")
    log.merged("m", "v-1", "ann")
    row = ann(told(log))
    assert (row.status, row.method) == (Status.PRESENT, "visitor")


# -- policy ----------------------------------------------------------------------------------------


def test_a_policy_moves_the_late_limit_for_all_also_for_the_past(log):
    log.scan("c", "a", 12)
    assert ann(told(log)).status is Status.LATE
    log.record("p1", "policy", "site", 1, {"late_after": 10, "grace": 3})
    assert ann(told(log)).status is Status.PRESENT
    log.record("p2", "policy", "site", 2, {"late_after": 5})
    assert ann(told(log)).status is Status.LATE


def test_a_sessions_own_policy_stands_in_place_of_the_sites(log):
    log.scan("c", "a", 12)
    log.record("p1", "policy", "site", 1, {"late_after": 30})
    log.record("p2", "policy", "class", 1, {"late_after": 11})
    assert ann(told(log)).status is Status.LATE


def test_the_highest_rev_of_a_policy_wins_then_the_greatest_id(log):
    log.scan("c", "a", 12)
    log.record("p9", "policy", "site", 4, {"late_after": 1})
    log.record("p1", "policy", "site", 5, {"late_after": 1})
    log.record("p2", "policy", "site", 5, {"late_after": 40})
    assert ann(told(log)).status is Status.PRESENT


def test_a_policy_that_cannot_be_read_leaves_the_one_before(log):
    log.scan("c", "a", 12)
    log.record("p1", "policy", "site", 1, {"late_after": 30})
    log.record("p2", "policy", "site", 2, {"late_after": "soon"})
    assert ann(told(log)).status is Status.PRESENT


def test_more_people_inside_than_the_policy_allows(log):
    log.record("p", "policy", "class", 1, {"capacity": 1})
    log.scan("c1", "a", 0)
    assert told(log).waiting == []
    log.scan("c2", "a", 1, person="bob")
    state = told(log)
    assert state.sessions["class"].capacity == 1
    assert words(state) == ["2 people are inside in Yoga; the limit is 1."]
    log.out("x", "a", 5)
    assert told(log).items == {}


# -- two places ------------------------------------------------------------------------------------


@pytest.fixture
def campus(log):
    log.record("k-a", "device", "a", 1, {"place": "gym", "travel": {"pool": 20}})
    log.record("k-b", "device", "b", 1, {"place": "gym"})
    log.record("k-c", "device", "c", 1, {"place": "pool"})
    return log


def test_two_places_too_far_apart_to_be_true(campus):
    campus.scan("c1", "a", 0)
    campus.scan("c2", "c", 15)
    state = told(campus)
    assert (ann(state).status, ann(state).flags) == (Status.PRESENT, (Flag.TWO_PLACES,))
    assert (state.waiting[0].human, state.waiting[0].ids) == (Human.YES, ("c1", "c2"))
    assert words(state) == [
        (
            f"Ann A. was seen between 09:00 {ON_THE_DAY} and 09:15 {ON_THE_DAY} at Front door and"
            " Pool, which are too far apart for that. At one of them it may have been somebody"
            " else."
        )
    ]


def test_two_places_in_two_sessions_are_asked_about_once_and_alter_no_row(campus):
    campus.scan("c1", "a", 0)
    campus.scan("c2", "c", 15, session="other")
    state = told(campus)
    assert ann(state).flags == ()
    (item,) = [one for one in state.waiting if one.kind == Flag.TWO_PLACES]
    assert (item.session, item.people, item.ids) == ("", ("ann",), ("c1", "c2"))
    assert explain(item, NAMES) == (
        f"Ann A. was seen between 09:00 {ON_THE_DAY} and 09:15 {ON_THE_DAY} at Front door and Pool,"
        " in Yoga and other; they are too far apart for that. At one of them it may have been"
        " somebody else."
    )
    campus.undo("u", "c", "c2", session="other")
    assert [one for one in told(campus).waiting if one.kind == Flag.TWO_PLACES] == []


def test_time_enough_between_two_sessions_or_one_place_of_both(campus):
    campus.scan("c1", "a", 0)
    campus.scan("c2", "c", 20, session="other")
    campus.scan("c3", "b", 0, session="third")
    assert [one for one in told(campus).waiting if one.kind == Flag.TWO_PLACES] == []


def test_time_enough_between_two_places(campus):
    campus.scan("c1", "a", 0)
    campus.scan("c2", "c", 20)
    assert ann(told(campus)).flags == ()


def test_an_uncertain_clock_speaks_for_the_person(campus):
    campus.scan("c1", "a", 0)
    campus.scan("c2", "c", 5, width=16)
    assert ann(told(campus)).flags == ()


def test_two_kiosks_of_one_place_are_never_too_far_apart(campus):
    campus.record("p", "policy", "site", 1, {"travel": 60})
    campus.scan("c1", "a", 0)
    campus.scan("c2", "b", 0)
    assert ann(told(campus)).flags == ()


def test_a_policy_says_how_long_the_way_is_at_least(campus):
    campus.record("k-d", "device", "d", 1, {"place": "annexe"})
    campus.record("p", "policy", "site", 1, {"travel": 5})
    campus.scan("c1", "b", 0)
    campus.scan("c2", "d", 4)
    assert ann(told(campus)).flags == (Flag.TWO_PLACES,)


def test_a_check_in_taken_back_was_nowhere(campus):
    campus.scan("c1", "a", 0)
    campus.scan("c2", "c", 5)
    campus.undo("u", "c", "c2", by=DOOR)
    assert ann(told(campus)).flags == ()


def test_a_kiosk_whose_place_is_not_known_is_never_too_far(campus):
    campus.record("p", "policy", "site", 1, {"travel": 60})
    campus.scan("c1", "a", 0)
    campus.scan("c2", "elsewhere", 0)
    assert ann(told(campus)).flags == ()


# -- clocks, restores and clones -------------------------------------------------------------------


def test_a_kiosk_that_did_not_know_the_time_is_one_item_for_all_who_came(log):
    log.scan("c1", "a", -50, width=90)
    log.scan("c2", "a", -49, width=90, person="bob")
    state = told(log)
    assert (ann(state).status, ann(state).flags) == (Status.PRESENT, (Flag.TIME_UNCERTAIN,))
    assert (state.waiting[0].human, state.waiting[0].people) == (Human.BATCH, ("ann", "bob"))
    assert words(state) == [
        (
            f"Front door was not sure of the time (between 08:10 {ON_THE_DAY} and"
            f" 09:41 {ON_THE_DAY}) when 2 people came in; whether that was before 09:10"
            f" {ON_THE_DAY} is not known. They have the benefit of the doubt."
        )
    ]


def test_two_restores_with_renumbered_envelopes_alter_nothing(log):
    log.scan("c", "a", 2)
    log.says("o", "t", "absent")
    before = told(log)
    first = list(log.entries)
    for epoch in ("second", "third"):
        for n, entry in enumerate(reversed(first)):
            log.entries.append(restamped(entry, epoch, 1000 + n))
    after = told(log)
    assert (after.rows, after.items) == (before.rows, before.items)


def restamped(entry, epoch, offset):
    stamp = replace(entry.envelope, epoch=epoch, offset=offset, received=NINE + offset)
    return replace(entry, envelope=stamp)


def test_two_restores_that_contradict_each_other_about_the_time_say_so(log):
    entry = log.scan("c", "a", 0)
    low = NINE + 5 * MINUTE
    stamp = replace(entry.envelope, epoch="second", received=NINE + 99, low=low, high=low)
    log.entries.append(replace(entry, low=low, high=low, envelope=stamp))
    state = told(log)
    assert (ann(state).arrival, ann(state).flags) == (at(0, 5), (Flag.TIME_UNCERTAIN,))
    assert words(state) == [
        (
            "The hub gave two times for what Front door recorded of 1 person, and they exclude each"
            f" other: between 09:00 {ON_THE_DAY} and 09:05 {ON_THE_DAY}."
        )
    ]


def test_a_cloned_disk_lets_people_in_and_decides_nothing(log):
    log.scan("c0", "a", 0, kseq=1)
    log.scan("c1", "a", 1, person="bob", kseq=2)
    log.says("o1", "a", "absent", "c0", kseq=2)
    log.says("o2", "a", "excused", "c0", person="bob", kseq=3)
    state = told(log)
    assert (ann(state).status, ann(state).flags) == (Status.PRESENT, ())
    assert (bob(state).status, bob(state).flags) == (Status.PRESENT, (Flag.FORKED,))
    assert words(state) == [
        (
            "An entry of Front door about Ann A. (decision, by Ines) was set apart: two disks write"
            " in the name of its device. It is kept and does not count."
        ),
        (
            "An entry of Front door about Bob B. (decision, by Ines) was set apart: two disks write"
            " in the name of its device. It is kept and does not count."
        ),
        (
            "Front door has a double: from its entry 2 on, two disks write in its name. Check-ins"
            " of both count, decisions of neither. Pair one of them anew."
        ),
    ]
    (note,) = [n for n in state.notes["class", "bob"] if n.kind == Flag.FORKED]
    assert explain(note, NAMES) == (
        f"Front door, where Bob B. was seen at 09:01 {ON_THE_DAY}, has a double that writes in its"
        " name. What it saw counts."
    )


def test_two_copies_of_a_disk_do_not_know_what_the_other_saw(log):
    log.scan("c0", "a", 0, person="bob", kseq=1)
    log.scan("c1", "a", 5, width=20, kseq=2)
    log.out("x1", "a", 1, person="bob", kseq=2)
    log.out("x2", "a", 10, width=20, kseq=3)
    assert ann(told(log)).presence is Presence.INSIDE


def test_a_fork_that_the_hub_found_is_shown_before_the_double_is_here(log):
    log.scan("c", "a", 0, code="fork")
    assert ann(told(log)).flags == (Flag.FORKED,)


def test_nobody_forks_another_by_entries_that_were_found_forged(log):
    log.says("o", "a", "absent", kseq=1)
    log.scan("forged", "a", 1, kseq=1, verdict="quarantined", code="signature")
    state = told(log)
    assert ann(state).status is Status.ABSENT
    assert words(state) == [
        (
            "An entry of Front door about Ann A. (check-in, by Front door) was set apart: its"
            " signature is not the device's. It is kept and does not count."
        )
    ]


def test_a_hub_that_a_restore_made_repeat_its_count_still_keeps_the_directory(log):
    log.write("h1", "directory", "hub", by=HUB, kseq=50, session=None, person=None)
    log.record("d-zoe", "person", "zoe", 1, {"id": "zoe", "first_name": "Zoe"})
    log.entries[-1] = at_kseq(log.entries[-1], 50)
    assert "zoe" in told(log).people


def at_kseq(entry, kseq):
    return replace(entry, event=replace(entry.event, kseq=kseq))


def test_late_is_late_across_midnight_and_the_night_the_clocks_change():
    # Two in the morning of 29 March 2026 does not exist in London: 00:59 UTC is followed by 02:00.
    starts = 1_774_745_400_000_000_000  # 00:50 UTC on the 29th
    log = Log()
    value = {"id": "class", "title": "Night", "zone": "Europe/London"}
    times = {"starts": starts, "ends": starts + 60 * MINUTE, "late_at": starts + 20 * MINUTE}
    log.record("d", "session", "class", 1, value | times)
    log.record("d-ann", "person", "ann", 1, {"id": "ann", "first_name": "Ann"})
    minutes = (starts - NINE) / MINUTE
    log.scan("c", "a", minutes + 15, width=10)
    state = told(log)
    assert (ann(state).status, ann(state).flags) == (Status.PRESENT, (Flag.TIME_UNCERTAIN,))
    (note,) = state.notes["class", "ann"]
    assert explain(note, NAMES) == (
        "Ann A. came in between 02:05 on 29 March 2026 and 02:15 on 29 March 2026 by the clock of"
        " Front door, which is not sure enough to say whether that was before 02:10 on"
        " 29 March 2026. Shown as present."
    )


# -- toggling doors --------------------------------------------------------------------------------


def test_two_toggling_doors_pressed_at_one_instant_leave_the_person_inside(log):
    log.scan("p1", "a", 5, direction="auto")
    log.scan("p2", "b", 5, direction="auto")
    state = told(log)
    assert (ann(state).presence, ann(state).status) == (Presence.INSIDE, Status.PRESENT)


def test_a_toggling_door_that_was_offline_comes_in_between(log):
    log.scan("p1", "a", 0, direction="auto")
    log.scan("p3", "a", 20, direction="auto")
    assert ann(told(log)).presence is Presence.LEFT
    log.scan("p2", "b", 10, direction="auto")
    assert ann(told(log)).presence is Presence.INSIDE


# -- what is offered to others ---------------------------------------------------------------------


def test_a_row_is_folded_by_given_terms():
    entry = Log().scan("c", "a", LATE + 1)
    terms = Terms(late_at=NINE + 20 * MINUTE)
    assert fold_row(None, "ann", [entry], "class").status is Status.PRESENT
    assert fold_row(None, "ann", [entry], "class", Terms(late_at=NINE)).status is Status.LATE
    assert fold_row(None, "ann", [entry], "class", terms).status is Status.PRESENT


def test_one_row_and_one_session_can_be_folded_without_the_site(log):
    scans = [log.scan("c", "a", 65)]
    decisions = [log.closed("x1", "t", 50), log.reopened("o", "b", 55, "x1")]
    decisions += [log.closed("x2", "t", 60, "x1", "o"), log.undo("u", "b", "o", person=None)]
    decisions.append(log.undo("u2", "b", "x2", by=TAKER, person=None))
    log.record("p", "policy", "class", 1, {"grace": 60, "capacity": 9})
    policy, state = Policy(grace=60, capacity=9), told(log)
    session = Session(
        "class", "Yoga", "UTC", NINE, NINE + 60 * MINUTE, late_at=NINE + LATE * MINUTE
    )
    assert session_state("class", session, decisions[::-1], policy) == state.sessions["class"]
    assert state.sessions["class"].closed == at(60)
    terms = terms_for(session, decisions, policy)
    assert fold_row(session, "ann", scans, terms=terms) == ann(state)
    assert fold_row(session, "bob", [], terms=terms) == bob(state)


def test_an_item_of_a_later_version_is_named_by_its_kind():
    item = ReviewItem("1", "odd_smell", Human.YES, "odd_smell_at")
    assert explain(item) == "Odd smell."


def test_a_time_that_no_calendar_has_and_a_zone_that_no_map_has_are_still_said():
    args = {"person": "ann", "device": "a", "status": "late", "time": [0, 2**70]}
    item = ReviewItem("1", "after_close", Human.YES, "after_close", args=args)
    assert explain(item, Names(zone="Mars/Base")) == (
        "ann came in at a, between 00:00 on 1 January 1970 and a time that no calendar has, after"
        " the session was closed; a did not know that. Shown as late."
    )
