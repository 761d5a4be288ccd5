"""The ring: the mark, drawn large, that carries every state of the door."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QRectF, Signal
from PySide6.QtGui import QColor
from PySide6.QtQml import QmlElement
from PySide6.QtQuick import QQuickItem, QQuickPaintedItem

from ui import strokes
from ui.glyph import draw
from ui.properties import Property

if TYPE_CHECKING:
    from PySide6.QtGui import QPainter

QML_IMPORT_NAME = "Kiosk.Facades"
QML_IMPORT_MAJOR_VERSION = 1

# All on a box of 100, centre 50, 50; stroke 5 and gap 5.
BOX = 100.0
STROKE = 5.0
CENTRE = (50.0, 50.0)
# Radius, start and sweep, from the centre outward.
ARCS = tuple((5.0 + 10 * i, 135.0 + 34 * i, 270.0 + 12 * i) for i in range(5))

_RETRY = (45.0, -36.0, 286.0)
_ARROW = ((25.5, 3.5), (36.6, 7.0), (30.2, 17.6))
# Per outcome: radii of the closed circles, width of the disc, its glyph and that one's width.
_CLOSED = {
    "accepted": ((45,), 72, "tick", 50),
    "already_in": ((45, 35), 54, "two_ticks", 38),
    "refused": ((45,), 72, "bar", 50),
}
_GLYPH_STROKE = 2.7
_ALARM_STROKE = 2.3
# Progress is painted in steps, which keeps the fill under 30 frames a second.
_STEP = 0.4


@QmlElement
class Ring(QQuickPaintedItem):
    """The ring in one of its states.

    `look` is idle, reading, accepted, already_in, refused, try_again or out_of_order.
    `progress` (0..5) is how many arcs have filled while reading; `closing` (0..1) how far the
    outer arc has closed. `ink` draws, `track` is what is not filled yet, `rim` the outer circle,
    `ground` the glyph on the disc, `alarm` the sign of a broken reader.
    """

    changed = Signal()

    def __init__(self, parent: QQuickItem | None = None) -> None:
        super().__init__(parent)
        self._look = "idle"
        self._progress, self._closing = 0.0, 1.0
        self._ink, self._track, self._rim = QColor(), QColor(), QColor()
        self._ground, self._alarm = QColor(), QColor()
        self.setAntialiasing(True)
        self.changed.connect(self.update)

    def paint(self, painter: QPainter) -> None:
        painter.scale(self.width() / BOX, self.height() / BOX)
        if self._look in _CLOSED:
            self._paint_closed(painter)
        elif self._look == "try_again":
            self._paint_retry(painter)
        elif self._look == "out_of_order":
            self._paint_broken(painter)
        else:
            self._paint_open(painter)

    def _paint_open(self, painter: QPainter) -> None:
        filled = self._progress if self._look == "reading" else float(len(ARCS))
        ink, track = strokes.solid(self._ink), strokes.solid(self._track)
        for i, (radius, start, sweep) in enumerate(ARCS):
            share = min(1.0, max(0.0, filled - i))
            if share < 1.0:
                strokes.arc(painter, CENTRE, radius, (start, sweep), STROKE, track)
            if share > 0.0:
                strokes.arc(painter, CENTRE, radius, (start, sweep * share), STROKE, ink)

    def _paint_closed(self, painter: QPainter) -> None:
        radii, disc, glyph, width = _CLOSED[self._look]
        _, start, sweep = ARCS[-1]
        sweep += (360 - sweep) * self._closing
        for radius in radii:
            rim = strokes.solid(self._rim)
            strokes.arc(painter, CENTRE, radius, (start, sweep), STROKE, rim)
        strokes.disc(painter, CENTRE, disc / 2, strokes.solid(self._ink))
        box = QRectF(50 - width / 2, 50 - width / 2, width, width)
        draw(painter, glyph, box, self._ground, _GLYPH_STROKE)

    def _paint_retry(self, painter: QPainter) -> None:
        ink = strokes.solid(self._ink)
        for radius, start, sweep in (*ARCS[:3], _RETRY):
            strokes.arc(painter, CENTRE, radius, (start, sweep), STROKE, ink)
        strokes.line(painter, _ARROW, STROKE, ink)

    def _paint_broken(self, painter: QPainter) -> None:
        track = strokes.solid(self._track)
        for radius, start, sweep in ARCS[2:]:
            strokes.arc(painter, CENTRE, radius, (start, sweep), STROKE, track)
        draw(painter, "triangle", QRectF(35.5, 33.5, 29, 29), self._alarm, _ALARM_STROKE)

    # -- properties --------------------------------------------------------------------------------

    def _get_look(self) -> str:
        return self._look

    def _set_look(self, value: str) -> None:
        self._set("_look", value)

    def _get_progress(self) -> float:
        return self._progress

    def _set_progress(self, value: float) -> None:
        whole = value >= len(ARCS)
        self._set("_progress", value if whole else max(1.0, value // _STEP * _STEP))

    def _get_closing(self) -> float:
        return self._closing

    def _set_closing(self, value: float) -> None:
        self._set("_closing", value)

    def _get_ink(self) -> QColor:
        return self._ink

    def _set_ink(self, value: QColor) -> None:
        self._set("_ink", value)

    def _get_track(self) -> QColor:
        return self._track

    def _set_track(self, value: QColor) -> None:
        self._set("_track", value)

    def _get_rim(self) -> QColor:
        return self._rim

    def _set_rim(self, value: QColor) -> None:
        self._set("_rim", value)

    def _get_ground(self) -> QColor:
        return self._ground

    def _set_ground(self, value: QColor) -> None:
        self._set("_ground", value)

    def _get_alarm(self) -> QColor:
        return self._alarm

    def _set_alarm(self, value: QColor) -> None:
        self._set("_alarm", value)

    look = Property(str, _get_look, _set_look, notify=changed)
    progress = Property(float, _get_progress, _set_progress, notify=changed)
    closing = Property(float, _get_closing, _set_closing, notify=changed)
    ink = Property(QColor, _get_ink, _set_ink, notify=changed)
    track = Property(QColor, _get_track, _set_track, notify=changed)
    rim = Property(QColor, _get_rim, _set_rim, notify=changed)
    ground = Property(QColor, _get_ground, _set_ground, notify=changed)
    alarm = Property(QColor, _get_alarm, _set_alarm, notify=changed)

    def _set(self, name: str, value: object) -> None:
        if getattr(self, name) != value:
            setattr(self, name, value)
            self.changed.emit()
