"""What every command at the terminal shares; light, for a command pays for what it needs only."""

from __future__ import annotations

import contextlib
import errno
import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kiosk.errors import KioskError

if TYPE_CHECKING:
    from collections.abc import Iterator

CONFIG = click.option(
    "--config",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
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
