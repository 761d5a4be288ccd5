"""Whether a kiosk holds and shows what the hub's log comes to, to the last byte."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from kiosk.model import Attendance, Entry, Envelope, decode_envelope, decode_event
from sync import merge

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kiosk.simulation.doors import Kiosk
    from kiosk.simulation.finds import Kept
    from kiosk.simulation.laws import Key
    from kiosk.simulation.scene import Scene

_IDS = msgspec.json.Decoder(list[str])
_ENTRIES = "SELECT body, low, high, envelope FROM entry WHERE quarantined IS NULL ORDER BY seq"


@dataclass(slots=True)
class Meant:
    """What the hub's log comes to: rows, and the whole state as it is folded at once."""

    log: list[Kept]
    rows: dict[Key, Attendance]
    state: merge.State


@dataclass(slots=True)
class _Side:
    kiosk: Kiosk
    scene: Scene
    meant: Meant
    wrong: list[str] = field(default_factory=list)
    # Sessions of which it has let go, or of which the hub had before it could read them.
    let_go: set[str | None] = field(default_factory=set)
    unread: set[str | None] = field(default_factory=set)

    def say(self, what: str) -> None:
        self.wrong.append(f"{self.kiosk.name} {what}")


def differences(kiosk: Kiosk, scene: Scene, meant: Meant) -> list[str]:
    """In which ways one kiosk differs from what the hub's log comes to."""
    side = _Side(kiosk, scene, meant)
    _events(side)
    _rows(side)
    _sessions(side)
    if not (side.let_go or side.unread):
        _folded(side)
        _review(side)
    return side.wrong


def entries_of(kiosk: Kiosk) -> list[Entry]:
    """All that counts on a kiosk, in the order it came there."""
    return [
        Entry(decode_event(body), low, high, decode_envelope(stamp) if stamp else None)
        for body, low, high, stamp in kiosk.read(_ENTRIES)
    ]


def telling(rows: Iterable[Attendance]) -> dict[str, Attendance]:
    """By person, without rows of which nothing is left, as of a decision that does not count."""
    return {row.person: row for row in rows if row != Attendance(row.session, row.person)}


def _events(side: _Side) -> None:
    kiosk = side.kiosk
    query = "SELECT e.id, e.body, s.envelope FROM event e LEFT JOIN stamp s ON s.seq = e.seq"
    here = {id_: (body, stamp) for id_, body, stamp in kiosk.read(query)}
    frozen = kiosk.read("SELECT session, ids FROM pruned")
    pruned = {id_ for _, ids in frozen for id_ in _IDS.decode(ids)}
    # What comes to a session that was let go of is no longer asked for.
    closed = {session for session, _ in frozen} - _followed(kiosk)
    outbox, aside = kiosk.read(
        "SELECT (SELECT count(*) FROM outbox), (SELECT count(*) FROM undecodable)"
    )[0]
    if outbox or aside:
        side.say(f"has {outbox} unsent, {aside} not understood")
    for kept in side.meant.log:
        id_ = kept.event.id
        body, stamp = here.get(id_, (None, None))
        gone = id_ in side.scene.hub.let_go
        if body is None and id_ in pruned and not gone:
            side.let_go.add(kept.event.session)
        elif body is None and (gone or kept.event.session in closed):
            side.unread.add(kept.event.session)
        elif body is None:
            side.say(f"lacks {id_} of {kept.room}")
        elif stamp is None or _unsigned(decode_envelope(stamp)) != _unsigned(kept.envelope):
            side.say(f"has another envelope for {id_}: {stamp!r}, not {kept.stamp!r}")
        elif body != kept.body:
            side.say(f"holds other bytes of {id_}")


def _unsigned(envelope: Envelope) -> Envelope:
    """Kiosks keep the hub's signature elsewhere, unless they brought the record back themselves."""
    return replace(envelope, key="", signature="")


def _followed(kiosk: Kiosk) -> set[str]:
    return {room.rpartition("/")[2] for room in kiosk.store.rooms()}


def _rows(side: _Side) -> None:
    for session in side.scene.sessions:
        # Rows that were frozen before two people were found to be one stay two.
        frozen = session.id in side.let_go and bool(side.scene.merged)
        if session.id in side.unread or frozen:
            continue
        shown = telling(side.kiosk.store.attendance(session.id))
        meant = telling(row for row in side.meant.rows.values() if row.session == session.id)
        for person in sorted(shown.keys() | meant.keys()):
            if shown.get(person) != meant.get(person):
                side.say(
                    f"shows {shown.get(person)}, must be {meant.get(person)}"
                    f" ({session.id}, {person})"
                )


def _sessions(side: _Side) -> None:
    if side.scene.doubles:
        return  # a double's decisions are taken for what the hub said of that very entry
    for session in side.scene.sessions:
        if session.id in side.unread | side.let_go:
            continue
        shown = side.kiosk.store.session_state(session.id)
        meant = side.meant.state.sessions.get(session.id)
        if meant is not None and shown != meant:
            side.say(f"takes {session.id} for {shown}, not {meant}")


def _folded(side: _Side) -> None:
    """Rows, sessions and review items: entry by entry in this kiosk's order, or all at once."""
    site = merge.SiteFold()
    for entry in entries_of(side.kiosk):
        site.apply(entry)
    here, meant = site.state, side.meant.state
    for what in ("rows", "sessions", "items", "aliases"):
        if getattr(here, what) != getattr(meant, what):
            side.say(f"folds other {what} than the hub's log comes to")


def _review(side: _Side) -> None:
    """What staff are asked about is the same on every screen, but for what was set apart."""
    if side.scene.doubles:
        return  # a double is flagged where the hub said so of that very entry
    shown = {one.id: one for one in side.kiosk.store.review_items() if one.kind != "quarantined"}
    meant = {one.id: one for one in side.meant.state.waiting}
    for name in sorted(shown.keys() | meant.keys()):
        if shown.get(name) != meant.get(name):
            side.say(f"asks {shown.get(name)}, must ask {meant.get(name)}")
