"""Which token this kiosk shows to its hub."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from kiosk import log
from kiosk.config import make_folder
from sync.hub.tokens import VARIABLE, hub_token, read_token

if TYPE_CHECKING:
    from kiosk.config import Config


def token_of(config: Config) -> str:
    """From the environment, the configured file, or the file of the kiosk's own hub.

    The log never shows it. Raises `TokenError` if a file cannot be used, or may be read by others
    than its owner, and `ConfigError` if there is no folder for the own hub's.
    """
    if config.hub.token_file and not os.environ.get(VARIABLE, "").strip():
        token = read_token(Path(config.hub.token_file).expanduser())
    else:
        make_folder(config.directory)
        token = hub_token(config.hub_database, os.environ)
    log.hide(token)
    return token
