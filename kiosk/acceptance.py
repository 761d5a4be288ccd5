"""Whether a hub takes this kiosk as the device it is: asked with the words and key of its line.

RefusedError (a DirectoryError)    the hub does not, or is not the one that this kiosk knows
"""

from __future__ import annotations

import http.client
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from kiosk import hubs
from kiosk.devicekey import FILE, DeviceKeyError, DeviceKeys
from kiosk.directory import DirectoryError, exchange
from kiosk.incarnation import PAIRING, told_apart, unpaired
from kiosk.model import UNREADABLE
from kiosk.peek import peek
from sync.protocol import VERSION, Hello, MismatchError, Welcome, check_version, encode

if TYPE_CHECKING:
    from pathlib import Path

    from kiosk.config import Config

ANEW = "pair this kiosk anew: kiosk hub pair on the hub's machine, then kiosk pair here"
# What another pairing ends: token, key or the whole device are not known there, or no longer.
_ENDED_BY_PAIRING = frozenset({"token", "key", "revoked"})

_EXPIRED = "the token has expired"  # as a hub words it


class RefusedError(DirectoryError):
    """The hub does not take this kiosk; one line says why, and what helps."""


class Device(NamedTuple):
    """Who this kiosk is by its database, with the notes on its hub there."""

    id: str
    incarnation: str
    hub: str
    pairing: str


def device_of(database: Path) -> Device | None:
    """As the database says; None before the first start. Raises `sqlite3.Error`."""
    if not database.exists() or not database.stat().st_size:
        return None
    with peek(database) as db:
        meta = dict(db.execute("SELECT key, value FROM meta"))
    if not {"device", "incarnation"} <= meta.keys():
        return None
    notes = (meta.get(hubs.NOTE), meta.get(PAIRING))
    return Device(str(meta["device"]), str(meta["incarnation"]), *(str(n or "") for n in notes))


def greet(config: Config, url: str, token: str, who: Device) -> None:
    """Greet the hub as this device, with its key, as the line does; its connection is let be.

    Raises `RefusedError`, and `DirectoryError` where no hub answers.
    """
    if why := unpaired(who.pairing, token)[0]:
        raise RefusedError(f"{why}; {ANEW}")
    hello = Hello(
        VERSION,
        config.organisation.id,
        config.site.id,
        who.id,
        who.incarnation,
        config.kiosk.name,
        key=_public_key(config, who),
    )
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    status, answer = exchange(url, "POST", "/v1/hello", encode(hello), headers, ca=config.hub.ca)
    if status != http.client.OK:
        raise RefusedError(_refusal(status, answer.get("error"), answer.get("code")))
    try:
        welcome = msgspec.convert(answer, Welcome)
        check_version(welcome.version)
    except MismatchError as error:
        raise RefusedError(f"the hub {error}") from error
    except UNREADABLE as error:
        raise DirectoryError(f"what answers at {url} is no hub: {error}") from error
    if welcome.hub is not None and hubs.met(who.hub, welcome.hub.key, told_apart(token)) is None:
        raise RefusedError(f"{hubs.OTHER}; pair this kiosk with it, or kiosk sign-in")


def _public_key(config: Config, who: Device) -> str:
    try:
        signer = DeviceKeys(config.database.with_name(FILE)).signer(who.incarnation)
    except DeviceKeyError as error:
        raise RefusedError(str(error)) from error
    return signer.public if signer is not None else ""


def _refusal(status: int, why: object, code: object) -> str:
    told = f"the hub refuses this kiosk ({status}): {why or 'no reason'}"
    if why == _EXPIRED:
        return f"{told}; a paired kiosk renews it by itself when it runs"
    return f"{told}; {ANEW}" if code in _ENDED_BY_PAIRING else told
