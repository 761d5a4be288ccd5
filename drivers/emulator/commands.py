"""The emulator's commands: one line of text each, the same words as the methods of `Emulator`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from drivers.emulator.trouble import NOISE

if TYPE_CHECKING:
    from collections.abc import Callable

    from drivers.emulator import Emulator

HELP = """commands on standard input, each answered with `ok ...` or `error ...`:
 people
  place NAME [good|dry|wet|partial|smudged]   put a finger on the glass
  lift                                        take it away
  unplug | replug                             pull the cable, put it back
  swap [N]                                    put module N (1) on the cable; 0 is the first one
 one exchange each; each may end in `on HH` (only answers to that instruction) and `times N`
  silence                 the command is obeyed, its reply lost
  lose                    the command itself is lost
  slow SECONDS            the reply comes so much later
  cut N                   only N bytes of the reply are sent
  garbage [HEX]           noise before the reply
  instead [HEX]           noise instead of the reply
  wrong-checksum          of the reply's last packet
  wrong-address [HEX]     the reply claims another module's address
  refuse HH               the reply is this confirmation code alone
  unplug-reply N          pull the cable once N bytes of the reply are out
 at once
  stale [HEX]             an acknowledgement (00) that nobody asked for
  send HEX                bytes that nobody asked for
  restart                 the module restarts behind a live port
 until `heal`
  stick [NAME]            the finger stays on the glass; until `wipe`
  latent [NAME]           a print is taken for a finger; until `wipe`
  ghost                   an image although nobody is there; until `wipe`
  wipe                    clean the glass
  break flash|sensor      writes fail with 18; images fail with 03
  mend flash|sensor
  heal                    no mishap waits, nothing broken, the glass clean
 the library and the parameters
  enrol NAME SLOT         write a finger to the library
  fill                    strangers' fingers in every free slot
  clear                   empty the library, as another host would
  alter SLOT              a stored template changes, but still matches
  ruin SLOT               a stored template turns into nonsense
  baud RATE               the module speaks at another rate
  password HEX            another host sets a password
 and
  show                    all there is to see, as JSON
  quit                    end (so does the end of input)"""


def obey(emulator: Emulator, line: str) -> str:
    """Do what one line says; the answer to print, `ok ...` or `error ...`. Never raises."""
    words = line.split()
    try:
        if words == ["show"]:
            return f"ok {json.dumps(emulator.look())}"
        if not (_of_people(emulator, words) or _of_module(emulator, words)):
            _of_exchange(emulator, words)
    except (ValueError, RuntimeError, OSError) as error:
        return f"error {error}"
    return f"ok {' '.join(words)}"


def _of_people(emulator: Emulator, words: list[str]) -> bool:
    match words:
        case ["place", name]:
            emulator.place(name)
        case ["place", name, quality]:
            emulator.place(name, quality)
        case ["stick" | "latent" as word, *name] if len(name) <= 1:
            {"stick": emulator.stick, "latent": emulator.leave_latent}[word](*name)
        case ["swap", *number] if len(number) <= 1:
            emulator.swap(*map(int, number))
        case [word] if word in _PLAIN:
            _PLAIN[word](emulator)
        case _:
            return False
    return True


def _of_module(emulator: Emulator, words: list[str]) -> bool:
    match words:
        case ["enrol", name, slot]:
            emulator.enrol(name, int(slot))
        case ["alter", slot]:
            emulator.alter(int(slot))
        case ["ruin", slot]:
            emulator.ruin(int(slot))
        case ["break", part]:
            emulator.break_part(part)
        case ["mend", part]:
            emulator.mend(part)
        case ["baud", rate]:
            emulator.set_baudrate(int(rate))
        case ["password", word]:
            emulator.set_password(int(word, 16))
        case ["stale", *content] if len(content) <= 1:
            emulator.stale(*map(bytes.fromhex, content))
        case ["send", data]:
            emulator.send(bytes.fromhex(data))
        case _:
            return False
    return True


def _of_exchange(emulator: Emulator, words: list[str]) -> None:
    words, instruction, times = _options(words)
    match words:
        case ["silence"]:
            emulator.silence(instruction, times)
        case ["lose"]:
            emulator.lose(instruction, times)
        case ["slow", seconds]:
            emulator.slow(_seconds(seconds), instruction, times)
        case ["cut", count]:
            emulator.cut(_count(count), instruction, times)
        case ["garbage" | "instead" as word, *data] if len(data) <= 1:
            noise = bytes.fromhex(data[0]) if data else NOISE
            emulator.garbage(noise, instruction, times, instead=word == "instead")
        case ["wrong-checksum"]:
            emulator.wrong_checksum(instruction, times)
        case ["wrong-address", *address] if len(address) <= 1:
            claimed = int(address[0], 16) & 0xFFFFFFFF if address else 0x12345678
            emulator.wrong_address(claimed, instruction, times)
        case ["refuse", code]:
            emulator.refuse(_byte(code), instruction, times)
        case ["unplug-reply", count] if times == 1:
            emulator.unplug_mid_reply(_count(count), instruction)
        case _:
            raise ValueError(f"no such command: {' '.join(words)}")


def _options(words: list[str]) -> tuple[list[str], int | None, int]:
    """The words without `on HH` and `times N` at their end, and what those say."""
    instruction, times = None, 1
    while len(words) > 2 and words[-2] in {"on", "times"}:
        *words, option, value = words
        if option == "on":
            instruction = _byte(value)
        else:
            times = min(_count(value), _MOST_TIMES)
    return words, instruction, times


def _byte(text: str) -> int:
    if not 0 <= (value := int(text, 16)) <= 0xFF:
        raise ValueError(f"{text} is no byte")
    return value


def _count(text: str) -> int:
    if (count := int(text)) < 0:
        raise ValueError(f"{text} is less than nothing")
    return count


def _seconds(text: str) -> float:
    if not 0 <= (seconds := float(text)) <= _MOST_SECONDS:
        raise ValueError(f"{text} is not 0 to {_MOST_SECONDS:.0f} seconds")
    return seconds


_MOST_TIMES = 10_000
_MOST_SECONDS = 3600.0
_PLAIN: dict[str, Callable[[Emulator], None]] = {
    "lift": lambda emulator: emulator.lift(),
    "unplug": lambda emulator: emulator.unplug(),
    "replug": lambda emulator: emulator.replug(),
    "restart": lambda emulator: emulator.restart(),
    "ghost": lambda emulator: emulator.haunt(),
    "wipe": lambda emulator: emulator.wipe(),
    "heal": lambda emulator: emulator.heal(),
    "fill": lambda emulator: emulator.fill(),
    "clear": lambda emulator: emulator.clear_library(),
}
