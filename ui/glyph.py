"""The icons: outlines on a grid of 24, drawn in one colour."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from PySide6.QtCore import QRectF, Signal
from PySide6.QtGui import QColor
from PySide6.QtQml import QmlElement
from PySide6.QtQuick import QQuickItem, QQuickPaintedItem

from ui import strokes
from ui.properties import Property

if TYPE_CHECKING:
    from PySide6.QtGui import QBrush, QPainter

QML_IMPORT_NAME = "Kiosk.Facades"
QML_IMPORT_MAJOR_VERSION = 1

GRID = 24.0


class Line(NamedTuple):
    """A polyline through (x, y) pairs."""

    points: tuple[tuple[float, float], ...]
    closed: bool = False


class Arc(NamedTuple):
    """Part of a circle; degrees clockwise from 3 o'clock."""

    x: float
    y: float
    radius: float
    start: float = 0.0
    sweep: float = 360.0


class Oval(NamedTuple):
    """An ellipse by its two radii."""

    x: float
    y: float
    across: float
    down: float


class Disc(NamedTuple):
    """A filled dot, or with a sweep of 180 a filled half."""

    x: float
    y: float
    radius: float
    start: float = 0.0
    sweep: float = 360.0


class Box(NamedTuple):
    """A rectangle with round corners."""

    x: float
    y: float
    width: float
    height: float
    radius: float


Stroke = Line | Arc | Oval | Disc | Box

_DOTS = tuple(Disc(x, y, 1.8) for y in (6.0, 12.0, 18.0) for x in (6.0, 12.0, 18.0))
# The mark at small sizes: three arcs, wider strokes.
_MARK = tuple(
    Arc(12.0, 12.0, (9 + 17.5 * i) * 0.24, 135.0 + 68 * i, 270.0 + 24 * i) for i in range(3)
)
MARK_STROKE = 9 * 0.24

GLYPHS: dict[str, tuple[Stroke, ...]] = {
    "": (),
    "mark": _MARK,
    "dots": _DOTS,
    "dot": (Disc(12, 12, 11.5),),
    "tick": (Line(((4.5, 12.5), (10, 18), (19.5, 7))),),
    "two_ticks": (Line(((2, 12.6), (7.1, 17.6), (15.6, 7.5))), Line(((12.6, 17.2), (22, 7)))),
    "bar": (Line(((4.5, 12), (19.5, 12))),),
    "cross": (Line(((6.5, 6.5), (17.5, 17.5))), Line(((17.5, 6.5), (6.5, 17.5)))),
    "chevron": (Line(((5, 8.5), (12, 15.5), (19, 8.5))),),
    "back": (Line(((14.5, 5), (7.5, 12), (14.5, 19))),),
    "forth": (Line(((9.5, 5), (16.5, 12), (9.5, 19))),),
    "globe": (
        Arc(12, 12, 9),
        Oval(12, 12, 4, 9),
        Line(((3, 12), (21, 12))),
    ),
    "undo": (
        Line(((8.5, 5.5), (4, 10), (8.5, 14.5))),
        Line(((4, 10), (15, 10))),
        Arc(15, 14.5, 4.5, -90, 180),
        Line(((15, 19), (11, 19))),
    ),
    "person": (Arc(12, 7.5, 4), Arc(12, 21, 7.5, 187, 166)),
    "badge": (
        Box(5, 6, 14, 15, 2.5),
        Line(((10, 3), (14, 3))),
        Arc(12, 11.6, 1.9),
        Arc(12, 18.4, 3.6, 195, 150),
    ),
    "pencil": (
        Line(((4, 20), (5, 15.5), (16, 4.5), (19.5, 8), (8.5, 19)), closed=True),
        Line(((13.5, 7), (17, 10.5))),
    ),
    "clock": (Arc(12, 12, 9), Line(((12, 6.8), (12, 12.3), (15.6, 14.2)))),
    "info": (Arc(12, 12, 9), Line(((12, 11.5), (12, 16.3))), Disc(12, 7.6, 1.4)),
    "arrows": (
        Arc(12, 12, 8, 192, 130),
        Line(((20, 3.5), (20, 8.5), (15, 8.5))),
        Arc(12, 12, 8, 12, 130),
        Line(((4, 20.5), (4, 15.5), (9, 15.5))),
    ),
    "tray": (
        Line(((12, 3.5), (12, 14))),
        Line(((7.8, 10), (12, 14.2), (16.2, 10))),
        Line(((4, 14), (4, 20), (20, 20), (20, 14))),
    ),
    "half": (Arc(12, 12, 8.5), Disc(12, 12, 8.5, 90, 180)),
    "key": (
        Arc(8, 16, 4.5),
        Line(((11.3, 12.7), (20, 4))),
        Line(((16, 8), (19, 11))),
    ),
    "triangle": (
        Line(((12, 4), (21.3, 20), (2.7, 20)), closed=True),
        Line(((12, 10), (12, 14))),
        Disc(12, 17, 1.4),
    ),
    "erase": (
        Line(((8, 5), (21, 5), (21, 19), (8, 19), (2.5, 12)), closed=True),
        Line(((11.5, 9.3), (16.5, 14.7))),
        Line(((16.5, 9.3), (11.5, 14.7))),
    ),
}


def draw(painter: QPainter, name: str, box: QRectF, colour: QColor, stroke: float) -> None:
    """Draw the glyph `name` to fill `box`, with a stroke measured on its grid."""
    painter.save()
    painter.translate(box.topLeft())
    painter.scale(box.width() / GRID, box.height() / GRID)
    width, ink = MARK_STROKE if name == "mark" else stroke, strokes.solid(colour)
    for each in GLYPHS[name]:
        _draw(painter, each, width, ink)
    painter.restore()


def _draw(painter: QPainter, stroke: Stroke, width: float, ink: QBrush) -> None:
    match stroke:
        case Line(points, closed):
            strokes.line(painter, (*points, points[0]) if closed else points, width, ink)
        case Arc(x, y, radius, start, sweep):
            strokes.arc(painter, (x, y), radius, (start, sweep), width, ink)
        case Oval(x, y, across, down):
            strokes.oval(painter, (x, y), (across, down), width, ink)
        case Disc(x, y, radius, start, sweep):
            strokes.disc(painter, (x, y), radius, ink, (start, sweep))
        case Box(x, y, wide, high, radius):
            strokes.box(painter, QRectF(x, y, wide, high), radius, width, ink)


@QmlElement
class Glyph(QQuickPaintedItem):
    """One icon, by its name."""

    changed = Signal()

    def __init__(self, parent: QQuickItem | None = None) -> None:
        super().__init__(parent)
        self._name, self._ink, self._stroke = "", QColor(), 2.0
        self.setAntialiasing(True)
        self.changed.connect(self.update)

    def _get_name(self) -> str:
        return self._name

    def _set_name(self, value: str) -> None:
        if value != self._name:
            self._name = value
            self.changed.emit()

    def _get_ink(self) -> QColor:
        return self._ink

    def _set_ink(self, value: QColor) -> None:
        if value != self._ink:
            self._ink = value
            self.changed.emit()

    def _get_stroke(self) -> float:
        return self._stroke

    def _set_stroke(self, value: float) -> None:
        if value != self._stroke:
            self._stroke = value
            self.changed.emit()

    name = Property(str, _get_name, _set_name, notify=changed)
    ink = Property(QColor, _get_ink, _set_ink, notify=changed)
    stroke = Property(float, _get_stroke, _set_stroke, notify=changed)

    def paint(self, painter: QPainter) -> None:
        draw(painter, self._name, self.boundingRect(), self._ink, self._stroke)
