"""Settings file and environment to one frozen, validated Config; read once, at start."""

from __future__ import annotations

import functools
import os
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Meta

import resources
from kiosk.errors import KioskError
from kiosk.rules import DAYS, Schedule, Site

if TYPE_CHECKING:
    from collections.abc import Mapping

    from platformdirs import PlatformDirs

    from drivers.badge import BadgeFormat

# In the storage folder while the kiosk's own hub runs: where it listens.
HUB_URL_FILE = "hub.url"
PAIRING_FILE = "hub.pairing"
AUDITS = ("off", "warn", "strict")
CLAIMS = ("beyond", "never")
_AUTO = "auto"
SCHEMES = ("light", "dark", "high")
PREFIX = "WHORL_"
# What else may begin with WHORL_: never part of the settings, because the log may show those.
SECRETS = frozenset({"WHORL_HUB_TOKEN"})
LANGUAGES = tuple(
    sorted(file.stem for file in (Path(resources.__file__).parent / "translations").glob("*.toml"))
)

_Minutes = Annotated[int, Meta(ge=0, le=24 * 60)]
_Word = Annotated[int, Meta(ge=0, le=0xFFFFFFFF)]
# Holidays are longer than any shorter one.
_SHORTEST_RETENTION = 30
_LONGEST_BADGE = 1024  # characters; a QR code holds up to 4,296


class ConfigError(KioskError):
    """The settings cannot be used; the text is one line that names the setting."""


class Organisation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who runs the door: `id` is part of every event, `name` is what the screen shows."""

    id: str = "local"
    name: str = "Welcome"


class SiteSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the kiosk stands; `zone` is an IANA name, by which "late" and "today" are judged."""

    id: str = "main"
    zone: str = "UTC"
    all_day_title: str = "Open today"
    opens_before_minutes: _Minutes = 30


class Kiosk(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """This device; `name` is how the hub's staff know it."""

    name: str = "kiosk"


class Storage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the database lives; empty for the user's data directory.

    Events stay at least `keep_days`, and longer unless a backup of the hub has them.
    """

    directory: str = ""
    keep_days: Annotated[float, Meta(ge=30, le=36_500)] = 400


class Sensor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The fingerprint reader; an empty `port` means there is none.

    `port` is a path, or `usb:VID:PID[:SERIAL]` (hex) for whatever path that adapter gets.

    `profile` names the model of a module that does not tell it, `auto` lets it speak for itself.
    `audit` is what a stored template that is no longer the recorded one leads to: `off` never
    looks, `warn` logs it, `strict` puts the slot out of use.
    """

    port: str = ""
    # The manuals' N x 9600.
    baudrate: Annotated[int, Meta(ge=9600, le=921_600, multiple_of=9600)] = 57600
    address: _Word = 0xFFFFFFFF
    password: _Word = 0
    profile: str = "auto"
    audit: str = "warn"

    @property
    def model(self) -> str:
        """What `drivers.zfm.open_zfm` takes as its profile: a name, or "" for auto."""
        return "" if self.profile == _AUTO else self.profile


class Templates(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What may leave the reader; nothing does by default.

    `backup` keeps sealed copies in `templates.db`, `distribution` allows encrypted exports.
    `claim` is who is verified one to one against a copy after a badge or code: `beyond`, those
    whose finger is not in the reader, or `never`. `roster_cache` brings those of the open session
    into the reader. Whoever has not come for `retention_days` loses their templates everywhere; 0
    for never. `key_file` holds the keys, empty for `vault.key` in the storage folder; it
    must be 0600.
    """

    backup: bool = False
    distribution: bool = False
    claim: str = "beyond"
    roster_cache: bool = True
    retention_days: Annotated[int, Meta(ge=0, le=36_500)] = 0
    key_file: str = ""


class HubSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The hub to push to; an empty `url` starts an own one. The token's file must be 0600.

    `ca_file` holds certificates (PEM) to trust the hub's by; empty for those of the system.
    """

    url: str = ""
    token_file: str = ""
    ca_file: str = ""

    @property
    def ca(self) -> Path | None:
        """The file of certificates, if one is named."""
        return Path(self.ca_file) if self.ca_file else None


class Door(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the door behaves; `repeat_seconds` is how long a second scan is not worth an event."""

    repeat_seconds: Annotated[float, Meta(ge=0, le=86_400)] = 60


class Badge(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Badge and QR readers in keyboard mode, and how badges are kept.

    `prefix`, `suffix` and the lengths are what the reader types; `key_gap_ms` is the longest time
    between its keys; a badge counts again after `repeat_seconds` away. `pattern` finds the token
    in what was read (see `drivers.badge`). `pepper_file` (0600) is the same at all kiosks;
    without it the pepper is the hub's (see `kiosk.badges`).
    """

    enabled: bool = True
    prefix: str = ""
    suffix: str = ""
    min_length: int = 4
    max_length: int = 128
    key_gap_ms: int = 50
    repeat_seconds: float = 2.5
    pattern: str = ""
    pepper_file: str = ""

    def format(self) -> BadgeFormat:
        """What `drivers.badge` needs of the settings."""
        from drivers.badge import BadgeFormat  # noqa: PLC0415  the first frame needs no badge

        return BadgeFormat(
            self.prefix,
            self.suffix,
            self.min_length,
            self.max_length,
            self.key_gap_ms / 1000,
            self.repeat_seconds,
            self.pattern,
        )


class Screen(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the screen looks; `size` as "1280x800", empty for the whole screen."""

    fullscreen: bool = True
    size: str = ""
    scheme: str = "light"
    language: str = "en"
    reduced_motion: bool = False


class ScheduleSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A session that comes back every week; local times "HH:MM".

    An `end` before the `start` is on the next day; they may not be the same.
    """

    id: str
    title: str
    start: str
    end: str
    days: tuple[str, ...] = DAYS
    place: str = ""
    late_after_minutes: _Minutes | None = None


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that can be set, with working defaults."""

    organisation: Organisation = Organisation()
    site: SiteSection = SiteSection()
    kiosk: Kiosk = Kiosk()
    storage: Storage = Storage()
    sensor: Sensor = Sensor()
    templates: Templates = Templates()
    hub: HubSection = HubSection()
    door: Door = Door()
    badge: Badge = Badge()
    screen: Screen = Screen()
    schedule: tuple[ScheduleSection, ...] = ()

    @property
    def directory(self) -> Path:
        """Where databases, logs and locks are kept."""
        return Path(self.storage.directory or dirs().user_data_dir).expanduser()

    @property
    def database(self) -> Path:
        return self.directory / "kiosk.db"

    @property
    def hub_database(self) -> Path:
        return self.directory / "hub.db"

    @property
    def templates_database(self) -> Path:
        return self.directory / "templates.db"

    @property
    def vault_key(self) -> Path:
        """The key ring that opens `templates_database`."""
        given = self.templates.key_file
        return Path(given).expanduser() if given else self.directory / "vault.key"

    @property
    def size(self) -> tuple[int, int] | None:
        """Window size in pixels, None for the whole screen."""
        if not self.screen.size:
            return None
        width, height = self.screen.size.split("x")
        return int(width), int(height)

    def site_rules(self) -> Site:
        """What `kiosk.rules` needs of the settings."""
        schedules = (
            Schedule(s.id, s.title, s.start, s.end, s.days, s.place, s.late_after_minutes)
            for s in self.schedule
        )
        site = self.site
        return Site(
            self.organisation.id,
            site.id,
            site.zone,
            tuple(schedules),
            site.all_day_title,
            site.opens_before_minutes,
        )


@functools.cache
def dirs() -> PlatformDirs:
    """The user's folders, for what the settings do not name."""
    from platformdirs import PlatformDirs  # noqa: PLC0415  a kiosk whose folders are named has none

    return PlatformDirs("whorl", appauthor=False)


def make_folder(path: Path) -> None:
    """Make the folder where it lacks; raises `ConfigError` if it cannot be used."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(f"the folder {path} cannot be used: {why}") from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise ConfigError(f"the folder {path} cannot be used: not allowed to write there")


def url_problem(url: str) -> str:
    """Why `url` cannot be a hub's, in words; empty if it can be."""
    if not re.match(r"https?://", url):
        return "must begin with http:// or https://"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        return f"{url} is no address: {error}"
    if not host or re.search(r"[^!-~]", url):
        return f"{url} names no host"
    return f"{url}: a port is from 1 to 65535" if port == 0 else ""


def default_path() -> Path:
    """The settings file that is read when none is named."""
    return Path(dirs().user_config_dir) / "kiosk.toml"


def load(path: Path | None, environ: Mapping[str, str]) -> Config:
    """Read the file (or the default one, if there is one), then WHORL_SECTION_KEY variables.

    Raises `ConfigError` with one line naming the file and the setting that is wrong.
    """
    given = path if path is not None else default_path()
    values: dict[str, Any] = {}
    if path is not None or given.exists():
        values = _read(given)
    overlaid = _overlay(values, environ)
    try:
        # Lax, because every environment variable is a string.
        config = msgspec.convert(values, Config, strict=False)
    except msgspec.ValidationError as error:
        from kiosk.plain_words import plain  # noqa: PLC0415  only what is wrong needs them

        setting, problem = plain(str(error))
        raise _wrong(given, overlaid, setting, problem) from error
    for setting, problem in _all_problems(config):
        if problem:
            raise _wrong(given, overlaid, setting, problem)
    return config


def _wrong(path: Path, overlaid: Mapping[str, str], setting: str, problem: str) -> ConfigError:
    """Names where the setting is from: the file, or the variable that overrides it."""
    where = f"the environment: {overlaid[setting]}" if setting in overlaid else str(path)
    return ConfigError(f"{where}: {setting}: {problem}" if setting else f"{where}: {problem}")


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error


def _overlay(values: dict[str, Any], environ: Mapping[str, str]) -> dict[str, str]:
    """WHORL_SENSOR_PORT sets `port` of `[sensor]`; one that sets nothing is an error, as in a file.

    A number may be written as in the file (0xFFFFFFFF). The variables, by the setting of each.
    """
    overlaid: dict[str, str] = {}
    names = _variables()
    for name in sorted(name for name in environ if name.startswith(PREFIX)):
        if name in SECRETS:
            continue
        if name not in names:
            raise ConfigError(f"the environment: {name} is no setting")
        section, key, number = names[name]
        keys = values.setdefault(section, {})
        if isinstance(keys, dict):  # else the file is wrong, which is told later
            keys[key] = _number(environ[name]) if number else environ[name]
            overlaid[f"{section}.{key}"] = name
    return overlaid


def _variables() -> dict[str, tuple[str, str, bool]]:
    """By variable: the section and the key that it sets, and whether that is a whole number."""
    return {
        f"{PREFIX}{section}_{key}".upper(): (section, key, hint is int)
        for section, kind in get_type_hints(Config).items()
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct)
        for key, hint in get_type_hints(kind).items()
    }


def _number(text: str) -> int | str:
    try:
        return int(text, 0)
    except ValueError:
        return text


def _all_problems(config: Config) -> list[tuple[str, str]]:
    return [*_problems(config), *_badge_problems(config.badge), *_schedule_problems(config)]


def _problems(config: Config) -> list[tuple[str, str]]:
    """Each setting that types alone cannot judge, with what is wrong with it or ""."""
    screen = config.screen
    slug = "must be a plain word without a slash"
    return [
        ("site.zone", "" if is_zone(config.site.zone) else f"no such zone: {config.site.zone}"),
        ("organisation.id", "" if _is_slug(config.organisation.id) else slug),
        ("site.id", "" if _is_slug(config.site.id) else slug),
        ("screen.scheme", "" if screen.scheme in SCHEMES else f"must be one of {SCHEMES}"),
        ("sensor.port", "" if _is_port(config.sensor.port) else "must look like usb:VID:PID"),
        ("sensor.audit", "" if config.sensor.audit in AUDITS else f"must be one of {AUDITS}"),
        ("sensor.profile", _profile_problem(config.sensor.model)),
        ("templates.claim", "" if config.templates.claim in CLAIMS else f"must be one of {CLAIMS}"),
        ("templates.retention_days", _retention_problem(config.templates.retention_days)),
        ("screen.size", "" if _is_size(screen.size) else 'must look like "1280x800"'),
        (
            "screen.language",
            "" if screen.language in LANGUAGES else f"must be one of {LANGUAGES}",
        ),
        ("hub.url", url_problem(config.hub.url) if config.hub.url else ""),
    ]


def _retention_problem(days: int) -> str:
    return "" if not days or days >= _SHORTEST_RETENTION else "must be 0, or at least 30 days"


def _profile_problem(model: str) -> str:
    if not model:
        return ""
    from drivers.profiles import PROFILES  # noqa: PLC0415  most speak for themselves

    return "" if model in PROFILES else f"must be one of {(_AUTO, *PROFILES)}"


def _badge_problems(badge: Badge) -> list[tuple[str, str]]:
    if badge == Badge():
        return []
    from drivers.badge import BURST  # noqa: PLC0415  most are left as they are

    least, most = BURST - 1, badge.max_length
    fits = least <= badge.min_length <= most <= _LONGEST_BADGE
    return [
        ("badge.min_length", "" if fits else f"{least} <= min_length <= max_length <= 1024"),
        ("badge.key_gap_ms", "" if 5 <= badge.key_gap_ms <= 500 else "must be from 5 to 500"),
        ("badge.repeat_seconds", "" if 0 <= badge.repeat_seconds <= 60 else "must be from 0 to 60"),
        ("badge.pattern", _pattern_problem(badge.pattern)),
    ]


def _pattern_problem(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        return f"is no regular expression: {error}"
    return ""


def _schedule_problems(config: Config) -> list[tuple[str, str]]:
    found = [(f"schedule {s.id}", _schedule_problem(s)) for s in config.schedule]
    twice = len({s.id for s in config.schedule}) < len(config.schedule)
    return [*found, ("schedule", "two schedules have the same id" if twice else "")]


def _is_port(port: str) -> bool:
    named = re.fullmatch(r"usb:[0-9a-f]{4}:[0-9a-f]{4}(:.+)?", port, re.IGNORECASE)
    return bool(named) or not port.lower().startswith("usb:")


def _is_size(size: str) -> bool:
    """Empty, or of a screen that the kiosk can draw on and no memory is too small for."""
    if not size:
        return True
    found = re.fullmatch(r"(\d{1,4})x(\d{1,4})", size)
    return found is not None and all(320 <= int(n) <= 8192 for n in found.groups())


def _is_slug(text: str) -> bool:
    return bool(text) and "/" not in text


def is_zone(name: str) -> bool:
    """Whether `name` is an IANA time zone known here."""
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return False
    return True


def _schedule_problem(schedule: ScheduleSection) -> str:
    for text in (schedule.start, schedule.end):
        if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", text):
            return f'"{text}" is not a time like "18:00"'
    if schedule.start == schedule.end:
        return f"it starts and ends at {schedule.start}; an end before the start is on the next day"
    if unknown := [day for day in schedule.days if day not in DAYS]:
        return f'"{unknown[0]}" is not a day; use {", ".join(DAYS)}'
    return ""
