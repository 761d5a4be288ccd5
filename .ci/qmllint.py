"""Lint the QML with the Python types in sight: a misspelt property of a facade is an error."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import PySide6

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "qmltypes"
TOOLS = Path(sys.executable).parent
URI = "Kiosk.Facades"
METATYPES = Path(PySide6.__file__).parent / "Qt" / "metatypes"
FOREIGN = ("core", "gui", "qml", "qmlmodels", "quick")


def main(sources: list[Path]) -> int:
    """Exit code: 0 only if there is not one warning in `sources`, by default all our QML."""
    describe_python()
    qml = sources or sorted((ROOT / "ui" / "qml" / "Kiosk").glob("*.qml"))
    return run("pyside6-qmllint", "-W", "0", "-I", BUILD, "-I", ROOT / "ui" / "qml", *qml)


def describe_python() -> None:
    """Write what QML may know of the Python types: a module of nothing but type descriptions."""
    module = BUILD.joinpath(*URI.split("."))
    shutil.rmtree(BUILD, ignore_errors=True)
    module.mkdir(parents=True)
    metatypes = module / "metatypes.json"
    foreign = ",".join(str(METATYPES / f"qt6{name}_metatypes.json") for name in FOREIGN)
    python = [
        path for path in sorted((ROOT / "ui").glob("*.py")) if "\n@QmlElement" in path.read_text()
    ]
    must("pyside6-metaobjectdump", "--quiet", "--out-file", metatypes, *python)
    must(
        "pyside6-qmltyperegistrar",
        *("--import-name", URI, "--major-version", "1", "--minor-version", "0"),
        *("--generate-qmltypes", module / "facades.qmltypes", "-o", module / "unused.cpp"),
        *("--foreign-types", foreign, metatypes),
    )
    (module / "qmldir").write_text(f"module {URI}\ntypeinfo facades.qmltypes\ndepends QtQuick\n")


def must(tool: str, *arguments: object) -> None:
    if code := run(tool, *arguments):
        raise SystemExit(code)


def run(tool: str, *arguments: object) -> int:
    command = [TOOLS / tool, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, check=False).returncode  # noqa: S603 - our own tools


if __name__ == "__main__":
    raise SystemExit(main([Path(each) for each in sys.argv[1:]]))
