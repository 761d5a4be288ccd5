"""What must hold when everything is healed, checked from the files alone."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from kiosk.model import ROW_KINDS, Attendance, Entry, Event, Kind, Status, event_hash
from kiosk.simulation.finds import Kept, Verdict, log_of
from kiosk.simulation.laws import breaches, is_closed
from kiosk.simulation.sides import Meant, differences
from sync import merge

if TYPE_CHECKING:
    from kiosk.simulation.laws import Key
    from kiosk.simulation.people import Told
    from kiosk.simulation.scene import Scene

__all__ = ["Kept", "Verdict", "digest", "judged"]

_QUARANTINED = "quarantined"
_DECIDES = frozenset({Kind.SESSION_CLOSED, Kind.SESSION_REOPENED, Kind.RETRACT})


def judged(scene: Scene, told: Told) -> tuple[Verdict, list[Kept]]:
    """Compare what was announced with what the hub and every kiosk now hold."""
    verdict = Verdict()
    log = log_of(scene.hub)
    apart = {id_ for id_, device, code in scene.hub.apart() if scene.explains(id_, device, code)}
    _custody(verdict, log, told, scene, apart)
    _wrongly_apart(verdict, scene)
    _rooms(verdict, log, scene)
    _chains(verdict, log, scene)
    _revoked(verdict, log, scene)
    _times(verdict, log, told, scene)
    meant = _meant(scene, log)
    _blind_to_walls(verdict, log, meant)
    if not scene.doubles:
        # Of events that a device's double counted again, kseq says nothing of who knew what.
        entries = [kept.entry for kept in log]
        sessions = {one.id: one for one in scene.sessions}
        verdict.diverged += breaches(meant.rows, entries, meant.state.aliases, sessions)
        _closings(verdict, entries, meant)
    for kiosk in scene.members:
        verdict.diverged += differences(kiosk, scene, meant)
    _same_directory(verdict, scene)
    return verdict, log


def digest(scene: Scene, log: list[Kept]) -> str:
    """BLAKE2b over the hub's log and every row that was folded from it."""
    made = hashlib.blake2b(digest_size=16)
    for kept in log:
        made.update(f"{kept.room} {kept.offset} {kept.envelope.low} {kept.envelope.high}".encode())
        made.update(kept.body)
    for _, row in sorted(_meant(scene, log).rows.items()):
        made.update(msgspec.json.encode(row))
    return made.hexdigest()


# -- nothing lost, nothing doubled, nothing set apart without need ---------------------------------


def _custody(verdict: Verdict, log: list[Kept], told: Told, scene: Scene, apart: set[str]) -> None:
    there = Counter(kept.event.id for kept in log)
    kept = there.keys() | scene.excused | apart | _spoilt_outside(scene)
    for act, (id_, _) in told.events.items():
        if id_ not in kept:
            verdict.lost.append(f"act {act}, {id_}: announced, and not in the hub's log")
    for kiosk in scene.kiosks:
        for id_ in kiosk.store.event_ids():
            if id_ not in kept:
                verdict.lost.append(f"{id_}: on {kiosk.name}, and not in the hub's log")
    acts = Counter(one.event.data["act"] for one in log if "act" in one.event.data)
    single = [one.event for one in log if one.event.device not in scene.doubles]
    places = Counter((e.device, e.incarnation, e.kseq) for e in single)
    for what, count in (*acts.items(), *places.items(), *there.items()):
        if count > 1:
            verdict.doubled.append(f"{what}: {count} times in the hub's log")


def _spoilt_outside(scene: Scene) -> set[str]:
    """What cannot be read any more, of a kiosk that may not come in: nobody can carry that."""
    outside = [one for one in scene.kiosks if one not in scene.members]
    ids = {id_ for one in outside for (id_,) in one.read("SELECT id FROM event")}
    return ids & scene.poisoned.keys()


def _wrongly_apart(verdict: Verdict, scene: Scene) -> None:
    for id_, device, code in scene.hub.apart():
        if not scene.explains(id_, device, code):
            verdict.diverged.append(f"{id_} of {device} was set apart for no reason: {code}")
    query = (
        "SELECT e.id, e.device, s.quarantined FROM event e JOIN stamp s ON s.seq = e.seq"
        " WHERE s.quarantined IS NOT NULL"
    )
    for kiosk in scene.members:
        for id_, device, code in kiosk.read(query):
            if not scene.explains(id_, device, code):
                verdict.diverged.append(f"{kiosk.name} takes {id_} for set apart: {code}")


def _closings(verdict: Verdict, entries: list[Entry], meant: Meant) -> None:
    for name, state in meant.state.sessions.items():
        if state.is_open == is_closed(name, entries):
            verdict.diverged.append(f"{name} is taken for {'open' if state.is_open else 'closed'}")


def _rooms(verdict: Verdict, log: list[Kept], scene: Scene) -> None:
    """Offsets count from 1 without a hole, each in the envelope too, up to where the room ends."""
    heads: Counter[str] = Counter()
    for kept in log:
        heads[kept.room] += 1
        if not kept.offset == heads[kept.room] == kept.envelope.offset:
            verdict.diverged.append(f"{kept.room}: offset {kept.offset} after {heads[kept.room]}")
        if kept.envelope.verdict == _QUARANTINED:
            verdict.diverged.append(f"{kept.event.id} is quarantined: {kept.envelope.code}")
    for room, head in scene.hub.heads().items():
        if head != heads[room]:
            verdict.diverged.append(f"{room} ends at {head}, and {heads[room]} are there")


def _chains(verdict: Verdict, log: list[Kept], scene: Scene) -> None:
    """Every kiosk's own events: gapless, chained, of the bytes that were hashed, in one life."""
    for kiosk in scene.kiosks:
        who = kiosk.store.identity
        if who.device in scene.doubles | scene.broken_chains | scene.revoked.keys():
            continue
        own = sorted((k.event for k in log if k.event.device == who.device), key=_place)
        if {event.incarnation for event in own} > {who.incarnation}:
            verdict.diverged.append(f"{kiosk.name} began a new incarnation")
        prev = ""
        for place, event in enumerate(own, 1):
            if event.kseq != place or event.prev != prev or event_hash(event) != event.hash:
                verdict.diverged.append(f"{kiosk.name}: the chain breaks at {event.kseq}")
                break
            prev = event.hash
    _counted(verdict, log, scene)


def _place(event: Event) -> int:
    return event.kseq


def _counted(verdict: Verdict, log: list[Kept], scene: Scene) -> None:
    """What the hub says it holds of each chain, it holds."""
    held: dict[tuple[str, str], set[int]] = {}
    for kept in log:
        event = kept.event
        held.setdefault((event.device, event.incarnation), set()).add(event.kseq)
    query = "SELECT device, incarnation, contiguous FROM chain"
    for device, incarnation, contiguous in scene.hub.read(query):
        if device in scene.doubles | scene.broken_chains | scene.revoked.keys():
            continue
        lacking = set(range(1, contiguous + 1)) - held.get((device, incarnation), set())
        if lacking:
            verdict.lost.append(f"{device}: the hub says it holds {sorted(lacking)[:5]}")


def _revoked(verdict: Verdict, log: list[Kept], scene: Scene) -> None:
    """What a device that was shut out brought meanwhile counts for nothing."""
    for kept in log:
        for begin, end in scene.revoked.get(kept.event.device, ()):
            # A hub that was killed between its commit and its word has told nobody when it was.
            if begin < scene.hub.accepted.get(kept.event.id, begin) < end:
                verdict.diverged.append(f"{kept.event.id} counts, and its device was shut out")


def _times(verdict: Verdict, log: list[Kept], told: Told, scene: Scene) -> None:
    """Whatever the wall clocks said, an interval that claims to know holds the true time."""
    truth = dict(told.events.values())
    for kept in log:
        true = truth.get(kept.event.id)
        if kept.event.id in scene.carried and kept.event.device in scene.doubles:
            continue  # brought by its own double, whose boots pass for the author's
        low, high = kept.envelope.low, kept.envelope.high
        if true is not None and low < high and not low <= true <= high:
            off = (true - low) / 1e9
            verdict.diverged.append(f"{kept.event.id}: truly {off:.3f} s after its interval began")


def _blind_to_walls(verdict: Verdict, log: list[Kept], meant: Meant) -> None:
    """What devices believed the time to be changes nothing, once the hub has said when it was."""
    garbled = (
        replace(kept.entry, event=replace(kept.event, wall=-kept.event.wall)) for kept in log
    )
    if merge.fold(garbled).rows != meant.state.rows:
        verdict.diverged.append("other wall clocks make other rows")


# -- all see the same ------------------------------------------------------------------------------


def _meant(scene: Scene, log: list[Kept]) -> Meant:
    """Every row, folded at once from the whole log, in an order that is not the log's."""
    mixed = list(log)
    scene.day.chance("order").shuffle(mixed)
    state = merge.fold(kept.entry for kept in mixed)
    found: dict[Key, list[Entry]] = {}
    decided: dict[str, list[Entry]] = {}
    for kept in mixed:
        event = kept.event
        if event.kind in ROW_KINDS and event.session and event.person:
            person = state.aliases.get(event.person, event.person)
            found.setdefault((event.session, person), []).append(kept.entry)
        elif event.kind in _DECIDES and event.session:
            decided.setdefault(event.session, []).append(kept.entry)
    sessions = {one.id: one for one in scene.sessions}
    terms = {name: merge.terms_for(one, decided.get(name, ())) for name, one in sessions.items()}
    rows = {
        (session, person): merge.fold_row(
            sessions.get(session), person, entries, session, terms.get(session)
        )
        for (session, person), entries in found.items()
    }
    for name in sessions:
        if terms[name].closing is not None:
            for one in scene.people:
                person = state.aliases.get(one.id, one.id)
                rows.setdefault((name, person), Attendance(name, person, Status.ABSENT))
    return Meant(log, rows, state)


def _same_directory(verdict: Verdict, scene: Scene) -> None:
    people = {person.id: person for person in scene.people}
    sessions = {session.id: session for session in scene.sessions}
    merged = {one: into for one, into in scene.merged.items() if into}
    for kiosk in scene.members:
        if {p.id: p for p in kiosk.store.people()} != people:
            verdict.diverged.append(f"{kiosk.name} knows other people")
        if {session.id: session for session in kiosk.store.sessions()} != sessions:
            verdict.diverged.append(f"{kiosk.name} knows other sessions")
        if kiosk.store.merged() != merged:
            verdict.diverged.append(f"{kiosk.name} takes others for one: {kiosk.store.merged()}")
