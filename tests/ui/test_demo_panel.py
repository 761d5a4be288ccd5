"""The demo's window presses the right buttons."""

from __future__ import annotations

import pytest
from PySide6.QtCore import QPointF, Qt
from PySide6.QtTest import QTest

from tests.ui.conftest import item
from ui.demo_panel import DemoPanel


class Controls:
    names = ("Amara Okafor", "Lukas Brandt")

    def __init__(self):
        self.calls = []

    def press(self, name):
        self.calls.append(name)

    def press_unknown(self):
        self.calls.append("unknown")

    def press_dry(self):
        self.calls.append("dry")

    def set_sensor(self, *, plugged):
        self.calls.append(("sensor", plugged))

    def set_line(self, *, up):
        self.calls.append(("line", up))


@pytest.fixture
def controls():
    return Controls()


@pytest.fixture
def panel(qapp, controls):
    panel = DemoPanel(controls)
    qapp.processEvents()
    yield panel
    panel.close()


def click(panel, name):
    target = item(panel, name)
    middle = target.mapToScene(QPointF(target.width() / 2, target.height() / 2)).toPoint()
    QTest.mouseClick(
        panel.window, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, middle
    )


def test_fingers_plug_and_line(panel, controls):
    panel.window.grabWindow()
    for name in ("finger Lukas Brandt", "unknown", "dry", "plug", "plug", "line", "line"):
        click(panel, name)
    assert controls.calls == [
        *("Lukas Brandt", "unknown", "dry"),
        *(("sensor", False), ("sensor", True), ("line", False), ("line", True)),
    ]


def test_labels_say_what_a_press_does(panel):
    click(panel, "plug")
    assert item(panel, "plug").property("text") == "Plug sensor in"
    click(panel, "line")
    assert item(panel, "line").property("text") == "Restore line"
