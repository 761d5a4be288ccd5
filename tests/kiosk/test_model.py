"""The words of the log keep their shape: on the wire, in their hashes and in their ids."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import uuid

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiosk.model import (
    EVIDENCE,
    ROW_KINDS,
    Attendance,
    Author,
    Counts,
    Envelope,
    Event,
    Flag,
    Kind,
    Person,
    Presence,
    Session,
    Status,
    decode_envelope,
    decode_event,
    encode_envelope,
    encode_event,
    event_hash,
    sealed,
    session_id,
    session_room,
    site_room,
    uuid7,
)

FULL = Event(
    id="0197c0de-0000-7000-8000-000000000001",
    device="door-1",
    incarnation="i1",
    kseq=7,
    kind="override",
    org="club",
    room="org/club/session/s1",
    wall=1_767_000_000_000_000_000,
    zone="Europe/London",
    boot="boot-1",
    ticks=12_345,
    synced=True,
    session="s1",
    person="ann",
    by=Author("staff", "ines", 2),
    saw=("e1", "e2"),
    data={"status": "excused", "reason": "Zahnarzt – 10:30"},
    prev="ab" * 32,
)
BARE = Event("e", "d", "i", 1, "help", "o", "r", 0, "UTC", "b", 0, False)

DIFFERENT = {
    "id": "0197c0de-0000-7000-8000-000000000002",
    "device": "door-2",
    "incarnation": "i2",
    "kseq": 8,
    "kind": "check_in",
    "org": "other",
    "room": "org/club/session/s2",
    "wall": 0,
    "zone": "UTC",
    "boot": "boot-2",
    "ticks": 0,
    "synced": False,
    "session": None,
    "person": "bob",
    "by": Author("staff", "ines", 3),
    "saw": ("e2", "e1"),
    "data": {"status": "excused"},
    "floor": 1,
    "since": 1,
    "prev": "",
}

texts = st.text(max_size=12)
sixty_four = st.integers(-(2**63), 2**63 - 1)
events = st.builds(
    Event,
    id=texts,
    device=texts,
    incarnation=texts,
    kseq=sixty_four,
    kind=texts,
    org=texts,
    room=texts,
    wall=sixty_four,
    zone=texts,
    boot=texts,
    ticks=sixty_four,
    synced=st.booleans(),
    session=st.none() | texts,
    person=st.none() | texts,
    by=st.builds(Author, texts, st.none() | texts, st.integers(0, 3)),
    saw=st.lists(texts, max_size=3).map(tuple),
    data=st.dictionaries(texts, st.none() | st.booleans() | sixty_four | texts, max_size=3),
    floor=sixty_four,
    since=sixty_four,
    prev=texts,
    hash=texts,
)
envelopes = st.builds(
    Envelope,
    epoch=texts,
    offset=sixty_four,
    received=sixty_four,
    low=sixty_four,
    high=sixty_four,
    verdict=st.sampled_from(["accepted", "quarantined"]),
    code=texts,
    rank=st.integers(0, 3),
)


# -- on the wire -----------------------------------------------------------------------------------


@given(events)
def test_an_event_comes_back_as_it_was(event):
    body = encode_event(event)
    assert decode_event(body) == event
    assert encode_event(decode_event(body)) == body


@given(envelopes)
def test_an_envelope_comes_back_as_it_was(envelope):
    assert decode_envelope(encode_envelope(envelope)) == envelope


def test_the_bytes_do_not_depend_on_the_order_in_which_data_was_filled_in():
    one = msgspec.structs.replace(FULL, data={"a": 1, "b": 2})
    other = msgspec.structs.replace(FULL, data={"b": 2, "a": 1})
    assert encode_event(one) == encode_event(other)
    assert event_hash(one) == event_hash(other)


def test_what_is_left_at_its_default_is_not_sent():
    sent = json.loads(encode_event(BARE))
    assert set(sent) == {
        *("id", "device", "incarnation", "kseq", "kind", "org"),
        *("room", "wall", "zone", "boot", "ticks", "synced"),
    }


def test_kinds_and_fields_of_a_later_version_are_taken():
    sent = json.loads(encode_event(FULL)) | {"kind": "teleported", "colour": "green"}
    event = decode_event(json.dumps(sent).encode())
    assert event.kind == "teleported"
    assert event.person == "ann"
    assert event.kind not in ROW_KINDS


def test_a_raw_body_inside_another_message_decodes_in_place():
    raw = msgspec.json.decode(
        b'{"event": ' + encode_event(FULL) + b"}", type=dict[str, msgspec.Raw]
    )
    assert decode_event(raw["event"]) == FULL


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"\xff\xfe",
        encode_event(FULL)[:-1],
        encode_event(FULL).replace(b'"kseq":7', b'"kseq":"7"'),
        encode_event(FULL).replace(b'"synced":true', b'"synced":1'),
        encode_event(FULL).replace(b'"saw":["e1","e2"]', b'"saw":[1]'),
        encode_event(FULL).replace(b'"device":"door-1",', b""),
    ],
)
def test_what_is_no_event_is_refused(body):
    with pytest.raises(msgspec.MsgspecError):
        decode_event(body)


def test_what_is_no_envelope_is_refused():
    with pytest.raises(msgspec.MsgspecError):
        decode_envelope(b'{"epoch": "e", "offset": "1"}')


def test_an_event_is_never_changed():
    with pytest.raises(AttributeError):
        FULL.kind = "check_in"


def test_rows_and_directory_records_come_back_as_they_were():
    row = Attendance(
        *("s1", "ann", Status.LATE, Presence.INSIDE, (1, 2), (3, 4), "o", "finger", "door-1"),
        flags=(Flag.SCAN_UNSEEN, Flag.TIME_UNCERTAIN),
    )
    session = Session("s1", "Yoga", "UTC", 1, 2, "Hall", 1, ("ann", "bob"))
    for value in (row, session, Person("ann", "Ann", "Archer", code="12", active=False)):
        assert msgspec.json.decode(msgspec.json.encode(value), type=type(value)) == value


# -- hashes ----------------------------------------------------------------------------------------


def test_the_hash_changes_with_every_field():
    fields = [field for field in Event.__struct_fields__ if field != "hash"]
    assert set(fields) == set(DIFFERENT)
    hashes = {
        event_hash(msgspec.structs.replace(FULL, **{field: DIFFERENT[field]})) for field in fields
    }
    assert len(hashes | {event_hash(FULL)}) == len(fields) + 1


def test_the_hash_is_blake2b_256_and_leaves_itself_out():
    event = sealed(FULL)
    assert event.hash == hashlib.blake2b(encode_event(FULL), digest_size=32).hexdigest()
    assert event_hash(event) == event.hash == event_hash(FULL)
    assert sealed(event) == event
    assert event_hash(decode_event(encode_event(event))) == event.hash


def test_the_hash_stays_what_it_was_when_the_program_is_newer():
    # Disks and hubs hold these; another value here means that every chain ever written breaks.
    assert encode_event(BARE) == (
        b'{"id":"e","device":"d","incarnation":"i","kseq":1,"kind":"help","org":"o","room":"r",'
        b'"wall":0,"zone":"UTC","boot":"b","ticks":0,"synced":false}'
    )
    assert event_hash(BARE) == "52ade56364437cd91a25420edf9904377c39b5c57d72dd1cae9a68072fb4d5db"


# -- ids -------------------------------------------------------------------------------------------


@given(st.integers(0, 2**48 * 1_000_000 - 1), st.binary(min_size=10, max_size=16))
def test_uuid7_has_the_layout_of_rfc_9562(wall, entropy):
    value = uuid.UUID(uuid7(wall, entropy))
    assert value.int >> 80 == wall // 1_000_000
    assert (value.version, value.variant) == (7, uuid.RFC_4122)
    random = int.from_bytes(entropy[:10], "big")
    assert value.int >> 64 & 0xFFF == random >> 68
    assert value.int & (1 << 62) - 1 == random & (1 << 62) - 1


def test_uuid7_of_the_example_in_rfc_9562():
    # Appendix A.6: 2022-02-22 14:22:22 -05:00, rand_a 0xCC3, rand_b 0x18C4DC0C0C07398F.
    entropy = (0xCC3 << 68 | 0x18C4DC0C0C07398F).to_bytes(10, "big")
    assert uuid7(0x017F22E279B0 * 1_000_000, entropy) == "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"


@given(st.integers(0, 2**60), st.integers(1_000_000, 2**60), st.binary(min_size=10, max_size=10))
def test_the_prefix_of_uuid7_grows_with_time(wall, later, entropy):
    assert uuid7(wall, b"\xff" * 10) < uuid7(wall + later, entropy)


def test_uuid7_of_a_clock_before_1970_is_still_a_uuid():
    assert uuid.UUID(uuid7(-1, b"\0" * 10)).version == 7


def test_two_kiosks_give_a_dated_session_one_id():
    day = dt.date(2026, 3, 29)
    here = session_id("club", "hall", "yoga", day)
    there = session_id("club", "hall", "yoga", dt.date.fromisoformat("2026-03-29"))
    assert here == there == "32c62f99-e49c-5042-bf84-56458e234ed1"
    assert uuid.UUID(here).version == 5


def test_sessions_that_differ_in_anything_have_different_ids():
    day = dt.date(2026, 3, 29)
    ids = {
        session_id("club", "hall", "yoga", day),
        session_id("club", "hall", "yoga", day + dt.timedelta(days=1)),
        session_id("club", "hall", "judo", day),
        session_id("club", "annex", "yoga", day),
        session_id("other", "hall", "yoga", day),
        # The parts may not run into each other.
        session_id("clubhall", "", "yoga", day),
        session_id("club", "hallyoga", "", day),
    }
    assert len(ids) == 7


def test_rooms():
    assert site_room("club", "hall") == "org/club/site/hall"
    assert session_room("club", "s1") == "org/club/session/s1"


# -- small words -----------------------------------------------------------------------------------


def test_a_row_is_folded_from_evidence_and_decisions():
    assert {"check_in", "check_out", "visitor"} == EVIDENCE
    assert {"check_in", "check_out", "visitor", "override", "retract"} == ROW_KINDS
    assert all(kind in set(Kind) for kind in ROW_KINDS)


@pytest.mark.parametrize(
    ("person", "public", "full"),
    [
        (Person("p", "Ann", "Archer"), "Ann A.", "Ann Archer"),
        (Person("p", "Ann"), "Ann", "Ann"),
        (Person("p", "", "Archer"), " A.", "Archer"),
    ],
)
def test_public_screens_show_no_more_than_an_initial(person, public, full):
    assert person.public_name == public
    assert person.full_name == full


def test_the_late_are_among_the_present():
    assert Counts(present=5, late=2, excused=1, absent=3, expected=4).total == 13
