"""Seals that open for nobody else, and keys that are never half there."""

from __future__ import annotations

import base64
import itertools
import logging
import stat
import threading
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiosk.vault import CREDENTIAL, KeyRing, Label, Sealed, Vault, VaultKeyError, VaultSealError

LABEL = Label("t1", "ann", "r307/512", 4)
DATA = b"ARTIFICIAL FINGER" * 30


@pytest.fixture
def ring(tmp_path):
    return KeyRing(tmp_path / "vault.key", {})


def test_what_is_sealed_opens_again_and_shows_nothing(ring):
    vault = ring.make()
    sealed = vault.seal(LABEL, DATA)
    assert vault.open(LABEL, sealed) == DATA
    assert b"ARTIFICIAL" not in sealed.box
    assert "box" not in repr(sealed)


def test_the_same_data_is_never_sealed_to_the_same_bytes(ring):
    vault = ring.make()
    nonces = {vault.seal(LABEL, DATA).box[:12] for _ in range(500)}
    assert len(nonces) == 500


@pytest.mark.parametrize(
    "moved",
    [
        replace(LABEL, template="t2"),
        replace(LABEL, person="bob"),
        replace(LABEL, format="r503/1536"),
        replace(LABEL, generation=5),
        Label("t", "1ann", "r307/512", 4),
    ],
    ids=["template", "person", "format", "generation", "shifted"],
)
def test_a_seal_moved_to_another_label_does_not_open(ring, moved):
    vault = ring.make()
    sealed = vault.seal(LABEL, DATA)
    with pytest.raises(VaultSealError, match="does not open"):
        vault.open(moved, sealed)


def test_a_seal_said_to_be_of_another_key_does_not_open(ring):
    first = ring.make()
    sealed = first.seal(LABEL, DATA)
    both = ring.add()
    assert both.open(LABEL, sealed) == DATA
    with pytest.raises(VaultSealError):
        both.open(LABEL, Sealed(both.current, sealed.box))


def test_the_keys_name_is_part_of_the_seal():
    twins = Vault({"a": bytes(32), "b": bytes(32)})
    with pytest.raises(VaultSealError):
        twins.open(LABEL, Sealed("a", twins.seal(LABEL, DATA).box))


@given(at=st.integers(0, 12 + len(DATA) + 15), bit=st.integers(0, 7))
def test_no_bit_can_be_changed(at, bit):
    vault = Vault({"k": bytes(32)})
    box = bytearray(vault.seal(LABEL, DATA).box)
    box[at] ^= 1 << bit
    with pytest.raises(VaultSealError):
        vault.open(LABEL, Sealed("k", bytes(box)))


@pytest.mark.parametrize("length", range(30))
def test_a_seal_cut_short_is_a_plain_refusal(length):
    vault = Vault({"k": bytes(32)})
    with pytest.raises(VaultSealError):
        vault.open(LABEL, Sealed("k", vault.seal(LABEL, b"").box[:length][:27]))


def test_no_error_shows_key_or_template(ring, caplog):
    caplog.set_level(logging.DEBUG)
    vault = ring.make()
    sealed = vault.seal(LABEL, DATA)
    key = ring.path.read_text().split()[-1]
    ring.path.write_text(f"abc {key[:-8]}\n")
    with pytest.raises(VaultKeyError) as short:
        ring.vault()
    with pytest.raises(VaultKeyError) as missing:
        vault.open(LABEL, Sealed("gone", sealed.box))
    with pytest.raises(VaultSealError) as altered:
        vault.open(replace(LABEL, person="bob"), sealed)
    for caught in (short, missing, altered):
        assert caught.value.__cause__ is None
        said = f"{caught.value!r} {caught.value.__context__!r} {caplog.text}"
        assert key[:12] not in said
        assert "ARTIFICIAL" not in said
    assert "gone" in str(missing.value)


def test_the_first_key_is_made_private_and_only_once(ring):
    first = ring.make()
    assert stat.S_IMODE(ring.path.stat().st_mode) == 0o600
    assert ring.make().current == first.current
    assert list(ring.path.parent.iterdir()) == [ring.path]


def test_many_who_make_the_first_key_agree_on_it(ring):
    made, start = [], threading.Barrier(8)

    def make():
        start.wait()
        made.append(KeyRing(ring.path, {}).make().seal(LABEL, DATA))

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 8
    assert {ring.vault().open(LABEL, sealed) for sealed in made} == {DATA}


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666])
def test_keys_that_others_can_read_are_refused(ring, mode):
    ring.make()
    before = ring.path.read_bytes()
    ring.path.chmod(mode)
    for use in (ring.vault, ring.make, ring.add):
        with pytest.raises(VaultKeyError, match="chmod 600"):
            use()
    assert ring.path.read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"# nothing\n", b"k \n", b"k !!!!\n", b"\xff\xfe", b"k"])
def test_a_file_that_is_no_key_ring_is_refused_and_left_alone(ring, content):
    ring.path.write_bytes(content)
    ring.path.chmod(0o600)
    for use in (ring.vault, ring.make, ring.add):
        with pytest.raises(VaultKeyError, match=str(ring.path)):
            use()
    assert ring.path.read_bytes() == content


def test_a_missing_ring_is_said_to_be_missing(ring):
    with pytest.raises(VaultKeyError, match="missing"):
        ring.vault()


def test_a_new_key_seals_and_the_old_ones_open_until_they_are_dropped(ring):
    old = ring.make().seal(LABEL, DATA)
    vault = ring.add()
    new = vault.seal(LABEL, DATA)
    assert new.key != old.key
    assert [ring.vault().open(LABEL, s) for s in (old, new)] == [DATA, DATA]
    ring.retain({new.key})
    assert ring.vault().open(LABEL, new) == DATA
    with pytest.raises(VaultKeyError, match=old.key):
        ring.vault().open(LABEL, old)


def test_the_current_key_is_never_dropped(ring):
    ring.make()
    vault = ring.add()
    ring.retain(set())
    assert ring.vault().current == vault.current


@pytest.fixture
def credential(tmp_path):
    """A ring as systemd hands it to a service: readable by the group, by an access list."""
    path = tmp_path / "credentials" / CREDENTIAL
    path.parent.mkdir()
    path.write_text(f"given {base64.b64encode(bytes(range(32))).decode()}\n")
    path.chmod(0o440)
    return path


def test_systemds_credential_goes_before_the_file_and_is_never_written(ring, credential, tmp_path):
    ring.make()
    given = KeyRing(ring.path, {"CREDENTIALS_DIRECTORY": str(credential.parent)})
    before = credential.read_bytes()
    assert given.make().current == "given"
    with pytest.raises(VaultKeyError, match="systemd"):
        given.add()
    given.retain({"x"})
    assert credential.read_bytes() == before
    credential.chmod(0o444)
    with pytest.raises(VaultKeyError, match="others"):
        given.vault()


def test_a_write_cut_at_any_call_leaves_a_whole_ring(ring, monkeypatch):
    """Every call on the way to the disk fails in turn, as on a full or broken disk."""
    ring.make()
    sealed = ring.vault().seal(LABEL, DATA)
    failed = 0
    for name in ("os.open", "os.fsync", "pathlib.Path.replace"):
        for call in itertools.count():
            with monkeypatch.context() as patch:
                patch.setattr(name, _failing(name, call))
                try:
                    ring.add()
                except VaultKeyError as error:
                    assert "No space" in str(error)  # noqa: PT017 - the loop ends by success
                    failed += 1
                else:
                    break
                finally:
                    assert ring.vault().open(LABEL, sealed) == DATA
        assert list(ring.path.parent.iterdir()) == [ring.path]
    assert failed == 5, "opening the folder and the file, syncing both, renaming"


def _failing(name, call):
    import os  # noqa: PLC0415 - the originals, looked up before they are replaced
    from pathlib import Path  # noqa: PLC0415 - the same

    original = {"os.open": os.open, "os.fsync": os.fsync, "pathlib.Path.replace": Path.replace}
    calls = itertools.count()

    def maybe(*args, **kwargs):
        if next(calls) == call:
            raise OSError(28, "No space left on device")
        return original[name](*args, **kwargs)

    return maybe
