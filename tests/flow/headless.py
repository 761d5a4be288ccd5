"""A kiosk without a screen, as a process: it writes check-ins and sends them, until it is killed.

`python -m tests.flow.headless DATABASE URL [quiet]`, with the hub's token in the environment. The
id of every check-in that is safely on its disk goes to stdout, one on a line: somebody was greeted.
A quiet one is at a door where nobody comes any more.
"""

from __future__ import annotations

import os
import random
import sys
import threading
import time
from pathlib import Path

from kiosk.clock import SystemClock
from kiosk.model import Kind
from kiosk.store import Draft, Store
from sync.client import SyncClient
from sync.hub.tokens import VARIABLE
from tests.sync.kiosks import QUICK
from tests.sync.rig import ORG, SITE


def main(database, url, quiet=""):
    clock = SystemClock()
    store = Store.open(Path(database), org=ORG, site=SITE, clock=clock, zone="UTC")
    line = SyncClient(store, url, os.environ[VARIABLE], clock, SITE, "k", lambda _: None, QUICK)
    store.on_commit(lambda _: line.wake())
    line.start()
    if quiet:
        threading.Event().wait()
    while True:
        crowd = [Draft(Kind.CHECK_IN, "s1", f"p{n}") for n in range(random.randint(1, 15))]
        for event in store.record_many(crowd).result():
            print(event.id, flush=True)
        time.sleep(random.uniform(0.0, 0.1))  # people come when they like


if __name__ == "__main__":
    main(*sys.argv[1:])
