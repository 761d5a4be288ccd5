"""The sensor as this kiosk keeps it: whose slots, what to destroy, what to doubt when idle."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from drivers.audit import Audit, Guard, Policy
from drivers.reader import Reader
from drivers.reconcile import reconcile
from drivers.zfm import open_zfm, reset_zfm
from kiosk.errors import KioskError
from kiosk.revocation import resume
from kiosk.slots import StoredSlots
from kiosk.templates import existing_templates, open_templates

if TYPE_CHECKING:
    from collections.abc import Callable

    from drivers.events import ReaderEvent
    from drivers.library import Stamp
    from drivers.zfm import ZfmSensor
    from kiosk.clock import Clock
    from kiosk.config import Config
    from kiosk.store import Store
    from kiosk.templates import TemplateStore

_LOG = logging.getLogger(__name__)


class Keeper:
    """The reader with everything it is held against; `start` and `stop` it like the reader.

    At every connection the sensor's library is reconciled with the slot table, and templates that
    somebody ordered destroyed are destroyed before any finger is looked at; orders that arrive
    later are carried out in the next quiet minute.
    """

    def __init__(
        self, config: Config, store: Store, clock: Clock, emit: Callable[[ReaderEvent], None]
    ) -> None:
        self._store = store
        self._table = StoredSlots(store, clock)
        self._templates: TemplateStore | None = None
        self._can_destroy = False
        self._open_templates(config, clock)
        # Nobody can write to a sensor that we hold: one look at each template per connection is
        # enough to know that it is still the one that was enrolled.
        self._guard = Guard(self._table, once=True)
        self._audit = Audit(self._table, Policy(config.sensor.audit))
        sensor = config.sensor
        self.reader = Reader(
            lambda: open_zfm(sensor.port, sensor.baudrate, sensor.address, sensor.password),
            emit,
            prepare=self._prepare,
            confirm=self._guard,
            idle=self._idle,
            reset=lambda: reset_zfm(sensor.port, sensor.baudrate, sensor.address),
        )

    def start(self) -> None:
        """Begin to look for the sensor."""
        self.reader.start()

    def stop(self) -> None:
        """Let go of the sensor and of the kept templates."""
        self.reader.stop()
        if self._templates is not None:
            self._templates.close()

    def _prepare(self, sensor: ZfmSensor) -> Stamp:
        self._guard.renew()
        stamp = reconcile(sensor, self._table).stamp
        self._carry_out_orders(sensor)
        return stamp

    def _idle(self, sensor: ZfmSensor) -> None:
        self._carry_out_orders(sensor)
        self._audit(sensor)

    def _open_templates(self, config: Config, clock: Clock) -> None:
        """Open what is kept; if that fails fingers still work, but no order is called done."""
        opening = open_templates if config.templates.backup else existing_templates
        try:
            self._templates = opening(config, clock)
            self._can_destroy = True
        except KioskError as error:
            _LOG.error("the kept templates cannot be opened: %s", error)

    def _carry_out_orders(self, sensor: ZfmSensor) -> None:
        if not self._can_destroy:
            return
        try:
            done = resume(self._store, self._table, sensor=sensor, templates=self._templates)
        except KioskError as error:
            # The order stays open and is tried again; fingers of others must not wait for it.
            _LOG.error("a template that is to be destroyed could not be yet: %s", error)
            return
        for revoked in done:
            _LOG.info("destroyed %d templates of one person on the sensor", revoked.slots)
