"""The thread between the pseudo-terminal and the module: pace, deafness, baud rates, mishaps."""

from __future__ import annotations

import logging
import os
import select
import threading
import time
from collections import deque
from concurrent.futures import Future
from typing import TYPE_CHECKING, Literal

from drivers.emulator.faults import Mishap, Mishaps
from drivers.emulator.wire import BITS_PER_BYTE, Wire, resample
from drivers.packets import Decoder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from drivers.emulator.module import Module
    from drivers.emulator.reply import Reply
    from drivers.packets import Fault, Packet

TimingMode = Literal["instant", "realistic", "paced"]

_LOG = logging.getLogger(__name__)
# A command whose bytes come further apart than this is dropped.
_BYTE_GAP = 0.1
# Bytes of a paced reply leave in steps of this many seconds, as a UART's queue would release them.
_PACE_STEP = 0.001
_HOST_IDLE = 1.0
_FLOW_STEP = 0.02
_DRAIN = 0.25


class _Interrupted(Exception):  # noqa: N818 - ends an exchange half-way, never leaves this module
    pass


class Line:
    """Serves one module on one pty from a thread of its own.

    `lock` guards `module` and what hangs on it; `module` may be replaced under it. `kept` is
    called, with the lock held, whenever an instruction may have changed the flash.
    """

    def __init__(
        self, module: Module, path: Path, timing: TimingMode, kept: Callable[[], None]
    ) -> None:
        self.module = module
        self.lock = threading.Lock()
        self.mishaps = Mishaps()
        self.history: deque[int] = deque(maxlen=10_000)
        self.wire = Wire(path)
        self._thinks = timing == "realistic"
        self._paced = timing != "instant"
        self._kept = kept
        self._decoder = Decoder()
        self._gate = threading.Lock()  # no job may slip in behind the last one
        self._jobs: deque[tuple[Callable[[], None], Future[None]]] = deque()
        self._thread: threading.Thread | None = None
        self._stopping = self._booting = False
        self._powered = 0  # counts power-ups: an exchange from before one is over
        self._wake_read = self._wake_write = -1
        self._free_at = self._last_byte = 0.0
        self._flow_mishap: Mishap | None = None

    @property
    def running(self) -> bool:
        return self._thread is not None

    def start(self) -> None:
        """Plug the cable in and power the module; raises OSError if the link cannot be made."""
        if self.running:
            raise RuntimeError("the emulator runs already")
        self.wire.plug()
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="emulator", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Unplug, remove the link and end the thread; safe to call twice."""
        with self._gate:
            thread, self._thread = self._thread, None
            if thread is None:
                return
            self._stopping = True
            os.write(self._wake_write, b"x")
        thread.join()
        for _, done in self._jobs:
            done.set_exception(RuntimeError("the emulator has stopped"))
        self._jobs.clear()
        self.wire.unplug()
        os.close(self._wake_read)
        os.close(self._wake_write)

    def do(self, job: Callable[[], None]) -> None:
        """Run `job` on the thread and wait for it: the pty belongs to that thread alone."""
        done: Future[None] = Future()
        with self._gate:
            if not self.running:
                raise RuntimeError("the emulator does not run")
            self._jobs.append((job, done))
            os.write(self._wake_write, b"x")
        done.result()

    # -- jobs: only inside `do` --------------------------------------------------------------------

    def unplug(self) -> None:
        """Pull the cable; raises RuntimeError if it is out."""
        if not self.wire.plugged:
            raise RuntimeError("the sensor is unplugged already")
        self.wire.unplug()

    def replug(self) -> None:
        """Put the cable back and power the module; raises RuntimeError if it is in, or OSError."""
        if self.wire.plugged:
            raise RuntimeError("the sensor is plugged in already")
        self.wire.plug()
        self.power_on()

    def power_on(self) -> None:
        """Let the module start anew, behind whatever cable there is."""
        with self.lock:
            self.module.power_on()
        self._decoder.reset()
        self._free_at = 0.0
        self._powered += 1
        self._booting = True

    def volunteer(self, data: bytes) -> None:
        """Send what nobody has asked for; raises RuntimeError while unplugged."""
        if not self.wire.plugged:
            raise RuntimeError("the sensor is unplugged")
        self._transmit(data)

    # -- the thread --------------------------------------------------------------------------------

    def _run(self) -> None:
        self.power_on()
        while not self._stopping:
            try:
                self._turn()
            except _Interrupted:
                continue
            except Exception:  # noqa: BLE001 - callers of `do` would wait for ever for a dead thread
                _LOG.exception("the emulator stumbled; its cable is out")
                self.wire.unplug()

    def _turn(self) -> None:
        if self._booting and self.wire.plugged:
            self._boot()
        flows = self.module.ram.flow is not None
        if self._wait(_FLOW_STEP if flows else _HOST_IDLE):
            self._hear(self.wire.read())
        elif self.wire.plugged and not flows:
            self.wire.forget_host()
        if self.wire.plugged:
            self._go_on()

    def _wait(self, seconds: float) -> bool:
        """Whether bytes came within `seconds`; jobs are done meanwhile."""
        poll = select.poll()
        poll.register(self._wake_read, select.POLLIN)
        if self.wire.plugged:
            poll.register(self.wire.master, select.POLLIN)
        master = self.wire.master
        ready = {fd for fd, _ in poll.poll(seconds * 1000)}
        if self._wake_read in ready:
            os.read(self._wake_read, 4096)
            self._run_jobs()
        return self.wire.plugged and not self._booting and master in ready

    def _run_jobs(self) -> None:
        while self._jobs:
            job, done = self._jobs.popleft()
            try:
                job()
            except _Interrupted:
                done.set_exception(RuntimeError("the sensor was unplugged meanwhile"))
                raise
            except Exception as error:  # noqa: BLE001 - belongs to whoever asked for the job
                done.set_exception(error)
            else:
                done.set_result(None)

    def _boot(self) -> None:
        profile = self.module.profile
        if self._thinks and (seconds := profile.timing.boot):
            self._sleep_until(time.monotonic() + seconds)
            self.wire.read()  # the module was deaf until now
        self._booting = False
        if profile.boot_byte is not None:
            self._transmit(bytes((profile.boot_byte,)))

    # -- bytes -------------------------------------------------------------------------------------

    def _hear(self, data: bytes) -> None:
        if not data:
            return
        now = time.monotonic()
        baudrate = self.module.flash.baudrate
        if self._paced:
            self._free_at = max(self._free_at, now) + len(data) * BITS_PER_BYTE / baudrate
            self._sleep_until(self._free_at)
        if (host := self.wire.baudrate()) != baudrate:
            data = resample(data, host, baudrate)
        if now - self._last_byte > _BYTE_GAP:
            self._decoder.reset()
        self._last_byte = now
        for item in self._decoder.feed(data):
            if self._react(item) and self.module.profile.deaf_while_busy:
                return

    def _react(self, item: Packet | Fault) -> bool:
        """Whether it was answered, or should have been."""
        with self.lock:
            instruction = self.module.instruction_of(item)
            mishap = None if instruction is None else self.mishaps.take(instruction)
            if mishap is not None and mishap.unheard:
                return True
            if (reply := self.module.react(item)) is None:
                return False
            self.history.append(reply.instruction)
            self._kept()
        if reply.packets:
            self._answer(reply, mishap or Mishap())
        else:
            self._flow_mishap = mishap  # meant for the first thing that the flow will say
        return True

    def _go_on(self) -> None:
        """What the module does by itself, if it does."""
        with self.lock:
            if (reply := self.module.advance(time.monotonic())) is None:
                return
            self._kept()
        self._free_at = max(self._free_at, time.monotonic())
        mishap, self._flow_mishap = self._flow_mishap, None
        if not reply.packets:
            self._sleep_until(self._free_at + (reply.busy if self._thinks else 0.0))
            self._flow_mishap = mishap
            return
        self._answer(reply, mishap or self.mishaps.take(reply.instruction) or Mishap(), hears=True)

    def _answer(self, reply: Reply, mishap: Mishap, *, hears: bool = False) -> None:
        """Think and reply; a module that `hears` loses nothing that came meanwhile."""
        started = self._free_at if self._paced else time.monotonic()
        busy = (reply.busy if self._thinks else 0.0) + mishap.delay
        if busy:
            self._sleep_until(started + busy)
        if self.module.profile.deaf_while_busy and not hears:
            self.wire.read()
            self._decoder.reset()
        self._transmit(mishap.wire(reply), started + busy)
        if reply.after is not None:
            with self.lock:
                reply.after()
                self._kept()
        if mishap.unplug:
            self.wire.drain(_DRAIN)
            self.wire.unplug()
            raise _Interrupted
        if reply.resets:
            self.power_on()

    def _transmit(self, data: bytes, started: float = 0.0) -> None:
        baudrate = self.module.flash.baudrate
        if (host := self.wire.baudrate()) != baudrate:
            data = resample(data, baudrate, host)
        if self._paced:
            self._write_paced(data, started or time.monotonic(), BITS_PER_BYTE / baudrate)
        else:
            self.wire.write(data)

    def _write_paced(self, data: bytes, started: float, per_byte: float) -> None:
        sent = 0
        while sent < len(data):
            due = min(started + len(data) * per_byte, time.monotonic() + _PACE_STEP)
            self._sleep_until(due)
            count = max(sent + 1, int((time.monotonic() - started) / per_byte))
            self.wire.write(data[sent:count])
            sent = min(count, len(data))
        self._free_at = started + len(data) * per_byte

    def _sleep_until(self, deadline: float) -> None:
        """Sleep, but go on serving jobs; raises _Interrupted if one of them ends this exchange."""
        plugs, powered = self.wire.plugs, self._powered
        while (left := deadline - time.monotonic()) > 0:
            # A select sleeps too coarsely for the last step, but a job must not wait for ever.
            short = left < 2 * _PACE_STEP
            if select.select([self._wake_read], [], [], 0.0 if short else left - _PACE_STEP)[0]:
                os.read(self._wake_read, 4096)
                self._run_jobs()
            elif short:
                time.sleep(left)
            over = self.wire.plugs != plugs or self._powered != powered
            if self._stopping or over or not self.wire.plugged:
                raise _Interrupted
