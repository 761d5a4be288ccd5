"""What an instruction comes to: an answer from its handler, a reply of packets for the wire."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from drivers import codes as c

if TYPE_CHECKING:
    from collections.abc import Callable

    from drivers.emulator.flows import Flow
    from drivers.packets import Packet


@dataclass(frozen=True, slots=True)
class Answer:
    """A confirmation code, `data` behind it, and `stream` in data packets of its own.

    `busy`: seconds of thought before it; `after` is done once it has been sent; `resets` says
    that the module then starts anew, as after power-up. With a `flow` there is no answer yet: it
    answers as it goes on. `silent`: the thought alone, no answer.
    """

    code: int = c.OK
    data: bytes = b""
    stream: bytes = b""
    busy: float = 0.0
    after: Callable[[], None] | None = None
    resets: bool = False
    flow: Flow | None = None
    silent: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """Packets (none: it says nothing) to send after thinking for `busy` seconds.

    `after` and `resets` as in Answer.
    """

    instruction: int
    packets: tuple[Packet, ...]
    busy: float = 0.0
    after: Callable[[], None] | None = None
    resets: bool = False
