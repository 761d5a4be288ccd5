"""A file of templates for another sensor of the same model: format in the clear, the rest sealed.

One line of JSON (key derivation, nonce, format), then AES-256-GCM of everything else, with that
line as associated data. The key comes from a passphrase by scrypt (RFC 7914). There is no plain
form.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from drivers.templates import Template
from kiosk.errors import KioskError
from kiosk.model import UNREADABLE

if TYPE_CHECKING:
    from collections.abc import Sequence

MIN_PASSPHRASE = 12
MAX_BYTES = 64 << 20
_MAGIC = b"WHORL-TEMPLATES "
_MAX_HEAD = 1024
# 64 MiB and about 0.2 s on a PC; what a file asks for is held within these bounds.
_COST, _LEAST_COST, _MOST_COST = 1 << 16, 1 << 14, 1 << 18
_BLOCK = 8


class BundleError(KioskError):
    """A file of exported templates cannot be made or used."""


class Copy(NamedTuple):
    """One template on its way: whose, and when it was enrolled (UTC ns)."""

    person: str
    taken: int
    template: Template


class _Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: int
    format: str
    count: int
    cost: int
    salt: bytes
    nonce: bytes


class _Item(msgspec.Struct, frozen=True):
    person: str
    taken: int
    digest: str
    data: str


def seal_bundle(copies: Sequence[Copy], format_: str, passphrase: str) -> bytes:
    """The file for `copies`, all of `format_`; raises `BundleError` for a short passphrase."""
    if len(passphrase) < MIN_PASSPHRASE:
        raise BundleError(f"the passphrase must have at least {MIN_PASSPHRASE} characters")
    salt, nonce = secrets.token_bytes(16), secrets.token_bytes(12)
    head = _Head(1, format_, len(copies), _COST, salt, nonce)
    line = _MAGIC + msgspec.json.encode(head) + b"\n"
    items = [
        _Item(c.person, c.taken, c.template.digest, base64.b64encode(c.template.data).decode())
        for c in copies
    ]
    cipher = AESGCM(_key(passphrase, head))
    return line + cipher.encrypt(nonce, msgspec.json.encode(items), line)


def format_of(data: bytes) -> str:
    """`<model>/<bytes>` of what is inside, before anybody asks for a passphrase; `BundleError`."""
    return _head(data)[0].format


def open_bundle(data: bytes, passphrase: str) -> list[Copy]:
    """What is inside; raises `BundleError` for another passphrase or an altered file."""
    head, line = _head(data)
    try:
        plain = AESGCM(_key(passphrase, head)).decrypt(head.nonce, data[len(line) :], line)
    except (InvalidTag, ValueError):
        raise BundleError("the file does not open: another passphrase, or it was altered") from None
    try:
        items = msgspec.json.decode(plain, type=list[_Item])
        return [_copy(item, head.format) for item in items]
    except UNREADABLE:
        raise BundleError("the file was made by a program that makes them differently") from None


def _head(data: bytes) -> tuple[_Head, bytes]:
    end = data.find(b"\n", 0, _MAX_HEAD)
    if not data.startswith(_MAGIC) or end < 0 or len(data) > MAX_BYTES:
        raise BundleError("this is no file of exported templates")
    try:
        head = msgspec.json.decode(data[len(_MAGIC) : end], type=_Head)
    # Bad UTF-8 is a ValueError, not msgspec's own.
    except UNREADABLE:
        raise BundleError("the file's first line is damaged, or of a newer Whorl") from None
    cost_fits = _LEAST_COST <= head.cost <= _MOST_COST and head.cost & (head.cost - 1) == 0
    if head.version != 1 or not cost_fits or len(head.nonce) != 12:
        raise BundleError("the file's first line is damaged, or of a newer Whorl")
    return head, data[: end + 1]


def _key(passphrase: str, head: _Head) -> bytes:
    return hashlib.scrypt(
        passphrase.encode(),
        salt=head.salt,
        n=head.cost,
        r=_BLOCK,
        p=1,
        maxmem=2 * 128 * _BLOCK * _MOST_COST,
        dklen=32,
    )


def _copy(item: _Item, format_: str) -> Copy:
    template = Template(format_, base64.b64decode(item.data, validate=True))
    if template.digest != item.digest:
        raise BundleError("a template in the file is damaged")
    return Copy(item.person, item.taken, template)
