"""Pictures of every state of the door: `python -m tests.shots [--out DIR] [NAME ...]`."""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("QT_QUICK_BACKEND", "software")

import msgspec
from PySide6.QtQuick import QQuickItem

from kiosk.clock import EARLIEST, LATEST
from kiosk.model import (
    Claim,
    Counts,
    LinkState,
    LinkStatus,
    Outcome,
    OutcomeKind,
    Phase,
    Reason,
    SensorState,
    SensorStatus,
)
from tests.ui.staged import READY, at, club, person, school
from ui.shell import Shell, application

LARGE, SMALL, UPRIGHT = (1280, 800), (800, 480), (800, 1280)
LINKS = {
    "online": LinkStatus(LinkState.ONLINE, transport="websocket"),
    "syncing": LinkStatus(LinkState.SYNCING, held=12, transport="websocket"),
    "offline": LinkStatus(LinkState.OFFLINE, held=37),
    "limited-sse": LinkStatus(LinkState.LIMITED_SSE, transport="sse"),
    "limited-polling": LinkStatus(LinkState.LIMITED_POLLING, transport="polling"),
    "sign-in": LinkStatus(LinkState.SIGN_IN, held=3),
    "attention": LinkStatus(LinkState.ATTENTION, attention=2),
}


class Stage:
    """One window on a staged desk, with the scenes it can show."""

    def __init__(self, size, scheme, language="en", *, reduced_motion=False, badge=True):
        self.desk = school() if min(size) < 720 else club()
        self.shell = Shell(
            self.desk,
            size=size,
            scheme=scheme,
            language=language,
            reduced_motion=reduced_motion,
            badge=badge,
        )
        self.app = application()
        self._session = self.desk.state.session

    def close(self):
        self.shell.close()

    def settle(self, seconds=0.25):
        """Let animations of up to `seconds` end; a picture has no event to wait for."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.app.processEvents()
            time.sleep(0.005)

    # -- scenes ------------------------------------------------------------------------------------

    def idle(self):
        self.desk.stage(phase=Phase.IDLE, outcome=None)

    def reading(self):
        self.desk.stage(phase=Phase.READING, outcome=None)
        ring = self.shell.window.findChild(QQuickItem, "readingRing")
        while ring.property("progress") < 2.6:
            self.settle(0.01)

    def accepted(self):
        self._answer(OutcomeKind.ACCEPTED, undoable=True)

    def accepted_late(self):
        self._answer(OutcomeKind.ACCEPTED, undoable=True, late=True)

    def accepted_long(self):
        self._answer(
            OutcomeKind.ACCEPTED, undoable=True, person=person("Maximiliane-Alexandrina Weiss")
        )

    def already_in(self):
        self._answer(OutcomeKind.ALREADY_IN, since=self.desk.clock.wall() - 300 * 10**9)

    def refused(self):
        self._answer(OutcomeKind.REFUSED, shown=5, reason=Reason.NOT_ACTIVE)

    def refused_unsaved(self):
        self._answer(OutcomeKind.REFUSED, shown=5, reason=Reason.NOT_SAVED)

    def unknown_code(self):
        self._answer(OutcomeKind.REFUSED, shown=5, reason=Reason.UNKNOWN_CODE)

    def unknown_badge(self):
        self._answer(OutcomeKind.REFUSED, shown=5, reason=Reason.UNKNOWN_BADGE, person=None)

    def try_again(self):
        self._answer(OutcomeKind.TRY_AGAIN, shown=5, reason=Reason.DRY, attempt=1)

    def unknown_finger(self):
        self._answer(OutcomeKind.TRY_AGAIN, shown=5, reason=Reason.UNKNOWN_FINGER, attempt=2)

    def offered(self):
        self._answer(OutcomeKind.TRY_AGAIN, shown=10, reason=Reason.DRY, attempt=3, offered=True)

    def offered_unknown(self):
        reason = Reason.UNKNOWN_FINGER
        self._answer(OutcomeKind.REFUSED, shown=10, reason=reason, person=None, offered=True)

    def verifying(self):
        self._ask("Amara Okafor")

    def verifying_read(self):
        self._ask("Amara Okafor", seen=True)

    def verifying_long(self):
        self._ask("Maximiliane-Alexandrina Weiss")

    def other_finger(self):
        self._answer(OutcomeKind.REFUSED, shown=5, reason=Reason.OTHER_FINGER)

    def stranger(self):
        sensor = SensorStatus(
            SensorState.STRANGER,
            since=at("17:42"),
            retry_at=self.desk.clock.monotonic() + 5,
            mismatch="foreign",
        )
        self.desk.stage(phase=Phase.OUT_OF_ORDER, outcome=None, sensor=sensor)

    def stranger_help(self):
        self.stranger()
        self.shell.stranger.open()

    def out_of_order(self):
        sensor = SensorStatus(
            SensorState.SILENT, since=at("17:42"), retry_at=self.desk.clock.monotonic() + 20
        )
        self.desk.stage(phase=Phase.OUT_OF_ORDER, outcome=None, sensor=sensor)

    def out_of_order_badge(self):
        self.out_of_order()
        self.shell.door.explainBadge()

    def starting(self):
        sensor = SensorStatus(SensorState.STARTING)
        self.desk.stage(phase=Phase.OUT_OF_ORDER, outcome=None, sensor=sensor)

    def other_ways_code(self):
        self.idle()
        self.shell.other_ways.enterPage()
        for digit in "204":
            self.shell.other_ways.press(digit)

    def pill_detail(self):
        self.idle()
        self._link(
            "offline",
            last_exchange=self.desk.clock.wall() - 42 * 60 * 10**9,
            oldest_held=self.desk.clock.wall() - 41 * 60 * 10**9,
            last_transport="websocket",
            retry_at=self.desk.clock.monotonic() + 18,
            attempt=9,
        )
        self.shell.pill.open()

    def pill_missing(self):
        self.idle()
        self._link("online", missing=((self.desk.state.session.title, 12),))
        self.shell.pill.open()

    def choosing(self):
        self._unsure()
        session = self._session
        day = 24 * 3600 * 10**9
        before = msgspec.structs.replace(
            session, id="y", starts=session.starts - day, ends=session.ends - day
        )
        after = msgspec.structs.replace(
            session, id="t", starts=session.starts + day, ends=session.ends + day
        )
        other = msgspec.structs.replace(session, id="o", title="Open today", all_day=True)
        other = msgspec.structs.replace(other, starts=at("00:00"), ends=at("00:00") + day)
        self.desk.stage(choices=(before, other, session, after))

    def unsure(self):
        self._unsure()

    def unsure_accepted(self):
        self._unsure()
        self._answer(OutcomeKind.ACCEPTED, undoable=True, sure=False)

    def unsure_already_in(self):
        self._unsure()
        self._answer(OutcomeKind.ALREADY_IN, sure=False)

    def _unsure(self):
        session = self.desk.state.session
        undated = msgspec.structs.replace(
            session, id="u", title="Open today", starts=EARLIEST, ends=LATEST, all_day=True
        )
        self.desk.stage(phase=Phase.IDLE, outcome=None, session=undated, sure=False)

    def crowd(self):
        self.desk.stage(counts=Counts(present=1987, late=212, expected=13))

    def pill(self, name):
        self.idle()
        self._link(name)

    def reset(self):
        self.shell.pill.close()
        self.shell.stranger.close()
        self.shell.other_ways.leave()
        idle = {"phase": Phase.IDLE, "outcome": None, "claim": None, "choices": (), "sure": True}
        idle["session"] = self._session
        self.desk.stage(**idle, sensor=READY, link=LINKS["online"])

    def _ask(self, name, **more):
        claim = Claim(self.desk.clock.ticks() + 1, person(name), ready=True, **more)
        self.desk.stage(phase=Phase.VERIFYING, outcome=None, claim=claim)
        self.desk.clock.advance(claim.shown * 0.38)

    def _link(self, name, **more):
        self.desk.stage(link=msgspec.structs.replace(LINKS[name], **more))

    def _answer(self, kind, shown=3, **more):
        name = {
            "person": person("Amara Okafor" if self.desk.state.counts.late == 0 else "Priya Shah")
        }
        serial = self.desk.state.outcome.serial + 1 if self.desk.state.outcome else 1
        outcome = Outcome(serial, kind, self.desk.clock.wall(), shown, **name | more)
        self.desk.stage(phase=Phase.OUTCOME, outcome=outcome)
        self.desk.clock.advance(shown * 0.38)


SCENES = (
    "idle",
    "reading",
    "accepted",
    "accepted_late",
    "accepted_long",
    "already_in",
    "refused",
    "refused_unsaved",
    "unknown_code",
    "unknown_badge",
    "try_again",
    "unknown_finger",
    "offered",
    "offered_unknown",
    "verifying",
    "verifying_read",
    "verifying_long",
    "other_finger",
    "stranger",
    "stranger_help",
    "out_of_order",
    "out_of_order_badge",
    "starting",
    "other_ways_code",
    "pill_detail",
    "pill_missing",
    "choosing",
    "unsure",
    "unsure_accepted",
    "unsure_already_in",
)


def take(out, size, scheme, wanted=(), language="en"):
    """Render the scenes into `out`; yields the files."""
    suffix = f"{size[0]}x{size[1]}-{scheme}" + ("" if language == "en" else f"-{language}")
    stage = Stage(size, scheme, language)
    try:
        for name, show in _scenes(stage):
            if wanted and name not in wanted:
                continue
            stage.reset()
            show()
            stage.settle(0.01 if name == "reading" else 0.25)
            path = out / f"{name}-{suffix}.png"
            stage.shell.grab(path)
            yield path
    finally:
        stage.close()


def _scenes(stage):
    for name in SCENES:
        yield name.replace("_", "-"), getattr(stage, name)
    for name in LINKS:
        yield f"pill-{name}", lambda name=name: stage.pill(name)
    yield "crowd", stage.crowd


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("build/shots"))
    parser.add_argument("names", nargs="*", help="only these, such as idle or pill-offline")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    app = application()
    series = [(size, scheme, "en") for size in (LARGE, SMALL) for scheme in ("light", "dark")]
    series += [(LARGE, "high", "en"), (SMALL, "high", "en"), (UPRIGHT, "light", "en")]
    series += [(SMALL, "light", "de"), (SMALL, "light", "es")]
    taken = [
        path
        for size, scheme, language in series
        for path in take(options.out, size, scheme, options.names, language)
    ]
    print(f"{len(taken)} pictures in {options.out}")
    app.processEvents()


if __name__ == "__main__":
    main()
