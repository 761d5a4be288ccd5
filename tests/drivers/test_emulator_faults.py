"""Every fault on demand, seen from the other end of a real pseudo-terminal."""

from __future__ import annotations

import termios
import time
from dataclasses import replace
from itertools import pairwise

import pytest

from drivers.emulator import Emulator, Mishap
from drivers.emulator.module import Module
from drivers.packets import Packet, PacketKind
from drivers.profiles import R307, R503, Timing
from tests.drivers.conftest import wait_until
from tests.drivers.emulated import GEN_IMAGE, NOBODY, Host, ack, command, touch

SEARCH_ALL = command(0x04, 1, 0, 0, 0x03, 0xE8)
QUIET = 0.12


@pytest.fixture
def host(emulator):
    with Host(emulator.port) as raw:
        yield raw


def ask(host, frame, length=12):
    host.send(frame)
    return host.hear(length)


def capture(host, buffer=1):
    assert ask(host, GEN_IMAGE) == ack(0)
    assert ask(host, command(0x02, buffer)) == ack(0)


def find(host):
    """Confirmation code and slot of a search over everything."""
    reply = ask(host, SEARCH_ALL, 16)
    return reply[9], int.from_bytes(reply[10:12], "big")


# -- one exchange ----------------------------------------------------------------------------------


def test_silence_obeys_and_says_nothing(emulator, host):
    emulator.place("ann")
    capture(host)
    emulator.silence(instruction=0x06)
    host.send(command(0x06, 1, 0, 5))
    assert host.hear(1, QUIET) == b""
    assert emulator.slots == {5}
    assert emulator.history[-1] == 0x06


def test_a_lost_command_is_not_obeyed(emulator, host):
    emulator.place("ann")
    capture(host)
    emulator.lose()
    host.send(command(0x06, 1, 0, 5))
    assert host.hear(1, QUIET) == b""
    assert emulator.slots == set()
    assert emulator.history[-1] == 0x02
    assert ask(host, command(0x06, 1, 0, 5)) == ack(0)


def test_slow_holds_the_reply_back(emulator, host):
    emulator.slow(0.2)
    started = time.monotonic()
    assert ask(host, GEN_IMAGE) == NOBODY
    assert time.monotonic() - started >= 0.2


def test_cut_keeps_so_many_bytes_of_acknowledgement_and_data(emulator, host):
    emulator.cut(5)
    host.send(GEN_IMAGE)
    assert host.hear(12, QUIET) == NOBODY[:5]
    emulator.place("ann")
    capture(host)
    emulator.cut(12 + 70, instruction=0x08)
    host.send(command(0x08, 1))
    assert len(host.hear(200, QUIET)) == 82


@pytest.mark.parametrize(("instead", "rest"), [(False, NOBODY), (True, b"")])
def test_garbage_before_the_reply_or_instead_of_it(emulator, host, instead, rest):
    emulator.garbage(b"\x55\xef\x01", instead=instead)
    host.send(GEN_IMAGE)
    assert host.hear(15, QUIET) == b"\x55\xef\x01" + rest


def test_wrong_checksum_wrong_address_and_refusal(emulator, host):
    emulator.wrong_checksum()
    emulator.wrong_address(0x0A0B0C0D)
    emulator.refuse(0x21)
    assert ask(host, GEN_IMAGE) == NOBODY[:-1] + bytes((NOBODY[-1] ^ 1,))
    assert ask(host, GEN_IMAGE) == ack(2, address=0x0A0B0C0D)
    assert ask(host, GEN_IMAGE) == ack(0x21)
    assert ask(host, GEN_IMAGE) == NOBODY


def test_a_stale_acknowledgement_comes_by_itself_from_the_module_s_address(emulator, host):
    emulator.stale()
    assert host.hear(12) == ack(0)
    emulator.set_address(0x01020304)
    emulator.stale(b"\x09\0\0\0\0")
    assert host.hear(16) == ack(9, 0, 0, 0, 0, address=0x01020304)


def test_faults_wait_for_their_instruction_and_as_often_as_told(emulator, host):
    emulator.refuse(0x18, instruction=0x1D, times=2)
    emulator.refuse(0x03)
    assert ask(host, GEN_IMAGE) == ack(3)
    assert ask(host, GEN_IMAGE) == NOBODY
    assert ask(host, command(0x1D)) == ack(0x18)
    assert ask(host, command(0x1D)) == ack(0x18)
    assert ask(host, command(0x1D), 14) == ack(0, 0, 0)


def test_several_at_once_in_one_mishap(emulator, host):
    emulator.inject(Mishap(noise=b"\x55", code=0x18, bad_checksum=True))
    reply = ask(host, GEN_IMAGE, 13)
    assert reply[:-1] == b"\x55" + ack(0x18)[:-1]
    assert reply[-1] == ack(0x18)[-1] ^ 1


def test_unplugged_in_the_middle_of_a_reply_and_back(emulator, host):
    emulator.unplug_mid_reply(5)
    host.send(GEN_IMAGE)
    assert host.hear(5) == NOBODY[:5]
    with pytest.raises(ConnectionResetError):
        host.hear(1)
    wait_until(lambda: not emulator.look()["plugged"])
    emulator.replug()
    with Host(emulator.port) as again:
        assert ask(again, GEN_IMAGE) == NOBODY


def test_damaged_frames_get_their_mishap_too(emulator, host):
    emulator.refuse(0x18)
    assert ask(host, GEN_IMAGE[:-1] + b"\0") == ack(0x18)


# -- the glass -------------------------------------------------------------------------------------


def test_a_stuck_finger_stays_until_the_glass_is_wiped(emulator, host):
    with pytest.raises(ValueError, match="no finger"):
        emulator.stick()
    emulator.stick("ann")
    emulator.lift()
    assert ask(host, GEN_IMAGE) == ack(0)
    emulator.wipe()
    emulator.lift()
    assert ask(host, GEN_IMAGE) == NOBODY


def test_a_latent_print_is_taken_for_its_finger(emulator, host):
    emulator.enrol("ann", 7)
    with pytest.raises(ValueError, match="yet"):
        emulator.leave_latent()
    emulator.place("ann")
    emulator.lift()
    emulator.leave_latent()
    capture(host)
    assert find(host) == (0, 7)
    emulator.place("bob")
    capture(host)
    assert find(host)[0] == 9, "a real finger is before it"
    emulator.lift()
    emulator.wipe()
    assert ask(host, GEN_IMAGE) == NOBODY


def test_a_ghost_has_an_image_but_no_features(emulator, host):
    emulator.haunt()
    assert ask(host, GEN_IMAGE) == ack(0)
    assert ask(host, command(0x02, 1)) == ack(7)


# -- the module ------------------------------------------------------------------------------------


def test_a_full_library_has_every_bit_of_its_index_set(emulator, host):
    emulator.enrol("ann", 3)
    emulator.fill()
    emulator.place("ann")
    capture(host)
    assert find(host) == (0, 3)
    pages = [ask(host, command(0x1F, page), 44)[10:42] for page in range(4)]
    assert sum(byte.bit_count() for page in pages for byte in page) == 1000


def test_a_library_that_another_host_cleared_keeps_its_notepad(emulator, host):
    emulator.enrol("ann", 3)
    assert ask(host, command(0x18, 0, *range(32))) == ack(0)
    emulator.clear_library()
    assert ask(host, command(0x1D), 14) == ack(0, 0, 0)
    assert ask(host, command(0x19, 0), 44) == ack(0, *range(32))


def stored(host, slot):
    assert ask(host, command(0x07, 2, 0, slot)) == ack(0)
    reply = ask(host, command(0x08, 2), 12 + 4 * 139)
    return b"".join(reply[12 + at + 9 : 12 + at + 137] for at in range(0, 4 * 139, 139))


def test_an_altered_template_has_other_bytes_each_time_and_still_matches(emulator, host):
    emulator.enrol("ann", 3)
    seen = [stored(host, 3)]
    for _ in range(3):
        emulator.alter(3)
        seen.append(stored(host, 3))
    assert all(one != other for one, other in pairwise(seen))
    emulator.place("ann")
    capture(host)
    assert find(host) == (0, 3)
    emulator.ruin(3)
    assert find(host)[0] == 9
    for fault in (emulator.alter, emulator.ruin):
        with pytest.raises(ValueError, match="empty"):
            fault(4)


def test_a_swapped_sensor_is_another_and_can_be_swapped_back(emulator, host):
    emulator.enrol("ann", 3)
    assert ask(host, command(0x18, 0, *range(32))) == ack(0)
    serials = {emulator.look()["serial"]}
    emulator.swap()
    serials.add(emulator.look()["serial"])
    assert len(serials) == 2
    assert emulator.slots == set()
    assert ask(host, command(0x19, 0), 44) == ack(0, *bytes(32)), "behind the same open port"
    emulator.swap(0)
    assert emulator.slots == {3}
    assert ask(host, command(0x19, 0), 44) == ack(0, *range(32))
    with pytest.raises(ValueError, match="from 0"):
        emulator.swap(-1)


def test_swapped_while_unplugged_it_is_there_after_the_replug(emulator):
    emulator.enrol("ann", 3)
    emulator.unplug()
    emulator.swap(2)
    emulator.replug()
    with Host(emulator.port) as host:
        assert ask(host, command(0x1D), 14) == ack(0, 0, 0)


def test_a_restart_loses_ram_and_the_password_s_verification(emulator, host):
    emulator.place("ann")
    capture(host)
    emulator.restart()
    assert ask(host, command(0x02, 1)) == ack(0x15)
    emulator.set_password(0xCAFE)
    assert ask(host, command(0x13, 0, 0, 0xCA, 0xFE)) == ack(0)
    assert ask(host, GEN_IMAGE) == ack(0)
    emulator.restart()
    assert ask(host, GEN_IMAGE) == ack(0x21)


def test_a_restart_ends_the_exchange_it_falls_into(emulator, host):
    emulator.slow(30.0)
    host.send(GEN_IMAGE)
    wait_until(lambda: emulator.history)
    emulator.restart()
    assert ask(host, GEN_IMAGE) == NOBODY


def test_r503_sends_its_boot_byte_after_restart_swap_and_soft_reset(tmp_path):
    with Emulator("r503", tmp_path / "port") as emulator, Host(emulator.port) as host:
        emulator.restart()
        # The byte of the first start came before the host had set its rate: garbage, if anything.
        assert host.hear(2, QUIET).endswith(b"\x55")
        emulator.swap()
        assert host.hear(1) == b"\x55"
        assert ask(host, command(0x35, 3, 0, 2, 0)) == ack(0)
        assert emulator.light.lit
        assert ask(host, command(0x3D), 13) == ack(0) + b"\x55"
        wait_until(lambda: not emulator.light.lit)


def test_a_module_at_another_rate_is_heard_as_garbage_and_hears_garbage(emulator, host):
    emulator.set_baudrate(115_200)
    host.send(GEN_IMAGE)
    assert NOBODY not in host.hear(40, QUIET)
    emulator.send(NOBODY)
    heard = host.hear(40, QUIET)
    assert heard
    assert heard != NOBODY
    with Host(emulator.port, termios.B115200) as right:
        assert ask(right, GEN_IMAGE) == NOBODY
    with pytest.raises(ValueError, match="12345 baud"):
        emulator.set_baudrate(12_345)


def test_a_host_that_hangs_up_with_a_rate_of_zero_does_no_harm(emulator):
    with Host(emulator.port, termios.B0) as host:
        host.send(GEN_IMAGE)
        emulator.send(b"\x55")
        assert host.hear(1, QUIET) == b""
    with Host(emulator.port) as host:
        assert ask(host, GEN_IMAGE) == NOBODY


def test_an_address_that_another_host_gave_it_is_the_only_one_it_hears(emulator, host):
    emulator.set_address(5)
    host.send(GEN_IMAGE)
    assert host.hear(1, QUIET) == b""
    assert ask(host, command(0x01, address=5)) == ack(2, address=5)


def test_heal_forgets_mishaps_mends_parts_and_wipes_the_glass(emulator, host):
    emulator.silence(times=5)
    emulator.break_part("sensor")
    emulator.haunt()
    emulator.heal()
    assert ask(host, GEN_IMAGE) == NOBODY
    emulator.break_part("flash")
    assert ask(host, command(0x0D)) == ack(0x11)
    emulator.mend("flash")
    assert ask(host, command(0x0D)) == ack(0)
    with pytest.raises(ValueError, match="lens"):
        emulator.break_part("lens")


# -- pace, and more than one -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("profile", "content", "least", "most"),
    [
        (R307, (0x01,), 0.30, 0.59),
        (R503, (0x01,), 0.10, 0.20),
        (R307, (0x02, 1), 0.39, 0.39),
        (R503, (0x02, 1), 0.30, 0.30),
        (R307, (0x04, 1, 0, 0, 3, 0xE8), 0.02 + 10 * 0.00075, 0.02 + 10 * 0.00075),
        (R307, (0x06, 1, 0, 0), 0.06, 0.06),
        (R307, (0x0D,), 0.3, 0.3),
    ],
)
def test_thinking_takes_the_documented_time(profile, content, least, most):
    module = Module(profile, seed=2)
    for slot in range(10):
        module.enrol(f"finger {slot}", slot)
    touch(module, "ann")
    busy = module.on_packet(Packet(PacketKind.COMMAND, bytes(content))).busy
    assert least <= busy <= most + 1e-9


def test_realistic_timing_thinks_and_paces(tmp_path):
    quick = replace(R307, timing=Timing(boot=0.0, image_hit=(0.1, 0.1)))
    with Emulator(quick, tmp_path / "port", "realistic") as emulator, Host(emulator.port) as host:
        emulator.place("ann")
        started = time.monotonic()
        assert ask(host, GEN_IMAGE) == ack(0)
        assert time.monotonic() - started >= 0.1 + 24 * 10 / 57_600


def test_two_emulators_at_once_know_nothing_of_each_other(tmp_path):
    with (
        Emulator("r307", tmp_path / "one") as one,
        Emulator("zfm20", tmp_path / "two") as two,
        Host(one.port) as first,
        Host(two.port) as second,
    ):
        one.place("ann")
        two.silence()
        second.send(GEN_IMAGE)
        assert ask(first, GEN_IMAGE) == ack(0)
        assert second.hear(1, QUIET) == b""
        one.unplug()
        assert ask(second, GEN_IMAGE) == NOBODY
        assert ask(second, command(0x19, 0)) == ack(1), "a ZFM-20 has no notepad"


def test_a_stumble_pulls_the_cable_and_the_emulator_can_be_used_again(
    emulator, monkeypatch, caplog
):
    def stumble(_):
        raise KeyError("a mistake")

    monkeypatch.setattr(emulator._line.module, "react", stumble)
    with Host(emulator.port) as host:
        host.send(GEN_IMAGE)
        wait_until(lambda: not emulator.look()["plugged"])
    assert "stumbled" in caplog.text
    monkeypatch.undo()
    emulator.replug()
    with Host(emulator.port) as host:
        assert ask(host, GEN_IMAGE) == NOBODY
