"""The hub that a command talks to: a configured one, a running kiosk's, or one started for now."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

from kiosk.config import HUB_URL_FILE, url_problem
from kiosk.credentials import token_of
from kiosk.directory import DirectoryError, HubClient, health
from kiosk.hubchild import HubChild

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kiosk.config import Config

_PROBE, _START = 2.0, 15.0  # seconds


@contextlib.contextmanager
def hub_client(config: Config) -> Iterator[HubClient]:
    """A client of the hub this kiosk uses; its own is started for the moment if it does not run.

    Raises `DirectoryError` if that cannot be done, and what `token_of` raises.
    """
    token, org, site = token_of(config), config.organisation.id, config.site.id
    if url := config.hub.url or running_hub(config):
        yield HubClient(url, token, org, site)
        return
    listening = threading.Event()
    child = HubChild(config.hub_database, token, lambda _: listening.set())
    child.start()
    try:
        if not listening.wait(_START) or child.url is None:
            raise DirectoryError("the hub could not be started; the log says why")
        yield HubClient(child.url, token, org, site)
    finally:
        child.stop()


def running_hub(config: Config) -> str | None:
    """Where a running kiosk's own hub listens; None if none does, whatever the note says."""
    url = noted_url(config)
    if url is None:
        return None
    try:
        health(url, _PROBE)
    except DirectoryError:
        return None
    return url


def noted_url(config: Config) -> str | None:
    """What the last kiosk noted of its hub; one that was killed could not take its note away."""
    try:
        url = (config.directory / HUB_URL_FILE).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return None if url_problem(url) else url
