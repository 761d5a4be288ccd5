"""Background tasks that are kept, named and reported; the only place that makes one."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")

_LOG = logging.getLogger(__name__)

# asyncio keeps only weak references to tasks: one that nobody else holds can vanish half-way.
_KEPT: set[asyncio.Task[Any]] = set()


def spawn(work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
    """Run `work` on the running loop; keep it until it ends and log how it failed, once."""
    task = asyncio.get_running_loop().create_task(work, name=name)
    _KEPT.add(task)
    task.add_done_callback(_ended)
    return task


def _ended(task: asyncio.Task[Any]) -> None:
    _KEPT.discard(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        _LOG.error("task %s failed", task.get_name(), exc_info=error)


async def stop(*tasks: asyncio.Task[Any] | None) -> None:
    """Cancel the tasks and wait until they have ended; `None` and finished ones are fine."""
    alive = [task for task in tasks if task is not None and not task.done()]
    for task in alive:
        task.cancel()
    await asyncio.gather(*alive, return_exceptions=True)
