from __future__ import annotations

import errno
import os
import stat

import pytest

from sync.hub.auth import codes, pins
from sync.hub.auth.keys import hub_keys, key_path
from sync.hub.auth.register import Register, register_path
from sync.hub.errors import RegisterError, TokenError
from sync.hub.tokens import hub_token, token_path


def test_every_hub_makes_a_secret_of_its_own_that_only_its_owner_can_read(tmp_path):
    one, other = hub_keys(tmp_path / "a.db"), hub_keys(tmp_path / "b.db")
    assert one.signing != other.signing
    assert stat.S_IMODE(key_path(tmp_path / "a.db").stat().st_mode) == 0o600
    assert hub_keys(tmp_path / "a.db").signing == one.signing


def test_a_full_disk_keeps_no_hub_from_the_secrets_it_has(tmp_path, monkeypatch):
    db = tmp_path / "hub.db"
    keys, token = hub_keys(db), hub_token(db, {})

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", full)
        assert (hub_keys(db).secret, hub_token(db, {})) == (keys.secret, token)
        for make in (hub_keys, lambda path: hub_token(path, {})):
            with pytest.raises(TokenError, match="No space left"):
                make(tmp_path / "other.db")
    assert sorted(tmp_path.iterdir()) == [key_path(db), token_path(db)]


def test_no_key_stands_for_another(tmp_path):
    keys = hub_keys(tmp_path / "hub.db")
    found = {
        keys.signing,
        keys.codes,
        keys.own_pepper,
        keys.pepper("o", "s"),
        keys.pepper("o", "t"),
    }
    assert len(found | {keys.pepper("os", ""), keys.secret}) == 7


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_secret_that_others_may_read_is_refused(tmp_path, mode):
    hub_keys(tmp_path / "hub.db")
    key_path(tmp_path / "hub.db").chmod(mode)
    with pytest.raises(TokenError, match="chmod 600"):
        hub_keys(tmp_path / "hub.db")


@pytest.mark.parametrize("text", [b"", b"secret", b"\xff" * 64, b"00" * 31])
def test_what_is_no_secret_is_not_used_as_one(tmp_path, text):
    path = key_path(tmp_path / "hub.db")
    path.touch(0o600)
    path.write_bytes(text)
    with pytest.raises(TokenError):
        hub_keys(tmp_path / "hub.db")


def test_a_register_that_others_may_read_is_refused(tmp_path):
    path = register_path(tmp_path / "hub.db")
    Register(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)
    with pytest.raises(RegisterError, match="chmod 600"):
        Register(path)


def test_a_code_is_read_however_it_is_typed():
    for code in (codes.new_code() for _ in range(50)):
        assert codes.plain(code) == code.replace("-", "")
        assert codes.plain(f" {code.lower().replace('-', ' ')} ") == code.replace("-", "")
    assert codes.plain("OIL0-1234") == "01101234"
    for wrong in ("", "ABCD-EFG", "ABCD-EFGHJ", "ABCD-EFGU", "ABCD_EFGH", "ÀBCD-EFGH"):
        assert codes.plain(wrong) is None


@pytest.mark.parametrize("secret", ["12345", "000000", "123456", "987654", "short", "x" * 129, ""])
def test_a_pin_that_anybody_would_guess_is_not_taken(secret):
    assert pins.problem(secret)


def test_a_verifier_fits_only_with_its_pepper():
    kept = pins.verifier("274951", b"pepper")
    assert kept.startswith("$argon2id$v=19$m=65536,t=3")
    assert pins.fits("274951", kept, b"pepper")
    assert not pins.fits("274951", kept, b"salt")
    assert not pins.fits("274952", kept, b"pepper")
    assert not pins.fits("274951", "no verifier", b"pepper")
    assert not pins.problem("274951")
    assert not pins.problem("correct horse")
