"""Every benchmark as lines of JSON; `python -m tests.bench [NAME...]` runs the named ones only."""

from __future__ import annotations

import importlib
import logging
import sys
from pathlib import Path

_NOT_BENCHES = {"__init__", "__main__", "line", "crowd"}


def main(names: list[str]) -> None:
    logging.disable(logging.WARNING)  # unplugged sensors are part of what is measured
    here = Path(__file__).parent
    found = sorted(path.stem for path in here.glob("*.py") if path.stem not in _NOT_BENCHES)
    for name in names or found:
        for line in importlib.import_module(f"tests.bench.{name}").run():
            print(line.json(), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
