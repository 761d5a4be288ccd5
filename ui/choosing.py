"""Which session it is: asked at the door while the time is not known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal, Slot
from PySide6.QtQml import QmlElement

from kiosk.model import Phase
from ui import hours
from ui.properties import Property

if TYPE_CHECKING:
    from kiosk.model import DeskState, Session
    from ui.desk import Desk
    from ui.words import Words

QML_IMPORT_NAME = "Kiosk.Facades"
QML_IMPORT_MAJOR_VERSION = 1

_WAITING = (Phase.IDLE, Phase.OUT_OF_ORDER)


@QmlElement
class Choosing(QObject):
    """The sessions to choose from, each with its day, and a way on without."""

    changed = Signal()

    def __init__(self, desk: Desk, words: Words, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._desk = desk
        self._words = words
        self._state = desk.state
        words.changed.connect(self.changed)

    def show(self, state: DeskState) -> None:
        """Take over a new state of the desk."""
        self._state = state
        self.changed.emit()

    @Property(bool, notify=changed)
    def shown(self) -> bool:
        return bool(self._state.choices) and self._state.phase in _WAITING

    @Property(str, notify=changed)
    def title(self) -> str:
        return self._words("choosing.title")

    @Property(str, notify=changed)
    def line(self) -> str:
        return self._words("choosing.line")

    @Property("QStringList", notify=changed)
    def titles(self) -> list[str]:
        """What each button says, the last one the way on without."""
        return [*(one.title for one in self._state.choices), self._words("choosing.none")]

    @Property("QStringList", notify=changed)
    def details(self) -> list[str]:
        """When each of them is."""
        return [*map(self._when, self._state.choices), self._words("choosing.none_line")]

    @Slot(int)
    def choose(self, index: int) -> None:
        """Somebody has touched the button of that number."""
        choices = self._state.choices
        self._desk.choose_session(choices[index].id if 0 <= index < len(choices) else "")

    def _when(self, session: Session) -> str:
        if not session.dated:
            return self._words("door.undated")
        zone = session.zone
        day = hours.date(session.starts, zone, self._words.code, self._words("date_short"))
        if session.all_day:
            return f"{day} · {self._words('door.all_day')}"
        start, end = hours.clock(session.starts, zone), hours.clock(session.ends, zone)
        return f"{day} · {self._words('door.hours', start=start, end=end)}"
