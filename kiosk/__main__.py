"""The `kiosk` command."""

from __future__ import annotations

import gc
import math
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kiosk.terminal import CONFIG, LazyCommand, one_line

if TYPE_CHECKING:
    from kiosk.config import Config

# Everything else is imported where it is used: a command pays for what it needs only.

_NO_DISPLAY = (
    "No display: drawing into memory. Set DISPLAY, WAYLAND_DISPLAY or QT_QPA_PLATFORM"
    " (for example eglfs)."
)


def _a_number(_: click.Context, __: click.Parameter, value: float) -> float:
    """NaN is in every range, for it is never outside of one."""
    if math.isnan(value):
        raise click.BadParameter("nan is not a number")
    return value


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="whorl")
def main() -> None:
    """Whorl: a check-in kiosk that works offline."""


@main.command()
@CONFIG
@click.option(
    "--verbose",
    is_flag=True,
    help="Log more (DEBUG), and say the log from INFO on at the terminal.",
)
def run(path: Path | None, *, verbose: bool) -> None:
    """Open the door: run the kiosk until it is told to end."""
    # What is imported and built at the start stays: there is nothing to collect yet.
    gc.disable()
    try:
        config = _prepared(path, verbose=verbose)
        if not os.environ.get("QT_QPA_PLATFORM") and _headless():
            click.echo(_NO_DISPLAY, err=True)
        with one_line():
            from kiosk.app import run_kiosk  # noqa: PLC0415
            from kiosk.clock import SystemClock  # noqa: PLC0415

            run_kiosk(config, SystemClock(), shown=gc.enable)
    finally:
        gc.enable()


@main.command()
@click.option("--headless", is_flag=True, help="Play a scripted morning without a window.")
@click.option(
    "--seconds",
    type=click.FloatRange(3, 86_400),
    callback=_a_number,
    default=30.0,
    show_default=True,
)
@click.option("--people", type=click.IntRange(1, 900), default=10, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Folder to write to.")
def demo(*, headless: bool, seconds: float, people: int, seed: int, out: Path | None) -> None:
    """A kiosk with an emulated sensor, its own hub and sample people.

    Without a display, or with --headless, a scripted morning is played and checked; its last line
    is a JSON object, and the exit code is 0 only if nothing was lost or doubled.
    """
    from kiosk import log  # noqa: PLC0415
    from kiosk.config import dirs, make_folder  # noqa: PLC0415

    out = (out or Path(dirs().user_state_dir) / "demo").absolute()
    headless = _headless(force=headless)
    with one_line():
        make_folder(out)
    log.set_up(out / "log")
    with one_line():
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


@main.command(
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
)
@click.pass_context
def emulator(context: click.Context) -> None:
    """An emulated fingerprint sensor on a pseudo-terminal; `kiosk emulator --help` says more."""
    from drivers.emulator.__main__ import main as emulate  # noqa: PLC0415

    sys.exit(emulate(context.args, prog="kiosk emulator"))


for _command in (
    LazyCommand("consent", "kiosk.consent_commands", "Consent to the keeping of fingerprints."),
    LazyCommand("export", "kiosk.outbox_commands", "Write what this kiosk holds into a file."),
    LazyCommand("hub", "kiosk.hub_commands", "The hub that kiosks agree through."),
    LazyCommand(
        "import",
        "kiosk.outbox_commands",
        "Import the events in FILE, made by `kiosk export unsent` on another kiosk.",
        "import_events",
    ),
    LazyCommand(
        "override",
        "kiosk.review_commands",
        "Decide PERSON's status (an id), whatever the readers saw.",
    ),
    LazyCommand(
        "pair",
        "kiosk.pair_command",
        "Let this kiosk into the hub at URL with the CODE that `kiosk hub pair` printed there.",
    ),
    LazyCommand("people", "kiosk.people_commands", "The people this site knows."),
    LazyCommand(
        "reset",
        "kiosk.outbox_commands",
        "Begin with an empty log, as another device; refused while anything is unsent.",
    ),
    LazyCommand(
        "review", "kiosk.review_commands", "What only staff can settle; the kiosk may run or not."
    ),
    LazyCommand(
        "sensor", "kiosk.sensor_commands", "The fingerprint reader and the templates in it."
    ),
    LazyCommand("session", "kiosk.review_commands", "Close and reopen a session."),
    LazyCommand("sessions", "kiosk.people_commands", "The sessions this site knows."),
    LazyCommand(
        "sign-in",
        "kiosk.outbox_commands",
        "Go on with the present token after this disk, or the hub, has come to another machine.",
        "sign_in",
    ),
    LazyCommand(
        "unpair",
        "kiosk.pair_command",
        "Give the pairing up: the kiosk then uses its own hub, or that of its settings.",
    ),
):
    main.add_command(_command)


@main.command()
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--kiosks", type=click.IntRange(1, 20), default=2, show_default=True)
@click.option("--people", type=click.IntRange(1, 900), default=6, show_default=True)
@click.option(
    "--hours",
    type=click.FloatRange(0.1, 240),
    callback=_a_number,
    default=1.0,
    show_default=True,
)
@click.option("--seeds", type=click.IntRange(1), help="Play so many, from --seed on.")
@click.option("--jobs", type=click.IntRange(1, 64), default=1, show_default=True)
def simulate(*, seed: int, kiosks: int, people: int, hours: float, seeds: int, jobs: int) -> None:
    """Play a hub, kiosks and all that goes wrong between them, on virtual time.

    The last line is a JSON object, the same for the same seed; the exit code is 0 only if nothing
    was lost or doubled and all agree in the end. With --seeds it stops at the first that fails.
    """
    from kiosk.simulation import many  # noqa: PLC0415
    from kiosk.simulation.scene import Day  # noqa: PLC0415

    day = Day(seed, kiosks, people, hours)
    began = time.monotonic()
    report: many.Report | many.Summary
    if seeds:
        report, wrong = many.play_many(day, seeds, jobs, lambda far: click.echo(far, err=True))
        click.echo(f"{report.seeds} seeds in {time.monotonic() - began:.0f} s", err=True)
    else:
        played = many.play(day)
        report, wrong = played.report, played.wrong
    for line in wrong:
        click.echo(f"kiosk simulate: {line}", err=True)
    click.echo(report.line())
    sys.exit(0 if report.good else 1)


@main.command()
@click.argument("person")
@CONFIG
@click.option("--guardian", default="", help="Who consents for a child; goes into the log.")
def enrol(person: str, path: Path | None, guardian: str) -> None:
    """Enrol a finger of PERSON (an id), while the kiosk runs or not."""
    config = _prepared(path)
    from kiosk.enrolling import enrol_at_the_terminal  # noqa: PLC0415

    with one_line():
        enrol_at_the_terminal(config, person, guardian)


@main.command()
@CONFIG
def doctor(path: Path | None) -> None:
    """Check every part; exit code 1 if one fails."""
    from kiosk.clock import SystemClock  # noqa: PLC0415
    from kiosk.config import load  # noqa: PLC0415

    with one_line():
        config = load(path, os.environ)
    from kiosk.doctor import examine  # noqa: PLC0415

    well = True
    for finding in examine(config, SystemClock()):
        click.echo(finding.line())
        well = well and finding.well
    sys.exit(0 if well else 1)


def _prepared(path: Path | None, *, verbose: bool = False) -> Config:
    """The settings, with their folder made and the log begun in it."""
    from kiosk import log  # noqa: PLC0415
    from kiosk.config import load, make_folder  # noqa: PLC0415

    with one_line():
        config = load(path, os.environ)
        make_folder(config.directory)
    log.set_up(config.directory, verbose=verbose)
    return config


def _headless(*, force: bool = False) -> bool:
    """Whether Qt draws into memory, which it is told to without a display, or if forced."""
    if not force:
        if platform := os.environ.get("QT_QPA_PLATFORM"):
            return platform.partition(":")[0] in ("offscreen", "minimal")
        if any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")):
            return False
    os.environ["QT_QPA_PLATFORM"] = "offscreen"
    os.environ.setdefault("QT_QUICK_BACKEND", "software")
    return True


if __name__ == "__main__":
    main()
