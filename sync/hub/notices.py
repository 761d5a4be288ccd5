"""What the register of devices and staff means for the log: whom to set apart, whom kiosks know."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from kiosk.model import site_room
from sync.hub.auth.denied import DeniedError
from sync.hub.auth.grants import EVERYWHERE
from sync.hub.writer import Job, NotWrittenError
from sync.protocol import Close

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sync.hub.auth.register import Device, Roll
    from sync.hub.core import Core
    from sync.hub.log import Log

_RETRY_AFTER = 5.0  # seconds, when the disk refuses


class Notices:
    """Carries what changed in the register over to the log; on the hub's loop."""

    def __init__(self, core: Core, log: Log) -> None:
        self._core = core
        self._log = log

    def take(self, roll: Roll) -> None:
        """Set apart what revoked devices wrote, and tell each site its staff and devices."""
        revoked = (one.id for one in roll.devices.values() if one.revoked is not None)
        self._log.revoked = frozenset(revoked)
        self._log.paired = frozenset(roll.devices)
        # Also those whose kiosks have yet to come: the first greeting must find its staff there.
        for org, site in sorted(self._core.sites | _sites(roll)):
            if records := list(_records(roll, org, site)):
                room = site_room(org, site)
                self._core.writer.put(_directing(org, room, records))
        self._core.writer.put(Job(lambda log: log.restated(), lambda _: None))

    async def paired(self, device: Device) -> None:
        """Have the key that a kiosk proved pinned; raises `DeniedError` if the disk refuses."""
        future: asyncio.Future[NotWrittenError | None] = asyncio.get_running_loop().create_future()

        def done(result: NotWrittenError | None) -> None:
            if not future.done():
                future.set_result(result)

        def work(log: Log) -> None:
            log.vouch(device.id, device.incarnation, device.key)

        self._core.writer.put(Job(work, done))
        if (failed := await future) is not None:
            raise DeniedError("disk", str(failed), Close.TRY_LATER, _RETRY_AFTER) from failed


def _sites(roll: Roll) -> set[tuple[str, str]]:
    """Where somebody is registered, by name."""
    paired = {(one.org, one.site) for one in roll.devices.values()}
    hired = {(one.org, site) for one in roll.staff.values() for site in one.sites}
    return paired | {(org, site) for org, site in hired if site != EVERYWHERE}


def _directing(org: str, room: str, records: list[tuple[str, str, Any]]) -> Job:
    return Job(lambda log: log.direct(org, room, records), lambda _: None, len(records))


def _records(roll: Roll, org: str, site: str) -> Iterator[tuple[str, str, Any]]:
    """What kiosks of a site must know to go on by themselves.

    A verifier is of no use without the site's pepper, which only its paired kiosks have.
    """
    for one in roll.staff.values():
        if one.org == org and (site in one.sites or EVERYWHERE in one.sites):
            active = one.removed is None
            yield (
                "staff",
                one.id,
                {
                    "id": one.id,
                    "name": one.name,
                    "rank": int(one.rank),
                    "active": active,
                    "verifier": one.verifiers.get(site, "") if active else "",
                },
            )
    for device in roll.devices.values():
        if (device.org, device.site) == (org, site):
            revoked = device.revoked is not None
            value = {"id": device.id, "name": device.name, "revoked": revoked}
            yield "device", device.id, value
