"""The pill tells the truth about the line."""

from __future__ import annotations

import msgspec
import pytest
from PySide6.QtTest import QSignalSpy

from kiosk.model import LinkState, LinkStatus
from tests.shots import LINKS
from tests.ui import staged
from tests.ui.conftest import until
from ui.pill import Pill
from ui.words import Words


@pytest.fixture
def pill(qapp, desk):
    pill = Pill(desk, Words("en"))
    desk.watch(pill.show, lambda rows: None)
    yield pill
    pill.close()


@pytest.mark.parametrize(
    ("name", "text", "glyph", "tone"),
    [
        ("online", "Online", "dot", "quiet"),
        ("syncing", "Syncing 12", "arrows", "quiet"),
        ("offline", "Offline, 37 held", "tray", "inverted"),
        ("limited-sse", "Limited (SSE)", "half", "quiet"),
        ("limited-polling", "Limited (polling)", "half", "quiet"),
        ("sign-in", "Sign-in needed", "key", "warn"),
        ("attention", "Needs attention 2", "triangle", "alarm"),
    ],
)
def test_named_states(desk, pill, name, text, glyph, tone):
    desk.stage(link=LINKS[name])
    assert (pill.text, pill.glyph, pill.tone) == (text, glyph, tone)
    assert pill.title
    assert pill.line


def test_details_of_an_outage(desk, pill):
    link = LinkStatus(
        LinkState.OFFLINE,
        held=37,
        oldest_held=staged.at("17:23"),
        last_transport="websocket",
        last_exchange=staged.at("17:22"),
        retry_at=desk.clock.monotonic() + 18,
        attempt=9,
    )
    desk.stage(link=link)
    assert dict(zip(pill.labels, pill.values, strict=True)) == {
        "Last exchange": "17:22, 42 min ago",
        "Held here": "37, oldest 17:23",
        "Quarantined": "0",
        "Transport": "None, was WebSocket",
        "Next try": "in 18 s, attempt 9",
    }


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ((("Choir", 12),), "Choir: 12 older events are no longer at the hub."),
        ((("Choir", 1),), "Choir: one older event is no longer at the hub."),
        (
            (("Choir", 12), ("Karate", 3)),
            "15 older events of 2 sessions are no longer at the hub.",
        ),
    ],
)
def test_what_the_hub_no_longer_keeps_is_said_without_alarm(desk, pill, missing, said):
    desk.stage(link=msgspec.structs.replace(LINKS["online"], missing=missing))
    assert pill.line == f"Every check-in of this kiosk has reached the hub. {said}"
    assert (pill.text, pill.tone) == ("Online", "quiet")


@pytest.mark.parametrize(
    ("when", "said"),
    [
        (staged.at("18:04"), "18:04, 0 s ago"),
        (staged.at("15:03"), "15:03, 3 h ago"),
        (staged.at("18:03", "2025-11-12"), "12 Nov, 9 d ago"),
        (staged.at("18:05"), "18:05, 0 s ago"),
        (None, "Never"),
    ],
)
def test_ages(desk, pill, when, said):
    desk.stage(link=msgspec.structs.replace(LINKS["offline"], last_exchange=when))
    assert pill.values[0] == said


def test_nothing_is_invented_when_nothing_is_known(desk, pill):
    desk.stage(link=LinkStatus())
    assert pill.values == ["Never", "0", "0", "None", "–"]


async def test_the_seconds_run_only_while_the_details_are_open(desk, pill):
    desk.stage(link=msgspec.structs.replace(LINKS["offline"], retry_at=18.0, attempt=1))
    pill._second.setInterval(20)
    spy = QSignalSpy(pill.detailChanged)
    pill.open()
    desk.clock.advance(1)
    await until(lambda: spy.count() >= 3)
    assert pill.values[4] == "in 17 s, attempt 1"
    pill.close()
    assert not pill._second.isActive()


def test_try_now_asks_the_desk(desk, pill):
    pill.tryNow()
    assert desk.calls == [("try_now",)]
