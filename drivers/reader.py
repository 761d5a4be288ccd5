"""The sensor on a thread of its own: capture cycle, other work in between, reconnection."""

from __future__ import annotations

import logging
import random
import threading
from collections import deque
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

from drivers.capture import CaptureCycle, ReaderTiming
from drivers.errors import (
    Cancelled,
    Disconnected,
    PasswordRequired,
    ProtocolError,
    SensorError,
    TransportError,
)
from drivers.events import (
    CaptureFailed,
    FingerDown,
    FingerStuck,
    Lifted,
    Matched,
    NotMatched,
    ReaderEvent,
    SensorDown,
    SensorUp,
)
from drivers.library import identify_sensor, used_slots
from drivers.zfm import ZfmSensor, open_zfm

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "CaptureFailed",
    "FingerDown",
    "FingerStuck",
    "Lifted",
    "Matched",
    "NotMatched",
    "Reader",
    "ReaderEvent",
    "ReaderTiming",
    "SensorDown",
    "SensorUp",
    "open_zfm",
]

T = TypeVar("T")

_LOG = logging.getLogger(__name__)
# One failed exchange is the line's bad luck; this many in a row are a sensor to open anew.
_FAILURES = 2
_TIMING = ReaderTiming()


class Reader:
    """One sensor, found, kept and watched; `emit` is called on the reader's own thread.

    `connect` opens the sensor and is called again, after a growing and jittered pause, whenever it
    is lost. An `emit` that raises is logged and does no other harm. May be started once.
    """

    def __init__(
        self,
        connect: Callable[[], ZfmSensor],
        emit: Callable[[ReaderEvent], None],
        timing: ReaderTiming = _TIMING,
    ) -> None:
        self._connect = connect
        self._notify = emit
        self._timing = timing
        self._wake = threading.Condition()
        self._jobs: deque[tuple[Callable[[ZfmSensor], Any], Future[Any]]] = deque()
        self._sensor: ZfmSensor | None = None
        self._cause: SensorError | None = None
        self._working = self._paused = self._stopping = False
        self._random = random.Random()  # noqa: S311 - spreads attempts, keeps no secret
        self._thread = threading.Thread(target=self._run, name="sensor", daemon=True)

    def start(self) -> None:
        """Begin to look for the sensor."""
        self._thread.start()

    def stop(self) -> None:
        """End the exchange in hand, close the port, wait for the thread; safe to call twice."""
        with self._wake:
            self._stopping = True
            if self._sensor is not None:
                self._sensor.cancel()
            self._wake.notify_all()
        if self._thread.ident is not None:
            self._thread.join()
        self._drop_jobs(Cancelled("the reader was stopped"))

    def run(self, work: Callable[[ZfmSensor], T]) -> Future[T]:
        """Do `work` on the reader's thread, between two looks at the glass.

        No finger is looked for meanwhile, and one that `work` has used must be lifted before it
        can be reported. While there is no sensor the future fails with the cause.
        """
        done: Future[T] = Future()
        with self._wake:
            if self._stopping or self._cause is not None:
                done.set_exception(self._cause or Cancelled("the reader was stopped"))
                return done
            self._jobs.append((work, done))
            self._wake.notify_all()
        return done

    def interrupt(self) -> None:
        """End the work in hand with Cancelled; nothing happens if there is none."""
        with self._wake:
            if self._working and self._sensor is not None:
                self._sensor.cancel()

    def pause(self) -> None:
        """Stop looking for fingers; `run` still works."""
        with self._wake:
            self._paused = True

    def resume(self) -> None:
        """Look for fingers again."""
        with self._wake:
            self._paused = False
            self._wake.notify_all()

    # -- the thread --------------------------------------------------------------------------------

    def _run(self) -> None:
        attempt = 0
        cause: SensorError
        while not self._stopping:
            try:
                with self._connect() as sensor:
                    cycle = self._greet(sensor)
                    attempt = 0
                    self._serve(sensor, cycle)
            except SensorError as error:
                cause = error
            except Exception as error:  # noqa: BLE001 - a sensor nobody watches helps nobody
                _LOG.exception("the sensor's thread stumbled")
                cause = SensorError(str(error))
            else:
                return
            self._lost(cause, self._pause_after(attempt))
            attempt += 1

    def _greet(self, sensor: ZfmSensor) -> CaptureCycle:
        with self._wake:
            self._sensor = sensor
        stamp = identify_sensor(sensor)
        used = len(used_slots(sensor))
        with self._wake:
            self._cause = None
        self._emit(SensorUp(stamp.sensor, sensor.capacity, used))
        return CaptureCycle(sensor, stamp.sensor, self._emit, self._timing)

    def _serve(self, sensor: ZfmSensor, cycle: CaptureCycle) -> None:
        failures = 0
        while not self._stopping:
            try:
                self._work(sensor, cycle)
                pause = self._timing.poll if self._paused else cycle.step()
                failures = 0
            except Cancelled:
                pause = 0.0
            except (Disconnected, PasswordRequired):
                raise
            except SensorError as error:
                failures += 1
                if failures >= _FAILURES or self._stopping:
                    raise
                _LOG.warning("exchange with the sensor failed: %s", error)
                pause = self._timing.poll
            self._sleep(pause)

    def _work(self, sensor: ZfmSensor, cycle: CaptureCycle) -> None:
        while self._jobs and not self._stopping:
            work, done = self._jobs.popleft()
            if not done.set_running_or_notify_cancel():
                continue
            before = sensor.captures
            with self._wake:
                self._working = True
            try:
                done.set_result(work(sensor))
            except (TransportError, ProtocolError, PasswordRequired) as error:
                done.set_exception(error)
                if not isinstance(error, Cancelled):
                    raise
            except Exception as error:  # noqa: BLE001 - belongs to whoever asked for the work
                done.set_exception(error)
            finally:
                with self._wake:
                    self._working = False
                if sensor.captures != before:
                    cycle.expect_lift()

    def _lost(self, cause: SensorError, retry_in: float) -> None:
        if self._stopping:
            return
        _LOG.warning("no sensor: %s; next attempt in %.2f s", cause, retry_in)
        with self._wake:
            self._sensor, self._cause = None, cause
        self._drop_jobs(cause)
        self._emit(SensorDown(cause, retry_in))
        self._sleep(retry_in)

    def _pause_after(self, attempt: int) -> float:
        growth: int = 1 << min(attempt, 16)
        ceiling = min(self._timing.retry_last, self._timing.retry_first * growth)
        return ceiling * self._random.uniform(0.5, 1.0)

    def _drop_jobs(self, cause: SensorError) -> None:
        with self._wake:
            left = list(self._jobs)
            self._jobs.clear()
        for _, done in left:
            if done.set_running_or_notify_cancel():
                done.set_exception(cause)

    def _sleep(self, seconds: float) -> None:
        with self._wake:
            self._wake.wait_for(lambda: self._stopping or bool(self._jobs), seconds)

    def _emit(self, event: ReaderEvent) -> None:
        try:
            self._notify(event)
        except Exception:  # noqa: BLE001 - whatever a listener does, the sensor goes on
            _LOG.exception("a listener failed on %s", type(event).__name__)
