"""The commands by which staff put things right: review, session, override."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

import click

from kiosk.clock import SystemClock
from kiosk.config import load, make_folder
from kiosk.terminal import CONFIG, one_line, tell_default

if TYPE_CHECKING:
    from pathlib import Path

# What these commands need besides is imported when one of them runs.
_STATUSES = ("present", "late", "excused", "absent")
_STAFF = click.option("--staff", default="owner", show_default=True, help="Who decides.")
_SESSION = click.argument("session", default="")


@click.group(invoke_without_command=True)
@CONFIG
@click.pass_context
def review(context: click.Context, path: Path | None) -> None:
    """What only staff can settle; the kiosk may run or not. Without a command: list."""
    if context.invoked_subcommand is None:
        tell_default(path)
        _do(path, "review")


@review.command("list")
@CONFIG
def list_items(path: Path | None) -> None:
    """List what waits, each with its id and in words."""
    _do(path, "review")


@review.command()
@click.argument("item")
@CONFIG
def show(item: str, path: Path | None) -> None:
    """Show ITEM (the beginning of its id is enough) and the entries it is about."""
    _do(path, "review", item=item)


@review.command()
@click.argument("item")
@_STAFF
@CONFIG
def resolve(item: str, staff: str, path: Path | None) -> None:
    """Acknowledge ITEM: it waits no longer, at any kiosk; no status is altered by it."""
    _do(path, "resolve", item=item, staff=staff)


@click.group()
def session() -> None:
    """Close and reopen a session."""


@session.command()
@_SESSION
@_STAFF
@CONFIG
def close(session: str, staff: str, path: Path | None) -> None:
    """Close SESSION (the one that is on): whoever is still expected is absent."""
    _do(path, "close", session=session, staff=staff)


@session.command()
@_SESSION
@_STAFF
@CONFIG
def reopen(session: str, staff: str, path: Path | None) -> None:
    """Reopen SESSION (the one that is on)."""
    _do(path, "reopen", session=session, staff=staff)


@click.command()
@click.argument("person")
@click.option("--status", required=True, type=click.Choice(_STATUSES))
@click.option("--session", default="", help="The one that is on, if not given.")
@click.option("--reason", default="", help="Goes into the log.")
@_STAFF
@CONFIG
def override(
    person: str, status: str, session: str, reason: str, staff: str, path: Path | None
) -> None:
    """Decide PERSON's status (an id), whatever the readers saw."""
    asked = {"session": session, "status": status, "reason": reason}
    _do(path, "override", person=person, staff=staff, **asked)


def _do(path: Path | None, do: str, **asked: str) -> None:
    with one_line():
        import msgspec  # noqa: PLC0415

        from kiosk.control import SOCKET, Request, ask, ruled  # noqa: PLC0415
        from kiosk.glance import kiosk_runs  # noqa: PLC0415
        from kiosk.rescue import open_store  # noqa: PLC0415
        from kiosk.rulings import moment  # noqa: PLC0415

        request = msgspec.convert({"do": do} | asked, Request)
        config = load(path, os.environ)
        make_folder(config.directory)
        if kiosk_runs(config.database):
            said = ask(config.directory / SOCKET, request).said
        else:
            clock, site = SystemClock(), config.site
            opened = open_store(
                config.database,
                org=config.organisation.id,
                site=site.id,
                clock=clock,
                zone=site.zone,
            )
            with contextlib.closing(opened) as store:
                said = tuple(ruled(store, request, moment(store, clock)))
    for line in said:
        click.echo(line)
