"""Words: the same keys and placeholders in every language, and none that nobody asks for."""

from __future__ import annotations

import re
import string
from pathlib import Path
from typing import get_args

import pytest

import ui
from drivers.errors import Mismatch
from kiosk.model import LinkState, Reason, SensorState, Status
from ui.words import LANGUAGES, Words, read

SOURCES = [path.read_text() for path in Path(ui.__file__).parent.glob("*.py")]
OTHERS = [code for code in LANGUAGES if code != "en"]


def placeholders(text):
    return sorted(name for _, name, _, _ in string.Formatter().parse(text) if name)


@pytest.mark.parametrize("language", OTHERS)
def test_same_keys_and_placeholders(language):
    english, other = read("en"), read(language)
    assert english.keys() == other.keys()
    for key, text in english.items():
        assert placeholders(other[key]) == placeholders(text), key


@pytest.mark.parametrize("language", LANGUAGES)
def test_nothing_is_empty_and_nothing_is_left_in_english_by_accident(language):
    words = read(language)
    assert all(text.strip() for text in words.values())
    same = {key for key, text in read("en").items() if language != "en" and words[key] == text}
    # Names, signs and units that are the same everywhere.
    assert len(same) < 20, same


def test_every_key_is_asked_for_and_every_key_asked_for_exists():
    literal = {key for text in SOURCES for key in re.findall(r'"([a-z_]+\.[a-z_]+)"', text)}
    keys = set(read("en"))
    sections = {key.partition(".")[0] for key in keys if "." in key}
    asked = {key for key in literal if key.partition(".")[0] in sections}
    assert asked <= keys
    built = {f"pill.{state}" for state in LinkState} | {f"status.{each}" for each in Status}
    built |= {f"detail.{state}{tail}" for state in LinkState for tail in ("", "_line")}
    told = set(Reason) - {Reason.NONE}
    built |= {f"{reason}.{part}" for reason in told for part in ("title", "line")}
    built |= {f"detail.age_{unit}" for unit in ("s", "min", "h", "d")}
    built |= {f"detail.{transport}" for transport in ("websocket", "sse", "polling")}
    rows = ("last_exchange", "held", "quarantined", "transport", "next_try")
    built |= {f"detail.{row}" for row in rows}
    built |= {f"door.{rest}" for rest in ("expected", "absent", "excused")}
    built |= {f"out_of_order.{it}" for it in ("starting", "starting_line", "title", "line")}
    troubles = set(SensorState) - {SensorState.STARTING, SensorState.READY}
    built |= {f"out_of_order.{state}" for state in troubles}
    whys = (*get_args(Mismatch), "damaged")
    built |= {f"stranger.{each}" for each in whys}
    choices = ("adopt", "wipe", "reprovision")
    built |= {f"stranger.{choice}{tail}" for choice in choices for tail in ("", "_line")}
    built |= {f"out_of_order.{line}_badge" for line in ("starting_line", "line")}
    assert asked | built | {"name", "date_long", "date_short", "date_day"} == keys


def test_the_button_goes_round_all_languages(qapp):
    words = Words("en")
    seen = []
    words.changed.connect(lambda: seen.append(words.languageName))
    for _ in LANGUAGES:
        words.next()
    assert seen == ["Deutsch", "Español", "English"]


def test_an_unknown_language_falls_back_to_english_and_an_unknown_key_is_an_error(qapp):
    words = Words("tlh")
    assert words.code == "en"
    with pytest.raises(KeyError):
        words("door.nonsense")
