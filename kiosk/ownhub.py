"""The hub that a command talks to: a configured one, a running kiosk's, or one started for now."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

from kiosk.config import HUB_URL_FILE, url_problem
from kiosk.credentials import paired, token_of
from kiosk.directory import DirectoryError, HubClient, health
from kiosk.hubchild import HubChild
from sync.hub.tokens import url_path

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from kiosk.config import Config

_PROBE, _START = 2.0, 15.0  # seconds


@contextlib.contextmanager
def hub_client(config: Config) -> Iterator[HubClient]:
    """A client of the hub this kiosk uses; its own is started for the moment if it does not run.

    Raises `DirectoryError` if that cannot be done, and what `token_of` raises.
    """
    config = paired(config)
    token, org, site = token_of(config), config.organisation.id, config.site.id
    if config.hub.url:
        yield HubClient(config.hub.url, token, org, site, config.hub.ca)
        return
    with client_of(config.hub_database, token, org, site, config.hub.ca) as client:
        yield client


@contextlib.contextmanager
def client_of(
    db: Path, token: str, org: str, site: str, ca: Path | None = None, known_as: str = ""
) -> Iterator[HubClient]:
    """A client of the hub at `db`, which is started for the moment if it does not run.

    One that speaks TLS is asked by the name it is `known_as`, for which its certificate is, before
    where it listens. Raises `DirectoryError` if that cannot be done.
    """
    noted = noted_beside(db) or ""
    secure = noted.startswith("https:")
    for name in (known_as, noted) if secure else (noted,):
        if url := _answering(name or None, ca):
            yield HubClient(url, token, org, site, ca)
            return
    listening = threading.Event()
    child = HubChild(db, token, lambda _: listening.set())
    child.start()
    try:
        if not listening.wait(_START) or child.url is None:
            runs = f", or {noted} is not trusted (kiosk hub init --url, [hub] ca_file)"
            raise DirectoryError(
                f"the hub could not be started; the log says why{runs if secure else ''}"
            )
        yield HubClient(child.url, token, org, site)
    finally:
        child.stop()


def running_hub(config: Config) -> str | None:
    """Where a running kiosk's own hub listens; None if none does, whatever the note says."""
    return _answering(noted_url(config), config.hub.ca)


def noted_url(config: Config) -> str | None:
    """What the last kiosk noted of its hub; one that was killed could not take its note away."""
    return noted_beside(config.hub_database)


def noted_beside(db: Path) -> str | None:
    """Where the hub at `db` was last said to listen: by itself, or by the kiosk that runs it."""
    for path in (url_path(db), db.with_name(HUB_URL_FILE)):
        try:
            url = path.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            continue
        if not url_problem(url):
            return url
    return None


def _answering(url: str | None, ca: Path | None) -> str | None:
    if url is None:
        return None
    try:
        health(url, _PROBE, ca)
    except DirectoryError:
        return None
    return url
