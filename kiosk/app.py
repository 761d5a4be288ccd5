"""The composition root: builds one kiosk, starts it and stops it, each in one fixed order.

What is on the disk is opened first, then the door is shown; whatever draws nothing is imported and
built after the first frame (docs/adr/0013). `tests/kiosk/test_start.py` keeps it so.
"""

from __future__ import annotations

import contextlib
import logging
import signal
import sqlite3
from typing import TYPE_CHECKING, TypeVar

from drivers.events import SensorDown
from kiosk import hubs
from kiosk.attention import Attention
from kiosk.badges import badge_key
from kiosk.clock import HubClock
from kiosk.config import HUB_URL_FILE
from kiosk.credentials import paired, pairing_of, token_of
from kiosk.desk import Desk, DeskSettings
from kiosk.incarnation import PAIRING, unpaired
from kiosk.model import LinkState
from kiosk.rescue import open_store, rescue_note
from kiosk.storefile import StoreError
from ui.shell import Shell, application

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine, Iterator
    from typing import Any

    from drivers.events import ReaderEvent
    from kiosk.clock import Clock
    from kiosk.config import Config
    from kiosk.hubchild import HubChild
    from kiosk.keeper import Keeper
    from kiosk.model import LinkStatus
    from kiosk.pairing import Renewer
    from kiosk.store import Store
    from sync.client import SyncClient

T = TypeVar("T")
_LOG = logging.getLogger(__name__)
# A screen that is switched off never shows a frame; the door must work all the same.
_FRAME_WAIT = 2.0  # seconds
_ENDING = (signal.SIGINT, signal.SIGTERM)


class App:
    """One kiosk: store, desk, screen, reader, own hub and line.

    It is made and shown without an event loop; `start` needs a running qasync loop.
    """

    def __init__(
        self, config: Config, clock: Clock, watch: Callable[[ReaderEvent], None] = lambda _: None
    ) -> None:
        """Open the store.

        Raises `StoreError`, `TokenError`, `PairingError` or `BadgeError` before anything is shown.

        `watch` is told of every reader event on the loop, after the desk.
        """
        self.config = config = paired(config)
        self._clock = clock
        self._watch = watch
        self.token = token_of(config)
        self._pairing = pairing_of(config)
        self._badge_key = badge_key(config)
        self.store: Store = open_store(
            config.database,
            org=config.organisation.id,
            site=config.site.id,
            clock=clock,
            zone=config.site.zone,
        )
        self.store.keep_days = config.storage.keep_days
        settings = DeskSettings(config.organisation.name, config.door.repeat_seconds)
        self._hub_clock = HubClock(clock)
        self._hub_clock.learn(self.store.anchors())
        site = config.site_rules()
        self.desk = Desk(self.store, self._hub_clock, site, settings, self._kick, self._badge_key)
        self.hub: HubChild | None = None
        self.shell: Shell | None = None
        self.client: SyncClient | None = None
        self._renewer: Renewer | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._attention = Attention(self.store, self._to_review)
        self._keeper: Keeper | None = None
        self._brought: frozenset[str] | None = None
        self._fallback: asyncio.TimerHandle | None = None

    def show(self) -> Shell:
        """Open the window on what is known."""
        self.desk.load(notices=int(rescue_note(self.store) is not None))
        if not self.config.sensor.port:
            # Known already: nobody may be asked for a finger, not even in the first picture.
            from drivers.errors import PortMissing  # noqa: PLC0415

            self.desk.sensor_event(SensorDown(PortMissing("no reader is configured"), 0.0))
        screen = self.config.screen
        self.shell = shell = Shell(
            self.desk,
            size=self.config.size,
            scheme=screen.scheme,
            language=screen.language,
            fullscreen=screen.fullscreen and not screen.size,
            reduced_motion=screen.reduced_motion,
            badge=self.config.badge.enabled,
        )
        return shell

    def start(self) -> None:
        """Go live: after the first frame its own hub, what is plugged in, and the line."""
        import asyncio  # noqa: PLC0415

        shell = self.shell or self.show()
        self._loop = loop = asyncio.get_running_loop()
        self.desk.start(loop)
        if not self.config.hub.url:
            from kiosk.hubchild import HubChild  # noqa: PLC0415

            # Its own hub is on the same disk: there is nobody to be paired with anew.
            self.store.set_note(PAIRING, "")
            if not hubs.secret_of(self.config.hub_database).exists():
                self.store.set_note(hubs.NOTE, "")  # its hub will have another key
            self.hub = HubChild(self.config.hub_database, self.token, self._hub_moved)
        self._fallback = loop.call_later(_FRAME_WAIT, self._start_rest)
        shell.when_shown(lambda: loop.call_soon(self._start_rest))

    def stop(self) -> None:
        """The reverse; the store closes last, so that whatever was greeted is on disk."""
        if self._fallback is not None:
            self._fallback.cancel()
            self._fallback = None
        if self._keeper is not None:
            self._keeper.stop()
        if self.client is not None:
            self.client.stop()
        if self._renewer is not None:
            self._renewer.stop()
        if self.hub is not None:
            self.hub.stop()
        self._attention.stop()
        if self.shell is not None:
            self.shell.close()
        self.desk.stop()
        self.store.close()

    def _start_rest(self) -> None:
        if self.client is not None or self._fallback is None:
            return
        self._fallback.cancel()
        for start in (
            self._start_hub,
            self._start_badges,
            self._start_reader,
            self._start_line,
            self._attention.start,
        ):
            try:
                start()
            except Exception:  # noqa: BLE001  a part that cannot start must not keep out the next
                _LOG.exception("a part of the kiosk could not be started")

    def _start_hub(self) -> None:
        if self.hub is not None:
            self.hub.start()

    def _start_badges(self) -> None:
        if self.shell is None or not self.config.badge.enabled:
            return
        from drivers.badge import BadgeParser  # noqa: PLC0415

        self.shell.read_badges(BadgeParser(self.config.badge.format()))
        badges = [badge for person in self.store.people() for badge in person.badges]
        if strange := sum(not self._badge_key.made(badge) for badge in badges):
            _LOG.warning(
                "%d of %d badges were imported with another pepper or organisation, and are not"
                " known here: import the people again",
                strange,
                len(badges),
            )

    def _start_reader(self) -> None:
        from kiosk.keeper import Keeper  # noqa: PLC0415

        self._keeper = keeper = Keeper(self.config, self.store, self._clock, self._from_reader)
        keeper.on_library(lambda: self._soon(self.desk.library_changed))
        self.desk.verify_with(keeper)
        self.desk.watch(lambda _: self._bring_roster(), lambda _: None)
        self._bring_roster()
        keeper.start()

    def _bring_roster(self) -> None:
        """Have those in the sensor who may come now; the keeper does it bit by bit."""
        awaited = self.desk.awaited()
        if self._keeper is not None and awaited != self._brought:
            self._brought = awaited
            self._keeper.roster(awaited)

    def _start_line(self) -> None:
        from sync.client import SyncClient  # noqa: PLC0415

        config = self.config
        token: str | Callable[[], str] = self.token
        if self._pairing is not None:
            from kiosk.pairing import Renewer  # noqa: PLC0415

            self._renewer = Renewer(
                config.directory, self._pairing, self._prove, self._kick, config.hub.ca
            )
            # The machine that a moved disk came from may still be using the token on it.
            if not unpaired(self.store.note(PAIRING), self.token)[0]:
                self._renewer.start()
            token = self._renewer.token
        self.client = SyncClient(
            self.store,
            config.hub.url or self._own_url,
            token,
            self._clock,
            config.site.id,
            config.kiosk.name,
            self._from_line,
            ca=config.hub.ca,
        )
        self.client.start()
        self.store.on_commit(lambda _: self._wake())

    # -- from other threads ------------------------------------------------------------------------

    def _to_review(self, waiting: int) -> None:
        self._soon(self.desk.review_changed, waiting)

    def _from_reader(self, event: ReaderEvent) -> None:
        self._soon(self.desk.sensor_event, event)
        self._soon(self._watch, event)

    def _from_line(self, status: LinkStatus) -> None:
        self._soon(self._line_changed, status)

    def _line_changed(self, status: LinkStatus) -> None:
        # A contact may have told the hub's time: the door's clock and session go by it.
        with contextlib.suppress(sqlite3.Error, StoreError):
            self._hub_clock.learn(self.store.anchors())
        self.desk.link_changed(status)
        if status.state is LinkState.SIGN_IN and self._renewer is not None:
            self._renewer.refused()

    def _soon(self, call: Any, *arguments: object) -> None:  # noqa: ANN401  any of the desk's inputs
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(call, *arguments)

    def _prove(self, incarnation: str, statement: bytes) -> str:
        """Sign for the hub that this kiosk was paired with; in the renewer's thread."""
        signer = self.store.keys.signer(incarnation)
        return signer.prove(statement) if signer is not None else ""

    def _own_url(self) -> str | None:
        return self.hub.url if self.hub is not None else None

    def _hub_moved(self, url: str | None) -> None:
        """Tell other commands of this kiosk where its hub listens, and the client to go there."""
        path = self.config.directory / HUB_URL_FILE
        with contextlib.suppress(OSError):
            if url is None:
                path.unlink(missing_ok=True)
            else:
                path.write_text(url, encoding="ascii")
                self._kick()

    def _wake(self) -> None:
        if self.client is not None:
            self.client.wake()

    def _kick(self) -> None:
        if self.client is not None:
            self.client.kick()


def run_kiosk(config: Config, clock: Clock, shown: Callable[[], object] = lambda: None) -> None:
    """Run the kiosk until its window is closed or it is told to end (SIGINT, SIGTERM).

    Calls `shown` once the first frame is on the screen.
    """
    with _held_back():
        app = App(config, clock)
        try:
            shell = app.show()
            shell.await_frame(_FRAME_WAIT)
            shown()
            run_on_qt(_live(app, shell))
        finally:
            app.stop()


async def _live(app: App, shell: Shell) -> None:
    app.start()
    if shell.window.isVisible():  # else it was closed before there was anybody to hear of it
        await until_told()


def run_on_qt(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on a qasync loop over the one Qt application."""
    import asyncio  # noqa: PLC0415

    from qasync import QEventLoop  # noqa: PLC0415

    with QEventLoop(application()) as loop:
        asyncio.set_event_loop(loop)
        try:
            result: T = loop.run_until_complete(main)
        finally:
            asyncio.set_event_loop(None)
    return result


async def until_told() -> None:
    """Wait for SIGINT, SIGTERM or the last window's close."""
    import asyncio  # noqa: PLC0415

    told = asyncio.Event()
    application().lastWindowClosed.connect(told.set)
    with _signals(told):
        await told.wait()


@contextlib.contextmanager
def _held_back() -> Iterator[None]:
    """Signals to end wait until there is a loop that they can end in good order."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _signals(told: asyncio.Event) -> Iterator[None]:
    """Set `told` on a signal; Qt's loop runs no Python by itself, so a socket has to wake it."""
    import asyncio  # noqa: PLC0415
    import socket  # noqa: PLC0415

    reading, writing = socket.socketpair()
    reading.settimeout(0)
    writing.settimeout(0)
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in _ENDING}
    waker = signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)
    loop.add_reader(reading.fileno(), told.set)
    for number in before:
        signal.signal(number, lambda *_: None)
    # From here on a signal ends the loop; one that was held back comes now.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(waker)
        loop.remove_reader(reading.fileno())
        reading.close()
        writing.close()
