"""What a session's rows are judged by, for whoever folds one row and not a whole site."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kiosk.model import Policy, SessionState
from sync.merge.directory import late_limit
from sync.merge.rows import Terms
from sync.merge.sessions import Settled, close_state

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kiosk.model import Entry, Session

_PLAIN = Policy()


def terms_for(
    session: Session | None, decisions: Iterable[Entry] = (), policy: Policy = _PLAIN
) -> Terms:
    """The terms of the session's rows, for `fold_row`.

    `decisions` are its closings, reopenings and the retracts of them, in any order; `policy` the
    session's own or else the site's.
    """
    return Terms(late_limit(session, policy), close_state(decisions).closing)


def session_state(
    name: str,
    session: Session | None,
    decisions: Iterable[Entry] = (),
    policy: Policy = _PLAIN,
) -> SessionState:
    """Whether the session of the id `name` is open, from the same as `terms_for`."""
    return state_of(name, session, close_state(decisions), policy)


def state_of(
    name: str, session: Session | None, settled: Settled, policy: Policy = _PLAIN
) -> SessionState:
    """The same of decisions that are settled already."""
    closing = settled.closing
    return SessionState(
        session=name,
        closed=(closing.low, closing.high) if closing else None,
        heads=tuple(head.event.id for head in settled.heads),
        decisions=settled.decisions,
        late_at=late_limit(session, policy),
        capacity=policy.capacity,
    )
