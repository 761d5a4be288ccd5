"""The commands about what has not reached the hub: export, import, reset."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kiosk.clock import SystemClock
from kiosk.terminal import CONFIG, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kiosk.config import Config
    from kiosk.store import Store

_FILE = click.argument("file", type=click.Path(path_type=Path, dir_okay=False))


@click.group()
def export() -> None:
    """Write what this kiosk holds into a file."""


@export.command()
@_FILE
@CONFIG
def unsent(file: Path, path: Path | None) -> None:
    """Export the unsent events to FILE, for another kiosk or the hub; they stay here as well.

    Stop the kiosk first. Whoever imports FILE needs nothing else: every event in it is signed.
    """
    with one_line(), _store(_config(path)) as store:
        from kiosk.carry import export_unsent  # noqa: PLC0415

        done = export_unsent(store, file)
    left = f"; {done.left} cannot be read or signed, and stay here only" if done.left else ""
    click.echo(f"{done.events} unsent events in {file}{left}")


@export.command()
@_FILE
@CONFIG
def directory(file: Path, path: Path | None) -> None:
    """Export people and sessions as the hub has told them to FILE, for a hub that begins anew.

    The kiosk may run. FILE names people: keep it as you would the list itself.
    """
    with one_line():
        from kiosk.handover import export_directory  # noqa: PLC0415

        count = export_directory(_config(path).database, file, SystemClock().wall())
    click.echo(f"{count} records in {file}; on the new hub: kiosk hub adopt {file.name}")


@click.command("import")
@_FILE
@click.option("--to-hub", is_flag=True, help="Hand them to the hub now instead of to this kiosk.")
@CONFIG
def import_events(file: Path, path: Path | None, *, to_hub: bool) -> None:
    """Import the events in FILE, made by `kiosk export unsent` on another kiosk.

    This kiosk (stop it first) passes them on to its hub. Importing a file twice does no harm.
    """
    with one_line():
        from kiosk import carry  # noqa: PLC0415
        from kiosk.credentials import paired  # noqa: PLC0415

        config = paired(_config(path))
        bundle = carry.read_bundle(file)
        if to_hub:
            from kiosk.carrier import hand_over  # noqa: PLC0415

            told = hand_over(config, bundle)
        else:
            with _store(config) as store:
                fresh = carry.import_into(store, bundle)
            where = f"the hub {config.hub.url}" if config.hub.url else "this kiosk's own hub"
            told = f"{fresh} new of {len(bundle.events)} events will go to {where}"
    click.echo(told)


@click.command()
@click.option("--exported", type=click.Path(path_type=Path, dir_okay=False), help="What was saved.")
@click.confirmation_option(prompt="This removes the log of this kiosk. Go on?")
@CONFIG
def reset(exported: Path | None, path: Path | None) -> None:
    """Begin with an empty log, as another device; refused while anything is unsent.

    With --exported FILE, what is in that file (of `kiosk export unsent`) counts as saved. A pairing
    ends with it, as a hub takes another device only once that is paired: pair the kiosk anew.
    """
    with one_line():
        from kiosk import carry, pairing  # noqa: PLC0415

        config = _config(path)
        with _store(config) as store:
            was, device = pairing.kept(config.directory), store.identity.device
            bundle = carry.read_bundle(exported) if exported else None
            if count := carry.unsent_beyond(store, bundle):
                raise carry.CarryError(
                    f"{count} events are unsent and would be lost: let the kiosk reach its hub, or"
                    " save them with `kiosk export unsent FILE` and add --exported FILE"
                )
            # While the lock is held, so that nobody can write in between.
            for suffix in ("-wal", "-shm", ""):
                config.database.with_name(config.database.name + suffix).unlink(missing_ok=True)
            pairing.forget(config.directory)
    click.echo(f"{config.database} is gone; the next start begins a new one")
    if was is not None:
        click.echo(f"So is the pairing with {was.url}: pair this kiosk anew before it runs again.")
        click.echo("  on the hub's machine:  kiosk hub pair")
        click.echo(f"  here:                  kiosk pair {was.url} CODE")
        click.echo(f"The hub still lists the former device: kiosk hub revoke {device[:13]}")


@click.command("sign-in")
@CONFIG
def sign_in(path: Path | None) -> None:
    """Go on with the present token after this disk, or the hub, has come to another machine.

    Only where the machine that this disk came from is no longer in use; else pair this one anew.
    """
    with one_line(), _store(_config(path)) as store:
        from kiosk import hubs  # noqa: PLC0415
        from kiosk.incarnation import PAIRING  # noqa: PLC0415

        why = (store.note(PAIRING) or "").partition("\n")[0]
        store.set_note(PAIRING, "").result()
        store.set_note(hubs.NOTE, "").result()  # whichever hub answers next is the one meant
    click.echo("this kiosk may use its token" + (f" again, although {why}" if why else ""))


def _config(path: Path | None) -> Config:
    from kiosk.config import load, make_folder  # noqa: PLC0415

    config = load(path, os.environ)
    make_folder(config.directory)
    return config


@contextlib.contextmanager
def _store(config: Config) -> Iterator[Store]:
    from kiosk.rescue import open_store  # noqa: PLC0415

    store = open_store(
        config.database,
        org=config.organisation.id,
        site=config.site.id,
        clock=SystemClock(),
        zone=config.site.zone,
    )
    with contextlib.closing(store):
        yield store
