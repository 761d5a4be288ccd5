"""Servers that are no hub, or a hub that misbehaves: what a line must survive."""

from __future__ import annotations

import contextlib
import time

from websockets.asyncio.server import serve

from sync import protocol as p


@contextlib.asynccontextmanager
async def false_hub(behave):
    """A server that greets a kiosk properly (or not) and then misbehaves."""
    times = []

    async def handle(socket):
        times.append(time.monotonic())
        await behave(socket)

    async with serve(handle, "127.0.0.1", 0, compression=None) as server:
        port = server.sockets[0].getsockname()[1]
        server.url = f"http://127.0.0.1:{port}"
        server.times = times
        yield server


async def welcome(socket):
    await socket.recv()
    await socket.send(p.encode(p.Welcome(p.VERSION, "e")), text=True)


async def junk(socket):
    await socket.send("this is no message")
    await socket.wait_closed()


async def junk_after_welcome(socket):
    await welcome(socket)
    await junk(socket)


async def foreign_ack(socket):
    await welcome(socket)
    await socket.send(p.encode(p.Ack(77, [])), text=True)
    await socket.wait_closed()


async def short_ack(socket):
    await welcome(socket)
    while not isinstance(push := p.decode_from_kiosk(await socket.recv()), p.Push):
        pass
    await socket.send(p.encode(p.Ack(push.batch, [])), text=True)
    await socket.wait_closed()


async def half_a_frame(socket):
    await welcome(socket)
    frame = b"\x81\x7e\x10\x00" + b'{"type":"eve'
    socket.transport.write(frame)
    socket.transport.close()


async def accept_then_close(socket):
    await socket.close(1013, "not now")


async def slam(socket):
    socket.transport.abort()
