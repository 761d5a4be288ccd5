"""What the doctor finds of the reader, its library, kept templates, open orders and badges."""

from __future__ import annotations

import os
import sqlite3
from collections import Counter
from typing import TYPE_CHECKING

from drivers.detect import detect
from drivers.errors import ModelUnknown, PortBusy, ResponseTimeout, SensorError
from drivers.packets import DEFAULT_ADDRESS
from drivers.profiles import PROFILES
from drivers.zfm import open_zfm
from kiosk.badges import BadgeError, badge_key
from kiosk.finding import Finding
from kiosk.folders import unwritable
from kiosk.glance import glance, kiosk_runs
from kiosk.model import Kind
from kiosk.pairing import PairingError
from kiosk.peek import peek
from kiosk.proof import Finding as Proven
from kiosk.revocation import orders_in
from kiosk.storefile import StoreError
from kiosk.survey import survey
from kiosk.vault import KeyRing, Label, Sealed, VaultError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kiosk.config import Config, Sensor
    from kiosk.survey import Survey

# As far back as claims are counted, in check-ins.
_LOOKED_AT = 2000
# From this share of slots in use on somebody should think of what comes next.
ALMOST_FULL = 0.9
_OR_MODELS = " or ".join(PROFILES)
_UNREADABLE = (sqlite3.Error, StoreError, ValueError)


def sensor_findings(config: Config) -> Iterator[Finding]:
    """The reader itself, and how full it is; nothing is changed and nothing raises."""
    settings = config.sensor
    if not settings.port:
        told = "no reader is configured, so badges and codes only; [sensor] port names one"
        yield Finding("sensor", well=True, seen=told, mind=True)
        return
    try:
        seen = _look(config)
    except ResponseTimeout as error:
        yield Finding("sensor", well=False, seen=_who_answers(settings, error))
    except PortBusy as error:
        yield _busy(config, error)
    except ModelUnknown as error:
        told = f"{settings.port}: {error.sentence} Set profile in [sensor] to {_OR_MODELS}."
        yield Finding("sensor", well=False, seen=told)
    except SensorError as error:
        told = f"{settings.port}: {error.sentence} {error.advice}"
        yield Finding("sensor", well=False, seen=told)
    except _UNREADABLE as error:
        yield Finding("sensor", well=False, seen=f"{settings.port}: its records: {error}")
    else:
        yield _surveyed(settings.port, seen)
        yield _gauge(seen.used, seen.capacity, seen.gauge)


def records_findings(config: Config) -> Iterator[Finding]:
    """Open orders, kept templates, badges and claims; nothing is changed and nothing raises."""
    looks = {"orders": _orders, "templates": _templates, "badges": _badges, "claims": _claims}
    for name, look in looks.items():
        try:
            yield look(config)
        except (VaultError, BadgeError, PairingError) as error:
            yield Finding(name, well=False, seen=str(error))
        except _UNREADABLE as error:
            yield Finding(name, well=False, seen=f"cannot be read: {error}")


# -- the reader ------------------------------------------------------------------------------------


def _look(config: Config) -> Survey:
    at = config.sensor
    with (
        glance(config.database) as records,
        open_zfm(at.port, at.baudrate, at.address, at.password, at.model) as sensor,
    ):
        return survey(sensor, records)


def _surveyed(port: str, seen: Survey) -> Finding:
    name = seen.stamp.sensor if seen.stamp else "not stamped yet"
    weak = ", known by its looks only (it has no notepad)" if seen.stamp and seen.stamp.weak else ""
    told = f"{port}, {seen.format}, {name}{weak}: {seen.verdict}"
    if seen.count != seen.used:
        told += f"; its count ({seen.count}) is not its index ({seen.used})"
    return Finding("sensor", seen.well, told)


def _busy(config: Config, error: PortBusy) -> Finding:
    """Whoever holds the port; if it is this kiosk, its own records say how the reader is."""
    port = config.sensor.port
    if not kiosk_runs(config.database):
        return Finding("sensor", well=False, seen=f"{port}: {error.sentence} {error.advice}")
    with glance(config.database) as records:
        bound = records.binding()
        active = sum(
            entry.state == "active"
            for entry in (records.entries(bound.sensor).values() if bound else ())
        )
    told = f"{port}, held by the running kiosk, which has {active} active templates on record"
    return Finding("sensor", well=True, seen=told)


def _gauge(used: int, capacity: int, gauge: str) -> Finding:
    full = capacity > 0 and used >= ALMOST_FULL * capacity
    told = f"[{gauge}] {used} of {capacity} slots used"
    if full:
        told += '; almost full: see "When it is full" in docs/sensor-maintenance.md'
    return Finding("library", well=True, seen=told, mind=full)


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


# -- the records -----------------------------------------------------------------------------------


def _orders(config: Config) -> Finding:
    kept = {label.person for label, _ in _kept(config)}
    with glance(config.database) as records:
        orders = orders_in(records, records.device, kept)
    if not orders:
        return Finding("orders", well=True, seen="no template waits to be destroyed")
    people = len({order.person for order in orders})
    told = (
        f"the templates of {people} people are still to be destroyed: done as soon as the kiosk"
        " runs with its reader, or by kiosk sensor backup, reprovision or revoke"
    )
    return Finding("orders", well=True, seen=told, mind=True)


def _templates(config: Config) -> Finding:
    rows = _kept(config)
    if not rows and config.templates.backup and (why := unwritable(config.vault_key.parent)):
        return Finding("templates", well=False, seen=f"backup is on, but its key: {why}")
    if not rows:
        how = "backup is on, none kept yet" if config.templates.backup else "none leaves the reader"
        return Finding("templates", well=True, seen=how)
    ring = KeyRing(config.vault_key, os.environ)
    if not ring.exists():
        told = f"{len(rows)} are kept, but their key is missing: put {ring.path} back"
        return Finding("templates", well=False, seen=told)
    vault = ring.vault()
    # One for each key: that a key is there does not say that it is the one.
    for label, sealed in {sealed.key: (label, sealed) for label, sealed in rows}.values():
        vault.open(label, sealed)
    people = len({label.person for label, _ in rows})
    told = f"{len(rows)} of {people} people are kept, and their keys open them ({ring.path})"
    if config.templates.backup:
        return Finding("templates", well=True, seen=told)
    told += "; backup is switched off now, so delete templates.db if they are not wanted"
    return Finding("templates", well=True, seen=told, mind=True)


def _claims(config: Config) -> Finding:
    """Who came in by a badge or code that a finger was to bear out, and none did."""
    with glance(config.database) as records:
        recent = records.latest(Kind.CHECK_IN, _LOOKED_AT)
    found = Counter(event.data["verified"] for event in recent if "verified" in event.data)
    borne_out = found.pop(Proven.FINGER, 0)
    if not found:
        return Finding("claims", well=True, seen=f"{borne_out} borne out by a finger, none not")
    why = ", ".join(f"{count} {reason}" for reason, count in sorted(found.items()))
    told = (
        f"of the last {len(recent)} check-ins here {found.total()} were let in by badge or code"
        f" without the finger that was asked for ({why}); {borne_out} were borne out"
    )
    return Finding("claims", well=True, seen=told, mind=True)


def _kept(config: Config) -> list[tuple[Label, Sealed]]:
    path = config.templates_database
    if not path.exists() or not path.stat().st_size:
        return []
    query = "SELECT id, person, format, generation, key, box FROM template"
    with peek(path) as database:
        rows = database.execute(query).fetchall()
    return [(Label(*row[:4]), Sealed(row[4], bytes(row[5]))) for row in rows]


def _badges(config: Config) -> Finding:
    key = badge_key(config, make=False)
    with glance(config.database) as records:
        people = records.people()
    badges = [badge for person in people for badge in person.badges]
    told = f"{len(badges)} badges of {sum(bool(p.badges) for p in people)} people"
    strange = sum(not key.made(badge) for badge in badges)
    older = sum(not key.makes(badge) for badge in badges) - strange
    if strange:
        told += (
            f"; {strange} were imported with another pepper or organisation and are not known"
            " here: import the people again"
        )
    if key.source and older:
        told += f"; {older} are kept without the present pepper: import the people again"
    if key.source:
        told += f"; the pepper is that of {key.source}"
    elif badges:
        told += "; kept without a pepper: pair this kiosk, or name a [badge] pepper_file"
    mind = bool(strange or older or (badges and not key.source))
    return Finding("badges", well=True, seen=told, mind=mind)
