"""What holds of the fold for every set of events, honest, damaged or forged."""

from __future__ import annotations

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from kiosk.model import Author, Entry, Envelope, Event, Flag, Presence, Session, Status
from sync.merge import Fold, Terms, fold_row, rows, saw_for_decision
from sync.merge.entries import Log
from sync.merge.evidence import NOWHERE, Places
from sync.merge.sessions import Closing

LATE_AT = 100
SESSIONS = {"s": Session("s", "Yoga", "UTC", 0, 200, late_at=LATE_AT)}
MILDEST_FIRST = ["present", "late", "excused", "absent"]
NAMES = [f"e{n}" for n in range(8)]

PEOPLE = [
    Author(),
    Author("staff", "tess", 1),
    Author("staff", "ines", 2),
    Author("staff", "ad", 3),
]
SCANS = [{}, {"method": "badge"}, {"method": 7}, {"direction": "in"}, {"direction": "auto"}]
SAYS = [{"status": status} for status in MILDEST_FIRST] * 2 + [
    {"status": "present", "arrival": 42},
    {"status": "excused", "departure": 142},
    {"status": "absent", "arrival": "nine"},
    {"status": "moon"},
    {},
]


KINDS = ("check_in", "check_in", "check_out", "override", "override", "retract")


@st.composite
def entries(draw, kinds=KINDS, most_stamps=2):
    """Up to eight events in at most two rows, each as a guess, enveloped, or both, in any order."""
    made = []
    for name in draw(st.lists(st.sampled_from(NAMES), unique=True, max_size=len(NAMES))):
        kind = draw(st.sampled_from(kinds))
        data = {
            "override": st.sampled_from(SAYS),
            "retract": st.fixed_dictionaries({"target": st.sampled_from([*NAMES, None, 3])}),
        }.get(kind, st.sampled_from(SCANS))
        made += draw(appearances(name, kind, draw(data), most_stamps))
    return draw(st.permutations(made))


@st.composite
def appearances(draw, name, kind, data, most_stamps):
    event = Event(
        id=name,
        device=draw(st.sampled_from("ab")),
        incarnation=draw(st.sampled_from("ij")),
        kseq=draw(st.integers(1, 6)),
        kind=kind,
        org="o",
        room="r",
        wall=0,
        zone="UTC",
        boot="b",
        ticks=0,
        synced=False,
        session=draw(st.sampled_from(["s", "s", "s", "unknown"])),
        person="p",
        by=draw(st.sampled_from(PEOPLE)),
        saw=tuple(draw(st.lists(st.sampled_from(NAMES), max_size=3))),
        data=data,
    )
    guess = [Entry(event, *draw(intervals))] if draw(st.booleans()) else []
    stamps = draw(st.lists(envelopes, min_size=1 - len(guess), max_size=most_stamps))
    return guess + [Entry(event, e.low, e.high, e) for e in stamps]


intervals = st.tuples(st.integers(80, 120), st.sampled_from([0, 0, 3, 40])).map(
    lambda pair: (pair[0], pair[0] + pair[1])
)
envelopes = st.builds(
    lambda interval, offset, verdict, rank: Envelope(
        "epoch", offset, offset, *interval, verdict, "", rank
    ),
    intervals,
    st.integers(1, 1000),
    st.sampled_from(["accepted", "accepted", "accepted", "quarantined"]),
    st.integers(0, 3),
)


def fold_all(several):
    rows = {}
    for each in several:
        rows.setdefault((each.event.session, each.event.person), []).append(each)
    return {
        (session, person): fold_row(SESSIONS.get(session), person, those, session)
        for (session, person), those in rows.items()
    }


def of(several, session="s"):
    return [each for each in several if each.event.session == session]


@given(entries(), st.data())
def test_neither_order_nor_repetition_matters(several, data):
    again = data.draw(st.lists(st.sampled_from(several), max_size=4)) if several else []
    shuffled = data.draw(st.permutations(several + again))
    assert fold_all(shuffled) == fold_all(several)


@given(entries(), st.data())
def test_merging_is_union(several, data):
    cut, overlap = data.draw(st.integers(0, 8)), data.draw(st.integers(0, 8))
    left, right = several[: cut + overlap], several[cut:]
    assert fold_all(left + right) == fold_all(right + left) == fold_all(several)


@given(entries())
@settings(max_examples=300)
def test_the_incremental_fold_equals_the_batch_after_every_prefix(several):
    one_by_one, at_leisure = Fold(SESSIONS), Fold()
    for n, each in enumerate(several, 1):
        before = dict(one_by_one.rows)
        key = one_by_one.apply(each)
        assert (one_by_one.rows != before) <= (key is not None)
        assert one_by_one.row(each.event.session, "p") == one_by_one.rows[each.event.session, "p"]
        assert dict(one_by_one.rows) == fold_all(several[:n])
        at_leisure.apply(each)
    at_leisure.sessions = SESSIONS
    assert dict(at_leisure.rows) == fold_all(several)


@given(entries(kinds=("check_in",)), st.sampled_from([None, LATE_AT]))
@settings(max_examples=300)
def test_the_short_way_says_what_the_whole_of_the_rules_says(several, late_at):
    log = Log()
    for each in several:
        log.add(each)
    held, doubtful = log.entries.values(), log.doubtful
    terms = Terms(late_at)
    short = rows.usual(("s", "p"), terms, held) if not doubtful else None
    assert short is None or (short, ()) == rows.judged(("s", "p"), terms, held, doubtful)


@given(st.lists(intervals, min_size=1, max_size=4), st.data())
@settings(max_examples=200)
def test_the_short_way_says_the_same_of_a_closed_session_with_places_and_clones(spans, data):
    names = st.sampled_from(["a", "b", "c"])
    held = []
    for n, (low, high) in enumerate(spans):
        saw = data.draw(st.sampled_from([(), ("x",)]))
        event = plain(f"e{n}", data.draw(names), data.draw(st.integers(1, 9)), saw=saw)
        held.append(Entry(event, low, high))
    kseq, seen = data.draw(st.integers(1, 9)), data.draw(st.sampled_from([(), ("e0",)]))
    closed = plain("x", data.draw(names), kseq, "session_closed", saw=seen)
    low, high = data.draw(intervals)
    terms = Terms(
        data.draw(st.sampled_from([None, LATE_AT])),
        data.draw(st.sampled_from([None, Closing((closed,), low, high)])),
        data.draw(st.sampled_from([NOWHERE, Places({"a": "here", "b": "there"}, {}, 1)])),
        data.draw(st.sampled_from([{}, {("a", "i"): 4}])),
    )
    short = rows.usual(("s", "p"), terms, held)
    row, notes = rows.judged(("s", "p"), terms, held, ())
    assert short is None or (short, ()) == (row, notes)
    assert row.status not in (Status.ABSENT, Status.EXPECTED)


@given(st.lists(intervals, min_size=1, max_size=6), st.data())
def test_the_short_way_is_taken_by_every_row_of_plain_check_ins(spans, data):
    held = []
    for n, (low, high) in enumerate(spans):
        device, kseq = data.draw(st.sampled_from("ab")), data.draw(st.integers(1, 9))
        held.append(Entry(plain(f"e{n}", device, kseq, method=f"m{n}"), low, high))
    terms = Terms(LATE_AT)
    short = rows.usual(("s", "p"), terms, held)
    whole, notes = rows.judged(("s", "p"), terms, held, ())
    assert short == (None if Flag.TIME_UNCERTAIN in whole.flags else whole)
    assert (short is None) == bool(notes)


def plain(name, device, kseq, kind="check_in", saw=(), by=PEOPLE[0], **data):
    return Event(
        name, device, "i", kseq, kind, "o", "r", 0, "UTC", "b", 0, False, "s", "p", by, saw, data
    )


# -- against a reading of the rules that is slow and plain -----------------------------------------


class Reading:
    """The rules of one row, read out one after the other, with knowledge as a fixed point."""

    def __init__(self, several):
        self.ranks, self.spans = {}, {}
        accepted = [e for e in settled(several) if not quarantined(e)]
        for each in accepted:
            stamp = each.envelope
            self.ranks[each.event.id] = stamp.rank if stamp else each.event.by.rank
            self.spans[each.event.id] = (each.low, each.high)
        self.log = [e.event for e in accepted]
        self.seen = {(e.id, s) for e in self.log for s in e.saw}
        while more := {(x, z) for x, y in self.seen for w, z in self.seen if y == w} - self.seen:
            self.seen |= more
        self.live = [e for e in self.log if not any(self.undoes(r, e) for r in self.log)]
        self.scans = [e for e in self.live if e.kind == "check_in"]

    def knew(self, b, a):
        same = (a.device, a.incarnation) == (b.device, b.incarnation)
        return (b.id, a.id) in self.seen or (same and a.kseq < b.kseq)

    def undoes(self, r, e):
        if r.kind != "retract" or e.kind == "retract" or r.data["target"] != e.id:
            return False
        own = (r.device, r.incarnation) == (e.device, e.incarnation)
        if r.by.staff or e.by.staff:
            own = r.by.staff == e.by.staff
        return own or (self.ranks[r.id] > 0 and self.ranks[r.id] >= self.ranks[e.id])

    def heads(self):
        said = [
            e
            for e in self.live
            if e.kind == "override"
            and e.data.get("status") in MILDEST_FIRST
            and e.data.get("arrival") != "nine"
        ]
        heads = [e for e in said if not any(o != e and self.knew(o, e) for o in said)]
        return heads or said

    def winner(self):
        heads = sorted(self.heads(), key=lambda e: e.id)
        heads.sort(key=lambda e: MILDEST_FIRST.index(e.data["status"]), reverse=True)
        heads.sort(key=lambda e: self.ranks[e.id])
        return heads[-1] if heads else None

    def unrefuted(self):
        winner = self.winner()
        if winner is None or winner.data["status"] != "absent":
            return self.scans
        return [c for c in self.scans if not self.knew(winner, c)]

    def status(self):
        winner, counted = self.winner(), self.unrefuted()
        if winner is not None and not (winner.data["status"] == "absent" and counted):
            return winner.data["status"]
        if not counted:
            return "expected"
        return "late" if min(self.spans[c.id][0] for c in counted) > LATE_AT else "present"

    def flags(self):
        winner = self.winner()
        if winner is None:
            return set()
        ranks, status = self.ranks, winner.data["status"]
        others = [h for h in self.heads() if h.data["status"] != status]
        found = {Flag.OUTRANKED for h in others if ranks[h.id] < ranks[winner.id]}
        found |= {Flag.DISAGREE for h in others if ranks[h.id] == ranks[winner.id]}
        if status == "absent":
            found |= {
                Flag.ARRIVED_AFTER_ABSENT if self.knew(c, winner) else Flag.SCAN_UNSEEN
                for c in self.unrefuted()
            }
        return found

    def place(self, e):
        line = (e.device, e.incarnation)
        before = [
            f
            for f in self.live
            if f.kind in ("check_in", "check_out")
            and (f.device, f.incarnation) == line
            and (f.kseq, f.id) <= (e.kseq, e.id)
        ]
        return (max(sum(self.spans[f.id]) for f in before), *line, e.kseq, e.id)

    def presence(self):
        moves = [e for e in self.live if e.kind in ("check_in", "check_out")]
        entered, left, inside = [], [], False
        for e in sorted(moves, key=self.place):
            inside = not inside if e.data.get("direction") == "auto" else e.kind == "check_in"
            if inside:
                entered, left = [*entered, e], []
            else:
                left = [*left, e]
        if not moves:
            return "none"
        sure = any(all(self.before(i, o) for i in entered) for o in left)
        return "left" if left and sure else "inside"

    def before(self, i, o):
        apart = self.spans[i.id][1] < self.spans[o.id][0]
        return (apart or self.knew(o, i)) and not self.knew(i, o)


def settled(several):
    """One entry for each id, where no id has two envelopes."""
    best = {}
    for each in several:
        if each.event.id not in best or each.envelope:
            best[each.event.id] = each
    return best.values()


def quarantined(each):
    return each.envelope is not None and each.envelope.verdict == "quarantined"


@given(entries(most_stamps=1))
@settings(max_examples=300)
def test_the_fold_says_what_the_rules_say(several):
    reading, row = Reading(of(several)), fold_row(SESSIONS["s"], "p", of(several))
    winner = reading.winner()
    assert row.winner == (winner.id if winner else None)
    assert row.status == reading.status()
    assert row.presence == reading.presence()
    assert set(row.flags) - {Flag.TIME_UNCERTAIN} == reading.flags()


@given(entries(most_stamps=1))
@settings(max_examples=300)
def test_first_invariant_nobody_with_a_live_check_in_is_absent_unseen(several):
    row = fold_row(SESSIONS["s"], "p", of(several))
    reading = Reading(of(several))
    if row.status is Status.ABSENT and reading.scans:
        winner = next(e for e in reading.log if e.id == row.winner)
        assert all(reading.knew(winner, scan) for scan in reading.scans)
    if reading.scans:
        assert row.status is not Status.EXPECTED
        assert row.presence is not Presence.NONE


@given(entries(), st.sampled_from(MILDEST_FIRST), st.sampled_from(PEOPLE[1:]))
def test_a_decision_in_sight_of_everything_settles_the_row(several, status, by):
    decision = plain("f", "fresh", 1, "override", saw_for_decision(of(several)), by, status=status)
    row = fold_row(SESSIONS["s"], "p", [*of(several), Entry(decision, 0, 0)])
    assert (row.winner, row.status) == ("f", status)
    assert set(row.flags) <= {Flag.TIME_UNCERTAIN}


@given(entries(), st.data())
def test_what_a_machine_believed_of_the_time_is_irrelevant(several, data):
    garbage = {}

    def lied_to(event):
        if event.id not in garbage:
            garbage[event.id] = msgspec.structs.replace(
                event,
                wall=data.draw(st.integers(-(2**62), 2**62)),
                zone=data.draw(st.sampled_from(["", "Mars/Base", "UTC"])),
                ticks=data.draw(st.integers(0, 2**62)),
                boot=data.draw(st.sampled_from(["", "x", "y"])),
                synced=data.draw(st.booleans()),
            )
        return garbage[event.id]

    lies = [Entry(lied_to(e.event), e.low, e.high, e.envelope) for e in several]
    assert fold_all(lies) == fold_all(several)


@given(entries())
def test_intervals_are_never_inside_out_and_presence_is_never_guessed_away(several):
    row = fold_row(SESSIONS["s"], "p", of(several))
    for interval in (row.arrival, row.departure):
        assert interval is None or interval[0] <= interval[1]
    if row.presence is Presence.LEFT:
        ways_out = ("check_out" in e.event.kind or e.event.data.get("direction") for e in several)
        assert any(way in (True, "auto") for way in ways_out)
