"""What the end of a connection, or the failure to make one, means for the next try; pure."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidStatus,
    InvalidURI,
)

from kiosk.model import LinkState
from sync.client.wires import AnsweredError
from sync.protocol import Close, MismatchError, ProtocolError

if TYPE_CHECKING:
    from sync.client.pacing import Pacing
    from sync.protocol import Error

_REFUSALS = {
    Close.TOKEN: (LinkState.SIGN_IN, "the hub does not accept this kiosk's token"),
    Close.REVOKED: (LinkState.ATTENTION, "this kiosk has been revoked at the hub"),
    Close.SUPERSEDED: (LinkState.ATTENTION, "another kiosk is connected with the same identity"),
}
_LONGEST_WAIT = 3600.0  # seconds; a hub cannot send a kiosk away for longer


@dataclass(frozen=True, slots=True)
class Ending:
    """The state to show until the next try, why, and how long to wait at least (seconds).

    `careful`: what was sent may have been at fault, so look at it more closely next time.
    `at_once`: the next try is by another transport, and need not wait.
    """

    state: LinkState
    reason: str
    at_least: float = 0.0
    careful: bool = False
    at_once: bool = False


def ending(error: Exception, refusal: Error | None, pacing: Pacing) -> Ending:
    """Read an error of `websockets`, of the protocol or of the store."""
    if refusal is not None and refusal.code == MismatchError.code:
        reason = f"the hub {refusal.message}"
        return Ending(LinkState.ATTENTION, reason, pacing.refused_retry)
    after = _sane(refusal.after) if refusal is not None else 0.0
    if (needed := _needs_somebody(error)) is not None:
        return Ending(*needed, pacing.refused_retry)
    match error:
        case ConnectionClosed():
            return _closed(error.rcvd.code if error.rcvd else None, after, pacing)
        case InvalidStatus():
            return _answered(error, pacing)
        case AnsweredError():
            return _refused(error, pacing)
    return Ending(LinkState.OFFLINE, _plainly(error), after)


def _needs_somebody(error: Exception) -> tuple[LinkState, str] | None:
    """Why no try will help until somebody has changed something; None if one may."""
    match error:
        case MismatchError():
            return LinkState.ATTENTION, f"the hub {error}"
        case ProtocolError(code="stranger"):
            return LinkState.SIGN_IN, f"{error}; pair this kiosk with it, or kiosk sign-in"
        case ssl.SSLCertVerificationError():
            return LinkState.ATTENTION, "the hub's certificate is not trusted here"
        case InvalidURI():
            return LinkState.ATTENTION, "the hub's address is not one"
    return None


def _plainly(error: Exception) -> str:
    match error:
        case InvalidHandshake():
            return "no hub answers at this address"
        case ProtocolError(code="renewed" | "restored"):
            return str(error)
        case ProtocolError():
            return f"the hub sent what it should not: {error}"
        case TimeoutError():
            return "the hub does not answer"
        case OSError():
            return f"the hub cannot be reached: {error.strerror or error}"
    return str(error)


def _closed(code: int | None, after: float, pacing: Pacing) -> Ending:
    if code in _REFUSALS:
        return Ending(*_REFUSALS[Close(code)], pacing.refused_retry)
    if code == Close.BAD_MESSAGE:
        return Ending(LinkState.OFFLINE, "the hub did not understand", careful=True)
    if code == Close.TRY_LATER:
        return Ending(LinkState.OFFLINE, "the hub is busy", after or pacing.sweep)
    return Ending(LinkState.OFFLINE, "the connection ended", after)


def _refused(error: AnsweredError, pacing: Pacing) -> Ending:
    if error.reason == Close.SUPERSEDED.name.lower():
        return Ending(*_REFUSALS[Close.SUPERSEDED], pacing.refused_retry)
    if error.reason == Close.REVOKED.name.lower():
        return Ending(*_REFUSALS[Close.REVOKED], pacing.refused_retry)
    if error.status in (401, 403):
        return Ending(*_REFUSALS[Close.TOKEN], pacing.refused_retry)
    if error.status in (400, 413):
        return Ending(LinkState.OFFLINE, "the hub did not understand", careful=True)
    reason = f"the hub answered with status {error.status}"
    return Ending(LinkState.OFFLINE, reason, _sane(error.after))


def _answered(error: InvalidStatus, pacing: Pacing) -> Ending:
    status = error.response.status_code
    if status in (401, 403):
        return Ending(*_REFUSALS[Close.TOKEN], pacing.refused_retry)
    try:
        after = _sane(float(error.response.headers.get("Retry-After", 0)))
    except ValueError:  # it may also be a date, which a kiosk's clock cannot judge
        after = pacing.sweep
    return Ending(LinkState.OFFLINE, f"the hub answered with status {status}", after)


def _sane(seconds: float | None) -> float:
    return min(max(seconds, 0.0), _LONGEST_WAIT) if seconds else 0.0
