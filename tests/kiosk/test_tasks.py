from __future__ import annotations

import asyncio
import gc

from kiosk import tasks


async def test_a_task_that_nobody_holds_is_kept_until_it_ends():
    done = asyncio.Event()

    async def work():
        await asyncio.sleep(0)
        gc.collect()
        done.set()

    tasks.spawn(work(), "work")
    gc.collect()
    await asyncio.wait_for(done.wait(), 2)


async def test_a_failure_is_logged_once_with_the_tasks_name(caplog):
    async def work():
        raise ValueError("broken")

    await asyncio.wait([tasks.spawn(work(), "poll-the-thing")])
    await asyncio.sleep(0)
    (record,) = [r for r in caplog.records if r.name == "kiosk.tasks"]
    assert "poll-the-thing" in record.getMessage()
    assert "broken" in caplog.text


async def test_stop_cancels_and_waits():
    cleaned = []

    async def work():
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.append(1)

    task = tasks.spawn(work(), "forever")
    await asyncio.sleep(0)
    await tasks.stop(task, None)
    assert task.cancelled()
    assert cleaned == [1]
