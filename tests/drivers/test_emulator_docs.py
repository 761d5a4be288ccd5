"""What the emulator's page says is what the emulator does: its examples run, its tables agree."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from drivers.emulator import Emulator, commands
from drivers.emulator.commands import HELP, obey
from drivers.emulator.trouble import Trouble
from drivers.profiles import PROFILES, Profile

PAGE = (Path(__file__).parents[2] / "docs/emulator.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
SESSION = re.search(r"<!-- session -->\n```\n(.*?)```", PAGE, re.DOTALL)[1].splitlines()


@pytest.mark.parametrize("code", EXAMPLES, ids=range(len(EXAMPLES)))
def test_each_example_runs(code):
    exec(compile(code, "docs/emulator.md", "exec"), {})  # noqa: S102 - the page's own words


def test_the_fixture_that_the_page_offers_yields_a_sensor(tmp_path):
    (code,) = [example for example in EXAMPLES if "pytest.fixture" in example]
    names = {}
    exec(code.replace("@pytest.fixture\n", ""), names)  # noqa: S102 - the page's own words
    for emulator in names["sensor"](tmp_path):
        assert emulator.slots == {0}
        assert emulator.profile.merges_strangers


def test_the_session_is_what_is_printed(tmp_path):
    with Emulator("r307", tmp_path / "port") as emulator:
        for typed, printed in zip(SESSION[::2], SESSION[1::2], strict=True):
            assert obey(emulator, typed) == printed


def test_every_line_is_on_the_page_and_in_the_help():
    words = {*commands._ACTIONS, *commands._EXCHANGES, "show", "quit"}
    for word in words:
        assert re.search(rf"`{re.escape(word)}[ `]", PAGE), word
        assert re.search(
            rf"^[ |]*{re.escape(word)}\b|\| {re.escape(word)}\b", HELP, re.MULTILINE
        ), word


def test_every_fault_is_on_the_page():
    methods = [name for name in vars(Trouble) if not name.startswith("_")]
    assert len(methods) > 20
    for name in methods:
        assert f"`{name}(" in PAGE, name


def test_the_table_of_profiles_agrees_with_the_profiles():
    rows = {}
    for line in PAGE[PAGE.index("## Profiles") :].splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 6:
            rows[cells[0]] = cells[1:]
    assert rows[""] == list(rows[""]) == ["zfm20", "as608", "r307", "r308", "r503"]
    for column, name in enumerate(rows[""]):
        profile = PROFILES[name]
        boot = "none" if profile.boot_byte is None else f"{profile.boot_byte:02X}"
        assert [rows[row][column] for row in list(rows) if row and not row.startswith("-")] == [
            str(profile.capacity),
            str(profile.template_size),
            "{}x{}".format(*profile.image),
            str(profile.buffers),
            str(profile.notepad_pages),
            f"{profile.unknown_code:02X}",
            boot,
            "{}-{}".format(*profile.scores),
        ]


def test_the_instructions_that_the_page_lists_are_those_of_the_profiles():
    core = {*range(0x01, 0x10), *range(0x12, 0x16), 0x1D, 0x1F}
    assert PROFILES["zfm20"].instructions == core
    assert PROFILES["r308"].instructions == core - {0x0F} | {0x1B}
    for name in ("as608", "r307", "r503"):
        line = re.search(rf"^- `{name}`: also ([0-9A-F, ]+)", PAGE, re.MULTILINE)[1]
        assert PROFILES[name].instructions == core | {int(code, 16) for code in line.split(",")}


def test_the_habits_on_the_page_are_those_of_the_profiles():
    rows = re.findall(r"^\| `(\w+)` \| ([\w, ]*)\|", PAGE, re.MULTILINE)
    shown = {name: on.strip() for name, on in rows if hasattr(PROFILES["r307"], name)}
    habits = [field.name for field in fields(Profile) if isinstance(field.default, bool)]
    assert sorted(shown) == sorted(habits)
    for name in habits:
        on = [one.name for one in PROFILES.values() if getattr(one, name)]
        assert shown[name] == ("all" if len(on) == len(PROFILES) else ", ".join(on)), name
