from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiosk.clock import Anchor
from kiosk.model import Envelope, encode_envelope
from sync import protocol as p

ENVELOPE = Envelope("e", 7, 100, 90, 95, rank=2)
RAW = b'{"id":"x", "odd":  [1,2.50,"\xc3\xa9"]}'

FROM_KIOSK = [
    p.Hello(1, "acme", "north", "k1", "i1", "Front door", "secret"),
    p.Hello(1, "acme", "north", "k1", "i1"),
    p.Subscribe("org/acme/session/s1"),
    p.Subscribe("org/acme/session/s1", p.Cursor("e", 5), echo=False, pages=8),
    p.Subscribe("org/acme/session/s1", p.Cursor("e", 5, 1_800_000_000_000_000_001)),
    p.Push(3, [msgspec.Raw(RAW), msgspec.Raw(b'"junk"')], [Anchor("b", 1, 2, 3)]),
    p.Push(0, []),
    p.Hello(1, "acme", "north", "k1", "i1", key="ab" * 32),
    p.Push(4, [], signed=[p.Signed(0, "k1", "i1", 1, 2, "h", "ab" * 64, "cd" * 32)]),
    p.Ping(123),
]
FROM_HUB = [
    p.Welcome(1, "e", 99, {"i1": 4}),
    p.Welcome(1, "e"),
    p.Events("r", "e", 6, 7, 9, live=True, items=[p.Item(msgspec.Raw(RAW), ENVELOPE)]),
    p.Events("r", "e", 0, 0, 0),
    p.Reset("r", "e", 0),
    p.Ack(
        3,
        [
            p.Verdict("x", "ok", envelope=ENVELOPE),
            p.Verdict("", "quarantined", "malformed"),
            p.Verdict("y", "retry", "disk", 5.0),
        ],
    ),
    p.Pong(123, 99),
    p.Pong(123),
    p.Position("r", "e", 9),
    p.Error("busy", "later", 30.0),
    p.Welcome(1, "e", stable=1_800_000_000_000_000_001),
    p.Gap("i1", 4, 2),
]


def plain(message):
    """Comparable: Raw compares by identity."""
    return json.loads(p.encode(message))


@pytest.mark.parametrize("message", FROM_KIOSK, ids=lambda m: type(m).__name__)
def test_what_a_kiosk_says_comes_back_the_same(message):
    frame = p.encode(message)
    back = p.decode_from_kiosk(frame)
    assert type(back) is type(message)
    assert plain(back) == plain(message)
    assert p.decode_from_kiosk(frame.decode()) is not None
    with pytest.raises(p.ProtocolError):
        p.decode_from_hub(frame)


@pytest.mark.parametrize("message", FROM_HUB, ids=lambda m: type(m).__name__)
def test_what_a_hub_says_comes_back_the_same(message):
    frame = p.encode(message)
    back = p.decode_from_hub(frame)
    assert type(back) is type(message)
    assert plain(back) == plain(message)
    with pytest.raises(p.ProtocolError):
        p.decode_from_kiosk(frame)


def test_events_travel_as_the_bytes_they_are():
    back = p.decode_from_kiosk(p.encode(p.Push(1, [msgspec.Raw(RAW)])))
    assert bytes(back.events[0]) == RAW
    back = p.decode_from_hub(p.encode(FROM_HUB[2]))
    assert bytes(back.items[0].event) == RAW


def test_the_encoding_forms_of_the_hub_are_the_same_on_the_wire():
    envelope = encode_envelope(ENVELOPE)
    page = p.Page("r", "e", 6, 7, 9, live=True, items=p.kept([(RAW, envelope)]))
    assert plain(page) == plain(FROM_HUB[2])
    receipt = p.Receipt(
        3,
        [
            p.Judged("x", "ok", envelope=msgspec.Raw(envelope)),
            p.Judged("", "quarantined", "malformed"),
            p.Judged("y", "retry", "disk", 5.0),
        ],
    )
    assert plain(receipt) == plain(FROM_HUB[5])


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"type":"ping"}',
        b'{"type":"ping","sent":-1}',
        b'{"type":"ping","sent":9223372036854775808}',
        b'{"type":"ping","sent":1e3}' + b"x",
        b'{"type":"push","batch":1,"events":{}}',
        b'{"type":"push","batch":1,"events":[' + b",".join([b"1"] * 501) + b"]}",
        b'{"type":"subscribe","room":""}',
        b'{"type":"subscribe","room":"r","cursor":{"epoch":"e"}}',
        b'{"type":"ack","batch":1,"verdicts":[{"id":"x","verdict":"drop"}]}',
        b'{"type":"push","batch":1,"events":[' + b'{"a":' * 5000,
        b'{"type":"hello","version":1,"org":"\xff","site":"s","device":"d","incarnation":"i"}',
    ],
)
def test_anything_else_is_a_protocol_error(frame):
    for decode in (p.decode_from_kiosk, p.decode_from_hub):
        with pytest.raises(p.ProtocolError) as caught:
            decode(frame)
        assert caught.value.code == "malformed"


def test_a_frame_that_is_too_long_is_not_even_read():
    for decode in (p.decode_from_kiosk, p.decode_from_hub):
        with pytest.raises(p.OversizedError):
            decode(b" " * (p.MAX_FROM_HUB + 1))


def test_only_the_same_version_will_do():
    p.check_version(p.VERSION)
    with pytest.raises(p.MismatchError, match="version 99"):
        p.check_version(99)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
KEYS = ["type", "batch", "events", "room", "cursor", "verdicts", "items", "sent", "version"]
TAGS = ["hello", "push", "subscribe", "ping", "welcome", "events", "ack", "pong", "error"]
MESSAGES = st.dictionaries(st.sampled_from(KEYS), JSON | st.sampled_from(TAGS))


@given(st.binary() | MESSAGES.map(lambda m: json.dumps(m).encode()) | st.text())
def test_decoding_never_raises_anything_but_a_protocol_error(frame):
    for decode in (p.decode_from_kiosk, p.decode_from_hub):
        try:
            message = decode(frame)
        except p.ProtocolError:
            continue
        assert decode(p.encode(message)) is not None


@given(st.sampled_from(FROM_KIOSK + FROM_HUB), st.data())
def test_a_damaged_frame_is_a_message_or_a_protocol_error(message, data):
    frame = bytearray(p.encode(message))
    at = data.draw(st.integers(0, len(frame) - 1))
    frame[at] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(frame)))
    for damaged in (bytes(frame), bytes(frame[:cut])):
        for decode in (p.decode_from_kiosk, p.decode_from_hub):
            try:
                decode(damaged)
            except p.ProtocolError:
                continue


class EarlierEnvelope(p.msgspec.Struct):
    """As version 1 began."""

    epoch: str
    offset: int
    received: int
    low: int
    high: int
    verdict: str = "accepted"
    code: str = ""
    rank: int = 0


class EarlierWelcome(p.msgspec.Struct, tag="welcome"):
    """The same."""

    version: int
    epoch: str
    received_kseq: dict[str, int]
    hub_time: int | None = None
    stable: int = 0


def test_an_earlier_kiosk_passes_over_what_a_hub_says_of_itself():
    welcome = p.Welcome(1, "e", 99, {"i1": 4}, 7, p.House("ab" * 32, "i2", {"i2": 3}))
    assert p.decode_from_hub(p.encode(welcome)) == welcome
    found = p.msgspec.json.decode(p.encode(welcome), type=EarlierWelcome)
    assert (found.version, found.received_kseq, found.stable) == (1, {"i1": 4}, 7)
    signed = p.msgspec.structs.replace(ENVELOPE, key="ab" * 32, signature="cd" * 64)
    body = p.msgspec.json.encode(signed)
    assert p.msgspec.json.decode(body, type=EarlierEnvelope).epoch == ENVELOPE.epoch
