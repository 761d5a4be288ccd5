"""Artificial fingers: template bytes made from a name, comparable like real ones.

Nothing here comes from a person. Every template begins with a label that says so.
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from enum import StrEnum

LABEL = b"ARTIFICIAL FINGER\0"
_IDENTITY = slice(len(LABEL), len(LABEL) + 16)
_IMPRESSION = slice(_IDENTITY.stop, _IDENTITY.stop + 4)
# A template of which more than this share of its bytes is damaged is nobody's.
_DAMAGE = 1 / 8


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
        name = self.name.encode(errors="surrogatepass")
        return hashlib.blake2b(name, digest_size=16, person=b"finger").digest()


def template(identity: bytes, impression: int, size: int) -> bytes:
    """`size` bytes that stand for one impression of one finger: the same input, the same bytes."""
    head = LABEL + identity + impression.to_bytes(4, "big")
    return head + hashlib.shake_256(head).digest(size - len(head))


@functools.lru_cache(maxsize=4096)
def identity_of(content: bytes) -> bytes | None:
    """Whose template this is; None for bytes not made here, or damaged beyond a little."""
    if not content.startswith(LABEL) or len(content) <= _IMPRESSION.stop:
        return None
    head, rest = content[: _IMPRESSION.stop], content[_IMPRESSION.stop :]
    whole = hashlib.shake_256(head).digest(len(rest))
    wrong = 0 if rest == whole else sum(a != b for a, b in zip(rest, whole, strict=True))
    return content[_IDENTITY] if wrong <= len(rest) * _DAMAGE else None


def merge(first: bytes, second: bytes) -> bytes:
    """RegModel's product: the first finger's template, its impression made from both."""
    mixed = hashlib.blake2b(first[_IMPRESSION] + second[_IMPRESSION], digest_size=4).digest()
    return template(first[_IDENTITY], int.from_bytes(mixed, "big"), len(first))


def chimera(first: bytes, second: bytes) -> bytes:
    """RegModel's product of two fingers: a template that finds neither of them again."""
    both = hashlib.blake2b(first + second, digest_size=16, person=b"chimera").digest()
    return template(both, 0, len(first))


def altered(content: bytes, change: int) -> bytes:
    """The template with a few of its bytes changed: still the same finger, another hash."""
    at = _IMPRESSION.stop + change % (len(content) - _IMPRESSION.stop)
    return content[:at] + bytes((content[at] ^ (change >> 16 & 0xFF | 1),)) + content[at + 1 :]


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
