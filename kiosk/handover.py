"""What a kiosk knows of people and sessions, in a file, for a hub that begins anew.

The first line says what it is, the second (JSON) whose, then there is a line (JSON) per record, and
last a line with their number and a digest of all before it. Nothing in it is signed: whoever has
the hub adopt it vouches for it. It names people, so it is for its owner only.

HandoverError (a KioskError)    the file cannot be made or used
"""

from __future__ import annotations

import hashlib
import sqlite3
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from kiosk.errors import KioskError
from kiosk.peek import peek
from kiosk.vault import write_private

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_MAGIC = b"WHORL-DIRECTORY 1\n"
_MOST = 256 << 20  # bytes of a file
# Staff and devices are not among them: PINs and pairings rest on the secret of the former hub.
KINDS = ("person", "session", "policy", "merged")
# What kiosks have said themselves has no rev, and they offer it to the hub by themselves.
_QUERY = "SELECT record, id, rev, value FROM directory WHERE rev >= 0 ORDER BY record, id"


class HandoverError(KioskError):
    """A file of records cannot be made or used; nothing was taken from it."""


class Whose(msgspec.Struct, frozen=True):
    """Where the records are from; `made` is what that kiosk's clock said (UTC ns).

    `rev` is the highest of all records known there, also of kinds that are not in the file.
    """

    org: str
    site: str
    device: str
    made: int
    rev: int


class Record(msgspec.Struct, frozen=True):
    """One record as the former hub had last said it there."""

    record: str
    id: str
    rev: int
    value: Any


class Handover(NamedTuple):
    """The records of one site, of each the latest that any of the files has.

    `rev` is the highest that the former hub is known to have given to anything.
    """

    org: str
    site: str
    records: list[Record]
    rev: int


class _End(msgspec.Struct, frozen=True):
    end: int
    digest: str


def export_directory(database: Path, file: Path, now: int) -> int:
    """Write a kiosk's records into a new file (0600); how many. The kiosk may run.

    `now` is UTC ns. Raises `HandoverError`, also if there is nothing to write.
    """
    if file.exists():
        raise HandoverError(f"{file} exists already; name another file")
    try:
        with peek(database) as db:
            meta = dict(db.execute("SELECT key, value FROM meta"))
            rows = db.execute(_QUERY).fetchall()
        highest = max((rev for _, _, rev, _ in rows), default=0)
        whose = Whose(meta["org"], meta["site"], meta["device"], now, highest)
    except (sqlite3.Error, KeyError) as error:
        raise HandoverError(f"{database} cannot be read: {error}") from error
    lines = [
        msgspec.json.encode(Record(record, id_, rev, msgspec.Raw(value)))
        for record, id_, rev, value in rows
        if record in KINDS
    ]
    if not lines:
        raise HandoverError("this kiosk knows nothing that its hub has said")
    data = _MAGIC + b"\n".join((msgspec.json.encode(whose), *lines)) + b"\n"
    end = msgspec.json.encode(_End(len(lines), _digest(data)))
    try:
        write_private(file, data + end + b"\n", replace=True)
    except OSError as error:
        raise HandoverError(f"{file} cannot be written: {error.strerror}") from error
    return len(lines)


def read_all(files: Iterable[Path]) -> Handover:
    """What files of kiosks of one site hold; raises `HandoverError`."""
    latest: dict[tuple[str, str], Record] = {}
    sites, highest = set(), 0
    for file in files:
        whose, records = _read(file)
        sites.add((whose.org, whose.site))
        highest = max(highest, whose.rev)
        for one in records:
            known = latest.get((one.record, one.id))
            if known is None or known.rev < one.rev:
                latest[one.record, one.id] = one
    if len(sites) != 1:
        raise HandoverError("give files of kiosks of one site, and those of others by themselves")
    return Handover(*sites.pop(), list(latest.values()), highest)


def _read(file: Path) -> tuple[Whose, list[Record]]:
    try:
        if file.stat().st_size > _MOST:
            raise HandoverError(f"{file} is no file of records: it is too large")
        data = file.read_bytes()
    except OSError as error:
        raise HandoverError(f"{file} cannot be read: {error.strerror}") from error
    if not data.startswith(_MAGIC):
        raise HandoverError(f"{file} is not made by kiosk export directory")
    body, _, last = data.removesuffix(b"\n").rpartition(b"\n")
    first, *lines = body[len(_MAGIC) :].split(b"\n")
    try:
        end = msgspec.json.decode(last, type=_End)
        if end.end == len(lines) and end.digest == _digest(body + b"\n"):
            whose = msgspec.json.decode(first, type=Whose)
            found = [msgspec.json.decode(line, type=Record) for line in lines]
            return whose, [one for one in found if one.record in KINDS]
    except (msgspec.MsgspecError, ValueError, RecursionError):
        pass
    raise HandoverError(f"{file} was cut short or altered; copy it again")


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()
