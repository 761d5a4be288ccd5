"""The one thread that writes the hub's log, several requests to a commit."""

from __future__ import annotations

import logging
import queue
import sqlite3
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sync.hub.errors import HubError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from sync.hub.log import Log
    from sync.hub.transaction import Accepted

_LOG = logging.getLogger(__name__)

# Events that share a commit: whatever came in while the last one was being written, up to this.
# More would save little, and make those who pushed wait for each other.
_GROUP = 500


class NotWrittenError(HubError):
    """Nothing of the request was kept; it may be made again."""


@dataclass(frozen=True, slots=True)
class Job:
    """`work` runs in the writer's thread, inside a transaction; `done` on the loop, afterwards.

    `done` gets what `work` returned, or a `NotWrittenError`; `size` is how many events it brings.
    """

    work: Callable[[Log], Any]
    done: Callable[[Any], None]
    size: int = 1


class Writer:
    """Runs jobs in order; what they add to the log goes to `publish`, after their `done`s."""

    def __init__(
        self,
        log: Log,
        loop: asyncio.AbstractEventLoop,
        publish: Callable[[list[Accepted]], None],
        timed: Callable[[float], None] = lambda _: None,
    ) -> None:
        """`timed` is told, in the writer's thread, how long each commit took in seconds."""
        self._log = log
        self._loop = loop
        self._publish = publish
        self._timed = timed
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self.failing = False
        self._start()

    def put(self, job: Job) -> None:
        """Queue a job."""
        self._jobs.put(job)

    def queued(self) -> int:
        """Jobs that nobody has begun."""
        return self._jobs.qsize()

    def close(self) -> None:
        """Finish what is queued and end the thread; call it off the loop, which it still uses."""
        self._jobs.put(None)
        self._thread.join()

    # A simulation, which has no threads, puts its own in the place of this.
    def _start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="hub-writer", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            self._write(self._group(job))

    def _group(self, first: Job) -> list[Job]:
        """The job and what waits behind it, as far as they may share a commit."""
        group, size = [first], first.size
        while size < _GROUP and not self._jobs.empty():
            following = self._jobs.get()
            if following is None:
                self._jobs.put(None)
                break
            group.append(following)
            size += following.size
        return group

    def _write(self, group: list[Job]) -> None:
        began = time.perf_counter()
        try:
            self._log.begin()
            results = [job.work(self._log) for job in group]
            accepted = self._log.commit()
        except Exception as error:  # noqa: BLE001  whatever it is, nobody may believe it was kept
            self._undo(group, error)
            return
        self.failing = False
        self._timed(time.perf_counter() - began)
        self._tell(list(zip(group, results, strict=True)), accepted)

    def _undo(self, group: list[Job], error: Exception) -> None:
        try:
            self._log.rollback()
        except Exception as worse:  # noqa: BLE001  the thread must live on, to try it again
            _LOG.error("the log cannot be rolled back: %r", worse)
        if len(group) > 1:
            # Whichever of them is at fault must not take the others with it.
            for job in group:
                self._write([job])
            return
        self.failing = isinstance(error, sqlite3.Error)
        if self.failing:
            _LOG.error("the log cannot be written: %s", error)
        else:
            _LOG.error("a request to the log failed", exc_info=error)
        self._tell([(group[0], NotWrittenError(str(error)))], [])

    def _tell(self, results: list[tuple[Job, Any]], accepted: list[Accepted]) -> None:
        try:
            self._loop.call_soon_threadsafe(self._finish, results, accepted)
        except RuntimeError:  # the loop has ended: nobody is left to tell
            _LOG.debug("a commit came after the loop's end")

    def _finish(self, results: list[tuple[Job, Any]], accepted: list[Accepted]) -> None:
        for job, result in results:
            try:
                job.done(result)
            except Exception:  # noqa: BLE001  one listener's fault must not keep it from others
                _LOG.exception("whoever asked cannot be told")
        if accepted:
            self._publish(accepted)
