"""Follow one room of a hub and print what happens: a client made of nothing but docs/protocol.md.

    export WHORL_HUB_TOKEN=...
    python docs/examples/viewer.py https://hub.example.org acme north org/acme/session/s1

It needs `websockets`. It listens on a WebSocket; if something on the way lets none through, it
polls, and tries a WebSocket again every minute. Its cursor lasts as long as it runs.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import urllib.error
import urllib.request
import uuid
from typing import TYPE_CHECKING, Any

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

if TYPE_CHECKING:
    from collections.abc import Callable

Message = dict[str, Any]
NOT_WELCOME = (401, 403, 4401, 4403)


class Viewer:
    """Calls `on_event` once for each event of `room`, missed ones first; `cursor` is how far."""

    def __init__(
        self,
        url: str,
        token: str,
        org: str,
        site: str,
        room: str,
        on_event: Callable[[Message], object],
        climb: float = 60.0,
    ) -> None:
        self.url, self.org, self.site, self.room = url.rstrip("/"), org, site, room
        self.headers = {"Authorization": f"Bearer {token}"}
        self.on_event, self.climb = on_event, climb
        self.cursor: Message | None = None
        self.seen: set[str] = set()
        self.transport, self.tries = "", 0

    async def follow(self) -> None:
        """For ever; raises PermissionError when the token is not good, or no longer."""
        while True:
            wait = 0.0
            try:
                await self.listen()
            except InvalidStatus as error:
                status = error.response.status_code
                if status in NOT_WELCOME:
                    raise PermissionError(f"the hub answers {status}") from error
                if status == 429:
                    wait = float(error.response.headers.get("Retry-After", 1))
                else:
                    await self.poll_for_a_while()
            except InvalidHandshake:  # something on the way does not know what an upgrade is
                await self.poll_for_a_while()
            except ConnectionClosed as error:
                if error.rcvd is not None and error.rcvd.code in NOT_WELCOME:
                    raise PermissionError(error.rcvd.reason) from error
                if error.rcvd is not None and error.rcvd.code == 4400:
                    raise ValueError(f"the hub cannot take it: {error.rcvd.reason}") from error
            except OSError:
                pass  # the hub is away, or a timeout
            self.tries += 1
            ceiling = min(60.0, 0.5 * 2 ** min(self.tries, 7))
            await asyncio.sleep(max(wait, random.uniform(0, ceiling)))  # noqa: S311  not a secret

    async def listen(self) -> None:
        where = self.url.replace("http", "ws", 1) + "/v1/ws"
        headers = self.headers
        async with connect(where, additional_headers=headers, max_size=4 << 20) as socket:
            who = f"viewer-{uuid.uuid4()}"
            names = {"org": self.org, "site": self.site, "device": who, "incarnation": who}
            await socket.send(json.dumps({"type": "hello", "version": 1, "viewer": True} | names))
            async for text in socket:
                message = json.loads(text)
                if message["type"] == "welcome":
                    self.transport, self.tries = "websocket", 0
                if message["type"] == "welcome" or not self.take(message):
                    await socket.send(json.dumps(self.wish()))

    async def poll_for_a_while(self) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + self.climb
        while loop.time() < until:
            wait = min(20.0, until - loop.time())
            try:
                for message in await loop.run_in_executor(None, self.poll, wait):
                    self.take(message)
            except PermissionError:
                raise
            except OSError:  # the hub is away
                return
            self.transport, self.tries = "polling", 0

    def poll(self, wait: float) -> list[Message]:
        body = json.dumps({"type": "poll", "follow": [self.wish()], "wait": max(wait, 0)}).encode()
        where = f"{self.url}/v1/poll?org={self.org}&site={self.site}"
        request = urllib.request.Request(where, body, self.headers)  # noqa: S310  of our own hub
        try:
            with urllib.request.urlopen(request, timeout=wait + 10) as answer:  # noqa: S310
                messages: list[Message] = json.load(answer)
                return messages
        except urllib.error.HTTPError as error:
            if error.code in NOT_WELCOME:
                raise PermissionError(f"the hub answers {error.code}") from error
            raise

    def wish(self) -> Message:
        return {"type": "subscribe", "room": self.room, "cursor": self.cursor}

    def take(self, message: Message) -> bool:
        """Whether all is well; False if something is missing: subscribe again from the cursor."""
        kind, have = message["type"], self.cursor or {"epoch": "", "offset": 0}
        same = message.get("epoch") == have["epoch"]
        if kind == "reset":  # all of the room follows: unite it with what is there
            self.cursor = {"epoch": message["epoch"], "offset": 0}
        elif kind == "position":
            return not same or message["head"] <= have["offset"]
        elif kind == "events":
            if message["after"] > (have["offset"] if same else 0):
                return False
            for item in message["items"]:
                if item["event"]["id"] not in self.seen:
                    self.seen.add(item["event"]["id"])
                    self.on_event(item["event"])
            if not same or message["offset"] > have["offset"]:
                self.cursor = {"epoch": message["epoch"], "offset": message["offset"]}
        return True


def show(event: Message) -> None:
    print(event["kind"], event.get("person", ""), event.get("session", ""), flush=True)  # noqa: T201  its very task


def main(url: str, org: str, site: str, room: str) -> None:
    token = os.environ["WHORL_HUB_TOKEN"]  # never an argument, which others can list
    try:
        asyncio.run(Viewer(url, token, org, site, room, show).follow())
    except PermissionError as error:
        sys.exit(f"{error}: get another token")
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main(*sys.argv[1:])
