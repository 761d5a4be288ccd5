"""All of a hub's authorisation in one piece, opened and closed with the hub."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sync.hub.auth.gate import LOOK_EVERY, Gate
from sync.hub.auth.keys import hub_keys
from sync.hub.auth.limits import Limits
from sync.hub.auth.office import Office
from sync.hub.auth.passes import Passes
from sync.hub.auth.register import Register, register_path
from sync.hub.auth.requests import Requests

if TYPE_CHECKING:
    from pathlib import Path

    from kiosk.clock import Clock
    from sync.hub.notices import Notices


class Doors:
    """`gate` judges, `office` gives out tokens, `requests` are how one asks for them."""

    def __init__(
        self,
        db: Path,
        owner: str,
        clock: Clock,
        limits: Limits = Limits(),  # noqa: B008  frozen
    ) -> None:
        """Open the files beside the database at `db`; raises `TokenError` or `RegisterError`."""
        keys = hub_keys(db)
        passes = Passes(keys.signing, clock)
        self.gate = Gate(owner, passes, Register(register_path(db)), clock, limits)
        self.office = Office(self.gate, keys, clock, limits)
        self.requests = Requests(self.gate, self.office)

    async def named(self) -> tuple[str, str]:
        """The organisation and the site that the hub was made for; empty where it was not said."""
        register = self.gate.register
        return await self.gate.asked(lambda: (register.setting("org"), register.setting("site")))

    def start(self, notices: Notices, every: float = LOOK_EVERY) -> None:
        """Begin to follow the register; on the hub's loop."""
        self.gate.on_roll = notices.take
        self.office.on_paired = notices.paired
        notices.take(self.gate.roll)
        self.gate.start(every)

    async def stop(self) -> None:
        """End the threads and close the register."""
        await asyncio.get_running_loop().run_in_executor(None, self.office.close)
        await self.gate.stop()
