"""`kiosk enrol`: the question, then the finger, at a kiosk that runs or at one that does not."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import click

from drivers.reconcile import reconcile
from drivers.zfm import open_zfm
from kiosk import enrolment
from kiosk.clock import SystemClock
from kiosk.consent import covers, question, record_consent, text_for
from kiosk.control import SOCKET, Request, ask
from kiosk.glance import glance, kiosk_runs
from kiosk.model import Kind, Person
from kiosk.rescue import open_store
from kiosk.revocation import resume
from kiosk.slots import StoredSlots
from kiosk.templates import existing_templates, open_templates

if TYPE_CHECKING:
    from collections.abc import Callable

    from drivers.enrolment import Step
    from kiosk.config import Config
    from kiosk.enrolment import EnrolledFinger
    from kiosk.store import Store


def enrol_at_the_terminal(config: Config, person: str, guardian: str = "") -> None:
    """Ask for consent if none stands that covers the settings, then enrol one finger.

    Raises what `kiosk.enrolment.enrol` does, `ControlError`, or a ClickException.
    """
    text = text_for(copies=config.templates.backup)
    if kiosk_runs(config.database):
        who, consented = _known(config, person)
        if not consented:
            _look_first(config)
        request = Request(
            "enrol",
            who.id,
            None if consented else _answer(who, text),
            text,
            guardian,
            language=config.screen.language,
        )
        for line in ask(config.directory / SOCKET, request, _tell).said:
            click.echo(line)
        return
    org, site = config.organisation.id, config.site
    opened = open_store(config.database, org=org, site=site.id, clock=SystemClock(), zone=site.zone)
    with contextlib.closing(opened) as store:
        who, consented = _known(config, person)

        def settle() -> None:
            if not consented:
                given = _answer(who, text)
                language = config.screen.language
                record_consent(store, who, language, given=given, text=text, guardian=guardian)

        done = _enrol_here(config, store, who, settle)
    click.echo(f"{who.first_name} is enrolled in slot {done.slot} (score {done.score}).")
    if done.advice:
        click.echo(done.advice)


def _look_first(config: Config) -> None:
    """Nobody is asked for consent at a reader that could not take the finger: raises then."""
    lines = ask(config.directory / SOCKET, Request("info")).said
    closed = [line for line in lines if line.startswith("records") and " closed" in line]
    if closed:
        raise click.ClickException(closed[0].removeprefix("records").strip())


def _enrol_here(
    config: Config, store: Store, who: Person, settle: Callable[[], None]
) -> EnrolledFinger:
    """Enrol with the reader opened here; `settle` asks for consent once that is the right one."""
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
        settle()
        # What was ordered destroyed must not take the new template along later.
        resume(store, table, sensor=sensor, templates=kept)
        copies = kept if backup else None
        return enrolment.enrol(store, clock, sensor, who, _tell, templates=copies)


def _known(config: Config, id_: str) -> tuple[Person, bool]:
    """The person, and whether a consent stands that covers the settings."""
    with glance(config.database) as records:
        for person in records.people():
            if person.id == id_:
                answers = records.personal_events(id_, Kind.CONSENT)
                copies = config.templates.backup
                return person, covers(answers, records.device, copies=copies)
    raise click.ClickException(
        f'nobody has the id "{id_}" here; import people first, and let the kiosk run once'
    )


def _answer(person: Person, text: str) -> bool:
    return click.confirm(question(text, person.first_name), default=False)


def _tell(step: Step) -> None:
    click.echo(enrolment.SENTENCES[step])
