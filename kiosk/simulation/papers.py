"""A kiosk's token: got by a code that staff type, renewed in time, replaced when it is void.

The real ones are asked for by a thread with blocking sockets; what is said is the same, and so are
the hub's answers and the file on the kiosk's disk.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import aiohttp
import msgspec

from kiosk.incarnation import PAIRING, unpaired
from kiosk.pairing import Pairing, keep, kept
from kiosk.simulation.pipes import Connector
from sync.hub.auth.codes import plain
from sync.possession import pairing_statement, renewal_statement

if TYPE_CHECKING:
    from kiosk.simulation.doors import Kiosk

_GLANCE = 20.0  # seconds between two looks of staff at the kiosk's pill
_GOOD = 200
_EXPIRED = 401


class Papers:
    """Keeps the token of one kiosk good, with the help of staff."""

    def __init__(self, kiosk: Kiosk) -> None:
        self._kiosk = kiosk
        self._folder = kiosk.disk.path.parent
        self._due = 0.0

    @property
    def token(self) -> str:
        """The one on disk; one that no hub knows if there is none yet."""
        found = kept(self._folder)
        return found.token if found else "none-yet"

    async def look_after(self) -> None:
        """Renew and pair for ever."""
        kiosk = self._kiosk
        while True:
            try:
                if kept(self._folder) is None or self._moved() or kiosk.invited:
                    await self._pair()
                elif kiosk.signed_out:
                    if not await self._renewed():
                        await self._pair()
                elif kiosk.loop.time() >= self._due:
                    await self._renewed()
            except (aiohttp.ClientError, OSError, TimeoutError):
                pass  # the line is down; it is tried again
            await asyncio.sleep(_GLANCE)

    def _moved(self) -> bool:
        """Whether the disk has come from another machine, which may be using this token."""
        return bool(unpaired(self._kiosk.store.note(PAIRING), self.token)[0])

    async def _pair(self) -> None:
        kiosk = self._kiosk
        if not kiosk.hub.up or kiosk.hub.disk.left is not None:
            return
        who, code = kiosk.store.identity, plain(kiosk.hub.code()) or ""
        kiosk.on_code(who.device)
        signer = kiosk.store.keys.signer(who.incarnation)
        assert signer is not None  # noqa: S101  made when the store was opened
        names = (who.org, who.site, who.device, who.incarnation)
        wish = {
            "code": code,
            "org": who.org,
            "site": who.site,
            "device": who.device,
            "incarnation": who.incarnation,
            "name": who.device,
            "key": signer.public,
            "proof": signer.prove(pairing_statement(code, *names)),
        }
        status, answer = await self._posted("/v1/pair", wish)
        if status == _GOOD:
            kiosk.invited = False
            self._take(answer, who.device, who.incarnation)
            kiosk.client.kick()

    async def _renewed(self) -> bool:
        found = kept(self._folder)
        if found is None:
            return False
        status, answer = await self._posted("/v1/renew", {}, found.token)
        if status == _EXPIRED and (challenge := answer.get("challenge")):
            signer = self._kiosk.store.keys.signer(found.incarnation)
            if signer is None:
                return False
            proof = signer.prove(renewal_statement(challenge))
            body = {"challenge": challenge, "proof": proof}
            status, answer = await self._posted("/v1/renew", body, found.token)
        if status == _GOOD:
            self._take(answer, found.device, found.incarnation)
        return status == _GOOD

    def _take(self, answer: dict[str, Any], device: str, incarnation: str) -> None:
        if self._kiosk.disk.left is None:
            keep(self._folder, Pairing("ws://hub", answer["token"], device, incarnation))
            self._due = self._kiosk.loop.time() + answer["renew_in"]

    async def _posted(
        self, path: str, body: dict[str, Any], token: str = ""
    ) -> tuple[int, dict[str, Any]]:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with (
            aiohttp.ClientSession(
                connector=Connector(self._kiosk.dialled),
                timeout=aiohttp.ClientTimeout(total=30.0),
                headers=headers,
            ) as session,
            session.post(f"http://127.0.0.1{path}", data=msgspec.json.encode(body)) as response,
        ):
            answer = await response.read()
            json = response.content_type == "application/json"
            return response.status, msgspec.json.decode(answer) if json else {}
