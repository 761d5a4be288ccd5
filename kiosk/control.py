"""A running kiosk's socket for its own commands, so that it need not be stopped for them.

`kiosk.sock` in the storage folder, for its owner only (0600). One request a connection, then
replies, each a line of JSON; a command that goes away gives up the enrolment it began. Commands
take turns: whoever does not get one soon is told so, and whoever says nothing keeps nobody waiting.

ControlError    the running kiosk could not do it, or cannot be asked; one line says why
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import socket
import threading
import time
from concurrent.futures import CancelledError
from concurrent.futures import TimeoutError as NotYet
from typing import TYPE_CHECKING, Literal

import msgspec

from drivers.enrolment import Step
from drivers.errors import SensorError
from kiosk import rulings
from kiosk.clock import SystemClock
from kiosk.consent import READER_ONLY, record_consent
from kiosk.errors import KioskError
from kiosk.model import UNREADABLE
from kiosk.survey import summary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from kiosk.keeper import Keeper
    from kiosk.model import Person
    from kiosk.store import Store

_LOG = logging.getLogger(__name__)
SOCKET = "kiosk.sock"
_LONGEST = 4096  # bytes of one line of a request
_LONGEST_REPLY = 1 << 20
_LOOK = 0.2
_SPOKEN = 5.0  # seconds for a whole request
_MOST = 8  # connections at once


class ControlError(KioskError):
    """The running kiosk could not do it, or cannot be asked."""


Order = Literal[
    "enrol",
    "withdraw",
    "revoke",
    "info",
    "adopt",
    "wipe",
    "reprovision",
    "review",
    "resolve",
    "close",
    "reopen",
    "override",
]


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a command wants.

    `consent` is the answer just given, None if it was not asked for; `text` what was asked, and
    `guardian` who answered for a child. Of rulings: `item` names a review item, `staff` who
    decides.
    """

    do: Order
    person: str = ""
    consent: bool | None = None
    text: str = READER_ONLY
    guardian: str = ""
    language: str = "en"
    reason: str = ""
    session: str = ""
    item: str = ""
    status: str = ""
    staff: str = ""


class Reply(msgspec.Struct, frozen=True, omit_defaults=True):
    """A step of an enrolment, or the end: `said` if it was done, else `error`.

    `well` is False where all was done and what was seen is not as it should be.
    """

    step: Step | None = None
    said: tuple[str, ...] = ()
    error: str = ""
    well: bool = True


class ControlServer:
    """Listens on a thread of its own, with one more for each connection; one command at a time."""

    def __init__(self, path: Path, store: Store, keeper: Keeper, turn: float = 3.0) -> None:
        """`turn` is how many seconds a command waits for the one before it."""
        self._path = path
        self._store = store
        self._keeper = keeper
        self._patience = turn
        self._turn = threading.Lock()
        self._listening: socket.socket | None = None
        self._stopping = False
        self._lock = threading.Lock()
        self._served: dict[threading.Thread, socket.socket] = {}
        self._thread = threading.Thread(target=self._serve, name="control", daemon=True)

    def start(self) -> None:
        """Begin to listen; if that cannot be, it is logged, and commands need a stopped kiosk."""
        try:
            self._listening = _listen(self._path)
        except OSError as error:
            _LOG.warning("%s cannot be had: %s; commands need a stopped kiosk", self._path, error)
            return
        self._thread.start()

    def end(self) -> None:
        """Take no further command; `join` once the sensor was stopped."""
        self._stopping = True
        with self._lock:
            connections = list(self._served.values())
        if self._listening is not None:
            connections.append(self._listening)
        for connection in connections:
            # Whoever is still to say something has said nothing; an answer may still be sent.
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RD)

    def join(self) -> None:
        """Wait for the command in hand, and take the socket away; safe to call twice."""
        if self._thread.ident is not None:
            self._thread.join()
        with self._lock:
            threads = list(self._served)
        for thread in threads:
            thread.join()
        if self._listening is not None:
            self._listening.close()
            self._listening = None
            self._path.unlink(missing_ok=True)

    def _serve(self) -> None:
        while self._listening is not None and not self._stopping:
            try:
                connection, _ = self._listening.accept()
            except OSError as error:
                if not self._stopping:
                    _LOG.warning("a command could not be taken: %s", error)
                    time.sleep(_LOOK)  # out of descriptors: it would fail again at once
                continue
            self._take(connection)

    def _take(self, connection: socket.socket) -> None:
        connection.settimeout(_SPOKEN)
        thread = threading.Thread(target=self._attend, args=(connection,), daemon=True)
        with self._lock:
            room = len(self._served) < _MOST and not self._stopping
            if room:
                self._served[thread] = connection
                thread.start()
        if not room:
            with connection:
                _send(connection, Reply(error="too many commands at once; try again"))

    def _attend(self, connection: socket.socket) -> None:
        try:
            with connection, contextlib.suppress(OSError):
                _send(connection, self._answer(connection))
        finally:
            with self._lock:
                self._served.pop(threading.current_thread(), None)

    def _answer(self, connection: socket.socket) -> Reply:
        try:
            request = msgspec.json.decode(_line(connection), type=Request)
            with self._in_turn():
                return self._obey(request, connection)
        except SensorError as error:
            return Reply(error=f"{error.sentence} {error.advice}")
        except (KioskError, *UNREADABLE) as error:
            return Reply(error=str(error))
        except CancelledError:
            return Reply(error="it was given up before its turn")
        except OSError:
            raise
        except Exception:  # noqa: BLE001 - one command's trouble must not keep out the next
            _LOG.exception("a command failed")
            return Reply(error="the kiosk could not do it; its log says why")

    @contextlib.contextmanager
    def _in_turn(self) -> Iterator[None]:
        if not self._turn.acquire(timeout=self._patience):
            raise ControlError("the kiosk is busy with another command; try again after it")
        try:
            yield
        finally:
            self._turn.release()

    def _obey(self, request: Request, connection: socket.socket) -> Reply:
        match request.do:
            case "enrol" | "withdraw" | "revoke":
                return Reply(said=tuple(self._for_somebody(request, connection)))
            case "review" | "resolve" | "close" | "reopen" | "override":
                return Reply(said=tuple(ruled(self._store, request, self._now())))
            case _:
                return self._for_the_sensor(request.do)

    def _now(self) -> int:
        return rulings.moment(self._store, SystemClock())

    def _for_the_sensor(self, do: Order) -> Reply:
        keeper = self._keeper
        if do == "info":
            seen = keeper.look().result()
            return Reply(said=tuple(seen.lines()), well=seen.well)
        if do == "reprovision":
            return Reply(said=tuple(keeper.reprovision().result().lines()))
        done = (keeper.adopt() if do == "adopt" else keeper.wipe()).result()
        word = "Adopted" if do == "adopt" else "Wiped"
        return Reply(said=(f"{word} {done.stamp.sensor}: {summary(done)}.",))

    def _for_somebody(self, request: Request, connection: socket.socket) -> list[str]:
        person = next((p for p in self._store.people() if p.id == request.person), None)
        known = request.do == "revoke" and self._keeper.knows(request.person)
        if person is None and not known:
            raise ControlError(f'nobody has the id "{request.person}" here')
        if request.do == "enrol" and person is not None:
            return self._enrol(request, person, connection)
        keeper = self._keeper
        if request.do == "withdraw":
            keeper.withdraw(request.person, language=request.language).result()
        else:
            keeper.revoke(request.person, reason=request.reason).result()
        return self._destroyed()

    def _enrol(self, request: Request, person: Person, connection: socket.socket) -> list[str]:
        if request.consent is not None:
            record_consent(
                self._store,
                person,
                request.language,
                given=request.consent,
                text=request.text,
                guardian=request.guardian,
            )
        future = self._keeper.enrol(person, lambda step: _send(connection, Reply(step=step)))
        while True:
            try:
                done = future.result(_LOOK)
            except NotYet:
                if future.done():
                    raise
                if _gone(connection) and not future.cancel():
                    self._keeper.cancel_enrolment()
                continue
            said = f"{person.first_name} is enrolled in slot {done.slot} (score {done.score})."
            return [said, done.advice] if done.advice else [said]

    def _destroyed(self) -> list[str]:
        try:
            self._keeper.finish_orders().result()
        except SensorError as error:
            if not self._keeper.destroy_copies():
                rest = f"{error.sentence} What it holds is deleted when it is back."
                return ["Recorded, and no finger is known by it any more.", rest]
        return ["Destroyed here; every other kiosk does the same as soon as it hears of it."]


def ruled(store: Store, request: Request, now: int) -> list[str]:
    """Do what staff ask for of attendance; `now` is UTC ns. Raises `RulingError`."""
    if request.do == "review":
        return rulings.shown(store, request.item) if request.item else rulings.listed(store)
    by = rulings.staff(store, request.staff or rulings.OWNER)
    match request.do:
        case "resolve":
            return rulings.resolve(store, request.item, by)
        case "close":
            return rulings.close(store, request.session, by, now)
        case "reopen":
            return rulings.reopen(store, request.session, by, now)
    about = (request.person, request.status, request.session, request.reason)
    return rulings.override(store, *about, by, now)


def ask(path: Path, request: Request, told: Callable[[Step], None] = lambda _: None) -> Reply:
    """Have the running kiosk do it. Raises `ControlError` with what it says instead."""
    try:
        with socket.socket(socket.AF_UNIX) as connection, _short(path) as name:
            connection.connect(name)
            connection.sendall(msgspec.json.encode(request) + b"\n")
            return _read_replies(connection, told)
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise ControlError(
            "the running kiosk takes no commands yet; try again in a few seconds, or stop it first"
        ) from error
    except (OSError, *UNREADABLE) as error:
        raise ControlError(f"the running kiosk cannot be asked ({error}); stop it first") from error


def _read_replies(connection: socket.socket, told: Callable[[Step], None]) -> Reply:
    with connection.makefile("rb") as lines:
        while line := lines.readline(_LONGEST_REPLY):
            reply = msgspec.json.decode(line, type=Reply)
            if reply.error:
                raise ControlError(reply.error)
            if reply.step is None:
                return reply
            told(reply.step)
    raise ControlError("the running kiosk ended before it had answered")


def _listen(path: Path) -> socket.socket:
    # Whoever has the database may take away what a killed kiosk left.
    path.unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX)
    try:
        with _short(path) as name:
            before = os.umask(0o177)
            try:
                listening.bind(name)
            finally:
                os.umask(before)
        listening.listen(_MOST)
    except OSError:
        listening.close()
        raise
    return listening


@contextlib.contextmanager
def _short(path: Path) -> Iterator[str]:
    """A name of it that fits into the 108 bytes of a socket's address."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def _line(connection: socket.socket) -> bytes:
    data, deadline = b"", time.monotonic() + _SPOKEN
    while not data.endswith(b"\n") and len(data) < _LONGEST:
        if (left := deadline - time.monotonic()) <= 0:
            raise TimeoutError("the request did not come to an end in time")
        connection.settimeout(left)
        if not (more := connection.recv(_LONGEST - len(data))):
            break
        data += more
    connection.settimeout(_SPOKEN)
    return data


def _send(connection: socket.socket, reply: Reply) -> None:
    # Whoever went away need not hear of it; that it went is noticed elsewhere.
    with contextlib.suppress(OSError):
        connection.sendall(msgspec.json.encode(reply) + b"\n")


def _gone(connection: socket.socket) -> bool:
    try:
        readable, _, _ = select.select([connection], [], [], 0)
        return bool(readable) and not connection.recv(1, socket.MSG_PEEK)
    except OSError:
        return True  # reset: it ended with steps that it had not read
