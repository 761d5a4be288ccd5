"""What people see of an error: one line of ours, or everything of a fault."""

from __future__ import annotations

import errno
import os

import click
import pytest

from kiosk.terminal import one_line


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_what_the_disk_says_is_one_line_that_names_the_file(code):
    with pytest.raises(click.ClickException) as said, one_line():
        raise OSError(code, os.strerror(code), "/var/lib/whorl/kiosk.db")
    assert said.value.message == f"{os.strerror(code)}: /var/lib/whorl/kiosk.db"


def test_a_fault_of_our_own_is_shown_whole():
    with pytest.raises(OSError, match="Invalid"), one_line():
        raise OSError(errno.EINVAL, "Invalid argument")
