"""What the screen asks of the desk: a state to show, rows to list, seven things to say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kiosk.clock import Clock
    from kiosk.model import DeskState, RosterRow


class Desk(Protocol):
    """The live state of the door. Everything runs on the GUI thread and returns at once."""

    @property
    def clock(self) -> Clock:
        """The one source of time."""

    @property
    def state(self) -> DeskState:
        """What the door shows now; a new value each time it changes."""

    def roster(self) -> tuple[RosterRow, ...]:
        """All rows of the open session, in no order."""

    def watch(
        self,
        on_state: Callable[[DeskState], None],
        on_rows: Callable[[Sequence[RosterRow]], None],
    ) -> Callable[[], None]:
        """Call back with each new state and with changed or new rows; returns what ends it."""

    def enter_code(self, code: str) -> None:
        """Check in by code; the answer arrives as a claim or an outcome."""

    def badge(self, token: str) -> None:
        """Check in by badge; the answer arrives as a claim or an outcome."""

    def not_you(self) -> None:
        """Undo an acceptance; on already-in, call staff."""

    def dismiss(self) -> None:
        """Back to idle, without what was claimed."""

    def choose_session(self, session: str) -> None:
        """Say which of the state's choices is on, "" for none of them."""

    def try_now(self) -> None:
        """Try the line to the hub at once."""
