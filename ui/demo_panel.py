"""A second, small window for the demo: virtual fingers, a plug and a cable to pull."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from PySide6.QtCore import QObject, Signal, Slot
from PySide6.QtQml import QmlElement, QQmlApplicationEngine

from ui.properties import Property
from ui.shell import destroy, load_fonts, open_window

if TYPE_CHECKING:
    from collections.abc import Sequence

QML_IMPORT_NAME = "Kiosk.Facades"
QML_IMPORT_MAJOR_VERSION = 1


class DemoControls(Protocol):
    """What the demo lets a visitor do to the emulated sensor and to the line."""

    @property
    def names(self) -> Sequence[str]:
        """Whose fingers there are."""

    def press(self, name: str) -> None:
        """Lay that person's finger on the reader."""

    def press_unknown(self) -> None:
        """Lay a finger on it that nobody enrolled."""

    def press_dry(self) -> None:
        """Lay a finger on it that is too dry to read."""

    def set_sensor(self, *, plugged: bool) -> None:
        """Plug the sensor in or pull it out."""

    def set_line(self, *, up: bool) -> None:
        """Restore the line to the hub or cut it."""


@QmlElement
class DemoPanelFacade(QObject):
    """The panel's labels and what its buttons do."""

    changed = Signal()

    def __init__(self, controls: DemoControls, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._controls = controls
        self._plugged = True
        self._line_up = True

    @Property("QStringList", notify=changed)
    def names(self) -> list[str]:
        return list(self._controls.names)

    @Property(bool, notify=changed)
    def plugged(self) -> bool:
        return self._plugged

    @Property(bool, notify=changed)
    def lineUp(self) -> bool:
        return self._line_up

    @Property(str, notify=changed)
    def unknownLabel(self) -> str:
        return "Unknown finger"

    @Property(str, notify=changed)
    def dryLabel(self) -> str:
        return "Dry finger"

    @Property(str, notify=changed)
    def plugLabel(self) -> str:
        return "Unplug sensor" if self._plugged else "Plug sensor in"

    @Property(str, notify=changed)
    def lineLabel(self) -> str:
        return "Cut the line" if self._line_up else "Restore line"

    @Slot(str)
    def press(self, name: str) -> None:
        self._controls.press(name)

    @Slot()
    def pressUnknown(self) -> None:
        self._controls.press_unknown()

    @Slot()
    def pressDry(self) -> None:
        self._controls.press_dry()

    @Slot()
    def togglePlug(self) -> None:
        self._plugged = not self._plugged
        self._controls.set_sensor(plugged=self._plugged)
        self.changed.emit()

    @Slot()
    def toggleLine(self) -> None:
        self._line_up = not self._line_up
        self._controls.set_line(up=self._line_up)
        self.changed.emit()


class DemoPanel:
    """The window; `close` it before the controls go. Needs the Qt application."""

    def __init__(self, controls: DemoControls) -> None:
        load_fonts()
        self._facade = DemoPanelFacade(controls)
        self._engine = QQmlApplicationEngine()
        self.window = open_window(self._engine, "DemoPanel", {"demo": self._facade})
        self.window.show()

    def close(self) -> None:
        self.window.close()
        destroy(self._engine)
        destroy(self._facade)
