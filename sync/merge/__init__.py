"""The fold: from a set of events to attendance and review items, the same everywhere.

A row is a pure function of the set of its own events (`kiosk.model.ROW_KINDS` of one session and
person) and of its terms: late limit, closing, places, forks (`rows`, `fold_row`, `Fold`). What a
whole site shows is a pure function of all its events (`site`, `fold`, `SiteFold`). Order,
repetition and the way they came do not matter.

Settled here, because many hands must agree on it:

* Nothing raises on what an event holds. An override whose status is none of present, late, excused
  and absent, or whose arrival or departure is no integer, and a retract without a target that is an
  event of the row, are not understood and decide nothing; what they saw still counts as seen. A
  check-in is never lost to its data: a direction that is not "auto" is that of its kind.
* A quarantined event decides nothing, proves nothing, and passes on no knowledge. Knowledge is
  followed through the row's own events only, for a decision names all it saw of its row.
* A rank speaks only for staff: a retract by nobody of rank undoes its own author's event alone.
  Author means the same member of staff or, when neither event is by staff, the same incarnation of
  the same device.
* Ties between winners go to the greatest id. If forged events know each other in a ring, so that
  no head is left, all live overrides are heads.
* What an `absent` winner knew is refuted: arrival, and late or not, come from the other check-ins.
  A row that stays absent has neither arrival nor departure; its presence is folded all the same.
* A person has left only if a check-out surely followed every check-in: by intervals that do not
  touch, or because it knew them. All else is inside.
* A walk-in is a row like any other, keyed by the visitor's id; the event that names a visitor is a
  check-in too.
* A closed session makes absent whoever would be expected. A check-in that may have begun before
  the closing, or that the closing knew, is as if it were open; if all began later, the person is
  shown as having come and flagged `after_close`. Of several closings the latest counts.
* Where a device's database had a double, its decisions from there on count for nothing and its
  events know nothing of each other; what its readers saw counts.
* Two places are too far apart only if no times within the intervals allow for the way between.
* Merged persons are one in every row, for the past as well; a ring of them is its least id. A
  merge with no other person as `into` takes an earlier one back.
* A policy for a session's id stands in place of the site's.
"""

from __future__ import annotations

from sync.merge.fold import Fold
from sync.merge.rows import Terms, fold_noted, fold_row, saw_for_decision, saw_for_scan
from sync.merge.site import SiteFold, State, fold
from sync.merge.terms import session_state, terms_for
from sync.merge.words import Names, explain

__all__ = [
    "Fold",
    "Names",
    "SiteFold",
    "State",
    "Terms",
    "explain",
    "fold",
    "fold_noted",
    "fold_row",
    "saw_for_decision",
    "saw_for_scan",
    "session_state",
    "terms_for",
]
