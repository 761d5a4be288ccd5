"""`kiosk hub time`: what time the hub takes it to be, and staff vouching for it."""

from __future__ import annotations

import datetime as dt
import time as clocks
from typing import TYPE_CHECKING

import click

from kiosk.hub_common import client_of, moment, of_hub
from kiosk.terminal import one_line

if TYPE_CHECKING:
    from pathlib import Path

_NS = 1_000_000_000
_ANY = ("hub", "hub")  # the time is the hub's own, of no organisation and no site


@click.group(name="time")
def time() -> None:
    """The hub's time: all kiosks are set right by it, so somebody must stand behind it."""


@time.command()
@of_hub
def show(db: Path) -> None:
    """Say what time the hub takes it to be, and whether it tells the kiosks."""
    with one_line(), client_of(db, *_ANY) as hub:
        now, trusted = hub.time()
    click.echo(_line(now, trusted=trusted))


@time.command()
@of_hub
@click.option("--at", metavar="TIME", help="What time it is, such as 2026-03-01T18:30+01:00.")
@click.option("--yes", is_flag=True, help="This machine's own time is right; do not ask.")
def confirm(db: Path, *, at: str | None, yes: bool) -> None:
    """Vouch for the hub's time, until its machine is started again.

    For a hub on a machine without a battery clock and without a time server.
    """
    given = _given(at) if at else None
    now = clocks.time_ns() if given is None else given
    if not yes and not click.confirm(f"Is it {moment(now)} now?"):
        raise click.ClickException("nothing was confirmed; give the right time with --at")
    if given is None:
        now = clocks.time_ns()  # whoever was asked took a while to answer
    with one_line(), client_of(db, *_ANY) as hub:
        told, trusted = hub.time(now)
    click.echo(_line(told, trusted=trusted))


def _given(text: str) -> int:
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError:
        raise click.UsageError(f"{text} is no time such as 2026-03-01T18:30+01:00") from None
    if found.tzinfo is None:
        raise click.UsageError(f"{text} lacks its zone: end it with Z or +01:00")
    if found.year < dt.datetime.fromtimestamp(0, dt.UTC).year:
        raise click.UsageError(f"{text} is long ago")
    return int(found.timestamp()) * _NS


def _line(now: int, *, trusted: bool) -> str:
    if trusted:
        return f"{moment(now)}; kiosks are told."
    return f"{moment(now)}. Nobody vouches for it, so kiosks are not told: kiosk hub time confirm."
