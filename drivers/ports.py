"""Which port a sensor is on: by path, or by the USB ids of its adapter, wherever that is."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Protocol

from serial.tools import list_ports

from drivers.errors import PortMissing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_LOG = logging.getLogger(__name__)
_USB = re.compile(r"usb:([0-9a-f]{4}):([0-9a-f]{4})(?::(.+))?", re.IGNORECASE)


class UsbPort(Protocol):
    """What `serial.tools.list_ports` tells of a port; None for what is not USB."""

    device: str
    vid: int | None
    pid: int | None
    serial_number: str | None


def _plugged() -> Iterable[UsbPort]:
    return list_ports.comports()


def resolve_port(port: str, lister: Callable[[], Iterable[UsbPort]] = _plugged) -> str:
    """The path of `port`: itself, or of the adapter that `usb:VID:PID[:SERIAL]` (hex) names.

    Of several that fit, the first by path is taken, with a warning: many adapters have no serial
    number, so the sensor's own identity is what counts. Raises PortMissing if there is none, and
    ValueError for a name that begins with `usb:` and is none.
    """
    if not port.lower().startswith("usb:"):
        return port
    if (named := _USB.fullmatch(port)) is None:
        raise ValueError(f"{port!r} is not usb:VID:PID or usb:VID:PID:SERIAL")
    vid, pid, serial = int(named[1], 16), int(named[2], 16), named[3]
    fits = sorted(
        found.device
        for found in lister()
        if (found.vid, found.pid) == (vid, pid) and serial in {None, found.serial_number}
    )
    if not fits:
        raise PortMissing(f"no adapter {port} is plugged in")
    if len(fits) > 1:
        _LOG.warning("%d adapters are %s, taking %s", len(fits), port, fits[0])
    return fits[0]
