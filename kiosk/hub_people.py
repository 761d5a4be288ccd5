"""`kiosk hub people` and `sessions`: what a site's kiosks know of, from the hub's side."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, TypeVar

import click

from kiosk.hub_common import FILE, client_of, local, of_hub, site_of, utc, with_db
from kiosk.terminal import one_line

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator
    from pathlib import Path

T = TypeVar("T")


@click.group()
@with_db
@click.pass_context
def people(context: click.Context, *, db: Path | None) -> None:
    """The people a site knows: list, import."""
    context.obj = db or context.obj


@people.command("list")
@of_hub
def list_people(db: Path) -> None:
    """One line per person: site, id, name, kind."""
    from kiosk.model import Person  # noqa: PLC0415

    for site, one in _records(db, "person", Person):
        state = "" if one.active else "  (not active)"
        click.echo(f"{site:<20}  {one.id:<13}  {one.full_name:<30}  {one.kind}{state}")


@people.command("import")
@click.argument("file", type=FILE)
@click.option("--org", default="", help="The organisation's id (default: as in hub init).")
@click.option("--site", default="", help="The site's id (default: as in hub init).")
@click.option("--badge-pattern", default="", help="As [badge] pattern in the kiosks' settings.")
@click.option("--pepper-file", type=FILE, help="As [badge] pepper_file in the kiosks' settings.")
@of_hub
def import_people(
    db: Path, *, file: Path, org: str, site: str, badge_pattern: str, pepper_file: Path | None
) -> None:
    """Add or change people from a CSV file: id,first_name,last_name,kind,code,badge.

    Badges are protected by the site's pepper, which its kiosks have from their pairing.
    """
    from kiosk.badges import badge_key_of_hub, keeper  # noqa: PLC0415
    from kiosk.people_commands import bad_rows_told  # noqa: PLC0415
    from kiosk.people_file import hand_in, read_people  # noqa: PLC0415

    org, site = site_of(db, org, site)
    with one_line():
        key = badge_key_of_hub(db, org, site, pepper_file)
        with bad_rows_told(file):
            rows = read_people(file, keeper(key, badge_pattern))
            with client_of(db, org, site) as client:
                taken = hand_in(rows, client)
    click.echo(f"{taken.changed} people added or changed, {taken.unchanged} unchanged")


@click.group()
@with_db
@click.pass_context
def sessions(context: click.Context, *, db: Path | None) -> None:
    """Single sessions that no schedule makes: list, add."""
    context.obj = db or context.obj


@sessions.command("list")
@of_hub
def list_sessions(db: Path) -> None:
    """One line per session: site, start, title, id."""
    from kiosk.model import Session  # noqa: PLC0415

    found = list(_records(db, "session", Session))
    for site, one in sorted(found, key=lambda pair: pair[1].starts):
        click.echo(f"{site:<20}  {local(one.starts, one.zone)}  {one.title:<30}  {one.id}")


@sessions.command("add")
@click.argument("title")
@click.option("--start", "starts", type=click.DateTime(["%Y-%m-%dT%H:%M"]), required=True)
@click.option("--end", "ends", type=click.DateTime(["%Y-%m-%dT%H:%M"]), required=True)
@click.option("--zone", required=True, help="The time zone of start and end: Europe/London.")
@click.option("--place", default="")
@click.option("--org", default="", help="The organisation's id (default: as in hub init).")
@click.option("--site", default="", help="The site's id (default: as in hub init).")
@of_hub
def add_session(
    db: Path,
    *,
    title: str,
    starts: dt.datetime,
    ends: dt.datetime,
    zone: str,
    place: str,
    org: str,
    site: str,
) -> None:
    """Add a session called TITLE, from --start to --end (2026-03-01T18:00, in --zone)."""
    from kiosk.config import is_zone  # noqa: PLC0415
    from kiosk.model import Session  # noqa: PLC0415

    if not is_zone(zone):
        raise click.UsageError(f"no such zone: {zone}")
    low, high = utc(starts, zone), utc(ends, zone)
    if low >= high:
        raise click.UsageError("--end is not after --start")
    session = Session(str(uuid.uuid4()), title, zone, low, high, place)
    with one_line(), client_of(db, org, site) as client:
        client.send_sessions([session])
    click.echo(session.id)


def _records(db: Path, record: str, type_: type[T]) -> Iterator[tuple[str, T]]:
    """Site and record, as the hub's directory stands; what cannot be read is left out."""
    import sqlite3  # noqa: PLC0415

    import msgspec  # noqa: PLC0415

    from kiosk.model import UNREADABLE  # noqa: PLC0415
    from kiosk.peek import peek  # noqa: PLC0415

    query = "SELECT room, value FROM directory WHERE record = ? ORDER BY room, id"
    try:
        with peek(db) as database:
            rows = database.execute(query, (record,)).fetchall()
    except sqlite3.Error as error:
        raise click.ClickException(f"{db} cannot be read: {error}") from error
    for room, value in rows:
        try:
            found = msgspec.json.decode(value, type=type_)
        except (*UNREADABLE, TypeError):
            continue
        yield room.rpartition("/")[2], found
