"""The register of an older backup, put right by what the hub itself has said since.

A revocation and a removal are taken over, and never taken back here: who was let in again since is
let in once more by staff.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from kiosk.model import Rank
from sync.hub.auth.register import Device, Staff

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sync.hub.auth.register import Register


class Regained(NamedTuple):
    """A record of the directory as the hub had said it: `record` is `staff` or `device`."""

    org: str
    site: str
    record: str
    id: str
    value: dict[str, Any]


def regain(register: Register, found: Iterable[Regained], now: int) -> list[str]:
    """Take the records in; a line for each that changed something. `now` is UTC ns.

    Raises `RegisterError`.
    """
    told: list[str] = []
    for one in found:
        told += _device(register, one, now) if one.record == "device" else ()
        told += _staff(register, one, now) if one.record == "staff" else ()
    return told


def _device(register: Register, one: Regained, now: int) -> Iterator[str]:
    known = register.roll().devices.get(one.id)
    if one.value.get("revoked") is not True or (known is not None and known.revoked is not None):
        return
    name = str(one.value.get("name") or one.id)
    if known is None:
        register.put_revoked(Device(one.id, name, one.org, one.site, "", "", 0, now))
    else:
        register.revoke(one.id, now)
    yield f"device {one.id} had been revoked"


def _staff(register: Register, one: Regained, now: int) -> Iterator[str]:
    known = register.roll().staff.get(one.id)
    if (known is not None and known.removed is not None) or (known and known.org != one.org):
        return
    if one.value.get("active") is False:
        if known is not None:
            register.put_staff(replace(known, verifiers={}, removed=now))
            yield f"staff {one.id} had been removed"
        return
    was = known or Staff(one.id, one.id, one.org, (one.site,), Rank.NONE)
    then = _as_said(was, one)
    if then != known:
        # Another PIN: what the hub itself would take for theirs is no longer it.
        verifiers = {site: kept for site, kept in then.verifiers.items() if site}
        if then.verifiers == was.verifiers and known is not None:
            verifiers = then.verifiers
        register.put_staff(replace(then, verifiers=verifiers, since=now))
        yield f"staff {one.id} had been added or changed"


def _as_said(was: Staff, one: Regained) -> Staff:
    """The member of staff with the name, the rank and the site's verifier that a record gives."""
    name, rank, verifier = (one.value.get(key) for key in ("name", "rank", "verifier"))
    verifiers = was.verifiers | ({one.site: verifier} if isinstance(verifier, str) else {})
    if not isinstance(verifier, str) or was.verifiers.get(one.site, "") == verifier:
        verifiers = was.verifiers
    return replace(
        was,
        name=name if isinstance(name, str) else was.name,
        rank=Rank(rank) if rank in tuple(Rank) else was.rank,
        verifiers=verifiers,
    )
