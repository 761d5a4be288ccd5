"""The mark: the same geometry on the screen and in the icon, and never a hole where lines meet."""

from __future__ import annotations

import math
import re
from itertools import pairwise
from pathlib import Path

import pytest
from PySide6.QtCore import QRectF
from PySide6.QtGui import QColor, QImage, QPainter

import resources
from ui import strokes
from ui.glyph import GLYPHS, draw
from ui.ring import ARCS, BOX, STROKE, Ring

ICON = Path(resources.__file__).parent / "icons" / "whorl.svg"
INK, PAPER = QColor("#0D5763"), QColor("#FFFFFF")


def painted(size, paint):
    picture = QImage(size, size, QImage.Format.Format_RGB32)
    picture.fill(PAPER)
    painter = QPainter(picture)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    paint(painter)
    painter.end()
    return picture


def ring(look, size=400, **properties):
    def paint(painter):
        item = Ring()
        item.setWidth(size)
        item.setHeight(size)
        for name, value in {"look": look, "ink": INK, "rim": INK, **properties}.items():
            item.setProperty(name, value)
        item.paint(painter)

    return painted(size, paint)


def at(picture, radius, angle):
    """The colour at a place on the box of 100."""
    scale, turn = picture.width() / BOX, math.radians(angle)
    x, y = (round((50 + radius * way(turn)) * scale) for way in (math.cos, math.sin))
    return picture.pixelColor(x, y)


def test_the_mark_is_five_arcs_whose_openings_narrow_and_turn():
    assert [radius for radius, _, _ in ARCS] == [5, 15, 25, 35, 45]
    assert [360 - sweep for _, _, sweep in ARCS] == [90, 78, 66, 54, 42]
    middles = [start + sweep + (360 - sweep) / 2 for _, start, sweep in ARCS]
    assert {b - a for a, b in pairwise(middles)} == {40}


def test_each_arc_is_solid_and_its_opening_is_open(qapp):
    picture = ring("idle")
    for radius, start, sweep in ARCS:
        # Every two degrees, from well within the ends.
        for step in range(2, int(sweep) - 2, 2):
            assert at(picture, radius, start + step) == INK, (radius, step)
        assert at(picture, radius, start + sweep + (360 - sweep) / 2) == PAPER or radius == 5


@pytest.mark.parametrize("closing", [0.0, 0.3, 0.7, 0.95, 1.0])
def test_a_closing_ring_never_shows_a_hole_where_its_ends_meet(qapp, closing):
    picture = ring("accepted", closing=closing)
    _, start, sweep = ARCS[-1]
    for step in range(2, int(sweep + (360 - sweep) * closing) - 1):
        assert at(picture, 45, start + step) == INK, step


def test_reading_fills_from_the_centre(qapp):
    track = QColor("#C2D0CF")
    picture = ring("reading", track=track, progress=2.0)
    seen = [at(picture, radius, start + sweep / 2) for radius, start, sweep in ARCS]
    assert seen == [INK, INK, track, track, track]


def test_progress_moves_in_steps_that_keep_the_frame_rate_low(qapp):
    item = Ring()
    item.setProperty("look", "reading")
    repaints = []
    item.changed.connect(lambda: repaints.append(item.property("progress")))
    for step in range(401):
        item.setProperty("progress", 1 + step / 100)
    assert len(repaints) <= 12  # 360 ms at 30 frames a second
    assert repaints[-1] == 5.0


@pytest.mark.parametrize("name", [name for name in GLYPHS if name])
def test_every_glyph_leaves_ink_within_its_box(qapp, name):
    picture = painted(96, lambda painter: draw(painter, name, QRectF(24, 24, 48, 48), INK, 2.0))
    dark = [
        (x, y) for x in range(96) for y in range(96) if picture.pixelColor(x, y).lightness() < 128
    ]
    assert len(dark) > 40
    assert all(24 <= x < 72 and 24 <= y < 72 for x, y in dark)


def test_round_ends_are_round(qapp):
    ink = strokes.solid(INK)
    picture = painted(100, lambda painter: strokes.arc(painter, (50, 50), 30, (0, 90), 10, ink))
    assert picture.pixelColor(80, 47) == INK, "3 px before the start, within the round end"
    assert picture.pixelColor(84, 46) != INK, "but not at its corner"


def test_the_icon_has_the_mark_in_it():
    found = re.findall(r"A(\d+) \1 0 1 1", ICON.read_text())
    assert [float(radius) for radius in found] == [radius for radius, _, _ in ARCS]
    assert f'stroke-width="{STROKE:.0f}"' in ICON.read_text()
