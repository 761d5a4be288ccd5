"""Which share of the hub's work in a drain is encoding and decoding.

The hub's CPU time while it takes a whole outbox in, and what the same messages cost the codec
alone: the pushes and each event decoded, the envelopes and the acks encoded.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from kiosk.model import Envelope, decode_event, encode_envelope
from sync.protocol import Judged, Push, Receipt, decode_from_kiosk, encode
from tests.bench import drain
from tests.bench.line import Line

if TYPE_CHECKING:
    from collections.abc import Iterator

EVENTS, ROUNDS = 20_000, 3


def run() -> list[Line]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        full = folder / "full.db"
        drain._fill(full, EVENTS)
        bodies = drain._bodies(full)
        hub, codec = [], []
        for number in range(ROUNDS):
            here = folder / str(number)
            here.mkdir()
            with _counted(hub):
                drain._drain(full, here, len(bodies))
            codec.append(_codec([body for _, body in bodies]))
    each = 1e6 / len(bodies)
    share, whole = statistics.median(codec) * each, statistics.median(hub) * each
    return [Line("codec_share", round(share, 2), "us/event", round(whole, 2), "lower", 0.15, 0.1)]


def _codec(bodies: list[bytes]) -> float:
    batches = [bodies[at : at + drain.BATCH] for at in range(0, len(bodies), drain.BATCH)]
    frames = [encode(Push(n, [msgspec.Raw(b) for b in some])) for n, some in enumerate(batches)]
    began = time.process_time()
    for number, frame in enumerate(frames):
        verdicts = []
        for offset, raw in enumerate(decode_from_kiosk(frame).events):
            event = decode_event(bytes(raw))
            stamp = encode_envelope(Envelope("e" * 32, offset, event.wall, event.wall, event.wall))
            verdicts.append(Judged(event.id, "ok", envelope=msgspec.Raw(stamp)))
        encode(Receipt(number, verdicts))
    return time.process_time() - began


@contextlib.contextmanager
def _counted(seconds: list[float]) -> Iterator[None]:
    """CPU seconds of the hub's process while `drain` uses it, all its threads together."""
    serve = drain._server

    @contextlib.contextmanager
    def counting(kind: str, path: Path) -> Iterator[str]:
        with serve(kind, path) as url:
            (child,) = drain.children()
            before = _cpu(child)
            try:
                yield url
            finally:
                seconds.append(_cpu(child) - before)

    drain._server = counting
    try:
        yield
    finally:
        drain._server = serve


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
