"""The QML stays layout: short files, no logic, no colour or size outside Theme; and it lints."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from ui.shell import QML

ROOT = QML.parent.parent
FILES = sorted((QML / "Kiosk").glob("*.qml"))
LAYOUT = [path for path in FILES if path.name != "Theme.qml"]


def test_the_qmldir_names_every_file():
    named = re.findall(r"1\.0 (\w+\.qml)", (QML / "Kiosk" / "qmldir").read_text())
    assert sorted(named) == [path.name for path in FILES]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_short_and_free_of_logic(path):
    text = path.read_text()
    assert text.count("\n") <= 220
    for body in re.findall(r"function \w+\([^)]*\)[^{]*(\{(?:[^{}]|\{[^{}]*\})*\})", text):
        assert body.count("\n") <= 4, body
    assert not re.search(r"\b(XMLHttpRequest|Date|setTimeout|LocalStorage)\b", text)


@pytest.mark.parametrize("path", LAYOUT, ids=lambda path: path.stem)
def test_every_colour_size_and_duration_comes_from_theme(path):
    text = re.sub(r"//.*|\"[^\"]*\"", "", path.read_text())
    assert not re.search(r"#[0-9a-fA-F]{3,8}\b", path.read_text())
    assert not re.findall(r"(?<![\w.])\d{2,}(?![\w.])", text), "a number of two digits is a size"
    assert not re.search(r"(duration|interval): \d*[1-9]\d*$", text, re.MULTILINE)
    assert not re.search(r"Shape\b|ShaderEffect|layer\.|MultiEffect|GraphicalEffects", text)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_whatever_is_tappable_says_what_it_is(path):
    text = path.read_text()
    if path.name == "Press.qml":
        assert "Accessible.role: Accessible.Button" in text
        assert "Accessible.name:" in text
        assert "Accessible.onPressAction:" in text
    else:  # only through it
        assert not re.search("TapHandler|AbstractButton|PointHandler", text)


@pytest.mark.slow
@pytest.mark.parametrize(("member", "clean"), [("phase", True), ("phaze", False)])
def test_the_lint_sees_the_python_types(tmp_path, member, clean):
    probe = tmp_path / "Probe.qml"
    probe.write_text(
        "import QtQuick\nimport Kiosk.Facades\n"
        "Item {\n    required property Door door\n"
        f"    readonly property string it: door.{member}\n}}\n"
    )
    lint = [sys.executable, Path(ROOT, ".ci", "qmllint.py"), probe]
    done = subprocess.run(lint, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode == 0) is clean, done.stdout + done.stderr
    assert clean or 'Member "phaze" not found on type "Door"' in done.stdout + done.stderr
