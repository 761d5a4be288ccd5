"""Finding a module whose baud rate, address or model nobody remembers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from drivers import codes
from drivers import profiles as p
from drivers.errors import (
    ProtocolError,
    Refused,
    ResponseTimeout,
    SensorError,
)
from drivers.link import Link, LinkTiming
from drivers.packets import DEFAULT_ADDRESS, Packet, PacketKind
from drivers.ports import resolve_port
from drivers.zfm import ZfmSensor

if TYPE_CHECKING:
    from collections.abc import Iterable


# The factory's first, then by how often they are met.
BAUDRATES = (57_600, 115_200, 9_600, 19_200, 38_400, *(9_600 * n for n in (3, 5, 7, 8, 9, 10, 11)))
_TRY = 0.25
_TIMING = LinkTiming(gap=0.1, quiet=0.05, settle=0.2)
# What a module may say to a ReadSysPara at its own baud rate, besides its parameters.
_TALKS = frozenset({codes.PACKET_ERROR, codes.PASSWORD_NEEDED, codes.ADDRESS_ERROR})


@dataclass(frozen=True, slots=True)
class Detected:
    """How a module is to be spoken to; `profile` names the model, "" if none of ours fits.

    `locked` says that it wants a password, and so did not tell its model.
    """

    baudrate: int
    address: int
    profile: str = ""
    locked: bool = False


class _Anyone:
    """Every module address."""

    def __contains__(self, _: object) -> bool:
        return True


def detect(
    port: str,
    addresses: Iterable[int] = (DEFAULT_ADDRESS,),
    baudrates: Iterable[int] = BAUDRATES,
) -> Detected:
    """Try every baud rate, and at each every address, until a module answers; at most 0.5 s each.

    Most modules answer to their own address only, so one that was changed must be among
    `addresses`; those that refuse a strange address tell their own by that. Raises ResponseTimeout
    if nothing answers, or PortMissing, PortBusy, PortForbidden, NotSerial, Disconnected.
    """
    tried = tuple(addresses)
    link = Link(resolve_port(port), timing=_TIMING)
    try:
        baudrate, reply = _find(link, tried, tuple(baudrates))
    finally:
        link.close()
    locked = reply.content[0] == codes.PASSWORD_NEEDED
    model = "" if locked else _model(port, baudrate, reply)
    return Detected(baudrate, reply.address, model, locked)


def _find(link: Link, addresses: tuple[int, ...], baudrates: tuple[int, ...]) -> tuple[int, Packet]:
    for baudrate in baudrates:
        link.set_baudrate(baudrate)
        for address in addresses:
            link.address = address
            if (reply := _ask(link)) is not None:
                return baudrate, reply
    raise ResponseTimeout("no module answers at any baud rate")


def _ask(link: Link) -> Packet | None:
    """The answer to ReadSysPara, whoever gives it; None for silence or noise."""
    link.settle()
    link.command(bytes((p.READ_SYS_PARA,)))
    try:
        reply = link.receive(_TRY, _Anyone())
    except (ResponseTimeout, ProtocolError):
        return None
    code = reply.content[0]
    whole = code == codes.OK and len(reply.content) == 17
    return reply if reply.kind is PacketKind.ACK and (whole or code in _TALKS) else None


def _model(port: str, baudrate: int, reply: Packet) -> str:
    """The profile that fits best, by capacity and by what the module can do."""
    if reply.content[0] == codes.PACKET_ERROR:
        without = [one for one in p.PROFILES.values() if not one.supports(p.READ_SYS_PARA)]
        return without[0].name if without else ""
    with ZfmSensor(resolve_port(port), baudrate, reply.address) as sensor:
        try:
            sensor.handshake()
            speaks, notes = sensor.product_info() is not None, _has_notepad(sensor)
        except SensorError:
            return ""
        able = [
            one
            for one in p.PROFILES.values()
            if one.supports(p.READ_SYS_PARA)
            and one.supports(p.PRODUCT_INFO) == speaks
            and one.capacity == sensor.capacity
        ]
    # Clones lack a notepad that their model has: it only decides between models.
    able.sort(key=lambda one: bool(one.notepad_pages) is not notes)
    return able[0].name if able else ""


def _has_notepad(sensor: ZfmSensor) -> bool:
    try:
        sensor.read_notepad(0)
    except Refused:
        return False
    return True
