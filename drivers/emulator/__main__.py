"""The emulator as a command: a sensor at PATH, driven by lines on standard input."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
from typing import TYPE_CHECKING, get_args

from drivers.emulator import Emulator, TimingMode
from drivers.profiles import PROFILES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

_HELP = """commands on standard input, each answered with `ok ...` or `error ...`:
  place NAME [good|dry|wet|partial|smudged]   put a finger on the glass
  lift                                        take it away
  enrol NAME SLOT                             write a finger to the library
  unplug | replug                             pull the cable, put it back
  quit                                        end (so does the end of input)"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run until `quit`, the end of input, or a signal; returns the exit code."""
    args = _parser().parse_args(argv)
    signal.signal(signal.SIGTERM, _end)
    emulator = Emulator(args.profile, args.link, args.timing, args.seed)
    try:
        emulator.start()
    except OSError as error:
        print(f"error {error}", file=sys.stderr)  # noqa: T201 - a command talks on its streams
        return 1
    with emulator, contextlib.suppress(KeyboardInterrupt):
        _say(f"ready {args.link}")
        for line in sys.stdin:
            if line.split() == ["quit"]:
                _say("ok quit")
                break
            if line.strip():
                _say(obey(emulator, line.split()))
    return 0


def obey(emulator: Emulator, words: list[str]) -> str:
    """Do what one line of input says; the answer to print."""
    try:
        match words:
            case ["place", name]:
                emulator.place(name)
            case ["place", name, quality]:
                emulator.place(name, quality)
            case ["lift"]:
                emulator.lift()
            case ["enrol", name, slot]:
                emulator.enrol(name, int(slot))
            case ["unplug"]:
                emulator.unplug()
            case ["replug"]:
                emulator.replug()
            case _:
                return f"error no such command: {' '.join(words)}"
    except (ValueError, RuntimeError, OSError) as error:
        return f"error {error}"
    return f"ok {' '.join(words)}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m drivers.emulator",
        description=__doc__,
        epilog=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--profile", choices=sorted(PROFILES), default="r307")
    parser.add_argument("--link", required=True, metavar="PATH", help="symbolic link to the port")
    parser.add_argument("--timing", choices=get_args(TimingMode), default="instant")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same bytes")
    return parser


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - a command talks on its streams


def _end(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
