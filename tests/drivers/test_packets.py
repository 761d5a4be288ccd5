"""The codec against real captures, its own inverse and arbitrary bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.packets import (
    MAX_FRAME,
    Decoder,
    Fault,
    FaultKind,
    Packet,
    PacketKind,
    encode,
)

# ReadSysPara as a real R503 answered it: password verified, 200 slots, level 3, 128 bytes, 57600.
R503_PARAMETERS = bytes.fromhex("EF01FFFFFFFF070013000004000000C80003FFFFFFFF0002000604ED")
# VfyPwd with the factory password and GenImg, their checksums worked out by hand.
VERIFY = bytes.fromhex("EF01FFFFFFFF0100071300000000001B")
GEN_IMAGE = bytes.fromhex("EF01FFFFFFFF010003010005")

packets = st.builds(
    Packet,
    st.sampled_from(PacketKind),
    st.binary(min_size=1, max_size=256),
    st.integers(0, 0xFFFFFFFF),
)


def test_decodes_the_capture_of_a_real_r503():
    (packet,) = Decoder().feed(R503_PARAMETERS)
    assert packet == Packet(PacketKind.ACK, R503_PARAMETERS[9:-2])
    assert int.from_bytes(packet.content[5:7], "big") == 200
    assert encode(packet) == R503_PARAMETERS


@pytest.mark.parametrize(
    ("content", "frame"),
    [(b"\x13\0\0\0\0", VERIFY), (b"\x01", GEN_IMAGE)],
    ids=["VfyPwd", "GenImg"],
)
def test_encodes_the_hand_worked_frames(content, frame):
    assert encode(Packet(PacketKind.COMMAND, content)) == frame


@pytest.mark.parametrize("size", [0, 257])
def test_refuses_to_encode_what_no_frame_can_hold(size):
    with pytest.raises(ValueError, match="content of"):
        encode(Packet(PacketKind.DATA, bytes(size)))


@given(st.lists(packets, max_size=5), st.lists(st.integers(1, 40), min_size=1, max_size=20))
def test_round_trip_whatever_the_chunks(sent, sizes):
    stream = b"".join(map(encode, sent))
    decoder, got, position, turn = Decoder(), [], 0, 0
    while position < len(stream):
        step = sizes[turn % len(sizes)]
        got += decoder.feed(stream[position : position + step])
        position, turn = position + step, turn + 1
    assert got == sent
    assert decoder.pending == 0


@given(st.lists(st.one_of(st.binary(max_size=600), packets.map(encode)), max_size=8))
def test_never_raises_and_keeps_less_than_a_frame(chunks):
    decoder = Decoder()
    for chunk in chunks:
        for item in decoder.feed(chunk):
            assert isinstance(item, Packet | Fault)
        assert decoder.pending < MAX_FRAME


@given(st.binary(max_size=40).filter(lambda junk: b"\xef" not in junk), packets)
def test_finds_the_packet_behind_noise(junk, packet):
    *noise, last = Decoder().feed(junk + encode(packet))
    assert last == packet
    assert noise == ([Fault(FaultKind.NOISE, junk)] if junk else [])


@given(packets, st.data())
def test_a_flipped_checksum_is_a_fault_and_the_next_packet_survives(packet, data):
    frame = bytearray(encode(packet))
    frame[-1] ^= data.draw(st.integers(1, 255))
    decoder = Decoder()
    first = decoder.feed(bytes(frame))[0]
    assert first == Fault(FaultKind.CHECKSUM, bytes(frame))
    assert first.address == packet.address
    # A header inside the content may begin a frame that never ends: a quiet line clears it.
    decoder.reset()
    assert decoder.feed(GEN_IMAGE) == [Packet(PacketKind.COMMAND, b"\x01")]


def test_a_frame_cut_short_does_not_swallow_the_whole_one_behind_it():
    found = Decoder().feed(GEN_IMAGE[:9] + GEN_IMAGE)
    assert [item.kind for item in found if isinstance(item, Fault)] == [
        FaultKind.CHECKSUM,
        FaultKind.NOISE,
    ]
    assert found[-1] == Packet(PacketKind.COMMAND, b"\x01")


@pytest.mark.parametrize(
    ("field", "kind"),
    [("01FFFF", "length"), ("010002", "length"), ("010103", "length"), ("030003", "identifier")],
)
def test_a_field_that_cannot_be_true_is_given_up_at_once(field, kind):
    found = Decoder().feed(bytes.fromhex("EF0112345678" + field))
    assert found[0].kind == kind
    assert found[0].address == 0x12345678
    assert Decoder().feed(bytes.fromhex("EF0112345678" + field) + R503_PARAMETERS)[-1] == Packet(
        PacketKind.ACK, R503_PARAMETERS[9:-2]
    )
