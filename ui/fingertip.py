"""A fingertip, drawn: too dry to leave its ridges on the reader, or just right."""

from __future__ import annotations

from PySide6.QtCore import QRectF, Qt, Signal
from PySide6.QtGui import QColor, QPainter, QPainterPath, QPen
from PySide6.QtQml import QmlElement
from PySide6.QtQuick import QQuickItem, QQuickPaintedItem

from ui.properties import Property

QML_IMPORT_NAME = "Kiosk.Facades"
QML_IMPORT_MAJOR_VERSION = 1

# On a box of 84 by 124: the tip is a half circle, the sides run a little apart.
WIDTH, HEIGHT = 84.0, 124.0
_OUTLINE, _RIDGE = 4.0, 3.6
# The whorl of the mark, smaller, and the folds below it: height, radius, start, sweep.
_RIDGES = (
    *((48, 5 + 8 * i, 135 + 34 * i, 270 + 12 * i) for i in range(4)),
    (66, 34, 48, 84),
    (78, 34, 48, 84),
)
_DOTS = (0.01, 2.1)


@QmlElement
class Fingertip(QQuickPaintedItem):
    """`dry` shows the ridges as dots; `ink` draws, `skin` fills."""

    changed = Signal()

    def __init__(self, parent: QQuickItem | None = None) -> None:
        super().__init__(parent)
        self._dry, self._ink, self._skin = False, QColor(), QColor()
        self.setAntialiasing(True)
        self.changed.connect(self.update)

    def paint(self, painter: QPainter) -> None:
        painter.scale(self.width() / WIDTH, self.height() / HEIGHT)
        tip = QPainterPath()
        tip.moveTo(3, HEIGHT)
        tip.lineTo(4, 44)
        tip.arcTo(QRectF(4, 4, 76, 80), 180, -180)
        tip.lineTo(81, HEIGHT)
        painter.setBrush(self._skin)
        painter.setPen(self._pen(_OUTLINE))
        painter.drawPath(tip)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(self._ridge())
        for down, radius, start, sweep in _RIDGES:
            box = QRectF(42 - radius, down - radius, 2 * radius, 2 * radius)
            painter.drawArc(box, -start * 16, -sweep * 16)

    def _ridge(self) -> QPen:
        ridge = self._pen(_RIDGE)
        if self._dry:
            ridge.setDashPattern(_DOTS)
        return ridge

    def _pen(self, width: float) -> QPen:
        pen = QPen(self._ink, width)
        pen.setCapStyle(Qt.PenCapStyle.RoundCap)
        return pen

    def _get_dry(self) -> bool:
        return self._dry

    def _set_dry(self, value: bool) -> None:  # noqa: FBT001 - a Qt property's setter
        self._dry = value
        self.changed.emit()

    def _get_ink(self) -> QColor:
        return self._ink

    def _set_ink(self, value: QColor) -> None:
        self._ink = value
        self.changed.emit()

    def _get_skin(self) -> QColor:
        return self._skin

    def _set_skin(self, value: QColor) -> None:
        self._skin = value
        self.changed.emit()

    dry = Property(bool, _get_dry, _set_dry, notify=changed)
    ink = Property(QColor, _get_ink, _set_ink, notify=changed)
    skin = Property(QColor, _get_skin, _set_skin, notify=changed)
