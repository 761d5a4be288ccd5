"""The kiosk's own hub: a child process on loopback that is started again whenever it dies."""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import os
import subprocess
import sys
import threading
import time
from typing import IO, TYPE_CHECKING

from kiosk.peek import damage

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_LOG = logging.getLogger(__name__)
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0  # seconds between two tries to start it
_SOON = 10.0  # seconds within which a child that cannot use its database has ended
_LONGEST_LINE = 4096  # characters
_PATIENCE = 5.0  # seconds that a hub gets to end by itself


class HubChild:
    """Runs `kiosk hub --child` for as long as it is wanted; `url` is where it listens just now.

    A database that is damaged is moved aside with its date, and a new one begun: the kiosk offers
    its own events again to a hub it has not met. What the child says on stderr goes to the log.

    The child ends when its stdin closes, so it never outlives a kiosk that was killed. The token
    goes by environment, never by argument. `on_url` is called from the watching thread whenever
    the URL appears or is lost (None).
    """

    def __init__(
        self, database: Path, token: str, on_url: Callable[[str | None], None] = lambda _: None
    ) -> None:
        self.url: str | None = None
        self._database = database
        self._token = token
        self._on_url = on_url
        self._process: subprocess.Popen[str] | None = None
        self._thread: threading.Thread | None = None
        self._halt = threading.Event()

    def start(self) -> None:
        """Start it and keep it running; does nothing if it is wanted already."""
        if self._thread is not None:
            return
        self._halt.clear()
        self._thread = threading.Thread(target=self._watch, name="hub-child", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End it in good order and wait until it is gone."""
        self._end(kill=False)

    def kill(self) -> None:
        """End it as a power cut would (SIGKILL), and do not start it again."""
        self._end(kill=True)

    def _end(self, *, kill: bool) -> None:
        self._halt.set()
        process, thread = self._process, self._thread
        if process is not None:
            if kill:
                process.kill()
            with contextlib.suppress(OSError):
                if process.stdin is not None:
                    process.stdin.close()
        if thread is not None:
            thread.join(_PATIENCE)
            if thread.is_alive() and (lingering := self._process) is not None:
                lingering.kill()
            thread.join()
        self._thread = None

    def _watch(self) -> None:
        pause = _FIRST_PAUSE
        while not self._halt.is_set():
            began = time.monotonic()
            code, listened = self._run_once()
            soon = time.monotonic() - began < _SOON
            if listened or (code == 1 and soon and self._repair()):
                pause = _FIRST_PAUSE
            if self._halt.wait(pause):
                return
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _repair(self) -> bool:
        """Move a broken database aside, so that the next child begins a new one; whether it was."""
        try:
            found = damage(self._database)
            if not found:
                return False
            moved = _move_aside(self._database)
        except OSError as error:
            _LOG.error("the hub's database cannot be moved aside: %s", error)
            return False
        _LOG.error("the hub's database was damaged (%s) and is kept as %s", found, moved)
        return True

    def _run_once(self) -> tuple[int, bool]:
        """Run one child until it ends; its exit code, and whether it ever listened."""
        command = [sys.executable, "-m", "kiosk", "hub", "--db", str(self._database)]
        command += ["--host", "127.0.0.1", "--port", "0", "--child"]
        process = subprocess.Popen(  # noqa: S603  our own command, no shell
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env={**os.environ, "WHORL_HUB_TOKEN": self._token},
        )
        self._process = process
        if self._halt.is_set() and process.stdin is not None:
            process.stdin.close()  # stopped while it was being started
        said = threading.Thread(target=_log_lines, args=(process.stderr,), name="hub-child-log")
        said.start()
        listened = self._follow(process)
        code = _wait(process)
        said.join()
        self._process = None
        self._tell(None)
        if not self._halt.is_set():
            _LOG.warning("the hub ended with code %d; it will be started again", code)
        return code, listened

    def _follow(self, process: subprocess.Popen[str]) -> bool:
        if process.stdout is None:
            return False
        with process.stdout as lines:
            for line in lines:
                if line.startswith("ready "):
                    self._tell(line.split(maxsplit=1)[1].strip())
        return self.url is not None

    def _tell(self, url: str | None) -> None:
        if url != self.url:
            self.url = url
            self._on_url(url)


def _log_lines(stream: IO[str] | None) -> None:
    """What a hub says on stderr is why it ends: into this kiosk's log with it."""
    if stream is None:
        return
    with stream:
        while line := stream.readline(_LONGEST_LINE):
            if line.strip():
                _LOG.warning("hub: %s", line.strip())


def _move_aside(path: Path) -> Path:
    """Rename the file and its write-ahead log; neither is ever deleted."""
    date = dt.datetime.now(dt.UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    moved = path.with_name(f"{path.name}.damaged-{date}")
    for suffix in ("-wal", "-shm", ""):
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(moved.with_name(moved.name + suffix))
    return moved


def _wait(process: subprocess.Popen[str]) -> int:
    """The exit code; a child that closed its output and lingers is killed."""
    try:
        code = process.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        code = process.wait()
    if process.stdin is not None:
        with contextlib.suppress(OSError):
            process.stdin.close()
    return code
