"""`kiosk hub ...`: run a hub, pair kiosks, look after staff and devices, back up and restore."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import click

from kiosk.hub_adopt import adopt
from kiosk.hub_clock import time
from kiosk.hub_common import FILE, chosen, moment, register_of, with_db
from kiosk.hub_members import denials, devices, revoke, staff
from kiosk.hub_people import people, sessions
from kiosk.terminal import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Unpack

    from sync.hub.auth.register import Register, Ticket
    from sync.hub.backup import Lacking
    from sync.hub.backups import Plan

# Everything else is imported where it is used: a command pays for what it needs only.

_MINUTES = click.IntRange(1, 24 * 60)
_MOST_NAMES = 10
_MOVED = (
    "{key} was {before} and is {value} now: codes, people and staff are for {value} from here on,"
    " and kiosks of {before} keep what they have"
)


def _serving(command: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option(
            "--trusted-proxy",
            "trusted_proxies",
            multiple=True,
            metavar="ADDRESS",
            help="Believe this proxy's (or network's) X-Forwarded-For; may be given again.",
        ),
        click.option(
            "--viewers-per-token",
            type=click.IntRange(1, 4096),
            help="Connections one kiosk or member of staff may have open to watch (default: 64).",
        ),
        click.option(
            "--keep-days",
            type=click.IntRange(1, 36_500),
            help="Let go of sessions that nothing was added to for so long (default: never).",
        ),
        click.option(
            "--backup-dir",
            type=click.Path(path_type=Path, file_okay=False),
            envvar="WHORL_HUB_BACKUP_DIR",
            help="Make backups into this folder, on another disk (default: none).",
        ),
        click.option(
            "--backup-every",
            type=click.FloatRange(0.1, 8760),
            default=24.0,
            show_default=True,
            envvar="WHORL_HUB_BACKUP_EVERY",
            help="Hours between two of them.",
        ),
        click.option(
            "--backup-keep",
            type=click.IntRange(1, 10_000),
            default=14,
            show_default=True,
            envvar="WHORL_HUB_BACKUP_KEEP",
            help="How many are kept.",
        ),
        click.option("--key", type=FILE, help="The certificate's private key, in PEM."),
        click.option("--certificate", type=FILE, help="A certificate chain in PEM: speak TLS."),
        click.option(
            "--insecure-lan", is_flag=True, help="Listen beyond this machine without TLS."
        ),
        click.option("--child", is_flag=True, help="End when stdin closes."),
        click.option("--port", type=click.IntRange(0, 65_535), default=8765, show_default=True),
        click.option("--host", default="127.0.0.1", show_default=True),
        with_db,
    ):
        command = option(command)
    return command


class Serving(TypedDict):
    """The options of a hub that is to run."""

    host: str
    port: int
    child: bool
    insecure_lan: bool
    certificate: Path | None
    key: Path | None
    keep_days: int | None
    viewers_per_token: int | None
    trusted_proxies: tuple[str, ...]
    backup_dir: Path | None
    backup_every: float
    backup_keep: int


@click.group(invoke_without_command=True)
@_serving
@click.pass_context
def hub(context: click.Context, *, db: Path | None, **serving: Unpack[Serving]) -> None:
    """The hub that kiosks agree through. Without a command it runs; it prints "ready URL".

    All commands work while the hub runs, but for restore. Its token is that of WHORL_HUB_TOKEN, or
    in the file DB.token.
    """
    context.obj = db
    if context.invoked_subcommand is None:
        if db is None:
            raise click.UsageError("Missing option '--db'.")
        _run(db, serving)


@hub.command()
@_serving
@click.pass_obj
def serve(above: Path | None, *, db: Path | None, **serving: Unpack[Serving]) -> None:
    """Run the hub until it is told to end; prints "ready URL"."""
    _run(chosen(above, db), serving)


def _plan(serving: Serving) -> Plan | None:
    from sync.hub.backups import Plan  # noqa: PLC0415

    if (folder := serving["backup_dir"]) is None:
        return None
    return Plan(folder, serving["backup_every"], serving["backup_keep"])


def _pem(certificate: Path | None, key: Path | None) -> tuple[Path, Path] | None:
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise click.UsageError("--certificate and --key go together")
    return certificate, key


def _run(db: Path, serving: Serving) -> None:
    from kiosk import log  # noqa: PLC0415
    from kiosk.config import make_folder  # noqa: PLC0415
    from sync.hub.serve import serve as serve_hub  # noqa: PLC0415
    from sync.hub.tokens import hub_token  # noqa: PLC0415

    tls = _pem(serving["certificate"], serving["key"])
    log.set_up(None)
    with one_line():
        make_folder(db.absolute().parent)
        token = hub_token(db, os.environ)
        log.hide(token)
        code = serve_hub(
            db,
            serving["host"],
            serving["port"],
            token,
            child=serving["child"],
            insecure_lan=serving["insecure_lan"],
            certificate=tls,
            keep_days=serving["keep_days"],
            viewers_per_token=serving["viewers_per_token"],
            trusted_proxies=serving["trusted_proxies"],
            backups=_plan(serving),
        )
    sys.exit(code)


@hub.command()
@with_db
@click.option("--org", default="", help="The organisation's id, as in the kiosks' settings.")
@click.option("--site", default="", help="The site's id, if there is only one.")
@click.option("--url", default="", help="Where kiosks reach this hub, for the QR codes.")
@click.pass_obj
def init(above: Path | None, *, db: Path | None, org: str, site: str, url: str) -> None:
    """Make the hub's files, and say what comes next. Does no harm to a hub that is there."""
    from kiosk.config import make_folder, url_problem  # noqa: PLC0415

    db = chosen(above, db)
    if url and (problem := url_problem(url)):
        raise click.UsageError(f"--url {problem}")
    with one_line():
        make_folder(db.absolute().parent)
        from sync.hub.auth.keys import hub_keys  # noqa: PLC0415
        from sync.hub.tables import opened  # noqa: PLC0415
        from sync.hub.tokens import hub_token, token_path  # noqa: PLC0415

        if not db.exists():
            opened(db).close()
        hub_keys(db)
        hub_token(db, {})
        with register_of(db) as register:
            for key, value in (("org", org), ("site", site), ("url", url.rstrip("/"))):
                if value:
                    before = register.setting(key)
                    register.set(key, value)
                    if key != "url" and before not in ("", value):
                        click.echo(_MOVED.format(key=key, before=before, value=value), err=True)
    click.echo(f"The hub is at {db}; its own token is in {token_path(db)}, keep it to yourself.")
    click.echo(f"Run it:       kiosk hub serve --db {db}")
    click.echo(f"Pair a kiosk: kiosk hub pair --db {db}")


@hub.command()
@with_db
@click.option("--name", default="", help="What to call the kiosk.")
@click.option("--org", default="", help="Only for a kiosk of this organisation.")
@click.option("--site", default="", help="Only for a kiosk of this site.")
@click.option("--minutes", type=_MINUTES, default=10, show_default=True, help="Good for so long.")
@click.option("--url", default="", help="Where the kiosk reaches this hub, for the QR code.")
@click.pass_obj
def pair(
    above: Path | None,
    *,
    db: Path | None,
    name: str,
    org: str,
    site: str,
    minutes: int,
    url: str,
) -> None:
    """Print a one-time code to type on a kiosk: kiosk pair URL CODE."""
    db = chosen(above, db)
    if not db.exists():
        # A code of a hub that nobody runs would be typed at a door in vain.
        raise click.ClickException(f"there is no hub at {db}; kiosk hub init makes one")
    with one_line(), register_of(db) as register:
        from sync.hub.auth.register import Ticket  # noqa: PLC0415

        org, site = org or register.setting("org"), site or register.setting("site")
        code = _offered(db, register, Ticket(org, site, name), minutes)
        url = url.rstrip("/") or register.setting("url") or _seen_from_outside(db)
    click.echo(f"Code: {code}   (good once, for {minutes} minutes)")
    click.echo(f"On the kiosk: kiosk pair {url or 'URL'} {code}")
    if url:
        _draw(url, code)


def _seen_from_outside(db: Path) -> str:
    """Where the hub says it listens, unless that is "everywhere", which is no address."""
    from ipaddress import ip_address  # noqa: PLC0415
    from urllib.parse import urlsplit  # noqa: PLC0415

    from kiosk.ownhub import noted_beside  # noqa: PLC0415

    url = noted_beside(db) or ""
    try:
        return "" if ip_address(urlsplit(url).hostname or "").is_unspecified else url
    except ValueError:
        return url


def _offered(db: Path, register: Register, ticket: Ticket, minutes: int) -> str:
    import time  # noqa: PLC0415

    from sync.hub.auth.codes import digest, new_code, plain  # noqa: PLC0415
    from sync.hub.auth.keys import hub_keys  # noqa: PLC0415

    code, now = new_code(), int(time.time())
    kept = digest(plain(code) or code, hub_keys(db).codes)
    register.offer(kept, ticket, now, now + minutes * 60)
    return code


def _draw(url: str, code: str) -> None:
    """The QR code, as wide as the terminal allows it."""
    import segno  # noqa: PLC0415

    from kiosk.pairing import invitation  # noqa: PLC0415

    segno.make(invitation(url, code), error="l").terminal(compact=True, border=2)


@hub.command()
@with_db
@click.argument("file", type=FILE)
@click.option("--replace", is_flag=True, help="Overwrite FILE if it is there.")
@click.pass_obj
def backup(above: Path | None, *, db: Path | None, file: Path, replace: bool) -> None:
    """Write all of the hub into FILE while it runs; the file is as secret as the hub's token."""
    with one_line():
        from sync.hub.backup import back_up  # noqa: PLC0415

        found = back_up(chosen(above, db), file, replace=replace)
    size = found.size / 1e6
    click.echo(f"{file}: {found.events} events in {found.rooms} rooms, {size:.1f} MB, checked")


@hub.command()
@with_db
@click.argument("file", type=FILE)
@click.pass_obj
def restore(above: Path | None, *, db: Path | None, file: Path) -> None:
    """Bring the hub back from FILE; stop it first. What kiosks still hold comes back by itself."""
    with one_line():
        from sync.hub.backup import restore as bring_back  # noqa: PLC0415
        from sync.hub.errors import LogBusyError  # noqa: PLC0415

        try:
            done = bring_back(chosen(above, db), file)
        except LogBusyError:
            raise click.ClickException("the hub runs; stop it first, then restore") from None
    click.echo(f"{done.events} events are back, the last of {moment(done.received)}.")
    if done.replaced is not None:
        click.echo(f"The former database is kept as {done.replaced}.")
    for line in _told(done.lacking):
        click.echo(line)
    click.echo("Start the hub: kiosks offer again what it lacks.")


def _told(lacking: Lacking | None) -> Iterator[str]:
    """What is gone with the former database."""
    if lacking is None:
        yield "The former database cannot be read: what the backup lacks of it is not known."
        return
    if lacking.events:
        yield f"It had {lacking.events} events of kiosks more; they come back from those."
    if lacking.returning:
        count = lacking.returning
        yield f"It had {count} records (people, sessions, staff, devices) changed since;"
        yield "they come back from kiosks that had heard of them."
    if names := lacking.records:
        more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
        yield f"{len(names)} more were changed by an earlier version, which signed nothing, so no"
        yield f"kiosk brings them back: {', '.join(names[:_MOST_NAMES])}{more}."
        yield "Staff and devices are told anew by the hub; people and sessions: import them again."


for _command in (adopt, devices, revoke, denials, staff, people, sessions, time):
    hub.add_command(_command)
