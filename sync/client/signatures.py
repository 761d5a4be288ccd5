"""The signatures that go along with a push: as few as the batch's stretches of own chain need."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import msgspec

from kiosk.devicekey import DeviceKeyError
from sync.protocol import Signed

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from kiosk.store import Held, Store

_LOG = logging.getLogger(__name__)


class _Sealed(msgspec.Struct):
    hash: str = ""


_HASH = msgspec.json.Decoder(_Sealed)


class Signatures:
    """Signs for every incarnation of this device whose key is here."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._told: set[str] = set()

    def of(self, batch: list[Held], alone: Collection[int] = ()) -> list[Signed]:
        """One signature per stretch of `batch`; those with a seq in `alone` get their own."""
        own = self._store.identity.device
        foreign = [one.seq for one in batch if one.device != own]
        carried = self._store.signatures(foreign) if foreign else {}
        apart = {*alone, *carried}
        found = []
        for at, end in _stretches(batch, apart):
            one = batch[at]
            if one.seq in carried:
                key, signature = carried[one.seq]
                found.append(_stretch(batch, at, end, signature, key))
            else:
                # Also what this disk wrote as another device, before its database was damaged.
                found += self._signed(batch, at, end)
        return found

    def _signed(self, batch: list[Held], at: int, end: int) -> Iterator[Signed]:
        first, who = batch[at], self._store.identity
        try:
            signer = self._store.keys.signer(first.incarnation)
        except DeviceKeyError as error:
            signer, why = None, str(error)
        else:
            why = f"the key of incarnation {first.incarnation} is not here"
        if signer is None:
            self._tell(why)
            return
        # The hub has heard the present one in the greeting.
        key = "" if first.incarnation == who.incarnation else signer.public
        stretch = _stretch(batch, at, end, "", key)
        yield msgspec.structs.replace(stretch, signature=signer.sign(who.org, stretch))

    def _tell(self, why: str) -> None:
        """Once each: without a signature the hub keeps the events, but apart."""
        if why not in self._told:
            self._told.add(why)
            _LOG.error("events go out unsigned: %s", why)


def _stretches(batch: list[Held], alone: Collection[int]) -> Iterator[tuple[int, int]]:
    """Begin and end of each run of consecutive events of one incarnation."""
    begin = 0
    for index in range(1, len(batch) + 1):
        if index < len(batch):
            one, before = batch[index], batch[index - 1]
            if (
                one.kseq == before.kseq + 1
                and one.incarnation == before.incarnation
                and one.device == before.device
                and one.seq not in alone
                and before.seq not in alone
            ):
                continue
        yield begin, index
        begin = index


def _stretch(batch: list[Held], at: int, end: int, signature: str, key: str) -> Signed:
    first, last = batch[at], batch[end - 1]
    head = hash_of(last.body)
    return Signed(at, first.device, first.incarnation, first.kseq, last.kseq, head, signature, key)


def hash_of(body: bytes) -> str:
    """The hash that an event bears; "" if it cannot be read."""
    try:
        return _HASH.decode(body).hash[:64]
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return ""
