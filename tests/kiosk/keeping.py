"""Running keepers, and what they tell."""

from __future__ import annotations

import queue

from kiosk.config import Config, Sensor, Storage, Templates

PATIENCE = 20
QUIET = 0.1  # seconds


class Heard:
    """What a keeper tells, in order, for whoever waits for it."""

    def __init__(self):
        self.events = queue.Queue()

    def __call__(self, event):
        self.events.put(event)

    def until(self, kind):
        while True:
            event = self.events.get(timeout=PATIENCE)
            if isinstance(event, kind):
                return event


def settings(folder, **templates):
    """Everything in one folder, the sensor too; copies are kept unless told otherwise."""
    return Config(
        storage=Storage(str(folder)),
        sensor=Sensor(str(folder / "sensor")),
        templates=Templates(**({"backup": True} | templates)),
    )
