"""Which hub this kiosk talks to, and which token it shows there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from kiosk import log
from kiosk.config import PAIRING_FILE, make_folder
from sync.hub.tokens import VARIABLE, hub_token, read_token

if TYPE_CHECKING:
    from kiosk.config import Config
    from kiosk.pairing import Pairing


def paired(config: Config) -> Config:
    """The settings, with the hub that this kiosk was paired with.

    Raises `PairingError` if the pairing cannot be read, or the settings name another hub.
    """
    found = kept_pairing(config)
    if found is None:
        return config
    return msgspec.structs.replace(config, hub=msgspec.structs.replace(config.hub, url=found.url))


def pairing_of(config: Config) -> Pairing | None:
    """The pairing whose token is shown, None if another token is: of the environment or a file.

    Raises `PairingError` as `paired` does.
    """
    if config.hub.token_file or os.environ.get(VARIABLE, "").strip():
        return None
    return kept_pairing(config)


def token_of(config: Config) -> str:
    """From the environment, the configured file, the pairing, or the file of the kiosk's own hub.

    The log never shows it. Raises `TokenError` or `PairingError` if a file cannot be used, or may
    be read by others than its owner, and `ConfigError` if there is no folder for the own hub's.
    """
    given = os.environ.get(VARIABLE, "").strip()
    if config.hub.token_file and not given:
        token = read_token(Path(config.hub.token_file).expanduser())
    elif not given and (found := pairing_of(config)) is not None:
        token = found.token
    else:
        make_folder(config.directory)
        token = hub_token(config.hub_database, os.environ)
    log.hide(token)
    return token


def kept_pairing(config: Config) -> Pairing | None:
    """The pairing of this kiosk, whichever token it shows; None if it is not paired.

    Raises `PairingError` as `paired` does.
    """
    if not os.path.lexists(config.directory / PAIRING_FILE):
        return None
    # What it imports to speak HTTP costs the kiosk a twentieth of its time to the first frame.
    from kiosk import pairing  # noqa: PLC0415

    found = pairing.kept(config.directory)
    if found is not None and (config.hub.url or found.url).rstrip("/") != found.url:
        raise pairing.PairingError(
            f"the settings name the hub {config.hub.url}, but this kiosk is paired with"
            f" {found.url}: take [hub] url out, or end the pairing with kiosk unpair"
        )
    return found
