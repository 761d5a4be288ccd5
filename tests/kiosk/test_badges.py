"""Hashes of badges: of one organisation and pepper, and of nothing else."""

from __future__ import annotations

import pytest

from kiosk.badges import BadgeError, BadgeKey, badge_key, keeper
from kiosk.config import Badge, Config, Organisation

PEPPER = b"0123456789abcdef"


def settings(pepper_file="", pattern=""):
    badge = Badge(pepper_file=str(pepper_file), pattern=pattern)
    return Config(organisation=Organisation("club"), badge=badge)


def test_a_hash_is_of_token_organisation_and_pepper():
    hashes = [
        BadgeKey(org, pepper).hash(token)
        for org in ("club", "clu")
        for pepper in (b"", PEPPER, b"b" + PEPPER)
        for token in ("20417", "20418", "020417")
    ]
    assert len(set(hashes)) == len(hashes)
    assert BadgeKey("club", PEPPER).hash("20417") == BadgeKey("club", PEPPER).hash("20417")


def test_what_is_kept_stays_readable_by_every_later_version():
    assert BadgeKey("club").hash("20417") == "0f5f8974.c2ec9b2aced0f6b6a41b0b2acd3737d7"
    assert BadgeKey("club", PEPPER).hash("20417") == "cc0db8b3.3452a388fdbbcbc0fd5d3d427488b732"


def test_two_ways_to_write_one_letter_are_one_badge():
    assert BadgeKey("club").hash("\u00c4-1") == BadgeKey("club").hash("A\u0308-1")


def test_a_key_knows_its_own_hashes_and_shows_nothing():
    key, other = BadgeKey("club", PEPPER), BadgeKey("club")
    assert key.made(key.hash("20417"))
    assert not key.made(other.hash("20417"))
    assert PEPPER.decode() not in repr(key)
    assert "20417" not in key.hash("20417")


def test_the_pepper_comes_from_its_own_file(tmp_path):
    path = tmp_path / "pepper"
    path.write_bytes(PEPPER + b"\n")
    path.chmod(0o600)
    assert badge_key(settings(path)).hash("x") == BadgeKey("club", PEPPER).hash("x")
    assert badge_key(settings()).hash("x") == BadgeKey("club").hash("x")


@pytest.mark.parametrize(
    ("content", "mode", "told"),
    [
        (PEPPER, 0o640, "can be read by others; do: chmod 600"),
        (b"short", 0o600, "is shorter than 16 characters"),
        (None, 0o600, "cannot be used: No such file"),
    ],
)
def test_a_pepper_that_is_no_secret_is_refused(tmp_path, content, mode, told):
    path = tmp_path / "pepper"
    if content is not None:
        path.write_bytes(content)
        path.chmod(mode)
    with pytest.raises(BadgeError, match=told):
        badge_key(settings(path))


def test_what_is_imported_is_read_as_a_scan_is():
    keep = keeper(settings(pattern=r"m=(\d+)"))
    key = BadgeKey("club")
    assert keep("https://club.example/?m=4711") == keep("m=4711") == key.hash("4711")
    assert keeper(settings())("https://club.example/m/4711") == key.hash("4711")
