"""Consent to a template's being kept: asked, recorded, withdrawn, and read back from the log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from kiosk.errors import KioskError
from kiosk.model import Author, Kind
from kiosk.store import Draft

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kiosk.model import Event, Person
    from kiosk.store import Store

CONSENT_VERSION = "1"
CONSENT_QUESTION = (
    "May this kiosk keep a template of {name}'s fingerprint, on the reader only,"
    " to check {name} in? It is deleted on request, and a code works just as well."
)
_KIOSK = Author("kiosk")


class Log(Protocol):
    """Where answers are read from."""

    def personal_events(self, person: str, kind: Kind) -> list[Event]:
        """A person's events of one kind that belong to no session, in the order written here."""
        ...


class NoConsentError(KioskError):
    """The person said no; nothing was captured."""


def record_consent(
    store: Store, person: Person, language: str, *, given: bool, by: Author = _KIOSK
) -> None:
    """Keep the answer as an event; raises `NoConsentError` after a no, `StoreError` if unsaved."""
    store.record(_answer(person.id, language, "yes" if given else "no", by)).result()
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
    return any(
        _yes(answer) and not any(_undoes(no, n, answer, at, device) for n, no in enumerate(answers))
        for at, answer in enumerate(answers)
    )


def withdrawal(log: Log, device: str, person: str) -> Event | None:
    """The last no, as written here, of a person whose consent does not stand; None if it does."""
    answers = log.personal_events(person, Kind.CONSENT)
    if stands(answers, device):
        return None
    return next((answer for answer in reversed(answers) if not _yes(answer)), None)


def _undoes(no: Event, no_at: int, yes: Event, yes_at: int, device: str) -> bool:
    if _yes(no):
        return False
    later = no if no_at > yes_at else yes
    if later.device == device:
        return later is no
    return no.wall >= yes.wall


def _yes(answer: Event) -> bool:
    return answer.data.get("answer") == "yes"


def _answer(person: str, language: str, answer: str, by: Author) -> Draft:
    data = {"text": CONSENT_VERSION, "language": language, "answer": answer}
    return Draft(Kind.CONSENT, person=person, by=by, data=data)
