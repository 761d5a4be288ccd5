"""The emulator's commands: one line of text each, the same words as the methods of `Emulator`."""

from __future__ import annotations

import json
from functools import partial
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
  password HEX            another host sets a password; 0 takes it away
  address HEX             another host gives the module another address
 and
  show                    all there is to see, as JSON
  quit                    end (so does the end of input)"""


def obey(emulator: Emulator, line: str) -> str:
    """Do what one line says; the answer to print, `ok ...` or `error ...`. Never raises."""
    words = line.split()
    try:
        if words == ["show"]:
            return f"ok {json.dumps(emulator.look())}"
        _do(emulator, words)
    except (ValueError, RuntimeError, OSError, OverflowError) as error:
        return f"error {error}"
    return f"ok {' '.join(words)}"


def _do(emulator: Emulator, words: list[str]) -> None:
    kept, instruction, times = _options(words)
    word, *values = kept or [""]
    if kept == words and word in _ACTIONS:
        least, most, action = _ACTIONS[word]
        if least <= len(values) <= most:
            action(emulator, *values)
            return
    if word in _EXCHANGES:
        least, most, spoil = _EXCHANGES[word]
        if least <= len(values) <= most:
            spoil(emulator, *values, instruction=instruction, times=times)
            return
    raise ValueError(f"no such command: {' '.join(words)}")


def _options(words: list[str]) -> tuple[list[str], int | None, int]:
    """The words without `on HH` and `times N` at their end, and what those say."""
    instruction, times = None, 1
    while len(words) > 2 and words[-2] in {"on", "times"} and words[0] in _EXCHANGES:
        *words, option, value = words
        if option == "on":
            instruction = _byte(value)
        else:
            times = min(_count(value), _MOST_TIMES)
    return words, instruction, times


def _byte(text: str) -> int:
    return _hex(text, 0xFF)


def _word(text: str) -> int:
    return _hex(text, 0xFFFFFFFF)


def _hex(text: str, most: int) -> int:
    if not 0 <= (value := int(text, 16)) <= most:
        raise ValueError(f"{text} is not 0 to {most:X}")
    return value


def _count(text: str) -> int:
    if (count := int(text)) < 0:
        raise ValueError(f"{text} is less than nothing")
    return count


def _seconds(text: str) -> float:
    if not 0 <= (seconds := float(text)) <= _MOST_SECONDS:
        raise ValueError(f"{text} is not 0 to {_MOST_SECONDS:.0f} seconds")
    return seconds


def _noise(
    emulator: Emulator, data: str = "", *, instead: bool, instruction: int | None, times: int
) -> None:
    noise = bytes.fromhex(data) if data else NOISE
    emulator.garbage(noise, instruction, times, instead=instead)


def _unplug_reply(
    emulator: Emulator, count: str, instruction: int | None = None, times: int = 1
) -> None:
    if times != 1:
        raise ValueError("a cable is pulled once")
    emulator.unplug_mid_reply(_count(count), instruction)


_MOST_TIMES = 10_000
_MOST_SECONDS = 3600.0

# The words after a command, at least and at most, and what it does with them.
_ACTIONS: dict[str, tuple[int, int, Callable[..., None]]] = {
    "place": (1, 2, lambda emulator, *words: emulator.place(*words)),
    "lift": (0, 0, lambda emulator: emulator.lift()),
    "unplug": (0, 0, lambda emulator: emulator.unplug()),
    "replug": (0, 0, lambda emulator: emulator.replug()),
    "swap": (0, 1, lambda emulator, *number: emulator.swap(*map(int, number))),
    "stale": (0, 1, lambda emulator, *content: emulator.stale(*map(bytes.fromhex, content))),
    "send": (1, 1, lambda emulator, data: emulator.send(bytes.fromhex(data))),
    "restart": (0, 0, lambda emulator: emulator.restart()),
    "stick": (0, 1, lambda emulator, *name: emulator.stick(*name)),
    "latent": (0, 1, lambda emulator, *name: emulator.leave_latent(*name)),
    "ghost": (0, 0, lambda emulator: emulator.haunt()),
    "wipe": (0, 0, lambda emulator: emulator.wipe()),
    "break": (1, 1, lambda emulator, part: emulator.break_part(part)),
    "mend": (1, 1, lambda emulator, part: emulator.mend(part)),
    "heal": (0, 0, lambda emulator: emulator.heal()),
    "enrol": (2, 2, lambda emulator, name, slot: emulator.enrol(name, int(slot))),
    "fill": (0, 0, lambda emulator: emulator.fill()),
    "clear": (0, 0, lambda emulator: emulator.clear_library()),
    "alter": (1, 1, lambda emulator, slot: emulator.alter(int(slot))),
    "ruin": (1, 1, lambda emulator, slot: emulator.ruin(int(slot))),
    "baud": (1, 1, lambda emulator, rate: emulator.set_baudrate(int(rate))),
    "password": (1, 1, lambda emulator, number: emulator.set_password(_word(number))),
    "address": (1, 1, lambda emulator, number: emulator.set_address(_word(number))),
}
_EXCHANGES: dict[str, tuple[int, int, Callable[..., None]]] = {
    "silence": (0, 0, lambda emulator, **options: emulator.silence(**options)),
    "lose": (0, 0, lambda emulator, **options: emulator.lose(**options)),
    "slow": (1, 1, lambda emulator, time, **options: emulator.slow(_seconds(time), **options)),
    "cut": (1, 1, lambda emulator, count, **options: emulator.cut(_count(count), **options)),
    "garbage": (0, 1, partial(_noise, instead=False)),
    "instead": (0, 1, partial(_noise, instead=True)),
    "wrong-checksum": (0, 0, lambda emulator, **options: emulator.wrong_checksum(**options)),
    "wrong-address": (
        0,
        1,
        lambda emulator, *address, **options: emulator.wrong_address(
            *map(_word, address), **options
        ),
    ),
    "refuse": (1, 1, lambda emulator, code, **options: emulator.refuse(_byte(code), **options)),
    "unplug-reply": (1, 1, _unplug_reply),
}
