"""An event loop whose clock jumps to the next timer, and the lives of what runs on it.

Nothing here waits: when no callback is ready, virtual time moves on to the first timer. With all
chance drawn from one seed, the order of everything is a function of that seed alone.
"""

from __future__ import annotations

import asyncio
from contextvars import ContextVar, copy_context
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from contextvars import Context
    from random import Random

T = TypeVar("T")

_LIFE: ContextVar[Life | None] = ContextVar("life", default=None)
_LONGEST_TURN = 0.004  # seconds that work on another thread takes at most


class DeadlockError(RuntimeError):
    """Nothing is ready and no timer is set: everybody waits for everybody."""


class Life:
    """One run of one machine's program: its tasks, which all end when it does."""

    def __init__(self, loop: VirtualLoop, name: str) -> None:
        self.name = name
        self.over = False
        self._loop = loop
        self._context = copy_context()
        self._context.run(_LIFE.set, self)
        # In the order of their birth: a set's order would differ from process to process.
        self._tasks: dict[asyncio.Task[Any], None] = {}

    @property
    def context(self) -> Context:
        """What runs in a copy of it is part of this life."""
        return self._context

    def begin(self, work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        """Run `work` as part of this life, and all that it spawns."""
        return self._context.copy().run(self._loop.create_task, work, name=name)

    def end(self) -> None:
        """Cancel every task; what they still say is heard by nobody."""
        self.over = True
        for task in list(self._tasks):
            task.cancel()

    def adopt(self, task: asyncio.Task[Any]) -> None:
        self._tasks[task] = None
        task.add_done_callback(lambda done: self._tasks.pop(done, None))
        if self.over:
            task.cancel()


class _Jump:
    """Stands where a loop has its selector: instead of waiting, it moves the clock."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None:
            raise DeadlockError("nothing will ever happen again")
        self._loop.advance(timeout)
        return []


class VirtualLoop(asyncio.BaseEventLoop):
    """Virtual seconds from 0; executors run inline, a moment later; no threads, no sockets."""

    def __init__(self, chance: Random) -> None:
        super().__init__()
        self._now = 0.0
        self._chance = chance
        self._selector = _Jump(self)
        self._clock_resolution = 1e-6

    def time(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        self._now += seconds

    def turn(self) -> float:
        """How long (seconds) something takes that a thread does."""
        return self._chance.random() * _LONGEST_TURN

    def create_task(
        self,
        coro: Any,  # noqa: ANN401  a coroutine, as the base class says
        *,
        name: object = None,
        context: Context | None = None,
    ) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = super().create_task(coro, name=name, context=context)
        life = _LIFE.get() if context is None else context.get(_LIFE)
        if life is not None:
            life.adopt(task)
        return task

    def run_in_executor(  # type: ignore[override]  # an awaitable future, as the base class gives
        self,
        executor: Any,  # noqa: ANN401, ARG002  there are no threads to choose from
        func: Callable[..., T],
        *args: Any,  # noqa: ANN401  handed on
    ) -> asyncio.Future[T]:
        future: asyncio.Future[T] = self.create_future()

        def work() -> None:
            if future.done():
                return
            try:
                future.set_result(func(*args))
            except Exception as error:  # noqa: BLE001  handed to whoever waits
                future.set_exception(error)

        self.call_later(self.turn(), work)
        return future

    def _process_events(self, event_list: list[Any]) -> None:
        """There are no file descriptors to watch."""

    def _write_to_self(self) -> None:
        """There is nobody to wake: other threads do not exist."""
