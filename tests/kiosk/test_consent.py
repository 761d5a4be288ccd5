"""Consent as the log tells it: whose answer follows whose, whatever the clocks say."""

from __future__ import annotations

import msgspec
import pytest

from drivers.slots import SlotState
from kiosk.consent import (
    covers,
    has_consent,
    question,
    record_consent,
    refusal,
    stands,
    text_for,
    withdrawal,
)
from kiosk.enrolment import NoConsentError
from kiosk.model import Kind, Person, encode_event
from kiosk.revocation import open_orders, resume, withdraw
from tests.fakes import NOON
from tests.kiosk.library import found, keep, know, put_in, revocations
from tests.kiosk.test_store import envelope, foreign

ANN = Person("ann", "Ann")


def answer(said, wall, device="other", id_=None):
    event = foreign(id_ or f"{said}-{wall}", 1, Kind.CONSENT, "ann", None, data={"answer": said})
    return msgspec.structs.replace(event, wall=wall, device=device)


def heard(store, said, wall, offset=50):
    """An answer that another kiosk recorded arrives."""
    event = answer(said, wall, id_=f"heard-{offset}")
    store.apply_remote("r", "e1", [(encode_event(event), envelope(offset))], offset).result()
    return event


@pytest.mark.parametrize(
    ("said", "so"),
    [
        ([], False),
        ([answer("no", 1)], False),
        ([answer("yes", 1)], True),
        ([answer("yes", 1), answer("no", 2)], False),
        ([answer("no", 2), answer("yes", 1)], False),
        ([answer("no", 1), answer("yes", 2)], True),
        ([answer("yes", 2), answer("no", 1)], True),
        ([answer("yes", 2), answer("no", 2)], False),
        # One's own answer was given in sight of what had been written before.
        ([answer("yes", 9), answer("no", 1, "mine")], False),
        ([answer("no", 9), answer("yes", 1, "mine")], True),
        ([answer("yes", 9, "mine"), answer("no", 1, "mine")], False),
        ([answer("yes", 1, "mine"), answer("no", 2)], False),
        ([answer("yes", 2, "mine"), answer("no", 1)], True),
        ([answer("yes", 1), answer("no", 3), answer("yes", 2)], False),
    ],
)
def test_a_yes_stands_unless_a_no_follows_it(said, so):
    assert stands(said, "mine") is so


def test_a_yes_to_the_reader_alone_covers_no_copies(store):
    def covered(copies):
        answers = store.personal_events("ann", Kind.CONSENT)
        return covers(answers, store.identity.device, copies=copies)

    assert not covered(copies=False)
    record_consent(store, ANN, "en", given=True)
    assert (covered(copies=False), covered(copies=True)) == (True, False)
    text = text_for(copies=True)
    assert "encrypted copy" in question(text, "Ann")
    assert "reader only" in question(text_for(copies=False), "Ann")
    record_consent(store, ANN, "de", given=True, text=text, guardian="Eve Lee")
    assert (covered(copies=False), covered(copies=True)) == (True, True)
    said = store.personal_events("ann", Kind.CONSENT)[-1].data
    assert said == {"text": text, "language": "de", "answer": "yes", "guardian": "Eve Lee"}


def test_a_refusal_is_kept_and_ends_the_enrolment(store):
    with pytest.raises(NoConsentError):
        record_consent(store, ANN, "en", given=False)
    assert not has_consent(store, "ann")
    record_consent(store, ANN, "en", given=True)
    assert has_consent(store, "ann")
    assert withdrawal(store, store.identity.device, "ann") is None
    no = store.record(refusal("ann", "en")).result()
    assert not has_consent(store, "ann")
    assert withdrawal(store, store.identity.device, "ann") == no


@pytest.fixture
def enrolled(store, sensor, slots, templates):
    know(store, "ann", "bob")
    for name in ("ann", "bob"):
        put_in(sensor, slots, name)
        keep(sensor, templates, name)


@pytest.mark.usefixtures("enrolled")
def test_a_withdrawal_destroys_everything_and_says_so(store, emulator, sensor, slots, templates):
    done = withdraw(store, slots, "ann", "en", sensor=sensor, templates=templates)
    assert (done.slots, done.templates, done.done) == (1, 1, True)
    assert not has_consent(store, "ann")
    assert revocations(store, "ann") == [
        {"state": "ordered", "reason": "withdrawn"},
        {"state": "done", "slots": 1, "templates": 1},
    ]
    assert found(emulator, sensor, slots, "ann") is None
    assert open_orders(store, templates) == [], "one order is enough"


@pytest.mark.usefixtures("enrolled")
def test_a_no_heard_from_another_kiosk_is_carried_out_and_confirmed_here(
    store, emulator, sensor, slots, templates
):
    no = heard(store, "no", NOON + 60)
    heard(store, "no", NOON - 60, offset=51)
    (done,) = resume(store, slots, sensor=sensor, templates=templates)
    assert (done.person, done.slots, done.templates, done.done) == ("ann", 1, 1, True)
    assert emulator.slots == {1}
    (confirmed,) = store.personal_events("ann", Kind.TEMPLATE_REVOKED)
    assert confirmed.data["order"] in {no.id, "heard-51"}
    assert resume(store, slots, sensor=sensor, templates=templates) == []


@pytest.mark.usefixtures("enrolled")
def test_a_no_from_before_the_yes_destroys_nothing(store, sensor, slots, templates):
    heard(store, "no", NOON - 60)
    assert resume(store, slots, sensor=sensor, templates=templates) == []
    assert has_consent(store, "ann")


def test_a_no_of_somebody_with_nothing_here_needs_no_confirmation(store, sensor, slots, templates):
    know(store, "ann")
    heard(store, "no", NOON + 60)
    assert resume(store, slots, sensor=sensor, templates=templates) == []


@pytest.mark.usefixtures("enrolled")
def test_without_its_sensor_a_no_is_refused_at_once_and_waits(
    store, emulator, sensor, slots, templates
):
    heard(store, "no", NOON + 60)
    (done,) = resume(store, slots, sensor=None, templates=templates)
    assert (done.slots, done.templates, done.done) == (0, 1, False)
    assert found(emulator, sensor, slots, "ann") is None
    states = {slot.person: slot.status for slot in store.slots()}
    assert states == {"ann": SlotState.PENDING_DELETE, "bob": SlotState.ACTIVE}
    (later,) = resume(store, slots, sensor=sensor, templates=templates)
    assert later.done
    assert emulator.slots == {1}
