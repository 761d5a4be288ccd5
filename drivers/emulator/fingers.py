"""Artificial fingers: template and image bytes made from a name, comparable like real ones.

Nothing here comes from a person. Every template begins with a label that says so.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from enum import StrEnum

LABEL = b"ARTIFICIAL FINGER\0"
_IDENTITY = slice(len(LABEL), len(LABEL) + 16)
_IMPRESSION = slice(_IDENTITY.stop, _IDENTITY.stop + 4)


class Quality(StrEnum):
    """How a finger lies on the glass."""

    GOOD = "good"
    DRY = "dry"
    WET = "wet"
    PARTIAL = "partial"
    SMUDGED = "smudged"


@dataclass(frozen=True, slots=True)
class Finger:
    """A finger on the glass, known by its name."""

    name: str
    quality: Quality = Quality.GOOD

    @property
    def identity(self) -> bytes:
        """16 bytes that two names never share."""
        return hashlib.blake2b(self.name.encode(), digest_size=16, person=b"finger").digest()


def template(identity: bytes, impression: int, size: int) -> bytes:
    """`size` bytes that stand for one impression of one finger: the same input, the same bytes."""
    head = LABEL + identity + impression.to_bytes(4, "big")
    return head + hashlib.shake_256(head).digest(size - len(head))


def identity_of(content: bytes) -> bytes | None:
    """Whose template this is; None for bytes that this module did not make."""
    return content[_IDENTITY] if content.startswith(LABEL) else None


def merge(first: bytes, second: bytes) -> bytes:
    """RegModel's product: the first finger's template, its impression made from both."""
    mixed = hashlib.blake2b(first[_IMPRESSION] + second[_IMPRESSION], digest_size=4).digest()
    return template(first[_IDENTITY], int.from_bytes(mixed, "big"), len(first))


def compare(probe: bytes, reference: bytes, scores: tuple[int, int]) -> int:
    """The comparison score, within `scores` for one finger, 0 for two; foreign bytes never match.

    Deterministic, but different for each pair of impressions, as a real finger's score is.
    """
    if (identity := identity_of(probe)) is None or identity != identity_of(reference):
        return 0
    low, high = scores
    both = probe[_IMPRESSION] + reference[_IMPRESSION]
    spread = int.from_bytes(hashlib.blake2b(both, digest_size=4).digest(), "big")
    return low + spread % (high - low + 1)


def image(identity: bytes, size: tuple[int, int]) -> bytes:
    """A picture of concentric ridges, two 4-bit pixels to a byte, row by row.

    The first row carries the label and the identity, so that an image sent back to a module is
    still the same finger.
    """
    width, height = size
    centre_x, centre_y = width / 2 + identity[0] % 32 - 16, height / 2 + identity[1] % 32 - 16
    pitch = 7 + identity[2] % 4
    rows = bytearray()
    for y in range(height):
        for x in range(0, width, 2):
            left, right = (
                _ridge(math.hypot(at - centre_x, (y - centre_y) * 0.8), pitch) for at in (x, x + 1)
            )
            rows.append(left << 4 | right)
    head = LABEL + identity
    return head + bytes(rows[len(head) :])


def _ridge(radius: float, pitch: int) -> int:
    return 15 if radius % pitch < pitch / 2 else 2
