"""The link against arbitrary bytes: it never hangs, never lies, never keeps anything back."""

from __future__ import annotations

import contextlib
import os
import time
import tty
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from drivers import errors
from drivers.link import Link, LinkTiming
from drivers.packets import MAX_FRAME, Packet, PacketKind, encode

TIMING = LinkTiming(gap=0.01, quiet=0.005, settle=0.05)
ACK = Packet(PacketKind.ACK, b"\x00")
_BYTES = st.binary(max_size=80)
_FRAMES = st.builds(
    lambda kind, content, address: encode(Packet(kind, content, address)),
    st.sampled_from(PacketKind),
    st.binary(min_size=1, max_size=40),
    st.sampled_from([0xFFFFFFFF, 0x12345678]),
)
_LINES = st.lists(st.one_of(_BYTES, _FRAMES, st.just(encode(ACK))), max_size=8)
_NOISE = st.binary(max_size=30).filter(lambda data: 0xEF not in data)


@pytest.fixture(scope="module")
def line():
    master, slave = os.openpty()
    tty.setraw(slave)
    with contextlib.closing(Link(os.ttyname(slave), timing=TIMING)) as link:
        yield link, master
    os.close(master)
    os.close(slave)


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(_LINES)
@example([b"\xef\x01\xff\xff\xff\xff\x07\xff\xff"])
@example([b"\xef" * 300])
def test_whatever_comes_ends_in_time_and_only_our_packets_are_believed(line, parts):
    link, master = line
    link.settle()
    os.write(master, b"".join(parts))
    started = time.monotonic()
    with contextlib.suppress(errors.SensorError):
        while time.monotonic() - started < 1.0:
            assert link.receive(0.01).address == 0xFFFFFFFF
    assert time.monotonic() - started < 1.0
    assert link._decoder.pending < MAX_FRAME


@settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.too_slow])
@given(_LINES)
def test_after_any_of_it_the_next_exchange_works(line, parts):
    link, master = line
    os.write(master, b"".join(parts))
    link.settle()
    link.command(b"\x01")
    os.set_blocking(master, False)
    with contextlib.suppress(BlockingIOError):
        while os.read(master, 4096):
            pass
    os.write(master, encode(ACK))
    assert link.receive(0.5) == ACK
    link.done()
    assert not link.suspect


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.integers(1, 11), max_size=4), st.binary(max_size=30).filter(lambda b: 0xEF not in b)
)
def test_a_reply_in_any_pieces_behind_any_noise_is_one_reply(line, cuts, noise):
    link, master = line
    link.settle()
    frame = noise + encode(ACK)
    places = sorted({min(cut, len(frame)) for cut in cuts})
    for start, end in zip([0, *places], [*places, len(frame)], strict=True):
        os.write(master, frame[start:end])
    assert link.receive(0.5) == ACK


def test_a_babbling_line_ends_at_the_deadline(line):
    link, master = line
    link.settle()
    stop = time.monotonic() + 0.3
    started = time.monotonic()
    os.write(master, b"\x00" * 1000)
    with pytest.raises(errors.ResponseTimeout):
        link.receive(0.1)
    assert time.monotonic() - started < 0.3
    assert time.monotonic() < stop


def test_no_descriptor_outlives_a_link(line):
    link, _ = line
    path = link.port
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        with pytest.raises(errors.PortBusy):
            Link(path)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.parametrize("kind", ["device", "file", "folder"])
def test_what_is_no_serial_port_is_told_apart_from_one_that_was_unplugged(tmp_path, kind):
    (tmp_path / "file").touch()
    port = {"device": "/dev/null", "file": tmp_path / "file", "folder": tmp_path}[kind]
    with pytest.raises(errors.NotSerial) as caught:
        Link(str(port))
    assert caught.value.sentence == "This is not a serial port."
