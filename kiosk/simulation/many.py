"""Many days, a few at a time, until all have passed or one has failed."""

from __future__ import annotations

import ctypes
import hashlib
import multiprocessing
import signal
import tempfile
from collections import Counter
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from kiosk.simulation.play import Played, Report, Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kiosk.simulation.scene import Day

__all__ = ["Report", "Summary", "play", "play_many", "stage"]

_CHUNK = 25  # seeds that one worker plays before it is asked again
_CHUNKS = 4  # until it makes room for a fresh one: libraries remember something of every day
_PR_SET_PDEATHSIG = 1
_MEMORY = Path("/dev/shm")  # noqa: S108  only for speed: what a power cut leaves is worked out here


class Summary(msgspec.Struct, frozen=True):
    """Many days in one line; `seeds` were played from `seed` on, `failed` is the first that failed.

    With a failed one the numbers are those of its day alone.
    """

    seed: int
    seeds: int
    failed: int | None
    events: int
    faults: dict[str, int]
    lost: int
    doubled: int
    diverged: int
    digest: str

    @property
    def good(self) -> bool:
        return self.failed is None

    def line(self) -> str:
        """The summary as one JSON object."""
        return msgspec.json.encode(self).decode()


@contextmanager
def stage() -> Iterator[Stage]:
    """A stage with its files in memory if there is such a place, gone at the end."""
    place = _MEMORY if _MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="whorl-simulation-", dir=place) as folder:
        yield Stage(Path(folder))


def play(day: Day) -> Played:
    """Play a single day."""
    with stage() as found:
        return found.play(day)


def play_many(
    day: Day, seeds: int, jobs: int, tell: Callable[[str], None]
) -> tuple[Summary, tuple[str, ...]]:
    """Play the days from `day.seed` on, `jobs` at a time; the summary, and what went wrong.

    Stops soon after a day that failed. `tell` hears how far it is.
    """
    played: dict[int, Played] = {}
    last = day.seed + seeds
    firsts = range(day.seed, last, _CHUNK)
    chunks = [(replace(day, seed=first), min(_CHUNK, last - first)) for first in firsts]
    for at in range(0, len(chunks), jobs * _CHUNKS):
        for some in _played(chunks[at : at + jobs * _CHUNKS], jobs):
            played |= {one.report.seed: one for one in some}
            tell(f"{len(played)} of {seeds}")
        if any(one.wrong for one in played.values()):
            break
    return _summed(day.seed, played)


def _played(chunks: list[tuple[Day, int]], jobs: int) -> Iterator[list[Played]]:
    """What became of the chunks, as they are done; after a failed day no further one is begun.

    By workers of their own: to have a pool replace its workers one by one (`max_tasks_per_child`)
    makes Python 3.11's hang.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=_end_with_parent) as pool:
        waiting = {pool.submit(_chunk, first, count) for first, count in chunks}
        while waiting:
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for found in (future.result() for future in done):
                yield found
                if any(one.wrong for one in found):
                    pool.shutdown(cancel_futures=True)
            waiting = {future for future in waiting if not future.cancelled()}


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for work for ever (prctl(2), Linux only)."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "prctl"):
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _chunk(first: Day, count: int) -> list[Played]:
    """Play some days one after another, up to the first that fails."""
    found: list[Played] = []
    with stage() as here:
        for seed in range(first.seed, first.seed + count):
            found.append(here.play(replace(first, seed=seed)))
            if found[-1].wrong:
                break
    return found


def _summed(seed: int, played: dict[int, Played]) -> tuple[Summary, tuple[str, ...]]:
    order = [played[key] for key in sorted(played)]
    failed = next((one for one in order if one.wrong), None)
    reports = [failed.report] if failed else [one.report for one in order]
    faults: Counter[str] = Counter()
    made = hashlib.blake2b(digest_size=16)
    for report in reports:
        faults.update(report.faults)
        made.update(report.digest.encode())
    summary = Summary(
        seed=seed,
        seeds=len(played),
        failed=failed.report.seed if failed else None,
        events=sum(report.events for report in reports),
        faults=dict(sorted(faults.items())),
        lost=sum(report.lost for report in reports),
        doubled=sum(report.doubled for report in reports),
        diverged=sum(report.diverged for report in reports),
        digest=made.hexdigest(),
    )
    return summary, failed.wrong if failed else ()
