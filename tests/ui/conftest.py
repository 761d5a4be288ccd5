"""Windows on a staged desk, and an event loop that is Qt's."""

from __future__ import annotations

import asyncio
import time

import pytest
import qasync
from PySide6.QtGui import QGuiApplication

from tests.ui import staged
from ui.shell import Shell, application


@pytest.fixture(scope="session")
def qapp_cls():
    """No Widgets in the product, none in its tests."""
    return QGuiApplication


def pytest_asyncio_loop_factories(config, item):
    """Async tests here run in the kiosk's own kind of loop."""
    return {"qasync": lambda: qasync.QEventLoop(application())}


@pytest.fixture
def desk():
    return staged.club()


@pytest.fixture
def kiosk_window(qapp, desk):
    """Makes shells and takes them down again, the newest first."""
    made = []

    def make(on=desk, **options):
        made.append(Shell(on, **({"size": (1280, 800)} | options)))
        qapp.processEvents()
        return made[-1]

    yield make
    while made:
        made.pop().close()


@pytest.fixture
def shell(kiosk_window):
    return kiosk_window()


def item(shell, name):
    """The item of that objectName, on show if there are several."""
    found = [each for each in _under(shell.window.contentItem()) if each.objectName() == name]
    assert found, f"no item named {name}"
    return next((each for each in found if each.isVisible()), found[0])


def _under(root):
    """All items below, also those that only a Repeater owns."""
    for child in root.childItems():
        yield child
        yield from _under(child)


async def until(condition, seconds=3.0):
    """Await a condition that Qt reaches by itself."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "condition not reached"
        await asyncio.sleep(0.005)
