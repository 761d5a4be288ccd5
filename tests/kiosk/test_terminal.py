"""What people see of an error: one line of ours, or everything of a fault."""

from __future__ import annotations

import errno
import os

import click
import pytest
from click.testing import CliRunner

from kiosk.__main__ import main
from kiosk.config import dirs
from kiosk.terminal import one_line


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_what_the_disk_says_is_one_line_that_names_the_file(code):
    with pytest.raises(click.ClickException) as said, one_line():
        raise OSError(code, os.strerror(code), "/var/lib/whorl/kiosk.db")
    assert said.value.message == f"{os.strerror(code)}: /var/lib/whorl/kiosk.db"


def test_a_fault_of_our_own_is_shown_whole():
    with pytest.raises(OSError, match="Invalid"), one_line():
        raise OSError(errno.EINVAL, "Invalid argument")


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """A user who has neither settings nor a kiosk; where the default one would be."""
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.delenv("WHORL_STORAGE_DIRECTORY", raising=False)
    dirs.cache_clear()
    yield tmp_path / "XDG_DATA_HOME" / "whorl"
    dirs.cache_clear()


def told(*words):
    done = CliRunner().invoke(main, [str(word) for word in words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout, done.stderr


def test_whoever_names_no_settings_is_told_once_which_kiosk_is_meant(nowhere, tmp_path):
    for words in (("people", "list"), ("sessions", "list"), ("review", "list"), ("review",)):
        said = told(*words)[1]
        assert said.count(f"using the default settings and the folder {nowhere}") == 1, words
    settings = tmp_path / "kiosk.toml"
    settings.write_text(f'[storage]\ndirectory = "{tmp_path / "here"}"\n')
    listed = "Nothing waits to be reviewed.\n"
    for words in (
        ("review", "--config", settings),
        ("review", "list", "--config", settings),
        ("review", "--config", settings, "list"),
    ):
        assert told(*words) == (listed, ""), words
    assert (tmp_path / "here").exists()


def test_a_folder_named_by_the_environment_is_nobodys_default(nowhere, tmp_path, monkeypatch):
    monkeypatch.setenv("WHORL_STORAGE_DIRECTORY", str(tmp_path / "here"))
    assert "default" not in told("people", "list")[1]
    assert not nowhere.exists()
