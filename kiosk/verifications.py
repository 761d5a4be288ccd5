"""Verifications that somebody waits for, as futures that can be given up at any moment."""

from __future__ import annotations

import threading
from concurrent.futures import CancelledError, Future
from typing import TYPE_CHECKING

from drivers.errors import Cancelled

if TYPE_CHECKING:
    from collections.abc import Callable

    from kiosk.verification import Verified


class Verifications:
    """Hands verifications to the sensor's thread, and takes back those that still wait."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[Future[Verified], threading.Event] = {}

    def begin(self, hand_in: Callable[[threading.Event], Future[Verified]]) -> Future[Verified]:
        """A verdict to come; `hand_in` gets what ends the waiting for a finger."""
        given_up = threading.Event()
        inner = hand_in(given_up)
        told: Future[Verified] = Future()
        told.set_running_or_notify_cancel()
        with self._lock:
            self._waiting[inner] = given_up
        inner.add_done_callback(lambda _: self._end(inner, told))
        return told

    def give_up(self) -> None:
        """End those that wait, for their turn or for a finger; a comparison begun is finished."""
        with self._lock:
            waiting = list(self._waiting.items())
        for inner, given_up in waiting:
            given_up.set()
            inner.cancel()

    def _end(self, inner: Future[Verified], told: Future[Verified]) -> None:
        with self._lock:
            self._waiting.pop(inner, None)
        try:
            told.set_result(inner.result())
        except CancelledError:
            told.set_exception(Cancelled("the verification was given up before its turn"))
        except Exception as error:  # noqa: BLE001 - belongs to whoever asked
            told.set_exception(error)
