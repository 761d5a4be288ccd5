"""`kiosk pair`: let this kiosk into a hub with a one-time code."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

import click

from kiosk.terminal import CONFIG, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from kiosk.config import Config
    from kiosk.pairing import Applicant
    from kiosk.store import Store

# Everything else is imported where it is used: a command pays for what it needs only.


@click.command()
@click.argument("url")
@click.argument("code", default="")
@CONFIG
@click.option("--insecure-lan", is_flag=True, help="Allow a hub beyond this machine without TLS.")
def pair(url: str, code: str, path: Path | None, *, insecure_lan: bool) -> None:
    """Let this kiosk into the hub at URL with the CODE that `kiosk hub pair` printed there.

    What the QR code says may be given instead of the two. Stop the kiosk before, start it after.
    """
    with one_line():
        from kiosk import log, pairing  # noqa: PLC0415
        from kiosk.config import load, make_folder  # noqa: PLC0415
        from kiosk.incarnation import PAIRING  # noqa: PLC0415

        config = load(path, os.environ)
        make_folder(config.directory)
        log.set_up(config.directory)
        if not code:
            url, code = pairing.read_invitation(url)
        _no_other(config, url)
        with _store(config) as store:
            who = _applicant(config, store)
            done = pairing.pair(url, code, who, insecure_lan=insecure_lan, ca=config.hub.ca)
            pairing.keep(config.directory, done)
            store.set_note(PAIRING, "")
    click.echo(f'Paired with {done.url} as "{done.name}". Now start the kiosk: kiosk run')


@click.command()
@CONFIG
def unpair(path: Path | None) -> None:
    """Give the pairing up: the kiosk then uses its own hub, or that of its settings."""
    with one_line():
        from kiosk import pairing  # noqa: PLC0415
        from kiosk.config import load  # noqa: PLC0415

        was = pairing.forget(load(path, os.environ).directory)
    click.echo("The pairing is gone; have the hub revoke this kiosk." if was else "There was none.")


def _no_other(config: Config, url: str) -> None:
    from kiosk.pairing import PairingError  # noqa: PLC0415

    if config.hub.token_file:
        raise PairingError("the settings name a [hub] token_file, which goes before; take it out")
    if config.hub.url and config.hub.url.rstrip("/") != url.rstrip("/"):
        raise PairingError(f"the settings name another hub, {config.hub.url}; take it out")


@contextlib.contextmanager
def _store(config: Config) -> Iterator[Store]:
    """This kiosk's database, made if it is new; it must not run meanwhile."""
    from kiosk.clock import SystemClock  # noqa: PLC0415
    from kiosk.rescue import open_store  # noqa: PLC0415

    store = open_store(
        config.database,
        org=config.organisation.id,
        site=config.site.id,
        clock=SystemClock(),
        zone=config.site.zone,
    )
    try:
        yield store
    finally:
        store.close()


def _applicant(config: Config, store: Store) -> Applicant:
    """This kiosk's identity and the key that it signs with."""
    from kiosk.pairing import Applicant, PairingError  # noqa: PLC0415

    who, name = store.identity, config.kiosk.name
    signer = store.keys.signer(who.incarnation)
    if signer is None:
        raise PairingError("this kiosk has no key of its own; start it once, then pair it")
    return Applicant(
        who.org, who.site, who.device, who.incarnation, name, signer.public, signer.prove
    )
