"""What the door writes: check-ins that an answer waits for, and facts that none does."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import msgspec

from kiosk.model import Kind
from kiosk.store import Draft, StoreError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from concurrent.futures import Future

    from kiosk.clock import Clock
    from kiosk.model import Event, Session
    from kiosk.store import Store

_LOG = logging.getLogger(__name__)


class DoorLog:
    """The desk's pen: answers come back on the loop that `attach` names; None ends them."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._loop: asyncio.AbstractEventLoop | None = None
        self._writing: set[str] = set()
        self._recorded_at: dict[tuple[str, str], float] = {}

    def attach(self, loop: asyncio.AbstractEventLoop | None) -> None:
        self._loop = loop

    def writing(self, person: str) -> bool:
        """Whether a check-in of this person is on its way to the disk."""
        return person in self._writing

    def since_last(self, session: str, person: str) -> float | None:
        """How many seconds ago this very kiosk recorded the person in the session."""
        last = self._recorded_at.get((session, person))
        return None if last is None else self._clock.monotonic() - last

    def check_in(
        self,
        session: Session,
        person: str,
        data: dict[str, Any],
        then: Callable[[Event | None], None],
        *,
        announce: bool,
    ) -> None:
        """Record a check-in; `then` gets its event, or None if it could not be saved.

        With `announce` other kiosks learn of the session from it, as from the first who comes.
        """
        drafts = [Draft(Kind.CHECK_IN, session.id, person, data=data)]
        if announce:
            opened = Draft(Kind.SESSION_OPENED, session.id, data=msgspec.to_builtins(session))
            drafts.insert(0, opened)
        try:
            future = self._store.record_many(drafts)
        except StoreError:
            then(None)
            return
        self._writing.add(person)
        self._hop(future, lambda: then(self._recorded(person, future)))

    def keep(self, draft: Draft, or_else: Callable[[], None] = lambda: None) -> None:
        """Record what no answer waits for; a failure is logged, and then `or_else` is called."""

        def done() -> None:
            if error := future.exception():
                _LOG.error("a %s event could not be saved: %s", draft.kind.value, error)
                or_else()

        try:
            future = self._store.record(draft)
        except StoreError as error:
            _LOG.error("a %s event could not be saved: %s", draft.kind.value, error)
            or_else()
        else:
            self._hop(future, done)

    def retract(self, event: Event, or_else: Callable[[], None]) -> None:
        """Take a check-in back; the next one is a new one, however soon it comes."""
        self._recorded_at.pop((event.session or "", event.person or ""), None)
        draft = Draft(Kind.RETRACT, event.session, event.person, data={"target": event.id})
        self.keep(draft, or_else)

    def _recorded(self, person: str, result: Future[list[Event]]) -> Event | None:
        self._writing.discard(person)
        if error := result.exception():
            _LOG.error("a check-in could not be saved: %s", error)
            return None
        event = result.result()[-1]
        self._recorded_at[event.session or "", person] = self._clock.monotonic()
        return event

    def _hop(self, future: Future[Any], call: Callable[[], None]) -> None:
        loop = self._loop

        def done(_: Future[Any]) -> None:
            if loop is not None and not loop.is_closed():
                loop.call_soon_threadsafe(call)

        future.add_done_callback(done)
