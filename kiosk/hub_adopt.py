"""`kiosk hub adopt`: give a hub that begins anew what kiosks still know of its predecessor's."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import click

from kiosk.hub_common import FILE, client_of, of_hub
from kiosk.terminal import one_line

if TYPE_CHECKING:
    from pathlib import Path

    from kiosk.directory import HubClient
    from kiosk.handover import Record

_AT_ONCE = 500


@click.command()
@click.argument("files", nargs=-1, required=True, type=FILE)
@click.option("--yes", is_flag=True, help="Do not ask.")
@of_hub
def adopt(db: Path, *, files: tuple[Path, ...], yes: bool) -> None:
    """Take people and sessions from FILES, made by `kiosk export directory` on kiosks of one site.

    For a hub whose disk was lost with no backup. What this hub knows already stays as it is; the
    rest becomes its own word. Nobody has signed these files: be sure where they come from.
    """
    with one_line():
        from kiosk.handover import read_all  # noqa: PLC0415

        found = read_all(files)
        known = _known(db, found.org, found.site)
        lacking = [one for one in found.records if (one.record, one.id) not in known]
        count = Counter(one.record for one in lacking)
        what = ", ".join(f"{number} {record}" for record, number in sorted(count.items()))
        click.echo(f"{found.org}/{found.site}: {what or 'nothing'} that this hub does not know.")
        if not lacking or not (yes or click.confirm("Have the hub say all of this?")):
            return
        with client_of(db, found.org, found.site) as client:
            taken, refused = _sent(client, lacking, found.rev)
    click.echo(f"{taken} records are the hub's word now")
    for line in refused:
        click.echo(line, err=True)


def _known(db: Path, org: str, site: str) -> set[tuple[str, str]]:
    import sqlite3  # noqa: PLC0415

    from kiosk.model import site_room  # noqa: PLC0415
    from kiosk.peek import peek  # noqa: PLC0415

    if not db.exists():
        raise click.ClickException(f"there is no hub at {db}; kiosk hub init makes one")
    try:
        with peek(db) as database:
            query = "SELECT record, id FROM directory WHERE room = ?"
            return set(database.execute(query, (site_room(org, site),)).fetchall())
    except sqlite3.Error as error:
        raise click.ClickException(f"{db} cannot be read: {error}") from error


def _sent(client: HubClient, records: list[Record], rev: int) -> tuple[int, list[str]]:
    """How many the hub took, and a line for each that it did not.

    It speaks above `rev` from then on, or kiosks that know its predecessor would not hear it.
    """
    from kiosk.directory import DirectoryError  # noqa: PLC0415

    taken, refused = 0, list[str]()
    for start in range(0, len(records), _AT_ONCE):
        part = records[start : start + _AT_ONCE]
        try:
            taken += client.send_records(((r.record, r.id, r.value) for r in part), rev).changed
        except DirectoryError:
            # One that the hub cannot take must not keep the others out.
            for one in part:
                try:
                    taken += client.send_records([(one.record, one.id, one.value)], rev).changed
                except DirectoryError as error:
                    refused.append(f"{one.record} {one.id} is not taken: {error}")
    return taken, refused
