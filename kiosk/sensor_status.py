"""What the door is to know of a sensor that cannot be used: its state, and how it differs."""

from __future__ import annotations

from drivers import errors
from kiosk.model import SensorState, SensorStatus


def status_of(cause: errors.SensorError) -> SensorStatus:
    """The status that `cause` stands for, without its times."""
    return SensorStatus(_state(cause), detail=cause.sentence, mismatch=_mismatch(cause))


def _state(cause: errors.SensorError) -> SensorState:
    match cause:
        case errors.PortBusy():
            return SensorState.BUSY
        case errors.PortMissing() | errors.Disconnected():
            return SensorState.MISSING
        case errors.WrongPassword() | errors.PasswordRequired():
            return SensorState.REFUSED
        case errors.BindingError():
            return SensorState.STRANGER
        case _:
            return SensorState.SILENT


def _mismatch(cause: errors.SensorError) -> str:
    match cause:
        case errors.SensorIdentityMismatch(why=why):
            return why
        case errors.BindingError():
            return "damaged"
        case _:
            return ""
