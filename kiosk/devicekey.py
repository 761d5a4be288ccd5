"""The private keys that this device signs its events with, one per incarnation, in a 0600 file.

They are kept outside the database, so that whoever gets hold of a copy of that alone can forge
nothing. systemd may hand a key in as the credential `whorl-device-key`, which then serves every
incarnation.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import secrets
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from kiosk.errors import KioskError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sync.signing import Signer

CREDENTIAL = "whorl-device-key"
FILE = "device.key"
_KEY_BYTES = 32
_ANY = "*"
_HEAD = (
    "# Whorl's device keys: incarnation and private key. Whoever has them can sign as this kiosk.\n"
)


class DeviceKeyError(KioskError):
    """The device's key cannot be read, or may be read by others; nothing was changed."""


class DeviceKeys:
    """The key ring of one device; cheap until something is to be signed."""

    def __init__(
        self,
        path: Path,
        environ: Mapping[str, str] = os.environ,
        entropy: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        """`$CREDENTIALS_DIRECTORY/whorl-device-key` goes before `path` if it is there."""
        directory = environ.get("CREDENTIALS_DIRECTORY", "")
        credential = Path(directory) / CREDENTIAL
        self._given = bool(directory) and credential.exists()
        self.path = credential if self._given else path
        self._entropy = entropy
        self._signers: dict[str, Signer] = {}

    def name(self, incarnation: str) -> str:
        """What the incarnation's key is called, without telling it; "" if there is none.

        Raises `DeviceKeyError`.
        """
        key = self._key(self._read(), incarnation)
        return (
            hashlib.blake2b(key, digest_size=8, person=b"whorl device").hexdigest() if key else ""
        )

    def make(self, incarnation: str) -> str:
        """As `name`, with a new key if there is none; it is on disk when this returns."""
        keys = self._read()
        if self._key(keys, incarnation) is None:
            keys[incarnation] = self._entropy(_KEY_BYTES)
            self._write(keys)
        return self.name(incarnation)

    def signer(self, incarnation: str) -> Signer | None:
        """Signs for an incarnation; None if its key is not here. Raises `DeviceKeyError`."""
        if incarnation not in self._signers:
            # Late: it brings OpenSSL, which the first frame need not wait for.
            from sync.signing import Signer  # noqa: PLC0415

            key = self._key(self._read(), incarnation)
            if key is None:
                return None
            self._signers[incarnation] = Signer(key)
        return self._signers[incarnation]

    # -- the file ----------------------------------------------------------------------------------

    def _key(self, keys: Mapping[str, bytes], incarnation: str) -> bytes | None:
        return keys.get(incarnation, keys.get(_ANY) if self._given else None)

    def _read(self) -> dict[str, bytes]:
        try:
            with self.path.open(encoding="ascii") as file:
                mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
                text = file.read()
        except FileNotFoundError:
            return {}
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is no text"
            raise DeviceKeyError(f"the device's key in {self.path} cannot be read: {why}") from None
        # systemd lets the service in through an access list, which shows as the group's bits.
        if mode & (stat.S_IRWXO if self._given else stat.S_IRWXO | stat.S_IRWXG):
            raise DeviceKeyError(
                f"the device's key in {self.path} can be read by others; do: chmod 600 {self.path}"
            )
        return self._parsed(text)

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
                raise DeviceKeyError(f"line {number} of {self.path} is no device key")
        return keys

    def _write(self, keys: Mapping[str, bytes]) -> None:
        """The whole file or none of it, on disk when this returns."""
        lines = [f"{name} {base64.b64encode(key).decode()}\n" for name, key in keys.items()]
        data = (_HEAD + "".join(lines)).encode()
        fresh = self.path.with_name(f".{self.path.name}.new")
        try:
            fresh.unlink(missing_ok=True)
            handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self.path)
        except OSError as error:
            raise DeviceKeyError(
                f"the device's key cannot be written to {self.path}: {error.strerror}"
            ) from None
