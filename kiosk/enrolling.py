"""`kiosk enrol`: the question, then the finger, at a kiosk that runs or at one that does not."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import click

from drivers.reconcile import reconcile
from drivers.zfm import open_zfm
from kiosk import enrolment
from kiosk.clock import SystemClock
from kiosk.consent import stands
from kiosk.control import SOCKET, Request, ask
from kiosk.glance import glance, kiosk_runs
from kiosk.model import Kind, Person
from kiosk.rescue import open_store
from kiosk.revocation import resume
from kiosk.slots import StoredSlots
from kiosk.templates import existing_templates, open_templates

if TYPE_CHECKING:
    from drivers.enrolment import Step
    from kiosk.config import Config
    from kiosk.enrolment import EnrolledFinger
    from kiosk.store import Store


def enrol_at_the_terminal(config: Config, person: str) -> None:
    """Ask for consent if none stands, then enrol one finger.

    Raises what `kiosk.enrolment.enrol` does, `ControlError`, or a ClickException.
    """
    if kiosk_runs(config.database):
        who, consented = _known(config, person)
        request = Request("enrol", who.id, _answer(who, consented), config.screen.language)
        for line in ask(config.directory / SOCKET, request, _tell).said:
            click.echo(line)
        return
    org, site = config.organisation.id, config.site
    opened = open_store(config.database, org=org, site=site.id, clock=SystemClock(), zone=site.zone)
    with contextlib.closing(opened) as store:
        who, consented = _known(config, person)
        answer = _answer(who, consented)
        if answer is not None:
            enrolment.record_consent(store, who, config.screen.language, given=answer)
        done = _enrol_here(config, store, who)
    click.echo(f"{who.first_name} is enrolled in slot {done.slot} (score {done.score}).")
    if done.advice:
        click.echo(done.advice)


def _enrol_here(config: Config, store: Store, who: Person) -> EnrolledFinger:
    at, clock, backup = config.sensor, SystemClock(), config.templates.backup
    with (
        open_zfm(at.port, at.baudrate, at.address, at.password, at.model) as sensor,
        contextlib.ExitStack() as stack,
    ):
        kept = (open_templates if backup else existing_templates)(config, clock)
        if kept is not None:
            stack.enter_context(contextlib.closing(kept))
        table = StoredSlots(store, clock)
        reconcile(sensor, table)
        # What was ordered destroyed must not take the new template along later.
        resume(store, table, sensor=sensor, templates=kept)
        copies = kept if backup else None
        return enrolment.enrol(store, clock, sensor, who, _tell, templates=copies)


def _known(config: Config, id_: str) -> tuple[Person, bool]:
    """The person, and whether their consent stands."""
    with glance(config.database) as records:
        for person in records.people():
            if person.id == id_:
                answers = records.personal_events(id_, Kind.CONSENT)
                return person, stands(answers, records.device)
    raise click.ClickException(
        f'nobody has the id "{id_}" here; import people first, and let the kiosk run once'
    )


def _answer(person: Person, consented: bool) -> bool | None:  # noqa: FBT001 - a fact, not a switch
    """The answer to the consent question; None if a yes stands."""
    if consented:
        return None
    question = enrolment.CONSENT_QUESTION.format(name=person.first_name)
    return click.confirm(question, default=False)


def _tell(step: Step) -> None:
    click.echo(enrolment.SENTENCES[step])
