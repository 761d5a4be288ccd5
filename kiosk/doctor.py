"""What `kiosk doctor` looks at: one line per part, in the order they depend on each other."""

from __future__ import annotations

import datetime as dt
import platform
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from drivers.detect import detect
from drivers.errors import ResponseTimeout, SensorError
from drivers.library import look_at, used_slots
from drivers.packets import DEFAULT_ADDRESS
from drivers.zfm import open_zfm
from kiosk.clock import NS
from kiosk.directory import DirectoryError, health
from kiosk.ownhub import noted_url, running_hub
from kiosk.rescue import rescue_note
from kiosk.store import Store, StoreBusyError, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kiosk.clock import Clock
    from kiosk.config import Config, Sensor

_OLDEST_HONEST = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: what was looked at, whether it is well, and what was seen."""

    name: str
    well: bool
    seen: str

    def line(self) -> str:
        return f"{'ok  ' if self.well else 'FAIL'} {self.name:<9} {self.seen}"


def examine(config: Config, clock: Clock) -> Iterator[Finding]:
    """Look at everything, one finding each; nothing is changed and nothing raises."""
    yield _python()
    yield _qt()
    yield _database(config, clock)
    yield _sensor(config)
    yield _hub(config)
    yield _time(clock)


def _python() -> Finding:
    well = sys.version_info >= (3, 11)
    return Finding("python", well, f"{platform.python_version()} on {platform.machine()}")


def _qt() -> Finding:
    try:
        from PySide6 import QtQuick, __version__  # noqa: F401, PLC0415  looked at, not used
    except ImportError as error:
        return Finding("qt", well=False, seen=str(error))
    # 6.12 drops a reference to None on every void call under Python 3.11 and aborts in seconds.
    well = tuple(map(int, __version__.split(".")[:2])) < (6, 12)
    return Finding(
        "qt", well, f"PySide6 {__version__}" + ("" if well else " is not usable: < 6.12")
    )


def _database(config: Config, clock: Clock) -> Finding:
    try:
        there = config.database.stat() is not None
    except FileNotFoundError:
        there = False
    except OSError as error:
        return Finding("database", well=False, seen=f"{config.database}: {error.strerror}")
    if not there:
        return Finding("database", well=True, seen=f"{config.database} will be made at first start")
    try:
        store = Store.open(
            config.database,
            org=config.organisation.id,
            site=config.site.id,
            clock=clock,
            zone=config.site.zone,
        )
    except StoreBusyError as error:
        return Finding("database", well=True, seen=f"in use: {error}")
    except StoreError as error:
        return Finding("database", well=False, seen=str(error))
    try:
        held, oldest = store.held()
        since = f" since {_utc(oldest)}" if oldest else ""
        rescue = rescue_note(store)
    finally:
        store.close()
    if rescue is not None:
        return Finding("database", well=False, seen=rescue.sentence)
    return Finding("database", well=True, seen=f"{config.database}, {held} held{since}")


def _sensor(config: Config) -> Finding:
    settings = config.sensor
    if not settings.port:
        return Finding("sensor", well=False, seen="no port is set: [sensor] port in the settings")
    try:
        with open_zfm(
            settings.port, settings.baudrate, settings.address, settings.password
        ) as sensor:
            stamp = look_at(sensor)
            used, capacity = len(used_slots(sensor)), sensor.capacity
    except ResponseTimeout as error:
        return Finding("sensor", well=False, seen=_who_answers(settings, error))
    except SensorError as error:
        told = f"{settings.port}: {error.sentence} {error.advice}"
        return Finding("sensor", well=False, seen=told)
    name = stamp.sensor if stamp else "not stamped yet"
    weak = ", known by its looks only (it has no notepad)" if stamp and stamp.weak else ""
    seen = f"{settings.port}, {name}{weak}, {used} of {capacity} slots"
    return Finding("sensor", well=True, seen=seen)


def _who_answers(settings: Sensor, silence: ResponseTimeout) -> str:
    """Look for a module that speaks at another baud rate or address than the settings say."""
    try:
        found = detect(settings.port, {settings.address: None, DEFAULT_ADDRESS: None})
    except SensorError:
        return f"{settings.port}: {silence.sentence} {silence.advice}"
    model = f" ({found.profile})" if found.profile else ""
    return (
        f"{settings.port}: a module{model} answers at other settings; in [sensor] set"
        f" baudrate = {found.baudrate} and address = 0x{found.address:08X}"
    )


def _hub(config: Config) -> Finding:
    url = config.hub.url or running_hub(config)
    if url is None:
        stale = noted_url(config) is not None
        killed = "; the last kiosk left a stale note of it, which does no harm" if stale else ""
        return Finding("hub", well=True, seen=f"its own, which runs while the kiosk runs{killed}")
    try:
        told = health(url)
    except DirectoryError as error:
        return Finding("hub", well=False, seen=str(error))
    status = told.get("status")
    return Finding("hub", status == "ok", f"{url}, {told.get('events')} events, {status}")


def _time(clock: Clock) -> Finding:
    now = clock.wall()
    synced = "synchronised" if clock.synced() else "not synchronised, true times come from the hub"
    well = now >= int(_OLDEST_HONEST.timestamp()) * NS
    return Finding("clock", well, f"{_utc(now)}, {synced}")


def _utc(wall: int) -> str:
    return dt.datetime.fromtimestamp(wall / NS, dt.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
