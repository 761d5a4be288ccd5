"""What the emulator's tests share: questions to a module, and a host without our driver."""

from __future__ import annotations

import os
import select
import termios
import tty

from drivers.emulator import fingers
from drivers.packets import Packet, PacketKind, encode

OK = b"\x00"


def ask(module, content, address=0xFFFFFFFF):
    """The contents of all packets that answer one command; None for silence."""
    reply = module.on_packet(Packet(PacketKind.COMMAND, content, address))
    if reply is None:
        return None
    if reply.after:
        reply.after()
    return [packet.content for packet in reply.packets]


def touch(module, name, buffer=1):
    module.glass.finger = fingers.Finger(name)
    assert ask(module, b"\x01") == [OK]
    assert ask(module, bytes((0x02, buffer))) == [OK]


def send_data(module, *contents):
    for at, content in enumerate(contents, 1):
        kind = PacketKind.END if at == len(contents) else PacketKind.DATA
        assert module.on_packet(Packet(kind, content)) is None


class Host:
    """Raw bytes on the port, nothing of our driver."""

    def __init__(self, port, baudrate=termios.B57600):
        self.fd = os.open(port, os.O_RDWR | os.O_NOCTTY)
        tty.setraw(self.fd)
        settings = termios.tcgetattr(self.fd)
        settings[4] = settings[5] = baudrate
        termios.tcsetattr(self.fd, termios.TCSANOW, settings)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.fd)

    def send(self, data):
        os.write(self.fd, data)

    def hear(self, count, seconds=2.0):
        data = b""
        while len(data) < count and select.select([self.fd], [], [], seconds)[0]:
            if not (more := os.read(self.fd, count - len(data))):
                raise ConnectionResetError("hung up")
            data += more
        return data


GEN_IMAGE = encode(Packet(PacketKind.COMMAND, b"\x01"))
NOBODY = encode(Packet(PacketKind.ACK, b"\x02"))
PACKET_ERROR = encode(Packet(PacketKind.ACK, b"\x01"))


def command(*content, address=0xFFFFFFFF):
    """The frame of one command."""
    return encode(Packet(PacketKind.COMMAND, bytes(content), address))


def ack(*content, address=0xFFFFFFFF):
    """The frame of one acknowledgement."""
    return encode(Packet(PacketKind.ACK, bytes(content), address))
