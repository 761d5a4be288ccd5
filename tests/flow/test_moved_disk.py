"""A disk that has come to another machine: the token on it is left to the one it came from."""

from __future__ import annotations

import asyncio
import contextlib

from msgspec.structs import replace
from websockets.sync.client import connect

from kiosk.app import App
from kiosk.clock import SystemClock
from kiosk.config import Screen
from kiosk.credentials import pairing_of
from kiosk.incarnation import MOVED, PAIRING
from kiosk.model import LinkState
from sync import protocol as p
from tests.flow.test_pairing import hub, pair_anew, paired_kiosk  # noqa: F401  fixtures


@contextlib.asynccontextmanager
async def running(config):
    """A kiosk with its window, hub and line; ends with all that is under way."""
    app = App(replace(config, screen=Screen(size="800x480")), SystemClock())
    try:
        app.start()
        yield app
    finally:
        app.stop()


async def until(condition, what, seconds=15.0):
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while not condition():
        assert loop.time() < deadline, f"waited too long for {what}"
        await asyncio.sleep(0.02)


def connected(app):
    return app.desk.state.link.transport == "websocket"


def answered(socket, message):
    socket.send(p.encode(message), text=True)
    return p.decode_from_hub(socket.recv(timeout=10, decode=False))


async def test_a_disk_in_another_machine_renews_no_token_until_it_is_paired(
    qapp,
    paired_kiosk,  # noqa: F811  the fixture
    monkeypatch,
):
    db, url, settings, config = paired_kiosk
    given = pairing_of(config)
    async with running(config) as app:
        await until(lambda: connected(app), "the line")
        await until(lambda: pairing_of(config).token != given.token, "the first renewal")
    brought = pairing_of(config)
    greeting = p.Hello(p.VERSION, "club", "hall", brought.device, brought.incarnation)
    headers = {"Authorization": f"Bearer {brought.token}"}
    # The machine that the disk was copied from.
    with connect(url.replace("http", "ws") + p.PATH, additional_headers=headers) as former:
        assert isinstance(answered(former, greeting), p.Welcome)
        with monkeypatch.context() as elsewhere:
            elsewhere.setattr("kiosk.rescue.machine_id", lambda: "another machine")
            async with running(config) as app:
                await until(lambda: app.desk.state.link.state is LinkState.SIGN_IN, "the sign-in")
                assert app.store.note(PAIRING).startswith(MOVED)
                app._renewer.refused()  # nor by being told again that the token is not taken
            # Whatever renewal was under way has ended with the kiosk.
            assert pairing_of(config) == brought
        assert answered(former, p.Ping(7)).echo == 7, "nobody took its place"
    pair_anew(db, url, settings)
    anew = pairing_of(config)
    assert anew.token != brought.token
    async with running(config) as app:
        await until(lambda: connected(app), "the line")
        await until(lambda: pairing_of(config).token != anew.token, "a renewal again")
