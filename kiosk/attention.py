"""How many review items wait for somebody, counted off the screen's thread."""

from __future__ import annotations

import logging
import sqlite3
import threading
from typing import TYPE_CHECKING

from kiosk.model import Human
from kiosk.store import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    from kiosk.model import Change
    from kiosk.store import Store

_LOG = logging.getLogger(__name__)
_EVERY = 1.0  # seconds at least between two counts, however much is committed
_ASKING = (Human.YES, Human.BATCH)


def waiting(store: Store) -> int:
    """The items that a human must see to; those they are only informed of are not counted."""
    return sum(item.human in _ASKING for item in store.review_items())


class Attention:
    """Tells `changed` of the number at the start and after commits that may alter it.

    `changed` is called in a thread of its own; `stop` ends that.
    """

    def __init__(self, store: Store, changed: Callable[[int], None]) -> None:
        self._store = store
        self._changed = changed
        self._due = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._count, name="review", daemon=True)

    def start(self) -> None:
        self._due.set()
        self._store.on_commit(self._heard)
        self._thread.start()

    def stop(self) -> None:
        """Count no more; safe to call before `start`, and before the store is closed."""
        self._ended.set()
        self._due.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _heard(self, change: Change) -> None:
        if change.review:
            self._due.set()

    def _count(self) -> None:
        while self._due.wait() and not self._ended.is_set():
            self._due.clear()
            try:
                self._changed(waiting(self._store))
            except (StoreError, sqlite3.Error) as error:
                _LOG.warning("the review items cannot be counted: %s", error)
            self._ended.wait(_EVERY)
