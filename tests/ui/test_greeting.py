"""Outcomes in words."""

from __future__ import annotations

import pytest

from kiosk.model import Outcome, OutcomeKind, Person, Reason
from tests.ui import staged
from ui.greeting import greeting
from ui.words import LANGUAGES, Words

AMARA = Person(id="a", first_name="Amara", last_name="Okafor")


@pytest.fixture
def words(qapp):
    return Words("en")


def outcome(kind, **more):
    return Outcome(1, kind, staged.at("18:04"), 3.0, **({"person": AMARA} | more))


def test_accepted(words):
    told = greeting(outcome(OutcomeKind.ACCEPTED, undoable=True), staged.session(), words)
    assert (told.word, told.name, told.initial) == ("Checked in", "Amara", "O.")
    assert told.line == "Evening training, 18:04"
    assert (told.action, told.late) == ("undo", "")


def test_accepted_that_cannot_be_undone_offers_no_undo(words):
    assert greeting(outcome(OutcomeKind.ACCEPTED), staged.session(), words).action == ""


def test_late_says_when_it_began(words):
    told = greeting(outcome(OutcomeKind.ACCEPTED, late=True), staged.session(), words)
    assert told.late == "Late"
    assert told.line == "18:04. Evening training began at 18:00."


def test_already_in_says_since_when_in_the_zone_of_the_session(words):
    said = outcome(OutcomeKind.ALREADY_IN, since=staged.at("17:00", "2025-07-01"))
    told = greeting(said, staged.session(), words)
    assert told.line == "Since 17:00. Nothing more to do, go on in."
    assert told.action == "staff"


def test_refused_gives_no_reason_of_money_or_membership(words):
    told = greeting(outcome(OutcomeKind.REFUSED, reason=Reason.NOT_ACTIVE), None, words)
    assert told.title == "Please see\nthe desk"
    assert told.line == "Amara O., the desk can help you now."
    assert told.action == "other"


def test_try_again_counts_attempts(words):
    said = outcome(OutcomeKind.TRY_AGAIN, reason=Reason.DRY, attempt=2, person=None)
    told = greeting(said, None, words)
    assert (told.word, told.title) == ("Try once more", "Too dry to read")
    assert told.aside == "Try 2 of 3"


@pytest.mark.parametrize("kind", [OutcomeKind.TRY_AGAIN, OutcomeKind.REFUSED])
def test_when_another_way_is_offered_it_is_what_is_said_largest(words, kind):
    said = outcome(kind, reason=Reason.DRY, attempt=3, person=None, offered=True)
    told = greeting(said, None, words)
    assert (told.word, told.title) == ("Too dry to read", "Come in\nanother way")
    assert (told.action, told.offered) == ("other", True)
    assert (told.aside, told.hint) == ("", "")


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", OutcomeKind)
@pytest.mark.parametrize("reason", Reason)
@pytest.mark.parametrize("who", [AMARA, Person(id="m", first_name="Madonna"), None])
def test_whatever_happens_there_are_words_and_no_full_name(qapp, language, kind, reason, who):
    for session in (staged.session(), None):
        said = outcome(kind, reason=reason, person=who, late=True, attempt=1)
        told = greeting(said, session, Words(language))
        assert told.kind == kind
        assert told.word
        assert told.line
        assert told.title or told.name or who is None
        fields = [getattr(told, field) for field in told.__slots__]
        texts = [text for text in fields if isinstance(text, str)]
        assert not any("Okafor" in text or "{" in text for text in texts)
