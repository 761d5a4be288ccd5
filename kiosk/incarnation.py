"""Which life of which device a database is in: a new one whenever the old one cannot go on safely.

An incarnation's events are counted without a gap and signed with its key. So a new one begins when
the machine is another (the disk was moved or cloned), when the key is gone, or when the hub knows
more of the old one than the database does (an older copy was put back). What was unsent goes out
under the incarnation that wrote it.
"""

from __future__ import annotations

import hashlib
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from kiosk import anchors

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable

    from kiosk.clock import Clock
    from kiosk.devicekey import DeviceKeys

# Notes of the database.
PAIRING = "pairing"  # why this kiosk must be paired anew; absent or "" if it need not
RENEWED = "renewed"  # why the last new incarnation began
NOTES = frozenset({"org", "site", "device", "incarnation", "machine", "key", PAIRING, RENEWED})

MOVED = "this disk has come to another machine"
KEYLESS = "the device's key was lost or exchanged"
PUT_BACK = "an older copy of the database was put back"

# The first is what systemd gives an installation, the second what the board was made with: a card
# that is cloned whole takes the first along.
_MACHINE = (Path("/etc/machine-id"), Path("/sys/firmware/devicetree/base/serial-number"))


class Lineage(NamedTuple):
    """The device and its incarnation."""

    device: str
    incarnation: str


def machine_id(files: Iterable[Path] = _MACHINE) -> str:
    """This machine by a hash (machine-id(5) asks not to show the id itself); "" if unknown."""
    found = []
    for file in files:
        try:
            text = file.read_bytes().strip(b"\0 \n")
        except OSError:
            continue
        if text and text != b"uninitialized":
            found.append(text)
    if not found:
        return ""
    return hashlib.blake2b(b"\0".join(found), digest_size=16, person=b"whorl").hexdigest()


def settle(
    connection: sqlite3.Connection,
    keys: DeviceKeys,
    machine: str,
    chance: Callable[[], uuid.UUID] = uuid.uuid4,
    clock: Clock | None = None,
) -> Lineage:
    """Go on with the incarnation in the database, or begin a new one, on disk when this returns.

    `clock` is this machine's, for what the disk's coming to it means for the time.

    Raises `KeyError` where a note is missing, `DeviceKeyError`, `sqlite3.Error`.
    """
    rows = connection.execute("SELECT key, value FROM meta").fetchall()
    # A note that a card has spoilt says nothing.
    meta = {key: value for key, value in rows if isinstance(value, str)}
    device, incarnation = meta["device"], meta["incarnation"]
    known = meta.get("machine", "")
    whose, _, key = meta.get("key", "").partition(" ")
    why = ""
    if machine and known and machine != known:
        why = MOVED
    elif whose == incarnation and keys.name(incarnation) != key:
        why = KEYLESS
    notes = {"machine": machine or known}
    if why:
        incarnation = chance().hex
        notes |= begun(keys, incarnation, why)
        if why == MOVED and clock is not None:
            notes[anchors.CAME] = anchors.arrived(meta.get(anchors.CAME), clock)
    else:
        notes["key"] = _key_note(keys, incarnation)
    fresh = [(name, value) for name, value in notes.items() if meta.get(name, "") != value]
    if fresh:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", fresh)
        connection.execute("COMMIT")
    return Lineage(device, incarnation)


def begun(keys: DeviceKeys, incarnation: str, why: str) -> dict[str, str]:
    """The notes of a new incarnation, whose key is on disk when this returns."""
    key = _key_note(keys, incarnation)
    notes = {"incarnation": incarnation, RENEWED: why, "key": key}
    return notes | {PAIRING: why} if why == MOVED else notes


def _key_note(keys: DeviceKeys, incarnation: str) -> str:
    return f"{incarnation} {keys.make(incarnation)}"


def unpaired(note: str | None, token: str) -> tuple[str, str]:
    """Why this kiosk must be paired anew before it talks to a hub, "" if it need not; and the note.

    `note` is what stands under `PAIRING`. The token that the disk brought along will not do: the
    machine it came from may still be using it. Any other was given to this one.
    """
    why, _, known = (note or "").partition("\n")
    shown = told_apart(token)
    if not why or (known and shown != known):
        return "", ""
    return why, f"{why}\n{shown}"


def told_apart(token: str) -> str:
    """A hash that tells a token from others and does not give it away."""
    return hashlib.blake2b(token.encode(errors="replace"), digest_size=8).hexdigest()
