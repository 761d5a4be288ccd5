"""Any bytes at all: no exception escapes the emulated module and nothing grows without bound."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.emulator import fingers
from drivers.emulator.module import Module
from drivers.packets import MAX_CONTENT, MAX_FRAME, Decoder, Packet, PacketKind, encode
from drivers.profiles import AUTO_ENROLL, AUTO_IDENTIFY, DOWN_CHAR, DOWN_IMAGE, PROFILES

_PARAMS = st.one_of(st.binary(max_size=6), st.binary(max_size=MAX_CONTENT - 1))
_PACKETS = st.builds(
    Packet,
    st.sampled_from(PacketKind),
    st.one_of(
        st.builds(lambda code, params: bytes((code,)) + params, st.integers(0, 0x60), _PARAMS),
        st.binary(min_size=1, max_size=MAX_CONTENT),
    ),
    st.sampled_from([0xFFFFFFFF, 0, 0x01020304]),
)
_DAMAGE = st.tuples(st.integers(0, MAX_FRAME), st.integers(0, 255))


def _spoilt(packet, damage):
    frame = bytearray(encode(packet))
    at, value = damage
    frame[at % len(frame)] = value
    return bytes(frame)


def _download(instruction, sizes, kind):
    """A download that may be longer than anything a module keeps, ended or not."""
    packets = [Packet(PacketKind.COMMAND, bytes((instruction, 1)))]
    packets += [Packet(PacketKind.DATA, bytes(size)) for size in sizes]
    return b"".join(map(encode, [*packets, Packet(kind, b"\1")]))


_DOWNLOADS = st.builds(
    _download,
    st.sampled_from([DOWN_CHAR, DOWN_IMAGE]),
    st.lists(st.sampled_from([1, 128, MAX_CONTENT]), max_size=10),
    st.sampled_from([PacketKind.DATA, PacketKind.END]),
)
_CHUNKS = st.one_of(
    st.binary(max_size=40), _PACKETS.map(encode), st.builds(_spoilt, _PACKETS, _DAMAGE), _DOWNLOADS
)


@settings(max_examples=150)
@given(st.sampled_from(sorted(PROFILES)), st.lists(_CHUNKS, max_size=25), st.booleans(), st.data())
def test_whatever_comes_over_the_line(name, chunks, present, data):
    module, decoder = Module(PROFILES[name], seed=1), Decoder()
    module.enrol("ann", 0)
    if present:
        module.glass.finger = fingers.Finger("ann")
    for chunk in chunks:
        for item in decoder.feed(chunk):
            instruction = module.instruction_of(item)
            reply = module.react(item)
            assert (reply is None) == (instruction is None)
            if reply is not None:
                assert reply.instruction == instruction
                assert reply.busy >= 0
                if not reply.packets:
                    assert module.ram.flow is not None, "nothing but a flow may stay silent"
                else:
                    _check_reply(reply)
        _go_on(module, data)
        _check_bounds(module, decoder)


def _check_reply(reply):
    assert all(encode(packet) for packet in reply.packets)
    assert reply.packets[0].kind is PacketKind.ACK
    if reply.after:
        reply.after()


def _go_on(module, data):
    """A flow goes on for a while, the finger coming and going; it may never talk without end."""
    now = 0.0
    for _ in range(data.draw(st.integers(0, 40))):
        if data.draw(st.booleans()):
            module.glass.finger = None if module.glass.finger else fingers.Finger("ann")
        now += data.draw(st.sampled_from([0.02, 4.0]))
        if (reply := module.advance(now)) is not None and reply.packets:
            assert reply.instruction in {AUTO_ENROLL, AUTO_IDENTIFY}
            _check_reply(reply)
        if module.ram.flow is None:
            return


def _check_bounds(module, decoder):
    profile, ram, flash = module.profile, module.ram, module.flash
    assert decoder.pending < MAX_FRAME
    if ram.download is not None:
        assert len(ram.download.data) <= ram.download.limit
    assert len(ram.buffers) <= profile.buffers
    assert all(len(data) == profile.template_size for data in ram.buffers.values())
    assert all(0 <= slot < profile.capacity for slot in flash.library)
    assert all(len(data) == profile.template_size for data in flash.library.values())
    assert all(0 <= page < profile.notepad_pages for page in flash.notepad)
    assert 9600 <= flash.baudrate <= 115_200
