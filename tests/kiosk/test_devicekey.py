"""The keys that a device signs with: made once, kept from others, told to nobody."""

from __future__ import annotations

import base64

import pytest

from kiosk.devicekey import CREDENTIAL, DeviceKeyError, DeviceKeys
from kiosk.incarnation import machine_id, unpaired
from sync.signing import Signer


@pytest.fixture
def file(tmp_path):
    return tmp_path / "device.key"


def test_a_key_is_made_once_and_for_its_owner_only(file):
    name = DeviceKeys(file).make("one")
    assert file.stat().st_mode & 0o777 == 0o600
    assert DeviceKeys(file).make("one") == DeviceKeys(file).name("one") == name != ""
    assert DeviceKeys(file).make("two") != name
    assert DeviceKeys(file).name("one") == name


def test_an_incarnation_without_a_key_signs_nothing(file):
    keys = DeviceKeys(file)
    assert keys.name("one") == ""
    assert keys.signer("one") is None
    keys.make("one")
    assert keys.signer("one") is keys.signer("one") is not None


def test_a_file_that_others_can_read_is_refused(file):
    keys = DeviceKeys(file)
    keys.make("one")
    file.chmod(0o640)
    for ask in (keys.name, keys.make, keys.signer):
        with pytest.raises(DeviceKeyError, match="chmod 600"):
            ask("one")


@pytest.mark.parametrize("text", ["one nonsense\n", "one QUFB\n", "one\n", "\xff\xfe"])
def test_a_file_that_is_no_key_ring_is_refused_and_left_as_it_is(file, text):
    file.write_bytes(text.encode("latin-1"))
    file.chmod(0o600)
    with pytest.raises(DeviceKeyError):
        DeviceKeys(file).make("two")
    assert file.read_bytes() == text.encode("latin-1")


def test_systemds_credential_serves_every_incarnation(file, tmp_path):
    seed = b"k" * 32
    credential = tmp_path / CREDENTIAL
    credential.write_text(f"* {base64.b64encode(seed).decode()}\n")
    credential.chmod(0o440)
    keys = DeviceKeys(file, {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert keys.make("one") == keys.make("two") != ""
    assert keys.signer("two").public == Signer(seed).public
    assert not file.exists()


def test_a_machine_is_known_by_installation_and_board(tmp_path):
    installed, board = tmp_path / "machine-id", tmp_path / "serial"
    installed.write_text("abc\n")
    alone = machine_id([installed, board])
    board.write_bytes(b"0001\0")
    assert machine_id([installed, board]) != alone
    assert "abc" not in alone
    installed.write_text("uninitialized\n")
    board.unlink()
    assert machine_id([installed, board]) == ""


def test_only_another_token_ends_the_need_to_pair():
    why, note = unpaired("moved", "old")
    assert why == "moved"
    assert unpaired(note, "old") == ("moved", note)
    assert unpaired(note, "new") == ("", "")
    assert unpaired("", "any") == unpaired(None, "any") == ("", "")
