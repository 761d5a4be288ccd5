"""The flash of an emulator's modules in a file, so that it outlives the process."""

from __future__ import annotations

import base64
import binascii
import json
import os
from typing import TYPE_CHECKING, Any

from drivers.emulator.memory import Flash
from drivers.packets import DEFAULT_ADDRESS
from drivers.profiles import NOTEPAD_PAGE, PACKET_SIZES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from drivers.profiles import Profile

_VERSION = 1
_MOST_BYTES = 64 << 20
# Parameter -> the greatest value that makes sense.
_NUMBERS = {
    "address": DEFAULT_ADDRESS,
    "password": 0xFFFFFFFF,
    "security_level": 5,
    "packet_code": len(PACKET_SIZES) - 1,
    "baud_code": 12,
}
_AT_LEAST_ONE = frozenset({"security_level", "baud_code"})


class StateFileError(ValueError):
    """The file is damaged, of another profile, or no state file; it was left as it is."""


def load(path: Path, profile: Profile) -> tuple[dict[int, Flash], int]:
    """Each module's flash by its number, and which is plugged in; nothing if there is no file.

    Raises StateFileError, which names the file and what is wrong, or OSError.
    """
    if not path.exists():
        return {}, 0
    try:
        found = json.loads(_content(path))
        return _modules(found, profile), _number(found, "plugged", 0xFFFF)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise StateFileError(f"{path} is no state of a {profile.name}: {error}") from error


def save(path: Path, profile: Profile, modules: Mapping[int, Flash], plugged: int) -> None:
    """Write the file as a whole: a crash leaves the old one or the new one. Raises OSError."""
    content = {
        "emulator": _VERSION,
        "profile": profile.name,
        "plugged": plugged,
        "modules": {str(number): _packed(flash) for number, flash in sorted(modules.items())},
    }
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with fresh.open("w", encoding="ascii") as file:
            json.dump(content, file)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


def _content(path: Path) -> bytes:
    if path.stat().st_size > _MOST_BYTES:
        raise ValueError("it is too large")
    return path.read_bytes()


def _packed(flash: Flash) -> dict[str, Any]:
    return {
        **{name: getattr(flash, name) for name in _NUMBERS},
        "serial": flash.serial.decode("ascii"),
        "library": {str(slot): _text(flash.library[slot]) for slot in sorted(flash.library)},
        "notepad": {str(page): _text(flash.notepad[page]) for page in sorted(flash.notepad)},
    }


def _modules(found: Any, profile: Profile) -> dict[int, Flash]:  # noqa: ANN401 - whatever JSON holds
    if not isinstance(found, dict) or found.get("emulator") != _VERSION:
        raise ValueError(f"it does not say that it is one of version {_VERSION}")
    if found["profile"] != profile.name:
        raise ValueError(f"it is of a {found['profile']}")
    return {int(number): _flash(packed, profile) for number, packed in found["modules"].items()}


def _flash(packed: dict[str, Any], profile: Profile) -> Flash:
    serial = packed["serial"].encode("ascii")
    if len(serial) != 8:
        raise ValueError("a serial number has eight characters")
    return Flash(
        **{name: _number(packed, name, most) for name, most in _NUMBERS.items()},
        serial=serial,
        library=_pages(packed["library"], profile.capacity, profile.template_size),
        notepad=_pages(packed["notepad"], profile.notepad_pages, NOTEPAD_PAGE),
    )


def _number(packed: dict[str, Any], name: str, most: int) -> int:
    value = packed[name]
    least = 1 if name in _AT_LEAST_ONE else 0
    if type(value) is not int or not least <= value <= most:
        raise ValueError(f"{name} is {value!r}")
    return value


def _pages(packed: dict[str, str], count: int, size: int) -> dict[int, bytes]:
    pages = {int(number): _bytes(text) for number, text in packed.items()}
    for number, data in pages.items():
        if not 0 <= number < count or len(data) != size:
            raise ValueError(f"page {number} of {len(data)} bytes")
    return pages


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from error
