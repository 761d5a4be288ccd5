"""What every command at the terminal shares; light, for a command pays for what it needs only."""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kiosk.errors import KioskError

if TYPE_CHECKING:
    from collections.abc import Iterator


def _chosen(context: click.Context, _: click.Parameter, path: Path | None) -> Path | None:
    """The file that is named here or at the group that the command is in."""
    if path is None and context.parent is not None:
        path = context.parent.params.get("path")
    # A group that has a command leaves it to that.
    if isinstance(context.command, click.Group) or context.resilient_parsing:
        return path
    tell_default(path)
    return path


def tell_default(path: Path | None) -> None:
    """Say which kiosk is meant where nobody has said it: often it is not the one at the door."""
    if path is not None or os.environ.get("WHORL_STORAGE_DIRECTORY"):
        return
    from kiosk.config import default_path, dirs  # noqa: PLC0415  only this needs them

    if not default_path().exists():
        told = f"No settings file (--config, or {default_path()}): using the default settings"
        click.echo(f"{told} and the folder {dirs().user_data_dir}", err=True)


CONFIG = click.option(
    "--config",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    callback=_chosen,
    help="Settings file (default: the user's configuration directory).",
)


# What a disk or a folder says; any other system error is a fault of ours, and is shown whole.
_OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO)


@contextlib.contextmanager
def one_line() -> Iterator[None]:
    """Whatever our own parts raise for people becomes one line and exit code 1."""
    try:
        yield
    except Exception as error:
        told = _for_people(error)
        if told is None:
            raise
        raise click.ClickException(told) from error


def _for_people(error: Exception) -> str | None:
    """What is said of it in one line; None of a fault of ours, which is shown whole."""
    from drivers.errors import SensorError  # noqa: PLC0415  only what went wrong needs them
    from sync.hub.errors import HubError  # noqa: PLC0415  the same

    if isinstance(error, SensorError):
        return f"{error.sentence} {error.advice}"
    if isinstance(error, KioskError | HubError):
        return str(error)
    if isinstance(error, OSError) and error.errno in _OF_THE_DISK:
        where = f": {error.filename}" if error.filename else ""
        return f"{error.strerror}{where}"
    return None


class LazyCommand(click.Command):
    """A command, or a group of them, whose module is imported when it is asked for."""

    def __init__(self, name: str, module: str, help_: str, attribute: str = "") -> None:
        """`module` must hold it by its name, or as `attribute`; `help_` is its first sentence."""
        super().__init__(name, help=help_)
        self._module = module
        self._attribute = attribute or name

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,  # noqa: ANN401  as click has it
    ) -> click.Context:
        """The context of what it stands for, which click then invokes."""
        return self.loaded().make_context(info_name, args, parent, **extra)

    def loaded(self) -> click.Command:
        """What it stands for."""
        found = getattr(importlib.import_module(self._module), self._attribute)
        if not isinstance(found, click.Command):
            raise TypeError(f"{self._module}.{self._attribute} is no command")
        return found
