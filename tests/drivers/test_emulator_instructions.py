"""Every instruction on every profile: which obey, with what code, and how long the answer is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from drivers import profiles as p
from drivers.emulator import fingers
from drivers.emulator.extensions import EXTENSIONS
from drivers.emulator.flows import FLOWS
from drivers.emulator.instructions import CORE
from drivers.emulator.memory import Light, Part
from drivers.emulator.module import Module
from drivers.packets import Decoder, Fault, Packet, PacketKind, encode
from drivers.profiles import AS608, INSTRUCTIONS, PROFILES, R307, R308, R503, ZFM20
from tests.drivers.emulated import OK, ack, ask, command, send_data, touch

HANDLERS = CORE | EXTENSIONS | FLOWS
# They answer as they go on: tests/drivers/test_emulator_flows.py.
STARTS = {p.AUTO_ENROLL, p.AUTO_IDENTIFY}
# What a module with a good finger on it and ann in slot 0 answers, after GetImage and Img2Tz:
# parameters, confirmation code, bytes of data behind it, bytes of data packets.
CASES = {
    p.GEN_IMAGE: (b"", 0x00, 0, 0),
    p.IMAGE_TO_TEMPLATE: (b"\1", 0x00, 0, 0),
    p.MATCH: (b"", 0x08, 2, 0),
    p.SEARCH: (b"\1\0\0\0\xff", 0x00, 4, 0),
    p.REG_MODEL: (b"", 0x0A, 0, 0),
    p.STORE: (b"\1\0\5", 0x00, 0, 0),
    p.LOAD_CHAR: (b"\2\0\0", 0x00, 0, 0),
    p.UP_CHAR: (b"\1", 0x00, 0, "template"),
    p.DOWN_CHAR: (b"\1", 0x00, 0, 0),
    p.UP_IMAGE: (b"", 0x00, 0, "image"),
    p.DOWN_IMAGE: (b"", 0x00, 0, 0),
    p.DELETE_CHAR: (b"\0\0\0\1", 0x00, 0, 0),
    p.EMPTY: (b"", 0x00, 0, 0),
    p.SET_SYS_PARA: (b"\5\3", 0x00, 0, 0),
    p.READ_SYS_PARA: (b"", 0x00, 16, 0),
    p.SET_PASSWORD: (b"\0\0\0\0", 0x00, 0, 0),
    p.VERIFY_PASSWORD: (b"\0\0\0\0", 0x00, 0, 0),
    p.GET_RANDOM: (b"", 0x00, 4, 0),
    p.SET_ADDRESS: (b"\xff\xff\xff\xff", 0x00, 0, 0),
    p.TEMPLATE_COUNT: (b"", 0x00, 2, 0),
    p.READ_INDEX: (b"\0", 0x00, 32, 0),
    p.READ_INFO_PAGE: (b"", 0x00, 0, 512),
    p.PORT_CONTROL: (b"\1", 0x00, 0, 0),
    p.WRITE_NOTEPAD: (b"\0" + bytes(32), 0x00, 0, 0),
    p.READ_NOTEPAD: (b"\0", 0x00, 32, 0),
    p.HI_SPEED_SEARCH: (b"\1\0\0\0\xff", 0x00, 4, 0),
    p.GET_IMAGE_EX: (b"", 0x00, 0, 0),
    p.GR_ENROLL: (b"", 0x00, 2, 0),
    p.GR_IDENTIFY: (b"", 0x00, 4, 0),
    p.CANCEL: (b"", 0x00, 0, 0),
    p.AUTO_ENROLL: (b"\1\1\1\1\1", None, 0, 0),
    p.AUTO_IDENTIFY: (b"\3\0\xc8\1\1", None, 0, 0),
    p.AURA_LED: (b"\1\x40\2\0", 0x00, 0, 0),
    p.CHECK_SENSOR: (b"", 0x00, 0, 0),
    p.ALGORITHM_VERSION: (b"", 0x00, 32, 0),
    p.FIRMWARE_VERSION: (b"", 0x00, 32, 0),
    p.PRODUCT_INFO: (b"", 0x00, 46, 0),
    p.SOFT_RESET: (b"", 0x00, 0, 0),
    p.HANDSHAKE: (b"", 0x00, 0, 0),
    p.LED_ON: (b"", 0x00, 0, 0),
    p.LED_OFF: (b"", 0x00, 0, 0),
    p.ECHO: (b"", 0x55, 0, 0),
}


def test_every_instruction_has_a_handler_a_name_and_a_case():
    assert set(HANDLERS) == set(INSTRUCTIONS) == set(CASES)
    for profile in PROFILES.values():
        assert profile.instructions <= set(INSTRUCTIONS)


@pytest.mark.parametrize("name", sorted(PROFILES))
@pytest.mark.parametrize("instruction", sorted(INSTRUCTIONS), ids=INSTRUCTIONS.get)
def test_shape_and_code_on_every_profile(name, instruction):
    profile = PROFILES[name]
    module = Module(profile, seed=3)
    module.enrol("ann", 0)
    if profile.model_buffer:
        assert ask(module, b"\7\1\0\0") == [OK]  # else there is no template to send up
    touch(module, "ann")
    params, code, data, stream = CASES[instruction]
    if profile.model_buffer and instruction == p.MATCH:
        code = 0x00  # compares ann with the template that was loaded
    stream = {"template": profile.template_size, "image": _image_size(profile)}.get(stream, stream)
    answer = ask(module, bytes((instruction,)) + params)
    if not profile.supports(instruction):
        assert answer == [bytes((profile.unknown_code,))]
        return
    if instruction in STARTS:
        assert answer == []
        return
    assert answer[0][0] == code
    assert len(answer[0]) == 1 + data
    assert sum(map(len, answer[1:])) == stream


@pytest.mark.parametrize(
    ("name", "instruction"),
    [
        (profile.name, instruction)
        for profile in PROFILES.values()
        for instruction in sorted(profile.instructions)
        if HANDLERS[instruction][0]
    ],
)
def test_one_byte_too_few_is_a_packet_error_on_every_profile(name, instruction):
    profile = PROFILES[name]
    needed, _ = HANDLERS[instruction]
    short = bytes((instruction,)) + CASES[instruction][0][: needed - 1]
    assert ask(Module(profile), short) == [b"\x01"]


@pytest.mark.parametrize(
    ("profile", "code"), [(ZFM20, 0x01), (AS608, 0x01), (R307, 0x01), (R308, 0x01), (R503, 0xFC)]
)
def test_what_no_profile_knows_gets_the_family_s_answer(profile, code):
    for instruction in set(range(256)) - profile.instructions:
        assert ask(Module(profile), bytes((instruction,)) + bytes(40)) == [bytes((code,))]


def _image_size(profile):
    width, height = profile.image
    return width * height // 2


# -- golden vectors: whole frames -----------------------------------------------------------------


def frames(module, *content):
    reply = module.on_packet(Packet(PacketKind.COMMAND, bytes(content)))
    return b"".join(map(encode, reply.packets))


def test_the_capture_of_a_real_r503():
    module = Module(R503)
    assert frames(module, 0x13, 0, 0, 0, 0).hex() == "ef01ffffffff070003" + "00" + "000a"
    assert frames(module, 0x0F).hex().upper() == (
        "EF01FFFFFFFF07001300000400" + "0000C80003FFFFFFFF0002000604ED"
    )


@pytest.mark.parametrize(
    ("sent", "heard"),
    [
        ("ef01ffffffff010003010005", "ef01ffffffff07000302000c"),  # GetImage, nobody there
        ("ef01ffffffff01000402010008", "ef01ffffffff070003150" + "01f"),  # Img2Tz without an image
        ("ef01ffffffff0100031d0021", "ef01ffffffff0700050000000" + "00c"),  # TempleteNum of none
        ("ef01ffffffff01000713000000000" + "01b", "ef01ffffffff07000300000a"),  # VfyPwd 00000000
    ],
)
def test_frames_worked_out_by_hand(sent, heard):
    assert command(*bytes.fromhex(sent)[9:-2]).hex() == sent
    assert frames(Module(ZFM20), *bytes.fromhex(sent)[9:-2]).hex() == heard


def test_the_new_address_is_in_the_frame_that_acknowledges_it():
    assert frames(Module(ZFM20), 0x15, 1, 2, 3, 4) == ack(0, address=0x01020304)


# -- R503 ------------------------------------------------------------------------------------------


def test_r503_a_get_image_between_convert_and_search_spoils_the_search():
    module = Module(R503)
    module.enrol("ann", 9)
    touch(module, "ann")
    assert ask(module, b"\x04\1\0\0\0\xc8")[0][:3] == b"\0\0\x09"
    assert ask(module, b"\x01") == [OK]
    assert ask(module, b"\x04\1\0\0\0\xc8") == [b"\x09\x01\xee\0\0"], "junk where a page would be"
    assert ask(module, b"\x02\1") == [OK]
    assert ask(module, b"\x04\1\0\0\0\xc8")[0][0] == 0


def test_r503_makes_a_template_of_up_to_six_buffers():
    module = Module(R503)
    for buffer in range(1, 7):
        touch(module, "ann", buffer)
    assert sorted(module.ram.buffers) == [1, 2, 3, 4, 5, 6]
    assert ask(module, b"\x05") == [OK]
    assert ask(module, b"\x06\1\0\0") == [OK]
    for buffer in range(1, 6):
        touch(module, "ann", buffer)
    touch(module, "bob", 6)
    assert ask(module, b"\x05") == [b"\x0a"], "one of six is another finger"


def test_a_module_of_two_buffers_takes_any_other_number_for_the_second():
    module = Module(R307)
    touch(module, "ann", 6)
    assert sorted(module.ram.buffers) == [2]


def test_r503_match_compares_with_the_template_not_with_the_other_features():
    module = Module(R503)
    touch(module, "ann", 1)
    touch(module, "ann", 2)
    assert ask(module, b"\x03")[0][0] == 0x08, "there is no template yet"
    assert ask(module, b"\x08\1") == [b"\x0d"]
    assert ask(module, b"\x05") == [OK]
    touch(module, "ann")
    assert ask(module, b"\x03")[0][0] == 0
    touch(module, "bob")
    assert ask(module, b"\x03")[0][0] == 0x08


def test_r503_get_image_ex_refuses_what_get_image_takes():
    module = Module(R503)
    module.glass.finger = fingers.Finger("ann", fingers.Quality.SMUDGED)
    assert ask(module, b"\x01") == [OK]
    assert ask(module, b"\x28") == [b"\x07"]
    module.glass.finger = None
    assert ask(module, b"\x28") == [b"\x02"]


def test_r503_tells_its_serial_and_sizes():
    (info,) = ask(Module(R503, seed=42), b"\x3c")
    assert info[1:17] == b"R503".ljust(16, b"\0")
    assert info[21:29] == b"00000042"
    assert info[-8:] == bytes.fromhex("00c000c0060000c8"), "192, 192, 1536, 200"


def test_r503_takes_only_its_own_baud_rates():
    module = Module(R503)
    for number in range(14):
        expected = OK if number in {1, 2, 4, 6, 12} else b"\x1b"
        assert ask(module, bytes((0x0E, 4, number))) == [expected]


def test_lights_are_remembered_until_power_goes():
    module = Module(R503)
    assert ask(module, b"\x35\x01\x80\x02\x05") == [OK]
    assert module.ram.light == Light(control=1, speed=128, colour=2, count=5)
    assert module.ram.light.lit
    assert ask(module, b"\x35\x06\x80\x02\x00") == [OK]
    assert not module.ram.light.lit
    assert ask(module, b"\x35\x07\x80\x02\x00") == [b"\x01"]
    assert ask(module, b"\x35\x01\x80\x08\x00") == [b"\x01"]
    other = Module(R307)
    assert ask(other, b"\x50") == [OK]
    assert other.ram.light.lit
    other.power_on()
    assert not other.ram.light.lit


def test_port_control_takes_on_and_off():
    module = Module(R307)
    assert [ask(module, bytes((0x17, value))) for value in (0, 1, 2)] == [[OK], [OK], [b"\x1d"]]


# -- what may be broken, and data phases -----------------------------------------------------------


def test_a_broken_flash_refuses_every_write_and_changes_nothing():
    module = Module(R307)
    module.enrol("ann", 1)
    touch(module, "ann")
    module.broken.add(Part.FLASH)
    before = module.flash.revision
    for content, code in (
        (b"\x06\1\0\2", 0x18),
        (b"\x0c\0\1\0\1", 0x10),
        (b"\x0d", 0x11),
        (b"\x0e\5\1", 0x18),
        (b"\x12\0\0\0\1", 0x18),
        (b"\x15\0\0\0\1", 0x18),
        (b"\x18\0" + bytes(32), 0x18),
    ):
        assert ask(module, content) == [bytes((code,))]
    assert module.flash.revision == before
    assert ask(module, b"\x04\1\0\0\0\xff")[0][0] == 0, "reading still works"


def test_a_broken_sensor_takes_no_image():
    module = Module(R503)
    module.glass.finger = fingers.Finger("ann")
    module.broken.add(Part.SENSOR)
    assert ask(module, b"\x01") == [b"\x03"]
    assert ask(module, b"\x36") == [b"\x29"]


def test_damaged_data_spoils_the_download_and_is_not_acknowledged():
    module = Module(R307)
    assert ask(module, b"\x09\1") == [OK]
    frame = bytearray(encode(Packet(PacketKind.DATA, bytes(128))))
    frame[-1] ^= 1
    fault = Decoder().feed(bytes(frame))[0]
    assert isinstance(fault, Fault)
    assert module.react(fault) is None
    send_data(module, bytes(128))
    assert ask(module, b"\x01") == [b"\x0e"]
    assert ask(module, b"\x01") == [b"\x02"]


def test_index_pages_beyond_the_capacity_are_zero_and_bits_count_from_the_lowest():
    module = Module(ZFM20)
    module.enrol("ann", 0)
    module.enrol("bob", 161)
    page = ask(module, b"\x1f\0")[0][1:]
    assert page[0] == 1
    assert page[20] == 1 << 1
    assert sum(page) == 3
    for number in (1, 2, 3):
        assert ask(module, bytes((0x1F, number))) == [bytes(33)]


def test_a_module_whose_merging_is_careless_makes_a_chimera_of_any_two():
    module = Module(replace(R503, merges_strangers=True))
    touch(module, "ann", 1)
    touch(module, "bob", 2)
    assert ask(module, b"\x05") == [OK]
    assert ask(module, b"\x06\1\0\0") == [OK]
    touch(module, "ann")
    assert ask(module, b"\x04\1\0\0\0\xc8")[0][0] == 0x09
