from __future__ import annotations

from pathlib import Path

import pytest

from drivers.badge import BadgeFormat
from kiosk import config

DEFAULTS = Path(__file__).parents[2] / "resources" / "default.toml"


def load(tmp_path, text, environ=()):
    path = tmp_path / "kiosk.toml"
    path.write_text(text)
    return config.load(path, dict(environ))


def test_the_shipped_file_says_exactly_the_defaults():
    assert config.load(DEFAULTS, {}) == config.Config()


def test_the_environment_goes_before_the_file(tmp_path):
    environ = {
        "WHORL_SENSOR_PORT": "/dev/b",
        "WHORL_SCREEN_FULLSCREEN": "false",
        "WHORL_HUB_TOKEN": "x",
    }
    found = load(tmp_path, '[sensor]\nport = "/dev/a"\nbaudrate = 9600', environ)
    assert (found.sensor.port, found.sensor.baudrate) == ("/dev/b", 9600)
    assert found.screen.fullscreen is False


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[sensor]\nprot = 1", "sensor: unknown setting `prot`"),
        ("[senser]\nport = 1", "unknown setting `senser`"),
        ('[sensor]\nbaudrate = "fast"', "sensor.baudrate"),
        ('[site]\nzone = "Mars/Olympus"', "site.zone: no such zone: Mars/Olympus"),
        ('[site]\nid = "a/b"', "site.id"),
        ('[organisation]\nid = ""', "organisation.id"),
        ('[screen]\nsize = "big"', "screen.size"),
        ('[screen]\nscheme = "pink"', "screen.scheme"),
        ('[sensor]\nport = "usb:12"', "sensor.port"),
        ('[sensor]\naudit = "maybe"', "sensor.audit"),
        ('[sensor]\nprofile = "r999"', "sensor.profile"),
        ('[templates]\nclaim = "always"', "templates.claim"),
        ('[hub]\nurl = "hub.example.org"', "hub.url"),
        ('[[schedule]]\nid = "a"\ntitle = "A"\nstart = "25:00"\nend = "10:00"', "schedule a"),
        (
            '[[schedule]]\nid="a"\ntitle="A"\nstart="09:00"\nend="10:00"\ndays=["xyz"]',
            '"xyz" is not a day',
        ),
        ('[[schedule]]\nid="a"\ntitle="A"\nstart="09:00"\nend="10:00"\n' * 2, "same id"),
        ('[badge]\npattern = "("', "badge.pattern: is no regular expression"),
        ("[badge]\nmin_length = 2", "badge.min_length: 3 <= min_length <= max_length"),
        ("[badge]\nmin_length = 9\nmax_length = 8", "badge.min_length"),
        ("[badge]\nmax_length = 1025", "badge.min_length"),
        ("[badge]\nkey_gap_ms = 0", "badge.key_gap_ms"),
        ("[badge]\nrepeat_seconds = -1", "badge.repeat_seconds"),
        ("[sensor", "not valid TOML"),
        ("sensor = 5", "sensor: must be a section with settings of its own"),
        ('[door]\nrepeat_seconds = "soon"', "door.repeat_seconds: must be a number, not text"),
        ("[sensor]\nport = 5", "sensor.port: must be text, not a whole number"),
        ("[storage]\nkeep_days = 29", "storage.keep_days: must be a number >= 30"),
        ('[[schedule]]\nid = "a"', "schedule[0]: lacks the setting `title`"),
        (
            '[[schedule]]\nid="a"\ntitle="A"\nstart="18:00"\nend="18:00"',
            "schedule a: it starts and ends at 18:00",
        ),
        ("[sensor]\nbaudrate = 0", "sensor.baudrate"),
        ("[sensor]\nbaudrate = -3", "sensor.baudrate"),
        ("[sensor]\nbaudrate = 57601", "sensor.baudrate"),
        ("[sensor]\naddress = -1", "sensor.address"),
        ("[sensor]\npassword = 0x100000000", "sensor.password"),
        ("[door]\nrepeat_seconds = nan", "door.repeat_seconds"),
        ("[door]\nrepeat_seconds = -5", "door.repeat_seconds"),
        ("[door]\nrepeat_seconds = inf", "door.repeat_seconds"),
        ("[door]\ncode = true", "door: unknown setting `code`"),
        ("[site]\nopens_before_minutes = 99999999999999", "site.opens_before_minutes"),
        ('[screen]\nsize = "0x0"', "screen.size"),
        ('[screen]\nsize = "99999x800"', "screen.size"),
        ('[screen]\nlanguage = "xx"', "screen.language: must be one of ('de', 'en', 'es')"),
        ('[[schedule]]\nid="a"\ntitle="A"\nstart="18:00+05:00"\nend="19:00"', "is not a time"),
        ('[[schedule]]\nid="a"\ntitle="A"\nstart="1800"\nend="19:00"', "is not a time"),
        (
            '[[schedule]]\nid="a"\ntitle="A"\nstart="18:00"\nend="19:00"\nlate_after_minutes=-1',
            "late_after_minutes",
        ),
        ('[hub]\nurl = "http://"', "hub.url: http:// names no host"),
        ('[hub]\nurl = "http://a b"', "hub.url"),
        ('[hub]\nurl = "http://host:port"', "hub.url: http://host:port is no address"),
        ('[hub]\nurl = "http://host:99999"', "hub.url"),
        ('[hub]\nurl = "http://host:0"', "hub.url"),
        ('[hub]\nurl = "http://[::1"', "hub.url: http://[::1 is no address"),
        ('[hub]\nurl = "http://::1:80"', "hub.url"),
    ],
)
def test_what_is_wrong_is_named_in_one_line(tmp_path, text, told):
    with pytest.raises(config.ConfigError) as caught:
        load(tmp_path, text)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "kiosk.toml" in str(caught.value)


@pytest.mark.parametrize("url", ["http://[::1]:8765", "https://hub.example.org/whorl"])
def test_addresses_of_hubs_are_taken_as_they_are(tmp_path, url):
    assert load(tmp_path, f'[hub]\nurl = "{url}"').hub.url == url


def test_numbers_come_from_the_environment_as_they_are_written_in_a_file(tmp_path):
    environ = {"WHORL_SENSOR_ADDRESS": "0xFFFFFFFE", "WHORL_SENSOR_BAUDRATE": "9600"}
    found = load(tmp_path, "", environ).sensor
    assert (found.address, found.baudrate) == (0xFFFFFFFE, 9600)


@pytest.mark.parametrize(
    ("text", "name", "value", "told"),
    [
        ("", "WHORL_TYPO", "1", "WHORL_TYPO is no setting"),
        ("", "WHORL_SCHEDULE", "1", "WHORL_SCHEDULE is no setting"),
        ("sensor = 5", "WHORL_SENSOR_PORT", "/dev/x", "kiosk.toml: sensor: must be a section"),
        ("", "WHORL_SENSOR_ADDRESS", "many", "sensor.address: must be a whole number"),
        (
            "",
            "WHORL_SENSOR_BAUDRATE",
            "abc",
            "the environment: WHORL_SENSOR_BAUDRATE: sensor.baudrate: must be a whole number, not",
        ),
        (
            "[screen]\nfullscreen = true",
            "WHORL_SCREEN_FULLSCREEN",
            "no",
            "WHORL_SCREEN_FULLSCREEN: screen.fullscreen: must be true or false",
        ),
        ("", "WHORL_HUB_URL", "hub", "the environment: WHORL_HUB_URL: hub.url: must begin with"),
        ("", "WHORL_DOOR_REPEAT_SECONDS", "nan", "door.repeat_seconds"),
    ],
)
def test_what_is_wrong_in_the_environment_is_named_too(tmp_path, text, name, value, told):
    with pytest.raises(config.ConfigError) as caught:
        load(tmp_path, text, {name: value})
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_was_named_must_exist(tmp_path):
    with pytest.raises(config.ConfigError, match="cannot be read"):
        config.load(tmp_path / "none.toml", {})


def test_without_a_file_the_defaults_hold(tmp_path, monkeypatch):
    monkeypatch.setattr(config, "default_path", lambda: tmp_path / "none.toml")
    assert config.load(None, {}) == config.Config()


def test_schedules_and_sizes_reach_the_rules(tmp_path):
    schedule = '[[schedule]]\nid="a"\ntitle="A"\nstart="09:00"\nend="10:00"\nlate_after_minutes=5'
    text = '[screen]\nsize="800x480"\n' + schedule
    found = load(tmp_path, text)
    assert found.size == (800, 480)
    (schedule,) = found.site_rules().schedules
    assert (schedule.id, schedule.late_after, len(schedule.days)) == ("a", 5, 7)


def test_badge_settings_reach_the_parser(tmp_path):
    text = '[badge]\nprefix="%"\nsuffix="?"\nmin_length=5\nmax_length=9\nkey_gap_ms=40'
    found = load(tmp_path, text + '\nrepeat_seconds=1\npattern="x+"')
    assert found.badge.format() == BadgeFormat("%", "?", 5, 9, 0.04, 1, "x+")
    assert config.Badge().format() == BadgeFormat()


def test_a_session_may_go_on_past_midnight(tmp_path):
    night = load(tmp_path, '[[schedule]]\nid="n"\ntitle="Night"\nstart="22:00"\nend="02:00"')
    (schedule,) = night.site_rules().schedules
    assert (schedule.start, schedule.end) == ("22:00", "02:00")
