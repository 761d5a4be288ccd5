"""What `kiosk doctor` looks at: one line per part, in the order they depend on each other."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import platform
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from kiosk import schema
from kiosk.acceptance import ANEW, device_of, greet
from kiosk.checkup import records_findings, sensor_findings
from kiosk.clock import NS
from kiosk.credentials import paired, pairing_of
from kiosk.directory import DirectoryError, HubClient, health
from kiosk.finding import Finding
from kiosk.folders import unwritable
from kiosk.ownhub import noted_url, running_hub
from kiosk.pairing import PairingError
from kiosk.peek import damage, peek
from kiosk.rescue import NOTE, read_rescue
from sync.hub.errors import TokenError
from sync.hub.tokens import VARIABLE, read_token, token_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kiosk.clock import Clock
    from kiosk.config import Config
    from kiosk.pairing import Pairing

_OLDEST_HONEST = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)

_SET_ASIDE = """
SELECT s.quarantined, count(*) FROM stamp s JOIN event e ON e.seq = s.seq
WHERE s.quarantined IS NOT NULL AND e.device = (SELECT value FROM meta WHERE key = 'device')
GROUP BY s.quarantined ORDER BY s.quarantined
"""


def examine(config: Config, clock: Clock) -> Iterator[Finding]:
    """Look at everything, one finding each; nothing is changed and nothing raises."""
    yield _python()
    yield _qt()
    yield _database(config)
    yield _events(config)
    yield from sensor_findings(config)
    yield from records_findings(config)
    with contextlib.suppress(PairingError):  # which the finding about the token tells
        config = paired(config)
    about_token, token = _token(config)
    yield about_token
    yield _hub(config, token)
    yield _time(clock)


def _python() -> Finding:
    well = sys.version_info >= (3, 11)
    return Finding("python", well, f"{platform.python_version()} on {platform.machine()}")


def _qt() -> Finding:
    """Have another Python load Qt: this package does not, and a missing library may abort it."""
    probe = "import PySide6; from PySide6 import QtQuick; print(PySide6.__version__)"
    done = subprocess.run(  # noqa: S603  our own interpreter and words
        [sys.executable, "-c", probe], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"it ended with code {done.returncode}"]
        return Finding("qt", well=False, seen=lines[-1])
    version = done.stdout.strip()
    # 6.12 drops a reference to None on every void call under Python 3.11 and aborts in seconds.
    well = tuple(map(int, version.split(".")[:2])) < (6, 12)
    return Finding("qt", well, f"PySide6 {version}" + ("" if well else " cannot be used, 6.11 can"))


def _database(config: Config) -> Finding:
    path = config.database
    try:
        empty = not path.stat().st_size
    except FileNotFoundError:
        empty = True
    except OSError as error:
        return Finding("database", well=False, seen=f"{path}: {error.strerror}")
    if why := unwritable(path.parent):
        return Finding("database", well=False, seen=f"{path}: {why}")
    if empty:
        return Finding("database", well=True, seen=f"{path} will be made at first start")
    if broken := damage(path):
        return Finding("database", well=False, seen=f"{path} is damaged: {broken}")
    try:
        with peek(path) as database:
            problem = _wrong_database(database, config) or _rescued(database, path)
            seen = f"{path}, {_held(database)}"
    except sqlite3.Error as error:
        return Finding("database", well=False, seen=f"{path} cannot be read: {error}")
    return Finding("database", not problem, problem or seen)


def _wrong_database(database: sqlite3.Connection, config: Config) -> str:
    applied = database.execute(
        "SELECT name FROM _sqlite_migrations WHERE migration_set = ?", (schema.SET,)
    )
    if newer := [name for (name,) in applied if name not in schema.NAMES]:
        return f"made by a newer version of Whorl ({newer[0]}); update Whorl on this kiosk"
    org, site = config.organisation.id, config.site.id
    meta = dict(database.execute("SELECT key, value FROM meta"))
    belongs = (meta.get("org"), meta.get("site"))
    if meta and belongs != (org, site):
        return f"the database belongs to {belongs[0]}/{belongs[1]}, not to {org}/{site}"
    return ""


def _rescued(database: sqlite3.Connection, path: Path) -> str:
    for (text,) in database.execute("SELECT value FROM meta WHERE key = ?", (NOTE,)):
        rescue = read_rescue(str(text))
        if rescue is not None and path.with_name(Path(rescue.moved_to).name).exists():
            return rescue.sentence
    return ""


def _held(database: sqlite3.Connection) -> str:
    count, first = database.execute("SELECT count(*), min(seq) FROM outbox").fetchone()
    found = database.execute("SELECT wall FROM event WHERE seq = ?", (first,)).fetchone()
    known = found is not None and isinstance(found[0], int)
    return f"{count} held" + (f" since {_utc(found[0])}" if known else "")


def _events(config: Config) -> Finding:
    """What the hub set aside; nothing where the finding before says that there is no database."""
    try:
        with peek(config.database) as database:
            rows = database.execute(_SET_ASIDE).fetchall()
    except sqlite3.Error:
        return Finding("events", well=True, seen="none yet")
    if not rows:
        return Finding("events", well=True, seen="none was set aside by the hub")
    reasons = ", ".join(f"{count} {reason}" for reason, count in rows)
    return Finding("events", well=False, seen=f"set aside by the hub, to be looked at: {reasons}")


def _token(config: Config) -> tuple[Finding, str]:
    """The token this kiosk would show, with its file looked at; none is made."""
    if given := os.environ.get(VARIABLE, "").strip():
        return Finding("token", well=True, seen=f"from {VARIABLE}"), given
    try:
        if (pairing := pairing_of(config)) is not None:
            return _paired_token(config, pairing), pairing.token
    except PairingError as error:
        return Finding("token", well=False, seen=str(error)), ""
    file = config.hub.token_file
    path = Path(file).expanduser() if file else token_path(config.hub_database)
    try:
        if not file and not path.exists():
            return Finding("token", well=True, seen="will be made at first start"), ""
        return Finding("token", well=True, seen=f"from {path}, for its owner only"), read_token(
            path
        )
    except (TokenError, OSError) as error:
        return Finding("token", well=False, seen=str(error)), ""


def _paired_token(config: Config, pairing: Pairing) -> Finding:
    try:
        who = device_of(config.database)
    except sqlite3.Error:
        who = None  # which the finding about the database tells
    if who is not None and who.id != pairing.device:
        told = f"the pairing with {pairing.url} is another device's than the database here"
        return Finding("token", well=False, seen=f"{told}; {ANEW}")
    seen = f"this kiosk's own, from its pairing with {pairing.url}"
    return Finding("token", well=True, seen=seen)


def _hub(config: Config, token: str) -> Finding:
    if not config.hub.url and (broken := damage(config.hub_database)):
        told = f"its own {config.hub_database} is damaged: {broken}; the kiosk begins a new one"
        return Finding("hub", well=False, seen=told)
    url = config.hub.url or running_hub(config)
    if url is None:
        stale = noted_url(config) is not None
        killed = "; the last kiosk left a stale note of it, which does no harm" if stale else ""
        return Finding("hub", well=True, seen=f"its own, which runs while the kiosk runs{killed}")
    try:
        told_us = health(url, ca=config.hub.ca)
        taken = _taken(config, url, token) if token else ""
    except DirectoryError as error:
        return Finding("hub", well=False, seen=f"{url}: {error}")
    status, count = told_us.get("status"), told_us.get("events")
    return Finding("hub", status == "ok", f"{url}, {count} events, {status}{taken}")


def _taken(config: Config, url: str, token: str) -> str:
    """What the hub takes, as the line would show it; raises `DirectoryError` if it does not."""
    try:
        who = device_of(config.database)
    except sqlite3.Error:
        who = None  # which the finding about the database tells
    if who is not None:
        greet(config, url, token, who)
        return ", takes this device and its token"
    HubClient(url, token, config.organisation.id, config.site.id, config.hub.ca).look()
    return ", takes this token"


def _time(clock: Clock) -> Finding:
    now = clock.wall()
    synced = "synchronised" if clock.synced() else "not synchronised, true times come from the hub"
    well = now >= int(_OLDEST_HONEST.timestamp()) * NS
    return Finding("clock", well, f"{_utc(now)}, {synced}")


def _utc(wall: int) -> str:
    return dt.datetime.fromtimestamp(wall / NS, dt.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
