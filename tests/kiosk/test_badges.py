"""Hashes of badges: of one organisation and pepper, and of nothing else."""

from __future__ import annotations

import pytest

from kiosk.badges import BadgeError, BadgeKey, badge_key, badge_key_of_hub, keeper
from kiosk.config import Badge, Config, HubSection, Organisation, SiteSection, Storage
from kiosk.pairing import Pairing, keep
from sync.hub.auth.keys import hub_keys, key_path

PEPPER = b"0123456789abcdef"


@pytest.fixture
def settings(tmp_path):
    """Makes the settings of a kiosk whose storage folder is this test's."""

    def make(pepper_file="", **how):
        badge = Badge(pepper_file=str(pepper_file))
        storage = Storage(str(tmp_path))
        club, hall = Organisation("club"), SiteSection("hall")
        return Config(organisation=club, site=hall, badge=badge, storage=storage, **how)

    return make


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


def test_the_pepper_comes_from_its_own_file(tmp_path, settings):
    path = tmp_path / "pepper"
    path.write_bytes(PEPPER + b"\n")
    path.chmod(0o600)
    assert badge_key(settings(path)).hash("x") == BadgeKey("club", PEPPER).hash("x")
    far = settings(hub=HubSection("https://hub.example"))
    assert badge_key(far).hash("x") == BadgeKey("club").hash("x")
    assert badge_key(far).source == ""


def test_two_hubs_make_two_hashes_and_each_is_the_same_on_hub_and_kiosk(tmp_path, settings):
    here = badge_key(settings())
    keeps = keeper(here)
    assert here.hash("20417") == badge_key_of_hub(tmp_path / "hub.db", "club", "hall").hash("20417")
    (tmp_path / "far").mkdir()
    far = tmp_path / "far" / "hub.db"
    there = badge_key_of_hub(far, "club", "hall")
    assert len({here.hash("20417"), there.hash("20417"), BadgeKey("club").hash("20417")}) == 3
    assert there.hash("20417") != badge_key_of_hub(far, "club", "other").hash("20417")
    pepper = hub_keys(far).pepper("club", "hall").hex()
    keep(tmp_path, Pairing("https://hub.example", "a.b.c", "k1", "i1", pepper))
    paired = badge_key(settings())
    assert paired.hash("20417") == there.hash("20417")
    assert "https://hub.example" in paired.source
    # What was kept before the pairing is still known, and is made no more.
    older = [BadgeKey("club").hash("20417"), keeps("20417")[0]]
    assert set(older) <= set(paired.hashes("20417"))
    assert all(paired.made(hashed) and not paired.makes(hashed) for hashed in older)
    assert keeper(paired)("20417")[0] == there.hash("20417")


def test_whoever_only_looks_makes_no_secret(tmp_path, settings):
    assert badge_key(settings(), make=False).source == ""
    assert not key_path(tmp_path / "hub.db").exists()
    badge_key(settings()).hash("1")
    assert "own hub" in badge_key(settings(), make=False).source


def test_without_its_pepper_nothing_is_imported_and_older_badges_are_known(
    tmp_path, settings, caplog
):
    secret = key_path(tmp_path / "hub.db")
    secret.write_text("no secret")
    key = badge_key(settings())
    with pytest.raises(BadgeError, match="badges cannot be kept"):
        keeper(key)("20417")
    assert key.hashes("20417") == (BadgeKey("club").hash("20417"),)
    assert "can be read by others" in caplog.text or "is not one" in caplog.text


@pytest.mark.parametrize(
    ("content", "mode", "told"),
    [
        (PEPPER, 0o640, "can be read by others; do: chmod 600"),
        (b"short", 0o600, "is shorter than 16 characters"),
        (None, 0o600, "cannot be used: No such file"),
    ],
)
def test_a_pepper_that_is_no_secret_is_refused(tmp_path, settings, content, mode, told):
    path = tmp_path / "pepper"
    if content is not None:
        path.write_bytes(content)
        path.chmod(mode)
    with pytest.raises(BadgeError, match=told):
        badge_key(settings(path))


def test_what_is_imported_is_read_as_a_scan_is():
    key = BadgeKey("club")
    keep = keeper(key, r"m=(\d+)")
    assert keep("https://club.example/?m=4711") == keep("m=4711") == (key.hash("4711"),)
    assert keeper(key)("https://club.example/m/4711") == (key.hash("4711"),)
