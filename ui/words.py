"""Every word on the screen, from one file per language; and the labels that never change else."""

from __future__ import annotations

import tomllib
from pathlib import Path

from PySide6.QtCore import QObject, Signal, Slot
from PySide6.QtQml import QmlElement

import resources
from ui.properties import Property

QML_IMPORT_NAME = "Kiosk.Facades"
QML_IMPORT_MAJOR_VERSION = 1

# The order in which the language button goes round.
LANGUAGES = ("en", "de", "es")

_FOLDER = Path(resources.__file__).parent / "translations"


def read(language: str) -> dict[str, str]:
    """All words of a language by dotted key; raises FileNotFoundError for one that is not there."""
    found: dict[str, str] = {}
    for key, value in tomllib.loads((_FOLDER / f"{language}.toml").read_text("utf-8")).items():
        if isinstance(value, dict):
            found.update({f"{key}.{inner}": text for inner, text in value.items()})
        else:
            found[key] = value
    return found


@QmlElement
class Words(QObject):
    """The words in the language now chosen; `changed` when another is chosen."""

    changed = Signal()

    def __init__(self, language: str, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.code = language if language in LANGUAGES else LANGUAGES[0]
        self._words = read(self.code)

    def __call__(self, key: str, /, **values: object) -> str:
        """The words for `key` with its placeholders filled; raises KeyError for an unknown key."""
        return self._words[key].format(**values)

    def choose(self, language: str) -> None:
        self.code, self._words = language, read(language)
        self.changed.emit()

    @Slot()
    def next(self) -> None:
        """Go on to the next language."""
        self.choose(LANGUAGES[(LANGUAGES.index(self.code) + 1) % len(LANGUAGES)])

    @Property(str, notify=changed)
    def languageName(self) -> str:
        return self("name")

    @Property(str, notify=changed)
    def language(self) -> str:
        return self("button.language")

    @Property(str, notify=changed)
    def otherWays(self) -> str:
        return self("button.other_ways")

    @Property(str, notify=changed)
    def enterCode(self) -> str:
        return self("button.enter_code")

    @Property(str, notify=changed)
    def forStaff(self) -> str:
        return self("button.for_staff")

    @Property(str, notify=changed)
    def whatToDo(self) -> str:
        return self("button.what_to_do")

    @Property(str, notify=changed)
    def countsSame(self) -> str:
        return self("button.counts_same")

    @Property(str, notify=changed)
    def badge(self) -> str:
        return self("button.badge")

    @Property(str, notify=changed)
    def holdUp(self) -> str:
        return self("button.hold_up")

    @Property(str, notify=changed)
    def back(self) -> str:
        return self("button.back")

    @Property(str, notify=changed)
    def enter(self) -> str:
        return self("button.enter")

    @Property(str, notify=changed)
    def erase(self) -> str:
        return self("button.erase")

    @Property(str, notify=changed)
    def tryNow(self) -> str:
        return self("button.try_now")

    @Property(str, notify=changed)
    def close(self) -> str:
        return self("button.close")

    @Property(str, notify=changed)
    def showReader(self) -> str:
        return self("door.show_reader")

    @Property(str, notify=changed)
    def codeTitle(self) -> str:
        return self("code.title")

    @Property(str, notify=changed)
    def codeLabel(self) -> str:
        return self("code.label")
