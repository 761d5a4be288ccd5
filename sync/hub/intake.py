"""A push on its way to the log, and its verdicts on their way back, whatever it came by."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kiosk.model import Author
from sync.hub.auth.grants import Role
from sync.hub.judge import trace
from sync.hub.transaction import Submission
from sync.hub.writer import Job, NotWrittenError
from sync.protocol import Judged, Receipt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from kiosk.clock import Anchor
    from sync.hub.access import Who
    from sync.hub.core import Core
    from sync.hub.log import Log
    from sync.protocol import Push

_RETRY_AFTER = 5.0  # seconds, when the disk refuses
_MOST_ANCHORS = 64
_SANE = 1 << 62  # ns; an anchor beyond is nobody's time


def submit(
    core: Core,
    push: Push,
    who: Who,
    answer: Callable[[Receipt], None],
    *,
    anchors: Iterable[Anchor] = (),
    origin: object = None,
) -> None:
    """Have a push kept; `answer` gets one verdict per event, once they are true.

    `anchors` are the ones to judge times by (see `united`); `origin` is left out of the echo.
    """
    bodies = [bytes(raw) for raw in push.events]
    grant = who.grant
    introduces = grant.role is not Role.DEVICE
    # All but kiosks and the hub's owner have signed in as somebody.
    staff = Author("staff", grant.subject, grant.rank) if introduces and grant.expires else None
    submission = Submission(
        who.org, who.device, bodies, tuple(anchors), origin, push.signed, introduces, staff
    )

    def work(log: Log) -> list[Judged]:
        return log.submit(submission)

    def done(result: list[Judged] | NotWrittenError) -> None:
        if isinstance(result, NotWrittenError):
            result = _again_later(submission)
        core.metrics.judged([one.verdict for one in result])
        answer(Receipt(push.batch, result))

    core.writer.put(Job(work, done, len(submission.bodies)))


def united(known: Iterable[Anchor], more: Iterable[Anchor]) -> list[Anchor]:
    """The latest of all anchors that can be anybody's time."""
    sane = [a for a in more if max(abs(a.ticks), abs(a.hub), abs(a.round_trip)) < _SANE]
    fresh = {(a.boot, a.ticks): a for a in (*known, *sane)}
    return list(fresh.values())[-_MOST_ANCHORS:]


def _again_later(submission: Submission) -> list[Judged]:
    ids = (trace(body).id for body in submission.bodies)
    return [Judged(id_, "retry", code="disk", after=_RETRY_AFTER) for id_ in ids]
