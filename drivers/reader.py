"""The sensor on a thread of its own: capture cycle, other work in between, reconnection."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from drivers.audit import same_sensor
from drivers.capture import CaptureCycle, ReaderTiming
from drivers.errors import (
    BindingError,
    Cancelled,
    Disconnected,
    PasswordRequired,
    PortMissing,
    ProtocolError,
    ResponseTimeout,
    SensorError,
    SensorFaulty,
    TransportError,
)
from drivers.events import (
    CaptureFailed,
    FailedRepeatedly,
    FingerDown,
    FingerStuck,
    GlassDirty,
    Lifted,
    Matched,
    NotMatched,
    ReaderEvent,
    Repeated,
    SensorDown,
    SensorUp,
    Stage,
)
from drivers.library import Stamp, identify_sensor, used_slots
from drivers.zfm import ZfmSensor, open_zfm

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from drivers.capture import Confirm
    from drivers.extras import Light

__all__ = [
    "CaptureFailed",
    "FailedRepeatedly",
    "FingerDown",
    "FingerStuck",
    "GlassDirty",
    "Lifted",
    "Matched",
    "NotMatched",
    "Reader",
    "ReaderEvent",
    "ReaderTiming",
    "Repeated",
    "SensorDown",
    "SensorUp",
    "Stage",
    "open_zfm",
]

T = TypeVar("T")

_LOG = logging.getLogger(__name__)
# One failed exchange is the line's bad luck; this many in a row are a sensor to open anew.
_FAILURES = 2
_TIMING = ReaderTiming()
# What a restart of the module may cure.
_SICK = (ResponseTimeout, ProtocolError, SensorFaulty)


@dataclass(frozen=True, slots=True)
class _Job:
    work: Callable[[ZfmSensor], Any]
    done: Future[Any]
    mends: bool = False


class Reader:
    """One sensor, found, kept and watched; `emit` is called on the reader's own thread.

    `connect` opens the sensor and is called again, after a growing and jittered pause, whenever it
    is lost; `reset`, if given, is called when opening it anew was not enough. `prepare` says who
    it is: a BindingError keeps it closed, but open to `repair`; between two looks at such a sensor
    the port is free for others. `confirm` may refuse a matched slot, or raise. `idle` is work for
    quiet minutes. `lights` go by the type of the last event. All run on the reader's thread. An
    `emit` that raises is logged and does no other harm. May be started once.
    """

    def __init__(
        self,
        connect: Callable[[], ZfmSensor],
        emit: Callable[[ReaderEvent], None],
        timing: ReaderTiming = _TIMING,
        *,
        prepare: Callable[[ZfmSensor], Stamp] = identify_sensor,
        confirm: Confirm = same_sensor,
        idle: Callable[[ZfmSensor], None] | None = None,
        reset: Callable[[], None] | None = None,
        lights: Mapping[type, Light] | None = None,
    ) -> None:
        self._connect = connect
        self._notify = emit
        self._timing = timing
        self._prepare = prepare
        self._confirm = confirm
        self._idle = idle
        self._reset = reset
        self._lights = lights or {}
        self._light: Light | None = None
        self._wake = threading.Condition()
        self._jobs: deque[_Job] = deque()
        self._sensor: ZfmSensor | None = None
        self._cause: SensorError | None = None
        self._working = self._paused = self._stopping = False
        self._attempt = 0
        self._up_since: float | None = None
        self._beaten = self._audited = 0.0
        self._random = random.Random()  # noqa: S311 - spreads attempts, keeps no secret
        self._thread = threading.Thread(target=self._run, name="sensor", daemon=True)

    def start(self) -> None:
        """Begin to look for the sensor."""
        self._thread.start()

    def do_without(self, cause: SensorError) -> None:
        """Instead of `start` where there is no sensor: whatever is asked for fails with `cause`."""
        with self._wake:
            self._cause = cause
        self._emit(SensorDown(cause, 0.0, Stage.OUT_OF_SERVICE))

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
        with self._wake:
            return self._take(_Job(work, Future()), self._cause)

    def repair(self, work: Callable[[ZfmSensor], T]) -> Future[T]:
        """As `run`, but also on a sensor that is closed, and prepare it anew afterwards.

        For `drivers.reconcile.adopt`, `wipe` and the like. Without any sensor the future fails
        with the cause, as it does if a closed one cannot be opened for the work.
        """
        with self._wake:
            there = self._sensor is not None or isinstance(self._cause, BindingError)
            return self._take(_Job(work, Future(), mends=True), None if there else self._cause)

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

    # -- having a sensor ---------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stopping:
            try:
                with self._connect() as sensor:
                    stranger = self._keep(sensor)
            except SensorError as error:
                self._lost(error)
            except Exception as error:  # noqa: BLE001 - a sensor nobody watches helps nobody
                _LOG.exception("the sensor's thread stumbled")
                self._lost(SensorError(str(error)))
            else:
                if stranger is not None:
                    self._hold_closed(stranger)

    def _keep(self, sensor: ZfmSensor) -> BindingError | None:
        """Use the sensor until the reader is stopped, or until it is none of ours: say why."""
        with self._wake:
            self._sensor = sensor
        self._work(sensor, repairs_only=True)
        while not self._stopping:
            try:
                stamp = self._greet(sensor)
            except BindingError as cause:
                return cause
            cycle = CaptureCycle(
                sensor, stamp.sensor, self._emit, self._timing, confirm=self._confirm
            )
            self._serve(sensor, stamp, cycle)
        return None

    def _greet(self, sensor: ZfmSensor) -> Stamp:
        sensor.check_sensor()
        stamp = self._prepare(sensor)
        used = len(used_slots(sensor))
        with self._wake:
            self._cause = None
        self._up_since = self._beaten = self._audited = time.monotonic()
        self._emit(SensorUp(stamp.sensor, sensor.capacity, used, stamp.weak))
        return stamp

    def _hold_closed(self, cause: BindingError) -> None:
        """Nobody is identified, and the port is free, until a repair or time to look again."""
        if self._stopping:
            return
        _LOG.warning("the sensor stays closed: %s", cause)
        with self._wake:
            self._sensor, self._cause = None, cause
        self._drop_jobs(cause, repairs=False)
        self._emit(SensorDown(cause, self._timing.retry_last, Stage.CLOSED))
        self._sleep(self._timing.retry_last)

    def _lost(self, cause: SensorError) -> None:
        if self._stopping:
            return
        pause, stage = self._escalate(cause)
        _LOG.warning("no sensor: %s; next attempt in %.2f s (%s)", cause, pause, stage)
        with self._wake:
            self._sensor, self._cause = None, cause
        self._drop_jobs(cause)
        self._emit(SensorDown(cause, pause, stage))
        if stage is not Stage.REOPENING:
            self._try_reset(cause)
        self._sleep(pause)

    def _escalate(self, cause: SensorError) -> tuple[float, Stage]:
        """How long to wait before the next attempt, and how bad it is by now."""
        timing, since = self._timing, self._up_since
        self._up_since = None
        stable = since is not None and time.monotonic() - since >= timing.stable_after
        if stable or (since is not None and isinstance(cause, Disconnected)):
            self._attempt = 0
        growth: int = 1 << min(self._attempt, 16)
        # To look for a port costs nothing, and somebody may be waiting with the cable in hand.
        unplugged = isinstance(cause, Disconnected | PortMissing)
        longest = timing.retry_missing if unplugged else timing.retry_last
        pause = min(longest, timing.retry_first * growth)
        self._attempt += 1
        stage = Stage.REOPENING
        if self._attempt >= timing.give_up_after:
            stage = Stage.OUT_OF_SERVICE
        elif self._attempt >= timing.reset_after and isinstance(cause, _SICK):
            stage = Stage.RESETTING
        return pause * self._random.uniform(0.5, 1.0), stage

    def _try_reset(self, cause: SensorError) -> None:
        due = self._attempt % self._timing.reset_after == 0 and isinstance(cause, _SICK)
        if self._reset is None or not due:
            return
        try:
            self._reset()
        except Exception as error:  # noqa: BLE001 - whatever it does, the attempts go on
            _LOG.warning("the reset failed as well: %s", error)

    # -- using it ----------------------------------------------------------------------------------

    def _serve(self, sensor: ZfmSensor, stamp: Stamp, cycle: CaptureCycle) -> None:
        """Until the reader is stopped, or a repair asks for the sensor to be prepared anew."""
        failures = 0
        while not self._stopping:
            try:
                if self._work(sensor, cycle):
                    return
                pause = self._timing.poll if self._paused else cycle.step()
                self._light_up(sensor)
                self._watch(sensor, stamp, cycle)
                failures = 0
            except Cancelled:
                pause = 0.0
            except (Disconnected, PasswordRequired, BindingError, SensorFaulty):
                raise
            except SensorError as error:
                failures += 1
                if failures >= _FAILURES or self._stopping:
                    raise
                _LOG.warning("exchange with the sensor failed: %s", error)
                pause = self._timing.poll
            self._sleep(pause)

    def _watch(self, sensor: ZfmSensor, stamp: Stamp, cycle: CaptureCycle) -> None:
        """In quiet moments: is it still the same sensor, is it sound, and is there idle work."""
        if not cycle.idle:
            return
        now = time.monotonic()
        if now - self._beaten >= self._timing.heartbeat:
            self._beaten = now
            same_sensor(sensor, stamp.sensor, 0)
            sensor.check_sensor()
        if self._idle is not None and now - self._audited >= self._timing.audit:
            self._audited = now
            self._idle(sensor)

    def _light_up(self, sensor: ZfmSensor) -> None:
        light, self._light = self._light, None
        if light is not None:
            sensor.show(light)

    def _work(
        self, sensor: ZfmSensor, cycle: CaptureCycle | None = None, *, repairs_only: bool = False
    ) -> bool:
        """Do what was handed in; whether some of it was a repair."""
        repaired = False
        while not self._stopping and (job := self._next_job(repairs_only)) is not None:
            if job.done.set_running_or_notify_cancel():
                self._do(job, sensor, cycle)
                repaired = repaired or job.mends
        return repaired

    def _next_job(self, repairs_only: bool) -> _Job | None:  # noqa: FBT001 - its one caller says it
        with self._wake:
            job = next((job for job in self._jobs if job.mends or not repairs_only), None)
            if job is not None:
                self._jobs.remove(job)
            return job

    def _do(self, job: _Job, sensor: ZfmSensor, cycle: CaptureCycle | None) -> None:
        before = sensor.captures
        with self._wake:
            self._working = True
        try:
            job.done.set_result(job.work(sensor))
        except (TransportError, ProtocolError, PasswordRequired) as error:
            job.done.set_exception(error)
            if not isinstance(error, Cancelled):
                raise
        except Exception as error:  # noqa: BLE001 - belongs to whoever asked for the work
            job.done.set_exception(error)
        finally:
            with self._wake:
                self._working = False
            if cycle is not None and sensor.captures != before:
                cycle.expect_lift()

    # -- between threads ---------------------------------------------------------------------------

    def _take(self, job: _Job, cause: SensorError | None) -> Future[Any]:
        if self._stopping or cause is not None:
            job.done.set_exception(cause or Cancelled("the reader was stopped"))
        else:
            self._jobs.append(job)
            self._wake.notify_all()
        return job.done

    def _drop_jobs(self, cause: SensorError, *, repairs: bool = True) -> None:
        with self._wake:
            left = [job for job in self._jobs if repairs or not job.mends]
            kept = [job for job in self._jobs if not repairs and job.mends]
            self._jobs.clear()
            self._jobs.extend(kept)
        for job in left:
            if job.done.set_running_or_notify_cancel():
                job.done.set_exception(cause)

    def _sleep(self, seconds: float) -> None:
        with self._wake:
            self._wake.wait_for(lambda: self._stopping or bool(self._jobs), seconds)

    def _emit(self, event: ReaderEvent) -> None:
        # Shown after the step: nothing may come between an image and its search.
        self._light = self._lights.get(type(event), self._light)
        try:
            self._notify(event)
        except Exception:  # noqa: BLE001 - whatever a listener does, the sensor goes on
            _LOG.exception("a listener failed on %s", type(event).__name__)
