"""The keys that devices sign with: pinned when they are first heard, compared ever after."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sync.hub.writer import Job, NotWrittenError
from sync.protocol import Close

if TYPE_CHECKING:
    from sync.hub.access import Who
    from sync.hub.core import Core

_RETRY_AFTER = 5.0  # seconds, when the disk refuses


async def introduce(core: Core, who: Who) -> None:
    """Have the key of a device's incarnation pinned, or compared with the one that is.

    Raises `DeniedError`, once that is written down, for another key; also if the first one cannot
    be written down now.
    """
    future: asyncio.Future[bool | NotWrittenError] = asyncio.get_running_loop().create_future()

    def done(result: bool | NotWrittenError) -> None:  # noqa: FBT001  what the job returns
        if not future.done():
            future.set_result(result)

    job = Job(lambda log: log.introduce(who.org, who.device, who.incarnation, who.key), done)
    core.writer.put(job)
    result = await future
    if isinstance(result, NotWrittenError):
        raise core.access.denied("disk", str(result), Close.TRY_LATER, _RETRY_AFTER)
    if not result:
        message = "another key is known of this device; pair it anew"
        raise core.access.denied("key", message, Close.TOKEN)
