"""`kiosk people` and `kiosk sessions`: who and what this kiosk knows of."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kiosk.terminal import CONFIG, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

# Everything else is imported where it is used: a command pays for what it needs only.


@click.group()
def people() -> None:
    """The people this site knows."""


@people.command("import")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@CONFIG
def import_people(file: Path, path: Path | None) -> None:
    """Add or change people from a CSV file: id,first_name,last_name,kind,code,badge."""
    with one_line():
        from kiosk import log  # noqa: PLC0415
        from kiosk.badges import badge_key, keeper  # noqa: PLC0415
        from kiosk.config import load, make_folder  # noqa: PLC0415
        from kiosk.ownhub import hub_client  # noqa: PLC0415
        from kiosk.people_file import hand_in, read_people  # noqa: PLC0415

        config = load(path, os.environ)
        make_folder(config.directory)
        log.set_up(config.directory)
        keep = keeper(badge_key(config), config.badge.pattern)
        with bad_rows_told(file):
            rows = read_people(file, keep)
            with hub_client(config) as client:
                taken = hand_in(rows, client)
    click.echo(f"{taken.changed} people added or changed, {taken.unchanged} unchanged")


@people.command("list")
@CONFIG
@click.option("--full", is_flag=True, help="Whole names, in place of first name and initial.")
def list_people(path: Path | None, *, full: bool) -> None:
    """One line per person that this kiosk knows: id, name, kind; also while it runs."""
    with one_line():
        from kiosk.config import load  # noqa: PLC0415
        from kiosk.glance import glance  # noqa: PLC0415

        with glance(load(path, os.environ).database) as records:
            found = sorted(records.people(), key=lambda one: one.id)
    for one in found:
        name = one.full_name if full else one.public_name
        state = "" if one.active else "  (not active)"
        click.echo(f"{one.id:<13}  {name:<30}  {one.kind}{state}")
    if not found:
        click.echo("Nobody yet: kiosk people import FILE.csv", err=True)


@click.group()
def sessions() -> None:
    """The sessions this site knows."""


@sessions.command("list")
@CONFIG
def list_sessions(path: Path | None) -> None:
    """One line per session that this kiosk knows: start, title, id; also while it runs."""
    with one_line():
        from kiosk.config import load  # noqa: PLC0415
        from kiosk.glance import glance  # noqa: PLC0415
        from kiosk.hub_common import local  # noqa: PLC0415

        with glance(load(path, os.environ).database) as records:
            found = sorted(records.sessions(), key=lambda one: (one.starts, one.id))
    for one in found:
        click.echo(f"{local(one.starts, one.zone)}  {one.title:<30}  {one.id}")
    if not found:
        click.echo("None yet: the first check-in of a scheduled session makes it", err=True)


@contextlib.contextmanager
def bad_rows_told(file: Path) -> Iterator[None]:
    """Say each bad row of a file that was not imported on a line of its own."""
    from kiosk.directory import BadRowsError  # noqa: PLC0415

    try:
        yield
    except BadRowsError as error:
        for problem in error.problems:
            click.echo(f"{file}: {problem}", err=True)
        raise
