"""One finger more: the screen that asks somebody who has said who they are to bear it out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal, Slot
from PySide6.QtQml import QmlElement

from kiosk.model import Phase
from ui.countdown import Countdown
from ui.greeting import name_parts
from ui.properties import Property

if TYPE_CHECKING:
    from kiosk.model import Claim, DeskState
    from ui.desk import Desk
    from ui.words import Words

QML_IMPORT_NAME = "Kiosk.Facades"
QML_IMPORT_MAJOR_VERSION = 1


@QmlElement
class Asking(QObject):
    """Whose finger is asked for, and how long there is for it."""

    changed = Signal()
    remainingChanged = Signal()

    def __init__(self, desk: Desk, words: Words, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._desk = desk
        self._words = words
        self._claim: Claim | None = None
        self._asking = False
        self._countdown = Countdown(desk.clock, self)
        self._countdown.changed.connect(self.remainingChanged)
        words.changed.connect(self.changed)

    def show(self, state: DeskState) -> None:
        """Take over a new state of the desk."""
        claim, before = state.claim, self._claim
        self._asking = state.phase is Phase.VERIFYING
        # The last one stays, so that the screen does not change while it leaves.
        self._claim = claim or before
        if claim is None or not claim.ready:
            self._countdown.stop()
        elif before is None or (before.serial, before.ready) != (claim.serial, True):
            self._countdown.start(claim.shown)
        self.changed.emit()
        self.remainingChanged.emit()

    @Property(bool, notify=changed)
    def shown(self) -> bool:
        return self._asking

    @Property(str, notify=changed)
    def name(self) -> str:
        return self._name[0]

    @Property(str, notify=changed)
    def initial(self) -> str:
        return self._name[1]

    @Property(bool, notify=changed)
    def reading(self) -> bool:
        """Whether the finger lies on the reader."""
        return self._claim is not None and self._claim.seen

    @Property(str, notify=changed)
    def title(self) -> str:
        return self._words("asking.reading" if self.reading else "asking.title")

    @Property(str, notify=changed)
    def line(self) -> str:
        return self._words("door.reading_why" if self.reading else "asking.line")

    @Property(str, notify=changed)
    def cancelTitle(self) -> str:
        return self._words("asking.cancel")

    @Property(str, notify=changed)
    def cancelDetail(self) -> str:
        return self._words("asking.cancel_detail")

    @Property(float, notify=remainingChanged)
    def remaining(self) -> float:
        """Share of the time that is left; 1 until the finger may be placed."""
        waiting = self._claim is None or not self._claim.ready
        return 1.0 if waiting else self._countdown.left

    @Slot()
    def cancel(self) -> None:
        """Back to idle; nothing is recorded."""
        self._desk.dismiss()

    @property
    def _name(self) -> tuple[str, str]:
        return name_parts(self._claim.person if self._claim else None)
