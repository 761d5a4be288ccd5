"""Review items: what the fold could not settle silently, or settled and wants known."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from kiosk.model import Flag, Human, ReviewItem

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from kiosk.model import Attendance, Entry, SessionState
    from sync.merge.decisions import Decision
    from sync.merge.entries import Line
    from sync.merge.sessions import Settled

    Key = tuple[str, str]

UNKNOWN_PERSON = "unknown_person"
UNKNOWN_SESSION = "unknown_session"
CLOSE_REOPENED = "close_reopened"
OVER_CAPACITY = "over_capacity"
SET_APART = "quarantined"

_ASKS = {
    Flag.ARRIVED_AFTER_ABSENT: Human.NO,
    Flag.SCAN_UNSEEN: Human.YES,
    Flag.OUTRANKED: Human.INFORMED,
    Flag.DISAGREE: Human.YES,
    Flag.TIME_UNCERTAIN: Human.BATCH,
    Flag.TWO_PLACES: Human.YES,
    Flag.FORKED: Human.NO,  # the device's own item asks
}


def item_id(kind: str, scope: Sequence[str], ids: Iterable[str]) -> str:
    """The id of what `kind` says of a row (or whatever `scope` names) by these events; 32 hex."""
    # Each part has its length before it, so that no two lists are ever written alike.
    parts = [kind, *scope, "", *sorted(set(ids))]
    text = "".join(f"{len(part)}:{part}" for part in parts)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def author(entry: Entry) -> str:
    """Who an entry is by: a member of staff, or else the device."""
    return entry.event.by.staff or entry.event.device


class Told:
    """Collects what is to be said of one row while it is judged."""

    __slots__ = ("_found", "_key", "flags")

    def __init__(self, key: Key) -> None:
        self._key = key
        self.flags: set[Flag] = set()
        self._found: list[tuple[Flag, str, Human, list[str], str, dict[str, Any]]] = []

    def absent(self, flag: Flag, winner: Decision | None, scans: Sequence[Entry]) -> None:
        """Check-ins that an absence did not know, or that came in knowing of it."""
        if winner is not None:
            staff = winner.event.by.staff or winner.event.device
            ids = [winner.event.id, *(e.event.id for e in scans)]
            self._add(flag, ids, scans[0].event.device, staff=staff, **_when(scans))

    def decisions(self, flag: Flag, winner: Decision | None, others: Sequence[Decision]) -> None:
        """Decisions that said otherwise than the one that holds, without knowledge of it."""
        if winner is not None:
            sides = sorted((winner, *others), key=lambda d: d.event.id)
            said = [[d.event.by.staff or d.event.device, d.status] for d in sides]
            ids = [d.event.id for d in sides]
            staff = winner.event.by.staff or winner.event.device
            self._add(flag, ids, winner.event.device, staff=staff, said=said)

    def uncertain(self, scans: Sequence[Entry], late_at: int) -> None:
        """Check-ins in whose interval the late limit lies."""
        ids = [e.event.id for e in scans]
        device = scans[0].event.device
        self._add(Flag.TIME_UNCERTAIN, ids, device, limit=[late_at, late_at], **_when(scans))

    def doubtful(self, moves: Sequence[Entry]) -> None:
        """Events whose envelopes contradict each other about the time."""
        if moves:
            ids = [e.event.id for e in moves]
            key = "time_contradicted"
            self._add(Flag.TIME_UNCERTAIN, ids, moves[0].event.device, key=key, **_when(moves))

    def two_places(self, moves: Sequence[Entry]) -> None:
        """Passages too far apart to be true."""
        if moves:
            devices = sorted({e.event.device for e in moves})
            ids = [e.event.id for e in moves]
            device = moves[0].event.device
            self._add(Flag.TWO_PLACES, ids, device, devices=devices, **_when(moves))

    def forked(self, moves: Sequence[Entry]) -> None:
        """Passages that a cloned disk may have written."""
        if moves:
            ids = [e.event.id for e in moves]
            self._add(Flag.FORKED, ids, moves[0].event.device, key="forked_scan", **_when(moves))

    def after_close(self, scans: Sequence[Entry], human: Human) -> None:
        """Check-ins that all began after the session was closed."""
        ids = [e.event.id for e in scans]
        key = "after_close_known" if human is Human.INFORMED else ""
        device = scans[0].event.device
        self._add(Flag.AFTER_CLOSE, ids, device, human=human, key=key, **_when(scans))

    def items(self, row: Attendance, apart: Sequence[Entry]) -> tuple[ReviewItem, ...]:
        """All of it as items, now that the row is known; `apart` are its events that count not."""
        found = [
            ReviewItem(
                id=item_id(flag if key == flag else f"{flag}/{key}", self._key, ids),
                kind=flag.value,
                human=human,
                key=key,
                session=row.session,
                device=device,
                people=(row.person,),
                ids=tuple(sorted(ids)),
                args={"person": row.person, "status": row.status.value, "device": device} | args,
            )
            for flag, key, human, ids, device, args in self._found
        ]
        found += [set_apart(entry, self._key) for entry in apart]
        return tuple(sorted(found, key=lambda item: item.id))

    def _add(
        self,
        flag: Flag,
        ids: list[str],
        device: str,
        *,
        key: str = "",
        human: Human | None = None,
        **args: object,
    ) -> None:
        self.flags.add(flag)
        self._found.append((flag, key or flag.value, human or _ASKS[flag], ids, device, args))


def batched(notes: Iterable[ReviewItem]) -> list[ReviewItem]:
    """One item for each (session, device) in place of those that are looked at in batches."""
    several: dict[tuple[str, str, str, str], list[ReviewItem]] = {}
    single: list[ReviewItem] = []
    for note in notes:
        if note.human is Human.BATCH:
            several.setdefault((note.kind, note.key, note.session, note.device), []).append(note)
        else:
            single.append(note)
    return single + [_batch(kind, key, those) for (kind, key, _, _), those in several.items()]


def set_apart(entry: Entry, key: Key | None = None) -> ReviewItem:
    """The item of one quarantined event; `key` is its row's, after persons were merged."""
    event, stamp = entry.event, entry.envelope
    session, person = key or (event.session or "", event.person or "")
    code = (stamp.code or "unknown") if stamp is not None and _is_apart(stamp.verdict) else "fork"
    args = {"event": event.kind, "device": event.device, "code": code, "staff": author(entry)}
    return ReviewItem(
        id=item_id(SET_APART, (), (event.id,)),
        kind=SET_APART,
        human=Human.YES,
        key=f"{SET_APART}_about" if person else SET_APART,
        session=session,
        device=event.device,
        people=(person,) if person else (),
        ids=(event.id,),
        args=args | ({"person": person} if person else {}),
    )


def two_places_across(person: str, moves: Sequence[Entry]) -> ReviewItem:
    """Passages of one person in several sessions that are too far apart to be true."""
    moves = sorted(moves, key=lambda e: (e.low, e.high, e.event.id))
    ids = tuple(sorted(entry.event.id for entry in moves))
    args = {
        "person": person,
        "devices": sorted({entry.event.device for entry in moves}),
        "sessions": sorted({entry.event.session or "" for entry in moves}),
        **_when(moves),
    }
    kind = Flag.TWO_PLACES.value
    return ReviewItem(
        item_id(kind, (person,), ids),
        kind,
        Human.YES,
        f"{kind}_across",
        device=moves[0].event.device,
        people=(person,),
        ids=ids,
        args=args,
    )


def unknown_person(key: Key) -> ReviewItem:
    """Somebody who is in a row and not in the directory."""
    session, person = key
    name = item_id(UNKNOWN_PERSON, key, ())
    args = {"person": person, "session": session}
    return ReviewItem(
        name, UNKNOWN_PERSON, Human.YES, UNKNOWN_PERSON, session, people=(person,), args=args
    )


def unknown_session(session: str, people: Sequence[str]) -> ReviewItem:
    """A session that has rows and that nobody opened."""
    name = item_id(UNKNOWN_SESSION, (session,), ())
    args = {"session": session, "count": len(people)}
    found = tuple(sorted(people))
    return ReviewItem(
        name, UNKNOWN_SESSION, Human.YES, UNKNOWN_SESSION, session, people=found, args=args
    )


def close_reopened(session: str, settled: Settled) -> ReviewItem:
    """A closing and a reopening that did not know of each other."""
    ids = tuple(entry.event.id for entry in settled.heads)
    said = [[author(entry), entry.event.kind] for entry in settled.heads]
    name = item_id(CLOSE_REOPENED, (session,), ids)
    args = {"session": session, "said": said}
    return ReviewItem(
        name, CLOSE_REOPENED, Human.INFORMED, CLOSE_REOPENED, session, ids=ids, args=args
    )


def over_capacity(state: SessionState, inside: int) -> ReviewItem:
    """More people inside than the policy allows; one item for each limit, however many come."""
    args = {"session": state.session, "count": inside, "capacity": state.capacity}
    name = item_id(OVER_CAPACITY, (state.session, str(state.capacity)), ())
    return ReviewItem(name, OVER_CAPACITY, Human.INFORMED, OVER_CAPACITY, state.session, args=args)


def forked_line(line: Line, kseq: int, ids: Iterable[str]) -> ReviewItem:
    """A device's database of which there was a double from `kseq` on."""
    found = tuple(sorted(ids))
    name = item_id(Flag.FORKED, line, found)
    args = {"device": line[0], "kseq": kseq}
    return ReviewItem(
        name, Flag.FORKED.value, Human.YES, "forked", device=line[0], ids=found, args=args
    )


def _batch(kind: str, key: str, notes: Sequence[ReviewItem]) -> ReviewItem:
    first = notes[0]
    people = tuple(sorted({person for note in notes for person in note.people}))
    ids = tuple(sorted({name for note in notes for name in note.ids}))
    times = [note.args["time"] for note in notes]
    args = {
        "device": first.device,
        "session": first.session,
        "count": len(people),
        "time": [min(time[0] for time in times), max(time[1] for time in times)],
    }
    if "limit" in first.args:
        args["limit"] = first.args["limit"]
    name = item_id(f"{kind}/{key}", (first.session, first.device), ids)
    return ReviewItem(
        name,
        kind,
        Human.BATCH,
        f"{key}_batch",
        first.session,
        first.device,
        people=people,
        ids=ids,
        args=args,
    )


def _when(entries: Sequence[Entry]) -> dict[str, Any]:
    return {"time": [min(e.low for e in entries), max(e.high for e in entries)]}


def _is_apart(verdict: str) -> bool:
    return verdict == SET_APART
