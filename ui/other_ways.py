"""The other way in: a keypad for the person's own code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QTimer, Signal, Slot
from PySide6.QtQml import QmlElement

from kiosk.model import Phase
from ui.countdown import Countdown
from ui.properties import Property

if TYPE_CHECKING:
    from kiosk.model import DeskState
    from ui.desk import Desk
    from ui.words import Words

QML_IMPORT_NAME = "Kiosk.Facades"
QML_IMPORT_MAJOR_VERSION = 1

MAX_DIGITS = 8
_BOXES = 5

# Seconds without a touch until the screen goes back, the last of them shown as a bar.
IDLE_RETURN = 30
IDLE_WARNING = 20


@QmlElement
class OtherWays(QObject):
    """Whether the keypad is shown and what has been typed on it."""

    changed = Signal()
    remainingChanged = Signal()

    def __init__(
        self, desk: Desk, words: Words, parent: QObject | None = None, *, badge: bool = False
    ) -> None:
        super().__init__(parent)
        self._desk = desk
        self._words = words
        self._badge = badge
        self._open = False
        self._digits = ""
        self._quiet = QTimer(self, singleShot=True, interval=(IDLE_RETURN - IDLE_WARNING) * 1000)
        self._warning = Countdown(desk.clock, self)
        self._quiet.timeout.connect(lambda: self._warning.start(IDLE_WARNING))
        self._warning.changed.connect(self.remainingChanged)
        self._warning.ended.connect(self.leave)
        words.changed.connect(self.changed)

    def show(self, state: DeskState) -> None:
        """An answer, or the wait for a finger, takes the whole screen: the keypad leaves."""
        if self._open and state.phase in (Phase.OUTCOME, Phase.VERIFYING):
            self.leave()

    @Property(bool, notify=changed)
    def shown(self) -> bool:
        return self._open

    @Property(bool, notify=changed)
    def badge(self) -> bool:
        """Whether a badge is one of the ways."""
        return self._badge

    @Property(str, notify=changed)
    def summary(self) -> str:
        """What the other ways are, for the button that leads to them."""
        return self._words("button.badge_or_code" if self._badge else "button.no_finger")

    @Property(str, notify=changed)
    def hint(self) -> str:
        """For those who have no code."""
        return self._words("code.hint_badge" if self._badge else "code.hint")

    @Property(str, notify=changed)
    def digits(self) -> str:
        return self._digits

    @Property(int, notify=changed)
    def boxes(self) -> int:
        """How many boxes to draw: room for one digit more, as long as one more is taken."""
        return min(MAX_DIGITS, max(_BOXES, len(self._digits) + 1))

    @Property(str, notify=changed)
    def spoken(self) -> str:
        return self._words("code.digits", n=len(self._digits))

    @Property(float, notify=remainingChanged)
    def remaining(self) -> float:
        """Share of the warning time that is left; 1 before the warning."""
        return self._warning.left if self._open and not self._quiet.isActive() else 1.0

    @Slot()
    def enterPage(self) -> None:
        """Show the keypad, empty."""
        self._set(is_open=True, digits="")
        self._desk.dismiss()

    @Slot()
    def leave(self) -> None:
        """Back to the door; what was typed is forgotten."""
        self._set(is_open=False, digits="")

    @Slot(str)
    def press(self, digit: str) -> None:
        self._set(is_open=True, digits=(self._digits + digit)[:MAX_DIGITS])

    @Slot()
    def erase(self) -> None:
        self._set(is_open=True, digits=self._digits[:-1])

    @Slot()
    def confirm(self) -> None:
        """Check in with the code; nothing happens while none is typed."""
        if code := self._digits:
            self._set(is_open=True, digits="")
            self._desk.enter_code(code)

    def _set(self, *, is_open: bool, digits: str) -> None:
        self._open, self._digits = is_open, digits
        self._warning.stop()
        if is_open:
            self._quiet.start()
        else:
            self._quiet.stop()
        self.changed.emit()
        self.remainingChanged.emit()
