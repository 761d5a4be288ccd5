"""The hub as the author of records: what it signs them with, in all its lives.

The key comes from the hub's secret. So whoever has that, as a backup does, is the same hub, even
with an empty log, and knows again what it once said when somebody shows it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from msgspec.structs import replace

from kiosk.model import (
    Author,
    Event,
    Kind,
    decode_envelope,
    decode_event,
    encode_envelope,
    sealed,
    uuid7,
)
from sync.signing import Signer, alone

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from kiosk.clock import Clock

# What only a hub says: who is who, and who may decide. REST is the way to have it said.
OWN = frozenset({Kind.DIRECTORY, Kind.MERGED})
# Records that repeat what the register holds (see `sync.hub.notices`).
REGISTERED = frozenset({"staff", "device"})

CANONICAL = msgspec.json.Encoder(order="deterministic")

_SITES = """
SELECT e.place, e.body, e.envelope FROM event e JOIN room r ON r.number = e.place >> 40
WHERE r.name LIKE 'org/%/site/%' AND instr(e.body, CAST(? AS BLOB))
"""


class Proof(NamedTuple):
    """What goes with a record into its envelope: key and signature (hex)."""

    key: str = ""
    signature: str = ""


class Place(NamedTuple):
    """Where in the hub's own chain its next record comes."""

    device: str
    incarnation: str
    kseq: int
    prev: str


class House:
    """Signs for one hub; `key` is the public half (hex) of what it signs with."""

    def __init__(self, seed: bytes) -> None:
        """`seed` has 32 bytes."""
        self._signer = Signer(seed)
        self.key = self._signer.public

    def prove(self, event: Event) -> Proof:
        """This hub's signature over an event of its own."""
        return Proof(self.key, self._signer.sign(event.org, alone(event)))

    def sign_earlier(self, db: sqlite3.Connection, incarnation: str, head: str) -> int:
        """Sign what an incarnation wrote before hubs signed, `head` being the hash of the last.

        Only what lies on the chain that ends there is known to be the hub's own. How many events;
        inside the caller's transaction.
        """
        found = {}
        for place, body, envelope in db.execute(_SITES, (f'"incarnation":"{incarnation}"',)):
            event = decode_event(body)
            found[event.hash] = place, event, envelope
        count = 0
        while head in found:
            place, event, envelope = found.pop(head)
            proof = self.prove(event)
            signed = replace(decode_envelope(envelope), key=proof.key, signature=proof.signature)
            db.execute(
                "UPDATE event SET envelope = ? WHERE place = ?", (encode_envelope(signed), place)
            )
            head, count = event.prev, count + 1
        return count


def written(
    clock: Clock,
    at: Place,
    entropy: Callable[[int], bytes],
    org: str,
    room: str,
    data: dict[str, Any],
) -> Event:
    """A new `directory` event of the hub's own."""
    wall = clock.wall()
    return sealed(
        Event(
            id=uuid7(wall, entropy(10)),
            device=at.device,
            incarnation=at.incarnation,
            kseq=at.kseq,
            kind=Kind.DIRECTORY,
            org=org,
            room=room,
            wall=wall,
            zone="UTC",
            boot=clock.boot,
            ticks=clock.ticks(),
            synced=clock.synced(),
            by=Author(role="hub"),
            data=data,
            prev=at.prev,
        )
    )


def united(record: str, known: bytes, value: object) -> object:
    """What becomes of a record, `known` (encoded) so far, by saying `value` of it.

    A device's is written by two hands, the register and the directory: each leaves the other's.
    """
    return msgspec.json.decode(known) | value if record == "device" and known else value


def heed(db: sqlite3.Connection, event: Event) -> bool:
    """Keep the highest rev of a record, then the highest id, whichever hub made it; whether it is.

    What is no record is left out.
    """
    record, id_, rev = (event.data.get(key) for key in ("record", "id", "rev"))
    named = isinstance(record, str) and isinstance(id_, str)
    if not (named and isinstance(rev, int) and 0 <= rev < 1 << 62):
        return False
    value = CANONICAL.encode(event.data.get("value"))
    kept = db.execute(
        "INSERT INTO directory VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO UPDATE"
        " SET rev = ?4, value = ?5, event = ?6 WHERE (rev, event) < (?4, ?6)",
        (event.room, record, id_, rev, value, event.id),
    )
    return kept.rowcount > 0
