"""Unsent events in a file, to be carried to another kiosk or to the hub by hand.

The first line says what it is, the second (JSON) whose, then there is a line (JSON) per event, with
its bytes, its author's public key and signature, and last a line with the number of events and a
digest of all before it. Nothing in it is secret from those who may see attendance, and nothing can
be added to it or changed without the author's private key.

CarryError (a KioskError)    the file cannot be made or used
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from kiosk import hubs
from kiosk.clock import Anchor
from kiosk.devicekey import DeviceKeyError
from kiosk.errors import KioskError
from kiosk.model import decode_event, event_hash
from kiosk.records import Carried
from kiosk.vault import write_private
from sync.signing import alone, signed_by

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from kiosk.model import Event
    from kiosk.store import Held, Store
    from sync.protocol import Signed

_MAGIC = b"WHORL-EVENTS 1\n"
_MOST = 256 << 20  # bytes of a file
_PAGE = 500


class CarryError(KioskError):
    """A file of carried events cannot be made or used; nothing was taken from it."""


class Whose(msgspec.Struct, frozen=True):
    """Where the events are from; `anchors` are of the boots they were made in."""

    org: str
    site: str
    device: str
    anchors: list[Anchor] = []


class Exported(NamedTuple):
    """How many events went into a file, and how many could not: damaged, or without a key."""

    events: int
    left: int


class Bundle(NamedTuple):
    """What a file holds, every event of it authentic."""

    whose: Whose
    events: list[Carried]


class _Line(msgspec.Struct, frozen=True):
    event: msgspec.Raw
    key: str
    signature: str


class _End(msgspec.Struct, frozen=True):
    end: int
    digest: str


def export_unsent(store: Store, file: Path) -> Exported:
    """Write all unsent events into a new file (0600), whole or not at all; they stay unsent.

    Raises `CarryError`, also if there is nothing to write.
    """
    if file.exists():
        raise CarryError(f"{file} exists already; name another file")
    held = _all_held(store)
    lines = _lines(store, held)
    if not lines:
        left = f"; {len(held)} that cannot be read or signed stay here" if held else ""
        raise CarryError(f"nothing is unsent that could be exported{left}")
    who = store.identity
    own = [msgspec.structs.replace(anchor, device=who.device) for anchor in store.anchors()]
    whose = Whose(who.org, who.site, who.device, [*own, *store.carried_anchors()])
    data = _MAGIC + b"\n".join((msgspec.json.encode(whose), *lines)) + b"\n"
    end = msgspec.json.encode(_End(len(lines), _digest(data)))
    try:
        write_private(file, data + end + b"\n", replace=True)
    except OSError as error:
        raise CarryError(f"{file} cannot be written: {error.strerror}") from error
    return Exported(len(lines), len(held) - len(lines))


def read_bundle(file: Path) -> Bundle:
    """What a file holds; raises `CarryError` if any of it is not as its author wrote it."""
    try:
        if file.stat().st_size > _MOST:
            raise CarryError(f"{file} is no file of events: it is too large")
        data = file.read_bytes()
    except OSError as error:
        raise CarryError(f"{file} cannot be read: {error.strerror}") from error
    if not data.startswith(_MAGIC):
        raise CarryError(f"{file} is no file of exported events")
    body, _, last = data.removesuffix(b"\n").rpartition(b"\n")
    first, *lines = body[len(_MAGIC) :].split(b"\n")
    try:
        end = msgspec.json.decode(last, type=_End)
        whose = msgspec.json.decode(first, type=Whose)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise CarryError(f"{file} was cut short or altered; copy it again") from None
    if end.end != len(lines) or end.digest != _digest(body + b"\n"):
        raise CarryError(f"{file} was cut short or altered; copy it again")
    return Bundle(whose, [_authentic(file, whose, n, line) for n, line in enumerate(lines, 1)])


def import_into(store: Store, bundle: Bundle) -> int:
    """Take the events in, to be passed on to this kiosk's hub; how many were not here already.

    What a hub says is taken from the one that this kiosk knows, for it counts here at once. Raises
    `CarryError` for another's, and for events of another organisation, `StoreError`.
    """
    org = store.identity.org
    if bundle.whose.org != org:
        raise CarryError(f"these events are of {bundle.whose.org}, this kiosk is of {org}")
    known = hubs.read(store.note(hubs.NOTE)).key
    if any(one.event.kind in hubs.WORDS and one.key != known for one in bundle.events):
        raise CarryError(
            "the file holds records of a hub that this kiosk does not know; nothing was taken."
            " Hand it to the hub: kiosk import --to-hub"
        )
    return store.carry(bundle.events, bundle.whose.anchors).result()


def unsent_beyond(store: Store, bundle: Bundle | None) -> int:
    """How many unsent events are not in a bundle."""
    safe = {one.event.id for one in bundle.events} if bundle else set()
    return sum(held.id not in safe for held in _all_held(store))


def stretch(one: Carried, at: int = 0) -> Signed:
    """The signature over one carried event, as it goes along with a push."""
    return alone(one.event, one.key, one.signature, at)


# -- inside ----------------------------------------------------------------------------------------


def _all_held(store: Store) -> list[Held]:
    held: list[Held] = []
    while page := store.pending(held[-1].seq if held else 0, _PAGE, _MOST):
        held += page
    return held


def _lines(store: Store, held: Sequence[Held]) -> list[bytes]:
    found = []
    for start in range(0, len(held), _PAGE):
        page = held[start : start + _PAGE]
        carried = store.signatures([one.seq for one in page])
        for one in page:
            event = _readable(one.body)
            if event is None:
                continue
            signed = carried.get(one.seq) or _signed(store, event)
            if signed is not None:
                found.append(msgspec.json.encode(_Line(msgspec.Raw(one.body), *signed)))
    return found


def _signed(store: Store, event: Event) -> tuple[str, str] | None:
    """Key and signature of an own event; None if its incarnation's key is not here."""
    try:
        signer = store.keys.signer(event.incarnation)
    except DeviceKeyError as error:
        raise CarryError(str(error)) from error
    if signer is None:
        return None
    bare = stretch(Carried(event, b"", signer.public, ""))
    return signer.public, signer.sign(event.org, bare)


def _authentic(file: Path, whose: Whose, number: int, line: bytes) -> Carried:
    try:
        found = msgspec.json.decode(line, type=_Line)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise CarryError(f"{file}: event {number} cannot be read; nothing was taken") from None
    event = _readable(bytes(found.event))
    if event is None or event.org != whose.org:
        raise CarryError(f"{file}: event {number} was altered; nothing was taken")
    one = Carried(event, bytes(found.event), found.key, found.signature)
    if not signed_by(found.key, event.org, stretch(one)):
        raise CarryError(f"{file}: event {number} was not signed by its author; nothing was taken")
    return one


def _readable(body: bytes) -> Event | None:
    """The event, if the bytes are one and its hash is theirs."""
    try:
        event = decode_event(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    return event if event_hash(event) == event.hash else None


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()
