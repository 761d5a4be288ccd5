"""The emulator as a command: a sensor at PATH, driven by lines on standard input."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, get_args

from drivers.emulator import Emulator, TimingMode
from drivers.emulator.commands import HELP, obey
from drivers.profiles import INSTRUCTIONS, PROFILES, Profile

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType
_QUIRKS = tuple(field.name for field in fields(Profile) if isinstance(field.default, bool))


def main(argv: Sequence[str] | None = None, prog: str = "python -m drivers.emulator") -> int:
    """Run until `quit`, the end of input, or a signal; returns the exit code.

    Belongs on the main thread, for it handles SIGTERM. `prog` is what the help calls the command.
    """
    args = _parser(prog).parse_args(argv)
    if args.profiles:
        _say(_table())
        return 0
    if args.link is None:
        print("error --link PATH is needed", file=sys.stderr)  # noqa: T201 - a command talks on its streams
        return 2
    signal.signal(signal.SIGTERM, _end)
    try:
        profile = _with_quirks(PROFILES[args.profile], args.quirk)
        emulator = Emulator(profile, args.link, args.timing, args.seed, args.state)
        emulator.start()
    except (OSError, ValueError) as error:
        print(f"error {error}", file=sys.stderr)  # noqa: T201 - a command talks on its streams
        return 1
    with emulator, contextlib.suppress(KeyboardInterrupt):
        _say(f"ready {args.link}")
        for line in sys.stdin:
            if line.split() == ["quit"]:
                _say("ok quit")
                break
            if line.strip():
                _say(obey(emulator, line))
    return 0


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog,
        description=__doc__,
        epilog=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--profile", choices=sorted(PROFILES), default="r307")
    parser.add_argument("--link", metavar="PATH", help="symbolic link to the port; needed")
    parser.add_argument("--timing", choices=get_args(TimingMode), default="instant")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same bytes")
    parser.add_argument("--state", metavar="FILE", help="keep the flash in this file")
    parser.add_argument(
        "--quirk",
        action="append",
        default=[],
        metavar="NAME=on|off",
        help=f"another habit than the profile's: {', '.join(_QUIRKS)}; may be repeated",
    )
    parser.add_argument("--profiles", action="store_true", help="list the profiles and end")
    return parser


def _with_quirks(profile: Profile, quirks: Sequence[str]) -> Profile:
    habits: dict[str, Any] = {}
    for quirk in quirks:
        name, _, value = quirk.partition("=")
        if name not in _QUIRKS or value not in {"on", "off"}:
            raise ValueError(f"no such quirk: {quirk}")
        habits[name] = value == "on"
    return replace(profile, **habits)


def _table() -> str:
    """What each profile can do, one per paragraph."""
    lines = []
    for profile in PROFILES.values():
        width, height = profile.image
        lines.append(
            f"{profile.name}: {profile.capacity} templates of {profile.template_size} bytes, "
            f"image {width}x{height}, {profile.buffers} buffers, "
            f"{profile.notepad_pages} notepad pages"
        )
        names = (f"{code:02X} {INSTRUCTIONS[code]}" for code in sorted(profile.instructions))
        lines.append("  " + ", ".join(names))
    return "\n".join(lines)


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - a command talks on its streams


def _end(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
