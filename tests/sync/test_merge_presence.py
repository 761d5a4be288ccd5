"""Presence, envelopes and what is carried along, of one row: each history worked out by hand."""

from __future__ import annotations

from kiosk.model import (
    Flag,
    Kind,
    Presence,
    Status,
)
from sync.causality import Causality
from sync.merge import Fold, fold_row, saw_for_decision, saw_for_scan
from tests.sync.one_row import (
    DOOR,
    MINUTE,
    NINE,
    SESSION,
    at,
    event,
    folded,
    out,
    says,
    scan,
    stamped,
    undo,
)

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
