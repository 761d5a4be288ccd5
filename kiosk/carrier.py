"""Handing the events of a bundle straight to a hub, over its plain HTTP."""

from __future__ import annotations

import http.client
import uuid
from collections import Counter
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import msgspec

from kiosk.carry import CarryError, stretch
from kiosk.credentials import paired, pairing_of, token_of
from kiosk.directory import DirectoryError, exchange
from kiosk.ownhub import hub_client
from sync.protocol import Ack, Push, encode

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from kiosk.carry import Bundle
    from kiosk.config import Config
    from kiosk.records import Carried

_BATCH = 200
_BATCH_BYTES = 200_000
_ANCHORS = 32
_STAYED = "\nNothing has left this machine: this kiosk is not paired, and its settings name no hub."


def hand_over(config: Config, bundle: Bundle) -> str:
    """Push all of it to the hub that this kiosk uses; what became of it, in words.

    Raises `CarryError` or `DirectoryError` where the hub did not take it; it may be tried again.
    """
    said: Counter[str] = Counter()
    config = paired(config)
    # The token of a pairing speaks for its own device only.
    mine = pairing_of(config)
    device = mine.device if mine is not None else ""
    with hub_client(config) as client:
        for events in _batches(bundle.events):
            said.update(
                deliver(client.url, token_of(config), bundle, events, device, config.hub.ca)
            )
    apart = said["quarantined"]
    where = f"the hub {config.hub.url}" if config.hub.url else "this kiosk's own hub"
    told = f"{said['ok']} new and {said['dup']} known events are at {where}"
    told += f"; {apart} were set apart there, to be looked at" if apart else ""
    return told + ("" if config.hub.url else _STAYED)


def deliver(
    url: str,
    token: str,
    bundle: Bundle,
    events: list[Carried],
    device: str = "",
    ca: Path | None = None,
) -> Counter[str]:
    """Push one batch, carried by `device`, or by nobody known; how often each verdict came.

    Raises `CarryError` or `DirectoryError`.
    """
    push = Push(
        0,
        [msgspec.Raw(one.body) for one in events],
        bundle.whose.anchors[-_ANCHORS:],
        [stretch(one, at) for at, one in enumerate(events)],
    )
    whose = bundle.whose
    # A carrier writes nothing of its own, so a name for the moment will do.
    device = device or f"carrier-{uuid.uuid4()}"
    who = {"org": whose.org, "site": whose.site, "device": device}
    query = urlencode(who | {"incarnation": "carrier"})
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    status, answer = exchange(url, "POST", f"/v1/push?{query}", encode(push), headers, ca=ca)
    if status != http.client.OK:
        raise DirectoryError(f"the hub refused ({status}): {answer.get('error', 'no reason')}")
    try:
        ack = msgspec.convert(answer, Ack)
    except msgspec.ValidationError as error:
        raise DirectoryError(f"what answers at {url} is no hub: {error}") from error
    found = Counter[str](verdict.verdict for verdict in ack.verdicts)
    if found["retry"] or found.total() != len(events):
        raise CarryError("the hub cannot take them just now; import the file again later")
    return found


def _batches(events: list[Carried]) -> Iterator[list[Carried]]:
    batch: list[Carried] = []
    size = 0
    for one in events:
        if batch and (len(batch) >= _BATCH or size + len(one.body) > _BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(one)
        size += len(one.body)
    if batch:
        yield batch
