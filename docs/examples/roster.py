"""Show who is in a session, live: `viewer.py` with rows in place of events (docs/protocol.md).

export WHORL_HUB_TOKEN=...
python docs/examples/roster.py https://hub.example.org acme north org/acme/session/s1
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING, Any

from viewer import Viewer  # the file beside this one

if TYPE_CHECKING:
    from collections.abc import Callable

    from viewer import Message


class Roster(Viewer):
    """Calls `on_change` with itself once its rows, by person, are true again after a change."""

    def __init__(
        self,
        url: str,
        token: str,
        org: str,
        site: str,
        room: str,
        on_change: Callable[[Roster], object],
        climb: float = 60.0,
    ) -> None:
        super().__init__(url, token, org, site, room, lambda _: None, climb)
        self.on_change = on_change
        self.rows: dict[str, Message] = {}
        self.session: dict[str, Any] = {}
        self.counts: dict[str, int] = {}

    def wish(self) -> Message:
        return super().wish() | {"rows": True, "names": "public"}

    def take(self, message: Message) -> bool:
        """Whether all is well; False if something is missing: subscribe again from the cursor.

        Raises ConnectionError if there are no rows just now.
        """
        have = self.cursor["received"] if self.cursor else -1
        if message["type"] == "position":
            return bool(message["received"] <= have)
        if message["type"] == "error":  # such as `busy`: come back in a while
            raise ConnectionError(message["message"])
        if message["type"] != "rows":
            return True
        if message.get("snapshot"):
            self.rows.clear()
        elif message.get("since", 0) > have:
            return False
        self.rows |= {row["person"]: row for row in message.get("rows", [])}
        for person in message.get("gone", []):
            self.rows.pop(person, None)
        self.session = message.get("session", self.session)
        self.counts = message.get("counts", self.counts)
        of_cursor = ("epoch", "offset", "received", "part")
        self.cursor = {name: message[name] for name in of_cursor if name in message}
        if message.get("live"):
            self.on_change(self)
        return True


def show(roster: Roster) -> None:
    inside = [row for row in roster.rows.values() if row["presence"] == "inside"]
    names = sorted(row.get("name", row["person"]) for row in inside)
    title = roster.session.get("title", roster.room)
    print(f"{title}: {len(names)} of {len(roster.rows)} inside: {', '.join(names)}", flush=True)  # noqa: T201  its very task


def main(url: str, org: str, site: str, room: str) -> None:
    token = os.environ["WHORL_HUB_TOKEN"]  # never an argument, which others can list
    try:
        asyncio.run(Roster(url, token, org, site, room, show).follow())
    except PermissionError as error:
        sys.exit(f"{error}: get another token")
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main(*sys.argv[1:])
