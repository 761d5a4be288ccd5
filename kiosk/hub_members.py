"""`kiosk hub devices`, `revoke`, `staff` and `denials`: who may come in, and who could not."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from kiosk.hub_common import chosen, client_of, moment, of_hub, register_of, with_db
from kiosk.terminal import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from sync.hub.auth.register import Device, Register, Staff

RANKS = ("taker", "instructor", "admin")


@click.group(invoke_without_command=True)
@with_db
@click.pass_context
def devices(context: click.Context, *, db: Path | None) -> None:
    """The kiosks that were paired: list, rename, place, revoke. Without a command: list."""
    context.obj = db or context.obj
    if context.invoked_subcommand is None:
        _list_devices(chosen(context.obj, None))


@devices.command("list")
@of_hub
def list_devices(db: Path) -> None:
    """One line per kiosk."""
    _list_devices(db)


@devices.command("rename")
@click.argument("device")
@click.argument("name")
@of_hub
def rename_device(db: Path, device: str, name: str) -> None:
    """Give DEVICE (its name, or the beginning of its id) another NAME."""
    with one_line(), register_of(db) as register:
        found, name = _one_of(db, register, device), name.strip()[:200]
        register.rename(found.id, name)
    click.echo(f"{found.name} ({found.id}) is now called {name}.")


@devices.command("place")
@click.argument("device")
@click.argument("place")
@click.option(
    "--minutes",
    "travel",
    multiple=True,
    metavar="PLACE=N",
    help="From there to another place in N minutes; may be given again.",
)
@of_hub
def place_device(db: Path, device: str, place: str, travel: Sequence[str]) -> None:
    """Say where DEVICE stands: whoever is at two places too soon is asked about.

    Two kiosks at one PLACE are never too far apart. PLACE "" takes it back.
    """
    minutes = dict(_minutes(one) for one in travel)
    with one_line(), register_of(db) as register:
        found = _one_of(db, register, device)
    with one_line(), client_of(db, found.org, found.site) as client:
        client.send_records([("device", found.id, {"place": place, "travel": minutes})])
    click.echo(f"{found.name} ({found.id}) is at {place}." if place else f"{found.name}: no place.")


def _minutes(text: str) -> tuple[str, int]:
    place, _, number = text.rpartition("=")
    if not place or not (number.isascii() and number.isdigit()):
        raise click.UsageError(f'--minutes "{text}" does not look like "South hall=10"')
    return place, int(number)


@devices.command("revoke")
@click.argument("device")
@of_hub
def revoke_device(db: Path, device: str) -> None:
    """Shut DEVICE out, within seconds; what it writes from now on counts for nothing."""
    _revoke(db, device)


@click.command()
@with_db
@click.argument("device")
@click.pass_obj
def revoke(above: Path | None, *, db: Path | None, device: str) -> None:
    """Shut DEVICE out: the same as devices revoke."""
    _revoke(chosen(above, db), device)


def _list_devices(db: Path) -> None:
    with one_line(), register_of(db) as register:
        found = list(register.roll().devices.values())
    if not found:
        click.echo("No kiosk has been paired yet: kiosk hub pair")
    for one in found:
        state = f"revoked {moment(one.revoked)}" if one.revoked else "paired"
        where = f"{one.org}/{one.site}"
        click.echo(f"{one.id[:13]:<13}  {one.name:<20}  {where:<20}  {moment(one.paired)}  {state}")


def _revoke(db: Path, device: str) -> None:

    with one_line(), register_of(db) as register:
        found = _one_of(db, register, device)
        register.revoke(found.id, time.time_ns())
    click.echo(f"{found.name} ({found.id}) is revoked; pair it again to let it back in.")


def _one_of(db: Path, register: Register, text: str) -> Device:
    """The device meant by its id, the beginning of its id, or its name.

    Of several, the one that is not revoked.
    """
    known = register.roll().devices
    if text in known:
        return known[text]
    found = [one for one in known.values() if one.name == text or one.id.startswith(text)]
    found = [one for one in found if one.revoked is None] or found
    if not found:
        raise click.ClickException(f'"{text}" is no kiosk; kiosk hub devices lists them')
    if len(found) > 1:
        told = "\n".join(_told_apart(db, found))
        raise click.ClickException(
            f'"{text}" is {len(found)} kiosks; say which by the beginning of its id:\n{told}'
        )
    return found[0]


def _told_apart(db: Path, devices: Sequence[Device]) -> Iterator[str]:
    """What tells kiosks of one name from each other: when the hub last had something of them."""
    heard = _last_heard(db, [one.id for one in devices])
    for one in sorted(devices, key=lambda one: one.paired):
        last = f"last event {moment(heard[one.id])}" if one.id in heard else "no event yet"
        yield f"  {one.id}  {one.name}  paired {moment(one.paired)}, {last}"


def _last_heard(db: Path, devices: Sequence[str]) -> dict[str, int]:
    """When the hub last received an event of each (UTC ns); this reads the whole log."""
    import json  # noqa: PLC0415
    import sqlite3  # noqa: PLC0415

    from kiosk.peek import peek  # noqa: PLC0415

    query = (
        "SELECT device, max(json_extract(CAST(envelope AS TEXT), '$.received')) FROM entry"
        " WHERE device IN (SELECT value FROM json_each(?)) GROUP BY device"
    )
    try:
        with peek(db) as log:
            rows = log.execute(query, (json.dumps(devices),)).fetchall()
    except sqlite3.Error:
        return {}
    return {device: int(at) for device, at in rows if isinstance(at, int)}


@click.command()
@with_db
@click.option("--most", type=click.IntRange(1, 10_000), default=50, show_default=True)
@click.pass_obj
def denials(above: Path | None, *, db: Path | None, most: int) -> None:
    """Who was refused, the latest first: when, why, who, from where, asking for what."""
    with one_line(), register_of(chosen(above, db)) as register:
        for one in register.denials(most):
            when = moment(one.at * 10**9)
            click.echo(f"{when}  {one.code:<9}  {one.subject or '-'}  {one.address}  {one.what}")


@click.group(invoke_without_command=True)
@with_db
@click.pass_context
def staff(context: click.Context, *, db: Path | None) -> None:
    """Who may sign in: add, list, pin, remove. Without a command: list."""
    context.obj = db or context.obj
    if context.invoked_subcommand is None:
        _list_staff(chosen(context.obj, None))


@staff.command("list")
@of_hub
def list_staff(db: Path) -> None:
    """One line per member of staff."""
    _list_staff(db)


@staff.command("add")
@click.argument("id_", metavar="ID")
@click.option("--name", default="", help="First and last name.")
@click.option("--rank", type=click.Choice(RANKS), default="taker", show_default=True)
@click.option("--org", default="", help="The organisation's id (default: as in hub init).")
@click.option("--site", "sites", multiple=True, help="A site's id; may be given several times.")
@of_hub
def add_staff(db: Path, *, id_: str, name: str, rank: str, org: str, sites: Sequence[str]) -> None:
    """Add ID, or change their name, rank and sites; asks for a PIN (6 digits) or a password."""
    with one_line(), register_of(db) as register:
        org = org or register.setting("org")
        sites = tuple(sites) or tuple(filter(None, (register.setting("site"),)))
        if not (org and sites):
            raise click.UsageError("say which organisation and site: --org ORG --site SITE")
        _put(db, register, id_, name or id_, rank, org, tuple(sites))
    click.echo(f"{id_} may sign in as {rank} at {', '.join(sites)}.")


@staff.command("pin")
@click.argument("id_", metavar="ID")
@of_hub
def change_pin(db: Path, id_: str) -> None:
    """Give ID another PIN or password, and end where they are signed in."""
    with one_line(), register_of(db) as register:
        one = _member(register, id_)
        _put(db, register, one.id, one.name, RANKS[one.rank - 1], one.org, one.sites)
    click.echo(f"{id_} has another PIN, and must sign in again.")


@staff.command("remove")
@click.argument("id_", metavar="ID")
@of_hub
def remove_staff(db: Path, id_: str) -> None:
    """Let ID sign in no more, and end where they are signed in; what they did stays."""

    with one_line(), register_of(db) as register:
        one = _member(register, id_)
        register.put_staff(replace(one, verifiers={}, removed=time.time_ns()))
    click.echo(f"{id_} can no longer sign in.")


def _list_staff(db: Path) -> None:
    with one_line(), register_of(db) as register:
        found = [one for one in register.roll().staff.values() if one.removed is None]
    if not found:
        click.echo("No staff yet: kiosk hub staff add")
    for one in found:
        sites = ", ".join(one.sites)
        click.echo(f"{one.id:<13}  {one.name:<20}  {RANKS[one.rank - 1]:<10}  {sites}")


def _member(register: Register, id_: str) -> Staff:
    one = register.roll().staff.get(id_)
    if one is None or one.removed is not None:
        raise click.ClickException(f'"{id_}" is no member of staff; kiosk hub staff lists them')
    return one


def _put(
    db: Path,
    register: Register,
    id_: str,
    name: str,
    rank: str,
    org: str,
    sites: tuple[str, ...],
) -> None:

    from kiosk.model import Rank  # noqa: PLC0415
    from sync.hub.auth.keys import hub_keys  # noqa: PLC0415
    from sync.hub.auth.pins import problem, verifier  # noqa: PLC0415
    from sync.hub.auth.register import Staff  # noqa: PLC0415

    secret = _secret()
    if wrong := problem(secret):
        raise click.ClickException(wrong)
    keys = hub_keys(db)
    # One verifier per site, so that a kiosk never holds what opens another site.
    peppers = {"": keys.own_pepper} | {site: keys.pepper(org, site) for site in sites}
    verifiers = {site: verifier(secret, pepper) for site, pepper in peppers.items()}
    rank_ = Rank(RANKS.index(rank) + 1)
    register.put_staff(Staff(id_, name, org, sites, rank_, verifiers, time.time_ns()))


def _secret() -> str:
    """A PIN or password: asked twice at a terminal, else a line of stdin; never an argument."""
    if sys.stdin.isatty():
        asked: str = click.prompt("PIN or password", hide_input=True, confirmation_prompt=True)
        return asked
    return sys.stdin.readline().rstrip("\n")
