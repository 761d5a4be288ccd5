"""Sealing of templates (AES-256-GCM), and the key ring that is kept outside the database.

VaultError
+-- VaultKeyError     a key is missing, unreadable, or may be read by others
+-- VaultSealError    a sealed template does not open: altered, moved, or sealed with another key

No text of these, and nothing that is logged here, ever holds a key or a template.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import fcntl
import os
import secrets
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from kiosk.errors import KioskError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

CREDENTIAL = "whorl-vault-key"
_KEY_BYTES = 32
_NONCE_BYTES = 12
_PURPOSE = "whorl template 1"
_HEAD = "# Whorl's template keys, oldest first; the last one seals. What is lost here is lost.\n"


class VaultError(KioskError):
    """Root of what the vault raises."""


class VaultKeyError(VaultError):
    """A key is missing, unreadable, or may be read by others; nothing was changed."""


class VaultSealError(VaultError):
    """A sealed template does not open; it was left as it is."""


@dataclass(frozen=True, slots=True)
class Label:
    """What a template is, and whose; it is bound to these, and opens with no other.

    `format` is `<model>/<bytes>`, `generation` that of the library it was read from.
    """

    template: str
    person: str
    format: str
    generation: int


@dataclass(frozen=True, slots=True)
class Sealed:
    """A nonce of 12 bytes, then ciphertext and tag; `key` names the key that opens it."""

    key: str
    box: bytes = field(repr=False)


class Vault:
    """Seals with the last of its keys and opens with any; immutable, for any thread."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        """Take keys of 32 bytes by their ids, oldest first; raises `VaultKeyError` for others."""
        if not keys or any(len(key) != _KEY_BYTES for key in keys.values()):
            raise VaultKeyError(f"a template key must have {_KEY_BYTES} bytes")
        self._ciphers = {name: AESGCM(key) for name, key in keys.items()}
        self.current = list(keys)[-1]

    def __contains__(self, key: str) -> bool:
        return key in self._ciphers

    def seal(self, label: Label, data: bytes) -> Sealed:
        """Encrypt under the current key and a new random nonce, bound to `label` and the key."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        box = self._ciphers[self.current].encrypt(nonce, data, _bound(label, self.current))
        return Sealed(self.current, nonce + box)

    def open(self, label: Label, sealed: Sealed) -> bytes:
        """The data; raises `VaultKeyError` without the key, `VaultSealError` if it does not fit."""
        cipher = self._ciphers.get(sealed.key)
        if cipher is None:
            raise VaultKeyError(
                f"the key {sealed.key} is not in the key ring; put it back to read what it sealed"
            )
        nonce, box = sealed.box[:_NONCE_BYTES], sealed.box[_NONCE_BYTES:]
        try:
            return cipher.decrypt(nonce, box, _bound(label, sealed.key))
        except (InvalidTag, ValueError):
            # From None: what the cipher was working on has no place in anybody's report.
            raise VaultSealError(
                f"template {label.template} does not open with key {sealed.key}:"
                " it was altered or moved, or the key is another of the same name"
            ) from None


class KeyRing:
    """Where the keys are kept: systemd's credential, else a file only its owner can read."""

    def __init__(self, path: Path, environ: Mapping[str, str]) -> None:
        """`$CREDENTIALS_DIRECTORY/whorl-vault-key` goes before `path` if it is there."""
        directory = environ.get("CREDENTIALS_DIRECTORY", "")
        credential = Path(directory) / CREDENTIAL
        self.given = bool(directory) and credential.exists()
        self.path = credential if self.given else path

    def exists(self) -> bool:
        """Whether there are keys at all."""
        return self.path.exists()

    def vault(self) -> Vault:
        """The keys as they are now; raises `VaultKeyError` if they cannot be used."""
        return Vault(self._read())

    def make(self) -> Vault:
        """As `vault`, with a first key if there is none."""
        if not self.exists():
            with contextlib.suppress(FileExistsError):
                self._write(_fresh({}), first=True)
        return self.vault()

    def add(self) -> Vault:
        """Put a new key at the end, which seals from now on; raises `VaultKeyError`."""
        if self.given:
            raise VaultKeyError(
                "the template keys come from systemd: add the new key to that credential instead"
            )
        keys = _fresh(self._read())
        self._write(keys)
        return Vault(keys)

    def retain(self, names: Collection[str]) -> None:
        """Drop all other keys but the current one; what only they open is lost with them."""
        keys = self._read()
        current = list(keys)[-1]
        kept = {name: key for name, key in keys.items() if name in names or name == current}
        if kept != keys and not self.given:
            self._write(kept)

    # -- the file ----------------------------------------------------------------------------------

    def _read(self) -> dict[str, bytes]:
        try:
            with self.path.open(encoding="ascii") as file:
                self._check(os.fstat(file.fileno()))
                text = file.read()
        except FileNotFoundError:
            raise VaultKeyError(f"the template keys are missing: {self.path}") from None
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is no text"
            raise VaultKeyError(f"the template keys in {self.path} cannot be read: {why}") from None
        return self._parsed(text)

    def _check(self, found: os.stat_result) -> None:
        # systemd lets the service in through an access list, which shows as the group's bits.
        others = stat.S_IRWXO if self.given else stat.S_IRWXO | stat.S_IRWXG
        if stat.S_IMODE(found.st_mode) & others:
            raise VaultKeyError(
                f"the template keys in {self.path} can be read by others; do: chmod 600 {self.path}"
            )

    def _parsed(self, text: str) -> dict[str, bytes]:
        keys = {}
        for number, line in enumerate(text.splitlines(), 1):
            if not line.strip() or line.startswith("#"):
                continue
            name, _, key = line.strip().partition(" ")
            try:
                keys[name] = base64.b64decode(key, validate=True)
            except binascii.Error:
                keys[name] = b""
            if len(keys[name]) != _KEY_BYTES:
                raise VaultKeyError(f"line {number} of {self.path} is no template key")
        if not keys:
            raise VaultKeyError(f"{self.path} holds no template key")
        return keys

    def _write(self, keys: Mapping[str, bytes], *, first: bool = False) -> None:
        """The whole file or none of it, on disk when this returns; `first` never overwrites."""
        lines = [f"{name} {base64.b64encode(key).decode()}\n" for name, key in keys.items()]
        try:
            write_private(self.path, (_HEAD + "".join(lines)).encode(), replace=not first)
        except FileExistsError:
            raise
        except OSError as error:
            raise VaultKeyError(
                f"the template keys cannot be written to {self.path}: {error.strerror}"
            ) from None


def write_private(path: Path, data: bytes, *, replace: bool) -> None:
    """A file of mode 0600 that is there whole and durably, or not at all.

    Raises OSError; FileExistsError if there is one already and `replace` is not set.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    with _alone_in(path.parent):
        fresh.unlink(missing_ok=True)
        try:
            _write_new(fresh, data)
            if replace:
                fresh.replace(path)
            else:
                # A link, because a rename would overwrite what is there already.
                path.hardlink_to(fresh)
        finally:
            fresh.unlink(missing_ok=True)


@contextlib.contextmanager
def _alone_in(directory: Path) -> Iterator[None]:
    """One writer at a time in a folder, and its entries on disk at the end."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
        os.fsync(handle)
    finally:
        os.close(handle)


def _write_new(path: Path, data: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _bound(label: Label, key: str) -> bytes:
    """The associated data; as JSON, so that no two labels have the same bytes."""
    fields = (_PURPOSE, label.template, label.person, label.format, label.generation, key)
    return msgspec.json.encode(fields)


def _fresh(keys: Mapping[str, bytes]) -> dict[str, bytes]:
    return {**keys, secrets.token_hex(4): secrets.token_bytes(_KEY_BYTES)}
