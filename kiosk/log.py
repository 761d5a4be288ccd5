"""Logging to a rotating file, with secrets taken out on the way."""

from __future__ import annotations

import logging
import re
import sys
from logging.handlers import RotatingFileHandler
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_SECRETS: set[str] = set()
_SHORTEST_SECRET = 8  # a shorter one would take common words out of the log
FORMAT = "%(asctime)s %(levelname)s %(threadName)s %(name)s: %(message)s"
_BYTES, _FILES = 2_000_000, 5
# Whatever looks like a bearer token or "token=..."; a template would be a very long run of hex.
_PATTERNS = (
    (re.compile(r"(?i)(bearer\s+|token[\"']?\s*[=:]\s*[\"']?)[^\s\"',}]+"), r"\1[redacted]"),
    (re.compile(r"(?i)((?:pin|password)[\"']?\s*[=:]\s*[\"']?)[^\s\"',}]+"), r"\1[redacted]"),
    (re.compile(r"\b(?:[0-9a-fA-F]{2}[ :]?){200,}"), "[bytes]"),
)


class Redact(logging.Formatter):
    """Formats a record, traceback included, and takes hidden secrets out of the text."""

    def __init__(self) -> None:
        super().__init__(FORMAT)

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        for secret in tuple(_SECRETS):
            text = text.replace(secret, "[redacted]")
        for pattern, instead in _PATTERNS:
            text = pattern.sub(instead, text)
        return text


def hide(secret: str) -> None:
    """Keep `secret` out of every line from now on; whoever reads one from anywhere calls this."""
    if len(secret) >= _SHORTEST_SECRET:
        _SECRETS.add(secret)


def set_up(directory: Path | None, *, verbose: bool = False) -> None:
    """Send warnings to stderr and everything from INFO to `directory`/whorl.log.

    A log that cannot be written never keeps the door shut: stderr then says so.
    """
    root = logging.getLogger()
    root.setLevel(logging.DEBUG if verbose else logging.INFO)
    formatter = Redact()
    console = logging.StreamHandler(sys.stderr)
    console.setLevel(logging.INFO if verbose else logging.WARNING)
    handlers: list[logging.Handler] = [console]
    problem = None
    if directory is not None:
        try:
            directory.mkdir(parents=True, exist_ok=True)
            handlers.append(
                RotatingFileHandler(
                    directory / "whorl.log", maxBytes=_BYTES, backupCount=_FILES, encoding="utf-8"
                )
            )
        except OSError as error:
            problem = error
    for handler in handlers:
        handler.setFormatter(formatter)
        root.addHandler(handler)
    if problem is not None:
        logging.getLogger(__name__).warning("no log file: %s", problem)
