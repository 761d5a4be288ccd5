"""What to do about a reader that is not the one on record: told here, done by staff elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QTimer, Signal, Slot
from PySide6.QtQml import QmlElement

from kiosk.model import Phase, SensorState
from ui.properties import Property

if TYPE_CHECKING:
    from kiosk.model import DeskState
    from ui.desk import Desk
    from ui.words import Words

QML_IMPORT_NAME = "Kiosk.Facades"
QML_IMPORT_MAJOR_VERSION = 1

_CLOSES_MS = 90_000
_CHOICES = {
    "adopt": "kiosk sensor adopt",
    "wipe": "kiosk sensor wipe",
    "reprovision": "kiosk sensor wipe, kiosk sensor reprovision",
}


@QmlElement
class Stranger(QObject):
    """The page behind the out-of-order screen: three choices, none of which can be made on it."""

    changed = Signal()

    def __init__(self, desk: Desk, words: Words, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._words = words
        self._state = desk.state
        self._closing = QTimer(self, singleShot=True, interval=_CLOSES_MS)
        self._closing.timeout.connect(self.changed)
        words.changed.connect(self.changed)

    def show(self, state: DeskState) -> None:
        """Take over a new state of the desk; whatever else happens, the page leaves."""
        self._state = state
        if not self.there:
            self._closing.stop()
        self.changed.emit()

    @Property(bool, notify=changed)
    def there(self) -> bool:
        """Whether the reader is a stranger, so that staff must choose."""
        state = self._state
        return state.phase is Phase.OUT_OF_ORDER and state.sensor.state is SensorState.STRANGER

    @Property(bool, notify=changed)
    def shown(self) -> bool:
        """Whether the page is open."""
        return self._closing.isActive()

    @Property(str, notify=changed)
    def title(self) -> str:
        return self._words(f"stranger.{self._state.sensor.mismatch or 'foreign'}")

    @Property(str, notify=changed)
    def line(self) -> str:
        return self._words("stranger.line")

    @Property("QStringList", notify=changed)
    def choices(self) -> list[str]:
        return [self._words(f"stranger.{choice}") for choice in _CHOICES]

    @Property("QStringList", notify=changed)
    def reasons(self) -> list[str]:
        """What each choice does."""
        return [self._words(f"stranger.{choice}_line") for choice in _CHOICES]

    @Property("QStringList", notify=changed)
    def commands(self) -> list[str]:
        """How staff make each choice."""
        return list(_CHOICES.values())

    @Slot()
    def open(self) -> None:
        self._closing.start()
        self.changed.emit()

    @Slot()
    def close(self) -> None:
        self._closing.stop()
        self.changed.emit()
