"""Keeps a badge reader's keys off the screen, and gives a person's keys back to it."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from PySide6.QtCore import QCoreApplication, QEvent, QObject, Qt, QTimer
from PySide6.QtGui import QGuiApplication, QKeyEvent
from shiboken6 import isValid

from ui.shell import destroy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PySide6.QtGui import QWindow

    from ui.desk import Desk

_LOG = logging.getLogger(__name__)
_PRESS, _RELEASE = QEvent.Type.KeyPress, QEvent.Type.KeyRelease
_KEYS = (_PRESS, _RELEASE, QEvent.Type.ShortcutOverride)
_ENDS = {
    Qt.Key.Key_Return.value: "\r",
    Qt.Key.Key_Enter.value: "\r",
    Qt.Key.Key_Tab.value: "\t",
}
# A reader presses these too, around its capitals and signs.
_SHIFTS = frozenset(
    key.value
    for key in (
        Qt.Key.Key_Shift,
        Qt.Key.Key_Control,
        Qt.Key.Key_Alt,
        Qt.Key.Key_AltGr,
        Qt.Key.Key_Meta,
        Qt.Key.Key_CapsLock,
        Qt.Key.Key_NumLock,
    )
)
_COMMANDS = (
    Qt.KeyboardModifier.ControlModifier
    | Qt.KeyboardModifier.AltModifier
    | Qt.KeyboardModifier.MetaModifier
)


@dataclass(slots=True, eq=False)
class Keystroke:
    """A key that was pressed on a window, until it is known who pressed it."""

    window: QWindow
    events: list[QKeyEvent] = field(default_factory=list)
    given_back: bool = False


class Heard(Protocol):
    """What a parser makes of a key."""

    @property
    def token(self) -> str | None:
        """A badge that has been read."""

    @property
    def ignored(self) -> str | None:
        """Why a scan gave no token, in words that do not tell it."""

    @property
    def typed(self) -> Sequence[Keystroke]:
        """Keys that a person pressed."""


class Parser(Protocol):
    """Tells a reader's keys from a person's; times in seconds."""

    @property
    def gap(self) -> float:
        """The longest time between two keys of a reader."""

    def key(self, character: str, at: float, origin: Keystroke, /) -> Heard:
        """Take one key."""

    def pause(self) -> Heard:
        """No key came within the gap."""


class BadgeFilter(QObject):
    """Sits before whichever window has the keyboard, whatever it shows; `close` it before the desk.

    Each key that a reader could have typed waits until that is known: a badge's go to the desk as
    one token, a person's go on to the window, later by the parser's gap. Keys with Ctrl, Alt or
    Meta, keys without a character, and repeats of a held key are no reader's and do not wait.
    A plain character is no shortcut while this listens.
    """

    def __init__(self, desk: Desk, parser: Parser, window: QWindow) -> None:
        super().__init__()
        self._desk = desk
        self._parser = parser
        self._last = 0.0
        self._stalled = 0.0
        self._waiting = False
        self._replaying = False
        self._down: dict[int, Keystroke] = {}
        # After the gap the loop gets one more turn: keys that came while it was busy are no pause.
        self._turn = QTimer(self, singleShot=True, interval=0)
        self._turn.timeout.connect(self._quiet)
        self._gap = QTimer(self, singleShot=True, interval=round(parser.gap * 1000))
        self._gap.timeout.connect(self._turn.start)
        application = QGuiApplication.instance()
        if isinstance(application, QGuiApplication):
            application.focusWindowChanged.connect(self._follow)
        self._follow(window)

    def close(self) -> None:
        """Listen no more; what still waits is given back."""
        self._quiet()
        self._gap.stop()
        self._turn.stop()
        destroy(self)

    def eventFilter(self, window: QObject, event: QEvent) -> bool:
        """Take keys out of a window's events."""
        if self._replaying or event.type() not in _KEYS or not isinstance(event, QKeyEvent):
            return False
        if event.type() == _RELEASE:
            return self._released(event)
        character = _character(event)
        if event.type() != _PRESS:
            # Accepted, an override is no shortcut, and the key itself comes next.
            event.setAccepted(bool(character))
            return bool(character)
        if character:
            self._pressed(character, event, window)
        elif event.key() not in _SHIFTS:
            self._quiet()
        return bool(character)

    def _pressed(self, character: str, event: QKeyEvent, window: QObject) -> None:
        keystroke = Keystroke(window, [_copy(event)])  # type: ignore[arg-type]  # set on windows only
        self._down[event.key()] = keystroke
        at = self._time()
        self._turn.stop()
        self._gap.start()
        self._take(self._parser.key(character, at, keystroke))

    def _time(self) -> float:
        """Now, less what this thread was kept from its keys: a stall is no pause between them."""
        at = self._desk.clock.monotonic() - self._stalled
        if self._waiting and at - self._last > self._parser.gap:
            self._stalled += at - self._last
            at = self._last
        self._last, self._waiting = at, True
        return at

    def _released(self, event: QKeyEvent) -> bool:
        if event.isAutoRepeat():
            return False
        keystroke = self._down.pop(event.key(), None)
        if keystroke is None or keystroke.given_back:
            return False
        keystroke.events.append(_copy(event))
        return True

    def _quiet(self) -> None:
        self._waiting, self._stalled = False, 0.0
        self._take(self._parser.pause())

    def _take(self, heard: Heard) -> None:
        for keystroke in heard.typed:
            self._give_back(keystroke)
        if heard.ignored:
            _LOG.info("a scan was not taken: %s", heard.ignored)
        if heard.token is not None:
            self._desk.badge(heard.token)

    def _give_back(self, keystroke: Keystroke) -> None:
        keystroke.given_back = True
        self._replaying = True
        try:
            for event in keystroke.events:
                if isValid(keystroke.window):
                    QCoreApplication.sendEvent(keystroke.window, event)
        finally:
            self._replaying = False

    def _follow(self, window: QWindow | None) -> None:
        # Not on the application: every event of the product would then pass through Python.
        if window is not None:
            window.installEventFilter(self)


def _character(event: QKeyEvent) -> str:
    """What a reader would have typed with this key; empty for a key that none presses."""
    if event.isAutoRepeat() or event.modifiers() & _COMMANDS:
        return ""
    text = event.text()
    return _ENDS.get(event.key()) or (text if text.isprintable() else "")


def _copy(event: QKeyEvent) -> QKeyEvent:
    """The same event; Qt's own lives only until it has been delivered."""
    return QKeyEvent(
        event.type(),
        event.key(),
        event.modifiers(),
        event.nativeScanCode(),
        event.nativeVirtualKey(),
        event.nativeModifiers(),
        event.text(),
    )
