"""The connection pill and the panel behind it: a named state and numbers, nothing invented."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QTimer, Signal, Slot
from PySide6.QtQml import QmlElement

from kiosk.model import LinkState
from ui import hours
from ui.properties import Property

if TYPE_CHECKING:
    from kiosk.model import DeskState, LinkStatus
    from ui.desk import Desk
    from ui.words import Words

QML_IMPORT_NAME = "Kiosk.Facades"
QML_IMPORT_MAJOR_VERSION = 1

_NS = 1_000_000_000
_GLYPHS = {
    LinkState.ONLINE: "dot",
    LinkState.SYNCING: "arrows",
    LinkState.OFFLINE: "tray",
    LinkState.LIMITED_SSE: "half",
    LinkState.LIMITED_POLLING: "half",
    LinkState.SIGN_IN: "key",
    LinkState.ATTENTION: "triangle",
}
_TONES = {LinkState.OFFLINE: "inverted", LinkState.SIGN_IN: "warn", LinkState.ATTENTION: "alarm"}
_UNITS = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))


@QmlElement
class Pill(QObject):
    """Texts of the pill; its details are worked out anew each second while they are shown."""

    changed = Signal()
    detailChanged = Signal()

    def __init__(self, desk: Desk, words: Words, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._desk = desk
        self._words = words
        self._state = desk.state
        self._second = QTimer(self, interval=1000)
        self._second.timeout.connect(self.detailChanged)
        words.changed.connect(self._tell)

    def show(self, state: DeskState) -> None:
        """Take over a new state of the desk."""
        self._state = state
        self._tell()

    @Property(str, notify=changed)
    def text(self) -> str:
        link = self._state.link
        number = link.attention if link.state is LinkState.ATTENTION else link.held
        return self._words(f"pill.{link.state}", n=number)

    @Property(str, notify=changed)
    def spoken(self) -> str:
        return self._words("pill.details", state=self.text)

    @Property(str, notify=changed)
    def glyph(self) -> str:
        return _GLYPHS[self._state.link.state]

    @Property(str, notify=changed)
    def tone(self) -> str:
        """quiet, inverted, warn or alarm."""
        return _TONES.get(self._state.link.state, "quiet")

    @Property(bool, notify=changed)
    def shown(self) -> bool:
        """Whether the details are open."""
        return self._second.isActive()

    @Property(str, notify=changed)
    def title(self) -> str:
        return self._words(f"detail.{self._state.link.state}")

    @Property(str, notify=changed)
    def line(self) -> str:
        link = self._state.link
        return f"{self._words(f'detail.{link.state}_line')} {self._missing(link)}".rstrip()

    @Property("QStringList", notify=changed)
    def labels(self) -> list[str]:
        keys = ("last_exchange", "held", "quarantined", "transport", "next_try")
        return [self._words(f"detail.{key}") for key in keys]

    @Property("QStringList", notify=detailChanged)
    def values(self) -> list[str]:
        link = self._state.link
        return [
            self._last_exchange(link),
            self._held(link),
            str(link.quarantined),
            self._transport(link),
            self._next_try(link),
        ]

    @Slot()
    def open(self) -> None:
        self._second.start()
        self._tell()

    @Slot()
    def close(self) -> None:
        self._second.stop()
        self._tell()

    @Slot()
    def tryNow(self) -> None:
        self._desk.try_now()

    def _tell(self) -> None:
        self.changed.emit()
        self.detailChanged.emit()

    def _missing(self, link: LinkStatus) -> str:
        """What the hub no longer keeps and this kiosk never had; "" for nothing."""
        if not link.missing:
            return ""
        number = sum(count for _, count in link.missing)
        if len(link.missing) > 1:
            return self._words("detail.missing_several", n=number, sessions=len(link.missing))
        session = link.missing[0][0]
        if number == 1:
            return self._words("detail.missing_one", session=session)
        return self._words("detail.missing", session=session, n=number)

    def _last_exchange(self, link: LinkStatus) -> str:
        if link.last_exchange is None:
            return self._words("detail.never")
        seconds = max(0, (self._desk.clock.wall() - link.last_exchange) // _NS)
        size, unit = next(each for each in _UNITS if seconds >= each[0] or each[0] == 1)
        age = self._words(f"detail.age_{unit}", n=seconds // size)
        return self._words("detail.ago", when=self._when(link.last_exchange), age=age)

    def _held(self, link: LinkStatus) -> str:
        if not link.held or link.oldest_held is None:
            return str(link.held)
        return self._words("detail.oldest", n=link.held, when=self._when(link.oldest_held))

    def _transport(self, link: LinkStatus) -> str:
        if link.transport:
            return self._words(f"detail.{link.transport}")
        if link.last_transport:
            was = self._words(f"detail.{link.last_transport}")
            return self._words("detail.transport_was", was=was)
        return self._words("detail.transport_none")

    def _next_try(self, link: LinkStatus) -> str:
        if link.retry_at is None:
            return self._words("detail.none")
        seconds = max(0, round(link.retry_at - self._desk.clock.monotonic()))
        return self._words("detail.retry", seconds=seconds, attempt=link.attempt)

    def _when(self, wall: int) -> str:
        """The time of today, the day of any other day."""
        zone = self._state.session.zone if self._state.session else None
        if hours.local(wall, zone).date() == hours.local(self._desk.clock.wall(), zone).date():
            return hours.clock(wall, zone)
        return hours.date(wall, zone, self._words.code, self._words("date_day"))
