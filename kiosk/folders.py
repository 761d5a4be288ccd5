"""Whether a folder can be written, found out by writing, with nothing left behind."""

from __future__ import annotations

import tempfile
from pathlib import Path


def unwritable(folder: Path) -> str:
    """Why no file can be made in `folder`, which is itself made where it lacks; "" if one can.

    Permissions alone do not tell: /proc takes nothing from anybody, and a disk may be mounted for
    reading only.
    """
    try:
        there = folder.absolute()
        while not there.exists():
            there = there.parent
        with tempfile.TemporaryDirectory(prefix=".whorl-", dir=there) as probe:
            (Path(probe) / "file").touch()
    except OSError as error:
        return f"{folder} cannot be written: {error.strerror or error}"
    return ""
