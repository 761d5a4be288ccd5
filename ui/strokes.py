"""Round-ended strokes as filled paths.

A QPen would do, but naming its round cap, or giving a painter a colour, loads the whole of Qt's
own namespace: 15 ms before the first frame, more than all the icons together.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

from PySide6.QtCore import QRectF
from PySide6.QtGui import QPainterPath, QPen

if TYPE_CHECKING:
    from PySide6.QtGui import QBrush, QColor, QPainter

Point = tuple[float, float]

# Within one path an arc's round ends must not meet: they would cut each other out.
_LONGEST = 240.0


def solid(colour: QColor) -> QBrush:
    """A brush of one colour; by way of a pen, whose setter takes nothing but colours."""
    pen = QPen()
    pen.setColor(colour)
    return pen.brush()


def line(painter: QPainter, points: tuple[Point, ...], width: float, ink: QBrush) -> None:
    """A polyline with round ends and joins."""
    half = width / 2
    for (x1, y1), (x2, y2) in pairwise(points):
        painter.save()
        painter.translate(x1, y1)
        painter.rotate(math.degrees(math.atan2(y2 - y1, x2 - x1)))
        path = QPainterPath()
        path.addRoundedRect(-half, -half, math.hypot(x2 - x1, y2 - y1) + width, width, half, half)
        painter.fillPath(path, ink)
        painter.restore()


def arc(
    painter: QPainter, centre: Point, radius: float, angles: Point, width: float, ink: QBrush
) -> None:
    """Part of a circle; `angles` are start and sweep, in degrees clockwise from 3 o'clock."""
    start, sweep = angles
    if sweep >= 360.0:
        oval(painter, centre, (radius, radius), width, ink)
    elif sweep > _LONGEST:
        for half in (start, start + sweep / 2):
            painter.fillPath(_arc(centre, radius, (half, sweep / 2), width), ink)
    else:
        painter.fillPath(_arc(centre, radius, angles, width), ink)


def oval(painter: QPainter, centre: Point, radii: Point, width: float, ink: QBrush) -> None:
    """The outline of an ellipse."""
    path = QPainterPath()
    for out in (width / 2, -width / 2):
        path.addEllipse(_around(centre, radii[0] + out, radii[1] + out))
    painter.fillPath(path, ink)


def box(painter: QPainter, rect: QRectF, radius: float, width: float, ink: QBrush) -> None:
    """The outline of a rectangle with round corners."""
    path = QPainterPath()
    for out in (width / 2, -width / 2):
        path.addRoundedRect(rect.adjusted(-out, -out, out, out), radius + out, radius + out)
    painter.fillPath(path, ink)


def disc(
    painter: QPainter, centre: Point, radius: float, ink: QBrush, angles: Point = (0.0, 360.0)
) -> None:
    """A filled circle or, with another sweep, the part that its chord cuts off."""
    rect = _around(centre, radius, radius)
    path = QPainterPath()
    path.arcMoveTo(rect, -angles[0])
    path.arcTo(rect, -angles[0], -angles[1])
    path.closeSubpath()
    painter.fillPath(path, ink)


def _arc(centre: Point, radius: float, angles: Point, width: float) -> QPainterPath:
    """Along the outside, round the end, back along the inside, round the start."""
    (start, sweep), half = angles, width / 2
    end = start + sweep
    outer, inner = (_around(centre, radius + out, radius + out) for out in (half, -half))
    path = QPainterPath()
    path.arcMoveTo(outer, -start)
    path.arcTo(outer, -start, -sweep)
    path.arcTo(_around(_at(centre, radius, end), half, half), -end, -180)
    path.arcTo(inner, -end, sweep)
    path.arcTo(_around(_at(centre, radius, start), half, half), -start - 180, -180)
    path.closeSubpath()
    return path


def _at(centre: Point, radius: float, angle: float) -> Point:
    turn = math.radians(angle)
    return centre[0] + radius * math.cos(turn), centre[1] + radius * math.sin(turn)


def _around(centre: Point, across: float, down: float) -> QRectF:
    return QRectF(centre[0] - across, centre[1] - down, 2 * across, 2 * down)
