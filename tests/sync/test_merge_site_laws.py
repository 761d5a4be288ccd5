"""What holds of a whole site's fold for every set of events, honest, damaged or forged."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from kiosk.model import Author, Entry, Envelope, Event, Human, Kind, Status
from sync.merge import SiteFold, explain, fold
from sync.merge.directory import canonical
from sync.merge.items import item_id
from sync.merge.words import SENTENCES

MINUTE = 60 * 10**9
NAMES = [f"e{n}" for n in range(9)]
PEOPLE = ["p", "q", "r"]
STAFF = [Author(), Author("staff", "tess", 1), Author("staff", "ines", 2), Author("staff", "ad", 3)]
KINDS = [
    *("check_in", "check_in", "check_out", "override", "override", "retract", "visitor"),
    *("session_closed", "session_closed", "session_reopened", "resolve", "merged", "directory"),
    *("session_opened", "refused"),
]
NUMBERS = st.integers(0, 3)
SESSION = {"id": "s", "title": "Yoga", "zone": "UTC", "starts": 80, "ends": 200, "late_at": 100}
VALUES = [
    ("person", "p", {"id": "p", "first_name": "P"}),
    ("person", "q", {"id": "q", "first_name": 7}),
    ("person", "r", {"id": "r", "first_name": "R", "active": False}),
    ("session", "s", SESSION),
    ("session", "s", SESSION | {"roster": ["q", "r"], "late_at": None}),
    ("session", "s", "nonsense"),
    ("policy", "site", {"capacity": 1, "travel": 1}),
    ("policy", "s", {"late_after": 0, "grace": 0}),
    ("policy", "s", {"late_after": "never"}),
    ("device", "a", {"place": "here"}),
    ("device", "b", {"place": "there", "travel": {"here": 1}}),
    ("device", "b", ["there"]),
]
ITEMS = [item_id("unknown_session", ("s",), ()), item_id("unknown_person", ("s", "p"), ()), 3]


@st.composite
def data(draw, kind):
    if kind == "override":
        status = draw(st.sampled_from(["present", "late", "excused", "absent", "absent", "moon"]))
        return {"status": status}
    if kind == "retract":
        return {"target": draw(st.sampled_from([*NAMES, None]))}
    if kind == "resolve":
        return {"item": draw(st.sampled_from(ITEMS))}
    if kind == "merged":
        into = draw(st.sampled_from([*PEOPLE, None]))
        return {"person": draw(st.sampled_from(PEOPLE)), "into": into, "rev": draw(NUMBERS)}
    if kind == "directory":
        record, id_, value = draw(st.sampled_from(VALUES))
        return {"record": record, "id": id_, "rev": draw(NUMBERS), "value": value}
    plain = [{}, {"method": "badge"}, {"direction": "auto"}, {"name": "V"}]
    return draw(st.sampled_from([SESSION, {}] if kind == "session_opened" else plain))


@st.composite
def entries(draw, codes=("", "", "", "fork")):
    """Up to nine events of two devices that may be cloned, with one or two envelopes each."""
    made = []
    for name in draw(st.lists(st.sampled_from(NAMES), unique=True, max_size=len(NAMES))):
        kind = draw(st.sampled_from(KINDS))
        event = Event(
            id=name,
            device=draw(st.sampled_from("ab")),
            incarnation="i",
            kseq=draw(st.integers(1, 12)),
            kind=kind,
            org="o",
            room="r",
            wall=0,
            zone="UTC",
            boot="b",
            ticks=0,
            synced=False,
            session=draw(st.sampled_from(["s", "s", "s", "t"])),
            person=draw(st.sampled_from(PEOPLE)),
            by=draw(st.sampled_from(STAFF)),
            saw=tuple(draw(st.lists(st.sampled_from(NAMES), max_size=3))),
            data=draw(data(kind)),
        )
        for offset in draw(st.lists(st.integers(1, 99), min_size=1, max_size=2, unique=True)):
            low = draw(st.integers(80, 120))
            high = low + draw(st.sampled_from([0, 0, 3, 40]))
            verdict = draw(st.sampled_from(["accepted"] * 4 + ["quarantined"]))
            code, rank = draw(st.sampled_from(codes)), draw(st.integers(0, 3))
            envelope = Envelope("epoch", offset, offset, low, high, verdict, code, rank)
            made.append(Entry(event, low, high, envelope))
    return draw(st.permutations(made))


@given(entries(), st.data())
@settings(max_examples=150, deadline=None)
def test_neither_order_nor_repetition_matters_to_a_site(several, data):
    again = data.draw(st.lists(st.sampled_from(several), max_size=4)) if several else []
    shuffled = data.draw(st.permutations(several + again))
    assert fold(shuffled) == fold(several)


PLACES = [("a", {"place": "here"}), ("b", {"place": "there", "travel": {"here": 1}})]


@st.composite
def hasty(draw):
    """Passages at two places in two sessions, undos of them, and persons who are merged."""
    made = []
    for place, (id_, value) in enumerate(PLACES, 1):
        said = {"record": "device", "id": id_, "rev": 1, "value": value}
        made.append(_bare(f"d{id_}", "h", place, "directory", None, None, said))
    for n in range(draw(st.integers(2, 7))):
        kind = draw(st.sampled_from(["check_in"] * 5 + ["check_out", "retract", "merged"]))
        who, session = draw(st.sampled_from("pq")), draw(st.sampled_from("st"))
        said = {"target": f"x{draw(st.integers(0, 6))}"} if kind == "retract" else {}
        if kind == "merged":
            into, session = draw(st.sampled_from(["p", "q", None])), None
            said = {"person": who, "into": into, "rev": n}
            who = None
        device = draw(st.sampled_from("ab"))
        made.append(_bare(f"x{n}", device, n + 3, kind, session, who, said, draw))
    return draw(st.permutations(made))


def _bare(name, device, kseq, kind, session, person, data, draw=None):
    low = draw(st.integers(0, 4)) * MINUTE // 2 if draw else 0
    high = low + (draw(st.sampled_from([0, 0, MINUTE, 9 * MINUTE])) if draw else 0)
    code = draw(st.sampled_from(["accepted"] * 5 + ["quarantined"])) if draw else "accepted"
    where = {"org": "o", "room": "r", "wall": 0, "zone": "UTC", "boot": "b", "ticks": 0}
    event = Event(name, device, "i", kseq, kind, **where, synced=True, data=data)
    event = replace(event, session=session, person=person)
    return Entry(event, low, high, Envelope("epoch", kseq, kseq, low, high, code))


@given(hasty(), st.data())
@settings(max_examples=60, deadline=None)
def test_who_was_at_two_places_in_two_sessions_is_told_of_whatever_the_order(several, data):
    site = SiteFold()
    for n, each in enumerate(several, 1):
        site.apply(each)
        assert site.state == fold(several[:n])
    assert fold(data.draw(st.permutations(several))) == site.state
    across = [one for one in site.state.items.values() if one.key == "two_places_across"]
    assert all(explain(one) for one in across)
    by_id = {each.event.id: each for each in several}
    for one in across:
        (person,) = one.people
        moves = [by_id[id_] for id_ in one.ids]
        who = site.state.aliases
        assert {who.get(e.event.person, e.event.person) for e in moves} == {person}
        assert len({e.event.session for e in moves}) == len({e.event.device for e in moves}) == 2
        # Of each there is another that it cannot have been the same person as.
        for e in moves:
            assert any(
                max(e.high - o.low, o.high - e.low) < MINUTE
                and (e.event.device, e.event.session) != (o.event.device, o.event.session)
                for o in moves
            )


@given(entries(), st.data())
@settings(max_examples=100, deadline=None)
def test_merging_what_two_sites_know_is_union(several, data):
    cut, overlap = data.draw(st.integers(0, 9)), data.draw(st.integers(0, 9))
    left, right = several[: cut + overlap], several[cut:]
    assert fold(left + right) == fold(right + left) == fold(several)


@given(entries())
@settings(max_examples=150, deadline=None)
def test_a_sites_incremental_fold_equals_the_batch_after_every_prefix(several):
    site, seldom = SiteFold(), SiteFold()
    for n, each in enumerate(several, 1):
        before = site.state
        new = site.apply(each)
        assert (site.state != before) <= new
        assert site.state == fold(several[:n])
        person = each.event.person
        row = site.row(each.event.session, person)
        if row is not None:
            assert row == site.state.rows[row.session, row.person]
        seldom.apply(each)
    assert seldom.state == site.state


@given(entries())
@settings(max_examples=150, deadline=None)
def test_nobody_with_a_live_check_in_is_absent_because_a_session_closed(several):
    state = fold(several)
    retracts = {e.event.data.get("target") for e in several if e.event.kind == Kind.RETRACT}
    quarantined = {e.event.id for e in several if e.envelope.verdict == "quarantined"}
    for each in several:
        event = each.event
        if event.kind not in (Kind.CHECK_IN, Kind.VISITOR) or event.id in retracts | quarantined:
            continue
        row = state.rows[event.session, state.aliases.get(event.person, event.person)]
        assert row.status is not Status.EXPECTED
        assert row.status is not Status.ABSENT or row.winner is not None


@given(entries())
@settings(max_examples=150, deadline=None)
def test_everything_that_is_told_can_be_said_in_words(several):
    state = fold(several)
    notes = [note for those in state.notes.values() for note in those]
    flags = {(key, flag) for key, row in state.rows.items() for flag in row.flags}
    assert flags <= {((n.session, n.people[0]), n.kind) for n in notes if n.people}
    for item in [*notes, *state.items.values()]:
        assert item.key in SENTENCES
        said = explain(item)
        assert "not given" not in said
        assert said.endswith(".")
    assert all(item.human is not Human.NO for item in state.waiting)


@given(entries())
@settings(max_examples=100, deadline=None)
def test_an_acknowledged_item_waits_no_more_and_alters_nothing_else(several):
    before = fold(several)
    if not before.waiting:
        return
    item = before.waiting[0]
    resolve = Event(
        "z", "fresh", "i", 1, "resolve", "o", "r", 0, "UTC", "b", 0, False, "s", None,
        STAFF[2], (), {"item": item.id},
    )  # fmt: skip
    after = fold([*several, Entry(resolve, 0, 0)])
    assert after.rows == before.rows
    assert after.items.keys() == before.items.keys()
    assert [i.id for i in before.waiting if i.id != item.id] == [i.id for i in after.waiting]


@given(st.dictionaries(st.sampled_from("abcdef"), st.sampled_from("abcdef")))
def test_everybody_merged_in_any_way_ends_as_one_who_is_nobody_else(merged):
    aliases = canonical({k: v for k, v in merged.items() if k != v})
    for person, into in aliases.items():
        assert into not in aliases
        assert person != into
    for person, into in merged.items():
        assert aliases.get(person, person) == aliases.get(into, into)
