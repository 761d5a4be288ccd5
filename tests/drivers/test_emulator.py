"""The emulated module, byte for byte, as a host without our driver sees it."""

from __future__ import annotations

import termios
import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.emulator import Emulator, fingers
from drivers.emulator.module import Module
from drivers.emulator.wire import resample
from drivers.packets import Decoder, Packet, PacketKind, encode
from drivers.profiles import PROFILES, R307, ZFM20, Timing
from tests.drivers.conftest import wait_until
from tests.drivers.emulated import GEN_IMAGE, NOBODY, OK, PACKET_ERROR, Host, ask, send_data, touch


@pytest.fixture
def module():
    return Module(R307, seed=1)


# -- the module ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "answer"),
    [
        (b"\x01", b"\x02"),  # GenImg, nobody there
        (b"\x02\x01", b"\x15"),  # Img2Tz without an image
        (b"\x02", b"\x01"),  # Img2Tz without its buffer
        (b"\x03", b"\x08\0\0"),  # Match of nothing
        (b"\x04\x01\0\0\x03\xe8", b"\x09\0\0\0\0"),  # Search that finds nothing
        (b"\x1b\x01\0\0\x03\xe8", b"\x09\0\0\0\0"),  # HiSpeedSearch, same layout
        (b"\x05", b"\x0a"),  # RegModel of nothing
        (b"\x06\x01\x03\xe8", b"\x0b"),  # Store beyond the end
        (b"\x07\x01\0\x05", b"\x0c"),  # LoadChar of an empty slot
        (b"\x07\x01\x03\xe8", b"\x0b"),  # LoadChar beyond the end
        (b"\x08\x01", b"\x0d"),  # UpChar of an empty buffer
        (b"\x0a", b"\x0f"),  # UpImage without an image
        (b"\x0c\0\x05\0\x01", OK),  # DeletChar of an empty slot
        (b"\x0c\x03\xe7\0\x02", b"\x10"),  # DeletChar past the end
        (b"\x0d", OK),  # Empty
        (b"\x0e\x07\x01", b"\x1a"),  # SetSysPara of no such register
        (b"\x0e\x05\x06", b"\x1b"),  # SetSysPara of no such level
        (b"\x13\0\0\0\x01", b"\x13"),  # VfyPwd, wrong
        (b"\x18\x10" + bytes(32), b"\x1c"),  # WriteNotepad, no such page
        (b"\x18\0" + bytes(31), b"\x01"),  # WriteNotepad, short page
        (b"\x19\x10", b"\x1c"),  # ReadNotepad, no such page
        (b"\x1d", b"\0\0\0"),  # TempleteNum
        (b"\x1f\x03", OK + bytes(32)),  # ReadConList
        (b"\x35\0\0\0\0", b"\x01"),  # an instruction of another family
    ],
)
def test_confirmation_codes(module, content, answer):
    assert ask(module, content) == [answer]


def test_read_parameters_is_laid_out_as_the_capture_of_a_real_module():
    # The capture: an R503 that has verified its password, 200 slots.
    module = Module(replace(ZFM20, capacity=200))
    assert ask(module, b"\x13\0\0\0\0") == [OK]
    (content,) = ask(module, b"\x0f")
    frame = encode(Packet(PacketKind.ACK, content))
    assert frame.hex().upper() == ("EF01FFFFFFFF0700130000040000" + "00C80003FFFFFFFF0002000604ED")


def test_status_register_follows_image_and_match(module):
    def status():
        return ask(module, b"\x0f")[0][2]

    module.enrol("ann", 0)
    assert status() == 0
    touch(module, "ann")
    assert status() == 0b1000
    ask(module, b"\x04\x01\0\0\x03\xe8")
    assert status() == 0b1010


def test_another_address_is_silence_or_0x20_by_profile(module):
    assert ask(module, b"\x01", address=1) is None
    talkative = Module(replace(R307, answers_wrong_address=True))
    assert ask(talkative, b"\x01", address=1) == [b"\x20"]


def test_set_address_is_acknowledged_from_the_new_one(module):
    reply = module.on_packet(Packet(PacketKind.COMMAND, b"\x15\x01\x02\x03\x04"))
    assert [(p.content, p.address) for p in reply.packets] == [(OK, 0x01020304)]
    assert ask(module, b"\x01") is None


def test_set_parameter_answers_before_it_changes(module):
    reply = module.on_packet(Packet(PacketKind.COMMAND, b"\x0e\x04\x0c"))
    assert module.flash.baudrate == 57_600
    reply.after()
    assert module.flash.baudrate == 115_200


def test_a_password_shuts_everything_else_out_until_verified(module):
    assert ask(module, b"\x12\0\0\0\x05") == [OK]
    module.power_on()
    assert ask(module, b"\x01") == [b"\x21"]
    assert ask(module, b"\x0f") == [b"\x21"]
    assert ask(module, b"\x13\0\0\0\x05") == [OK]
    assert ask(module, b"\x01") == [b"\x02"]
    module.power_on()
    assert ask(module, b"\x01") == [b"\x21"]


def test_enrolment_by_the_book_then_search_load_and_overwrite(module):
    touch(module, "ann", 1)
    touch(module, "ann", 2)
    assert ask(module, b"\x05") == [OK]
    assert ask(module, b"\x06\x01\x01\x02") == [OK]
    assert ask(module, b"\x1d") == [b"\0\0\x01"]
    # Slot 258 is page 1, byte 0, bit 2, counted from the lowest.
    assert ask(module, b"\x1f\x01")[0][1] == 0b100
    touch(module, "ann")
    (found,) = ask(module, b"\x04\x01\0\0\x03\xe8")
    assert found[:3] == b"\0\x01\x02"
    assert ask(module, b"\x04\x01\0\0\x01\x02")[0][0] == 0x09, "the range ends before the slot"
    touch(module, "bob", 2)
    assert ask(module, b"\x06\x02\x01\x02") == [OK]
    assert ask(module, b"\x04\x01\0\0\x03\xe8")[0][0] == 0x09, "overwritten without a word"


def test_two_fingers_do_not_merge_unless_the_profile_has_that_fault(module):
    touch(module, "ann", 1)
    touch(module, "bob", 2)
    assert ask(module, b"\x05") == [b"\x0a"]
    careless = Module(replace(R307, merges_strangers=True))
    touch(careless, "ann", 1)
    touch(careless, "bob", 2)
    assert ask(careless, b"\x05") == [OK]
    assert ask(careless, b"\x06\x01\0\0") == [OK]
    for name in ("ann", "bob"):
        touch(careless, name)
        assert ask(careless, b"\x04\x01\0\0\x03\xe8")[0][0] == 0x09


def test_habits_of_other_families():
    odd = Module(replace(R307, page_when_missed=0x01EE, image_clears_buffers=True))
    odd.enrol("ann", 0)
    touch(odd, "ann")
    assert ask(odd, b"\x01") == [OK]
    assert ask(odd, b"\x04\x01\0\0\x03\xe8") == [b"\x09\x01\xee\0\0"]


def test_moisture_has_codes_of_its_own_only_where_the_profile_says_so():
    for profile, codes in ((R307, (4, 5)), (ZFM20, (7, 6))):
        module = Module(profile)
        for quality, code in zip(("dry", "wet"), codes, strict=True):
            module.glass.finger = fingers.Finger("ann", fingers.Quality(quality))
            ask(module, b"\x01")
            assert ask(module, b"\x02\x01") == [bytes((code,))]


def test_up_char_sends_packets_of_the_set_size_and_an_end(module):
    touch(module, "ann")
    assert ask(module, b"\x0e\x06\x00") == [OK]
    reply = module.on_packet(Packet(PacketKind.COMMAND, b"\x08\x01"))
    kinds = [packet.kind for packet in reply.packets]
    assert kinds == [PacketKind.ACK] + [PacketKind.DATA] * 15 + [PacketKind.END]
    assert {len(packet.content) for packet in reply.packets[1:]} == {32}


def test_downloaded_characters_count_only_after_the_end_packet(module):
    template = fingers.template(fingers.Finger("ann").identity, 1, 512)
    assert ask(module, b"\x09\x01") == [OK]
    module.on_packet(Packet(PacketKind.DATA, template[:256]))
    assert ask(module, b"\x01") == [b"\x0e"], "a command in the middle of the data"
    assert ask(module, b"\x08\x01") == [b"\x0d"]
    assert ask(module, b"\x09\x01") == [OK]
    send_data(module, template[:256], template[256:])
    assert b"".join(ask(module, b"\x08\x01")[1:]) == template
    assert ask(module, b"\x09\x01") == [OK]
    send_data(module, *[bytes(256)] * 3)
    assert ask(module, b"\x01") == [b"\x0e"], "more data than a template has"


def test_data_that_nobody_asked_for_is_ignored(module):
    send_data(module, bytes(128), bytes(128))
    assert ask(module, b"\x01") == [b"\x02"]


def test_an_image_goes_up_labelled_and_comes_back_as_the_same_finger(module):
    module.enrol("ann", 5)
    module.glass.finger = fingers.Finger("ann")
    assert ask(module, b"\x01") == [OK]
    image = b"".join(ask(module, b"\x0a")[1:])
    assert len(image) == 256 * 288 // 2
    assert image.startswith(b"ARTIFICIAL FINGER")
    module.power_on()
    assert ask(module, b"\x0b") == [OK]
    send_data(module, *[image[at : at + 128] for at in range(0, len(image), 128)])
    assert ask(module, b"\x02\x01") == [OK]
    assert ask(module, b"\x04\x01\0\0\x03\xe8")[0][:3] == b"\0\0\x05"


def test_power_clears_ram_and_leaves_flash(module):
    touch(module, "ann")
    ask(module, b"\x06\x01\0\x03")
    ask(module, b"\x18\x02" + bytes(range(32)))
    ask(module, b"\x0e\x05\x05")
    module.power_on()
    assert ask(module, b"\x02\x01") == [b"\x15"]
    assert ask(module, b"\x08\x01") == [b"\x0d"]
    assert ask(module, b"\x1d") == [b"\0\0\x01"]
    assert ask(module, b"\x19\x02") == [OK + bytes(range(32))]
    assert ask(module, b"\x0f")[0][8] == 5


@given(
    st.lists(st.text(min_size=1, max_size=12), min_size=2, max_size=2, unique=True),
    st.tuples(*[st.integers(0, 2**32 - 1)] * 2),
    st.sampled_from(sorted(PROFILES)),
)
def test_one_name_always_matches_itself_and_no_other(names, impressions, profile):
    scores = PROFILES[profile].scores
    ann, bob = (fingers.Finger(name).identity for name in names)
    probe, again = (fingers.template(ann, number, 512) for number in impressions)
    assert scores[0] <= fingers.compare(probe, again, scores) <= scores[1]
    assert fingers.compare(probe, fingers.template(bob, impressions[0], 512), scores) == 0
    assert fingers.compare(fingers.merge(probe, again), probe, scores) > 0


@given(st.binary(max_size=60), st.sampled_from([9600, 57_600, 115_200]))
def test_a_line_of_one_speed_is_heard_as_it_was_sent(data, baudrate):
    assert resample(data, baudrate, baudrate) == data


@given(st.integers(1, 12), st.integers(1, 12))
def test_a_frame_at_another_speed_is_never_a_frame(sent, heard):
    frame = encode(Packet(PacketKind.COMMAND, b"\x01"))
    found = Decoder().feed(resample(frame, 9600 * sent, 9600 * heard))
    assert (sent == heard) == any(isinstance(item, Packet) for item in found)


# -- the wire --------------------------------------------------------------------------------------


def test_a_bad_checksum_is_acknowledged_with_01(emulator):
    with Host(emulator.port) as host:
        host.send(GEN_IMAGE[:-1] + b"\0")
        assert host.hear(12) == PACKET_ERROR


def test_a_frame_cut_short_is_dropped_after_a_pause(emulator):
    with Host(emulator.port) as host:
        host.send(GEN_IMAGE[:10])
        assert host.hear(1, 0.15) == b""
        host.send(GEN_IMAGE)
        assert host.hear(24, 0.15) == NOBODY


def test_an_impossible_length_is_dropped_and_the_next_frame_heard(emulator):
    with Host(emulator.port) as host:
        host.send(bytes.fromhex("EF01FFFFFFFF010103") + GEN_IMAGE)
        assert host.hear(12) == NOBODY


@pytest.mark.parametrize(("deaf", "expected"), [(True, NOBODY), (False, NOBODY * 2)])
def test_bytes_that_come_while_it_is_busy_are_lost(tmp_path, deaf, expected):
    profile = replace(R307, timing=Timing(boot=0.0, image_miss=0.1), deaf_while_busy=deaf)
    with Emulator(profile, tmp_path / "port", "realistic") as emulator, Host(emulator.port) as host:
        host.send(GEN_IMAGE)
        host.send(GEN_IMAGE)
        assert host.hear(24, 0.4) == expected


def test_it_is_deaf_while_it_boots_then_sends_its_raw_byte(tmp_path):
    profile = replace(R307, boot_byte=0x55, timing=Timing(boot=0.15))
    with Emulator(profile, tmp_path / "port", "realistic") as emulator, Host(emulator.port) as host:
        host.send(GEN_IMAGE)
        assert host.hear(13, 0.5) == b"\x55"
        host.send(GEN_IMAGE)
        assert host.hear(12) == NOBODY


def test_another_baud_rate_gets_no_answer_and_the_right_one_does(emulator):
    with Host(emulator.port, termios.B9600) as host:
        host.send(GEN_IMAGE)
        assert host.hear(12, 0.15) == b""
    with Host(emulator.port) as host:
        host.send(GEN_IMAGE)
        assert host.hear(12) == NOBODY


def test_paced_bytes_take_the_time_they_need_on_the_wire(tmp_path):
    with Emulator("r307", tmp_path / "port", "paced") as emulator, Host(emulator.port) as host:
        command = encode(Packet(PacketKind.COMMAND, b"\x1f\x00"))
        started = time.monotonic()
        host.send(command)
        reply = host.hear(44)
        took = time.monotonic() - started
    assert len(reply) == 44
    assert took >= (len(command) + len(reply)) * 10 / 57_600


def test_a_dead_host_does_not_lock_the_next_one_out(emulator, monkeypatch):
    monkeypatch.setattr("drivers.emulator.line._HOST_IDLE", 0.05)
    forgotten = []
    forget = emulator._line.wire.forget_host
    monkeypatch.setattr(emulator._line.wire, "forget_host", lambda: forgotten.append(forget()))
    wait_until(lambda: forgotten)


def test_unplug_takes_link_and_ram_and_replug_brings_a_new_port(emulator, tmp_path):
    link = tmp_path / "sensor"
    first = link.readlink()
    emulator.enrol("ann", 1)
    emulator.unplug()
    assert not link.is_symlink()
    with pytest.raises(RuntimeError):
        emulator.unplug()
    with pytest.raises(RuntimeError):
        emulator.send(b"\x55")
    emulator.replug()
    with pytest.raises(RuntimeError):
        emulator.replug()
    assert link.is_symlink()
    assert emulator.slots == {1}
    with Host(emulator.port) as host:
        host.send(GEN_IMAGE)
        assert host.hear(12) == NOBODY
    emulator.stop()
    assert not link.is_symlink(), first


def test_it_does_not_overwrite_a_file_that_is_no_link(tmp_path):
    (tmp_path / "port").write_text("mine")
    with pytest.raises(FileExistsError):
        Emulator("r307", tmp_path / "port").start()
    assert (tmp_path / "port").read_text() == "mine"


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    def template(seed):
        module = Module(R307, seed)
        touch(module, "ann")
        return ask(module, b"\x08\x01")

    assert template(3) == template(3) != template(4)


def test_unplugged_while_it_sends_it_goes_on_after_a_replug(tmp_path):
    with Emulator("r307", tmp_path / "port", "paced") as emulator:
        emulator.place("ann")
        with Host(emulator.port) as host:
            host.send(GEN_IMAGE)
            assert host.hear(12)[9:10] == OK
            host.send(encode(Packet(PacketKind.COMMAND, b"\x0a")))
            assert len(host.hear(500)) == 500
            pulled = time.monotonic()
            emulator.unplug()
            assert time.monotonic() - pulled < 1.0, "the image would have taken seven seconds"
        emulator.replug()
        with Host(emulator.port) as host:
            host.send(GEN_IMAGE)
            assert host.hear(12)[9:10] == OK
