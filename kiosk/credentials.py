"""Which token this kiosk shows to its hub."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from sync.hub.tokens import VARIABLE, hub_token, read_token

if TYPE_CHECKING:
    from kiosk.config import Config


def token_of(config: Config) -> str:
    """From the environment, the configured file, or the file of the kiosk's own hub.

    Raises `TokenError` if a file cannot be used, or may be read by others than its owner.
    """
    if config.hub.token_file and VARIABLE not in os.environ:
        return read_token(Path(config.hub.token_file).expanduser())
    config.directory.mkdir(parents=True, exist_ok=True)
    return hub_token(config.hub_database, os.environ)
