"""What the door answers, in words: an outcome turned into the texts of its screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from kiosk.model import OutcomeKind, Reason
from ui import hours

if TYPE_CHECKING:
    from kiosk.model import Outcome, Person, Session
    from ui.words import Words


class Greeting(msgspec.Struct, frozen=True):
    """The texts of one outcome.

    A person's name comes as `name` and `initial`, so that the first may be elided and the second
    never is; a phrase comes as `title`. `action` is "undo", "staff", "other" or "" for no button;
    `offered` says that it is what is to be done now.
    """

    kind: str = ""
    word: str = ""
    name: str = ""
    initial: str = ""
    title: str = ""
    line: str = ""
    late: str = ""
    aside: str = ""
    hint: str = ""
    action: str = ""
    action_title: str = ""
    action_detail: str = ""
    offered: bool = False


def greeting(outcome: Outcome, session: Session | None, words: Words) -> Greeting:
    """The texts for `outcome`; only public names appear in them."""
    return _BY_KIND[outcome.kind](outcome, session, words)


def name_parts(person: Person | None) -> tuple[str, str]:
    """A public name as what may be elided and the initial, which never is."""
    if person is None:
        return "", ""
    if not person.last_name:
        return person.public_name, ""
    name, _, initial = person.public_name.rpartition(" ")
    return name, initial


def _accepted(outcome: Outcome, session: Session | None, words: Words) -> Greeting:
    name, initial = name_parts(outcome.person)
    return Greeting(
        kind=outcome.kind,
        word=words("outcome.accepted"),
        name=name,
        initial=initial,
        line=_arrival(outcome, session, words),
        late=words("outcome.late") if outcome.late else "",
        aside=words("door.next"),
        action="undo" if outcome.undoable else "",
        action_title=words("button.not_you"),
        action_detail=words("button.undo"),
    )


def _arrival(outcome: Outcome, session: Session | None, words: Words) -> str:
    if not outcome.sure:
        return session.title if session else ""
    if session is None:
        return hours.clock(outcome.at, None)
    time = hours.clock(outcome.at, session.zone)
    if not outcome.late:
        return words("outcome.accepted_line", title=session.title, time=time)
    start = hours.clock(session.starts, session.zone)
    return words("outcome.late_line", title=session.title, time=time, start=start)


def _already_in(outcome: Outcome, session: Session | None, words: Words) -> Greeting:
    name, initial = name_parts(outcome.person)
    since = outcome.at if outcome.since is None else outcome.since
    zone = session.zone if session else None
    line = words("outcome.already_in_line", since=hours.clock(since, zone))
    return Greeting(
        kind=outcome.kind,
        word=words("outcome.already_in"),
        name=name,
        initial=initial,
        line=line if outcome.sure else words("outcome.already_in_plain"),
        aside=words("door.next"),
        action="staff",
        action_title=words("button.not_you"),
        action_detail=words("button.tell_staff"),
    )


def _refused(outcome: Outcome, _session: Session | None, words: Words) -> Greeting:
    return _turned_away(outcome, words, words("outcome.refused"), words("door.next"))


def _try_again(outcome: Outcome, _session: Session | None, words: Words) -> Greeting:
    aside = words("door.attempt", attempt=outcome.attempt, attempts=outcome.attempts)
    return _turned_away(
        outcome, words, words("outcome.try_again"), aside if outcome.attempt else ""
    )


def _turned_away(outcome: Outcome, words: Words, word: str, aside: str) -> Greeting:
    title, line = _why(outcome, words)
    offered = outcome.offered
    return Greeting(
        kind=outcome.kind,
        word=title.replace("\n", " ") if offered else word,
        title=words("outcome.offered") if offered else title,
        line=words("outcome.offered_line") if offered else line,
        aside="" if offered else aside,
        offered=offered,
        hint="dry" if outcome.reason is Reason.DRY and not offered else "",
        # What could not be saved could not be by another way either.
        action="" if outcome.reason is Reason.NOT_SAVED else "other",
        action_title=words("button.other_ways"),
        action_detail=words("button.your_code"),
    )


def _why(outcome: Outcome, words: Words) -> tuple[str, str]:
    if outcome.reason is Reason.NONE or (
        outcome.reason is Reason.NOT_ACTIVE and outcome.person is None
    ):
        return words("outcome.see_desk"), words("outcome.see_desk_line")
    name = outcome.person.public_name if outcome.person else ""
    return words(f"{outcome.reason}.title"), words(f"{outcome.reason}.line", name=name)


_BY_KIND = {
    OutcomeKind.ACCEPTED: _accepted,
    OutcomeKind.ALREADY_IN: _already_in,
    OutcomeKind.REFUSED: _refused,
    OutcomeKind.TRY_AGAIN: _try_again,
}
