"""Theme's colours against the contrast that text and signs need, scheme by scheme."""

from __future__ import annotations

import pytest
from PySide6.QtQml import QQmlComponent, QQmlEngine

from ui.shell import QML, SCHEMES, destroy

TEXT = [
    *(f"ink/{on}" for on in ("field", "surface", "raised", "sunken", "hot")),
    *(f"ink2/{on}" for on in ("field", "surface", "raised", "sunken", "hot")),
    *("brand/field", "brand/surface", "brand/raised", "brandInk/brand", "field/ink", "surface/ink"),
    *("undo/ink", "presentText/surface", "presentText/hot", "presentFg/presentBg"),
    *("lateFg/lateBg", "excFg/excBg", "absFg/absBg", "expFg/expBg"),
    *("acceptedInk/accepted", "alreadyInk/already", "refusedInk/refused", "retryInk/retry"),
    *("deepInk/acceptedDeep", "deepInk/alreadyDeep", "deepInk/refusedDeep", "retryInk/retryDeep"),
    *("deepInk/ask", "deepInk/askDeep"),
]
SIGNS = ["edge/field", "edge/surface", "edge/raised", "ok/surface", "ok/raised", "warn/surface"]
# As measured when the palette was drawn.
KNOWN = {
    "light": {"ink/field": 13.84, "ink2/sunken": 5.75, "retryInk/retry": 10.31, "edge/field": 3.78},
    "dark": {"ink/field": 15.79, "undo/ink": 7.21, "acceptedInk/accepted": 6.58},
    "high": {"ink/field": 21.0, "brand/field": 16.46, "refusedInk/refused": 9.20},
}


@pytest.fixture
def theme(qapp):
    engine = QQmlEngine()
    engine.addImportPath(str(QML))
    component = QQmlComponent(engine)
    component.setData(
        b"import QtQuick\nimport Kiosk\nQtObject { readonly property QtObject theme: Theme }", ""
    )
    holder = component.create()
    yield holder.property("theme")
    destroy(holder)
    destroy(component)
    destroy(engine)


def luminance(colour):
    parts = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in colour.getRgbF()[:3]
    ]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), parts, strict=True))


def contrast(theme, pair):
    """WCAG 2.2 contrast ratio of two tokens."""
    light, dark = sorted(
        (luminance(theme.property(each)) for each in pair.split("/")), reverse=True
    )
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_text_reaches_four_and_a_half_and_signs_three(theme, scheme):
    theme.setProperty("scheme", scheme)
    for pair in TEXT:
        assert contrast(theme, pair) >= 4.5, (scheme, pair)
    for pair in SIGNS:
        assert contrast(theme, pair) >= 3.0, (scheme, pair)
    for pair, known in KNOWN[scheme].items():
        assert contrast(theme, pair) == pytest.approx(known, abs=0.02)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_late_ring_stands_out_from_the_accepted_field(theme, scheme):
    theme.setProperty("scheme", scheme)
    assert contrast(theme, "lateRim/accepted") >= 3.0


def test_reduced_motion_zeroes_every_duration(theme):
    moving = ("arcFill", "ringClose", "rowMove", "tintLeave", "beaconStep")
    assert all(theme.property(each) > 0 for each in moving)
    theme.setProperty("reducedMotion", True)
    assert not any(theme.property(each) for each in moving)


@pytest.mark.parametrize(
    ("size", "large", "portrait", "ring"),
    [
        ((1280, 800), True, False, 296),
        ((800, 480), False, False, 192),
        ((1024, 600), False, False, 240),
        ((1920, 1080), True, False, 400),
        ((800, 1280), True, True, 304),
    ],
)
def test_layout_by_window_size(theme, size, large, portrait, ring):
    theme.setProperty("width", size[0])
    theme.setProperty("height", size[1])
    assert theme.property("large") is large
    assert theme.property("portrait") is portrait
    assert theme.property("ringSize") == ring
