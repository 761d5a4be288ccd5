"""Backups that a running hub makes by itself, into a folder, every so many hours.

Each is made by a process of its own (this module, run as one), so that looking over a large log
takes nothing from the kiosks. A backup is only worth its name on another disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import logging
import os
import re
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sync.hub.backup import back_up
from sync.hub.errors import BackupError

if TYPE_CHECKING:
    from kiosk.clock import Clock

_LOG = logging.getLogger(__name__)

_LOOK_EVERY = 30.0  # seconds
_AGAIN = 600.0  # seconds until a backup that failed is tried again
_FAREWELL = 5.0  # seconds that a backup gets to clean up when the hub stops
_NICE = 10
_STAMP = "%Y%m%dT%H%M%SZ"
_NAME = re.compile(r"hub-(\d{8}T\d{6}Z)\.db")
_LEFT = re.compile(r"\.hub-\d{8}T\d{6}Z\.db\..*")  # by one that was killed


class Plan(NamedTuple):
    """Where to, how often (hours), and how many are kept."""

    folder: Path
    hours: float = 24.0
    keep: int = 14


class Backups:
    """Makes them; `state` is `ok`, or `failing` from a backup that failed to the next good one."""

    def __init__(self, db: Path, plan: Plan, clock: Clock) -> None:
        self.state = "ok"
        self._db = db
        self._plan = plan
        self._clock = clock
        self._next: float | None = None
        self._said = ""

    async def run(self) -> None:
        """For ever; the first one at once, unless the last run made one not long ago."""
        while True:
            await self.look()
            await asyncio.sleep(_LOOK_EVERY)

    async def look(self) -> bool:
        """Make a backup if it is time; whether one was made."""
        now = self._clock.monotonic()
        if self._next is None:
            self._next = now + self._still_fresh()
        if now < self._next:
            return False
        why = await self._made()
        self._next = now + (_AGAIN if why else self._plan.hours * 3600)
        self._tell(why)
        if not why:
            self._let_go()
        return not why

    def _still_fresh(self) -> float:
        """For how many seconds more the newest backup will do."""
        made = max((one for one, _ in self._kept()), default=None)
        if made is None:
            return 0.0
        age = self._clock.wall() / 1e9 - made.timestamp()
        # A clock that is behind the last backup says nothing: better one too many.
        return max(0.0, self._plan.hours * 3600 - age) if age >= 0 else 0.0

    async def _made(self) -> str:
        """Make one; why it could not be, in one line."""
        folder = self._plan.folder
        if not folder.is_dir():
            return f"the folder {folder} is not there; is its disk mounted?"
        now = dt.datetime.fromtimestamp(self._clock.wall() // 1_000_000_000, dt.UTC)
        file = folder / f"hub-{now.strftime(_STAMP)}.db"
        self._sweep()
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            __name__,
            str(self._db),
            str(file),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            said = (await process.communicate())[1].decode(errors="replace").strip()
        except asyncio.CancelledError:
            await _ended(process)
            raise
        if process.returncode == 0:
            return ""
        return said.rpartition("\n")[2] or f"its process ended with {process.returncode}"

    def _tell(self, why: str) -> None:
        self.state = "failing" if why else "ok"
        if why and why != self._said:
            _LOG.error("no backup: %s", why)
        elif self._said and not why:
            _LOG.warning("backups are made again")
        self._said = why

    def _let_go(self) -> None:
        """Delete the oldest beyond as many as are kept."""
        for _, path in sorted(self._kept())[: -self._plan.keep]:
            with contextlib.suppress(OSError):
                path.unlink()

    def _kept(self) -> list[tuple[dt.datetime, Path]]:
        found = []
        for path in self._listed():
            match = _NAME.fullmatch(path.name)
            with contextlib.suppress(ValueError):
                if match is not None:
                    made = dt.datetime.strptime(match[1], _STAMP).replace(tzinfo=dt.UTC)
                    found.append((made, path))
        return found

    def _sweep(self) -> None:
        for path in self._listed():
            if _LEFT.fullmatch(path.name):
                with contextlib.suppress(OSError):
                    path.unlink()

    def _listed(self) -> list[Path]:
        try:
            return list(self._plan.folder.iterdir())
        except OSError:
            return []


async def _ended(process: asyncio.subprocess.Process) -> None:
    """End a backup that is under way, in good order if it can."""
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(_FAREWELL):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def main(db: str, file: str) -> int:
    """Make one backup; what is wrong goes to stderr, and 1 is returned."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    os.nice(_NICE)
    try:
        back_up(Path(db), Path(file), replace=True)
    except BackupError as error:
        print(error, file=sys.stderr)  # noqa: T201  for the hub to read
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
