"""The sensor as this kiosk keeps it: whose slots, what to destroy, what to doubt when idle."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from drivers import reconcile as library
from drivers.audit import Audit, Guard, Policy
from drivers.errors import Cancelled, PortMissing, SensorIdentityMismatch
from drivers.events import SensorDown
from drivers.library import look_at
from drivers.reader import Reader
from drivers.slots import SlotState
from drivers.zfm import open_zfm, reset_zfm
from kiosk import enrolment, verification
from kiosk.consent import has_consent
from kiosk.control import SOCKET, ControlServer
from kiosk.errors import KioskError
from kiosk.loader import QUIET, RosterLoader, SensorCache
from kiosk.model import Author
from kiosk.provision import bring_all, format_for, kept_for, same_format
from kiosk.retention import Retention
from kiosk.revocation import known_here, ordered, resume, withdrawn
from kiosk.slots import StoredSlots
from kiosk.survey import survey
from kiosk.templates import (
    NoTemplateError,
    TemplatesOffError,
    existing_templates,
    open_templates,
)
from kiosk.verifications import Verifications

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from concurrent.futures import Future

    from drivers.enrolment import Step
    from drivers.events import ReaderEvent
    from drivers.library import Stamp
    from drivers.zfm import ZfmSensor
    from kiosk.clock import Clock
    from kiosk.config import Config
    from kiosk.enrolment import EnrolledFinger
    from kiosk.model import Event, Person
    from kiosk.provision import Brought
    from kiosk.store import Draft, Store
    from kiosk.survey import Survey
    from kiosk.templates import TemplateStore
    from kiosk.verification import Verified

_LOG = logging.getLogger(__name__)
_KIOSK = Author("kiosk")


class Keeper:
    """The reader with everything it is held against; `start` and `stop` it like the reader.

    At every connection the sensor's library is reconciled with the slot table, and templates that
    somebody ordered destroyed are destroyed before any finger is looked at; orders that arrive
    later are carried out in the next quiet minute.
    """

    def __init__(
        self,
        config: Config,
        store: Store,
        clock: Clock,
        emit: Callable[[ReaderEvent], None],
        quiet: float = QUIET,
    ) -> None:
        """`quiet` is how many seconds nobody must have been at the door before work of its own."""
        self._store = store
        self._clock = clock
        self._language = config.screen.language
        self._emit = emit
        self._table = StoredSlots(store, clock)
        self._templates, self._can_destroy = _opened(config, clock)
        self._may_claim = config.templates.backup and config.templates.claim == "beyond"
        self._verifications = Verifications()
        self._enrolling = threading.Lock()
        self._destroying = threading.Lock()
        self._given_up: threading.Event | None = None
        self._backup = config.templates.backup
        self._cache: SensorCache | None = None
        self._loader: RosterLoader | None = None
        cached = self._backup and config.templates.roster_cache and config.sensor.port
        if self._templates is not None and cached:
            self._cache = SensorCache(store, clock, self._table, self._templates)
            self._loader = RosterLoader(self._change_one, quiet)
        self._control = ControlServer(config.directory / SOCKET, store, self)
        self._retention = Retention(config.database, store, clock, config.templates.retention_days)
        self._listeners: list[Callable[[], None]] = []
        # Replaced as a whole on the sensor's thread, read on any other.
        self._claimable: frozenset[str] = frozenset()
        self._library: dict[tuple[str, int], str] = {}
        self._format = ""
        # Nobody can write to a sensor that we hold: one look at each template per connection is
        # enough to know that it is still the one that was enrolled.
        self._guard = Guard(self._table, once=True)
        self._audit = Audit(self._table, Policy(config.sensor.audit))
        self._sensor = sensor = config.sensor
        self.reader = Reader(
            lambda: open_zfm(
                sensor.port, sensor.baudrate, sensor.address, sensor.password, sensor.model
            ),
            self._heard,
            prepare=self._prepare,
            confirm=self._guard,
            idle=self._idle,
            reset=lambda: reset_zfm(sensor.port, sensor.baudrate, sensor.address),
        )

    def start(self) -> None:
        """Begin to look for the sensor, if the settings name one; orders are taken in any case."""
        if self._sensor.port:
            self.reader.start()
        else:
            self.reader.do_without(PortMissing("no reader is configured"))
        if self._loader is not None:
            self._loader.start()
        self._control.start()

    def stop(self) -> None:
        """Let go of the sensor and of the kept templates."""
        self._control.end()
        if self._loader is not None:
            self._loader.end()
        self.reader.stop()
        if self._loader is not None:
            self._loader.join()
        self._control.join()
        if self._templates is not None:
            self._templates.close()

    # -- one to one --------------------------------------------------------------------------------

    def can_verify(self, person: str) -> bool:
        """Whether `verify` has something to hold a finger of `person` against; for any thread.

        Those are kept for the connected sensor and have no active slot on it. Reads memory only.
        """
        return person in self._claimable

    def verify(
        self,
        person: str,
        ready: Callable[[], None] = lambda: None,
        seen: Callable[[bool], None] = lambda _: None,
        before: Collection[str] = (),
    ) -> Future[Verified]:
        """Have one finger held against the kept templates of `person`, after a badge or code.

        Those of `before` may have theirs on the glass still; the verdict tells whose it is not.
        `ready` is called on the sensor's thread when a finger may be placed, `seen` when one lies
        there (True) or has gone again (False); until the verdict no finger is reported as an event.
        The future ends, on that thread or the one that cancels, with what
        `kiosk.verification.claim` returns or raises, Cancelled after `cancel`, or what is wrong
        with the sensor. For any thread.
        """
        return self._verifications.begin(
            lambda given_up: self.reader.run(
                lambda sensor: self._verify(sensor, person, ready, given_up, seen, before)
            )
        )

    def cancel(self) -> None:
        """Give up the verification that waits for a finger; whatever else is done goes on."""
        self._verifications.give_up()

    # -- enrolling and the opposite ----------------------------------------------------------------

    def enrol(
        self, person: Person, prompt: Callable[[Step], None], by: Author = _KIOSK
    ) -> Future[EnrolledFinger]:
        """Enrol one finger; `kiosk.consent.record_consent` comes first, or it is refused.

        `prompt` is called on the sensor's thread with what the person must do next. The future
        ends there with what `kiosk.enrolment.enrol` returns or raises, or what is wrong with the
        sensor. Until then no finger is reported as an event. For any thread.
        """
        return self.reader.run(lambda sensor: self._enrol(sensor, person, prompt, by))

    def cancel_enrolment(self) -> None:
        """End the enrolment that is under way with Cancelled; what it stored is taken back."""
        with self._enrolling:
            if self._given_up is not None:
                self._given_up.set()
                self.reader.interrupt()

    def withdraw(self, person: str, by: Author = _KIOSK, language: str = "") -> Future[list[Event]]:
        """Withdraw a person's consent, and destroy their templates here and everywhere.

        The future ends when the no and the order are on disk; from then on nothing can stop it.
        The sensor lets go of them in its next free moment, and this kiosk confirms it in the log.
        """
        return self._order(withdrawn(person, language or self._language, by))

    def revoke(self, person: str, by: Author = _KIOSK, reason: str = "") -> Future[list[Event]]:
        """As `withdraw`, but the consent stands: for a finger that is to be enrolled anew."""
        return self._order([ordered(person, by, reason)])

    def knows(self, person: str) -> bool:
        """Whether `person` (an id) means anybody here, by `kiosk.revocation.known_here`."""
        return known_here(self._store, self._templates, person)

    def destroy_copies(self) -> bool:
        """Carry out what can be of the open orders without the sensor; whether that was all.

        Kept copies go at once, and what the sensor holds names nobody. Blocks; for any thread but
        the store's. Raises `StoreError` or a `TemplatesError`.
        """
        if not self._can_destroy:
            return False
        with self._destroying:
            done = resume(self._store, self._table, sensor=None, templates=self._templates)
        return all(revoked.done for revoked in done)

    def finish_orders(self) -> Future[None]:
        """Carry out every open order now; fails with what is wrong with the sensor."""
        return self.reader.run(self._destroy)

    # -- an administrator's answers ----------------------------------------------------------------

    def look(self) -> Future[Survey]:
        """The sensor beside the records, also while it is closed; it is prepared anew after."""
        return self.reader.repair(lambda sensor: survey(sensor, self._table))

    def adopt(self) -> Future[library.Reconciled]:
        """Use the sensor as it is, also a stranger; what cannot be proved names nobody."""
        return self.reader.repair(lambda sensor: library.adopt(sensor, self._table))

    def wipe(self) -> Future[library.Reconciled]:
        """Delete every template in the sensor, also a stranger's, and go on using it."""
        return self.reader.repair(lambda sensor: library.wipe(sensor, self._table))

    def reprovision(self) -> Future[Brought]:
        """Bring back whoever is kept and consents, as far as there is room.

        No finger is looked at meanwhile. Fails with `TemplatesOffError` if backup is switched off.
        """
        return self.reader.run(self._reprovision)

    # -- the library -------------------------------------------------------------------------------

    def roster(self, people: Collection[str]) -> None:
        """Have these people (ids) in the sensor as far as it can hold them, if settings allow it.

        For the people of the open session: call it when the session opens or its roster changes.
        Whoever is on the sensor only is never evicted, and all others can be verified by claim.
        """
        wanted, cache = frozenset(people), self._cache
        if self._loader is not None and cache is not None:
            self._loader.load(lambda: cache.loadable(wanted))

    def on_library(self, listener: Callable[[], None]) -> None:
        """Call `listener`, on the sensor's thread, whenever it has changed who is in which slot.

        It is called before the next finger is looked at, so that what it hands on to another
        thread goes before that finger's event. Register before `start`.
        """
        self._listeners.append(listener)

    # -- on the sensor's thread --------------------------------------------------------------------

    def _heard(self, event: ReaderEvent) -> None:
        if isinstance(event, SensorDown):
            self._claimable = frozenset()
        if self._loader is not None:
            self._loader.heard(event)
        self._emit(event)

    def _prepare(self, sensor: ZfmSensor) -> Stamp:
        self._guard.renew()
        self._format = format_for(sensor)
        try:
            stamp = library.reconcile(sensor, self._table).stamp
            self._carry_out_orders(sensor)
        finally:
            self._take_stock()
        return stamp

    def _idle(self, sensor: ZfmSensor) -> None:
        try:
            self._let_go()
            self._carry_out_orders(sensor)
            self._audit(sensor)
        finally:
            self._take_stock()
        if self._loader is not None:
            self._loader.look_again()

    def _let_go(self) -> None:
        """Order the templates destroyed of those who have not come for long."""
        kept = self._templates.kept() if self._templates is not None else ()
        held = {*self._library.values(), *(one.person for one in kept)} - {""}
        if drafts := self._retention.orders(held):
            self._store.record_many(drafts).result()

    def _verify(
        self,
        sensor: ZfmSensor,
        person: str,
        ready: Callable[[], None],
        given_up: threading.Event,
        seen: Callable[[bool], None],
        before: Collection[str],
    ) -> Verified:
        if self._templates is None or not self._may_claim:
            raise NoTemplateError("nobody is verified by claim here")
        bound = self._table.binding()
        if bound is None:
            raise SensorIdentityMismatch("foreign", "no sensor is bound")
        # The module may have been swapped behind its port: a strange one's word is worth nothing.
        library.check_identity(look_at(sensor), bound, unfinished=True)
        return verification.claim(
            sensor,
            self._table,
            self._templates,
            person,
            ready=ready,
            given_up=given_up,
            seen=seen,
            before=before,
        )

    def _enrol(
        self, sensor: ZfmSensor, person: Person, prompt: Callable[[Step], None], by: Author
    ) -> EnrolledFinger:
        given_up = threading.Event()

        def ask(step: Step) -> None:
            if given_up.is_set():
                raise Cancelled("the enrolment was given up")
            prompt(step)

        with self._enrolling:
            self._given_up = given_up
        kept = self._templates if self._backup else None
        try:
            # What was ordered destroyed must not take the new template along later.
            self._carry_out_orders(sensor)
            return enrolment.enrol(
                self._store, self._clock, sensor, person, ask, templates=kept, by=by
            )
        finally:
            with self._enrolling:
                self._given_up = None
            self._take_stock()

    def _order(self, drafts: list[Draft]) -> Future[list[Event]]:
        recorded = self._store.record_many(drafts)
        recorded.add_done_callback(lambda _: self.finish_orders())
        return recorded

    def _destroy(self, sensor: ZfmSensor) -> None:
        try:
            self._carry_out_orders(sensor)
        finally:
            self._take_stock()

    def _reprovision(self, sensor: ZfmSensor) -> Brought:
        if self._templates is None or not self._backup:
            raise TemplatesOffError("nothing is kept to be brought back: backup is switched off")
        known = {person.id for person in self._store.people()}
        try:
            return bring_all(
                sensor,
                self._table,
                kept_for(sensor, self._templates),
                lambda person: person in known and has_consent(self._store, person),
            )
        finally:
            self._take_stock()

    def _change_one(self, people: Collection[str]) -> bool:
        return self.reader.run(lambda sensor: self._change(sensor, people)).result()

    def _change(self, sensor: ZfmSensor, people: Collection[str]) -> bool:
        try:
            return self._cache is not None and self._cache.change(sensor, people)
        finally:
            self._take_stock()

    def _take_stock(self) -> None:
        """Note who is in the sensor and who only kept; tell the listeners of a change."""
        bound = self._table.binding()
        entries = self._table.entries(bound.sensor).values() if bound is not None else ()
        inside = {
            (bound.sensor, entry.slot): entry.owner
            for entry in entries
            if bound is not None and entry.state is SlotState.ACTIVE
        }
        self._claimable = self._beyond(inside.values())
        if inside == self._library:
            return
        self._library = inside
        for listener in self._listeners:
            try:
                listener()
            except Exception:  # noqa: BLE001 - whatever a listener does, the sensor goes on
                _LOG.exception("a listener failed on a change of the library")

    def _beyond(self, inside: Collection[str]) -> frozenset[str]:
        if self._templates is None or not self._may_claim:
            return frozenset()
        kept = self._templates.kept()
        fitting = {one.person for one in kept if same_format(self._format, one.label.format)}
        return frozenset(fitting.difference(inside))

    def _carry_out_orders(self, sensor: ZfmSensor) -> None:
        if not self._can_destroy:
            return
        try:
            with self._destroying:
                done = resume(self._store, self._table, sensor=sensor, templates=self._templates)
        except KioskError as error:
            # The order stays open and is tried again; fingers of others must not wait for it.
            _LOG.error("a template that is to be destroyed could not be yet: %s", error)
            return
        for revoked in done:
            _LOG.info("destroyed %d templates of one person on the sensor", revoked.slots)


def _opened(config: Config, clock: Clock) -> tuple[TemplateStore | None, bool]:
    """What is kept; if it cannot be opened fingers still work, but no order is called done."""
    opening = open_templates if config.templates.backup else existing_templates
    try:
        return opening(config, clock), True
    except KioskError as error:
        _LOG.error("the kept templates cannot be opened: %s", error)
        return None, False
