"""Consent to a template's being kept: asked, recorded, withdrawn, and read back from the log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from kiosk.errors import KioskError
from kiosk.model import Author, Kind
from kiosk.store import Draft

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kiosk.model import Event, Person
    from kiosk.store import Store

# What was asked, by version: without copies outside the reader, and with them.
READER_ONLY, WITH_COPIES = "1", "1-copies"
_QUESTION = (
    "May this kiosk keep a template of {name}'s fingerprint, {where},"
    " to check {name} in? It is deleted on request, and a code works just as well."
)
_WHERE = {
    READER_ONLY: "on the reader only",
    WITH_COPIES: "on the reader and as an encrypted copy outside it",
}
_KIOSK = Author("kiosk")


class Log(Protocol):
    """Where answers are read from."""

    def personal_events(self, person: str, kind: Kind) -> list[Event]:
        """A person's events of one kind that belong to no session, in the order written here."""
        ...


class NoConsentError(KioskError):
    """The person said no; nothing was captured."""


def text_for(*, copies: bool) -> str:
    """The version of the text to be asked: with `copies`, if backup is switched on."""
    return WITH_COPIES if copies else READER_ONLY


def question(text: str, name: str) -> str:
    """The consent question of version `text` to the person of that first name, in English."""
    return _QUESTION.format(name=name, where=_WHERE[text])


def record_consent(
    store: Store,
    person: Person,
    language: str,
    *,
    given: bool,
    text: str = READER_ONLY,
    guardian: str = "",
    by: Author = _KIOSK,
) -> None:
    """Keep the answer as an event, with the version of the text that was asked.

    `by` is who witnessed it, `guardian` who answered for a child. Raises `NoConsentError` after a
    no, `StoreError` if it could not be kept.
    """
    answer = _answer(person.id, language, "yes" if given else "no", by, text)
    if guardian:
        answer.data["guardian"] = guardian
    store.record(answer).result()
    if not given:
        raise NoConsentError(f"no consent from {person.id}; nothing was captured")


def refusal(person: str, language: str, by: Author = _KIOSK) -> Draft:
    """A no that was not asked for; see `kiosk.revocation.withdraw`."""
    return _answer(person, language, "no", by)


def has_consent(store: Store, person: str) -> bool:
    """Whether the consent of a person (an id) stands, as far as this kiosk knows."""
    return stands(store.personal_events(person, Kind.CONSENT), store.identity.device)


def stands(answers: Sequence[Event], device: str) -> bool:
    """Whether some yes is followed by no no; `answers` in the order in which `device` wrote them.

    What a device records it records in sight of all that it has written before, so its own answer
    follows those. Between any others the clocks of the time decide, in doubt for the no.
    """
    return any(True for _ in _standing(answers, device))


def covers(answers: Sequence[Event], device: str, *, copies: bool) -> bool:
    """Whether some yes that stands was to a text that allows `copies`, if those are wanted."""
    wanted = {WITH_COPIES} if copies else {READER_ONLY, WITH_COPIES}
    return any(answer.data.get("text") in wanted for answer in _standing(answers, device))


def withdrawal(log: Log, device: str, person: str) -> Event | None:
    """The last no, as written here, of a person whose consent does not stand; None if it does."""
    answers = log.personal_events(person, Kind.CONSENT)
    if stands(answers, device):
        return None
    return next((answer for answer in reversed(answers) if not _yes(answer)), None)


def _standing(answers: Sequence[Event], device: str) -> Iterator[Event]:
    for at, answer in enumerate(answers):
        if _yes(answer) and not any(
            _undoes(no, n, answer, at, device) for n, no in enumerate(answers)
        ):
            yield answer


def _undoes(no: Event, no_at: int, yes: Event, yes_at: int, device: str) -> bool:
    if _yes(no):
        return False
    later = no if no_at > yes_at else yes
    if later.device == device:
        return later is no
    return no.wall >= yes.wall


def _yes(answer: Event) -> bool:
    return answer.data.get("answer") == "yes"


def _answer(person: str, language: str, answer: str, by: Author, text: str = READER_ONLY) -> Draft:
    data = {"text": text, "language": language, "answer": answer}
    return Draft(Kind.CONSENT, person=person, by=by, data=data)
