"""Badge and QR readers that act as a keyboard: keys and their times in, tokens out.

A reader in keyboard ("wedge") mode types a badge's text at machine speed and ends it with Enter
or Tab. Whose key it was is known only afterwards, so each key is kept until it is: a person's are
given back in order, a reader's are not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

K = TypeVar("K")

ENDS = frozenset("\r\n\t")
# Nobody presses so many keys with less than the gap between them; a reader of badges always does.
BURST = 4
# Seconds in which what follows a scan that broke off, or a key or two, may be the rest of a scan.
REST = 0.5

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*([^?#]*)")


@dataclass(frozen=True, slots=True)
class BadgeFormat:
    """What the reader is set to type; times in seconds, lengths in characters.

    `prefix` and `suffix` are demanded if set, and not part of the token. A token has at least
    `shortest` (3 or more) characters, a scan at most `longest`. `gap` is the longest time between
    two keys of one scan, `debounce` how long a badge must have been away to count again.
    `pattern` is a regular expression; see `token_in`.
    """

    prefix: str = ""
    suffix: str = ""
    shortest: int = 4
    longest: int = 128
    gap: float = 0.05
    debounce: float = 2.5
    pattern: str = ""


class Ignored(StrEnum):
    """Why a scan gave no token; says nothing of what it held."""

    SHORT = "shorter than a token"
    LONG = "longer than a scan may be"
    FOREIGN = "without the prefix or suffix that was set"
    BROKEN = "it was not read in one piece"
    REPEATED = "the same badge again"


@dataclass(frozen=True, slots=True)
class Heard(Generic[K]):
    """What is known after a key: a token, a scan that gave none, and keys that a person typed.

    `typed` holds the origins of those keys, oldest first; whoever waits for keys may have them.
    """

    token: str | None = None
    ignored: Ignored | None = None
    typed: tuple[K, ...] = ()


class BadgeParser(Generic[K]):
    """Tells one keyboard-wedge reader from a person's typing. Never raises on any key or time.

    Each key comes with its `origin`, whatever the caller wants back if a person pressed it.
    Memory is bounded by the format's lengths and by the badges of one debounce time.
    """

    def __init__(self, form: BadgeFormat | None = None) -> None:
        """Raises `re.error` if the format's pattern is none, ValueError if it is too short."""
        form = form or BadgeFormat()
        if form.shortest < BURST - 1:
            raise ValueError(f"a badge's token must have at least {BURST - 1} characters")
        re.compile(form.pattern)
        self.form = form
        self._capacity = len(form.prefix) + form.longest + len(form.suffix)
        self._text: list[str] = []
        self._keys = 0
        self._held: list[K] = []
        self._last = float("-inf")
        self._ended = float("-inf")
        self._broken = float("-inf")
        self._stray = float("-inf")
        self._began = float("-inf")
        self._seen: dict[str, float] = {}

    @property
    def gap(self) -> float:
        """After so many seconds without a key, call `pause`."""
        return self.form.gap

    def key(self, character: str, at: float, origin: K) -> Heard[K]:
        """Take one key: its character (Enter and Tab as control characters), monotonic seconds."""
        before = self.pause() if at - self._last > self.form.gap else Heard()
        self._last = at
        now = self._end(at, origin) if character in ENDS else self._add(character, at, origin)
        return Heard(now.token, now.ignored or before.ignored, before.typed + now.typed)

    def pause(self) -> Heard[K]:
        """No key came within the gap: whatever is unfinished was not, or not wholly, a scan."""
        keys, typed = self._keys, tuple(self._held)
        self._clear()
        if not keys:
            return Heard()
        if keys < BURST:
            self._stray = self._last
            return Heard(typed=typed)
        self._broken = self._last
        return Heard(ignored=Ignored.BROKEN)

    def _add(self, character: str, at: float, origin: K) -> Heard[K]:
        if self._in_rest(at):
            self._broken = at
            return Heard()
        if not self._keys:
            self._began = at
        self._keys += 1
        if len(self._text) <= self._capacity:
            self._text.append(character)
        self._held.append(origin)
        if self._keys >= BURST:
            self._held.clear()
        return Heard()

    def _end(self, at: float, origin: K) -> Heard[K]:
        if self._in_rest(at):
            self._broken = float("-inf")
            self._ended = at
            return Heard()
        if not self._keys:
            # Some readers end with two keys, as in CR LF.
            second = at - self._ended <= self.form.gap
            return Heard() if second else Heard(typed=(origin,))
        text, keys, held = "".join(self._text), self._keys, tuple(self._held)
        self._clear()
        if keys + 1 < BURST:
            return Heard(typed=(*held, origin))
        self._ended = at
        return self._scanned(text, at)

    def _scanned(self, text: str, at: float) -> Heard[K]:
        form = self.form
        if self._began - self._stray <= REST:
            return Heard(ignored=Ignored.BROKEN)
        if len(text) > self._capacity:
            return Heard(ignored=Ignored.LONG)
        if not text.startswith(form.prefix) or not text.endswith(form.suffix):
            return Heard(ignored=Ignored.FOREIGN)
        inner = text[len(form.prefix) : len(text) - len(form.suffix)]
        token = token_in(inner, form.pattern)
        if len(token) < form.shortest:
            return Heard(ignored=Ignored.SHORT)
        if self._repeated(token, at):
            return Heard(ignored=Ignored.REPEATED)
        return Heard(token)

    def _repeated(self, token: str, at: float) -> bool:
        """Whether it was there a moment ago; a badge that is held on counts as staying."""
        debounce = self.form.debounce
        self._seen = {k: seen for k, seen in self._seen.items() if at - seen <= debounce}
        known = token in self._seen
        self._seen[token] = at
        return known

    def _in_rest(self, at: float) -> bool:
        # The tail of a broken scan could be the number of somebody else's badge.
        return at - self._broken <= REST

    def _clear(self) -> None:
        self._text.clear()
        self._held.clear()
        self._keys = 0


def token_in(text: str, pattern: str = "") -> str:
    """What identifies a badge in all that its reader typed.

    With a pattern, its first group (or, without groups, what it matches), where it is found; else
    the last part of an address's path ("https://club.example/m/4711?x=1" gives "4711"), else all
    of the text, without the spaces around it. Raises `re.error` if the pattern is none.
    """
    text = text.strip()
    if pattern and (found := re.search(pattern, text)):
        return (found[1] if found.re.groups else found[0]) or ""
    if address := _ADDRESS.match(text):
        parts = [part for part in address[1].split("/") if part]
        return parts[-1] if parts else text
    return text
