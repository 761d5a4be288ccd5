"""The `kiosk` command."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kiosk import log
from kiosk.clock import SystemClock
from kiosk.config import DIRS, Config, load
from kiosk.errors import KioskError
from kiosk.terminal import LazyGroup

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kiosk.directory import HubClient
    from kiosk.model import Person
    from kiosk.store import Store

# Everything else is imported where it is used: a command pays for what it needs only.

_CONFIG = click.option(
    "--config",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Settings file (default: the user's configuration directory).",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="whorl")
def main() -> None:
    """Whorl: a check-in kiosk that works offline."""


@main.command()
@_CONFIG
@click.option("--verbose", is_flag=True, help="Say on the terminal what goes into the log.")
def run(path: Path | None, *, verbose: bool) -> None:
    """Open the door: run the kiosk until it is told to end."""
    config = _config(path)
    _offscreen_if_no_display()
    log.set_up(config.directory, secrets=[os.environ.get("WHORL_HUB_TOKEN", "")], verbose=verbose)
    with _one_line():
        from kiosk.app import run_kiosk  # noqa: PLC0415

        run_kiosk(config, SystemClock())


@main.command()
@click.option("--headless", is_flag=True, help="Play a scripted morning without a window.")
@click.option("--seconds", type=click.FloatRange(3, 86_400), default=30.0, show_default=True)
@click.option("--people", type=click.IntRange(1, 900), default=10, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Folder to write to.")
def demo(*, headless: bool, seconds: float, people: int, seed: int, out: Path | None) -> None:
    """A kiosk with an emulated sensor, its own hub and sample people.

    Without a display, or with --headless, a scripted morning is played and checked; its last line
    is a JSON object, and the exit code is 0 only if nothing was lost or doubled.
    """
    out = (out or Path(DIRS.user_state_dir) / "demo").absolute()
    headless = _offscreen_if_no_display(force=headless)
    log.set_up(out / "log")
    with _one_line():
        from kiosk import demo as play  # noqa: PLC0415

        if not headless:
            play.run_window(out, people, seed)
            return
        report, wrong = play.run_script(out, seconds, people, seed, click.echo)
        click.echo(f"Pictures: {out / 'pictures'}")
        for line in wrong:
            click.echo(f"kiosk demo: {line}", err=True)
        click.echo(play.as_line(report))
    sys.exit(1 if wrong else 0)


@main.command()
@click.option("--db", type=click.Path(path_type=Path, dir_okay=False), required=True)
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(0, 65_535), default=8765, show_default=True)
@click.option("--child", is_flag=True, help="End when stdin closes.")
@click.option("--insecure-lan", is_flag=True, help="Listen beyond this machine without TLS.")
def hub(*, db: Path, host: str, port: int, child: bool, insecure_lan: bool) -> None:
    """Run a hub; prints "ready URL". The token: WHORL_HUB_TOKEN, or the file DB.token."""
    log.set_up(None)
    with _one_line():
        from sync.hub.serve import serve  # noqa: PLC0415
        from sync.hub.tokens import hub_token  # noqa: PLC0415

        db.absolute().parent.mkdir(parents=True, exist_ok=True)
        token = hub_token(db, os.environ)
        code = serve(db, host, port, token, child=child, insecure_lan=insecure_lan)
    sys.exit(code)


@main.command(
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
)
@click.pass_context
def emulator(context: click.Context) -> None:
    """An emulated fingerprint sensor on a pseudo-terminal; `kiosk emulator --help` says more."""
    from drivers.emulator.__main__ import main as emulate  # noqa: PLC0415

    sys.exit(emulate(context.args, prog="kiosk emulator"))


main.add_command(
    LazyGroup("sensor", "kiosk.sensor_commands", "The fingerprint reader and its templates.")
)


@main.group()
def people() -> None:
    """The people this site knows."""


@people.command("import")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@_CONFIG
def import_people(file: Path, path: Path | None) -> None:
    """Add or change people from a CSV file: id,first_name,last_name,kind,code,badge."""
    config = _config(path)
    with _one_line():
        from kiosk.badges import keeper  # noqa: PLC0415
        from kiosk.directory import BadRowsError, read_people  # noqa: PLC0415

        try:
            found = read_people(file, keeper(config))
        except BadRowsError as error:
            for problem in error.problems:
                click.echo(f"{file}: {problem}", err=True)
            raise
        with _hub(config) as client:
            taken = client.send_people(found)
    click.echo(f"{taken.changed} people added or changed, {taken.unchanged} unchanged")


@main.command()
@click.argument("person")
@_CONFIG
def enrol(person: str, path: Path | None) -> None:
    """Enrol a finger of PERSON (an id); stop the kiosk first, it holds the reader."""
    config = _config(path)
    log.set_up(config.directory)
    with _one_line(), _store(config) as store:
        from drivers.zfm import open_zfm  # noqa: PLC0415
        from kiosk import enrolment as use_case  # noqa: PLC0415

        who = _person(store, person)
        question = use_case.CONSENT_QUESTION.format(name=who.first_name)
        given = click.confirm(question, default=False)
        use_case.record_consent(store, who, config.screen.language, given=given)
        sensor = config.sensor
        with open_zfm(sensor.port, sensor.baudrate, sensor.address, sensor.password) as zfm:
            done = use_case.enrol(
                store,
                SystemClock(),
                zfm,
                who,
                lambda step: click.echo(use_case.SENTENCES[step]),
            )
    click.echo(f"{who.first_name} is enrolled in slot {done.slot} (score {done.score}).")


@main.command()
@_CONFIG
def doctor(path: Path | None) -> None:
    """Check every part; exit code 1 if one fails."""
    config = _config(path)
    from kiosk.doctor import examine  # noqa: PLC0415

    well = True
    for finding in examine(config, SystemClock()):
        click.echo(finding.line())
        well = well and finding.well
    sys.exit(0 if well else 1)


def _config(path: Path | None) -> Config:
    with _one_line():
        return load(path, os.environ)


@contextlib.contextmanager
def _one_line() -> Iterator[None]:
    """Whatever our own parts raise for people becomes one line and exit code 1."""
    from drivers.errors import SensorError  # noqa: PLC0415
    from sync.hub.errors import HubError  # noqa: PLC0415

    try:
        yield
    except SensorError as error:
        raise click.ClickException(f"{error.sentence} {error.advice}") from error
    except (KioskError, HubError) as error:
        raise click.ClickException(str(error)) from error


def _offscreen_if_no_display(*, force: bool = False) -> bool:
    """Without a display (or if forced), have Qt draw into memory; whether it does."""
    shown = any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
    if os.environ.get("QT_QPA_PLATFORM"):
        return force or os.environ["QT_QPA_PLATFORM"] in ("offscreen", "minimal")
    if shown and not force:
        return False
    os.environ["QT_QPA_PLATFORM"] = "offscreen"
    os.environ.setdefault("QT_QUICK_BACKEND", "software")
    return True


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
    try:
        yield store
    finally:
        store.close()


def _person(store: Store, id_: str) -> Person:
    for person in store.people():
        if person.id == id_:
            return person
    raise click.ClickException(
        f'nobody has the id "{id_}" here; import people first, and let the kiosk run once'
    )


@contextlib.contextmanager
def _hub(config: Config) -> Iterator[HubClient]:
    """The hub this kiosk uses; its own is started for the moment if it does not run."""
    import threading  # noqa: PLC0415

    from kiosk.config import HUB_URL_FILE  # noqa: PLC0415
    from kiosk.credentials import token_of  # noqa: PLC0415
    from kiosk.directory import DirectoryError, HubClient  # noqa: PLC0415
    from kiosk.hubchild import HubChild  # noqa: PLC0415

    token, org, site = token_of(config), config.organisation.id, config.site.id
    noted = config.directory / HUB_URL_FILE
    if config.hub.url or noted.exists():
        url = config.hub.url or noted.read_text(encoding="ascii").strip()
        yield HubClient(url, token, org, site)
        return
    listening = threading.Event()
    child = HubChild(config.hub_database, token, lambda _: listening.set())
    child.start()
    try:
        if not listening.wait(15) or child.url is None:
            raise DirectoryError("the hub could not be started; the log says why")
        yield HubClient(child.url, token, org, site)
    finally:
        child.stop()


if __name__ == "__main__":
    main()
