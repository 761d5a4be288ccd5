"""A fingerprint sensor on a pseudo-terminal, exact to the byte, with fingers made from names."""

from __future__ import annotations

import logging
import os
import select
import threading
import time
from collections import deque
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from drivers.emulator.faults import Mishap
from drivers.emulator.fingers import Finger, Quality
from drivers.emulator.module import Module, Reply
from drivers.emulator.wire import BITS_PER_BYTE, Wire, resample
from drivers.packets import Decoder, Fault, Packet, encode
from drivers.profiles import PROFILES, Profile

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Emulator", "Mishap", "Quality", "TimingMode"]

TimingMode = Literal["instant", "realistic", "paced"]

_LOG = logging.getLogger(__name__)
# A command whose bytes come further apart than this is dropped.
_BYTE_GAP = 0.1
# Bytes of a paced reply leave in steps of this many seconds, as a UART's queue would release them.
_PACE_STEP = 0.001
_HOST_IDLE = 1.0


class _Unplugged(Exception):  # noqa: N818 - ends a reply half-way, never leaves this module
    pass


class Emulator:
    """One emulated sensor. Its own thread serves the pty; every method may be called from any.

    `timing`: "instant" answers at once, "paced" takes the time the bytes need at the module's
    baud rate, "realistic" also thinks as long as a real module. `link_path` becomes a symbolic
    link to the pty. The same `seed` and the same commands give the same bytes.
    """

    def __init__(
        self,
        profile: Profile | str,
        link_path: str | Path,
        timing: TimingMode = "instant",
        seed: int = 0,
    ) -> None:
        self.profile = PROFILES[profile] if isinstance(profile, str) else profile
        self.port = str(link_path)
        self._thinks = timing == "realistic"
        self._paced = timing != "instant"
        self._module = Module(self.profile, seed)
        self._wire = Wire(Path(link_path))
        self._decoder = Decoder()
        self._mishaps: deque[Mishap] = deque()
        self._history: deque[int] = deque(maxlen=10_000)
        self._lock = threading.Lock()
        self._jobs: deque[tuple[Callable[[], None], Future[None]]] = deque()
        self._thread: threading.Thread | None = None
        self._stopping = self._booting = False
        self._wake_read = self._wake_write = -1
        self._free_at = self._last_byte = 0.0

    # -- life --------------------------------------------------------------------------------------

    def start(self) -> Self:
        """Plug the sensor in and power it; raises OSError if the link cannot be made."""
        if self._thread is not None:
            raise RuntimeError("the emulator runs already")
        self._wire.plug()
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="emulator", daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Unplug it, remove the link and end the thread; safe to call twice."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._stopping = True
        os.write(self._wake_write, b"x")
        thread.join()
        for _, done in self._jobs:
            done.set_exception(RuntimeError("the emulator has stopped"))
        self._jobs.clear()
        self._wire.unplug()
        os.close(self._wake_read)
        os.close(self._wake_write)

    def __enter__(self) -> Self:
        return self.start() if self._thread is None else self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # -- what people do ----------------------------------------------------------------------------

    def place(self, name: str, quality: Quality | str = Quality.GOOD) -> None:
        """Put the named finger on the glass; raises ValueError for a quality there is not."""
        finger = Finger(name, Quality(quality))
        with self._lock:
            self._module.finger = finger

    def lift(self) -> None:
        """Take the finger away."""
        with self._lock:
            self._module.finger = None

    def enrol(self, name: str, slot: int) -> None:
        """Write the named finger's template to `slot` of the flash; raises ValueError."""
        with self._lock:
            self._module.enrol(name, slot)

    def unplug(self) -> None:
        """Pull the cable: the link goes, the host's port fails, RAM is lost; RuntimeError."""
        self._do(self._pull)

    def replug(self) -> None:
        """Put the cable back: a new pty behind the same link, a module fresh from power-up."""
        self._do(self._push)

    # -- what tests do -----------------------------------------------------------------------------

    def inject(self, *mishaps: Mishap) -> None:
        """Spoil the next replies, one mishap each."""
        with self._lock:
            self._mishaps.extend(mishaps)

    def send(self, data: bytes) -> None:
        """Send bytes that nobody has asked for; raises RuntimeError while unplugged."""
        self._do(lambda: self._volunteer(data))

    @property
    def history(self) -> list[int]:
        """Instruction codes of the commands answered, oldest first."""
        with self._lock:
            return list(self._history)

    @property
    def slots(self) -> frozenset[int]:
        """Slots of the library that hold a template."""
        with self._lock:
            return frozenset(self._module.flash.library)

    # -- the thread --------------------------------------------------------------------------------

    def _do(self, job: Callable[[], None]) -> None:
        """Run `job` on the thread and wait for it: the pty belongs to that thread alone."""
        if self._thread is None:
            raise RuntimeError("the emulator does not run")
        done: Future[None] = Future()
        self._jobs.append((job, done))
        os.write(self._wake_write, b"x")
        done.result()

    def _run(self) -> None:
        self._power_on()
        while not self._stopping:
            try:
                self._turn()
            except _Unplugged:
                continue
            except OSError:
                _LOG.exception("the pseudo-terminal failed")
                self._wire.unplug()

    def _turn(self) -> None:
        if self._booting and self._wire.plugged:
            self._boot()
        if self._wait(_HOST_IDLE):
            self._hear(self._wire.read())
        elif self._wire.plugged:
            self._wire.forget_host()

    def _wait(self, seconds: float) -> bool:
        """Whether bytes came within `seconds`; jobs are done meanwhile."""
        poll = select.poll()
        poll.register(self._wake_read, select.POLLIN)
        if self._wire.plugged:
            poll.register(self._wire.master, select.POLLIN)
        ready = {fd for fd, _ in poll.poll(seconds * 1000)}
        if self._wake_read in ready:
            os.read(self._wake_read, 4096)
            self._run_jobs()
        return self._wire.plugged and self._wire.master in ready

    def _run_jobs(self) -> None:
        while self._jobs:
            job, done = self._jobs.popleft()
            try:
                job()
            except _Unplugged:
                done.set_exception(RuntimeError("the sensor was unplugged meanwhile"))
                raise
            except Exception as error:  # noqa: BLE001 - belongs to whoever asked for the job
                done.set_exception(error)
            else:
                done.set_result(None)

    def _pull(self) -> None:
        if not self._wire.plugged:
            raise RuntimeError("the sensor is unplugged already")
        self._wire.unplug()

    def _push(self) -> None:
        if self._wire.plugged:
            raise RuntimeError("the sensor is plugged in already")
        self._wire.plug()
        self._power_on()

    def _volunteer(self, data: bytes) -> None:
        if not self._wire.plugged:
            raise RuntimeError("the sensor is unplugged")
        self._transmit(data)

    def _power_on(self) -> None:
        with self._lock:
            self._module.power_on()
        self._decoder.reset()
        self._free_at = 0.0
        self._booting = True

    def _boot(self) -> None:
        if self._thinks and (seconds := self.profile.timing.boot):
            self._sleep_until(time.monotonic() + seconds)
            self._wire.read()  # the module was deaf until now
        self._booting = False
        if self.profile.boot_byte is not None:
            self._transmit(bytes((self.profile.boot_byte,)))

    # -- bytes -------------------------------------------------------------------------------------

    def _hear(self, data: bytes) -> None:
        if not data:
            return
        now = time.monotonic()
        baudrate = self._module.flash.baudrate
        if self._paced:
            self._free_at = max(self._free_at, now) + len(data) * BITS_PER_BYTE / baudrate
            self._sleep_until(self._free_at)
        if (host := self._wire.baudrate()) != baudrate:
            data = resample(data, host, baudrate)
        if now - self._last_byte > _BYTE_GAP:
            self._decoder.reset()
        self._last_byte = now
        for item in self._decoder.feed(data):
            with self._lock:
                reply = self._reply_to(item)
            if reply is not None:
                self._answer(reply)
                if self.profile.deaf_while_busy:
                    return

    def _reply_to(self, item: Packet | Fault) -> Reply | None:
        if isinstance(item, Packet):
            return self._module.on_packet(item)
        return self._module.on_fault(item)

    def _answer(self, reply: Reply) -> None:
        with self._lock:
            self._history.append(reply.instruction)
            mishap = self._next_mishap(reply)
        started = self._free_at if self._paced else time.monotonic()
        busy = (reply.busy if self._thinks else 0.0) + (mishap.delay if mishap else 0.0)
        if busy:
            self._sleep_until(started + busy)
        if self.profile.deaf_while_busy:
            self._wire.read()
            self._decoder.reset()
        data = mishap.wire(reply) if mishap else b"".join(map(encode, reply.packets))
        self._transmit(data, started + busy)
        if reply.after is not None:
            with self._lock:
                reply.after()

    def _next_mishap(self, reply: Reply) -> Mishap | None:
        if self._mishaps and self._mishaps[0].fits(reply):
            return self._mishaps.popleft()
        return None

    def _transmit(self, data: bytes, started: float = 0.0) -> None:
        baudrate = self._module.flash.baudrate
        if (host := self._wire.baudrate()) != baudrate:
            data = resample(data, baudrate, host)
        if self._paced:
            self._write_paced(data, started or time.monotonic(), BITS_PER_BYTE / baudrate)
        else:
            self._wire.write(data)

    def _write_paced(self, data: bytes, started: float, per_byte: float) -> None:
        sent = 0
        while sent < len(data):
            due = min(started + len(data) * per_byte, time.monotonic() + _PACE_STEP)
            self._sleep_until(due)
            count = max(sent + 1, int((time.monotonic() - started) / per_byte))
            self._wire.write(data[sent:count])
            sent = min(count, len(data))
        self._free_at = started + len(data) * per_byte

    def _sleep_until(self, deadline: float) -> None:
        """Sleep, but go on serving jobs; raises _Unplugged if one of them ends this exchange."""
        plugs = self._wire.plugs
        while (left := deadline - time.monotonic()) > 0:
            if left < 2 * _PACE_STEP:
                time.sleep(left)
                continue
            if select.select([self._wake_read], [], [], left - _PACE_STEP)[0]:
                os.read(self._wake_read, 4096)
                self._run_jobs()
            if self._stopping or self._wire.plugs != plugs or not self._wire.plugged:
                raise _Unplugged
