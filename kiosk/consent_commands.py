"""`kiosk consent`: what people have said about the keeping of their fingerprints."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from kiosk import log
from kiosk.config import load
from kiosk.consent import stands
from kiosk.control import SOCKET, Request, ask
from kiosk.glance import glance, kiosk_runs
from kiosk.model import Kind
from kiosk.sensor_commands import withdraw_here
from kiosk.terminal import CONFIG, one_line

if TYPE_CHECKING:
    from pathlib import Path


@click.group()
def consent() -> None:
    """Consent to the keeping of fingerprints."""


@consent.command()
@click.argument("person")
@CONFIG
def show(person: str, path: Path | None) -> None:
    """Say whether the consent of PERSON (an id) stands, as far as this kiosk knows."""
    with one_line():
        config = load(path, os.environ)
        with glance(config.database) as records:
            answers = records.personal_events(person, Kind.CONSENT)
            yes = stands(answers, records.device)
            known = any(one.id == person for one in records.people())
    if not (known or answers):
        raise click.ClickException(f'nobody has the id "{person}" here; see kiosk people list')
    click.echo(f"{person}: {'yes' if yes else 'no' if answers else 'never asked'}")


@consent.command()
@click.argument("person")
@CONFIG
@click.option("--yes", is_flag=True, help="Do not ask.")
def withdraw(person: str, path: Path | None, *, yes: bool) -> None:
    """Withdraw the consent of PERSON (an id): every template is destroyed, here and elsewhere."""
    with one_line():
        config = load(path, os.environ)
        log.set_up(config.directory)
        if not yes:
            click.confirm(
                f"Withdraw the consent of {person} and destroy every template?", abort=True
            )
        if kiosk_runs(config.database):
            request = Request("withdraw", person, language=config.screen.language)
            for line in ask(config.directory / SOCKET, request).said:
                click.echo(line)
            return
    withdraw_here(person, path)
