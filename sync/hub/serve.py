"""Running a hub as a process of its own, for `kiosk hub`."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import resource
import signal
import sqlite3
import ssl
import sys
from typing import TYPE_CHECKING

from kiosk.clock import SystemClock
from sync.hub.auth.limits import Limits
from sync.hub.errors import HubError, ListenError
from sync.hub.server import Hub
from sync.hub.tokens import url_path

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from sync.hub.backups import Plan


def serve(  # noqa: PLR0913  all but the first four are named
    db: Path,
    host: str,
    port: int,
    token: str,
    *,
    child: bool,
    insecure_lan: bool,
    certificate: tuple[Path, Path] | None = None,
    keep_days: int | None = None,
    viewers_per_token: int | None = None,
    trusted_proxies: Sequence[str] = (),
    backups: Plan | None = None,
) -> int:
    """Run a hub until SIGTERM or SIGINT, or until stdin ends if it is a `child`; the exit code.

    Prints `ready URL` once it listens, and notes the URL in a file beside the database. What keeps
    it from running is one line on stderr and 1. `certificate` is a chain and its key, in PEM.
    Sessions that nothing was added to for `keep_days` are let go. `trusted_proxies` are whose
    `X-Forwarded-For` is believed; `backups` are made by the hub itself.
    """
    limits = Limits() if viewers_per_token is None else Limits(viewers=viewers_per_token)
    _allow_many_files()
    try:
        tls = _tls(*certificate) if certificate else None
        hub = Hub(
            db,
            token,
            host,
            port,
            SystemClock(),
            insecure_lan=insecure_lan,
            tls=tls,
            limits=limits,
            keep_days=keep_days,
            trusted_proxies=trusted_proxies,
            backups=backups,
        )
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_run(hub, url_path(db), child=child))
    except HubError as error:
        return _given_up(str(error))
    except sqlite3.Error as error:
        # The file is a database, but not all in it can be read: a card that decays.
        return _given_up(f"{db} is damaged ({error}); bring back a backup: kiosk hub restore")
    return 0


def _given_up(why: str) -> int:
    print(f"kiosk hub: {why}", file=sys.stderr, flush=True)  # noqa: T201  the command's own word
    return 1


async def _run(hub: Hub, note: Path, *, child: bool) -> None:
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, over.set)
    url = await hub.start()
    _look_for_garbage_seldom()
    _note(note, url)
    print(f"ready {url}", flush=True)  # noqa: T201  what the parent waits for
    if child:
        _watch_stdin(loop, over.set)
    try:
        await over.wait()
    finally:
        _note(note, None)
        await hub.stop()


def _note(path: Path, url: str | None) -> None:
    """Say where the hub listens to commands beside it, which can do without."""
    with contextlib.suppress(OSError):
        if url is None:
            path.unlink(missing_ok=True)
        else:
            path.write_text(url, encoding="ascii")


def _tls(chain: Path, key: Path) -> ssl.SSLContext:
    """What a browser of today accepts; raises `ListenError` if the files cannot be used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(chain, key)
    except (OSError, ssl.SSLError) as error:
        why = error.strerror or error
        raise ListenError(f"the certificate {chain} with {key} cannot be used: {why}") from error
    return context


def _watch_stdin(loop: asyncio.AbstractEventLoop, ended: Callable[[], None]) -> None:
    """Call `ended` when the parent is gone: its end of the pipe closes even if it was killed."""

    def readable() -> None:
        if not os.read(0, 4096):
            loop.remove_reader(0)
            ended()

    try:
        loop.add_reader(0, readable)
    except OSError:  # a file or /dev/null cannot be waited on, and belongs to no parent
        ended()


def _allow_many_files() -> None:
    """As many connections as the machine lets this user have; many give a process only 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and soft < hard:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _look_for_garbage_seldom() -> None:
    """A hub holds many things for long: to look at all of them again and again takes its time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop  # noqa: PLC0415  only where it exists
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop
