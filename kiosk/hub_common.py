"""What all commands of `kiosk hub` share: which hub is meant, its register, and a client of it."""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import os
from pathlib import Path
from typing import TYPE_CHECKING, Concatenate, ParamSpec
from zoneinfo import ZoneInfo

import click

from kiosk.terminal import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kiosk.directory import HubClient
    from sync.hub.auth.register import Register

P = ParamSpec("P")

FILE = click.Path(path_type=Path, dir_okay=False)
_NS = 1_000_000_000


def with_db(command: Callable[..., None]) -> Callable[..., None]:
    """The option --db of a command."""
    return click.option(
        "--db", type=FILE, help="The hub's database (default: that of this kiosk's own hub)."
    )(command)


def of_hub(command: Callable[Concatenate[Path, P], None]) -> Callable[..., None]:
    """The option --db of a command within a group; the command gets the hub that is meant first."""

    @with_db
    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        db = kwargs.pop("db")
        assert db is None or isinstance(db, Path)  # noqa: S101  as the option's type makes it
        command(chosen(click.get_current_context().obj, db), *args, **kwargs)

    return run


def chosen(above: Path | None, db: Path | None) -> Path:
    """The hub that is meant: of this command, of `kiosk hub --db`, or this kiosk's own."""
    if (given := db or above) is not None:
        return given
    from kiosk.config import load  # noqa: PLC0415

    with one_line():
        return load(None, os.environ).hub_database


@contextlib.contextmanager
def register_of(db: Path) -> Iterator[Register]:
    """The register of the hub at `db`, whether that runs or not."""
    from sync.hub.auth.register import Register, register_path  # noqa: PLC0415

    if not db.absolute().parent.is_dir():
        raise click.ClickException(f"there is no folder {db.parent}; kiosk hub init makes one")
    with contextlib.closing(Register(register_path(db))) as register:
        yield register


def site_of(db: Path, org: str, site: str) -> tuple[str, str]:
    """The organisation and site that are meant: as given, else as in `kiosk hub init`."""
    with one_line(), register_of(db) as register:
        org, site = org or register.setting("org"), site or register.setting("site")
    if not (org and site):
        raise click.UsageError("say which organisation and site: --org ORG --site SITE")
    return org, site


@contextlib.contextmanager
def client_of(db: Path, org: str, site: str) -> Iterator[HubClient]:
    """A client of the hub at `db`, which is started for the moment if it does not run."""
    from kiosk import ownhub  # noqa: PLC0415
    from kiosk.config import load  # noqa: PLC0415
    from sync.hub.tokens import hub_token  # noqa: PLC0415

    org, site = site_of(db, org, site)
    with one_line():
        ca = load(None, os.environ).hub.ca
    with register_of(db) as register:
        known_as = register.setting("url")
    token = hub_token(db, os.environ)
    with ownhub.client_of(db, token, org, site, ca, known_as) as client:
        yield client


def moment(wall: int) -> str:
    """UTC ns, for people."""
    return dt.datetime.fromtimestamp(wall / _NS, dt.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def local(wall: int, zone: str) -> str:
    """UTC ns in a zone, for people; in UTC, and said so, where that zone is not known here."""
    from kiosk.config import is_zone  # noqa: PLC0415

    known = is_zone(zone)
    when = dt.datetime.fromtimestamp(wall / _NS, ZoneInfo(zone) if known else dt.UTC)
    return when.strftime("%Y-%m-%d %H:%M" if known else "%Y-%m-%d %H:%M UTC")


def utc(when: dt.datetime, zone: str) -> int:
    """UTC ns of a wall-clock time in a zone."""
    return int(when.replace(tzinfo=ZoneInfo(zone)).timestamp()) * _NS
