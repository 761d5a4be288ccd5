"""Whole kiosks: real serial bytes, files, sockets, child processes and an offscreen window."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sqlite3

import pytest
import qasync
from PySide6.QtGui import QGuiApplication

from kiosk.script import cast
from kiosk.stage import Stage, demo_config, sample_people
from ui.shell import application


@pytest.fixture(scope="session")
def qapp_cls():
    return QGuiApplication


def pytest_asyncio_loop_factories(config, item):
    """The kiosk's own kind of loop: Qt's; a module that draws nothing says SCREENLESS."""
    if getattr(item.module, "SCREENLESS", False):
        return {"asyncio": asyncio.new_event_loop}
    return {"qasync": lambda: qasync.QEventLoop(application())}


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_teardown(item):
    """Collect a closed qasync loop here: its timers must end in the thread they began in."""
    result = yield
    gc.collect()
    return result


@pytest.fixture
async def stage(qapp, tmp_path):
    """An open door: sensor, kiosk, hub, three people enrolled, and a second kiosk."""
    made = Stage(demo_config(tmp_path), cast(sample_people(), 3, 1), seed=1)
    try:
        await made.open()
        yield made
    finally:
        made.close()


def rows(database, query, args=()):
    """What a database file holds, read from outside while its owner may be running."""
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
        return db.execute(query, args).fetchall()


def hub_ids(stage):
    return {row[0] for row in rows(stage.config.hub_database, "SELECT id FROM event")}


async def settled(stage):
    """Wait until nothing is held and both kiosks show the same rows."""
    session = stage.session.id

    def same():
        first = {row.person: row for row in stage.app.store.attendance(session)}
        second = {row.person: row for row in stage.second.attendance(session)}
        held = stage.app.store.held()[0] + stage.second.held()[0]
        return not held and first == second

    await stage.until(same, "both kiosks to agree")
    assert set(stage.app.store.event_ids()) <= hub_ids(stage)
    assert set(stage.second.event_ids()) <= hub_ids(stage)
